/* error_test.c - causes are complete, and no text of a server reaches a terminal unmasked. */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_causes(void **state)
{
	static const struct {
		enum cause cause;
		int exit;
	} exits[] = {
	    {CAUSE_USAGE, 2},
	    {CAUSE_CONNECT, 10},
	    {CAUSE_TLS, 11},
	    {CAUSE_LOGIN, 12},
	    {CAUSE_PROTOCOL, 10},
	    {CAUSE_THROTTLED, 20},
	    {CAUSE_QUOTA, 20},
	    {CAUSE_STATE, 30},
	    {CAUSE_LOCKED, 30},
	    {CAUSE_BUG, 70},
	    {CAUSE_STOPPED, 130},
	    {CAUSE_FOLDER_REFUSED, 1},
	    {CAUSE_FOLDER_RENAMED, 0},
	    {CAUSE_TOO_BIG, 1},
	    {CAUSE_ALTERED, 0},
	    {CAUSE_GONE, 0},
	    {CAUSE_IN_DOUBT, 1},
	};

	(void)state;
	for (int i = 0; i < CAUSE_COUNT; i++) {
		assert_int_equal(cause_by_name(cause_name((enum cause)i)), i);
		assert_non_null(cause_remedy((enum cause)i));
	}
	assert_int_equal(cause_by_name("nonsense"), -1);
	assert_int_equal(cause_by_name(""), -1);
	for (size_t i = 0; i < COUNT_OF(exits); i++)
		assert_int_equal(cause_exit(exits[i].cause), exits[i].exit);
}

static void test_set(void **state)
{
	struct err e = {0};
	char big[3000];

	(void)state;
	assert_int_equal(err_set(&e, CAUSE_TLS, ERR_LINK, "no %s\x1b[2J\n", "trust"), -1);
	assert_string_equal(e.text, "no trust?[2J?");
	assert_int_equal(e.next, ERR_RETRY);
	err_detail(&e, "errno %d", 5);
	assert_string_equal(e.detail, "errno 5");
	assert_int_equal(err_set(&e, CAUSE_LOGIN, ERR_MAILBOX, "x"), -1);
	assert_int_equal(e.next, ERR_GIVE_UP);
	assert_string_equal(e.detail, ""); /* of the error before */
	assert_int_equal(err_stopped(&e), -1);
	assert_int_equal(e.next, ERR_STOPPED);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, CAUSE_BUG, ERR_RUN, "%s", big);
	assert_true(strlen(e.text) < sizeof(e.text));
	assert_string_equal(e.text + strlen(e.text) - 3, "...");
	assert_int_equal(err_set(NULL, CAUSE_BUG, ERR_RUN, "nobody asks"), -1);
	err_detail(NULL, "nobody asks");
	assert_int_equal(err_stopped(NULL), -1);
}

static void test_printable(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"tab\there", "tab?here"},
	    {"\x1b]0;title\x07", "?]0;title?"},
	    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	    {"\xe6\x97\xa5", "\xe6\x97\xa5"},
	    {"\xf0\x9f\x90\xa6", "\xf0\x9f\x90\xa6"},
	    {"cut \xe6\x97", "cut ??"},
	    {"\xc0\x80", "??"},           /* overlong NUL */
	    {"\xe0\x80\xaf", "???"},      /* overlong '/' */
	    {"\xed\xa0\x80", "???"},      /* surrogate */
	    {"\xf4\x90\x80\x80", "????"}, /* beyond Unicode */
	    {"\xff\xfe", "??"},
	    {"c1 \xc2\x9b"
	     "2J",
		"c1 ??2J"}, /* CSI in one character */
	    {"nbsp\xc2\xa0", "nbsp\xc2\xa0"},
	    {"del\x7f", "del?"},
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		text_printable(out, sizeof(out), rows[i].in, strlen(rows[i].in));
		assert_string_equal(out, rows[i].out);
	}
	text_printable(out, sizeof(out), "a\0b", 3);
	assert_string_equal(out, "a?b");
}

/* Whatever the room, the result ends, fits, and cuts no character. */
static void test_printable_room(void **state)
{
	static const char text[] = "\xc3\xa4\xe6\x97\xa5\xf0\x9f\x90\xa6xyz\xc3\xa4\xe6\x97\xa5";
	char out[64], again[64];

	(void)state;
	for (size_t size = 8; size <= sizeof(out); size++) {
		memset(out, 'Z', sizeof(out));
		text_printable(out, size, text, sizeof(text) - 1);
		assert_true(strlen(out) < size);
		text_printable(again, sizeof(again), out, strlen(out));
		assert_string_equal(again, out);
		text_printable(again, size, out, strlen(out)); /* no room is needed twice */
		assert_string_equal(again, out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_causes),
	    cmocka_unit_test(test_set),
	    cmocka_unit_test(test_printable),
	    cmocka_unit_test(test_printable_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
