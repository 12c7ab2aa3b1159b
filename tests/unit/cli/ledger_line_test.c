/* Records as JSON lines and back: whatever bytes a name has, whatever size a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/ledger_line.h"

static void same_bytes(struct view a, struct view b)
{
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.data, b.data, a.len);
}

/* By way of a line, as export and import do it. */
static void carry(const struct inspect_record *r, struct inspect_record *back, struct arena *a)
{
	AUTO(buf_free) struct buf line = BUF_INIT(JSONLINE_MAX);
	json_t *o;
	struct err e;

	jsonline_add(&line, ledger_line_object(r));
	assert_null(memchr(line.data, '\n', line.len - 1));
	o = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	if (ledger_line_read(o, back, a, &e))
		fail_msg("%s: %s", line.data, e.text);
	for (size_t i = 0; i < back->count; i++)
		back->values[i].name = arena_strdup(a, back->values[i].name);
	back->id = arena_copy(a, back->id);
	for (size_t i = 0; i < back->count; i++)
		back->values[i].bytes = arena_copy(a, back->values[i].bytes);
	json_decref(o);
}

static void test_bytes(void **state)
{
	static const struct view cases[] = {{"", 0}, {"INBOX", 5}, {"a\0b", 3}, {"\xff\xfe", 2},
	    {"caf\xc3\xa9\x1b[31m", 10}, {"\"\\\n", 3}, {"{\"hex\":\"00\"}", 12}, {"\xc3", 1}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena a AUTO(arena_free) = ARENA_INIT;
		struct inspect_record back, r = {.kind = INSPECT_ITEM, .number = 3};

		r.id = cases[i].len ? cases[i] : view_of("1");
		r.values[r.count++] =
		    (struct inspect_value){"target_id", INSPECT_BYTES, .bytes = cases[i]};
		carry(&r, &back, &a);
		assert_int_equal(back.kind, INSPECT_ITEM);
		assert_int_equal(back.number, 3);
		same_bytes(back.id, r.id);
		same_bytes(inspect_bytes(&back, "target_id"), cases[i]);
	}
}

static void test_numbers(void **state)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct inspect_record back, r = {.kind = INSPECT_PAIR};
	static const char digest[] = "\x00\xab\xff";

	(void)state;
	r.values[r.count++] = (struct inspect_value){"large", INSPECT_NUMBER, .number = UINT64_MAX};
	r.values[r.count++] =
	    (struct inspect_value){"signed", INSPECT_SIGNED, .number = (uint64_t)-5};
	r.values[r.count++] = (struct inspect_value){"yes", INSPECT_TRUTH, .number = 1};
	r.values[r.count++] =
	    (struct inspect_value){"digest", INSPECT_DIGEST, .bytes = {digest, 3}};
	carry(&r, &back, &a);
	assert_true(view_is(inspect_bytes(&back, "large"), "18446744073709551615"));
	assert_int_equal((int64_t)inspect_number(&back, "signed"), -5);
	assert_int_equal(inspect_find(&back, "signed")->type, INSPECT_SIGNED);
	assert_int_equal(inspect_find(&back, "yes")->type, INSPECT_TRUTH);
	assert_int_equal(inspect_number(&back, "yes"), 1);
	assert_true(view_is(inspect_bytes(&back, "digest"), "00abff"));
}

static void test_refused(void **state)
{
	static const char *const cases[] = {"{}", "{\"kind\":\"nonsense\"}", "{\"kind\":7}",
	    "{\"kind\":\"item\",\"id\":\"1\"}", "{\"kind\":\"item\",\"folder\":0,\"id\":\"1\"}",
	    "{\"kind\":\"item\",\"folder\":1}", "{\"kind\":\"item\",\"folder\":1,\"id\":7}",
	    "{\"kind\":\"item\",\"folder\":4294967296,\"id\":\"1\"}",
	    "{\"kind\":\"pair\",\"source\":1.5}", "{\"kind\":\"pair\",\"source\":null}",
	    "{\"kind\":\"pair\",\"source\":{\"hex\":\"0\"}}",
	    "{\"kind\":\"pair\",\"source\":{\"hex\":\"zz\"}}",
	    "{\"kind\":\"pair\",\"source\":[1]}"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena a AUTO(arena_free) = ARENA_INIT;
		json_t *o = json_loads(cases[i], 0, NULL);
		struct inspect_record r;
		struct err e = {0};

		assert_non_null(o);
		if (!ledger_line_read(o, &r, &a, &e))
			fail_msg("taken: %s", cases[i]);
		assert_int_equal(e.cause, CAUSE_USAGE);
		json_decref(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_numbers), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
