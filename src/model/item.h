/* item.h - what the engine knows of one message (event, contact ...) without its bytes. */
#pragma once

#include "base/buf.h"
#include "model/flags.h"

struct date {
	int64_t instant; /* seconds since 1970 */
	int16_t zone;    /* minutes east of UTC */
	bool known;
};

/* What tells an item from others when ids are lost: DESIGN §7. Digests are BLAKE2b of canonical
 * bytes (identity.h); all zero = not known. */
struct identity {
	uint64_t size;           /* bytes as carried */
	uint64_t canonical_size; /* bytes with every line end as CRLF */
	unsigned char msgid[8];  /* digest of Message-ID without blanks; zero = it has none */
	unsigned char header[16];
	unsigned char body[16]; /* of the whole message; zero = streamed, not known beforehand */
	/* The message has what servers are known to change while storing it: 8-bit header, NUL, bare
	 * CR or LF. exact is then a digest that only its very bytes have, else zero. */
	bool odd;
	unsigned char exact[16];
};
