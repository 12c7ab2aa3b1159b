/* inspect_test.c - records as named values: what a ledger wrote is told whole, and what was told can be
 * put elsewhere and is byte for byte the same; a change is done wholly or not at all. */
#include "ledger/inspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ledger/ledger.h"

#define ROWS 5000u /* more than one batch holds, and more than is moved at once */

static const struct inspect_pair ab = {"anna@old", "anna@new"}, ac = {"anna@old", "anna@other"};

struct place {
	char dir[60];
};

static void place_open(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/godwit-inspect-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
}

static void place_close(struct place *p)
{
	static const char *const files[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
	char path[100];

	for (size_t i = 0; i < COUNT_OF(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", p->dir, files[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(p->dir), 0);
}

static void ok(int failed, const struct err *e)
{
	if (failed)
		fail_msg("%s", e->text);
}

/* ---- a ledger as a pass leaves it ---- */

static void put_rows(struct ledger *l, struct ledger_folder *f, struct flags_table *flags)
{
	struct err e;

	for (unsigned n = 1; n <= ROWS; n++) {
		char id[12], target[12];
		struct ledger_row row = {.state = 1 + n % 6,
		    .size = n * UINT64_C(0x100000000),
		    .object = n % 2 ? UINT64_MAX - n : 0,
		    .gone = n % 7 == 0,
		    .pass = n,
		    .source_base = flags_intern(flags, view_of(n % 2 ? "\\Seen" : "work")),
		    .target_assumed = n % 3 == 0,
		    .reason = ""};

		snprintf(id, sizeof(id), "%u", n);
		snprintf(target, sizeof(target), "%u", n + 7);
		row.source_id = view_of(id);
		row.target_id = view_of(n % 5 ? target : "");
		memset(row.digest, (int)n, sizeof(row.digest));
		if (row.state == ROW_REFUSED || row.state == ROW_OWED) {
			row.cause = CAUSE_TOO_BIG;
			row.reason = "it is \xc3\xa4 large";
		}
		ok(ledger_put(l, f, &row, 0, &e), &e);
	}
}

static void put_intents(struct ledger *l, struct ledger_folder *f)
{
	struct window_item items[2] = {
	    {.id = view_of("9001"), .state = ITEM_READ, .msgid = "<a@b>", .size = 17},
	    {.id = view_of("9002"), .state = ITEM_READ, .msgid = "", .size = 18}};
	struct window w = {.items = items, .count = 2};
	struct cursor now = {"7 8 9"};
	struct err e;

	items[0].date = (struct date){-5, -90, true};
	items[0].identity = (struct identity){.size = 20, .canonical_size = 21, .odd = true};
	memset(items[0].identity.exact, 3, sizeof(items[0].identity.exact));
	memset(items[1].identity.header, 4, sizeof(items[1].identity.header));
	ok(ledger_intend(l, f, &w, INTENT_OPEN, &now, &e), &e);
}

/* Nothing of it may be zero: what is carried shall show. */
static void fill_folder(struct ledger *l, struct ledger_folder *f)
{
	struct cursor *const cursors[] = {&f->cursor, &f->tail, &f->source, &f->target, &f->floor};
	uint64_t *const counts[] = {
	    &f->stored, &f->refused, &f->owed, &f->found, &f->left, &f->gone};

	for (size_t i = 0; i < COUNT_OF(cursors); i++)
		snprintf(cursors[i]->text, sizeof(cursors[i]->text), "%zu 2 3", i + 1);
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		*counts[i] += UINT64_C(1) << (i + 40);
	f->finished = 77;
	f->limit = UINT64_MAX - 1;
	f->subscribed = true;
	ledger_set_objects(l, f, view_of("source object"), view_of("target object"));
}

static void fill(const struct place *p)
{
	char *parts[] = {(char[]){"A"}, (char[]){"b\xff"}};
	struct ledger_folder *f;
	struct flags_table *flags;
	struct store *store;
	struct ledger *l;
	struct err e;

	flags_table_new(&flags);
	ok(store_sqlite_open(&store, p->dir, &e), &e);
	ok(ledger_open(&l, store, ab.source, ab.destination, flags, NULL, &e), &e);
	f = ledger_folder(l, view_of("A.b\xff"));
	ok(ledger_set_target(l, f, parts, 2, view_of("A/b\xff"), &e), &e);
	put_rows(l, f, flags);
	put_intents(l, f);
	ok(ledger_save_folder(l, ledger_folder(l, view_of("INBOX")), &e), &e);
	fill_folder(l, f);
	ok(ledger_save_folder(l, f, &e), &e);
	ledger_close(&l);
	store->ops->close(&store);
	flags_table_free(&flags);
}

/* ---- all records of a pair as one text ---- */

struct dump {
	struct buf text;
	size_t records;
	struct inspect *to; /* put there as well; NULL = nowhere */
};

static void dump_value(struct buf *out, const struct inspect_value *v)
{
	buf_printf(out, " %s=%d,%llu,", v->name, v->type, (unsigned long long)v->number);
	pack_view(out, v->bytes);
	for (size_t i = 0; i < v->count; i++)
		pack_view(out, v->list[i]);
}

static int take(void *arg, const struct inspect_record *r, struct err *e)
{
	struct dump *d = arg;

	d->records++;
	buf_printf(&d->text, "\n%s %u ", inspect_kind_name(r->kind), r->number);
	pack_view(&d->text, r->id);
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->values[i].name, "destination") != 0)
			dump_value(&d->text, &r->values[i]);
	return d->to ? inspect_put(d->to, &ab, r, e) : 0;
}

static void dump(
    struct dump *d, const struct place *p, const struct inspect_pair *pair, struct inspect *to)
{
	struct inspect *i;
	struct err e;

	*d = (struct dump){.text = BUF_INIT(1u << 26), .to = to};
	ok(inspect_open(&i, p->dir, false, &e), &e);
	for (size_t kind = 0; kind < INSPECT_KINDS; kind++)
		ok(inspect_each(i, pair, (enum inspect_kind)kind, 0, take, d, &e), &e);
	inspect_close(&i);
}

static void same_dump(const struct dump *a, const struct dump *b)
{
	assert_int_equal(a->records, b->records);
	assert_true(view_eq(buf_view(&a->text), buf_view(&b->text)));
}

/* ---- the bytes themselves ---- */

static int take_raw(void *arg, const struct store_row *row, struct err *e)
{
	struct buf *out = arg;

	(void)e;
	pack_view(out, row->key);
	pack_view(out, row->value);
	return 0;
}

/* Records as the store has them: a member of a struct that no table names would be lost here. */
static void raw(struct buf *out, const struct place *p)
{
	struct store *store;
	struct err e;

	*out = BUF_INIT(1u << 26);
	ok(store_sqlite_open(&store, p->dir, &e), &e);
	for (const char *kind = "pfisn"; *kind; kind++)
		ok(store->ops->scan(
		       store, view_make(kind, 1), (struct view){0}, 0, take_raw, out, &e),
		    &e);
	store->ops->close(&store);
}

static void same_raw(const struct place *a, const struct place *b)
{
	struct buf ours, theirs;

	raw(&ours, a);
	raw(&theirs, b);
	assert_true(ours.len > ROWS);
	assert_true(view_eq(buf_view(&ours), buf_view(&theirs)));
	buf_free(&ours);
	buf_free(&theirs);
}

/* ---- tests ---- */

static void test_carried(void **state)
{
	struct place from, to;
	struct dump first, second;
	struct inspect *i;
	struct err e;

	(void)state;
	place_open(&from);
	place_open(&to);
	fill(&from);
	ok(inspect_open(&i, to.dir, true, &e), &e);
	ok(inspect_begin(i, &e), &e);
	dump(&first, &from, &ab, i);
	/* pair, two sets of flags, two folders, rows, two intents */
	assert_int_equal(first.records, 1 + 2 + 2 + ROWS + 2);
	ok(inspect_commit(i, &e), &e);
	inspect_close(&i);
	dump(&second, &to, &ab, NULL);
	same_dump(&first, &second);
	same_raw(&from, &to);
	buf_free(&first.text);
	buf_free(&second.text);
	place_close(&from);
	place_close(&to);
}

/* Without commit nothing happened, however much it was. */
static void test_not_committed(void **state)
{
	struct place from, to;
	struct dump first, second;
	struct inspect *i;
	struct err e;
	bool known;

	(void)state;
	place_open(&from);
	place_open(&to);
	fill(&from);
	ok(inspect_open(&i, to.dir, true, &e), &e);
	ok(inspect_begin(i, &e), &e);
	dump(&first, &from, &ab, i);
	ok(inspect_is_known(i, &ab, &known, &e), &e);
	assert_true(known); /* to itself */
	inspect_close(&i);
	dump(&second, &to, &ab, NULL);
	assert_int_equal(second.records, 0);
	ok(inspect_open(&i, from.dir, false, &e), &e);
	ok(inspect_begin(i, &e), &e);
	ok(inspect_rename(i, &ab, &ac, &e), &e);
	inspect_close(&i);
	buf_free(&second.text);
	dump(&second, &from, &ab, NULL);
	same_dump(&first, &second);
	buf_free(&first.text);
	buf_free(&second.text);
	place_close(&from);
	place_close(&to);
}

static void test_rename(void **state)
{
	struct place p;
	struct dump before, after, rest;
	struct inspect *i;
	struct err e;
	bool known;

	(void)state;
	place_open(&p);
	fill(&p);
	dump(&before, &p, &ab, NULL);
	ok(inspect_open(&i, p.dir, false, &e), &e);
	ok(inspect_begin(i, &e), &e);
	ok(inspect_rename(i, &ab, &ac, &e), &e);
	ok(inspect_commit(i, &e), &e);
	ok(inspect_is_known(i, &ab, &known, &e), &e);
	assert_false(known);
	inspect_close(&i);
	dump(&after, &p, &ac, NULL);
	same_dump(&before, &after);
	dump(&rest, &p, NULL, NULL); /* all there is: nothing was left behind */
	assert_int_equal(rest.records, after.records);
	buf_free(&before.text);
	buf_free(&after.text);
	buf_free(&rest.text);
	place_close(&p);
}

static int take_state(void *arg, const struct inspect_record *r, struct err *e)
{
	(void)e;
	snprintf(
	    arg, 20, "%.*s", (int)inspect_bytes(r, "state").len, inspect_bytes(r, "state").data);
	return 0;
}

static void test_get(void **state)
{
	char long_id[STORE_KEY_MAX + 1], text[20] = "";
	struct inspect *i;
	struct place p;
	struct err e;
	bool found;

	(void)state;
	place_open(&p);
	if (!inspect_open(&i, p.dir, false, &e))
		fail_msg("there was none");
	assert_int_equal(e.cause, CAUSE_STATE);
	assert_int_not_equal(access(p.dir, F_OK), -1);
	fill(&p);
	ok(inspect_open(&i, p.dir, false, &e), &e);
	ok(inspect_get(i, &ab, INSPECT_ITEM, 1, view_of("2"), take_state, text, &found, &e), &e);
	assert_true(found);
	assert_string_equal(text, "refused");
	ok(inspect_get(i, &ab, INSPECT_ITEM, 1, view_of("2x"), take_state, text, &found, &e), &e);
	assert_false(found);
	memset(long_id, 'x', sizeof(long_id));
	ok(inspect_get(i, &ab, INSPECT_ITEM, 1, view_make(long_id, sizeof(long_id)), take_state,
	       text, &found, &e),
	    &e);
	assert_false(found);
	inspect_close(&i);
	place_close(&p);
}

static int spoil(void *arg, const struct inspect_record *r, struct err *e)
{
	struct inspect *to = arg;
	struct inspect_record bad;

	(void)e;
	for (size_t n = 0; n < r->count; n++) {
		bad = *r;
		bad.values[n] = bad.values[--bad.count]; /* a value is missing */
		assert_int_equal(inspect_put(to, &ab, &bad, NULL), -1);
		bad = *r;
		bad.values[n].type =
		    r->values[n].type == INSPECT_LIST ? INSPECT_NUMBER : INSPECT_LIST;
		assert_int_equal(inspect_put(to, &ab, &bad, NULL), -1);
		if (r->values[n].type != INSPECT_WORD)
			continue;
		bad = *r;
		bad.values[n].bytes = view_of("nonsense");
		assert_int_equal(inspect_put(to, &ab, &bad, NULL), -1);
	}
	bad = *r;
	bad.number = r->kind == INSPECT_PAIR;
	assert_int_equal(inspect_put(to, &ab, &bad, NULL), -1);
	return 1;
}

static void test_bad_values(void **state)
{
	struct place from, to;
	struct inspect *i, *o;
	struct err e;
	bool known;

	(void)state;
	place_open(&from);
	place_open(&to);
	fill(&from);
	ok(inspect_open(&i, from.dir, false, &e), &e);
	ok(inspect_open(&o, to.dir, true, &e), &e);
	for (size_t kind = 0; kind < INSPECT_KINDS; kind++)
		ok(inspect_each(i, &ab, (enum inspect_kind)kind, 0, spoil, o, &e), &e);
	ok(inspect_is_known(o, &ab, &known, &e), &e);
	assert_false(known);
	inspect_close(&i);
	inspect_close(&o);
	place_close(&from);
	place_close(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_carried),
	    cmocka_unit_test(test_not_committed), cmocka_unit_test(test_rename),
	    cmocka_unit_test(test_get), cmocka_unit_test(test_bad_values)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
