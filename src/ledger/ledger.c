/* ledger.c - the memory of a migration. Between the engine (flow/) and a store that only keeps.
 *
 * Invariants (each has a test that breaks when it is taken away):
 *  1. Nothing is put before its intent is durable: ledger_intend orders a barrier, the engine waits
 *     for its ticket before put.
 *  2. A folder has one tail: the lowest destination `now` of any intent on record. It is written
 *     with the first intent, before or with it, and taken away only when none is left.
 *  3. AGAIN closes the intent; what is put again gets a new one.
 *  4. An item stored without being told its id keeps its intent (UNLOCATED) until it is located,
 *     so that it takes part in every later match, first in line.
 *  5. Row and end of intent are in one batch: there is never neither.
 *  6. A row is forgotten only when its item will be planned again from the source.
 *  7. The cursor is written after all rows it passes, and only when no intent is on record.
 *  8. Counts in the folder record are written with the rows they count.
 *  9. A successor is invisible until it succeeds; that is one batch, durable before its predecessor's
 *     rows are dropped.
 *
 * Does not: know what a cursor or an id means, wait for anything but the store. */
#include "ledger/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/records.h"
#include "model/identity.h"

#define DROP_AT_ONCE 4096u /* records dropped in one batch */

static void step(struct ledger *l, const char *name)
{
	if (l->hook.step)
		l->hook.step(l->hook.arg, name);
}

/* ---- writing ---- */

int records_flush(struct ledger *l, struct err *e)
{
	if (!l->batch.count)
		return 0;
	step(l, "write");
	if (l->store->ops->write(l->store, &l->batch, e))
		return -1;
	store_batch_clear(&l->batch);
	step(l, "written");
	return 0;
}

/* What belongs together (row, end of intent, counts, and the flag sets they mention) goes out in one
 * batch: before a group, make sure that it fits. */
static int begin_group(struct ledger *l, struct err *e)
{
	return l->batch.ops.len > STORE_BATCH_MAX / 2 ? records_flush(l, e) : 0;
}

static int put_record(struct ledger *l, struct err *e)
{
	if (!store_batch_put(&l->batch, buf_view(&l->key), buf_view(&l->value)))
		return 0;
	if (records_flush(l, e))
		return -1;
	return store_batch_put(&l->batch, buf_view(&l->key), buf_view(&l->value));
}

static int delete_record(struct ledger *l, enum schema_kind kind, const struct ledger_folder *f,
    struct view id, struct err *e)
{
	schema_key(&l->key, kind, l->pair, f->number, id);
	if (!store_batch_delete(&l->batch, buf_view(&l->key)))
		return 0;
	if (records_flush(l, e))
		return -1;
	return store_batch_delete(&l->batch, buf_view(&l->key));
}

static int put_folder(struct ledger *l, struct ledger_folder *f, struct err *e)
{
	schema_key(&l->key, SCHEMA_FOLDER, l->pair, f->number, (struct view){0});
	schema_put_folder(&l->value, f);
	return put_record(l, e);
}

/* Grow *ARRAY to hold index AT. */
static void grow(uint32_t **array, size_t *size, size_t at)
{
	size_t wanted = at + 64;

	if (at < *size)
		return;
	*array = mem_grow(*array, wanted, sizeof(**array));
	memset(*array + *size, 0, (wanted - *size) * sizeof(**array));
	*size = wanted;
}

static void pair_flags(struct ledger *l, uint32_t id, uint32_t number)
{
	grow(&l->number_of_id, &l->ids, id);
	grow(&l->id_of_number, &l->numbers, number);
	l->number_of_id[id] = number;
	l->id_of_number[number] = id;
}

/* The ledger's number for a flag set, recorded before anything that mentions it. */
static int flags_number(struct ledger *l, uint32_t id, uint32_t *number, struct err *e)
{
	*number = 0;
	if (id == FLAGS_NONE || (id < l->ids && l->number_of_id[id])) {
		*number = id == FLAGS_NONE ? 0 : l->number_of_id[id];
		return 0;
	}
	*number = l->last_number += l->stride;
	pair_flags(l, id, *number);
	schema_key(&l->key, SCHEMA_FLAGS, l->pair, *number, (struct view){0});
	buf_clear(&l->value);
	buf_add_text(&l->value, flags_text(l->flags, id));
	return put_record(l, e);
}

