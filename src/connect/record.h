/* record.h - the flight recorder: what passes between godwit and its servers, with secrets and content
 * taken out (scrub.h), as a transcript that tests/kit/fakeimap.py plays (its head tells the format).
 *
 * Recording never changes a run: nothing here fails. When the file cannot be written any more (a full
 * disk), that is said once and the record ends there. What was written is whole lines, but for the
 * last. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct record; /* one file; shared by all sessions of a worker */
struct
    record_link; /* one connection in it; where it is NULL, nothing is recorded: all calls take it */

/* FD is borrowed. WARN gets a sentence when the record had to end. */
void record_new(
    struct record **out, int fd, void (*warn)(void *arg, const char *text), void *warn_arg);
/* Writes what is pending. NULL inside is fine. */
void record_free(struct record **record);

/* A connection begins. R may be NULL: then so is *OUT. USER, AUTHZID (may be NULL) and HOST will not be
 * found in it. */
void record_link_new(struct record_link **out, struct record *r, enum err_side side,
    const char *user, const char *authzid, const char *host);

/* How a connection ended, as seen from here. */
enum record_end {
	RECORD_LEFT,      /* we closed it */
	RECORD_CLOSED,    /* the server did, in order */
	RECORD_RESET,     /* or by an error of the network */
	RECORD_SILENT,    /* it said nothing for too long */
	RECORD_REFUSED,   /* there was never a connection */
	RECORD_UNTRUSTED, /* TLS failed */
};
void record_link_end(struct record_link **link, enum record_end how);

/* Whole lines to the server, with their CRLF. */
void record_sent(struct record_link *l, struct view lines);
/* LEN bytes of a message. */
void record_sent_body(struct record_link *l, uint64_t len);
/* A login: HEAD is what may be known of it ("g2 AUTHENTICATE PLAIN"). Until its tagged answer, nothing is
 * recorded but what the server says in untagged responses. */
void record_sent_secret(struct record_link *l, struct view head);
/* TLS begins. */
void record_tls(struct record_link *l);

enum record_kind {
	RECORD_DATA,     /* untagged data */
	RECORD_STATUS,   /* OK, NO, BAD, BYE; untagged */
	RECORD_TAGGED,   /* the same, tagged */
	RECORD_SOFTWARE, /* ID: strings, each like a sentence */
	RECORD_PLAIN,    /* words of the protocol alone: stay */
	RECORD_CONTINUE,
	RECORD_STRANGE, /* no IMAP */
};
/* Bytes from the server that are no message's; RECEIVED when KIND is known of all that were added
 * since the last: a response, or its part up to a message. TEXT_LEN: how much at its end is for
 * people. */
void record_add(struct record_link *l, struct view bytes);
void record_received(struct record_link *l, enum record_kind kind, size_t text_len);
/* A message begins; a piece of it. It ends where anything else begins. */
void record_body_begin(struct record_link *l);
void record_body(struct record_link *l, struct view piece);

/* Write what is pending: before each wait. */
void record_flush(struct record_link *l);
