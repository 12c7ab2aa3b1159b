/* reconcile.c - when ids have lost their meaning, or never had one. Before the plan of a folder. Three
 * occasions: a destination folder that held messages before our first pass (by hand, another tool,
 * a lost ledger); a folder whose server gave it new ids (UIDVALIDITY); a server that was restored
 * from a backup and gives ids out a second time.
 *
 * Both folders' headers are read. Rows find their items again by id where ids still count, else by
 * header digest; source items without a row are then held against what nobody owns at the
 * destination: one of a kind with a Message-ID and the same size is recognised at once, the others
 * only when their bodies were read on both sides and are the same.
 *
 * Promises: an item that is at both ends is not copied again; one that is not at the destination is
 * never taken for copied; the ledger's folder changes at one instant. In a dry
 * run the plan is made of what was found, and the ledger left alone. Does not: copy or remove. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#include "model/identity.h"

#define LOOKS 3 /* at a folder that counts more than it tells */

struct thing {
	struct view id;
	struct identity identity;
	uint32_t flags;
	bool taken;
	bool read; /* its body shall be read */
};

struct things {
	struct thing *list;       /* in the order of ids */
	struct thing **by_header; /* in the order of headers; within one in that of the folder */
	size_t count, size;
	struct arena *arena;
};

struct memory {
	struct ledger_row row;
	struct view old_id; /* of the source; old rows are in the order of it */
	struct thing *source, *target;
	bool kept;
	bool unlocated; /* stored in this pass, and its id was not told */
};

struct reconciler {
	struct lane *l;
	struct folder_job *job;
	bool source_other, target_other; /* ids there mean other items than in the rows */
	struct things source, target;
	struct memory *rows;
	size_t row_count, row_size, old_count; /* old rows come first */
	uint64_t found;                        /* recognised without a row */
	uint64_t lost; /* rows whose copy is not at the destination any more */
	struct arena arena;
};

/* ---- gathering ---- */

static int take_thing(void *arg, const struct fact *fact, struct err *e)
{
	struct things *t = arg;
	struct thing *new;

	(void)e;
	if (fact->gone)
		return 0;
	t->list = mem_room(t->list, t->count, &t->size, sizeof(*t->list));
	new = &t->list[t->count++];
	*new = (struct thing){.id = arena_copy(t->arena, fact->id), .flags = fact->flags};
	if (fact->has_identity)
		new->identity = fact->identity;
	new->identity.size = fact->size;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return view_cmp(((const struct thing *)a)->id, ((const struct thing *)b)->id);
}

static int compare_headers(const unsigned char *a, const unsigned char *b)
{
	return memcmp(a, b, sizeof(((struct identity *)0)->header));
}

static int by_header(const void *a, const void *b)
{
	const struct thing *x = *(struct thing *const *)a, *y = *(struct thing *const *)b;
	int order = compare_headers(x->identity.header, y->identity.header);

	return order ? order : view_cmp_natural(x->id, y->id);
}

/* All that is there. Who counts more than it tells is asked again: what is not told would be taken for
 * gone, and be copied a second time when it is. */
static int gather_facts(const struct connector *c, struct session *s, const struct folder *f,
    struct things *out, struct cursor *cursor, struct err *e)
{
	struct changes_ask ask = {.identity = true};
	struct fact_sink sink = {take_thing, out};
	struct changes_told told;
	size_t kept = 0;

	for (int look = 0; look < LOOKS && (!look || kept < told.total); look++) {
		out->count = kept = 0;
		if (c->changes(s, f, &ask, &sink, &told, e))
			return -1;
		if (out->count)
			qsort(out->list, out->count, sizeof(*out->list), by_id);
		for (size_t i = 0; i < out->count; i++) /* one told twice is one */
			if (!kept || by_id(&out->list[i], &out->list[kept - 1]))
				out->list[kept++] = out->list[i];
	}
	out->count = kept;
	*cursor = told.cursor;
	return 0;
}

