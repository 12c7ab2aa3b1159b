/* mend_test.c - how often, and after how long, a lost link is mended. */
#include "flow/mend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

/* The delays of one trouble that stays, up to the -1. */
static const struct {
	struct err e;
	bool connected_once;
	int delays[LINK_TRIES + 1];
} table[] = {
    {{.scope = ERR_LINK, .next = ERR_RETRY}, true, {0, 1, 2, 4, 8, -1}},
    {{.scope = ERR_LINK, .next = ERR_RETRY}, false, {-1}},
    {{.scope = ERR_LINK, .next = ERR_WAIT}, true, {1, 2, 4, 8, 16, -1}},
    {{.scope = ERR_LINK, .next = ERR_WAIT}, false, {1, 2, 4, 8, 16, -1}},
    {{.scope = ERR_LINK, .next = ERR_WAIT, .wait_s = 93}, false, {93, 93, 93, 93, 93, -1}},
    {{.scope = ERR_LINK, .next = ERR_GIVE_UP}, true, {-1}},
    {{.scope = ERR_LINK, .next = ERR_STOPPED}, true, {-1}},
    {{.scope = ERR_MAILBOX, .next = ERR_WAIT}, true, {-1}},
    {{.scope = ERR_FOLDER, .next = ERR_RETRY}, true, {-1}},
};

static void test_delays(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		unsigned tries = 0;
		size_t n = 0;

		do
			assert_int_equal(mend_delay(&table[i].e, table[i].connected_once, &tries),
			    table[i].delays[n]);
		while (table[i].delays[n++] >= 0);
	}
}

static void test_note(void **state)
{
	char text[MEND_NOTE_SIZE];
	struct err e = {.text = "lost"};

	(void)state;
	mend_note(text, &e, 0);
	assert_string_equal(text, "lost; connecting again");
	mend_note(text, &e, 93);
	assert_string_equal(text, "lost; connecting again in 93 s");
	memset(e.text, 'x', sizeof(e.text) - 1);
	mend_note(text, &e, 600);
	assert_non_null(strstr(text, "x; connecting again in 600 s"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delays),
	    cmocka_unit_test(test_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
