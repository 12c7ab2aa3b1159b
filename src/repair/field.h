/* field.h - one header field, mended so that it says the same in bytes that every server takes. */
#pragma once

#include "base/arena.h"

/* Longest line without its end (RFC 5322, 2.1.1). */
#define FIELD_LINE_MAX 998u

/* What was done; bits. */
enum field_change {
	FIELD_ENCODED = 1, /* 8-bit bytes or NUL */
	FIELD_FOLDED = 2,
	FIELD_TIGHTENED = 4, /* blanks between the name and its colon are gone */
};

/* FIELD (from its name to its last line end, which may be missing) to OUT, line ends as CRLF, CHANGES
 * filled. -1: it cannot be said in other bytes. */
int field_mend(struct buf *out, struct view field, unsigned *changes);
/* Do both say the same, where MENDED is what field_mend made of FIELD? Read anew from the bytes. */
bool field_same(struct view field, struct view mended);
