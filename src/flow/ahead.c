/* ahead.c - the folder behind the one that is being finished: looked at, and its first windows announced, while
 * the other's last receipts and its check come from the destination. Beside copy.c, whose way it changes in
 * nothing. Promises: what the folder at work still needs of the source comes first; trouble of the next one is not
 * its own: it comes again, when its turn has. Does not: choose which is next (lanes.c). */
#include "flow/lane.h"

bool ahead_may_begin(const struct lane *l, const struct folder_job *job)
{
	bool removes =
	    l->options->deletions == DELETIONS_MIRROR && (job->memory->gone || job->vanished_count);

	return l->destination->caps.ids_told && !job->retry && !job->wanted &&
	       job->todo_next == job->todo_count && !job->doubted_count && !job->gone_count &&
	       !removes;
}

/* Can it be begun by asking the source alone? */
static bool can_begin(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;

	return !job->unlucky && !job->suspect_count && !m->open && !m->floor.text[0] &&
	       !reconcile_is_needed(l, job);
}

static int begin(struct lane *l, struct folder_job *job, struct err *e)
{
	if (look_folder(l, job, e))
		return -1;
	job->begun = true;
	if (!job->todo_count || job->todo[0].size >= lane_stream_from(l))
		return 0; /* a stream cannot be put aside */
	return copy_want(l, job, e);
}

int ahead_begin(struct lane *l, const struct folder_job *job, struct err *e)
{
	struct folder_job *next;
	struct err trouble;

	if (l->next || lane_is_steady(l) || !ahead_may_begin(l, job))
		return 0;
	if (job->change_count && lanes_are_several(l))
		return 0; /* marking takes its time: another lane may have it sooner */
	if (lanes_next(l, &next, e))
		return -1;
	if (!next || !can_begin(l, next))
		return 0;
	l->next = next;
	if (!begin(l, next, &trouble))
		return 0;
	next->unlucky = true;
	if (trouble.scope <= ERR_FOLDER && !next->wanted) {
		flow_restart(l, next);
		return 0;
	}
	*e = trouble;
	if (e->scope <= ERR_FOLDER || e->scope == ERR_MAILBOX) { /* and answers are still to come */
		e->scope = ERR_LINK;
		e->next = ERR_RETRY;
	}
	return -1;
}

int ahead_leave(struct lane *l, struct err *e)
{
	struct folder_job *next = l->next;
	struct window *w;

	if (!next || !next->begun)
		return 0;
	for (; next->wanted; next->wanted--) {
		if (l->from->next(l->source, &w, e))
			return -1;
		window_free(&w);
	}
	flow_restart(l, next);
	return 0;
}
