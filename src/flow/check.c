/* check.c - is it all there? Behind the windows of copy.c: what was stored in this pass is held
 * against what the destination shows now. This is what "checked" means in the report. Promises:
 * each stored item is either seen, or named as missing; each difference is named. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#include "model/identity.h"

#define SAMPLE 3u /* messages of a folder that are read back, to know the destination */
#define SAMPLE_BYTES (1u << 16) /* larger ones are not */

int check_same_target(
    struct lane *l, struct folder_job *job, const struct cursor *now, struct err *e)
{
	struct ledger_folder *m = job->memory;
	bool first = !m->target.text[0];

	if (!first && (!cursor_same(now, &m->target) || cursor_went_back(now, &m->target))) {
		job->target_reset = true;
		return err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
		    "the folder %s is made anew at the destination again and again (its "
		    "UIDVALIDITY changes)",
		    job->target_name);
	}
	m->target = *now;
	return first && !l->options->dry_run ? ledger_save_folder(l->ledger, m, e) : 0;
}

int check_still_ahead(struct folder_job *job, const struct cursor *now, struct err *e)
{
	uint64_t next = cursor_next_id(now), id;

	for (size_t i = 0; next && i < job->stored_count; i++) {
		if (view_number(job->stored[i].target_id, &id) || id < next)
			continue;
		job->target_reset = true;
		return err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
		    "the folder %s went back in time at the destination, again and again",
		    job->target_name);
	}
	return 0;
}

void check_expect(struct folder_job *job, const struct expectation *x)
{
	struct expectation *copy;

	job->stored =
	    mem_room(job->stored, job->stored_count, &job->stored_size, sizeof(*job->stored));
	copy = &job->stored[job->stored_count++];
	*copy = *x;
	copy->source_id = arena_copy(&job->stored_arena, x->source_id);
	copy->target_id = arena_copy(&job->stored_arena, x->target_id);
	copy->msgid = arena_strdup(&job->stored_arena, x->msgid);
}

void check_forget(struct folder_job *job)
{
	job->stored_count = 0;
	arena_clear(&job->stored_arena);
}

struct checker {
	struct lane *l;
	struct folder_job *job;
	/* how faithful the destination is: of those seen */
	uint64_t compared, dates_off, keywords_off, rewritten;
};

static void compare_flags(struct checker *c, const struct expectation *x, const struct fact *fact)
{
	struct lane *l = c->l;
	uint32_t missing = flags_minus(l->flags, x->flags_told, fact->flags);

	c->keywords_off += flags_has_keywords(l->flags, missing);
	if (missing != FLAGS_NONE)
		lane_exception(l, c->job, CAUSE_FLAGS, x->source_id, x->msgid,
		    "the destination does not show: %s", flags_text(l->flags, missing));
}

/* Tell the differences between what was sent and what is there. */
static void check_compare(struct checker *c, const struct expectation *x, const struct fact *fact)
{
	struct lane *l = c->l;
	struct folder_job *job = c->job;
	bool date_off =
	    x->date_told.known && (!fact->date.known || fact->date.instant != x->date_told.instant);

	if (x->earlier) {
		compare_flags(c, x, fact);
		return;
	}
	c->compared++;
	c->dates_off += date_off;
	if (!x->date_told.known)
		lane_exception(l, job, CAUSE_DATE, x->source_id, x->msgid,
		    "the source gave no arrival date that can be read%s",
		    x->date.known ? "; that of its header was taken" : "");
	if (date_off)
		lane_exception(l, job, CAUSE_DATE, x->source_id, x->msgid,
		    "its arrival date is %lld seconds off at the destination",
		    (long long)(fact->date.instant - x->date_told.instant));
	compare_flags(c, x, fact);
	if (fact->size != x->identity.size)
		lane_exception(l, job, CAUSE_ALTERED, x->source_id, x->msgid,
		    "%llu bytes were sent, the destination has %llu%s",
		    (unsigned long long)x->identity.size, (unsigned long long)fact->size,
		    fact->size == x->identity.canonical_size ? " (line ends were made CRLF)" : "");
}

static int take_unchecked(void *arg, const struct ledger_row *row, struct err *e)
{
	struct checker *c = arg;
	struct expectation x = {.source_id = row->source_id,
	    .target_id = row->target_id,
	    .flags = row->target_base,
	    .flags_told = row->source_base,
	    .msgid = "",
	    .uncounted = row->pass != ledger_pass(c->l->ledger), /* else a lost lane counted it */
	    .earlier = true};

	(void)e;
	if (row->pass <= c->job->memory->finished)
		return 0;
	if (row->target_id.len && row->state != ROW_FOUND)
		check_expect(c->job, &x);
	if (ledger_is_repaired(row)) /* perhaps it could not be told any more */
		lane_exception(c->l, c->job, CAUSE_REPAIRED, row->source_id, "", "%s", row->reason);
	return 0;
}

