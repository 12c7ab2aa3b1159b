/* plan.c - what is to be done in one folder: the source's facts since the cursor, held against the
 * ledger. Before copy.c's windows. Promises: an item with a row is never planned for upload again,
 * one without is never left out; items kept in doubt wait for the end; an item counts as gone only
 * when what the source counts in the folder bears it out. Does not: fetch bodies. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 512u
#define SUSPECTS 64u /* headers read to tell whether ids were given out twice */

struct planner {
	struct lane *l;
	struct folder_job *job;
	struct arena arena; /* of the batch */
	struct todo batch[BATCH];
	bool partial[BATCH]; /* of the batch: size and date were not told */
	size_t count;
	struct view *strange; /* ids without a row, told in part: the rest is asked for */
	size_t strange_count, strange_size;
	bool brief; /* some were told in part */
	uint64_t seen;
	size_t first; /* of todo: where this sweep began */
	char highest_text[64];
	struct view highest; /* id so far, in natural order */
	bool disorder;       /* an id came that was not above it: maybe one told twice */
	/* what has gone */
	uint64_t fresh;    /* facts without a row of something present */
	uint64_t *present; /* hashes of the ids told, where there are rows to hold against them */
	size_t present_count, present_size;
	struct view *went; /* ids told as gone */
	size_t went_count, went_size;
	/* items whose size is not what it was: perhaps another's id */
	struct ledger_row *suspects;
	size_t suspect_count, suspect_size;
};

void plan_add(struct folder_job *job, const struct todo *t)
{
	job->todo = mem_room(job->todo, job->todo_count, &job->todo_size, sizeof(*job->todo));
	job->todo[job->todo_count++] = *t;
}

static void plan_new(struct planner *p, const struct todo *from, unsigned was)
{
	struct todo t = *from;

	t.id = arena_copy(&p->job->arena, from->id);
	t.was = (uint8_t)was;
	plan_add(p->job, &t);
}

static const char *keep_text(struct folder_job *job, const char *text)
{
	return *text ? arena_strdup(&job->arena, text) : "";
}

void plan_change(struct folder_job *job, const struct ledger_row *row, uint32_t flags)
{
	struct change c = {*row, flags};

	c.row.source_id = arena_copy(&job->arena, row->source_id);
	c.row.target_id = arena_copy(&job->arena, row->target_id);
	c.row.reason = keep_text(job, row->reason);
	job->changes =
	    mem_room(job->changes, job->change_count, &job->change_size, sizeof(*job->changes));
	job->changes[job->change_count++] = c;
}

static bool is_doubted(const struct folder_job *job, struct view id)
{
	return job->doubted_count &&
	       bsearch(&id, job->doubted, job->doubted_count, sizeof(*job->doubted), view_cmp_sort);
}

/* Its flags may have changed while it is in doubt, and will not be told again. */
void plan_keep_fact(struct folder_job *job, const struct todo *t)
{
	struct todo *copy;

	job->facts = mem_room(job->facts, job->fact_count, &job->fact_size, sizeof(*job->facts));
	copy = &job->facts[job->fact_count++];
	*copy = *t;
	copy->id = arena_copy(&job->arena, t->id);
}

static struct ledger_row keep_row(struct folder_job *job, const struct ledger_row *row)
{
	struct ledger_row copy = *row;

	copy.source_id = arena_copy(&job->arena, row->source_id);
	copy.target_id = arena_copy(&job->arena, row->target_id);
	copy.reason = keep_text(job, row->reason);
	return copy;
}

static void suspect(struct planner *p, const struct ledger_row *row)
{
	if (!ledger_has_digest(row))
		return; /* nothing to hold against it */
	p->suspects =
	    mem_room(p->suspects, p->suspect_count, &p->suspect_size, sizeof(*p->suspects));
	p->suspects[p->suspect_count++] = keep_row(p->job, row);
}