static uint32_t flags_id(const struct ledger *l, uint32_t number)
{
	return number < l->numbers ? l->id_of_number[number] : FLAGS_NONE;
}

/* A row of state WAS (0 = none) becomes one of state NOW (0 = none). */
static void count_row(struct ledger_folder *f, unsigned was, unsigned now)
{
	uint64_t *const counts[] = {
	    NULL, &f->stored, &f->stored, &f->refused, &f->owed, &f->found, &f->left};

	if (was && *counts[was])
		--*counts[was];
	if (now)
		++*counts[now];
}

static void note_top(struct ledger_folder *f, const struct ledger_row *row)
{
	if (row->source_id.len >= CURSOR_SIZE || !ledger_has_digest(row) ||
	    view_cmp_natural(row->source_id, view_of(f->top[0].text)) <= 0)
		return;
	memmove(&f->top[1], &f->top[0], (TOPS - 1) * sizeof(f->top[0]));
	f->top[0] = (struct cursor){""};
	memcpy(f->top[0].text, row->source_id.data, row->source_id.len);
}

static int put_row(
    struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, struct err *e)
{
	struct ledger_row copy = *row;

	note_top(f, row);
	if (flags_number(l, row->source_base, &copy.source_base, e) ||
	    flags_number(l, row->target_base, &copy.target_base, e))
		return -1;
	schema_key(&l->key, SCHEMA_ROW, l->pair, f->number, row->source_id);
	schema_put_row(&l->value, &copy);
	return put_record(l, e);
}

static int put_intent(
    struct ledger *l, const struct ledger_folder *f, const struct ledger_intent *i, struct err *e)
{
	struct ledger_intent copy = *i;

	if (flags_number(l, i->flags, &copy.flags, e) ||
	    flags_number(l, i->flags_told, &copy.flags_told, e))
		return -1;
	schema_key(&l->key, SCHEMA_INTENT, l->pair, f->number, i->source_id);
	schema_put_intent(&l->value, &copy);
	return put_record(l, e);
}

/* One intent fewer; with the last one the tail goes (invariant 2). */
static int close_intent(struct ledger *l, struct ledger_folder *f, struct view id, struct err *e)
{
	if (delete_record(l, SCHEMA_INTENT, f, id, e))
		return -1;
	assert(f->open > 0);
	if (--f->open == 0)
		f->tail.text[0] = '\0';
	return 0;
}

/* ---- reading ---- */

int records_damaged(struct err *e, const char *what)
{
	return err_set(
	    e, CAUSE_DAMAGED, ERR_RUN, "the state directory holds a damaged %s record", what);
}

int records_scan(struct ledger *l, enum schema_kind kind, const unsigned char *pair,
    uint32_t number, store_take *take, void *arg, struct err *e)
{
	if (records_flush(l, e))
		return -1;
	schema_key(&l->key, kind, pair, number, (struct view){0});
	return l->store->ops->scan(l->store, buf_view(&l->key), (struct view){0}, 0, take, arg, e);
}

static int decode_row(const struct ledger *l, const struct store_row *record,
    struct ledger_row *row, struct arena *a, struct err *e)
{
	if (schema_key_id(record->key, &row->source_id) || schema_get_row(record->value, row, a))
		return records_damaged(e, "message");
	row->source_base = flags_id(l, row->source_base);
	row->target_base = flags_id(l, row->target_base);
	return 0;
}

int records_take_flags(void *arg, const struct store_row *record, struct err *e)
{
	struct ledger *l = arg;
	uint32_t number;

	if (schema_key_number(record->key, &number) || !number)
		return records_damaged(e, "flags");
	pair_flags(l, flags_intern(l->flags, record->value), number);
	if (l->stride == 1)
		l->last_number = number > l->last_number ? number : l->last_number;
	return 0;
}

static int take_folder(void *arg, const struct store_row *record, struct err *e)
{
	struct ledger *l = arg;
	struct ledger_folder *f = ARENA_NEW(&l->arena, struct ledger_folder);

	if (schema_key_number(record->key, &f->number) ||
	    schema_get_folder(record->value, f, &l->arena))
		return records_damaged(e, "folder");
	f->next = l->folders;
	l->folders = f;
	return 0;
}

