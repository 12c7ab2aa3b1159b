/* gone.c - items that are not at the source any more. Behind the windows of copy.c. By default their
 * copies stay, and the ledger remembers that they went; with deletions mirrored a copy is removed
 * when it is ours, still where we put it, as we left it, and its header is the one we copied.
 *
 * Promises: nothing is removed that somebody else put there or touched; nothing at all when more
 * went than the limit allows. Does not: decide that something has gone (plan.c). */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#define FEW 10u /* so many may always go: percentages of little mean nothing */

struct removal {
	struct lane *l;
	struct folder_job *job;
	struct ledger_row *rows; /* sorted by target id */
	bool *here, *same;
	size_t count, size;
	struct arena arena;
};

/* ---- what may be removed ---- */

static int by_target(const void *a, const void *b)
{
	return view_cmp(
	    ((const struct ledger_row *)a)->target_id, ((const struct ledger_row *)b)->target_id);
}

static void add_row(struct removal *r, const struct ledger_row *row)
{
	struct ledger_row *copy;

	r->rows = mem_room(r->rows, r->count, &r->size, sizeof(*r->rows));
	copy = &r->rows[r->count++];
	*copy = *row;
	copy->source_id = arena_copy(&r->arena, row->source_id);
	copy->target_id = arena_copy(&r->arena, row->target_id);
	copy->reason = "";
}

static bool is_ours(const struct ledger_row *row)
{
	return (row->state == ROW_STORED || row->state == ROW_ADOPTED) && row->target_id.len;
}

/* Went in an earlier pass, and was kept then. */
static int take_kept(void *arg, const struct ledger_row *row, struct err *e)
{
	(void)e;
	if (row->gone && is_ours(row))
		add_row(arg, row);
	return 0;
}

/* As we left it, or marked for removal: by us, before a removal that was cut off, or by its user. */
static bool is_untouched(struct flags_table *t, uint32_t shown, uint32_t base)
{
	return shown == base ||
	       flags_minus(t, shown, flags_intern(t, view_of("\\Deleted"))) == base;
}

static int take_fact(void *arg, const struct fact *fact, struct err *e)
{
	struct removal *r = arg;
	struct ledger_row key = {.target_id = fact->id}, *row;
	size_t at;

	(void)e;
	row = bsearch(&key, r->rows, r->count, sizeof(key), by_target);
	if (!row)
		return 0;
	at = (size_t)(row - r->rows);
	r->here[at] = true;
	r->same[at] = is_untouched(r->l->flags, fact->flags, row->target_base) &&
		      fact->has_identity &&
		      !memcmp(fact->identity.header, ledger_sent_digest(row), sizeof(row->digest));
	return 0;
}

/* What the destination shows of them now. */
static int look(struct removal *r, struct err *e)
{
	struct view *ids = arena_new(&r->arena, r->count, sizeof(*ids));
	struct changes_ask ask = {.identity = true, .ids = ids, .count = r->count};
	struct fact_sink sink = {take_fact, r};
	struct changes_told told;

	qsort(r->rows, r->count, sizeof(*r->rows), by_target);
	r->here = arena_new(&r->arena, r->count, sizeof(*r->here));
	r->same = arena_new(&r->arena, r->count, sizeof(*r->same));
	for (size_t i = 0; i < r->count; i++)
		ids[i] = r->rows[i].target_id;
	if (r->l->to->changes(r->l->destination, &r->job->target, &ask, &sink, &told, e))
		return -1;
	return check_same_target(r->l, r->job, &told.cursor, e);
}

/* ---- is it gone indeed? ---- */

static int by_source(const void *a, const void *b)
{
	return view_cmp(
	    ((const struct ledger_row *)a)->source_id, ((const struct ledger_row *)b)->source_id);
}

