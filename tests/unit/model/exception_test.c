/* exception_test.c - frames come back whole, hostile ones do not come back at all. */
#include "model/exception.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct exception sample = {
    .cause = CAUSE_TOO_BIG,
    .folder = "Archive/2024",
    .target = "Archiv/2024",
    .id = "4711",
    .msgid = "<a@b>",
    .reason = "NO [TOOBIG] too big",
};

static void test_round_trip(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	AUTO(buf_free) struct buf b = BUF_INIT(1000);

	(void)state;
	for (int cause = CAUSE_NONE + 1; cause < CAUSE_COUNT; cause++) {
		struct exception in = sample, out;
		struct unpack u;
		in.cause = (enum cause)cause;
		in.msgid = cause % 2 ? "" : sample.msgid;
		in.target = NULL; /* as good as "" */
		buf_clear(&b);
		assert_int_equal(exception_pack(&b, &in), 0);
		u = unpack_start(buf_view(&b));
		assert_int_equal(exception_unpack(&u, &out, &a), 0);
		assert_int_equal(unpack_done(&u), 0);
		assert_int_equal(out.cause, cause);
		assert_string_equal(out.folder, in.folder);
		assert_string_equal(out.target, "");
		assert_string_equal(out.id, in.id);
		assert_string_equal(out.msgid, in.msgid);
		assert_string_equal(out.reason, in.reason);
	}
}

static void test_every_cut(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	AUTO(buf_free) struct buf b = BUF_INIT(1000);

	(void)state;
	assert_int_equal(exception_pack(&b, &sample), 0);
	for (size_t len = 0; len < b.len; len++) {
		struct exception out = {.id = "untouched"};
		char *exact = malloc(len ? len : 1);
		struct unpack u;
		assert_non_null(exact);
		memcpy(exact, b.data, len);
		u = unpack_start(view_make(exact, len));
		assert_int_equal(exception_unpack(&u, &out, &a), -1);
		assert_string_equal(out.id, "untouched");
		free(exact);
	}
}

static void test_hostile(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
	    {"\x00\x00\0\0\0\0\0", 7}, /* no cause */
	    {"\xff\x7f\0\0\0\0\0", 7}, /* an unknown one */
	    {"\x0c\x00\x03"
	     "a\0b\0\0\0\0",
		10}, /* NUL in a text */
	    {"\x0c\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12},
	    {"\x0c\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 12},
	};
	AUTO(arena_free) struct arena a = ARENA_INIT;
	AUTO(buf_free) struct buf b = BUF_INIT(100000);
	struct exception out;
	struct unpack u;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		u = unpack_start(view_make(rows[i].bytes, rows[i].len));
		assert_int_equal(exception_unpack(&u, &out, &a), -1);
	}
	pack_u16(&b, CAUSE_GONE); /* a text longer than any we send */
	pack_varint(&b, 50000);
	memset(buf_room(&b, 50000), 'x', 50000);
	buf_grown(&b, 50000);
	for (int i = 0; i < 4; i++)
		pack_text(&b, "");
	u = unpack_start(buf_view(&b));
	assert_int_equal(exception_unpack(&u, &out, &a), -1);
}

static void test_long_text_is_cut(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	AUTO(buf_free) struct buf b = BUF_INIT(100000);
	struct exception in = sample, out;
	char *text = arena_new(&a, 20001, 1);
	struct unpack u;

	(void)state;
	for (int i = 0; i + 3 <= 20000; i += 3)
		memcpy(text + i, "\xe6\x97\xa5", 3);
	in.reason = text;
	assert_int_equal(exception_pack(&b, &in), 0);
	u = unpack_start(buf_view(&b));
	assert_int_equal(exception_unpack(&u, &out, &a), 0);
	assert_int_equal(strlen(out.reason), 16383); /* a whole number of characters */
}

static void test_ceiling(void **state)
{
	struct buf b = BUF_INIT(0);

	(void)state;
	for (size_t max = 0; max < 60; max++) {
		b = BUF_INIT(max);
		if (exception_pack(&b, &sample) < 0)
			assert_int_equal(b.len, 0);
		buf_free(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_every_cut),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_long_text_is_cut),
	    cmocka_unit_test(test_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
