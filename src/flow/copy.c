/* copy.c - the way of one folder: READ THIS FIRST.
 *
 *   source ──want/next──► window ──intent──► ledger ──put──► destination ──settle──► receipts
 *
 * Exactly once (DESIGN §7): nothing is put before its intent is durable; after any accident the
 * folder is done again from the top, and the ledger knows what needs no doing. Source and
 * destination work at the same time: windows are announced ahead, the intent of the next window becomes
 * durable while the one before it is still on the wire, and the next folder is begun (ahead.c) while this
 * one is finished.
 *
 * Does not: know a protocol (connector.h), keep records (ledger.h), mend links (flow.c). */
#include "flow/lane.h"

/* A stream is handed over when its first byte comes, and a server may work on several commands at
 * once: it is announced only when all before it has been read, or the order of the folder is lost.
 * What a link may die of is announced alone. */
static bool must_wait(const struct lane *l, const struct folder_job *job)
{
	const struct todo *next;

	if (!job->wanted || job->todo_next == job->todo_count)
		return false;
	next = &job->todo[job->todo_next];
	return job->lonely || next->size >= lane_stream_from(l) || suspect_is(job, next->id);
}

int copy_want(struct lane *l, struct folder_job *job, struct err *e)
{
	struct window *w;

	if (!job->wanted)
		pace_begin(&l->reading);
	while (job->wanted < WANTED_AHEAD && !must_wait(l, job) &&
	       job->wanted_bytes < lane_reading_ahead(l)) {
		if (window_fill(l, job, &w, e))
			return -1;
		if (!w)
			return 0;
		w->asked = clock_ms();
		job->wanted++;
		job->wanted_bytes += w->bytes;
		job->lonely = suspect_is(job, w->items[0].id);
		if (l->from->want(l->source, w, e))
			return e->cause == CAUSE_FOLDER_RESET ? plan_is_other(job, e) : -1;
	}
	return 0;
}

/* The next window that can be put: one to be tried again, or the oldest announced one, read.
 * *w = NULL = there is none any more. */
static int read_window(struct lane *l, struct folder_job *job, struct window **w, struct err *e)
{
	if ((*w = job->retry)) {
		job->retry = (*w)->next;
		job->careful = true;
		return 0;
	}
	do {
		if (copy_want(l, job, e))
			return -1;
		if (l->from->next(l->source, w, e)) /* with none wanted: the end of a stream */
			return -1;
		if (!job->wanted)
			return 0;
		job->wanted--;
		job->wanted_bytes -= *w ? (*w)->bytes : 0;
		if (*w && !(*w)->stream)
			pace_take(&l->reading, (*w)->body.len, (*w)->asked);
		if (window_inspect(l, job, w, e))
			return -1;
	} while (!*w);
	job->careful = suspect_is(job, (*w)->items[0].id);
	return 0;
}

/* Take receipts until at most MAX windows are outstanding, and what else is answered. */
static int settle_to(struct lane *l, struct folder_job *job, size_t max, struct err *e)
{
	struct window *w;

	for (;;) {
		if (l->to->settle(l->destination, max, &w, e))
			return -1;
		if (!w)
			return 0;
		job->put--;
		job->put_bytes -= w->bytes;
		pace_take(&l->writing, w->bytes, w->asked);
		if (window_settle(l, job, &w, e))
			return -1;
	}
}

/* Until W may be put beside those that are outstanding. */
static int settle_for(struct lane *l, struct folder_job *job, const struct window *w, struct err *e)
{
	if (settle_to(l, job, job->careful ? 0 : job->put, e))
		return -1;
	while (job->put >= PUT_AHEAD ||
	       (job->put >= PUT_PAIR && job->put_bytes + w->bytes > lane_writing_ahead(l)))
		if (settle_to(l, job, job->put - 1, e))
			return -1;
	return 0;
}

/* The listing of this very session has told it already: earlier than now, and so below it. */
static int target_now(struct lane *l, struct folder_job *job, struct cursor *now, struct err *e)
{
	const struct folder *listed = folder_list_find(&l->target_folders, job->target.raw);

	job->target.glance_cursor = NULL;
	if (l->sessions > 1 || !cursor_glance(listed, now) ||
	    cursor_went_back(now, &job->memory->target)) /* we have put something since */
		return l->to->now(l->destination, &job->target, now, e);
	job->target.glance_cursor = listed->glance_cursor;
	return 0;
}

/* Where in the destination folder nothing of ours can be below; and is it still the folder we knew? */
int copy_floor(struct lane *l, struct folder_job *job, struct err *e)
{
	struct cursor now;

	if (job->floor_session == l->sessions)
		return 0;
	if (target_now(l, job, &now, e) || check_same_target(l, job, &now, e) ||
	    (job->floor_session && check_still_ahead(job, &now, e)))
		return -1;
	job->floor_session = l->sessions;
	if (!job->floor.text[0])
		job->floor = now;
	if (!job->memory->floor.text[0])
		job->memory->floor = job->floor;
	return 0;
}