static int take_present(void *arg, const struct fact *fact, struct err *e)
{
	struct removal *r = arg;
	struct ledger_row key = {.source_id = fact->id}, *row;

	(void)e;
	row = bsearch(&key, r->rows, r->count, sizeof(key), by_source);
	if (row && !fact->gone)
		r->here[row - r->rows] = true;
	return 0;
}

/* The source is asked for just these, once more: what it shows stays. Then what it told was wrong, and
 * others may have gone: the next pass asks anew from where this one did. */
static int ask_source(struct removal *r, struct err *e)
{
	struct view *ids = arena_new(&r->arena, r->count, sizeof(*ids));
	struct changes_ask ask = {.ids = ids, .count = r->count};
	struct fact_sink sink = {take_present, r};
	struct changes_told told;
	size_t kept = 0;

	qsort(r->rows, r->count, sizeof(*r->rows), by_source);
	r->here = arena_new(&r->arena, r->count, sizeof(*r->here));
	for (size_t i = 0; i < r->count; i++)
		ids[i] = r->rows[i].source_id;
	if (r->l->from->changes(r->l->source, r->job->source, &ask, &sink, &told, e))
		return -1;
	for (size_t i = 0; i < r->count; i++)
		if (!r->here[i])
			r->rows[kept++] = r->rows[i];
	if (kept < r->count)
		r->job->cursor_stays = true;
	r->count = kept;
	return 0;
}

/* ---- removing ---- */

static int remove_ours(struct removal *r, struct err *e)
{
	struct lane *l = r->l;
	struct view *ids = arena_new(&r->arena, r->count, sizeof(*ids));
	size_t count = 0;
	struct err refusal;

	for (size_t i = 0; i < r->count; i++)
		if (r->here[i] && r->same[i])
			ids[count++] = r->rows[i].target_id;
	if (!count)
		return 0;
	if (!l->to->remove) {
		err_set(
		    &refusal, CAUSE_NOT_REMOVED, ERR_FOLDER, "it cannot remove single messages");
	} else if (!l->to->remove(l->destination, &r->job->target, ids, count, &refusal)) {
		l->summary->items_removed += count;
		return 0;
	}
	if (refusal.scope != ERR_FOLDER) {
		*e = refusal;
		return -1;
	}
	lane_exception(l, r->job, CAUSE_NOT_REMOVED, (struct view){0}, "",
	    "%zu messages that went at the source stay: %s", count, refusal.text);
	for (size_t i = 0; i < r->count; i++)
		r->same[i] = false;
	return 0;
}

/* The ledger follows: removed or not there any more is forgotten, what stays is known to be gone. */
static int record(struct removal *r, struct err *e)
{
	struct lane *l = r->l;

	for (size_t i = 0; i < r->count; i++) {
		const struct ledger_row *row = &r->rows[i];
		bool stays = r->here[i] && !r->same[i];

		if (stays && !row->gone)
			lane_exception(l, r->job, CAUSE_NOT_REMOVED, row->source_id, "",
			    "it was changed at the destination since it was copied");
		if (stays ? ledger_gone(l->ledger, r->job->memory, row, true, e)
			  : ledger_forget(l->ledger, r->job->memory, row, e))
			return -1;
	}
	return 0;
}

/* What would be removed. */
static int count_ours(struct removal *r, struct err *e)
{
	(void)e;
	for (size_t i = 0; i < r->count; i++)
		r->l->summary->planned_removals += r->here[i] && r->same[i];
	return 0;
}

static int mirror(struct lane *l, struct folder_job *job, struct err *e)
{
	struct removal r = {.l = l, .job = job};
	int failed = 0;

	for (size_t i = 0; i < job->vanished_count; i++)
		if (is_ours(&job->vanished[i]))
			add_row(&r, &job->vanished[i]);
	if (job->memory->gone)
		failed = ledger_each_row(l->ledger, job->memory, take_kept, &r, e);
	if (!failed && r.count && job->source)
		failed = ask_source(&r, e);
	if (!failed && r.count && l->options->dry_run)
		failed = look(&r, e) || count_ours(&r, e);
	else if (!failed && r.count)
		failed = look(&r, e) || remove_ours(&r, e) || record(&r, e);
	free(r.rows);
	arena_free(&r.arena);
	return failed ? -1 : 0;
}

