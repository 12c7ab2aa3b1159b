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
	const char *host, *greeting, *id, *capability;
	unsigned bits;
} table[] = {
    {"", "", "", "", 0},
    {"", "", "", COURIER, OF_COURIER},
    {"", "", "", " imap4rev1 acl2=union ", OF_COURIER},
    {"", "", "somebody 1.0", COURIER, OF_COURIER},
    {"", "", "", " IMAP4rev1 ACL ", 0},
    {"", "", "", " IMAP4rev1 ACL2=UNIONS ", 0}, /* another word */
    {"", "", "", " XACL2=UNION ", 0},
    {"", "", "", "ACL2=UNION", 0}, /* words have spaces on both sides */
    {"", "", "ACL2=UNION", " IMAP4rev1 ", 0},
    {"", "", "Dovecot", " IMAP4rev1 LITERAL+ UIDPLUS CONDSTORE QRESYNC ", QUIRK_X_GUID},
    {"", "", "Cyrus IMAP 3.6.1", " IMAP4rev1 ACL RIGHTS=kxten CONDSTORE ",
	QUIRK_LIST_WITHOUT_MAILBOXID},
    {"", "Courier-IMAP ready. Copyright 1998-2018", "", " IMAP4rev1 ", OF_COURIER},
    {"", "", "Courier-IMAP ready", " IMAP4rev1 ", 0},
    {"imap.mail.me.com", "", "", "", QUIRK_NO_QRESYNC},
    {"p42-IMAP.Mail.Me.Com", "", "", "", QUIRK_NO_QRESYNC},
    {"mail.me.com.", "", "", "", QUIRK_NO_QRESYNC},
    {"imap.gmail.me.com", "", "", "", 0}, /* another domain that ends alike */
    {"imap.mail.me.com.example.org", "", "", "", 0},
    {"", "imap.mail.me.com", "", "", 0},
    {"imap.mail.yahoo.com", "", "", "", QUIRK_SHOWS_NEWEST},
    {"export.imap.mail.yahoo.com", "", "", "", 0},
    {"imap.aol.com", "", "", "", QUIRK_SHOWS_NEWEST},
    {"imap.gmail.com", "", "", " IMAP4rev1 X-GM-EXT-1 ", QUIRK_SHOWS_NEWEST},
    {"proxy.example.org", "", "", " IMAP4rev1 X-GM-EXT-1 ", QUIRK_SHOWS_NEWEST},
    {"imap.gmail.com", "", "", " IMAP4rev1 ", 0},
    {"", "The Microsoft Exchange IMAP4 service is ready.", "", "", QUIRK_SIZES_GUESSED},
    {"Outlook.Office365.com", "", "", "", QUIRK_SIZES_GUESSED},
    {"", "GroupWise IMAP4 ready", "", "", QUIRK_SIZES_GUESSED},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct imap_clues clues = {view_of(table[i].host), view_of(table[i].greeting),
		    view_of(table[i].id), view_of(table[i].capability)};

		assert_int_equal(imap_quirks_find(&clues), table[i].bits);
	}
}

static void test_nothing_said(void **state)
{
	struct imap_clues clues = {0};

	(void)state;
	assert_int_equal(imap_quirks_find(&clues), 0);
}

/* Bytes, not text: a NUL or a very long list does no harm. */
static void test_strange_bytes(void **state)
{
	static const char with_nul[] = " A\0B ACL2=UNION ";
	struct imap_clues clues = {.capability = view_make(with_nul, sizeof(with_nul) - 1)};

	(void)state;
	assert_int_equal(imap_quirks_find(&clues), OF_COURIER);
	clues = (struct imap_clues){.host = view_make(".", 1)};
	assert_int_equal(imap_quirks_find(&clues), 0);
}

static void test_capped(void **state)
{
	static const uint64_t yes[] = {1000, 2000, 5000, 10000};
	static const uint64_t no[] = {0, 1, 999, 1001, 3000, 9999, 10001, 100000, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(yes); i++)
		assert_true(imap_looks_capped(yes[i]));
	for (size_t i = 0; i < COUNT_OF(no); i++)
		assert_false(imap_looks_capped(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_nothing_said),
	    cmocka_unit_test(test_strange_bytes),
	    cmocka_unit_test(test_capped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