static int take_open(void *arg, const struct store_row *record, struct err *e)
{
	struct ledger *l = arg;
	uint32_t number;

	if (schema_key_number(record->key, &number))
		return records_damaged(e, "intent");
	for (struct ledger_folder *f = l->folders; f; f = f->next)
		if (f->number == number)
			f->open++;
	return 0;
}

static int take_pass(void *arg, const struct store_row *record, struct err *e)
{
	struct ledger *l = arg;
	struct schema_pair pair;

	if (schema_get_pair(record->value, &pair, &l->arena))
		return records_damaged(e, "mailbox");
	l->pass = pair.pass;
	return 0;
}

int records_load(struct ledger *l, struct err *e)
{
	return records_scan(l, SCHEMA_PAIR, l->pair, 0, take_pass, l, e) ||
		       records_scan(l, SCHEMA_FLAGS, l->pair, 0, records_take_flags, l, e) ||
		       records_scan(l, SCHEMA_FOLDER, l->pair, 0, take_folder, l, e) ||
		       records_scan(l, SCHEMA_INTENT, l->pair, 0, take_open, l, e)
		   ? -1
		   : 0;
}

static int begin_pass(struct ledger *l, const char *source, struct err *e)
{
	schema_key(&l->key, SCHEMA_PAIR, l->pair, 0, (struct view){0});
	schema_put_pair(
	    &l->value, &(struct schema_pair){source, l->destination, ++l->pass, clock_wall()});
	return put_record(l, e);
}

struct ledger *records_new(
    struct store *store, const char *destination_identity, struct flags_table *flags)
{
	struct ledger *l = NEW(struct ledger);

	l->store = store;
	l->flags = flags;
	l->stride = 1;
	l->destination = arena_strdup(&l->arena, destination_identity);
	store_batch_init(&l->batch);
	buf_init(&l->key, STORE_KEY_MAX);
	buf_init(&l->value, STORE_VALUE_MAX);
	return l;
}

int ledger_open(struct ledger **out, struct store *store, const char *source_identity,
    const char *destination_identity, struct flags_table *flags, const struct ledger_hook *hook,
    struct err *e)
{
	struct ledger *l = records_new(store, destination_identity, flags);

	l->hook = hook ? *hook : (struct ledger_hook){0};
	schema_pair_id(l->pair, source_identity, destination_identity);
	if (records_load(l, e) || begin_pass(l, source_identity, e)) {
		ledger_close(&l);
		return -1;
	}
	*out = l;
	return 0;
}

void ledger_close(struct ledger **l)
{
	struct ledger *old = *l;

	*l = NULL;
	if (!old)
		return;
	store_batch_free(&old->batch);
	buf_free(&old->key);
	buf_free(&old->value);
	arena_free(&old->arena);
	free(old->number_of_id);
	free(old->id_of_number);
	free(old);
}

uint32_t ledger_pass(const struct ledger *l)
{
	return l->pass;
}

struct ledger_folder *ledger_folders(struct ledger *l)
{
	return l->folders;
}

static uint32_t last_folder(const struct ledger *l)
{
	uint32_t number = 0;

	for (const struct ledger_folder *f = l->folders; f; f = f->next)
		number = (f->number & ~SUCCESSOR) > number ? f->number & ~SUCCESSOR : number;
	return number;
}

struct ledger_folder *ledger_folder(struct ledger *l, struct view source_raw)
{
	struct ledger_folder *f;

	for (f = l->folders; f; f = f->next)
		if (view_eq(f->source_raw, source_raw))
			return f;
	f = ARENA_NEW(&l->arena, struct ledger_folder);
	f->number = last_folder(l) + 1;
	f->source_raw = arena_copy(&l->arena, source_raw);
	f->next = l->folders;
	l->folders = f;
	return f;
}

bool ledger_has_digest(const struct ledger_row *row)
{
	static const unsigned char unread[sizeof(row->digest)];

	return memcmp(row->digest, unread, sizeof(unread)) != 0;
}

bool ledger_is_repaired(const struct ledger_row *row)
{
	return row->cause == CAUSE_REPAIRED;
}