/* ---- the folder ---- */

/* What has no copy is forgotten, the others stay and are known to be gone. */
static int keep(struct lane *l, struct folder_job *job, const struct ledger_row *row, struct err *e)
{
	if (row->state == ROW_REFUSED || row->state == ROW_OWED || row->state == ROW_LEFT)
		return ledger_forget(l->ledger, job->memory, row, e);
	return ledger_gone(l->ledger, job->memory, row, true, e);
}

int gone_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	bool mirrored = l->options->deletions == DELETIONS_MIRROR && !l->hold_deletions;

	for (size_t i = 0; i < job->vanished_count; i++)
		if (!(mirrored && is_ours(&job->vanished[i])) && keep(l, job, &job->vanished[i], e))
			return -1;
	if (mirrored && mirror(l, job, e))
		return -1;
	l->summary->items_gone += job->vanished_count;
	job->vanished_count = 0;
	return 0;
}

int gone_plan(struct lane *l, struct folder_job *job, struct err *e)
{
	if (l->options->deletions != DELETIONS_MIRROR || l->hold_deletions)
		return 0;
	return mirror(l, job, e);
}

/* ---- folders that went ---- */

/* A listing that leaves one out is not enough: it must not be there when asked for by name. */
static int went_indeed(struct lane *l, const struct folder_job *job, bool *went, struct err *e)
{
	struct folder f = {.raw = job->memory->source_raw};
	struct cursor now;

	*went = l->from->now(l->source, &f, &now, e) != 0;
	return *went && e->scope != ERR_FOLDER ? -1 : 0;
}

static int mirror_deserted(struct lane *l, struct folder_job *job, struct err *e)
{
	bool went;

	if (went_indeed(l, job, &went, e))
		return -1;
	if (!went)
		return 0;
	l->summary->items_gone += l->options->dry_run ? 0 : job->vanished_count;
	return mirror(l, job, e);
}

int gone_deserted(struct lane *l, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct folder_job *jobs;
	size_t count;
	int failed;

	if (l->options->deletions != DELETIONS_MIRROR || l->hold_deletions)
		return 0;
	failed = move_deserted(l, &jobs, &count, &scratch, e);
	for (size_t i = 0; i < count; i++) {
		failed = failed || mirror_deserted(l, &jobs[i], e);
		folders_job_free(&jobs[i]);
	}
	if (l->summary->planned_removals >= l->pretended)
		l->summary->planned_removals -= l->pretended;
	return failed ? -1 : 0;
}

/* ---- before anything is removed ---- */

void gone_guard(struct lane *l)
{
	uint64_t known = 0, gone = 0;
	struct folder_job mailbox = {.name = "", .target_name = ""};

	if (l->options->deletions != DELETIONS_MIRROR)
		return;
	for (size_t i = 0; i < l->job_count; i++) {
		const struct folder_job *job = &l->jobs[i];

		if (!job->usable)
			continue;
		known += ledger_alive(job->memory) + job->memory->gone;
		gone += job->vanished_count + job->memory->gone;
	}
	for (const struct ledger_folder *m = ledger_folders(l->ledger); m; m = m->next)
		if (move_is_deserted(l, m)) {
			known += ledger_alive(m) + m->gone;
			gone += ledger_alive(m) + m->gone;
		}
	if (gone <= FEW || gone * 100 <= known * l->options->deletions_limit)
		return;
	l->hold_deletions = l->summary->deletions_held = true;
	lane_exception(l, &mailbox, CAUSE_DELETIONS, (struct view){0}, "",
	    "%llu of %llu messages are not at the source any more, and the limit is %u %%: none "
	    "was "
	    "removed",
	    (unsigned long long)gone, (unsigned long long)known, l->options->deletions_limit);
}
