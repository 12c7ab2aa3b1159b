/* flags_test.c - equal sets have equal ids, whatever their spelling; arithmetic is that of sets. */
#include "model/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static int make_table(void **state)
{
	flags_table_new((struct flags_table **)state);
	return 0;
}

static int free_table(void **state)
{
	flags_table_free((struct flags_table **)state);
	assert_null(*state);
	flags_table_free((struct flags_table **)state); /* NULL is fine */
	return 0;
}

static uint32_t intern(struct flags_table *t, const char *text)
{
	return flags_intern(t, view_of(text));
}

static void test_canonical_text(void **state)
{
	static const struct {
		const char *in, *out;
		unsigned system;
		bool keywords;
	} rows[] = {
	    {"", "", 0, false},
	    {"   ", "", 0, false},
	    {"\\Seen", "\\Seen", FLAG_SEEN, false},
	    {"\\sEEN", "\\Seen", FLAG_SEEN, false},
	    {"\\Draft \\Seen \\Deleted \\Flagged \\Answered",
		"\\Answered \\Flagged \\Deleted \\Seen \\Draft", 31, false},
	    {"\\Seen \\seen  \\SEEN", "\\Seen", FLAG_SEEN, false},
	    {"\\Recent", "", 0, false},
	    {"\\Recent \\Seen \\recent", "\\Seen", FLAG_SEEN, false},
	    {"b a \\Seen", "\\Seen a b", FLAG_SEEN, true},
	    {"$Forwarded", "$Forwarded", 0, true},
	    {"$FORWARDED \\Flagged", "\\Flagged $Forwarded", FLAG_FLAGGED, true},
	    {"z \\Custom $x Q", "$x Q \\Custom z", 0, true},
	    {"\tw\r\n", "w", 0, true}, /* whatever is not above a blank separates */
	    {"keyw\xc3\xb6rt", "keyw\xc3\xb6rt", 0, true},
	};
	struct flags_table *t = *state;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			uint32_t id = intern(t, rows[i].in);
			assert_string_equal(flags_text(t, id), rows[i].out);
			assert_int_equal(flags_system(t, id), rows[i].system);
			assert_int_equal(flags_has_keywords(t, id), rows[i].keywords);
			assert_int_equal(intern(t, rows[i].out), id);
			assert_int_equal(id == FLAGS_NONE, !*rows[i].out);
		}
	}
}

static void test_nul_separates(void **state)
{
	struct flags_table *t = *state;

	assert_string_equal(flags_text(t, flags_intern(t, view_make("a\0b", 3))), "a b");
	assert_int_equal(flags_intern(t, (struct view){0}), FLAGS_NONE);
}

static void test_first_spelling_stays(void **state)
{
	struct flags_table *t = *state;
	uint32_t id = intern(t, "NonJunk $MDNSent");

	assert_int_equal(intern(t, "$mdnsent nonjunk"), id);
	assert_string_equal(flags_text(t, intern(t, "NONJUNK")), "NonJunk");
}

static void test_arithmetic(void **state)
{
	static const struct {
		const char *a, *b, *sum, *minus, *common;
	} rows[] = {
	    {"", "", "", "", ""},
	    {"\\Seen", "", "\\Seen", "\\Seen", ""},
	    {"", "\\Seen", "\\Seen", "", ""},
	    {"\\Seen x", "\\Seen x", "\\Seen x", "", "\\Seen x"},
	    {"\\Seen \\Flagged", "\\Seen \\Draft", "\\Flagged \\Seen \\Draft", "\\Flagged",
		"\\Seen"},
	    {"a c e", "b c d", "a b c d e", "a e", "c"},
	    {"\\Answered z", "a \\Draft", "\\Answered \\Draft a z", "\\Answered z", ""},
	    {"KEY", "key \\Seen", "\\Seen KEY", "", "KEY"},
	};
	struct flags_table *t = *state;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint32_t a = intern(t, rows[i].a), b = intern(t, rows[i].b);
		assert_string_equal(flags_text(t, flags_union(t, a, b)), rows[i].sum);
		assert_int_equal(flags_union(t, a, b), flags_union(t, b, a));
		assert_string_equal(flags_text(t, flags_minus(t, a, b)), rows[i].minus);
		assert_string_equal(flags_text(t, flags_common(t, a, b)), rows[i].common);
		assert_int_equal(flags_common(t, a, b), flags_common(t, b, a));
	}
	assert_string_equal(
	    flags_text(t, flags_only_system(t, intern(t, "a \\Draft z \\Seen"))), "\\Seen \\Draft");
	assert_int_equal(flags_only_system(t, intern(t, "a z")), FLAGS_NONE);
	assert_int_equal(flags_only_system(t, FLAGS_NONE), FLAGS_NONE);
}

