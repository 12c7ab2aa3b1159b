/* exception.h - one thing the user must know of: an item or folder not copied, or copied with a
 * difference. Travels from worker to controller, into the report and the event stream. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/pack.h"

struct exception {
	enum cause cause;
	const char *folder; /* source display name; "" = none */
	const char *target; /* destination display name where it differs, else "" */
	const char *id;     /* source id (IMAP: uid), "" for folders */
	const char *msgid;  /* "" = none */
	const char *reason; /* one sentence, with the server's words where it said any */
};

/* Frame form (base/pack.h). Unpacked text lives in A. -1: malformed. */
int exception_pack(struct buf *b, const struct exception *x);
int exception_unpack(struct unpack *u, struct exception *x, struct arena *a);
