/* pace.h - how much may be under way in one direction of a lane: what its bandwidth and delay hold, and not what
 * would only wait in queues, where it delays everything else on the line. */
#pragma once

#include "base/base.h"

#define PACE_SPANS 4u

/* All zero at the beginning. */
struct pace {
	int64_t since; /* ms; of the span that is being measured */
	uint64_t bytes;
	uint64_t rates[PACE_SPANS]; /* bytes a second of the last spans, 0 = none yet */
	unsigned next;
	int64_t delay; /* ms, the least from asking to having it; 0 = none yet */
};

/* Nothing was under way: time begins to count. */
void pace_begin(struct pace *p);
/* BYTES have arrived that were asked for at ASKED (clock_ms). */
void pace_take(struct pace *p, uint64_t bytes, int64_t asked);
/* Bytes that may be under way, between LEAST and MOST (which it is as long as nothing is known). */
uint64_t pace_ahead(const struct pace *p, uint64_t least, uint64_t most);