static int gather(const struct connector *c, struct session *s, const struct folder *f,
    struct things *out, struct cursor *cursor, struct err *e)
{
	size_t kept;

	if (gather_facts(c, s, f, out, cursor, e))
		return -1;
	kept = out->count;
	out->by_header = arena_new(out->arena, kept + 1, sizeof(struct thing *));
	for (size_t i = 0; i < kept; i++)
		out->by_header[i] = &out->list[i];
	if (kept)
		qsort(out->by_header, kept, sizeof(struct thing *), by_header);
	return 0;
}

static int take_row(void *arg, const struct ledger_row *row, struct err *e)
{
	struct reconciler *r = arg;
	struct memory *m;

	(void)e;
	r->rows = mem_room(r->rows, r->row_count, &r->row_size, sizeof(*r->rows));
	m = &r->rows[r->row_count++];
	*m = (struct memory){.row = *row};
	m->row.source_id = m->old_id = arena_copy(&r->arena, row->source_id);
	m->row.target_id = arena_copy(&r->arena, row->target_id);
	m->row.reason = arena_strdup(&r->arena, row->reason);
	m->unlocated = row->state == ROW_STORED && !row->target_id.len &&
		       row->pass == ledger_pass(r->l->ledger) &&
		       !move_was_placed(r->job, row->source_id);
	return 0;
}

/* ---- rows find their items ---- */

static struct thing *find_id(const struct things *t, struct view id)
{
	struct thing key = {.id = id};

	return t->count && id.len ? bsearch(&key, t->list, t->count, sizeof(key), by_id) : NULL;
}

/* DIGEST: of the row, as its header is at the source, or as it was sent. */
static bool is_header_of(
    const struct ledger_row *row, const unsigned char *digest, const struct thing *t)
{
	return !ledger_has_digest(row) || !compare_headers(digest, t->identity.header);
}

/* By id, where ids still mean what they meant. */
static void match_ids(struct reconciler *r)
{
	for (size_t i = 0; i < r->row_count; i++) {
		struct memory *m = &r->rows[i];
		struct thing *s = find_id(&r->source, m->row.source_id);
		struct thing *t = find_id(&r->target, m->row.target_id);

		if (s && !s->taken && !r->source_other)
			(m->source = s)->taken = true;
		if (t && !t->taken && !r->target_other)
			(m->target = t)->taken = true;
	}
}

/* After a restore most ids still mean the same: the header tells. */
static void match_proven_ids(struct reconciler *r)
{
	for (size_t i = 0; i < r->row_count; i++) {
		struct memory *m = &r->rows[i];
		struct thing *s = m->source ? NULL : find_id(&r->source, m->row.source_id);
		struct thing *t = m->target ? NULL : find_id(&r->target, m->row.target_id);

		if (s && !s->taken && is_header_of(&m->row, m->row.digest, s))
			(m->source = s)->taken = true;
		if (t && !t->taken && is_header_of(&m->row, ledger_sent_digest(&m->row), t))
			(m->target = t)->taken = true;
	}
}

static size_t first_header(const struct things *t, const unsigned char *header)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare_headers(t->by_header[middle]->identity.header, header) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A free one of that header; SIZE not 0: and of that size. */
static struct thing *find_header(const struct things *t, const unsigned char *header, uint64_t size)
{
	for (size_t i = first_header(t, header); i < t->count; i++) {
		struct thing *found = t->by_header[i];

		if (compare_headers(found->identity.header, header))
			return NULL;
		if (!found->taken && (!size || found->identity.size == size))
			return found;
	}
	return NULL;
}

static bool is_copied(const struct ledger_row *row)
{
	return row->state == ROW_STORED || row->state == ROW_ADOPTED || row->state == ROW_FOUND;
}

