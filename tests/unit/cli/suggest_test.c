/* "did you mean ...?" */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/suggest.h"

static void test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned far;
	} cases[] = {{"", "", 0}, {"", "abc", 3}, {"copy", "copy", 0}, {"cpoy", "copy", 1},
	    {"coppy", "copy", 1}, {"kitten", "sitting", 3},
	    {"an option name that is much longer than forty bytes", "x", 99}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].far);
		assert_int_equal(suggest_distance(cases[i].b, cases[i].a), cases[i].far);
	}
}

static void test_names(void **state)
{
	static const char *const names[] = {"timeout", "settle", "state", "source-password-file"};
	static const struct {
		const char *word, *near;
	} cases[] = {{"timout", "timeout"}, {"stat", "state"}, {"setle", "settle"},
	    {"source-pass", "source-password-file"}, {"zzz", NULL}, {"x", NULL}, {"", NULL}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *near =
		    suggest_name(cases[i].word, names, COUNT_OF(names), sizeof(names[0]));
		if (cases[i].near)
			assert_string_equal(near, cases[i].near);
		else
			assert_null(near);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_distance), cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
