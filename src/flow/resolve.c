/* resolve.c - what became of intents in doubt (DESIGN §7). Before and behind the windows of copy.c.
 *
 * The destination is given time to come to rest, then asked what appeared since the folder's tail;
 * what the ledger owns already, for whatever source, is subtracted; the rest is matched with the
 * intents by size, Message-ID and header digest, first with the date and then without (some servers
 * ignore dates). What is in doubt is adopted only when its body was read and its digest is the same. Items stored without a told id are first in line: otherwise their twins
 * adopt them.
 *
 * Promises: an intent ends as adopted, released or doubted; nothing else. */
#include "flow/lane.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/identity.h"

#define PROBES 40 /* at most; a folder with constant deliveries never rests */

struct candidate {
	struct view id;
	struct fact fact;
	bool taken;
};

struct resolver {
	struct lane *l;
	struct folder_job *job;
	struct ledger_intent *intents;
	bool *done;    /* of the intents */
	unsigned *was; /* state of the older row they would replace, 0 = none */
	bool *earlier; /* stored by an earlier pass: not among this one's counts */
	size_t count;
	struct candidate *candidates; /* sorted by header digest */
	size_t candidate_count, candidate_size;
	struct arena arena;
};

/* ---- rest ---- */

/* Ask for `now` until it has stood still twice. */
int resolve_rest(struct lane *l, struct folder_job *job, struct err *e)
{
	int64_t pause = l->options->settle_ms / 8 + 1;
	struct cursor before = {""}, now;
	int still = 0;

	job->undecided = false;
	for (int probe = 0; probe < PROBES; probe++) {
		if (l->to->now(l->destination, &job->target, &now, e))
			return -1;
		still = strcmp(now.text, before.text) ? 0 : still + 1;
		if (still == 2)
			return 0;
		before = now;
		if (waitset_sleep(l->context->waits, pause, e))
			return -1;
	}
	job->undecided = true;
	return 0;
}

/* ---- candidates ---- */

static int take_candidate(void *arg, const struct fact *fact, struct err *e)
{
	struct resolver *r = arg;
	struct candidate *c;

	(void)e;
	r->candidates =
	    mem_room(r->candidates, r->candidate_count, &r->candidate_size, sizeof(*r->candidates));
	c = &r->candidates[r->candidate_count++];
	*c = (struct candidate){.id = arena_copy(&r->arena, fact->id), .fact = *fact};
	c->fact.id = c->id;
	c->fact.identity.size = fact->size;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return view_cmp(((const struct candidate *)a)->id, ((const struct candidate *)b)->id);
}

static int compare_headers(const struct identity *a, const struct identity *b)
{
	return memcmp(a->header, b->header, sizeof(a->header));
}

/* Within one header digest in the order of the folder. */
static int by_header(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = compare_headers(&x->fact.identity, &y->fact.identity);

	if (!order)
		order = (x->id.len > y->id.len) - (x->id.len < y->id.len);
	return order ? order : view_cmp(x->id, y->id);
}

static int take_owner(void *arg, const struct ledger_row *row, struct err *e)
{
	struct resolver *r = arg;
	struct candidate key = {.id = row->target_id}, *c;

	(void)e;
	c = row->target_id.len && r->candidate_count
		? bsearch(&key, r->candidates, r->candidate_count, sizeof(key), by_id)
		: NULL;
	if (c)
		c->taken = true;
	return 0;
}

/* A message told twice in one sweep is one, or twins would share it. */
static void drop_twice_told(struct resolver *r)
{
	size_t kept = 1;

	for (size_t i = 1; i < r->candidate_count; i++)
		if (by_id(&r->candidates[i], &r->candidates[kept - 1]))
			r->candidates[kept++] = r->candidates[i];
	r->candidate_count = kept;
}