static void match_headers(struct reconciler *r, bool sized)
{
	for (size_t i = 0; i < r->row_count; i++) {
		struct memory *m = &r->rows[i];
		uint64_t size = sized ? m->row.size : 0;

		if (!ledger_has_digest(&m->row))
			continue;
		if (r->source_other && !m->source && m->row.size &&
		    (m->source = find_header(&r->source, m->row.digest, m->row.size)))
			m->source->taken = true;
		if (!m->target && is_copied(&m->row) &&
		    (r->target_other || !m->row.target_id.len) &&
		    (m->target = find_header(&r->target, ledger_sent_digest(&m->row), size)))
			m->target->taken = true;
	}
}

static int by_msgid(const void *a, const void *b)
{
	const struct thing *x = *(struct thing *const *)a, *y = *(struct thing *const *)b;

	return memcmp(x->identity.msgid, y->identity.msgid, sizeof(x->identity.msgid));
}

/* Is the one at AT, in the order of Message-IDs, alone with its own? */
static bool is_single(struct thing *const *list, size_t count, size_t at)
{
	return identity_has_msgid(&list[at]->identity) &&
	       (!at || by_msgid(&list[at], &list[at - 1])) &&
	       (at + 1 == count || by_msgid(&list[at], &list[at + 1]));
}

/* Where the destination changes what it stores, headers do not tell: Message-IDs do, where they are
 * single on both sides. */
static void match_msgids(struct reconciler *r)
{
	struct thing **s = arena_new(&r->arena, r->source.count + 1, sizeof(*s));
	struct thing **t = arena_new(&r->arena, r->target.count + 1, sizeof(*t));

	if (!(r->job->memory->fidelity & FIDELITY_REWRITES) || !r->source.count || !r->target.count)
		return;
	memcpy(s, r->source.by_header, r->source.count * sizeof(*s));
	memcpy(t, r->target.by_header, r->target.count * sizeof(*t));
	qsort(s, r->source.count, sizeof(*s), by_msgid);
	qsort(t, r->target.count, sizeof(*t), by_msgid);
	for (size_t i = 0; i < r->row_count; i++) {
		struct memory *m = &r->rows[i];
		struct thing **a = NULL, **b = NULL;

		if (m->source && !m->target && is_copied(&m->row))
			a = bsearch(&m->source, s, r->source.count, sizeof(*s), by_msgid);
		if (a && is_single(s, r->source.count, (size_t)(a - s)))
			b = bsearch(a, t, r->target.count, sizeof(*t), by_msgid);
		if (b && !(*b)->taken && is_single(t, r->target.count, (size_t)(b - t)))
			(m->target = *b)->taken = true;
	}
}

/* What belongs to the rows of other sources is nobody else's. */
static int take_owner(void *arg, const struct ledger_row *row, struct err *e)
{
	struct reconciler *r = arg;
	struct thing *t = find_id(&r->target, row->target_id);

	(void)e;
	if (t)
		t->taken = true;
	return 0;
}

static int take_claim(void *arg, const struct identity *identity, struct err *e)
{
	struct reconciler *r = arg;
	struct thing *t = find_header(&r->target, identity->header, 0);

	(void)e;
	if (t)
		t->taken = true;
	return 0;
}

static int match_rows(struct reconciler *r, struct err *e)
{
	match_ids(r);
	match_proven_ids(r);
	match_headers(r, true);
	match_headers(r, false);
	match_msgids(r);
	if (r->target_other) /* the others' ids mean nothing either */
		return 0;
	return ledger_each_owner(r->l->ledger, r->job->memory->target_raw, take_owner, r, e) ||
		       ledger_each_claim(r->l->ledger, r->job->memory, take_claim, r, e)
		   ? -1
		   : 0;
}

/* ---- items that have no row ---- */

static size_t free_of(const struct things *t, const unsigned char *header)
{
	size_t count = 0;

	for (size_t i = first_header(t, header);
	     i < t->count && !compare_headers(t->by_header[i]->identity.header, header); i++)
		count += !t->by_header[i]->taken;
	return count;
}

static void ask_bodies(struct things *t, const unsigned char *header)
{
	for (size_t i = first_header(t, header);
	     i < t->count && !compare_headers(t->by_header[i]->identity.header, header); i++)
		t->by_header[i]->read = !t->by_header[i]->taken;
}

