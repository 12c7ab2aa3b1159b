/* JSON lines stay valid JSON, valid UTF-8 and harmless, whatever is put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/jsonline.h"

static void check_line(json_t *value, const char *line)
{
	AUTO(buf_free) struct buf out = BUF_INIT(JSONLINE_MAX);
	json_t *o = json_object();

	jsonline_set(o, "k", value);
	jsonline_add(&out, o);
	assert_string_equal(out.data, line);
}

static void test_text(void **state)
{
	static const struct {
		const char *in, *line;
	} cases[] = {{NULL, "{\"k\":null}\n"}, {"", "{\"k\":\"\"}\n"},
	    {"a\"b\\c", "{\"k\":\"a\\\"b\\\\c\"}\n"}, {"\033[2J\n", "{\"k\":\"\\u001B[2J\\n\"}\n"},
	    {"\xff", "{\"k\":\"\xef\xbf\xbd\"}\n"},
	    {"a\xe2\x82", "{\"k\":\"a\xef\xbf\xbd\xef\xbf\xbd\"}\n"},
	    {"\xed\xa0\x80", "{\"k\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}\n"},
	    {"\x7f\xc2\x9b", "{\"k\":\"\\u007F\\u009B\"}\n"},
	    {"\xe2\x80\xae", "{\"k\":\"\\u202E\"}\n"},
	    {"\xf3\xa0\x81\x81", "{\"k\":\"\\uDB40\\uDC41\"}\n"}, {"日本", "{\"k\":\"日本\"}\n"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check_line(jsonline_text(cases[i].in), cases[i].line);
	check_line(jsonline_text_or_null(""), "{\"k\":null}\n");
}

static void test_ids(void **state)
{
	static const struct {
		const char *id, *line;
	} cases[] = {{"", "{\"k\":null}\n"}, {"0", "{\"k\":0}\n"}, {"17", "{\"k\":17}\n"},
	    {"017", "{\"k\":\"017\"}\n"}, {"4294967295", "{\"k\":4294967295}\n"},
	    {"9223372036854775807", "{\"k\":9223372036854775807}\n"},
	    {"9223372036854775808", "{\"k\":\"9223372036854775808\"}\n"},
	    {"17:abc", "{\"k\":\"17:abc\"}\n"}, {"-1", "{\"k\":\"-1\"}\n"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check_line(jsonline_id(cases[i].id), cases[i].line);
	check_line(jsonline_number(UINT64_MAX), "{\"k\":9223372036854775807}\n");
}

static void test_long_text_is_cut(void **state)
{
	AUTO(buf_free) struct buf out = BUF_INIT(JSONLINE_MAX);
	char *text = mem_new(100001, 1);
	json_t *o = json_object(), *read;

	(void)state;
	memset(text, '\001', 100000);
	jsonline_set(o, "k", jsonline_text(text));
	jsonline_add(&out, o);
	free(text);
	read = json_loads(out.data, 0, NULL);
	assert_int_equal(json_string_length(json_object_get(read, "k")), 4096);
	json_decref(read);
}

static void test_random_bytes(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		AUTO(buf_free) struct buf out = BUF_INIT(JSONLINE_MAX);
		char text[64] = "";
		json_t *o = json_object(), *read;
		for (int i = 0; i < 60; i++) {
			seed = seed * 1664525u + 1013904223u;
			text[i] = (char)(1 + (seed >> 16) % 255);
		}
		jsonline_set(o, "k", jsonline_text(text));
		jsonline_add(&out, o);
		assert_int_equal(strcspn(out.data, "\n"), out.len - 1);
		read = json_loads(out.data, 0, NULL);
		assert_non_null(read);
		json_decref(read);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_long_text_is_cut), cmocka_unit_test(test_random_bytes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