const unsigned char *ledger_sent_digest(const struct ledger_row *row)
{
	return ledger_is_repaired(row) ? row->sent : row->digest;
}

uint64_t ledger_alive(const struct ledger_folder *f)
{
	uint64_t all = f->stored + f->refused + f->owed + f->found + f->left;

	return all > f->gone ? all - f->gone : 0;
}

void ledger_rename_folder(struct ledger *l, struct ledger_folder *f, struct view source_raw)
{
	f->source_raw = arena_copy(&l->arena, source_raw);
}

int ledger_set_target(struct ledger *l, struct ledger_folder *f, char *const *parts, size_t depth,
    struct view raw, struct err *e)
{
	bool same = f->target_depth == depth && view_eq(f->target_raw, raw);

	for (size_t i = 0; same && i < depth; i++)
		same = !strcmp(f->target_parts[i], parts[i]);
	if (same)
		return 0;
	f->target_parts = arena_new(&l->arena, depth + 1, sizeof(char *));
	for (size_t i = 0; i < depth; i++)
		f->target_parts[i] = arena_strdup(&l->arena, parts[i]);
	f->target_depth = depth;
	f->target_raw = arena_copy(&l->arena, raw);
	return ledger_save_folder(l, f, e);
}

void ledger_set_objects(
    struct ledger *l, struct ledger_folder *f, struct view source, struct view target)
{
	if (!view_eq(f->source_object, source))
		f->source_object = arena_copy(&l->arena, source);
	if (!view_eq(f->target_object, target))
		f->target_object = arena_copy(&l->arena, target);
}

int ledger_save_folder(struct ledger *l, struct ledger_folder *f, struct err *e)
{
	return put_folder(l, f, e) || records_flush(l, e) ? -1 : 0;
}

struct finding {
	const struct ledger *l;
	const struct view *ids;
	size_t count, at;
	struct ledger_row *rows;
	bool *found;
	struct arena *arena;
};

/* Rows come in the order asked, those that are missing left out. */
static int take_found(void *arg, const struct store_row *record, struct err *e)
{
	struct finding *find = arg;
	struct ledger_row row = {0};

	if (decode_row(find->l, record, &row, find->arena, e))
		return -1;
	while (find->at < find->count && !view_eq(find->ids[find->at], row.source_id))
		find->at++;
	if (find->at == find->count)
		return err_set(
		    e, CAUSE_BUG, ERR_RUN, "the store answered with rows nobody asked for");
	row.source_id = find->ids[find->at];
	find->rows[find->at] = row;
	find->found[find->at++] = true;
	return 0;
}

