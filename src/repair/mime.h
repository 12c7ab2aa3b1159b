/* mime.h - a message cut into pieces that lie end to end: header fields, what separates, and the bodies of
 * its leaves (RFC 5322, RFC 2045, RFC 2046). For the repair room alone: copied messages are never
 * parsed. Sans-I/O; cannot fail: what readers would not agree about is said to be garbled. */
#pragma once

#include "base/arena.h"

enum mime_kind {
	MIME_MBOX,  /* the "From " line of a mailbox file before the header */
	MIME_FIELD, /* a header field with its folded lines and its line end */
	MIME_BLANK, /* the empty line behind a header; empty where it is missing */
	MIME_FRAME, /* delimiters, preamble and epilogue of a multipart */
	MIME_LEAF, /* the body of a part that has none in it, without the line end of the delimiter */
};

struct mime_piece {
	enum mime_kind kind;
	struct view bytes; /* of the message */
	size_t part;
};

/* Content-Transfer-Encoding. */
enum mime_coding { MIME_PLAIN, MIME_QUOTED, MIME_BASE64, MIME_UNKNOWN };

struct mime_part {
	struct mime_part *parent; /* NULL: the message itself */
	struct view type;         /* "text/plain", in whatever case */
	enum mime_coding coding;
	bool
	    message; /* the header is one of a message: the first part, and those in message/rfc822 */
	bool header_sealed, body_sealed; /* signed or encrypted: not to be touched */
	bool unclosed;       /* its header is not followed by an empty line, and should be */
	bool cut;            /* no delimiter behind it: to some the last line end is not its own */
	bool versioned;      /* has a MIME-Version */
	size_t coding_field; /* piece of its Content-Transfer-Encoding, counted from 1; 0 = none */
	enum mime_coding wanted; /* the caller's: another coding for its body */
	bool wants_version;      /* the caller's */
};

struct mime_tree {
	struct mime_piece *pieces; /* together they are the message, in its order */
	size_t piece_count, piece_size;
	struct mime_part **parts;
	size_t part_count, part_size;
	struct arena arena;
	bool garbled; /* readers may see other fields or parts in it than these */
};

/* TREE borrows MESSAGE; mime_free when done. */
void mime_parse(struct mime_tree *tree, struct view message);
void mime_free(struct mime_tree *tree);

bool mime_is_text(const struct mime_part *p);

/* The line at the front of V with its end; LEN of the text without it. */
struct view mime_line(struct view v, size_t *len);
/* The length of the name where LINE begins a field (blanks before the colon count to *BLANKS), else 0. */
size_t mime_field_name(struct view line, size_t *blanks);
/* The field's value on one line, in A: CR and LF are taken out. */
struct view mime_field_value(struct view field, struct arena *a);