/* The first candidate with that header digest; candidate_count = none. */
static size_t first_with_header(const struct resolver *r, const struct identity *identity)
{
	size_t low = 0, high = r->candidate_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare_headers(&r->candidates[middle].fact.identity, identity) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The next candidate of that header digest that nobody has, from *AT on; NULL = none. */
static struct candidate *next_free(
    const struct resolver *r, const struct identity *identity, size_t *at)
{
	for (; *at < r->candidate_count; ++*at) {
		struct candidate *c = &r->candidates[*at];

		if (compare_headers(&c->fact.identity, identity))
			return NULL;
		if (!c->taken)
			return ++*at, c;
	}
	return NULL;
}

/* Another source's, surely stored and not located yet: one like it is set aside, preferring the last, as
 * ours are matched from the first. */
static int take_claim(void *arg, const struct identity *identity, struct err *e)
{
	struct resolver *r = arg;
	size_t at = first_with_header(r, identity);
	struct candidate *c, *last = NULL;

	(void)e;
	while ((c = next_free(r, identity, &at)))
		last = c;
	if (last)
		last->taken = true;
	return 0;
}

static int find_candidates(struct resolver *r, struct err *e)
{
	struct lane *l = r->l;
	struct ledger_folder *m = r->job->memory;
	struct changes_ask ask = {.since = &m->tail, .only_new = true, .identity = true};
	struct fact_sink sink = {take_candidate, r};
	struct changes_told told;

	if (l->to->changes(l->destination, &r->job->target, &ask, &sink, &told, e))
		return -1;
	if (check_same_target(l, r->job, &told.cursor, e))
		return -1;
	if (!r->candidate_count)
		return 0;
	qsort(r->candidates, r->candidate_count, sizeof(*r->candidates), by_id);
	drop_twice_told(r);
	if (ledger_each_owner(l->ledger, m->target_raw, take_owner, r, e))
		return -1;
	qsort(r->candidates, r->candidate_count, sizeof(*r->candidates), by_header);
	return ledger_each_claim(l->ledger, m, take_claim, r, e);
}

/* ---- matching ---- */

static bool same_date(const struct date *a, const struct date *b)
{
	return a->known && b->known && a->instant == b->instant;
}

static struct candidate *find_match(struct resolver *r, const struct ledger_intent *i, bool dated)
{
	size_t at = first_with_header(r, &i->identity);
	struct candidate *c;

	while ((c = next_free(r, &i->identity, &at)))
		if (identity_same(&c->fact.identity, &i->identity) &&
		    (!dated || same_date(&c->fact.date, &i->date)))
			return c;
	return NULL;
}

static int adopt(struct resolver *r, size_t index, struct candidate *c, struct err *e)
{
	struct lane *l = r->l;
	struct folder_job *job = r->job;
	const struct ledger_intent *i = &r->intents[index];
	bool moved = i->state == INTENT_PLACED; /* by the destination: nothing was sent */
	struct expectation x = {.source_id = i->source_id,
	    .target_id = c->id,
	    .identity = i->identity,
	    .date = i->date,
	    .date_told = i->date_told,
	    .flags = i->flags,
	    .flags_told = moved ? FLAGS_NONE : i->flags_told,
	    .msgid = i->msgid,
	    .uncounted = moved || r->earlier[index],
	    .earlier = moved};

	c->taken = true;
	r->done[index] = true;
	l->summary->items_moved += moved;
	if (!moved && i->state != INTENT_UNLOCATED) {
		l->summary->items_stored++;
		l->settled++;
		l->summary->items_resolved++;
		l->summary->bytes_stored += i->identity.size;
		job->stored_now++;
		if (i->repair)
			lane_repaired(l, job, i->source_id, i->msgid, i->repair);
	}
	check_expect(job, &x);
	if (ledger_adopt(l->ledger, job->memory, i, c->id, c->fact.flags, r->was[index], e))
		return -1;
	return plan_adopted(l, job, i->source_id, e);
}

static int match_round(struct resolver *r, bool unlocated, bool dated, struct err *e)
{
	for (size_t i = 0; i < r->count; i++) {
		struct candidate *c;

		if (r->done[i] || (r->intents[i].state == INTENT_UNLOCATED) != unlocated)
			continue;
		c = find_match(r, &r->intents[i], dated);
		if (c && adopt(r, i, c, e))
			return -1;
	}
	return 0;
}

static int match_all(struct resolver *r, struct err *e)
{
	return match_round(r, true, true, e) || match_round(r, false, true, e) ||
		       match_round(r, true, false, e) || match_round(r, false, false, e)
		   ? -1
		   : 0;
}

/* ---- what a destination altered ---- */

/* A candidate nobody has with that Message-ID; NULL = none. */
static struct candidate *same_msgid(struct resolver *r, const struct identity *i)
{
	for (size_t k = 0; identity_has_msgid(i) && k < r->candidate_count; k++)
		if (!r->candidates[k].taken &&
		    !memcmp(r->candidates[k].fact.identity.msgid, i->msgid, sizeof(i->msgid)))
			return &r->candidates[k];
	return NULL;
}

/* What surely was stored is there, however it looks now: by header, or by Message-ID alone. What was
 * moved is known by its header: its size is the source's word, which may count other line ends. */
static int match_altered(struct resolver *r, struct err *e)
{
	for (size_t i = 0; i < r->count; i++) {
		enum intent_state state = r->intents[i].state;
		size_t at = first_with_header(r, &r->intents[i].identity);
		struct candidate *c;

		if (r->done[i] || (state != INTENT_UNLOCATED && state != INTENT_PLACED))
			continue;
		c = next_free(r, &r->intents[i].identity, &at);
		if (!c && state == INTENT_UNLOCATED)
			c = same_msgid(r, &r->intents[i].identity);
		if (c && adopt(r, i, c, e))
			return -1;
	}
	return 0;
}

/* ---- where only sizes differ ---- */

static int take_digest(void *arg, const struct fact *fact, struct err *e)
{
	struct resolver *r = arg;

	(void)e;
	for (size_t i = 0; fact->has_identity && i < r->candidate_count; i++)
		if (view_eq(r->candidates[i].id, fact->id))
			memcpy(r->candidates[i].fact.identity.body, fact->identity.body,
			    sizeof(fact->identity.body));
	return 0;
}

/* Must its body be seen before it is adopted? What is in doubt, always; what surely is there, where
 * another intent has the same header and another body. */
static bool needs_body(const struct resolver *r, const struct ledger_intent *i)
{
	if (i->state != INTENT_UNLOCATED)
		return true;
	for (size_t k = 0; k < r->count; k++)
		if (!r->done[k] && !compare_headers(&r->intents[k].identity, &i->identity) &&
		    memcmp(r->intents[k].identity.body, i->identity.body, sizeof(i->identity.body)))
			return true;
	return false;
}

static bool is_wanted(const struct resolver *r, const struct candidate *c, bool first)
{
	for (size_t i = 0; i < r->count && !c->taken; i++)
		if (!r->done[i] && !compare_headers(&r->intents[i].identity, &c->fact.identity) &&
		    (!first || needs_body(r, &r->intents[i])))
			return true;
	return false;
}

/* Read the candidates that share a header with an intent still open; FIRST: only where that must be
 * before any match. */
static int read_bodies(struct resolver *r, bool first, struct err *e)
{
	struct view *ids = arena_new(&r->arena, r->candidate_count, sizeof(*ids));
	struct changes_ask ask = {.digest = true, .ids = ids};
	struct fact_sink sink = {take_digest, r};
	struct changes_told told;

	for (size_t k = 0; k < r->candidate_count; k++)
		if (is_wanted(r, &r->candidates[k], first))
			ids[ask.count++] = r->candidates[k].id;
	if (!ask.count)
		return 0;
	return r->l->to->changes(r->l->destination, &r->job->target, &ask, &sink, &told, e);
}

/* ---- the rest ---- */

static int keep_doubted(struct resolver *r, const struct ledger_intent *i, struct err *e)
{
	struct folder_job *job = r->job;

	job->doubted[job->doubted_count++] = arena_copy(&job->arena, i->source_id);
	return ledger_doubt(r->l->ledger, job->memory, i, e);
}

static int give_up(struct resolver *r, const struct ledger_intent *i, struct view *released,
    size_t *count, struct err *e)
{
	if (i->state == INTENT_UNLOCATED)
		lane_exception(r->l, r->job, CAUSE_MISSING, i->source_id, i->msgid,
		    "the destination took it, and does not show it any more");
	else if (i->state != INTENT_PLACED) /* the plan that follows finds it by itself */
		released[(*count)++] = arena_copy(&r->job->arena, i->source_id);
	if (i->state != INTENT_UNLOCATED && i->state != INTENT_PLACED &&
	    (r->job->undecided || same_msgid(r, &i->identity)))
		lane_exception(r->l, r->job, CAUSE_IN_DOUBT, i->source_id, i->msgid,
		    r->job->undecided
			? "the connection was lost while it was stored and the destination did not "
			  "come to rest; it is sent again"
			: "the connection was lost while it was stored; the destination has a "
			  "message "
			  "like it, which is not the same; it is sent again");
	return ledger_release(r->l->ledger, r->job->memory, i, e);
}

static int settle_rest(struct resolver *r, bool final, struct err *e)
{
	struct folder_job *job = r->job;
	struct view *released = arena_new(&r->arena, r->count, sizeof(*released));
	size_t count = 0;

	job->doubted_count = 0;
	job->doubted = arena_new(&job->arena, r->count, sizeof(*job->doubted));
	for (size_t i = 0; i < r->count; i++) {
		if (r->done[i])
			continue;
		if (final || r->intents[i].state == INTENT_UNLOCATED ||
			    r->intents[i].state == INTENT_PLACED
			? give_up(r, &r->intents[i], released, &count, e)
			: keep_doubted(r, &r->intents[i], e))
			return -1;
	}
	if (job->doubted_count)
		qsort(job->doubted, job->doubted_count, sizeof(*job->doubted), view_cmp_sort);
	return plan_ids(r->l, job, released, count, e);
}

/* Row and end of intent may lie in two batches, and a crash between them leaves both. */
static int drop_settled(struct resolver *r, struct err *e)
{
	struct ledger_row *rows = arena_new(&r->arena, r->count, sizeof(*rows));
	struct view *ids = arena_new(&r->arena, r->count, sizeof(*ids));
	bool *found = arena_new(&r->arena, r->count, sizeof(*found));

	for (size_t i = 0; i < r->count; i++)
		ids[i] = r->intents[i].source_id;
	if (ledger_find(r->l->ledger, r->job->memory, ids, r->count, rows, found, &r->arena, e))
		return -1;
	for (size_t i = 0; i < r->count; i++) {
		bool settled =
		    found[i] && r->intents[i].state != INTENT_UNLOCATED && rows[i].target_id.len;

		if (settled && ledger_release(r->l->ledger, r->job->memory, &r->intents[i], e))
			return -1;
		r->done[i] = settled;
		r->was[i] = found[i] ? rows[i].state : 0;
		r->earlier[i] = found[i] && r->intents[i].state == INTENT_UNLOCATED &&
				(rows[i].pass != ledger_pass(r->l->ledger) ||
				    move_was_placed(r->job, r->intents[i].source_id));
	}
	return 0;
}

static int resolve(struct resolver *r, bool final, struct err *e)
{
	bool doubt = false;

	if (ledger_intents(r->l->ledger, r->job->memory, &r->intents, &r->count, &r->arena, e))
		return -1;
	r->done = arena_new(&r->arena, r->count, sizeof(*r->done));
	r->was = arena_new(&r->arena, r->count, sizeof(*r->was));
	r->earlier = arena_new(&r->arena, r->count, sizeof(*r->earlier));
	for (size_t i = 0; i < r->count; i++)
		doubt = doubt || r->intents[i].state != INTENT_UNLOCATED;
	log_debug(
	    "%s: %zu intents to resolve%s", r->job->name, r->count, doubt ? ", in doubt" : "");
	if ((doubt && resolve_rest(r->l, r->job, e)) || drop_settled(r, e) || find_candidates(r, e))
		return -1;
	if (read_bodies(r, true, e) || match_all(r, e) || read_bodies(r, false, e) ||
	    match_all(r, e) || match_altered(r, e))
		return -1;
	return settle_rest(r, final, e);
}

int resolve_folder(struct lane *l, struct folder_job *job, bool final, struct err *e)
{
	struct resolver r = {.l = l, .job = job};
	int failed = 0;

	if (job->memory->open) {
		failed = resolve(&r, final, e);
		free(r.candidates);
		arena_free(&r.arena);
	}
	return failed;
}
