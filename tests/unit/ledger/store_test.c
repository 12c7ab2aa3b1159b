/* store_test.c - batches, and the memory twin: it keeps the store's promises, fails where it is told
 * to, and forgets what was not durable. */
#include "ledger/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory_store.h"
#include "store_suite.h"

/* ---- batches ---- */

static void test_batch_gives_back_what_was_put(void **state)
{
	AUTO(store_batch_free) struct store_batch b;
	struct view key, value;
	struct unpack u;

	(void)state;
	store_batch_init(&b);
	assert_int_equal(store_batch_put(&b, view_of("k"), view_of("v")), 0);
	assert_int_equal(store_batch_delete(&b, view_of("gone")), 0);
	assert_int_equal(store_batch_put(&b, view_of("e"), (struct view){0}), 0);
	assert_int_equal(b.count, 3);
	u = unpack_start(buf_view(&b.ops));
	assert_int_equal(store_batch_next(&u, &key, &value), 1);
	assert_true(view_is(key, "k") && view_is(value, "v"));
	assert_int_equal(store_batch_next(&u, &key, &value), 1);
	assert_true(view_is(key, "gone") && !value.data);
	assert_int_equal(store_batch_next(&u, &key, &value), 1);
	assert_true(view_is(key, "e") && value.data && !value.len);
	assert_int_equal(store_batch_next(&u, &key, &value), 0);
	assert_int_equal(store_batch_next(&u, &key, &value), 0);
	store_batch_clear(&b);
	assert_int_equal(b.count, 0);
	u = unpack_start(buf_view(&b.ops));
	assert_int_equal(store_batch_next(&u, &key, &value), 0);
}

static void test_full_batch_takes_nothing_in_part(void **state)
{
	AUTO(store_batch_free) struct store_batch b;
	char *value = mem_new(STORE_VALUE_MAX, 1);
	struct view k, v;
	struct unpack u;
	size_t len, seen = 0;

	(void)state;
	store_batch_init(&b);
	while (!store_batch_put(&b, view_of("key"), view_make(value, STORE_VALUE_MAX)))
		;
	len = b.ops.len;
	assert_int_equal(b.count, STORE_BATCH_MAX / (STORE_VALUE_MAX + 8));
	assert_int_equal(
	    store_batch_put(&b, view_of("key"), view_make(value, STORE_VALUE_MAX)), -1);
	assert_int_equal(b.ops.len, len);
	assert_int_equal(store_batch_delete(&b, view_of("small")), 0);
	u = unpack_start(buf_view(&b.ops));
	while (store_batch_next(&u, &k, &v) == 1)
		seen++;
	assert_int_equal(unpack_done(&u), 0);
	assert_int_equal(seen, b.count);
	free(value);
}

static void put_longest(struct store_batch *b, size_t key, size_t value, char *bytes)
{
	pack_u8(&b->ops, 1);
	pack_view(&b->ops, view_make(bytes, key));
	pack_view(&b->ops, view_make(bytes, value));
}

/* 1 = well-formed to the end. */
static int walk(struct view packed)
{
	struct unpack u = unpack_start(packed);
	struct view key, value;
	int more;

	while ((more = store_batch_next(&u, &key, &value)) == 1) {
		assert_in_range(key.len, 1, STORE_KEY_MAX);
		assert_in_range(value.len, 0, STORE_VALUE_MAX);
	}
	if (more < 0) /* and stays so */
		assert_int_equal(store_batch_next(&u, &key, &value), -1);
	return more == 0;
}

static void test_malformed_batches(void **state)
{
	static const struct {
		struct view packed;
		int good;
	} table[] = {
	    {{"", 0}, 1}, {{"\1\1k\0", 4}, 1}, {{"\2\1k", 3}, 1},
	    {{"\0\1k\0", 4}, 0},                                     /* no such op */
	    {{"\3\1k", 3}, 0},                                       /* no such op */
	    {{"\1\0\0", 3}, 0},                                      /* empty key */
	    {{"\2\0", 2}, 0},                                        /* empty key */
	    {{"\1\1k\2v", 5}, 0},                                    /* value cut off */
	    {{"\2\5k", 3}, 0},                                       /* key cut off */
	    {{"\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1k", 12}, 0},  /* length of 2^64-1 */
	    {{"\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7fk", 12}, 0} /* not a number */
	};
	AUTO(store_batch_free) struct store_batch b;
	char *bytes = mem_new(STORE_VALUE_MAX + 1, 1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		assert_int_equal(walk(table[i].packed), table[i].good);
	store_batch_init(&b);
	put_longest(&b, STORE_KEY_MAX, STORE_VALUE_MAX, bytes);
	assert_int_equal(walk(buf_view(&b.ops)), 1);
	store_batch_clear(&b);
	put_longest(&b, STORE_KEY_MAX + 1, 1, bytes);
	assert_int_equal(walk(buf_view(&b.ops)), 0);
	store_batch_clear(&b);
	put_longest(&b, 1, STORE_VALUE_MAX + 1, bytes);
	assert_int_equal(walk(buf_view(&b.ops)), 0);
	free(bytes);
}

/* Whatever the bytes, the walk stays inside (ASan watches) and ends. */
static void test_batches_of_noise(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)(rand_r(&seed) % 24);
		char *bytes = malloc(len + !len);
		assert_non_null(bytes);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(rand_r(&seed) % (round % 2 ? 256 : 4));
		walk(view_make(bytes, len));
		free(bytes);
	}
}

/* ---- the twin fails as told ---- */

