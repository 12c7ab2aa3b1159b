/* plan.c - what is to be done in one folder: the source's facts since the cursor, held against the
 * ledger. Before copy.c's windows. Promises: an item with a row is never planned for upload again,
 * one without is never left out; items kept in doubt wait for the end. Does not: fetch bodies. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 512u

struct planner {
	struct lane *l;
	struct folder_job *job;
	struct arena arena; /* of the batch */
	struct todo batch[BATCH];
	size_t count;
	uint64_t seen;
	size_t first; /* of todo: where this sweep began */
	char highest_text[64];
	struct view highest; /* id so far, in natural order */
	bool disorder;       /* an id came that was not above it: maybe one told twice */
};

static void *grow(void *array, size_t count, size_t *size, size_t each)
{
	if (count < *size)
		return array;
	*size = *size * 2 + 64;
	return mem_grow(array, *size, each);
}

void plan_add(struct folder_job *job, const struct todo *t)
{
	job->todo = grow(job->todo, job->todo_count, &job->todo_size, sizeof(*job->todo));
	job->todo[job->todo_count++] = *t;
}

static void plan_new(struct planner *p, const struct todo *from, unsigned was)
{
	struct todo t = *from;

	t.id = arena_copy(&p->job->arena, from->id);
	t.was = (uint8_t)was;
	plan_add(p->job, &t);
}

static void plan_change(struct planner *p, const struct ledger_row *row, uint32_t flags)
{
	struct folder_job *job = p->job;
	struct change c = {*row, flags};

	c.row.source_id = arena_copy(&job->arena, row->source_id);
	c.row.target_id = arena_copy(&job->arena, row->target_id);
	job->changes =
	    grow(job->changes, job->change_count, &job->change_size, sizeof(*job->changes));
	job->changes[job->change_count++] = c;
}

static int compare_views(const void *a, const void *b)
{
	return view_cmp(*(const struct view *)a, *(const struct view *)b);
}

static bool is_doubted(const struct folder_job *job, struct view id)
{
	return job->doubted_count &&
	       bsearch(&id, job->doubted, job->doubted_count, sizeof(*job->doubted), compare_views);
}

/* Its flags may have changed while it is in doubt, and will not be told again. */
static void keep_doubted_fact(struct folder_job *job, const struct todo *t)
{
	struct todo *copy;

	job->facts = grow(job->facts, job->fact_count, &job->fact_size, sizeof(*job->facts));
	copy = &job->facts[job->fact_count++];
	*copy = *t;
	copy->id = arena_copy(&job->arena, t->id);
}

/* A fact meets its row. */
static void judge(struct planner *p, const struct todo *t, const struct ledger_row *row)
{
	if (!row && is_doubted(p->job, t->id))
		keep_doubted_fact(p->job, t);
	else if (!row)
		plan_new(p, t, 0);
	else if (row && row->target_id.len && row->source_base != t->flags)
		plan_change(p, row, t->flags);
}

static int judge_batch(struct planner *p, struct err *e)
{
	struct ledger_row rows[BATCH];
	struct view ids[BATCH];
	bool found[BATCH];

	for (size_t i = 0; i < p->count; i++)
		ids[i] = p->batch[i].id;
	if (ledger_find(p->l->ledger, p->job->memory, ids, p->count, rows, found, &p->arena, e))
		return -1;
	for (size_t i = 0; i < p->count; i++)
		judge(p, &p->batch[i], found[i] ? &rows[i] : NULL);
	p->count = 0;
	arena_clear(&p->arena);
	return 0;
}

/* Shorter ids before longer ones: numbers in the order of their values. */
static int natural_cmp(struct view a, struct view b)
{
	return a.len != b.len ? (a.len > b.len) - (a.len < b.len) : view_cmp(a, b);
}

static void note_order(struct planner *p, struct view id)
{
	if (id.len > sizeof(p->highest_text) ||
	    (p->highest.len && natural_cmp(id, p->highest) <= 0)) {
		p->disorder = true;
		return;
	}
	memcpy(p->highest_text, id.data, id.len);
	p->highest = view_make(p->highest_text, id.len);
}

/* Of one id the one that was told first comes first. */
static int compare_todo(const void *a, const void *b)
{
	const struct todo *x = *(struct todo *const *)a, *y = *(struct todo *const *)b;
	int order = natural_cmp(x->id, y->id);

	return order ? order : (x > y) - (x < y);
}