static void ask_rest(struct planner *p, struct view id)
{
	p->strange = mem_room(p->strange, p->strange_count, &p->strange_size, sizeof(*p->strange));
	p->strange[p->strange_count++] = arena_copy(&p->job->arena, id);
}

/* A fact meets its row. */
static int judge(struct planner *p, const struct todo *t, bool partial,
    const struct ledger_row *row, struct err *e)
{
	struct ledger_row known;

	p->fresh += !row || row->gone;
	if (!row && is_doubted(p->job, t->id))
		plan_keep_fact(p->job, t);
	else if (!row && partial)
		ask_rest(p, t->id);
	else if (!row)
		plan_new(p, t, 0);
	if (!row)
		return 0;
	known = *row;
	if (row->size && t->size && row->size != t->size)
		suspect(p, row);
	if (!row->size && t->size && !p->l->options->dry_run) {
		known.size = t->size;
		if (ledger_rebase(p->l->ledger, p->job->memory, &known, e))
			return -1;
	}
	if (row->target_id.len && row->source_base != t->flags)
		plan_change(p->job, &known, t->flags);
	if (row->gone && !p->l->options->dry_run) /* it is back */
		return ledger_gone(p->l->ledger, p->job->memory, &known, false, e);
	return 0;
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
		if (judge(p, &p->batch[i], p->partial[i], found[i] ? &rows[i] : NULL, e))
			return -1;
	p->count = 0;
	arena_clear(&p->arena);
	return 0;
}

static void note_order(struct planner *p, struct view id)
{
	if (id.len > sizeof(p->highest_text) ||
	    (p->highest.len && view_cmp_natural(id, p->highest) <= 0)) {
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
	int order = view_cmp_natural(x->id, y->id);

	return order ? order : (x > y) - (x < y);
}

/* A server may tell a message twice in one sweep (asked and unasked); it is one all the same. The rest
 * stays in the order told, whatever its ids look like. Returns how many were told too often. */
static uint64_t drop_twice_told(struct planner *p)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct folder_job *job = p->job;
	size_t count = job->todo_count - p->first, kept = p->first;
	struct todo *todo, **sorted;

	if (!p->disorder || !count)
		return 0;
	todo = job->todo + p->first;
	sorted = arena_new(&scratch, count, sizeof(struct todo *));
	for (size_t i = 0; i < count; i++)
		sorted[i] = &todo[i];
	qsort(sorted, count, sizeof(struct todo *), compare_todo);
	for (size_t i = count - 1; i > 0; i--)
		if (!view_cmp_natural(sorted[i]->id, sorted[i - 1]->id))
			sorted[i]->id.len = 0; /* told before */
	for (size_t i = 0; i < count; i++)
		if (todo[i].id.len)
			job->todo[kept++] = todo[i];
	job->todo_count = kept;
	return count - (kept - p->first);
}

/* FNV-1a. Two ids of one hash would make a gone item seem present: it is only kept. */
static uint64_t hash_id(struct view id)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < id.len; i++)
		hash = (hash ^ (unsigned char)id.data[i]) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t object_of(const struct fact *fact)
{
	return fact->object.len ? hash_id(fact->object) >> 1 : 0; /* JSON has 63 bits */
}

static void note_present(struct planner *p, struct view id)
{
	if (!ledger_alive(p->job->memory))
		return; /* nothing can have gone */
	p->present = mem_room(p->present, p->present_count, &p->present_size, sizeof(*p->present));
	p->present[p->present_count++] = hash_id(id);
}

static void note_gone(struct planner *p, struct view id)
{
	p->went = mem_room(p->went, p->went_count, &p->went_size, sizeof(*p->went));
	p->went[p->went_count++] = arena_copy(&p->job->arena, id);
}

