/* buf_test.c - buffers keep their ceiling, views compare as promised. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_ceiling_holds(void **state)
{
	struct buf b = BUF_INIT(10);

	(void)state;
	assert_int_equal(buf_add_text(&b, "0123456"), 0);
	assert_int_equal(buf_add_text(&b, "789A"), -1); /* nothing is added in part */
	assert_string_equal(b.data, "0123456");
	assert_int_equal(buf_printf(&b, "%d", 7890), -1);
	assert_int_equal(b.len, 7);
	assert_int_equal(buf_printf(&b, "%d", 789), 0);
	assert_int_equal(b.len, 10);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	assert_int_equal(buf_add(&b, "", 0), 0);
	assert_null(buf_room(&b, 1));
	assert_null(buf_room(&b, SIZE_MAX));
	buf_free(&b);
	assert_int_equal(b.max, 10);
	assert_int_equal(buf_add_text(&b, "again"), 0);
	buf_free(&b);
}

static void test_zero_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	buf_drop(&b, 0);
	buf_clear(&b);
	buf_free(&b);
}

static void test_room_and_drop(void **state)
{
	struct buf b = BUF_INIT(1000);
	char *to = buf_room(&b, 600);

	(void)state;
	assert_non_null(to);
	memset(to, 'a', 300);
	memset(to + 300, 'b', 300);
	buf_grown(&b, 600);
	assert_int_equal(b.data[600], '\0');
	buf_drop(&b, 300);
	assert_int_equal(b.len, 300);
	assert_int_equal(b.data[0], 'b');
	assert_int_equal(b.data[300], '\0');
	buf_drop(&b, 300);
	assert_int_equal(b.len, 0);
	assert_non_null(buf_room(&b, 1000));
	buf_free(&b);
}

static void test_growth(void **state)
{
	struct buf b = BUF_INIT(100000);

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf_add_char(&b, (char)('a' + i % 26)), 0);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.data[i], 'a' + i % 26);
	assert_true(b.size <= b.max + 1);
	buf_free(&b);
}

static void test_view_compare(void **state)
{
	static const struct {
		const char *a, *b;
		int order; /* sign */
		bool nocase;
	} rows[] = {
	    {"", "", 0, true},
	    {"a", "a", 0, true},
	    {"a", "A", 1, true},
	    {"abc", "abd", -1, false},
	    {"ab", "abc", -1, false},
	    {"abc", "ab", 1, false},
	    {"\xc3\xa4", "\xc3\x84", 1, false}, /* only ASCII has case here */
	    {"[", "{", -1, false},
	    {"@", "`", -1, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct view a = view_of(rows[i].a), b = view_of(rows[i].b);
		int order = view_cmp(a, b);
		assert_int_equal((order > 0) - (order < 0), rows[i].order);
		assert_int_equal(view_eq(a, b), rows[i].order == 0);
		assert_int_equal(view_is(a, rows[i].b), rows[i].order == 0);
		assert_int_equal(view_is_nocase(a, rows[i].b), rows[i].nocase);
		assert_int_equal(ascii_cmp_nocase(rows[i].a, rows[i].b) == 0, rows[i].nocase);
	}
	assert_int_equal(view_of(NULL).len, 0);
	assert_true(view_eq(view_of(NULL), view_of("")));
}

static void test_view_search(void **state)
{
	static const struct {
		const char *text, *needle;
		ptrdiff_t at;
	} rows[] = {
	    {"OK [APPENDUID 1 2]", "[appenduid ", 3},
	    {"abc", "abcd", -1},
	    {"abc", "C", 2},
	    {"", "a", -1},
	    {"abc", "", 0},
	    {"aab", "AB", 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(
		    view_find_nocase(view_of(rows[i].text), rows[i].needle), rows[i].at);
	assert_true(view_starts_nocase(view_of("AUTH=plain"), "auth="));
	assert_false(view_starts_nocase(view_of("AUT"), "auth"));
}

static void test_number(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t n;
	} rows[] = {
	    {"0", 0, 0},
	    {"007", 0, 7},
	    {"18446744073709551615", 0, UINT64_MAX},
	    {"18446744073709551616", -1, 0},
	    {"99999999999999999999999", -1, 0},
	    {"", -1, 0},
	    {"-1", -1, 0},
	    {"+1", -1, 0},
	    {" 1", -1, 0},
	    {"1 ", -1, 0},
	    {"1e5", -1, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t n = 4711;
		assert_int_equal(view_number(view_of(rows[i].text), &n), rows[i].result);
		assert_true(n == (rows[i].result ? 4711 : rows[i].n));
	}
}

static void test_hex(void **state)
{
	char out[9];

	(void)state;
	hex_encode(out, "\x00\xff\x1a\xb2", 4);
	assert_string_equal(out, "00ff1ab2");
	hex_encode(out, NULL, 0);
	assert_string_equal(out, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ceiling_holds),
	    cmocka_unit_test(test_zero_ceiling),
	    cmocka_unit_test(test_room_and_drop),
	    cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_view_compare),
	    cmocka_unit_test(test_view_search),
	    cmocka_unit_test(test_number),
	    cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
