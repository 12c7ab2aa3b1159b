/* imap_text.h - the small grammars of IMAP: names, dates, strings, sets. Sans-I/O. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* Modified UTF-7 (RFC 3501 §5.1.3). Decode: UTF-8 text in A; -1 = not valid (bad base64, lone
 * surrogate, 8-bit byte, encoded printable ASCII, unfinished shift): then the caller shows the raw
 * bytes. What decodes is given back by encode byte for byte. Encode: input must be UTF-8, else -1. */
int imap_utf7_decode(char **out, struct arena *a, struct view raw);
int imap_utf7_encode(char **out, struct arena *a, const char *utf8);

/* "17-Jul-1996 02:44:25 -0700" (RFC 3501 date-time), read leniently: one-digit day, missing zone
 * (= UTC), any case. *instant: seconds since 1970, may be negative; *zone: minutes east of UTC.
 * -1 = cannot be meant as a date (year 0, month missing ...). */
int imap_date_parse(struct view text, int64_t *instant, int16_t *zone);
#define IMAP_DATE_SIZE 32
/* Writes it with quotes, in that zone, day always two digits. -1 = year not in 0001..9999, or the
 * zone a day or more from UTC. */
int imap_date_format(char out[static IMAP_DATE_SIZE], int64_t instant, int16_t zone);

/* How a string can be sent as an astring: as a quoted string or only as a literal (CR, LF, NUL,
 * 8-bit). */
bool imap_needs_literal(struct view v);
/* Adds v as quoted string (escaping " and \). v must not need a literal. */
int imap_add_quoted(struct buf *b, struct view v);

/* One UID set: "3:9,12". Add UIDs (never 0) in ascending order; runs collapse, repeats vanish.
 * Adding answers -1 when the whole set with this UID would pass the ceiling of OUT, and then the
 * set is as it was before: finish it (which then cannot fail) and start another. */
struct imap_set {
	struct buf *out;      /* not owned */
	uint32_t first, last; /* the run not written yet */
	bool any;             /* there is one */
	bool written;         /* others stand before it */
};
void imap_set_start(struct imap_set *s, struct buf *out);
int imap_set_add(struct imap_set *s, uint32_t uid);
int imap_set_finish(struct imap_set *s);

/* Walk a set as servers send it ("5", "7:9", "9:7", "1,4:6"); no '*', no 0. NEXT returns 1 with
 * the next number in the order written, 0 at the end, -1 when malformed (and ever after). Ranges
 * are not expanded in memory, but "1:4294967295" is four thousand million steps: who does not
 * count along takes RANGE, which gives the rest of an element at once, *from > *to if so written. */
struct imap_set_walk {
	struct view rest;
	uint64_t at, to;
	int step; /* of the element begun: 1 up, -1 down; 0 = take the next element */
};
struct imap_set_walk imap_set_walk(struct view text);
int imap_set_next(struct imap_set_walk *w, uint32_t *uid);
int imap_set_range(struct imap_set_walk *w, uint32_t *from, uint32_t *to);
