/* pace.h - how fast it goes and how long it will take, smoothed. Pure: time is handed in. */
#pragma once

#include "fleet/fleet.h"

struct pace {
	bool begun;
	int64_t begun_ms, at_ms; /* first and last sample */
	uint64_t items, bytes;   /* at the last sample */
	double item_rate, byte_rate;
};

/* Take notice of where the copy stands; as often as one likes. */
void pace_feed(struct pace *pace, const struct copy_progress *now, int64_t now_ms);
/* Bytes a second; 0 = nothing moves, or not known yet. */
uint64_t pace_rate(const struct pace *pace);
/* Seconds until all that is known is copied; -1 = nobody can say (yet). */
int64_t pace_left_s(const struct pace *pace, const struct copy_progress *now);