/* The row that a source item without one shall get. */
static void recognise(struct reconciler *r, struct thing *s, struct thing *t)
{
	struct memory m = {.source = s, .target = t};

	m.row = (struct ledger_row){.source_id = s->id,
	    .state = ROW_FOUND,
	    .pass = ledger_pass(r->l->ledger),
	    .reason = ""};
	memcpy(m.row.digest, s->identity.header, sizeof(m.row.digest));
	s->taken = t->taken = true;
	r->found++;
	r->rows = mem_room(r->rows, r->row_count, &r->row_size, sizeof(*r->rows));
	r->rows[r->row_count++] = m;
}

/* One of a kind is decided by what the headers tell; for the others the bodies are wanted. Returns how
 * many are undecided. */
static size_t recognise_headers(struct reconciler *r)
{
	size_t undecided = 0;

	for (size_t i = 0; i < r->source.count; i++) {
		struct thing *s = r->source.by_header[i];
		const unsigned char *header = s->identity.header;
		struct thing *t = s->taken ? NULL : find_header(&r->target, header, 0);

		if (!t || s->read)
			continue;
		if (free_of(&r->source, header) == 1 && free_of(&r->target, header) == 1 &&
		    identity_has_msgid(&s->identity) && identity_same(&s->identity, &t->identity)) {
			recognise(r, s, t);
			continue;
		}
		ask_bodies(&r->source, header);
		ask_bodies(&r->target, header);
		undecided++;
	}
	return undecided;
}

static int take_body(void *arg, const struct fact *fact, struct err *e)
{
	struct things *t = arg;
	struct thing *at = find_id(t, fact->id);

	(void)e;
	if (at && fact->has_identity)
		memcpy(at->identity.body, fact->identity.body, sizeof(at->identity.body));
	return 0;
}

static int read_bodies(struct reconciler *r, const struct connector *c, struct session *s,
    const struct folder *f, struct things *t, struct err *e)
{
	struct view *ids = arena_new(&r->arena, t->count + 1, sizeof(*ids));
	struct changes_ask ask = {.digest = true, .ids = ids};
	struct fact_sink sink = {take_body, t};
	struct changes_told told;

	for (size_t i = 0; i < t->count; i++)
		if (t->list[i].read)
			ids[ask.count++] = t->list[i].id;
	return ask.count && c->changes(s, f, &ask, &sink, &told, e) ? -1 : 0;
}

static bool same_body(const struct thing *a, const struct thing *b)
{
	static const unsigned char unknown[sizeof(a->identity.body)];

	return memcmp(a->identity.body, unknown, sizeof(unknown)) &&
	       !memcmp(a->identity.body, b->identity.body, sizeof(unknown));
}

static void recognise_bodies(struct reconciler *r)
{
	for (size_t i = 0; i < r->source.count; i++) {
		struct thing *s = r->source.by_header[i];
		const unsigned char *header = s->identity.header;

		for (size_t k = first_header(&r->target, header);
		     !s->taken && s->read && k < r->target.count &&
		     !compare_headers(r->target.by_header[k]->identity.header, header);
		     k++)
			if (!r->target.by_header[k]->taken && same_body(s, r->target.by_header[k]))
				recognise(r, s, r->target.by_header[k]);
	}
}

static int match_strangers(struct reconciler *r, struct err *e)
{
	struct lane *l = r->l;
	struct folder_job *job = r->job;

	if (!recognise_headers(r))
		return 0;
	if (read_bodies(r, l->from, l->source, job->source, &r->source, e) ||
	    read_bodies(r, l->to, l->destination, &job->target, &r->target, e))
		return -1;
	recognise_bodies(r);
	return 0;
}

/* ---- the new rows ---- */

