/* header_date_test.c - dates out of headers, whole ones, old ones and broken ones. */
#include "model/header_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *message;
	int64_t instant; /* -1 = none */
	int zone;
} table[] = {
    {"Date: Wed, 17 Jul 1996 02:44:25 -0700 (PDT)\r\n\r\n", 837596665, -420},
    {"date:17 Jul 1996 02:44 +0000\n\n", 837571440, 0},
    {"Date: Wed, 17 Jul 96 02:44:25 GMT\r\n", 837571465, 0},
    {"Date: Wed, 17 Jul 96 02:44:25 EST\r\n", 837589465, -300},
    {"Date: 1 Jan 100 00:00:00 +0000\r\n\r\n", 946684800, 0},
    {"Date:\r\n Wed,\r\n\t17 Jul 1996\r\n 02:44:25 +0100\r\n\r\n", 837567865, 60},
    {"Received: from a (b; c) by d\r\n\tfor <e>; Wed, 17 Jul 1996 02:44:25 +0000\r\n"
     "Received: x; Wed, 17 Jul 1991 02:44:25 +0000\r\nDate: Wed, 17 Jul 1990 02:44:25 "
     "+0000\r\n\r\n",
	837571465, 0},
    {"Received: from a by b\r\nDate: Wed, 17 Jul 1996 02:44:25 +0000\r\n\r\n", 837571465, 0},
    {"Received: a; yesterday\r\nDate: Wed, 17 Jul 1996 02:44:25 +0000\r\n\r\n", 837571465, 0},
    {"Subject: a\r\n\r\nDate: Wed, 17 Jul 1996 02:44:25 +0000\r\n", -1, 0},
    {"Date: \r\n\r\n", -1, 0},
    {"Date: Wed, 17 Foo 1996 02:44:25 +0000\r\n\r\n", -1, 0},
    {"Date: Wed, 17 Jul\r\n\r\n", -1, 0},
    {"Date: 17 Jul 1996 02:44:25 +99x9\r\n\r\n", 837571465, 0},
    {"", -1, 0},
    {"\r\n", -1, 0},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct date date = {0};
		int failed = header_date(view_of(table[i].message), &date);

		assert_int_equal(failed ? -1 : date.instant, table[i].instant);
		assert_int_equal(date.zone, table[i].zone);
		assert_int_equal(date.known, !failed);
	}
}

/* Cut anywhere, each in memory of just that size: nothing behind the end is looked at. */
static void test_cuts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (size_t len = 0; len <= strlen(table[i].message); len++) {
			char *copy = mem_new(len + 1, 1);
			struct date date;

			memcpy(copy, table[i].message, len);
			header_date(view_make(copy, len), &date);
			free(copy);
		}
}

static void test_long(void **state)
{
	char text[400];
	struct date date;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "Date: ", 6);
	assert_int_equal(header_date(view_make(text, sizeof(text)), &date), -1);
	memcpy(text, "Received: ", 10);
	memcpy(text + 300, "; 17 Jul 1996 02:44:25 +0000\r\n\r\n", 33);
	assert_int_equal(header_date(view_make(text, sizeof(text)), &date), 0);
	assert_int_equal(date.instant, 837571465);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_cuts),
	    cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