static void test_twin_loses_what_was_not_durable(void **state)
{
	struct memory_disk *d;

	(void)state;
	for (size_t keep = 0; keep <= 7; keep++) {
		struct store *s;
		memory_disk_new(&d);
		memory_store_open(&s, d);
		suite_fill(s, "k", 0, 20, 2);
		suite_sync(s);
		suite_fill(s, "k", 20, 10, 2);
		assert_int_equal(memory_disk_pending(d), 5);
		assert_int_equal(suite_prefix(s, "k"), 30);
		s->ops->close(&s);
		memory_disk_crash(d, keep);
		memory_store_open(&s, d);
		assert_int_equal(suite_prefix(s, "k"), 20 + 2 * (keep < 5 ? keep : 5));
		s->ops->close(&s);
		memory_disk_free(&d);
	}
}

/* A barrier alone makes nothing durable. */
static void test_twin_barrier_is_only_a_promise(void **state)
{
	struct memory_disk *d;
	struct store *s;
	uint64_t first, second;
	struct err e;

	(void)state;
	memory_disk_new(&d);
	memory_store_open(&s, d);
	suite_put(s, "a", "1");
	assert_int_equal(s->ops->barrier(s, &first, &e), 0);
	suite_put(s, "b", "2");
	assert_int_equal(s->ops->barrier(s, &second, &e), 0);
	assert_int_equal(memory_disk_pending(d), 2);
	assert_int_equal(s->ops->wait(s, first, &e), 0);
	assert_int_equal(memory_disk_pending(d), 1);
	memory_disk_crash(d, 0);
	suite_expect(s, "", "a=1;");
	s->ops->close(&s);
	memory_disk_free(&d);
}

/* Three writes, each waited for; how many calls succeed. */
static int write_three(struct store *s)
{
	AUTO(store_batch_free) struct store_batch b;
	uint64_t ticket;
	struct err e;

	store_batch_init(&b);
	for (int i = 0; i < 3; i++) {
		char key[2] = {(char)('a' + i), 0};
		store_batch_clear(&b);
		store_batch_put(&b, view_of(key), view_of(""));
		if (s->ops->write(s, &b, &e))
			return 3 * i;
		if (s->ops->barrier(s, &ticket, &e))
			return 3 * i + 1;
		if (s->ops->wait(s, ticket, &e))
			return 3 * i + 2;
	}
	return 9;
}

static void test_twin_fails_at_every_call(void **state)
{
	struct memory_disk *d, *whole;
	struct store *s;

	(void)state;
	memory_disk_new(&d);
	memory_disk_new(&whole);
	memory_store_open(&s, whole);
	assert_int_equal(write_three(s), 9);
	s->ops->close(&s);
	for (unsigned how = MEMORY_BEFORE; how <= MEMORY_AFTER; how++)
		for (unsigned n = 1; n <= 10; n++) {
			size_t durable = (n - (how == MEMORY_BEFORE)) / 3;
			memory_disk_clear(d);
			d->fail_at = n;
			d->how = (enum memory_failure)how;
			memory_store_open(&s, d);
			assert_int_equal(write_three(s), n - 1);
			write_three(s); /* nothing more gets through */
			s->ops->close(&s);
			memory_disk_crash(d, 0);
			memory_store_open(&s, d);
			assert_int_equal(suite_count(s, ""), durable);
			assert_int_equal(memory_disk_equal(d, whole), durable == 3);
			s->ops->close(&s);
		}
	memory_disk_free(&d);
	memory_disk_free(&whole);
}

static void test_twin_copies(void **state)
{
	struct memory_disk *d, *copy;
	struct store *s;

	(void)state;
	memory_disk_new(&d);
	memory_store_open(&s, d);
	suite_fill(s, "k", 0, 10, 1);
	suite_sync(s);
	suite_fill(s, "k", 10, 10, 1);
	memory_disk_copy(&copy, d);
	assert_true(memory_disk_equal(copy, d));
	memory_disk_crash(copy, 3);
	assert_false(memory_disk_equal(copy, d));
	assert_int_equal(suite_prefix(s, "k"), 20);
	s->ops->close(&s);
	memory_store_open(&s, copy);
	assert_int_equal(suite_prefix(s, "k"), 13);
	s->ops->close(&s);
	memory_disk_free(&copy);
	memory_disk_free(&d);
	memory_disk_free(&d);
}

/* ---- the suite over the twin ---- */

static void memory_fresh(void *arg)
{
	memory_disk_clear(arg);
}

static void memory_open(void *arg, struct store **s)
{
	memory_store_open(s, arg);
}

static void memory_shut(void *arg, struct store **s)
{
	(void)arg;
	(*s)->ops->close(s);
}

static void memory_crash(void *arg, struct store **s)
{
	(*s)->ops->close(s);
	memory_disk_crash(arg, memory_disk_pending(arg) / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_batch_gives_back_what_was_put),
	    cmocka_unit_test(test_full_batch_takes_nothing_in_part),
	    cmocka_unit_test(test_malformed_batches),
	    cmocka_unit_test(test_batches_of_noise),
	    cmocka_unit_test(test_twin_loses_what_was_not_durable),
	    cmocka_unit_test(test_twin_barrier_is_only_a_promise),
	    cmocka_unit_test(test_twin_fails_at_every_call),
	    cmocka_unit_test(test_twin_copies),
	};
	struct suite_place place = {memory_fresh, memory_open, memory_shut, memory_crash, NULL};
	struct memory_disk *d;
	int failed;

	memory_disk_new(&d);
	place.arg = d;
	failed = cmocka_run_group_tests_name("batch and twin", tests, NULL, NULL);
	failed += suite_run("store: memory", &place);
	memory_disk_free(&d);
	return failed;
}