int check_recall(struct lane *l, struct folder_job *job, struct err *e)
{
	struct checker c = {.l = l, .job = job};
	bool first = !job->recalled;

	job->recalled = true; /* what this run stores it expects by itself */
	if (!first || !job->memory->floor.text[0])
		return 0;
	job->floor = job->memory->floor;
	return ledger_each_row(l->ledger, job->memory, take_unchecked, &c, e);
}

/* ---- what is there ---- */

static int by_target(const void *a, const void *b)
{
	return view_cmp(
	    ((const struct expectation *)a)->target_id, ((const struct expectation *)b)->target_id);
}

/* The base is what the destination showed, where that is not what was assumed. */
static int correct_base(
    struct checker *c, const struct expectation *x, uint32_t flags, struct err *e)
{
	struct ledger_row row;
	bool found;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	if (flags == x->flags)
		return 0;
	if (ledger_find(c->l->ledger, c->job->memory, &x->source_id, 1, &row, &found, &scratch, e))
		return -1;
	if (!found)
		return 0;
	row.target_base = flags;
	row.target_assumed = false;
	return ledger_rebase(c->l->ledger, c->job->memory, &row, e);
}

static int take_fact(void *arg, const struct fact *fact, struct err *e)
{
	struct checker *c = arg;
	struct folder_job *job = c->job;
	struct expectation key = {.target_id = fact->id};
	struct expectation *x =
	    bsearch(&key, job->stored, job->stored_count, sizeof(key), by_target);

	if (!x || x->found)
		return 0;
	x->found = true;
	c->l->summary->items_checked += !x->uncounted;
	check_compare(c, x, fact);
	return correct_base(c, x, fact->flags, e);
}

/* ---- read back: what servers are known to change, and the first messages of each folder ---- */

static bool same_digest(const unsigned char a[16], const unsigned char b[16])
{
	static const unsigned char unknown[16];

	return !memcmp(a, unknown, sizeof(unknown)) || !memcmp(b, unknown, sizeof(unknown)) ||
	       !memcmp(a, b, sizeof(unknown));
}

static int take_whole(void *arg, const struct fact *fact, struct err *e)
{
	struct checker *c = arg;
	struct expectation key = {.target_id = fact->id};
	struct expectation *x =
	    bsearch(&key, c->job->stored, c->job->stored_count, sizeof(key), by_target);

	(void)e;
	if (!x || !x->found || x->read || !fact->has_identity)
		return 0;
	x->read = true;
	if (x->identity.odd && fact->size == x->identity.size &&
	    memcmp(fact->identity.exact, x->identity.exact, sizeof(x->identity.exact)))
		lane_exception(c->l, c->job, CAUSE_ALTERED, x->source_id, x->msgid,
		    "some bytes differ at the destination, at the same length (8-bit header or "
		    "NUL)");
	if (same_digest(fact->identity.body, x->identity.body))
		return 0;
	c->rewritten++;
	if (fact->size == x->identity.size && !x->identity.odd) /* else it is listed already */
		lane_exception(c->l, c->job, CAUSE_ALTERED, x->source_id, x->msgid,
		    "some bytes differ at the destination, at the same length");
	return 0;
}

/* What is to be read back, to IDS. */
static size_t choose_whole(const struct folder_job *job, bool first, struct view *ids)
{
	size_t count = 0, sample = 0;

	for (size_t i = 0; i < job->stored_count; i++) {
		const struct expectation *x = &job->stored[i];
		bool chosen =
		    first && sample < SAMPLE && !x->earlier && x->identity.size <= SAMPLE_BYTES;

		if (!x->identity.odd && !chosen)
			continue;
		sample += chosen;
		ids[count++] = x->target_id;
	}
	return count;
}

/* Said once a folder, and remembered: identification relies on it. */
static void tell_fidelity(struct checker *c)
{
	struct lane *l = c->l;
	unsigned seen = FIDELITY_SEEN;

	if (c->rewritten)
		seen |= FIDELITY_REWRITES;
	if (c->compared >= SAMPLE && c->dates_off == c->compared)
		seen |= FIDELITY_DATES;
	if (c->keywords_off)
		seen |= FIDELITY_KEYWORDS;
	c->job->memory->fidelity = seen;
	if (seen != FIDELITY_SEEN)
		lane_note(l, "%s: the destination%s%s%s", c->job->name,
		    seen & FIDELITY_REWRITES ? " changes messages while it stores them;" : "",
		    seen & FIDELITY_DATES ? " gives messages dates of its own;" : "",
		    seen & FIDELITY_KEYWORDS ? " drops keywords;" : "");
}