static int take_fact(void *arg, const struct fact *fact, struct err *e)
{
	struct planner *p = arg;

	if (fact->gone) {
		note_gone(p, fact->id);
		return 0;
	}
	p->seen++;
	note_present(p, fact->id);
	note_order(p, fact->id);
	p->partial[p->count] = fact->partial;
	p->brief = p->brief || fact->partial;
	p->batch[p->count++] = (struct todo){.id = arena_copy(&p->arena, fact->id),
	    .size = fact->size,
	    .object = object_of(fact),
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
	const struct lane *l;
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
	    !(row->state == ROW_REFUSED && lane_may_repair(o->l, row->cause)) &&
	    !(o->limit_moved && row->cause == CAUSE_TOO_BIG))
		return 0;
	if (is_doubted(o->job, row->source_id))
		return 0; /* waits for the end */
	o->rows = mem_room(o->rows, o->count, &o->size, sizeof(*o->rows));
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

/* An answer can leave one out: those that were not told count as gone only when they are asked for once
 * more (check_gone). */
static void doubt_absent(struct folder_job *job, const struct present *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (!p->here[i])
			check_doubt_gone(job, &(struct window_item){.id = p->rows[i].source_id,
						  .was = p->rows[i].state});
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
	if (!l->options->dry_run)
		doubt_absent(job, &p);
	return 0;
}

static int plan_owed(struct lane *l, struct folder_job *job, struct err *e)
{
	struct owed o = {.l = l,
	    .job = job,
	    .refused_too = l->options->retry_refused,
	    .limit_moved = limit_moved(l, job->memory)};
	int failed;

	if (!job->memory->owed &&
	    !(job->memory->refused && (o.refused_too || o.limit_moved || l->options->repair)))
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
	if (l->from->changes(l->source, job->source, &ask, &sink, &told, e))
		return -1;
	doubt_absent(job, &p);
	return 0;
}

int plan_adopted(struct lane *l, struct folder_job *job, struct view id, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct ledger_row row;
	bool found;

	for (size_t i = 0; i < job->fact_count; i++) {
		if (!view_eq(job->facts[i].id, id))
			continue;
		if (ledger_find(l->ledger, job->memory, &id, 1, &row, &found, &scratch, e))
			return -1;
		if (found && row.source_base != job->facts[i].flags)
			plan_change(job, &row, job->facts[i].flags);
	}
	return 0;
}

/* ---- the folder ---- */

bool plan_is_idle(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;

	return job->source->glance_cursor && !strcmp(m->cursor.text, job->source->glance_cursor) &&
	       !m->open && !m->owed && !m->floor.text[0] && !job->source_reset &&
	       !job->target_reset && !reconcile_is_due(l, job) &&
	       !(l->options->deletions == DELETIONS_MIRROR && m->gone) &&
	       !((l->options->retry_refused || l->options->repair) && m->refused) &&
	       !limit_moved(l, m);
}

void plan_count(struct lane *l, struct folder_job *job)
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
static void check_complete(struct folder_job *job, uint64_t seen)
{
	if (!job->told.complete || seen >= job->told.total)
		return;
	job->unlisted = job->told.total - seen;
	job->cursor_stays = true;
}

void plan_tell_unlisted(struct lane *l, const struct folder_job *job)
{
	uint64_t total = job->told.total;

	if (!job->unlisted)
		return;
	lane_exception(l, job, CAUSE_UNREADABLE, (struct view){0}, "",
	    "the source counts %llu messages in the folder and lists %llu",
	    (unsigned long long)total, (unsigned long long)(total - job->unlisted));
	l->summary->not_copied += job->unlisted;
}

/* ---- what has gone ---- */

void plan_vanish(struct folder_job *job, const struct ledger_row *row)
{
	job->vanished = mem_room(
	    job->vanished, job->vanished_count, &job->vanished_size, sizeof(*job->vanished));
	job->vanished[job->vanished_count++] = keep_row(job, row);
}

static int compare_hashes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int take_alive(void *arg, const struct ledger_row *row, struct err *e)
{
	struct planner *p = arg;
	uint64_t hash = hash_id(row->source_id);

	(void)e;
	if (!row->gone && !(p->present_count && bsearch(&hash, p->present, p->present_count,
						    sizeof(hash), compare_hashes)))
		plan_vanish(p->job, row);
	return 0;
}

/* Rows whose ids were not among those told. */
static int find_absent(struct planner *p, struct err *e)
{
	if (p->present_count)
		qsort(p->present, p->present_count, sizeof(*p->present), compare_hashes);
	return ledger_each_row(p->l->ledger, p->job->memory, take_alive, p, e);
}

static int take_id(void *arg, const struct fact *fact, struct err *e)
{
	(void)e;
	if (!fact->gone)
		note_present(arg, fact->id);
	return 0;
}

/* All ids there are; an answer that is shorter than the folder proves nothing. */
static int list_ids(struct planner *p, struct err *e)
{
	struct changes_ask ask = {.only_ids = true};
	struct fact_sink sink = {take_id, p};
	struct changes_told told;

	p->present_count = 0;
	p->job->vanished_count = 0;
	if (p->l->from->changes(p->l->source, p->job->source, &ask, &sink, &told, e))
		return -1;
	return p->present_count < told.total ? 0 : find_absent(p, e);
}

/* What the source says has gone, as far as it is ours and was there. */
static int take_went(struct planner *p, struct err *e)
{
	struct ledger_row rows[BATCH];
	bool found[BATCH];
	size_t kept = 0;

	if (p->went_count)
		qsort(p->went, p->went_count, sizeof(*p->went), view_cmp_sort);
	for (size_t i = 0; i < p->went_count; i++)
		if (!kept || !view_eq(p->went[i], p->went[kept - 1]))
			p->went[kept++] = p->went[i];
	p->went_count = kept;
	for (size_t at = 0; at < p->went_count; at += BATCH) {
		size_t count = p->went_count - at < BATCH ? p->went_count - at : BATCH;

		if (ledger_find(p->l->ledger, p->job->memory, p->went + at, count, rows, found,
			&p->arena, e))
			return -1;
		for (size_t i = 0; i < count; i++)
			if (found[i] && !rows[i].gone)
				plan_vanish(p->job, &rows[i]);
		arena_clear(&p->arena);
	}
	return 0;
}

/* What it tells of the gone is believed when the numbers agree; else all ids are asked for. */
static int find_gone(struct planner *p, uint64_t twice_told, struct err *e)
{
	struct folder_job *job = p->job;
	uint64_t alive = ledger_alive(job->memory), fresh = p->fresh - twice_told;

	if (!alive)
		return 0;
	if (job->told.complete)
		return p->seen - twice_told < job->told.total ? 0 : find_absent(p, e);
	if (job->told.gone_told && take_went(p, e))
		return -1;
	if (alive - job->vanished_count + fresh == job->told.total)
		return 0;
	return list_ids(p, e);
}

/* ---- ids given out twice ---- */

struct proof {
	const struct planner *p;
	bool other;
};

static int take_proof(void *arg, const struct fact *fact, struct err *e)
{
	struct proof *proof = arg;

	(void)e;
	for (size_t i = 0; fact->has_identity && i < proof->p->suspect_count; i++)
		if (view_eq(proof->p->suspects[i].source_id, fact->id))
			proof->other |= memcmp(proof->p->suspects[i].digest, fact->identity.header,
					    sizeof(fact->identity.header)) != 0;
	return 0;
}

/* A server that was restored and has given out so many ids since that its numbers are above those we
 * knew: the highest that we have tell. It can only be so where something is new. */
static int suspect_highest(struct planner *p, struct err *e)
{
	struct ledger_row rows[TOPS];
	size_t count;

	if (!p->fresh || (p->job->told.complete && !p->brief))
		return 0; /* or the sizes of all were seen */
	if (ledger_tops(p->l->ledger, p->job->memory, rows, &count, &p->arena, e))
		return -1;
	for (size_t i = 0; i < count; i++)
		suspect(p, &rows[i]);
	return 0;
}

/* A message never changes its size: where one seems to, its header tells whether it is the one that
 * we knew. */
static int check_suspects(struct planner *p, struct err *e)
{
	struct proof proof = {p, false};
	struct view ids[SUSPECTS];
	struct changes_ask ask = {.identity = true, .ids = ids};
	struct fact_sink sink = {take_proof, &proof};
	struct changes_told told;

	for (size_t i = 0; i < p->suspect_count && ask.count < SUSPECTS; i++)
		ids[ask.count++] = p->suspects[i].source_id;
	if (ask.count && p->l->from->changes(p->l->source, p->job->source, &ask, &sink, &told, e))
		return -1;
	p->job->told.back = p->job->told.back || proof.other;
	return 0;
}

/* ---- the sweep ---- */

static int take_strange(void *arg, const struct fact *fact, struct err *e)
{
	struct todo t = {.id = fact->id,
	    .size = fact->size,
	    .object = object_of(fact),
	    .date = fact->date,
	    .flags = fact->flags};

	(void)e;
	if (!fact->gone)
		plan_new(arg, &t, 0);
	return 0;
}

/* Items that the cursor passed, and have no row all the same. */
static int plan_strange(struct planner *p, struct err *e)
{
	struct changes_ask ask = {.ids = p->strange, .count = p->strange_count};
	struct fact_sink sink = {take_strange, p};
	struct changes_told told;

	return ask.count && p->l->from->changes(p->l->source, p->job->source, &ask, &sink, &told, e)
		   ? -1
		   : 0;
}

struct changes_ask plan_ask(const struct folder_job *job)
{
	return (struct changes_ask){.since = &job->memory->cursor, .gone = true, .partial = true};
}

static int ask_changes(struct planner *p, struct err *e)
{
	struct lane *l = p->l;
	struct folder_job *job = p->job;
	struct changes_ask ask = plan_ask(job);
	struct fact_sink sink = {take_fact, p};

	return job->early ? early_tell(l, job, &sink, &job->told, e)
			  : l->from->changes(l->source, job->source, &ask, &sink, &job->told, e);
}

static int sweep(struct planner *p, struct err *e)
{
	struct lane *l = p->l;
	struct folder_job *job = p->job;
	uint64_t twice_told;

	if (plan_owed(l, job, e))
		return -1;
	p->first = job->todo_count;
	if (ask_changes(p, e) || judge_batch(p, e) || suspect_highest(p, e) || check_suspects(p, e))
		return -1;
	if (job->told.reset || job->told.back)
		return 0;
	if (plan_strange(p, e))
		return -1;
	twice_told = drop_twice_told(p);
	check_complete(job, p->seen - twice_told);
	return find_gone(p, twice_told, e);
}

int plan_is_other(struct folder_job *job, struct err *e)
{
	job->source_reset = true;
	return err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
	    "the folder %s is made anew at the source again and again (its UIDVALIDITY "
	    "changes, or its numbers go back)",
	    job->name);
}

int plan_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	struct planner *p = NEW(struct planner);
	struct ledger_folder *m = job->memory;
	int failed;

	p->l = l;
	p->job = job;
	failed = sweep(p, e);
	arena_free(&p->arena);
	free(p->present);
	free(p->went);
	free(p->suspects);
	free(p->strange);
	free(p);
	if (failed)
		return -1;
	if (job->told.reset || job->told.back ||
	    (m->source.text[0] && !cursor_same(&job->told.cursor, &m->source)))
		return plan_is_other(job, e);
	if (m->source.text[0] || l->options->dry_run)
		return 0;
	m->source = job->told.cursor;
	return ledger_save_folder(l->ledger, m, e);
}
