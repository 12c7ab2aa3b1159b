/* repair.h - other bytes for a message that a destination refuses: the same message said in bytes that
 * every server takes, or a letter that carries it. Only where the user asked for it (DESIGN §2). Pure:
 * the same bytes in give the same bytes out. */
#pragma once

#include "base/buf.h"

/* The steps of the ladder. */
enum repair_rung {
	REPAIR_EXACT, /* the source's bytes */
	REPAIR_MENDED,
	REPAIR_WRAPPED,
	REPAIR_RUNGS
};

/* What was mended; bits. */
enum repair_change {
	REPAIR_LINE_ENDS = 1, /* bare LF became CRLF */
	REPAIR_LAST_LINE = 2, /* got its end */
	REPAIR_MBOX = 4,      /* the "From " line of a mailbox file went */
	REPAIR_SEPARATOR = 8, /* the empty line behind a header came */
	REPAIR_HEADER = 16,   /* 8-bit bytes or NUL in fields were encoded (RFC 2047, RFC 2231) */
	REPAIR_FOLDED = 32,   /* long lines of fields were folded */
	REPAIR_COLON = 64,    /* blanks before a field's colon went */
	REPAIR_BODY = 128,    /* parts with NUL, bare CR or long lines were encoded (RFC 2045) */
};

/* The original with its faults mended, to OUT (empty before; its ceiling bounds it), and what was done.
 * Before it answers 0 it has read the result and found in it the same fields and parts with the same
 * content as in the original: each field says the same, each part decodes to the same bytes, but that
 * line ends of text are CRLF and the last line has one. -1: nothing to mend, or not without doubt
 * (signed or encrypted, no MIME that all readers understand alike); OUT is then of no use. */
int repair_mend(struct view original, struct buf *out, unsigned *changes);

/* A letter with the original in it, to OUT: as message/rfc822 where its bytes may stand in mail as they
 * are, else as application/octet-stream in base64, because RFC 2046, 5.2.1 allows a message/rfc822 no
 * encoding and readers know no message/global. From, To, Subject, Date and Message-ID are the
 * original's where they can be read; DATE: seconds since 1970, for one that has none. -1: beyond OUT's
 * ceiling (4/3 of the original and 8 KiB are enough). */
int repair_wrap(struct view original, int64_t date, struct buf *out);

/* Is there nothing that repair_mend would mend? */
bool repair_is_clean(struct view message);

/* "line ends made CRLF, header encoded"; room for 300 bytes. */
#define REPAIR_TEXT 300u
void repair_describe(char text[static REPAIR_TEXT], unsigned changes);