/* One flight where that can be; what did not go in it is asked for by itself. */
static int look_and_read_back(struct checker *c, struct changes_told *told, struct err *e)
{
	struct lane *l = c->l;
	struct folder_job *job = c->job;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct view *ids = arena_new(&scratch, job->stored_count, sizeof(*ids));
	bool first = !(job->memory->fidelity & FIDELITY_SEEN);
	struct changes_ask look = {.since = &job->floor, .only_new = true};
	struct changes_ask read = {
	    .digest = true, .ids = ids, .count = choose_whole(job, first, ids)};
	struct fact_sink looked = {take_fact, c}, whole = {take_whole, c};
	struct asking both[] = {{.folder = &job->target, .ask = &look, .sink = &looked},
	    {.folder = &job->target, .ask = &read, .sink = &whole}};

	if (read.count && job->floor.text[0] && l->to->changes_all &&
	    l->to->changes_all(l->destination, both, 2, e))
		return -1;
	*told = both[0].told;
	if (!both[0].done && l->to->changes(l->destination, &job->target, &look, &looked, told, e))
		return -1;
	if (check_same_target(l, job, &told->cursor, e))
		return -1;
	if (read.count && !(both[0].done && both[1].done) &&
	    l->to->changes(l->destination, &job->target, &read, &whole, &both[1].told, e))
		return -1;
	if (first && read.count)
		tell_fidelity(c);
	return 0;
}

static void tell_missing(struct lane *l, struct folder_job *job)
{
	for (size_t i = 0; i < job->stored_count; i++)
		if (!job->stored[i].found)
			lane_exception(l, job, CAUSE_MISSING, job->stored[i].source_id,
			    job->stored[i].msgid,
			    "the destination took it, and does not show it any more");
}

int check_stored(struct lane *l, struct folder_job *job, struct err *e)
{
	struct checker c = {.l = l, .job = job};
	struct changes_told told;

	if (!job->stored_count)
		return 0;
	l->progress.phase = COPY_CHECKING;
	lane_progress(l);
	l->progress.phase = COPY_COPYING;
	qsort(job->stored, job->stored_count, sizeof(*job->stored), by_target);
	if (look_and_read_back(&c, &told, e))
		return -1;
	tell_missing(l, job);
	check_forget(job);
	if (!job->memory->open)
		job->floor = told.cursor; /* the next check begins here */
	return 0;
}

/* ---- items the source said nothing about ---- */

void check_doubt_gone(struct folder_job *job, const struct window_item *item)
{
	struct window_item *copy;

	job->gone = mem_room(job->gone, job->gone_count, &job->gone_size, sizeof(*job->gone));
	copy = &job->gone[job->gone_count++];
	*copy = *item;
	copy->id = arena_copy(&job->arena, item->id);
	copy->stored_id = (struct view){0};
	copy->msgid = "";
	copy->cause = CAUSE_UNREADABLE;
	copy->reason = "the source lists it, and does not give it";
	copy->state = ITEM_GONE;
}

static int take_still_there(void *arg, const struct fact *fact, struct err *e)
{
	struct folder_job *job = arg;

	(void)e;
	for (size_t i = 0; i < job->gone_count; i++)
		if (view_eq(job->gone[i].id, fact->id))
			job->gone[i].state = ITEM_UNREADABLE;
	return 0;
}

static int settle_gone(
    struct lane *l, struct folder_job *job, const struct window_item *item, struct err *e)
{
	if (item->state == ITEM_UNREADABLE) {
		lane_exception(l, job, item->cause, item->id, "", "%s", item->reason);
		return ledger_refuse(l->ledger, job->memory, item, ROW_OWED, e);
	}
	lane_exception(l, job, CAUSE_GONE, item->id, "",
	    "it was deleted at the source before it could be read");
	return item->was ? ledger_forget(l->ledger, job->memory,
			       &(struct ledger_row){.source_id = item->id, .state = item->was}, e)
			 : 0;
}

int check_gone(struct lane *l, struct folder_job *job, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct view *ids = arena_new(&scratch, job->gone_count, sizeof(*ids));
	struct changes_ask ask = {.ids = ids, .count = job->gone_count};
	struct fact_sink sink = {take_still_there, job};
	struct changes_told told;

	if (!job->gone_count)
		return 0;
	for (size_t i = 0; i < job->gone_count; i++)
		ids[i] = job->gone[i].id;
	if (l->from->changes(l->source, job->source, &ask, &sink, &told, e))
		return -1;
	for (size_t i = 0; i < job->gone_count; i++)
		if (settle_gone(l, job, &job->gone[i], e))
			return -1;
	job->gone_count = 0;
	return 0;
}

/* ---- what earlier passes could not copy ---- */

static int take_standing(void *arg, const struct ledger_row *row, struct err *e)
{
	struct checker *c = arg;

	(void)e;
	if ((row->state == ROW_REFUSED || row->state == ROW_OWED) &&
	    row->pass != ledger_pass(c->l->ledger))
		lane_exception(c->l, c->job, row->cause, row->source_id, "", "%s", row->reason);
	return 0;
}

int check_standing(struct lane *l, struct folder_job *job, struct err *e)
{
	struct checker c = {.l = l, .job = job};

	l->summary->not_copied += job->memory->refused + job->memory->owed;
	l->summary->items_before += job->memory->stored - job->stored_now;
	if (job->memory->found > job->found_now)
		l->summary->items_before += job->memory->found - job->found_now;
	if (!job->memory->refused && !job->memory->owed)
		return 0;
	return ledger_each_row(l->ledger, job->memory, take_standing, &c, e);
}
