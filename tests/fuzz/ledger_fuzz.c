/* ledger_fuzz.c - a state file whose records are damaged, or another's. Each kind of record is read or
 * said to be malformed, and what was read is written and read again the same; a ledger over such
 * records works or says that they are damaged, and never anything else.
 *
 * The input: records, each u8 kind, u8 folder, view id, view value (base/pack.h). */
#include "fuzz.h"
#include "ledger/schema.h"
#include "memory_store.h"

enum { RECORDS_MAX = 200, IDS_MAX = 3 };

static const char source[] = "a@one.example", destination[] = "a@two.example";
static const char kinds[] = "pfins";

struct record {
	char kind;
	uint32_t number;
	struct view id, value;
};

static bool next_record(struct unpack *u, struct record *r)
{
	if (!unpack_more(u))
		return false;
	r->kind = kinds[unpack_u8(u) % (sizeof(kinds) - 1)];
	r->number = unpack_u8(u);
	r->id = unpack_view(u);
	r->value = unpack_view(u);
	return !u->bad && r->id.len < 200 && r->value.len <= STORE_VALUE_MAX;
}

/* Read what stands in BYTES and write it to OUT; -1 = malformed. */
static int carry(char kind, struct view bytes, struct buf *out)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct schema_pair pair = {0};
	struct ledger_folder folder = {0};
	struct ledger_row row = {0};
	struct ledger_intent intent = {0};

	if ((kind == 'p' && schema_get_pair(bytes, &pair, &a)) ||
	    (kind == 'f' && schema_get_folder(bytes, &folder, &a)) ||
	    (kind == 'i' && schema_get_row(bytes, &row, &a)) ||
	    (kind == 'n' && schema_get_intent(bytes, &intent, &a)))
		return -1;
	if (kind == 'p')
		schema_put_pair(out, &pair);
	else if (kind == 'f')
		schema_put_folder(out, &folder);
	else if (kind == 'i')
		schema_put_row(out, &row);
	else
		schema_put_intent(out, &intent);
	return 0;
}

static void check_record(const struct record *r)
{
	AUTO(buf_free)
	struct buf once = BUF_INIT(2 * STORE_VALUE_MAX), twice = BUF_INIT(2 * STORE_VALUE_MAX);

	if (r->kind == 's' || carry(r->kind, r->value, &once))
		return;
	must(!carry(r->kind, buf_view(&once), &twice), "what was written is read");
	must(view_eq(buf_view(&once), buf_view(&twice)), "and is the same");
}

static void fill(struct store *s, struct view input)
{
	AUTO(store_batch_free) struct store_batch batch;
	AUTO(buf_free) struct buf key = BUF_INIT(STORE_KEY_MAX);
	unsigned char pair[SCHEMA_PAIR_SIZE];
	struct unpack u = unpack_start(input);
	struct record r;
	uint64_t ticket;

	store_batch_init(&batch);
	schema_pair_id(pair, source, destination);
	for (int n = 0; n < RECORDS_MAX && next_record(&u, &r); n++) {
		check_record(&r);
		if (r.kind == 'p')
			schema_key(&key, SCHEMA_PAIR, pair, 0, (struct view){0});
		else
			schema_key(&key, (enum schema_kind)r.kind, pair, r.number, r.id);
		store_batch_put(&batch, buf_view(&key), r.value);
	}
	must(!s->ops->write(s, &batch, NULL) && !s->ops->barrier(s, &ticket, NULL) &&
		 !s->ops->wait(s, ticket, NULL),
	    "the records are kept");
}

/* ---- a ledger over them ---- */

struct seen {
	struct flags_table *flags;
	struct arena arena;
	struct ledger_row rows[IDS_MAX];
	size_t count;
};

static int see_row(void *arg, const struct ledger_row *row, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	must(row->state >= ROW_STORED && row->state <= ROW_LEFT, "a row has a state");
	must(flags_text(s->flags, row->source_base) && flags_text(s->flags, row->target_base),
	    "and sets of flags");
	if (s->count < IDS_MAX && row->source_id.len) {
		s->rows[s->count] = *row;
		s->rows[s->count].source_id = arena_copy(&s->arena, row->source_id);
		s->rows[s->count].target_id = arena_copy(&s->arena, row->target_id);
		s->rows[s->count++].reason = "";
	}
	return 0;
}

static int see_claim(void *arg, const struct identity *identity, struct err *e)
{
	(void)arg, (void)identity, (void)e;
	return 0;
}

static int work_on_folder(struct ledger *l, struct ledger_folder *f, struct seen *s, struct err *e)
{
	struct ledger_intent *intents;
	struct ledger_folder *next;
	struct ledger_row row;
	size_t count;
	bool found;

	s->count = 0;
	if (ledger_each_row(l, f, see_row, s, e) ||
	    ledger_intents(l, f, &intents, &count, &s->arena, e) ||
	    ledger_each_owner(l, f->target_raw, see_row, s, e) ||
	    ledger_each_claim(l, f, see_claim, NULL, e) || ledger_save_folder(l, f, e) ||
	    ledger_successor(l, f, &next, e))
		return -1;
	for (size_t i = 0; i < s->count; i++) {
		if (ledger_find(l, f, &s->rows[i].source_id, 1, &row, &found, &s->arena, e) ||
		    ledger_put(l, next, &s->rows[i], 0, e))
			return -1;
	}
	return ledger_succeed(l, f, next, e);
}

static int work(struct store *store, struct seen *s, struct err *e)
{
	struct ledger *l AUTO(ledger_close) = NULL;
	int failed;

	failed = ledger_open(&l, store, source, destination, s->flags, NULL, e);
	for (struct ledger_folder *f = failed ? NULL : ledger_folders(l); f && !failed; f = f->next)
		failed = work_on_folder(l, f, s, e);
	return failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_disk *disk;
	struct store *store;
	struct seen s = {0};
	struct err e = {0};

	memory_disk_new(&disk);
	memory_store_open(&store, disk);
	flags_table_new(&s.flags);
	fill(store, view_make(data, size));
	must(!work(store, &s, &e) || (e.cause == CAUSE_DAMAGED && e.scope == ERR_RUN),
	    "damage is called so");
	flags_table_free(&s.flags);
	arena_free(&s.arena);
	store->ops->close(&store);
	memory_disk_free(&disk);
	return 0;
}
