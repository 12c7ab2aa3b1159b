/* pace.c - the product of bandwidth and delay, as it was seen: the best rate of the last spans of a tenth of a
 * second, and the least delay. Twice of it may be under way, and what comes in some tenths: so a rate that could be
 * higher is found, and whoever is idle for a moment finds something to do. Beside copy.c. */
#include "flow/pace.h"

#define SPAN_MS 100
#define STOCK_MS 400 /* with 100 a copy without delay took half as long again */

void pace_begin(struct pace *p)
{
	p->since = clock_ms();
	p->bytes = 0;
}

void pace_take(struct pace *p, uint64_t bytes, int64_t asked)
{
	int64_t now = clock_ms(), delay = now > asked ? now - asked : 1;
	int64_t span = now - p->since;

	p->delay = !p->delay || delay < p->delay ? delay : p->delay;
	p->bytes += bytes;
	if (span < SPAN_MS)
		return;
	p->rates[p->next++ % PACE_SPANS] = p->bytes * 1000 / (uint64_t)span;
	p->since = now;
	p->bytes = 0;
}

uint64_t pace_ahead(const struct pace *p, uint64_t least, uint64_t most)
{
	uint64_t best = 0, ahead;

	for (size_t i = 0; i < PACE_SPANS; i++)
		best = p->rates[i] > best ? p->rates[i] : best;
	if (!best)
		return most;
	ahead = best * (uint64_t)(2 * p->delay + STOCK_MS) / 1000;
	ahead = ahead < most ? ahead : most;
	return ahead > least ? ahead : least;
}