/* What the old row says under the new ids; false = it is forgotten. */
static bool renew(struct reconciler *r, struct memory *m)
{
	struct ledger_row *row = &m->row;

	if (r->source_other && !m->source)
		return false; /* gone; or not to be told from others */
	if (m->source)
		row->source_id = m->source->id;
	if (m->source)
		row->size = 0; /* the sweep that follows tells it, perhaps as an estimate */
	if (!m->target)
		return !(r->target_other && is_copied(row));
	if (r->target_other || row->state == ROW_FOUND) {
		/* what it shows now is where we begin: our flags are added, none is taken away */
		row->target_base = m->target->flags;
		row->source_base = FLAGS_NONE;
		row->target_assumed = false;
	}
	row->target_id = m->target->id;
	return true;
}

static int write_rows(
    struct reconciler *r, const struct cursor *source, const struct cursor *now, struct err *e)
{
	struct lane *l = r->l;
	struct ledger_folder *m = r->job->memory, *next;

	if (ledger_successor(l->ledger, m, &next, e))
		return -1;
	next->limit = m->limit;
	next->finished = m->finished;
	next->source = *source;
	next->target = *now;
	for (size_t i = 0; i < r->row_count; i++) {
		if ((r->rows[i].kept = renew(r, &r->rows[i]))) {
			if (ledger_put(l->ledger, next, &r->rows[i].row, 0, e))
				return -1;
		} else if (r->rows[i].source) {
			r->lost++;
		}
	}
	return ledger_succeed(l->ledger, m, next, e);
}

static int by_old_id(const void *a, const void *b)
{
	return view_cmp(((const struct memory *)a)->old_id, ((const struct memory *)b)->old_id);
}

/* What was stored in this pass and is recognised was seen at the destination, which is all that a check
 * would do; the rest is stored once more. */
static void settle_expectation(struct reconciler *r, const struct memory *m)
{
	struct copy_summary *sum = r->l->summary;

	if (m && m->kept && m->target) {
		sum->items_checked++;
	} else if (m && m->kept) {
		lane_exception(r->l, r->job, CAUSE_MISSING, m->row.source_id, "",
		    "the destination took it, and does not show it any more");
	} else {
		sum->items_stored--;
		r->job->stored_now--;
	}
}

static void settle_expectations(struct reconciler *r)
{
	struct folder_job *job = r->job;

	for (size_t i = 0; i < job->stored_count; i++) {
		struct memory key = {.old_id = job->stored[i].source_id}, *m = NULL;

		if (job->stored[i].uncounted)
			continue;
		r->l->summary->items_checked -= job->stored[i].found; /* by an id of no meaning */
		if (r->old_count)
			m = bsearch(&key, r->rows, r->old_count, sizeof(key), by_old_id);
		settle_expectation(r, m);
	}
	for (size_t i = 0; i < r->old_count; i++)
		if (r->rows[i].unlocated)
			settle_expectation(r, &r->rows[i]);
	check_forget(job);
}

/* ---- or what they would be: in a dry run ---- */

static void plan_thing(struct folder_job *job, const struct thing *s)
{
	plan_add(job,
	    &(struct todo){
		.id = arena_copy(&job->arena, s->id), .size = s->identity.size, .flags = s->flags});
}

static void plan_row(struct reconciler *r, struct memory *m)
{
	bool stays = renew(r, m);

	if (stays && !m->source && !m->row.gone)
		plan_vanish(r->job, &m->row);
	else if (stays && m->source && m->row.target_id.len &&
		 m->row.source_base != m->source->flags)
		plan_change(r->job, &m->row, m->source->flags);
	else if (!stays && m->source) {
		plan_thing(r->job, m->source);
		r->lost++;
	}
}

/* Stands for the whole look at the folder, since the ledger stays as it is. */
static void plan_all(struct reconciler *r, const struct cursor *source)
{
	struct folder_job *job = r->job;

	job->told =
	    (struct changes_told){.cursor = *source, .complete = true, .total = r->source.count};
	for (size_t i = 0; i < r->row_count; i++)
		plan_row(r, &r->rows[i]);
	for (size_t i = 0; i < r->source.count; i++)
		if (!r->source.list[i].taken)
			plan_thing(job, &r->source.list[i]);
	job->looked = true;
}

