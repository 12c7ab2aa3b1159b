/* store_suite.c - the promises of store.h, as tests that run over every store there is.
 * Does not: know which store it is, nor test its errors (each store's own test does). */
#include "store_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct suite_place *place_of(void **state)
{
	return *state;
}

/* ---- tools ---- */

int suite_take(void *arg, const struct store_row *row, struct err *e)
{
	struct suite_seen *seen = arg;

	assert_non_null(row->value.data);
	buf_add_view(&seen->text, row->key);
	buf_add_char(&seen->text, '=');
	buf_add_view(&seen->text, row->value);
	buf_add_char(&seen->text, ';');
	if (++seen->rows != seen->stop_at)
		return 0;
	return seen->stop_with < 0 ? err_set(e, CAUSE_QUOTA, ERR_ITEM, "enough") : 1;
}

static struct suite_seen seen_new(void)
{
	struct suite_seen seen = {.text = BUF_INIT(64u << 20)};

	buf_add_text(&seen.text, "");
	return seen;
}

static void seen_free(struct suite_seen *seen)
{
	buf_free(&seen->text);
}

static void write_one(struct store *s, struct view key, struct view value, bool is_delete)
{
	AUTO(store_batch_free) struct store_batch b;
	struct err e;

	store_batch_init(&b);
	assert_int_equal(
	    is_delete ? store_batch_delete(&b, key) : store_batch_put(&b, key, value), 0);
	assert_int_equal(s->ops->write(s, &b, &e), 0);
}

void suite_put(struct store *s, const char *key, const char *value)
{
	write_one(s, view_of(key), view_of(value), false);
}

void suite_delete(struct store *s, const char *key)
{
	write_one(s, view_of(key), (struct view){0}, true);
}

void suite_sync(struct store *s)
{
	uint64_t ticket = 0;
	struct err e;

	assert_int_equal(s->ops->barrier(s, &ticket, &e), 0);
	assert_int_equal(s->ops->wait(s, ticket, &e), 0);
}

static void expect_scan(
    struct store *s, struct view prefix, struct view after, size_t limit, const char *text)
{
	AUTO(seen_free) struct suite_seen seen = seen_new();
	struct err e;

	assert_int_equal(s->ops->scan(s, prefix, after, limit, suite_take, &seen, &e), 0);
	assert_string_equal(seen.text.data, text);
}

void suite_expect(struct store *s, const char *prefix, const char *text)
{
	expect_scan(s, view_of(prefix), (struct view){0}, 0, text);
}

static int take_count(void *arg, const struct store_row *row, struct err *e)
{
	(void)row;
	(void)e;
	++*(size_t *)arg;
	return 0;
}

size_t suite_count(struct store *s, const char *prefix)
{
	size_t count = 0;
	struct err e;

	assert_int_equal(
	    s->ops->scan(s, view_of(prefix), (struct view){0}, 0, take_count, &count, &e), 0);
	return count;
}

void suite_fill(struct store *s, const char *prefix, size_t from, size_t count, size_t each)
{
	AUTO(store_batch_free) struct store_batch b;
	struct err e;

	store_batch_init(&b);
	for (size_t i = from; i < from + count; i++) {
		char key[64], value[32];
		snprintf(key, sizeof(key), "%s%08zu", prefix, i);
		snprintf(value, sizeof(value), "%zu", i);
		assert_int_equal(store_batch_put(&b, view_of(key), view_of(value)), 0);
		if (b.count < each && i + 1 < from + count)
			continue;
		assert_int_equal(s->ops->write(s, &b, &e), 0);
		store_batch_clear(&b);
	}
}

static int take_numbered(void *arg, const struct store_row *row, struct err *e)
{
	size_t *next = arg;
	uint64_t number;

	(void)e;
	assert_int_equal(view_number(row->value, &number), 0);
	assert_int_equal(number, *next);
	++*next;
	return 0;
}

size_t suite_prefix(struct store *s, const char *prefix)
{
	size_t next = 0;
	struct err e;

	assert_int_equal(
	    s->ops->scan(s, view_of(prefix), (struct view){0}, 0, take_numbered, &next, &e), 0);
	return next;
}