int ledger_find(struct ledger *l, const struct ledger_folder *f, const struct view *ids,
    size_t count, struct ledger_row *rows, bool *found, struct arena *a, struct err *e)
{
	struct finding find = {l, ids, count, 0, rows, found, a};
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct view *keys = arena_new(&scratch, count, sizeof(*keys));

	memset(found, 0, count * sizeof(*found));
	if (records_flush(l, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		schema_key(&l->key, SCHEMA_ROW, l->pair, f->number, ids[i]);
		keys[i] = arena_copy(&scratch, buf_view(&l->key));
	}
	return l->store->ops->get(l->store, keys, count, take_found, &find, e);
}

int ledger_tops(struct ledger *l, const struct ledger_folder *f,
    struct ledger_row rows[static TOPS], size_t *count, struct arena *a, struct err *e)
{
	struct view ids[TOPS];
	bool found[TOPS];
	size_t known = 0, kept = 0;

	for (; known < TOPS && f->top[known].text[0]; known++)
		ids[known] = view_of(f->top[known].text);
	if (ledger_find(l, f, ids, known, rows, found, a, e))
		return -1;
	for (size_t i = 0; i < known; i++)
		if (found[i] && !rows[i].gone && ledger_has_digest(&rows[i]))
			rows[kept++] = rows[i];
	*count = kept;
	return 0;
}

int records_take(void *arg, const struct store_row *record, struct err *e)
{
	struct walk *w = arg;
	struct ledger_row row = {0};

	arena_clear(&w->arena);
	if (decode_row(w->l, record, &row, &w->arena, e))
		return -1;
	return w->take(w->arg, &row, e);
}

int ledger_each_row(struct ledger *l, const struct ledger_folder *f,
    int (*take)(void *arg, const struct ledger_row *row, struct err *e), void *arg, struct err *e)
{
	struct walk w = {.l = l, .take = take, .arg = arg};
	int result = records_scan(l, SCHEMA_ROW, l->pair, f->number, records_take, &w, e);

	arena_free(&w.arena);
	return result;
}

/* ---- a folder whose ids have lost their meaning ---- */

struct dropping {
	struct ledger *l;
	struct view after; /* the last key taken; empty = none */
	char text[STORE_KEY_MAX];
	size_t count;
	struct store_batch batch;
};

static int take_dropped(void *arg, const struct store_row *record, struct err *e)
{
	struct dropping *d = arg;

	(void)e;
	if (store_batch_delete(&d->batch, record->key))
		return 1;
	memcpy(d->text, record->key.data, record->key.len);
	d->after = view_make(d->text, record->key.len);
	d->count++;
	return 0;
}

/* All records of that kind and number, a batch at a time. */
static int drop_all(struct ledger *l, enum schema_kind kind, uint32_t number, struct err *e)
{
	struct dropping *d = NEW(struct dropping);
	int failed = 0;

	store_batch_init(&d->batch);
	do {
		store_batch_clear(&d->batch);
		d->count = 0;
		schema_key(&l->key, kind, l->pair, number, (struct view){0});
		failed = l->store->ops->scan(l->store, buf_view(&l->key), d->after, DROP_AT_ONCE,
			     take_dropped, d, e) ||
			 (d->count && l->store->ops->write(l->store, &d->batch, e));
	} while (!failed && d->count);
	store_batch_free(&d->batch);
	free(d);
	return failed ? -1 : 0;
}

static int drop_items(struct ledger *l, uint32_t number, struct err *e)
{
	return records_flush(l, e) || drop_all(l, SCHEMA_ROW, number, e) ||
		       drop_all(l, SCHEMA_INTENT, number, e)
		   ? -1
		   : 0;
}

int ledger_successor(
    struct ledger *l, const struct ledger_folder *f, struct ledger_folder **out, struct err *e)
{
	struct ledger_folder *next = ARENA_NEW(&l->arena, struct ledger_folder);

	*next = (struct ledger_folder){.source_raw = f->source_raw,
	    .target_parts = f->target_parts,
	    .target_depth = f->target_depth,
	    .target_raw = f->target_raw,
	    .source_object = f->source_object,
	    .target_object = f->target_object,
	    .fidelity = f->fidelity,
	    .subscribed = f->subscribed};
	next->number = f->number ^ SUCCESSOR;
	*out = next;
	return drop_items(l, next->number, e);
}

int ledger_put(struct ledger *l, struct ledger_folder *f, const struct ledger_row *row,
    unsigned was, struct err *e)
{
	if (begin_group(l, e))
		return -1;
	count_row(f, was, row->state);
	f->gone += row->gone && !was;
	return put_row(l, f, row, e);
}

int ledger_succeed(
    struct ledger *l, struct ledger_folder *f, struct ledger_folder *next, struct err *e)
{
	struct ledger_folder *link = f->next;
	uint32_t old = f->number;

	step(l, "succeed");
	if (records_flush(l, e) || delete_record(l, SCHEMA_FOLDER, f, (struct view){0}, e))
		return -1;
	*f = *next;
	f->next = link;
	if (put_folder(l, f, e) || ledger_sync(l, e))
		return -1;
	step(l, "succeeded");
	return drop_items(l, old, e);
}

/* ---- the way of one window ---- */

static struct ledger_intent intent_of_item(const struct window_item *item, enum intent_state state)
{
	struct ledger_intent intent = {.source_id = item->id,
	    .state = state,
	    .identity = item->identity,
	    .date = item->date,
	    .date_told = item->date_told,
	    .flags = item->flags,
	    .flags_told = item->flags_told,
	    .msgid = item->msgid,
	    .size = item->size,
	    .object = item->object,
	    .repair = item->repair};

	memcpy(intent.header_told, item->header_told, sizeof(intent.header_told));
	return intent;
}

int ledger_intend(struct ledger *l, struct ledger_folder *f, struct window *w,
    enum intent_state state, const struct cursor *now, struct err *e)
{
	bool first = f->open == 0;

	step(l, "intend");
	if (begin_group(l, e))
		return -1;
	if (first) {
		f->tail = *now;
		if (put_folder(l, f, e))
			return -1;
	}
	for (size_t i = 0; i < w->count; i++) {
		const struct window_item *item = &w->items[i];
		struct ledger_intent intent = intent_of_item(item, state);

		if (item->state != ITEM_READ && item->state != ITEM_STREAM)
			continue;
		if (put_intent(l, f, &intent, e))
			return -1;
		f->open++;
	}
	if (records_flush(l, e) || l->store->ops->barrier(l->store, &w->ticket, e))
		return -1;
	step(l, "intended");
	return 0;
}

/* A row's digest is of the source's header: what was sent instead is told beside it. */
static void set_digests(struct ledger_row *row, const struct identity *sent, const char *repair,
    const unsigned char header_told[16])
{
	memcpy(row->digest, repair ? header_told : sent->header, sizeof(row->digest));
	if (!repair || (row->state != ROW_STORED && row->state != ROW_ADOPTED))
		return;
	row->cause = CAUSE_REPAIRED;
	row->reason = repair;
	memcpy(row->sent, sent->header, sizeof(row->sent));
}

int ledger_durable(struct ledger *l, uint64_t ticket, struct err *e)
{
	if (l->store->ops->wait(l->store, ticket, e))
		return -1;
	step(l, "durable");
	return 0;
}

static struct ledger_row row_of_item(
    const struct ledger *l, const struct window_item *item, enum row_state state)
{
	struct ledger_row row = {.source_id = item->id,
	    .state = state,
	    .target_id = item->stored_id,
	    .pass = l->pass,
	    .source_base = item->flags_told,
	    .target_base = item->flags,
	    .target_assumed = true,
	    .cause = item->cause,
	    .reason = item->reason};

	row.size = item->size;
	row.object = item->object;
	set_digests(&row, &item->identity, item->repair, item->header_told);
	return row;
}

/* Stored, but the id was not told: row and intent both stay (invariant 4). */
static int keep_unlocated(
    struct ledger *l, struct ledger_folder *f, const struct window_item *item, struct err *e)
{
	struct ledger_intent intent = intent_of_item(item, INTENT_UNLOCATED);

	return put_intent(l, f, &intent, e);
}

static int receive_item(
    struct ledger *l, struct ledger_folder *f, const struct window_item *item, struct err *e)
{
	struct ledger_row row;

	switch (item->state) {
	case ITEM_STORED:
		row = row_of_item(l, item, ROW_STORED);
		count_row(f, item->was, ROW_STORED);
		if (put_row(l, f, &row, e))
			return -1;
		if (!item->stored_id.len)
			return keep_unlocated(l, f, item, e);
		return close_intent(l, f, item->id, e);
	case ITEM_REFUSED:
		row = row_of_item(l, item, item->for_now ? ROW_OWED : ROW_REFUSED);
		count_row(f, item->was, row.state);
		return put_row(l, f, &row, e) ? -1 : close_intent(l, f, item->id, e);
	case ITEM_AGAIN:
		return close_intent(l, f, item->id, e);
	default:
		return 0;
	}
}

int ledger_receive(struct ledger *l, struct ledger_folder *f, const struct window *w, struct err *e)
{
	step(l, "receive");
	if (records_flush(l, e))
		return -1;
	for (size_t i = 0; i < w->count; i++)
		if (receive_item(l, f, &w->items[i], e))
			return -1;
	if (put_folder(l, f, e) || records_flush(l, e))
		return -1;
	step(l, "received");
	return 0;
}

int ledger_refuse(struct ledger *l, struct ledger_folder *f, const struct window_item *item,
    enum row_state state, struct err *e)
{
	struct ledger_row row = row_of_item(l, item, state);

	row.target_id = (struct view){0};
	if (begin_group(l, e))
		return -1;
	count_row(f, item->was, state);
	return put_row(l, f, &row, e) || put_folder(l, f, e) ? -1 : 0;
}

int ledger_forget(
    struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, struct err *e)
{
	if (begin_group(l, e))
		return -1;
	count_row(f, row->state, 0);
	f->gone -= row->gone && f->gone;
	return delete_record(l, SCHEMA_ROW, f, row->source_id, e) || put_folder(l, f, e) ? -1 : 0;
}

/* ---- doubt ---- */

struct listing {
	const struct ledger *l;
	struct ledger_intent *list;
	size_t count, size;
	struct arena *arena;
};

static int take_intent(void *arg, const struct store_row *record, struct err *e)
{
	struct listing *found = arg;
	struct ledger_intent i = {0};
	struct view id;

	if (schema_key_id(record->key, &id) || schema_get_intent(record->value, &i, found->arena))
		return records_damaged(e, "intent");
	i.source_id = arena_copy(found->arena, id);
	i.flags = flags_id(found->l, i.flags);
	i.flags_told = flags_id(found->l, i.flags_told);
	if (found->count == found->size) {
		struct ledger_intent *more =
		    arena_new(found->arena, found->size = found->size * 2 + 64, sizeof(*more));
		if (found->count)
			memcpy(more, found->list, found->count * sizeof(*more));
		found->list = more;
	}
	found->list[found->count++] = i;
	return 0;
}

int ledger_intents(struct ledger *l, const struct ledger_folder *f, struct ledger_intent **out,
    size_t *count, struct arena *a, struct err *e)
{
	struct listing found = {.l = l, .arena = a};

	if (records_scan(l, SCHEMA_INTENT, l->pair, f->number, take_intent, &found, e))
		return -1;
	*out = found.list;
	*count = found.count;
	return 0;
}

int ledger_adopt(struct ledger *l, struct ledger_folder *f, const struct ledger_intent *i,
    struct view target_id, uint32_t target_flags, unsigned was, struct err *e)
{
	struct ledger_row row = {.source_id = i->source_id,
	    .state = i->state == INTENT_UNLOCATED ? ROW_STORED : ROW_ADOPTED,
	    .target_id = target_id,
	    .pass = l->pass,
	    .source_base = i->flags_told,
	    .target_base = target_flags};

	step(l, "adopt");
	if (begin_group(l, e))
		return -1;
	row.size = i->size;
	row.object = i->object;
	set_digests(&row, &i->identity, i->repair, i->header_told);
	if (i->state != INTENT_UNLOCATED)
		count_row(f, was, ROW_ADOPTED);
	return put_row(l, f, &row, e) || close_intent(l, f, i->source_id, e) || put_folder(l, f, e)
		   ? -1
		   : 0;
}

int ledger_doubt(
    struct ledger *l, struct ledger_folder *f, const struct ledger_intent *i, struct err *e)
{
	struct ledger_intent doubted = *i;

	doubted.state = INTENT_DOUBTED;
	return put_intent(l, f, &doubted, e);
}

int ledger_release(
    struct ledger *l, struct ledger_folder *f, const struct ledger_intent *i, struct err *e)
{
	step(l, "release");
	if (begin_group(l, e))
		return -1;
	return close_intent(l, f, i->source_id, e) || put_folder(l, f, e) ? -1 : 0;
}

int ledger_gone(struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, bool gone,
    struct err *e)
{
	struct ledger_row copy = *row;

	if (row->gone == gone)
		return 0;
	if (begin_group(l, e))
		return -1;
	copy.gone = gone;
	if (gone)
		f->gone++;
	else if (f->gone)
		f->gone--;
	return put_row(l, f, &copy, e) || put_folder(l, f, e) ? -1 : 0;
}

int ledger_rebase(
    struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, struct err *e)
{
	return put_row(l, f, row, e);
}

int ledger_finish(struct ledger *l, struct ledger_folder *f, const struct cursor *cursor,
    uint64_t limit, struct err *e)
{
	uint64_t ticket;

	assert(f->open == 0);
	step(l, "finish");
	if (records_flush(l, e))
		return -1;
	f->cursor = *cursor;
	f->floor.text[0] = '\0';
	f->finished = l->pass;
	f->limit = limit;
	if (put_folder(l, f, e) || records_flush(l, e) ||
	    l->store->ops->barrier(l->store, &ticket, e))
		return -1;
	step(l, "finished");
	return 0;
}