static void tell(struct reconciler *r)
{
	struct lane *l = r->l;

	l->summary->items_found += r->found;
	r->job->found_now += r->found;
	if (r->found)
		lane_note(l, "%s: %llu messages were at the destination already", r->job->name,
		    (unsigned long long)r->found);
	if (r->source_other || r->target_other)
		lane_note(l,
		    "%s: the folder was rebuilt or restored at the %s; its messages were recognised"
		    "%s",
		    r->job->name, r->target_other ? "destination" : "source",
		    r->lost ? ", those that are missing there are copied again" : "");
}

static int reconcile(struct reconciler *r, struct err *e)
{
	struct lane *l = r->l;
	struct folder_job *job = r->job;
	struct ledger_folder *m = job->memory;
	struct cursor now, source;

	if (m->open && !l->options->dry_run &&
	    resolve_rest(l, job, e)) /* what was under way may still appear */
		return -1;
	if (gather(l->to, l->destination, &job->target, &r->target, &now, e))
		return -1;
	if (!r->target.count && !m->open && !ledger_alive(m) && !m->gone) {
		/* nothing there, nothing known: the usual first pass. Others that came to nothing may
		 * have seen folders that were not these. */
		m->cursor = m->source = m->target = (struct cursor){""};
		return 0;
	}
	if (gather(l->from, l->source, job->source, &r->source, &source, e))
		return -1;
	if (m->source.text[0] &&
	    (!cursor_same(&source, &m->source) || cursor_went_back(&source, &m->source)))
		r->source_other = true;
	if (ledger_each_row(l->ledger, m, take_row, r, e))
		return -1;
	r->old_count = r->row_count;
	if (r->old_count)
		qsort(r->rows, r->old_count, sizeof(*r->rows), by_old_id);
	if (match_rows(r, e) || match_strangers(r, e))
		return -1;
	if (l->options->dry_run)
		plan_all(r, &source);
	else if (write_rows(r, &source, &now, e))
		return -1;
	else
		settle_expectations(r);
	tell(r);
	return 0;
}

/* ---- is there an occasion? ---- */

static const struct folder *target_glance(const struct lane *l, const struct folder_job *job)
{
	return folder_list_find(&l->target_folders, job->target.raw);
}

bool reconcile_is_due(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;
	struct cursor now;

	if (job->glanced || !m->target.text[0] || !cursor_glance(target_glance(l, job), &now))
		return false;
	return !cursor_same(&now, &m->target) || cursor_went_back(&now, &m->target);
}

static bool is_first(const struct lane *l, const struct folder_job *job)
{
	const struct ledger_folder *m = job->memory;
	const struct folder *glance = target_glance(l, job);

	if (m->cursor.text[0] || m->open || m->gone || ledger_alive(m))
		return false;
	if (!glance && l->options->dry_run)
		return false; /* it would be made */
	return !glance || !glance->has_glance || glance->messages > 0;
}

bool reconcile_is_needed(const struct lane *l, const struct folder_job *job)
{
	return job->source_reset || job->target_reset || reconcile_is_due(l, job) ||
	       is_first(l, job) || (l->options->rebuild && !job->glanced);
}

int reconcile_folder(struct lane *l, struct folder_job *job, struct err *e)
{
	struct reconciler r = {.l = l,
	    .job = job,
	    .source_other = job->source_reset,
	    .target_other = job->target_reset || reconcile_is_due(l, job)};
	int failed;

	if (!reconcile_is_needed(l, job)) {
		job->glanced = true;
		return 0;
	}
	early_free(&job->early);
	r.source.arena = r.target.arena = &r.arena;
	failed = reconcile(&r, e);
	job->target_reset = r.target_other;
	if (!failed) {
		job->source_reset = job->target_reset = false;
		job->glanced = true;
	}
	free(r.source.list);
	free(r.target.list);
	free(r.rows);
	arena_free(&r.arena);
	return failed ? -1 : 0;
}
