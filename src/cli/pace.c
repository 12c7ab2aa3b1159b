/* pace.c - rate and time left, from counts and a clock that are handed in. Used by the progress
 * line and the JSON events.
 * Promises: no number before there are three seconds to judge by; a stall shows within seconds.
 * Does not: foresee messages that nobody has counted yet. */
#include "cli/pace.h"

#define SAMPLE_MS 500  /* shorter samples jump about */
#define SMOOTH_MS 8000 /* how far back the average remembers */
#define SENSIBLE_MS 3000
#define TOO_LONG_S (1000 * 86400.0)

static double smoothed(double before, uint64_t from, uint64_t to, int64_t ms, bool first)
{
	double rate = to > from ? (double)(to - from) * 1000 / (double)ms : 0;
	double weight = (double)ms / (double)(ms + SMOOTH_MS);

	return first ? rate : before + (rate - before) * weight;
}

void pace_feed(struct pace *pace, const struct copy_progress *now, int64_t now_ms)
{
	int64_t ms = now_ms - pace->at_ms;
	bool first = pace->begun && pace->at_ms == pace->begun_ms;

	if (now->phase < COPY_COPYING)
		return;
	if (!pace->begun) {
		*pace = (struct pace){.begun = true, .begun_ms = now_ms, .at_ms = now_ms};
	} else if (ms >= SAMPLE_MS) {
		pace->item_rate =
		    smoothed(pace->item_rate, pace->items, now->items_done, ms, first);
		pace->byte_rate =
		    smoothed(pace->byte_rate, pace->bytes, now->bytes_done, ms, first);
		pace->at_ms = now_ms;
	} else {
		return;
	}
	pace->items = now->items_done;
	pace->bytes = now->bytes_done;
}

uint64_t pace_rate(const struct pace *pace)
{
	return pace->byte_rate < 1e18 ? (uint64_t)pace->byte_rate : 0; /* beyond: nonsense */
}

/* Seconds for what is left; negative = at this rate, never. */
static double time_for(uint64_t done, uint64_t total, double rate)
{
	if (done >= total)
		return 0;
	return rate > 0.001 ? (double)(total - done) / rate : -1;
}

int64_t pace_left_s(const struct pace *pace, const struct copy_progress *now)
{
	double items = time_for(now->items_done, now->items_total, pace->item_rate);
	double bytes = time_for(now->bytes_done, now->bytes_total, pace->byte_rate);
	double left = items > bytes ? items : bytes;

	if (!pace->begun || pace->at_ms - pace->begun_ms < SENSIBLE_MS || !now->items_total)
		return -1;
	if (items < 0 || bytes < 0 || left > TOO_LONG_S)
		return -1;
	return (int64_t)(left + 0.5);
}
