/* cursor_test.c - the pure functions of the IMAP connector: cursors, and what a server's words give
 * away. */
#include "connect/imap/imap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- cursors ---- */

static void test_cursors_round_trip(void **state)
{
	static const uint64_t table[][3] = {{0, 0, 0}, {1, 2, 3}, {UINT32_MAX, UINT32_MAX, 0},
	    {1700000000, 1, INT64_MAX}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct cursor c;
		uint64_t got[3];
		imap_cursor_print(&c, table[i][0], table[i][1], table[i][2]);
		assert_true(strlen(c.text) < CURSOR_SIZE - 1); /* nothing was cut off */
		assert_int_equal(imap_cursor_parse(&c, &got[0], &got[1], &got[2]), 0);
		assert_memory_equal(got, table[i], sizeof(got));
	}
}

static void test_not_cursors(void **state)
{
	static const char *const table[] = {"", " ", "1", "1 2", "1 2 ", "1 2 3 ", "1 2 3 4",
	    "1 2 3 ", "1 2 x", "1  2 3", " 1 2 3", "-1 2 3", "+1 2 3", "1 2 3\n", "1,2,3",
	    "0x1 2 3", "18446744073709551616 1 1", "1 1 99999999999999999999999"};
	struct cursor c;
	uint64_t a, b, d;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		snprintf(c.text, sizeof(c.text), "%s", table[i]);
		if (!imap_cursor_parse(&c, &a, &b, &d))
			fail_msg("\"%s\" was taken for a cursor", table[i]);
	}
}

static void test_same(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} table[] = {
	    {"1 2 3", "1 2 3", true}, {"1 2 3", "1 9 0", true}, {"1 2 3", "2 2 3", false},
	    {"11 2 3", "1 2 3", false}, {"", "1 2 3", false}, {"1 2 3", "", false},
	    {"", "", false},  /* nothing is known of either */
	    {"x", "x", true}, /* a word is a word */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct cursor a, b;
		snprintf(a.text, sizeof(a.text), "%s", table[i].a);
		snprintf(b.text, sizeof(b.text), "%s", table[i].b);
		assert_int_equal(cursor_same(&a, &b), table[i].same);
	}
}

/* ---- words ---- */

static const struct {
	const char *code, *text;
	enum cause cause;
	int wait_s;
} words[] = {
    {"", "", CAUSE_NONE, 0},
    {"", "Invalid mailbox name", CAUSE_NONE, 0},
    {"OVERQUOTA", "", CAUSE_QUOTA, 0},
    {"overquota", "Quota exceeded (mailbox for user is full)", CAUSE_QUOTA, 0},
    {"", "Quota exceeded", CAUSE_QUOTA, 0},
    {"", "Mailbox is over quota", CAUSE_QUOTA, 0},
    {"LIMIT", "Rate limit exceeded", CAUSE_THROTTLED, 0},
    {"LIMIT", "Too many messages", CAUSE_THROTTLED, 0},
    {"", "Rate limit exceeded", CAUSE_THROTTLED, 0},
    {"OVERQUOTA", "Account exceeded command or bandwidth limits.", CAUSE_THROTTLED, 0},
    {"", "Quota limit will be exceeded", CAUSE_QUOTA, 0},
    {"", "The 1500 MB storage limit has been reached", CAUSE_QUOTA, 0},
    {"", "Server Unavailable. 15", CAUSE_THROTTLED, 0},
    {"ALERT", "Too many simultaneous connections. (Failure)", CAUSE_THROTTLED, 0},
    {"", "Maximum number of connections from user+IP exceeded", CAUSE_THROTTLED, 0},
    {"", "Success [THROTTLED]", CAUSE_THROTTLED, 0},
    {"LIMIT", "Too many flags in mailbox", CAUSE_NONE, 0},
    {"LIMIT", "Too many keywords", CAUSE_NONE, 0},
    {"UNAVAILABLE", "Temporary authentication failure", CAUSE_THROTTLED, 0},
    {"THROTTLED", "", CAUSE_THROTTLED, 0},
    {"INUSE", "", CAUSE_THROTTLED, 0},
    {"", "Request is throttled. Suggested Backoff Time: 1001 milliseconds", CAUSE_THROTTLED, 2},
    {"", "Backoff Time: 0", CAUSE_THROTTLED, 0},
    {"", "Backoff Time: 1", CAUSE_THROTTLED, 1},
    {"", "Backoff Time: 600000", CAUSE_THROTTLED, 600},
    {"", "Backoff Time: 600001", CAUSE_THROTTLED, 600},
    {"", "Backoff Time: 99999999999999999999999", CAUSE_THROTTLED, 600},
    {"", "Backoff Time: soon", CAUSE_THROTTLED, 0},
    {"", "Backoff Time: ", CAUSE_THROTTLED, 0},
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		struct imap_response r = {
		    .code = view_of(words[i].code), .text = view_of(words[i].text)};
		int wait_s = -1;
		assert_int_equal(imap_general_cause(&r, &wait_s), words[i].cause);
		assert_int_equal(wait_s, words[i].wait_s);
	}
}

/* A view has its end where it ends: no digit behind it counts. */
static void test_words_end(void **state)
{
	static const char text[] = "Backoff Time: 123456";
	struct imap_response r = {.text = view_make(text, strlen(text) - 3)};
	int wait_s;

	(void)state;
	assert_int_equal(imap_general_cause(&r, &wait_s), CAUSE_THROTTLED);
	assert_int_equal(wait_s, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cursors_round_trip),
	    cmocka_unit_test(test_not_cursors),
	    cmocka_unit_test(test_same),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_words_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