/* Open a fresh place. */
static struct store *begin(void **state)
{
	const struct suite_place *p = place_of(state);
	struct store *s = NULL;

	p->fresh(p->arg);
	p->open(p->arg, &s);
	assert_non_null(s);
	return s;
}

static void end(void **state, struct store **s)
{
	place_of(state)->close(place_of(state)->arg, s);
	assert_null(*s);
}

static void reopen(void **state, struct store **s)
{
	end(state, s);
	place_of(state)->open(place_of(state)->arg, s);
}

/* ---- the promises ---- */

static void test_order_is_that_of_bytes(void **state)
{
	struct store *s = begin(state);

	suite_put(s, "b", "2");
	suite_put(s, "a", "1");
	suite_put(s, "ab", "3");
	suite_put(s, "\xff", "9");
	suite_put(s, "\x7f", "8");
	suite_put(s, "B", "0");
	suite_expect(s, "", "B=0;a=1;ab=3;b=2;\x7f=8;\xff=9;");
	end(state, &s);
}

static void test_prefix_bounds(void **state)
{
	static const struct {
		const char *prefix, *after;
		size_t limit;
		const char *text;
	} table[] = {
	    {"a", "", 0, "a=1;a\377=2;a\377\377=3;a\377\377b=4;"},
	    {"a\377", "", 0, "a\377=2;a\377\377=3;a\377\377b=4;"},
	    {"a\377\377", "", 0, "a\377\377=3;a\377\377b=4;"},
	    {"\377", "", 0, "\377=6;\377\377=7;\377\377\377\377=8;"},
	    {"\377\377", "", 0, "\377\377=7;\377\377\377\377=8;"},
	    {"\377\377\377\377\377", "", 0, ""},
	    {"b", "", 0, "b=5;"},
	    {"aa", "", 0, ""},
	    {"c", "", 0, ""},
	    /* after: below, inside, absent, the last, above the prefix */
	    {"a", "A", 0, "a=1;a\377=2;a\377\377=3;a\377\377b=4;"},
	    {"a", "a", 0, "a\377=2;a\377\377=3;a\377\377b=4;"},
	    {"a", "ab", 1, "a\377=2;"},
	    {"a", "a\377\377", 0, "a\377\377b=4;"},
	    {"a", "a\377\377b", 0, ""},
	    {"a", "b", 0, ""},
	    {"b", "a", 0, "b=5;"},
	    {"\377", "\377\377", 0, "\377\377\377\377=8;"},
	    {"\377", "\377\377\377\377", 0, ""},
	    /* limits */
	    {"", "", 2, "a=1;a\377=2;"},
	    {"", "a\377", 3, "a\377\377=3;a\377\377b=4;b=5;"},
	    {"a", "", 4, "a=1;a\377=2;a\377\377=3;a\377\377b=4;"},
	    {"a", "", SIZE_MAX, "a=1;a\377=2;a\377\377=3;a\377\377b=4;"},
	};
	static const char *const keys[] = {
	    "a", "a\377", "a\377\377", "a\377\377b", "b", "\377", "\377\377", "\377\377\377\377"};
	struct store *s = begin(state);

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		suite_put(s, keys[i], (char[]){(char)('1' + i), 0});
	for (size_t i = 0; i < COUNT_OF(table); i++)
		expect_scan(s, view_of(table[i].prefix), view_of(table[i].after), table[i].limit,
		    table[i].text);
	expect_scan(s, (struct view){0}, (struct view){0}, 1, "a=1;");
	end(state, &s);
}

static void test_keys_with_zero_bytes(void **state)
{
	static const struct view keys[] = {{"k", 1}, {"k\0", 2}, {"k\0\0", 3}, {"k\0\1", 3}};
	struct store *s = begin(state);
	size_t count = 0;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		write_one(s, keys[i], view_make("v\0w", 3), false);
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		count = 0;
		assert_int_equal(
		    s->ops->scan(s, view_of("k"), keys[i], 0, take_count, &count, &e), 0);
		assert_int_equal(count, COUNT_OF(keys) - 1 - i);
	}
	count = 0;
	assert_int_equal(s->ops->scan(s, keys[1], (struct view){0}, 0, take_count, &count, &e), 0);
	assert_int_equal(count, 3);
	end(state, &s);
}

