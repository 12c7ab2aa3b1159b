/* quirks_test.c - who is an odd server, and who only looks like one. */
#include "connect/imap/quirks.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COURIER                                                                                    \
	" IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT "      \
	"QUOTA IDLE ACL ACL2=UNION "
#define OF_COURIER (QUIRK_SELECT_TO_READ | QUIRK_RENAMES_NOTHING)

static const struct {
	const char *id, *capability;
	unsigned bits;
} table[] = {
    {"", "", 0},
    {"", COURIER, OF_COURIER},
    {"", " imap4rev1 acl2=union ", OF_COURIER},
    {"somebody 1.0", COURIER, OF_COURIER},
    {"", " IMAP4rev1 ACL ", 0},
    {"", " IMAP4rev1 ACL2=UNIONS ", 0}, /* another word */
    {"", " XACL2=UNION ", 0},
    {"", "ACL2=UNION", 0}, /* words have spaces on both sides */
    {"ACL2=UNION", " IMAP4rev1 ", 0},
    {"Dovecot", " IMAP4rev1 LITERAL+ UIDPLUS CONDSTORE QRESYNC ", QUIRK_X_GUID},
    {"Cyrus IMAP 3.6.1", " IMAP4rev1 ACL RIGHTS=kxten CONDSTORE ", QUIRK_LIST_WITHOUT_MAILBOXID},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		assert_int_equal(
		    imap_quirks_find(view_of(table[i].id), view_of(table[i].capability)),
		    table[i].bits);
}

static void test_nothing_said(void **state)
{
	(void)state;
	assert_int_equal(imap_quirks_find((struct view){0}, (struct view){0}), 0);
}

/* Bytes, not text: a NUL or a very long list does no harm. */
static void test_strange_bytes(void **state)
{
	static const char with_nul[] = " A\0B ACL2=UNION ";

	(void)state;
	assert_int_equal(
	    imap_quirks_find((struct view){0}, view_make(with_nul, sizeof(with_nul) - 1)),
	    OF_COURIER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_nothing_said),
	    cmocka_unit_test(test_strange_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
