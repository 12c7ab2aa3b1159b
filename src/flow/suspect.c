/* suspect.c - items at which a server hangs up. A message can end its connection each time it is asked
 * for or sent (a server's own crash, a scanner in between); its neighbours must not pay for it. Beside
 * copy.c. Promises: what was under way at two lost links travels alone, with nothing else on its
 * connection; what then loses the link twice more is owed and named, and the folder goes on.
 * Does not: decide whether a lost item was stored (resolve.c does, before any verdict here counts). */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#define LOSSES 2u /* with others: from then on it travels alone */
#define ALONE 2u  /* alone: from then on it is not tried again in this pass */

struct suspect {
	struct view id;
	/* Lost links with others under way, and with nothing else: of the latter those to SIDE in a row. */
	unsigned losses, alone;
	bool now; /* the loss that is being noted */
	enum err_side side;
};

static struct suspect *find(const struct folder_job *job, struct view id)
{
	for (size_t i = 0; i < job->suspect_count; i++)
		if (view_eq(job->suspects[i].id, id))
			return &job->suspects[i];
	return NULL;
}

static struct suspect *find_or_add(struct folder_job *job, struct view id)
{
	struct suspect *s = find(job, id);

	if (s)
		return s;
	job->suspects =
	    mem_room(job->suspects, job->suspect_count, &job->suspect_size, sizeof(*job->suspects));
	s = &job->suspects[job->suspect_count++];
	*s = (struct suspect){.id = arena_copy(&job->arena, id)};
	return s;
}

void suspect_note(struct folder_job *job, const struct window *w, enum err_side side)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct window_item *item = &w->items[i];
		struct suspect *s;

		if (item->state != ITEM_UNKNOWN && item->state != ITEM_WANTED)
			continue; /* answered */
		s = find_or_add(job, item->id);
		if (s->alone && s->side != side) { /* two accidents, not one and the same */
			s->losses = LOSSES;
			s->alone = 0;
		}
		s->now = true;
		s->side = side;
	}
}

void suspect_judge(struct folder_job *job)
{
	size_t lent = 0, kept = 0;

	for (size_t i = 0; i < job->suspect_count; i++)
		lent += job->suspects[i].now;
	for (size_t i = 0; i < job->suspect_count; i++) {
		struct suspect *s = &job->suspects[i];

		s->losses += s->now && lent > 1;
		s->alone += s->now && lent == 1;
		if (lent && !s->now && s->losses < LOSSES && !s->alone)
			continue; /* it was not there this time */
		s->now = false;
		job->suspects[kept++] = *s;
	}
	job->suspect_count = kept;
}

bool suspect_is(const struct folder_job *job, struct view id)
{
	const struct suspect *s = find(job, id);

	return s && (s->losses >= LOSSES || s->alone);
}

int suspect_give_up(struct lane *l, struct folder_job *job, struct window_item *item, struct err *e)
{
	const struct suspect *s = find(job, item->id);
	bool source = s && s->side == ERR_SOURCE;
	int failed;

	if (!s || s->alone < ALONE)
		return 0;
	item->cause = source ? CAUSE_UNREADABLE : CAUSE_REFUSED;
	item->reason = source
			   ? "the source ends the connection each time it is asked for this message"
			   : "the destination ends the connection each time this message is sent";
	lane_exception(l, job, item->cause, item->id, item->msgid, "%s", item->reason);
	failed = ledger_refuse(l->ledger, job->memory, item, ROW_OWED, e);
	item->reason = "";
	return failed ? -1 : 1;
}
