/* arena_test.c - what an arena hands out is zeroed, aligned and apart from all else. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static bool is_zero(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 8191, 8192, 8193, 100000, 3};
	struct arena a = ARENA_INIT;
	char *got[COUNT_OF(sizes)];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT_OF(sizes); i++) {
			got[i] = arena_new(&a, sizes[i], 1);
			assert_int_equal((uintptr_t)got[i] % _Alignof(max_align_t), 0);
			assert_true(is_zero(got[i], sizes[i]));
			memset(got[i], (int)i + 1, sizes[i]);
		}
		for (size_t i = 0; i < COUNT_OF(sizes); i++)
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(got[i][k], (int)i + 1);
		assert_true(a.used > 100000);
		arena_clear(&a); /* what is reused must be zero again */
		assert_int_equal(a.used, 0);
	}
	arena_free(&a);
	arena_free(&a);
}

static void test_text(void **state)
{
	struct arena a = ARENA_INIT;
	struct view v = arena_copy(&a, view_make("a\0b", 3));

	(void)state;
	assert_int_equal(v.len, 3);
	assert_memory_equal(v.data, "a\0b", 4);
	assert_string_equal(arena_text(&a, view_make("hello world", 5)), "hello");
	assert_string_equal(arena_text(&a, (struct view){0}), "");
	assert_string_equal(arena_strdup(&a, ""), "");
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
	assert_int_equal(strlen(arena_printf(&a, "%*d", 20000, 1)), 20000);
	arena_free(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
