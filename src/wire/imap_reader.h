/* imap_reader.h - IMAP server responses, sans-I/O: feed bytes, take events (RFC 3501 §7, 9051,
 * tolerant of what docs/quirks.md lists). Never touches a socket, a clock or a log.
 *
 * A response is handed over whole as a tree of nodes. Only message bodies are not held: a literal
 * that belongs to a FETCH item BODY[...], BINARY[...] or RFC822* is announced (LITERAL), flows
 * through as DATA pieces borrowed from the caller's bytes, and leaves a node of kind
 * IMAP_NODE_BODY in the tree. Everything else is bounded by the ceiling given at birth. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum imap_node_kind {
	IMAP_NODE_NIL,
	IMAP_NODE_ATOM,   /* also numbers, flags (\Seen), BODY[...]: text as sent */
	IMAP_NODE_STRING, /* quoted or literal, unquoted */
	IMAP_NODE_LIST,   /* ( ... ) */
	IMAP_NODE_BODY,   /* a literal that flowed by; body_index and body_len tell which */
};

/* 48 bytes; a response has at most two for every three bytes of its line: "(a)(a)". */
struct imap_node {
	enum imap_node_kind kind;
	unsigned body_index;     /* BODY: 0 for the first body of this response, ... */
	struct view text;        /* ATOM, STRING; NIL: as sent */
	struct imap_node *child; /* LIST: first */
	struct imap_node *next;  /* sibling */
	uint64_t body_len;       /* BODY: bytes */
};

enum imap_kind { IMAP_UNTAGGED, IMAP_TAGGED, IMAP_CONTINUE };
enum imap_status { IMAP_NONE, IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_BYE, IMAP_PREAUTH };

struct imap_response {
	enum imap_kind kind;
	struct view tag;         /* TAGGED */
	enum imap_status status; /* OK NO BAD BYE PREAUTH, else NONE */
	/* Status responses: the code's name ("APPENDUID"; empty = none), its arguments as nodes, and
	 * the human text behind it. CONTINUE: text only. */
	struct view code;
	struct imap_node *code_args;
	struct view text;
	/* Other untagged data: "* 12 FETCH (...)" has number 12, name "FETCH", args the rest;
	 * "* LIST (..) "/" x" has has_number false, name "LIST". A number that is none of ours
	 * (negative, 9.3e+06) sets has_number and odd_number, with number 0. */
	bool has_number, odd_number;
	uint64_t number;
	struct view name;
	struct imap_node *args;
};

enum imap_event {
	IMAP_EVENT_MORE,     /* all bytes taken, none of these yet: feed more */
	IMAP_EVENT_RESPONSE, /* reader->response is complete, valid until the next call */
	IMAP_EVENT_LITERAL,  /* a body begins: reader->literal_len bytes will flow;
	                      * reader->literal_name is the item ("BODY[]"; valid as long as the
	                      * response it belongs to), literal_uid the UID if it was already told
	                      * in this FETCH, else 0. Of 0 bytes: no DATA follows */
	IMAP_EVENT_DATA,     /* reader->data: a piece of it, valid as long as the bytes fed */
	IMAP_EVENT_BAD,      /* not IMAP, or beyond a ceiling: reader->problem says what; the stream
	                      * cannot be trusted any further, all later calls answer the same.
	                      * response.text is the line that was no IMAP, empty if it was not that */
};

/* Deeper lists are no IMAP that we know of. */
#define IMAP_DEPTH_MAX 64

struct imap_reader {
	struct imap_response response;
	uint64_t literal_len;
	struct view literal_name;
	uint32_t literal_uid;
	struct view data;
	const char *problem; /* static text */
	/* private from here */
	int state;
	bool begun;         /* the head of the response was read */
	bool behind_body;   /* the next byte must show that the body's length was true */
	bool clear_next;    /* the response was handed over: forget it at the next call */
	struct arena arena; /* all that the response points into */
	struct buf line;    /* a line that has not ended yet; its ceiling is that of a response */
	struct view last_line; /* the line parsed last, in the arena */
	size_t used;           /* bytes of this response so far, without bodies */
	uint64_t literal_left;
	char *literal_to; /* where the rest of a kept literal goes */
	unsigned body_count;
	unsigned depth; /* open lists */
	struct imap_level {
		struct imap_node *first, *last;
	} levels[IMAP_DEPTH_MAX + 1];
};

/* LINE_MAX: ceiling of one response without its bodies, in bytes (also for inlined literals). The
 * tree costs at most 34 times as much (a line of nothing but "(a)"), seven times in practice. */
void imap_reader_init(struct imap_reader *r, size_t line_max);
void imap_reader_free(struct imap_reader *r);
/* Look at BYTES; *taken of them (maybe 0) are done with. Call again with the rest until MORE.
 * The result never depends on how the bytes are cut into pieces. */
enum imap_event imap_reader_feed(struct imap_reader *r, struct view bytes, size_t *taken);

/* Helpers on trees. All accept NULL. */
const struct imap_node *imap_node_at(const struct imap_node *list_first, size_t index);
/* Text of an ATOM or STRING, empty for others. */
struct view imap_node_text(const struct imap_node *n);
/* In a FETCH's list "NAME value NAME value ...": the node behind the atom NAME (ASCII case
 * ignored; "BODY[]" also finds "BODY[]<0>"), NULL = not there. FIRST is the first child. Where a
 * server leaves a value out ("BODY[] UID 7") this is the next name: check its kind. */
const struct imap_node *imap_node_value(const struct imap_node *first, const char *name);
/* A number in an atom or string, also one in "(n)" as MODSEQ has: 0, or -1. */
int imap_node_number(const struct imap_node *n, uint64_t *out);
/* For names sent without the quotes they need: if FROM is an atom, all from its first byte to the
 * end of the line as sent ("Sent Items", "Calendar\""); else its text. FROM is of r's response. */
struct view imap_reader_rest(const struct imap_reader *r, const struct imap_node *from);