/* In between, so that memory does not grow with the folder. */
static int check_so_far(struct lane *l, struct folder_job *job, struct err *e)
{
	if (settle_to(l, job, 0, e) || (!job->doubted_count && resolve_folder(l, job, false, e)))
		return -1;
	return check_stored(l, job, e);
}

/* All has been read: the rest of the receipts, and what they bring back. 1 = it is done. */
static int end_of_items(struct lane *l, struct folder_job *job, struct err *e)
{
	if (ahead_begin(l, job, e) || settle_to(l, job, 0, e))
		return -1;
	if (ahead_may_begin(l, job) && !job->memory->open)
		return 1;
	if (ahead_leave(l, e))
		return -1;
	return !job->retry && job->todo_next == job->todo_count;
}

static int put_window(struct lane *l, struct folder_job *job, struct window *w, struct err *e)
{
	if (copy_floor(l, job, e) ||
	    ledger_intend(l->ledger, job->memory, w, INTENT_OPEN, &job->floor, e) ||
	    settle_for(l, job, w, e) || /* while it becomes durable */
	    ledger_durable(l->ledger, w->ticket, e))
		return window_free(&w), -1;
	if (!job->put)
		pace_begin(&l->writing);
	w->asked = clock_ms();
	job->put++;
	job->put_bytes += w->bytes;
	if (l->to->put(l->destination, &job->target, w, e))
		return -1;
	return job->careful ? settle_to(l, job, 0, e) : 0; /* its parts keep their order */
}

/* The way of the windows. */
static int copy_items(struct lane *l, struct folder_job *job, struct err *e)
{
	struct window *w;
	int done;

	for (;;) {
		if (read_window(l, job, &w, e))
			return -1;
		if (!w && (done = end_of_items(l, job, e)))
			return done < 0 ? -1 : 0;
		if (w && put_window(l, job, w, e))
			return -1;
		if ((job->stored_count >= CHECK_EVERY || job->memory->open >= CHECK_EVERY) &&
		    check_so_far(l, job, e))
			return -1;
	}
}

/* What was in doubt and not found at first: look once more, now that the destination had time, and
 * only then send it again. */
static int copy_doubted(struct lane *l, struct folder_job *job, struct err *e)
{
	int64_t ripe = l->connected_at + l->options->settle_ms;

	if (!job->doubted_count)
		return 0;
	if (clock_ms() < ripe && waitset_sleep(l->context->waits, ripe - clock_ms(), e))
		return -1;
	return resolve_folder(l, job, true, e) || copy_items(l, job, e) ? -1 : 0;
}

int look_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	if (job->looked)
		return 0;
	if (reconcile_folder(l, job, e)) /* ids that do not tell what is there already */
		return -1;
	if (job->looked)
		return 0; /* a dry run: that was the plan */
	if (!l->options->dry_run &&
	    (check_recall(l, job, e) || /* what an interrupted run stored: not checked yet */
		resolve_folder(l, job, false, e))) /* what it left in doubt */
		return -1;
	if (plan_folder(l, job, e)) /* what is new, what changed, what has gone */
		return -1;
	job->looked = true;
	return 0;
}

int copy_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	struct cursor cursor;

	if (look_folder(l, job, e))
		return -1;
	plan_count(l, job);
	if (copy_items(l, job, e) ||           /* every new item */
	    copy_doubted(l, job, e) ||         /* and those that may have been there */
	    resolve_folder(l, job, true, e) || /* ids that receipts did not tell */
	    check_stored(l, job, e) ||         /* is it all there? */
	    check_gone(l, job, e) ||           /* what the source did not give: is it gone? */
	    mark_folder(l, job, e) ||          /* flags that changed */
	    gone_folder(l, job, e) ||          /* what is not at the source any more */
	    check_standing(l, job, e))         /* what older passes could not copy */
		return -1;
	plan_tell_unlisted(l, job);
	cursor = job->cursor_stays ? job->memory->cursor : job->told.cursor;
	return ledger_finish(l->ledger, job->memory, &cursor, lane_max_size(l), e);
}

/* The receipts that did come are believed; the rest stays in doubt. */
bool copy_abandon(struct lane *l, struct folder_job *job, const struct err *accident)
{
	bool lost = accident && accident->scope == ERR_LINK && accident->next == ERR_RETRY;
	struct window *w;
	struct err ignored;
	bool lent = false;

	job->wanted = job->wanted_bytes = job->put = job->put_bytes = 0;
	for (; l->source && (w = l->from->abandon(l->source)); lent = true) {
		if (lost && accident->side == ERR_SOURCE)
			suspect_note(w->folder == job->source ? job : l->next, w, ERR_SOURCE);
		window_free(&w);
	}
	for (; l->destination && (w = l->to->abandon(l->destination)); lent = true) {
		window_receive(l, job, w, &ignored);
		if (lost && (accident->side == ERR_DESTINATION || w->stream))
			suspect_note(job, w, accident->side);
		window_free(&w);
	}
	suspect_judge(job);
	if (l->next) {
		suspect_judge(l->next);
		flow_restart(l, l->next);
	}
	while ((w = job->retry)) {
		job->retry = w->next;
		window_free(&w);
	}
	return lent;
}