/* A server may tell a message twice in one sweep (asked and unasked); it is one all the same. The rest
 * stays in the order told, whatever its ids look like. Returns how many were told too often. */
static uint64_t drop_twice_told(struct planner *p)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct folder_job *job = p->job;
	size_t count = job->todo_count - p->first, kept = p->first;
	struct todo *todo = job->todo + p->first, **sorted;

	if (!p->disorder || !count)
		return 0;
	sorted = arena_new(&scratch, count, sizeof(struct todo *));
	for (size_t i = 0; i < count; i++)
		sorted[i] = &todo[i];
	qsort(sorted, count, sizeof(struct todo *), compare_todo);
	for (size_t i = count - 1; i > 0; i--)
		if (!natural_cmp(sorted[i]->id, sorted[i - 1]->id))
			sorted[i]->id.len = 0; /* told before */
	for (size_t i = 0; i < count; i++)
		if (todo[i].id.len)
			job->todo[kept++] = todo[i];
	job->todo_count = kept;
	return count - (kept - p->first);
}

static int take_fact(void *arg, const struct fact *fact, struct err *e)
{
	struct planner *p = arg;

	if (fact->gone)
		return 0;
	p->seen++;
	note_order(p, fact->id);
	p->batch[p->count++] = (struct todo){.id = arena_copy(&p->arena, fact->id),
	    .size = fact->size,
	    .date = fact->date,
	    .flags = fact->flags};
	return p->count == BATCH ? judge_batch(p, e) : 0;
}

/* Refused is final until the user asks, or the size limit that refused it is another. */
static bool limit_moved(const struct lane *l, const struct ledger_folder *m)
{
	uint64_t now = lane_max_size(l);

	return m->refused && m->finished && now != m->limit && (!now || now > m->limit);
}

/* ---- items that an earlier pass owes, or shall try again ---- */

struct owed {
	struct folder_job *job;
	bool refused_too, limit_moved;
	struct ledger_row *rows;
	size_t count, size;
};

static int take_owed(void *arg, const struct ledger_row *row, struct err *e)
{
	struct owed *o = arg;

	(void)e;
	if (row->state != ROW_OWED && !(o->refused_too && row->state == ROW_REFUSED) &&
	    !(o->limit_moved && row->cause == CAUSE_TOO_BIG))
		return 0;
	if (is_doubted(o->job, row->source_id))
		return 0; /* waits for the end */
	o->rows = grow(o->rows, o->count, &o->size, sizeof(*o->rows));
	o->rows[o->count] = (struct ledger_row){
	    .source_id = arena_copy(&o->job->arena, row->source_id), .state = row->state};
	o->count++;
	return 0;
}

struct present {
	struct folder_job *job;
	const struct ledger_row *rows; /* the states they had; 0 = none */
	bool *here;
	size_t count;
};

static int compare_rows(const void *a, const void *b)
{
	return view_cmp(
	    ((const struct ledger_row *)a)->source_id, ((const struct ledger_row *)b)->source_id);
}

/* Rows are sorted by source id. */
static int take_present(void *arg, const struct fact *fact, struct err *e)
{
	struct present *p = arg;
	struct todo t = {.size = fact->size, .date = fact->date, .flags = fact->flags};
	struct ledger_row key = {.source_id = fact->id};
	const struct ledger_row *row = bsearch(&key, p->rows, p->count, sizeof(key), compare_rows);

	(void)e;
	if (!row || p->here[row - p->rows])
		return 0; /* another's, or told twice */
	p->here[row - p->rows] = true;
	t.id = arena_copy(&p->job->arena, fact->id);
	t.was = (uint8_t)row->state;
	plan_add(p->job, &t);
	return 0;
}

static int plan_owed_rows(struct lane *l, struct folder_job *job, struct owed *o, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct view *ids = arena_new(&scratch, o->count, sizeof(*ids));
	struct present p = {job, o->rows, arena_new(&scratch, o->count, sizeof(bool)), o->count};
	struct fact_sink sink = {take_present, &p};
	struct changes_ask ask = {.ids = ids, .count = o->count};
	struct changes_told told;

	qsort(o->rows, o->count, sizeof(*o->rows), compare_rows);
	for (size_t i = 0; i < o->count; i++)
		ids[i] = o->rows[i].source_id;
	if (l->from->changes(l->source, job->source, &ask, &sink, &told, e))
		return -1;
	for (size_t i = 0; i < o->count; i++)
		if (!p.here[i] && ledger_forget(l->ledger, job->memory, &o->rows[i], e))
			return -1;
	return 0;
}