static void test_longest_key(void **state)
{
	char bytes[STORE_KEY_MAX];
	struct store *s = begin(state);
	struct view key = view_make(bytes, sizeof(bytes));
	size_t count = 0;
	struct err e;

	memset(bytes, 0xff, sizeof(bytes));
	write_one(s, key, view_of("long"), false);
	assert_int_equal(suite_count(s, "\xff"), 1);
	assert_int_equal(s->ops->scan(s, key, (struct view){0}, 0, take_count, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(s->ops->scan(s, view_of("\xff"), key, 0, take_count, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(s->ops->get(s, &key, 1, take_count, &count, &e), 0);
	assert_int_equal(count, 2);
	end(state, &s);
}

static void test_overwrite_and_delete(void **state)
{
	struct store *s = begin(state);

	suite_put(s, "a", "1");
	suite_put(s, "b", "2");
	suite_put(s, "a", "changed");
	suite_delete(s, "b");
	suite_delete(s, "never there");
	suite_put(s, "empty", "");
	suite_expect(s, "", "a=changed;empty=;");
	suite_sync(s);
	suite_delete(s, "a");
	suite_put(s, "b", "again");
	suite_expect(s, "", "b=again;empty=;");
	end(state, &s);
}

static void test_order_within_a_batch(void **state)
{
	AUTO(store_batch_free) struct store_batch b;
	struct store *s = begin(state);
	struct err e;

	store_batch_init(&b);
	store_batch_put(&b, view_of("a"), view_of("1"));
	store_batch_delete(&b, view_of("a"));
	store_batch_put(&b, view_of("b"), view_of("1"));
	store_batch_put(&b, view_of("b"), view_of("2"));
	store_batch_delete(&b, view_of("c"));
	store_batch_put(&b, view_of("c"), view_of("3"));
	assert_int_equal(s->ops->write(s, &b, &e), 0);
	store_batch_clear(&b);
	assert_int_equal(s->ops->write(s, &b, &e), 0);
	suite_expect(s, "", "b=2;c=3;");
	end(state, &s);
}

static void test_get(void **state)
{
	const struct view keys[] = {
	    view_of("c"), view_of("none"), view_of("a"), view_of("a"), view_of("c"), view_of("zz")};
	AUTO(seen_free) struct suite_seen seen = seen_new();
	struct store *s = begin(state);
	struct err e;

	suite_put(s, "a", "1");
	suite_put(s, "b", "2");
	suite_put(s, "c", "");
	assert_int_equal(s->ops->get(s, keys, COUNT_OF(keys), suite_take, &seen, &e), 0);
	assert_string_equal(seen.text.data, "c=;a=1;a=1;c=;");
	assert_int_equal(s->ops->get(s, keys, 0, suite_take, &seen, &e), 0);
	assert_int_equal(s->ops->get(s, keys + 1, 1, suite_take, &seen, &e), 0);
	assert_int_equal(seen.rows, 4);
	end(state, &s);
}

/* Enough, or an error of the taker's, ends the call and leaves the store sound. */
static void test_taker_stops(void **state)
{
	const struct view keys[] = {view_of("a"), view_of("b"), view_of("c")};
	struct store *s = begin(state);

	suite_put(s, "a", "1");
	suite_put(s, "b", "2");
	suite_put(s, "c", "3");
	for (int with = -1; with <= 1; with += 2) {
		AUTO(seen_free) struct suite_seen scan = seen_new();
		AUTO(seen_free) struct suite_seen get = seen_new();
		struct err e = {0};
		scan.stop_at = get.stop_at = 2;
		scan.stop_with = get.stop_with = with;
		assert_int_equal(
		    s->ops->scan(s, view_of(""), view_of(""), 0, suite_take, &scan, &e),
		    with < 0 ? -1 : 0);
		assert_int_equal(e.cause, with < 0 ? CAUSE_QUOTA : CAUSE_NONE);
		assert_int_equal(s->ops->get(s, keys, 3, suite_take, &get, &e), with < 0 ? -1 : 0);
		assert_string_equal(scan.text.data, "a=1;b=2;");
		assert_string_equal(get.text.data, "a=1;b=2;");
	}
	suite_put(s, "d", "4");
	suite_sync(s);
	suite_expect(s, "", "a=1;b=2;c=3;d=4;");
	end(state, &s);
}

static int take_long(void *arg, const struct store_row *row, struct err *e)
{
	size_t *rows = arg;

	(void)e;
	assert_int_equal(row->value.len, STORE_VALUE_MAX);
	for (size_t i = 0; i < row->value.len; i += 997)
		assert_int_equal((unsigned char)row->value.data[i],
		    ((size_t)(row->key.data[0] - '0') + i) % 251);
	++*rows;
	return 0;
}

/* Forty of the longest values: more than one frame, and more than is gathered. */
static void test_longest_values(void **state)
{
	char *value = mem_new(STORE_VALUE_MAX, 1);
	struct store *s = begin(state);
	struct view keys[40];
	char names[40][2];
	size_t rows = 0;
	struct err e;

	for (size_t n = 0; n < COUNT_OF(keys); n++) {
		names[n][0] = (char)('0' + n);
		keys[n] = view_make(names[n], 1);
		for (size_t i = 0; i < STORE_VALUE_MAX; i++)
			value[i] = (char)(unsigned char)((n + i) % 251);
		write_one(s, keys[n], view_make(value, STORE_VALUE_MAX), false);
	}
	assert_int_equal(s->ops->scan(s, view_of(""), view_of(""), 0, take_long, &rows, &e), 0);
	assert_int_equal(rows, COUNT_OF(keys));
	assert_int_equal(s->ops->get(s, keys, COUNT_OF(keys), take_long, &rows, &e), 0);
	assert_int_equal(rows, 2 * COUNT_OF(keys));
	free(value);
	end(state, &s);
}

static void test_fullest_batch(void **state)
{
	AUTO(store_batch_free) struct store_batch b;
	char *value = mem_new(STORE_VALUE_MAX, 1), key[16];
	struct store *s = begin(state);
	struct err e;

	store_batch_init(&b);
	for (size_t round = 0; round < 3; round++) {
		store_batch_clear(&b);
		do
			snprintf(key, sizeof(key), "%zu-%zu", round, b.count);
		while (!store_batch_put(&b, view_of(key), view_make(value, STORE_VALUE_MAX)));
		assert_int_equal(s->ops->write(s, &b, &e), 0);
	}
	assert_int_equal(suite_count(s, ""), 3 * b.count);
	suite_sync(s);
	assert_int_equal(suite_count(s, "1-"), b.count);
	free(value);
	end(state, &s);
}

static void test_ten_thousand_rows(void **state)
{
	struct store *s = begin(state);
	struct view keys[1500];
	char names[COUNT_OF(keys)][16];
	size_t rows = 0;
	struct err e;

	suite_fill(s, "x", 0, 10000, 100);
	suite_fill(s, "w", 0, 10, 1);
	suite_fill(s, "y", 0, 10, 1);
	assert_int_equal(suite_prefix(s, "x"), 10000);
	assert_int_equal(suite_count(s, ""), 10020);
	assert_int_equal(suite_count(s, "x0000001"), 10);
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		snprintf(names[i], sizeof(names[i]), "x%08zu", i * 13);
		keys[i] = view_of(names[i]);
	}
	assert_int_equal(s->ops->get(s, keys, COUNT_OF(keys), take_count, &rows, &e), 0);
	assert_int_equal(rows, 770); /* of 10,000 every 13th */
	end(state, &s);
}

/* Pages of every size give the same rows, each once. */
static int take_page(void *arg, const struct store_row *row, struct err *e)
{
	struct suite_seen *seen = arg;

	(void)e;
	buf_clear(&seen->text);
	buf_add_view(&seen->text, row->key);
	seen->rows++;
	return 0;
}

static void test_pages(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 7, 99, 100, 101, 1000};
	struct store *s = begin(state);
	struct err e;

	suite_fill(s, "p", 0, 100, 10);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		AUTO(seen_free) struct suite_seen seen = seen_new();
		size_t before;
		do {
			struct buf after = BUF_INIT(STORE_KEY_MAX);
			before = seen.rows;
			buf_add_view(&after, buf_view(&seen.text));
			assert_int_equal(s->ops->scan(s, view_of("p"), buf_view(&after), sizes[i],
					     take_page, &seen, &e),
			    0);
			assert_true(seen.rows - before <= sizes[i]);
			buf_free(&after);
		} while (seen.rows > before);
		assert_int_equal(seen.rows, 100);
	}
	end(state, &s);
}

static void test_durable_after_reopen(void **state)
{
	struct store *s = begin(state);

	suite_fill(s, "d", 0, 500, 50);
	suite_sync(s);
	reopen(state, &s);
	assert_int_equal(suite_prefix(s, "d"), 500);
	suite_put(s, "e", "1");
	suite_sync(s);
	reopen(state, &s);
	assert_int_equal(suite_count(s, ""), 501);
	end(state, &s);
}

/* Barriers may be many, out with nothing new, and waited for out of order. */
static void test_barriers(void **state)
{
	struct store *s = begin(state);
	uint64_t tickets[5];
	struct err e;

	suite_sync(s);
	for (size_t i = 0; i < COUNT_OF(tickets); i++) {
		if (i != 3)
			suite_fill(s, "b", i * 10, 10, 5);
		assert_int_equal(s->ops->barrier(s, tickets + i, &e), 0);
		assert_true(i == 0 || tickets[i] >= tickets[i - 1]);
	}
	assert_int_equal(s->ops->wait(s, tickets[4], &e), 0);
	assert_int_equal(s->ops->wait(s, tickets[1], &e), 0);
	assert_int_equal(s->ops->wait(s, tickets[4], &e), 0);
	assert_int_equal(suite_count(s, "b"), 40);
	end(state, &s);
}

/* Written, seen, perhaps not durable: after the crash there is a prefix of whole batches, and all
 * that was waited for. */
static void test_crash_keeps_a_prefix(void **state)
{
	const struct suite_place *p = place_of(state);
	struct store *s = begin(state);
	size_t left;

	suite_fill(s, "c", 0, 300, 30);
	suite_sync(s);
	suite_fill(s, "c", 300, 300, 30);
	assert_int_equal(suite_prefix(s, "c"), 600);
	suite_fill(s, "c", 600, 300, 30);
	p->crash(p->arg, &s);
	p->open(p->arg, &s);
	left = suite_prefix(s, "c");
	assert_true(left >= 300 && left <= 900 && left % 30 == 0);
	suite_put(s, "after", "1");
	suite_sync(s);
	reopen(state, &s);
	suite_expect(s, "after", "after=1;");
	end(state, &s);
}

static void test_close_of_nothing(void **state)
{
	struct store *s = begin(state), *none = NULL;

	s->ops->close(&none);
	assert_null(none);
	end(state, &s);
}

int suite_run(const char *name, const struct suite_place *place)
{
	void *state = (void *)(uintptr_t)place;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_order_is_that_of_bytes, state),
	    cmocka_unit_test_prestate(test_prefix_bounds, state),
	    cmocka_unit_test_prestate(test_keys_with_zero_bytes, state),
	    cmocka_unit_test_prestate(test_longest_key, state),
	    cmocka_unit_test_prestate(test_overwrite_and_delete, state),
	    cmocka_unit_test_prestate(test_order_within_a_batch, state),
	    cmocka_unit_test_prestate(test_get, state),
	    cmocka_unit_test_prestate(test_taker_stops, state),
	    cmocka_unit_test_prestate(test_longest_values, state),
	    cmocka_unit_test_prestate(test_fullest_batch, state),
	    cmocka_unit_test_prestate(test_ten_thousand_rows, state),
	    cmocka_unit_test_prestate(test_pages, state),
	    cmocka_unit_test_prestate(test_durable_after_reopen, state),
	    cmocka_unit_test_prestate(test_barriers, state),
	    cmocka_unit_test_prestate(test_crash_keeps_a_prefix, state),
	    cmocka_unit_test_prestate(test_close_of_nothing, state),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