/* (a minus b) and (a and b) make a again; union's parts are there: over pseudo-random sets. */
static void test_laws(void **state)
{
	struct flags_table *t = *state;
	uint32_t ids[200];
	unsigned seed = 1;

	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		AUTO(buf_free) struct buf b = BUF_INIT(1000);
		for (int k = 0; k < 8; k++) {
			seed = seed * 1103515245u + 12345u;
			if (seed >> 16 & 1)
				buf_printf(&b, "%s%u ", k & 1 ? "Key" : "\\X", (seed >> 20) % 12);
			if (seed >> 17 & 1)
				buf_add_text(&b, k & 1 ? "\\Seen " : "\\draft ");
		}
		ids[i] = flags_intern(t, buf_view(&b));
	}
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		for (size_t k = 0; k < COUNT_OF(ids); k++) {
			uint32_t a = ids[i], b = ids[k];
			uint32_t minus = flags_minus(t, a, b), common = flags_common(t, a, b);
			assert_int_equal(flags_union(t, minus, common), a);
			assert_int_equal(flags_common(t, minus, b), FLAGS_NONE);
			assert_int_equal(
			    flags_minus(t, flags_union(t, a, b), a), flags_minus(t, b, a));
			assert_int_equal(intern(t, flags_text(t, a)), a);
		}
	}
}

/* Many names, many sets: growth of all tables, and texts that stay where they are. */
static void test_many(void **state)
{
	struct flags_table *t = *state;
	const char *first = flags_text(t, intern(t, "first"));
	char text[64];

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "k%u \\Seen k%u", i % 3000, i / 7);
		assert_int_not_equal(intern(t, text), FLAGS_NONE);
	}
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t id;
		snprintf(text, sizeof(text), "K%u  K%u \\seen", i / 7, i % 3000);
		id = intern(t, text);
		snprintf(text, sizeof(text), "k%u \\Seen k%u", i % 3000, i / 7);
		assert_int_equal(intern(t, text), id);
	}
	assert_string_equal(first, "first");
	assert_ptr_equal(first, flags_text(t, intern(t, "FIRST")));
}

static void test_long_text(void **state)
{
	struct flags_table *t = *state;
	AUTO(buf_free) struct buf b = BUF_INIT(100000);
	uint32_t id;

	for (int i = 999; i >= 0; i--)
		buf_printf(&b, "keyword%03d ", i);
	id = flags_intern(t, buf_view(&b));
	assert_int_equal(flags_intern(t, buf_view(&b)), id);
	assert_int_equal(strncmp(flags_text(t, id), "keyword000 keyword001 ", 22), 0);
	assert_int_equal(strlen(flags_text(t, id)), b.len - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_canonical_text, make_table, free_table),
	    cmocka_unit_test_setup_teardown(test_nul_separates, make_table, free_table),
	    cmocka_unit_test_setup_teardown(test_first_spelling_stays, make_table, free_table),
	    cmocka_unit_test_setup_teardown(test_arithmetic, make_table, free_table),
	    cmocka_unit_test_setup_teardown(test_laws, make_table, free_table),
	    cmocka_unit_test_setup_teardown(test_many, make_table, free_table),
	    cmocka_unit_test_setup_teardown(test_long_text, make_table, free_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