static int plan_owed(struct lane *l, struct folder_job *job, struct err *e)
{
	struct owed o = {.job = job,
	    .refused_too = l->options->retry_refused,
	    .limit_moved = limit_moved(l, job->memory)};
	int failed;

	if (!job->memory->owed && !(job->memory->refused && (o.refused_too || o.limit_moved)))
		return 0;
	failed = ledger_each_row(l->ledger, job->memory, take_owed, &o, e) ||
		 (o.count && plan_owed_rows(l, job, &o, e));
	free(o.rows);
	return failed ? -1 : 0;
}

int plan_ids(
    struct lane *l, struct folder_job *job, const struct view *ids, size_t count, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct ledger_row *rows = arena_new(&scratch, count, sizeof(*rows));
	bool *found = arena_new(&scratch, count, sizeof(*found));
	struct present p = {job, rows, arena_new(&scratch, count, sizeof(bool)), count};
	struct fact_sink sink = {take_present, &p};
	struct changes_ask ask = {.ids = ids, .count = count};
	struct changes_told told;

	if (!count)
		return 0;
	if (ledger_find(l->ledger, job->memory, ids, count, rows, found, &scratch, e))
		return -1;
	for (size_t i = 0; i < count; i++)
		rows[i].source_id = ids[i];
	qsort(rows, count, sizeof(*rows), compare_rows);
	return l->from->changes(l->source, job->source, &ask, &sink, &told, e);
}

int plan_adopted(struct lane *l, struct folder_job *job, struct view id, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct planner p = {.l = l, .job = job};
	struct ledger_row row;
	bool found;

	for (size_t i = 0; i < job->fact_count; i++) {
		if (!view_eq(job->facts[i].id, id))
			continue;
		if (ledger_find(l->ledger, job->memory, &id, 1, &row, &found, &scratch, e))
			return -1;
		if (found && row.source_base != job->facts[i].flags)
			plan_change(&p, &row, job->facts[i].flags);
	}
	return 0;
}

/* ---- the folder ---- */

bool plan_is_idle(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;

	return job->source->glance_cursor && !strcmp(m->cursor.text, job->source->glance_cursor) &&
	       !m->open && !m->owed && !m->floor.text[0] &&
	       !(l->options->retry_refused && m->refused) && !limit_moved(l, m);
}

static void count_plan(struct lane *l, struct folder_job *job)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < job->todo_count; i++)
		bytes += job->todo[i].size;
	job->planned = job->todo_count;
	job->stored_before = job->stored_now;
	job->planned_bytes = bytes;
	job->bytes_before = job->bytes_now;
	l->progress.items_total += job->todo_count;
	l->progress.bytes_total += bytes;
	lane_progress(l);
}

/* A source that counts more than it lists would lose us the difference, were its cursor kept. */
static void check_complete(struct lane *l, struct folder_job *job, uint64_t seen)
{
	uint64_t total = job->told.total;

	if (!job->told.complete || seen >= total)
		return;
	lane_exception(l, job, CAUSE_UNREADABLE, (struct view){0}, "",
	    "the source counts %llu messages in the folder and lists %llu",
	    (unsigned long long)total, (unsigned long long)seen);
	l->summary->not_copied += total - seen;
	job->told.cursor = job->memory->cursor;
}

int plan_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	struct planner *p = NEW(struct planner);
	struct fact_sink sink = {take_fact, p};
	struct ledger_folder *m = job->memory;
	struct changes_ask ask = {.since = &m->cursor};
	int failed;

	p->l = l;
	p->job = job;
	failed = plan_owed(l, job, e) || (p->first = job->todo_count, 0) ||
		 l->from->changes(l->source, job->source, &ask, &sink, &job->told, e) ||
		 judge_batch(p, e);
	if (!failed)
		check_complete(l, job, p->seen - drop_twice_told(p));
	arena_free(&p->arena);
	free(p);
	if (failed)
		return -1;
	if (job->told.reset || (m->source.text[0] && !cursor_same(&job->told.cursor, &m->source)))
		return err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
		    "the source has rebuilt the folder %s since the last pass (its UIDVALIDITY "
		    "changed, or its numbers went back as after a restore), so that its messages "
		    "cannot be told from those copied before",
		    job->name);
	count_plan(l, job);
	if (m->source.text[0])
		return 0;
	m->source = job->told.cursor;
	return ledger_save_folder(l->ledger, m, e);
}
