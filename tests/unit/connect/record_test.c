/* record_test.c - the transcript's lines, and a disk that is full. */
#include "connect/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

static void count(void *arg, const char *text)
{
	assert_non_null(strstr(text, "the record ends here"));
	++*(int *)arg;
}

static void say(struct record_link *l, const char *text, enum record_kind kind, size_t text_len)
{
	record_add(l, view_of(text));
	record_received(l, kind, text_len);
}

static void login(struct record_link *l)
{
	say(l, "* OK [CAPABILITY IMAP4rev1 X-ODD] host7 ready for otto\r\n", RECORD_STATUS, 20);
	record_sent_secret(l, view_of("g1 AUTHENTICATE PLAIN"));
	say(l, "+ Z2VoZWlt\r\n", RECORD_CONTINUE, 8);
	say(l, "g1 OK welcome otto\r\n", RECORD_TAGGED, 12);
	say(l, "+ idling\r\n", RECORD_CONTINUE, 6);
}

static void read_mail(struct record_link *l)
{
	record_sent(l, view_of("g2 CREATE {6+}\r\nGe\xc3\xa4im\r\ng3 LIST \"\" \"*\"\r\n"));
	record_add(l, view_of("* 1 FETCH (BODY[] {7}\r\n"));
	record_body_begin(l);
	record_body(l, view_of("a"));
	record_body(l, view_of("b\"\r\n\r\n"));
	say(l, " UID 7)\r\n", RECORD_DATA, 0);
	record_sent_body(l, 12);
	record_add(l, view_of("* 2 FET"));
}

static void test_lines(void **state)
{
	char path[] = "/tmp/record-test-XXXXXX", text[4096] = "";
	struct record *r;
	struct record_link *l, *other;
	int fd = mkstemp(path), warned = 0;

	(void)state;
	assert_true(fd >= 0);
	record_new(&r, fd, count, &warned);
	record_link_new(&l, r, ERR_SOURCE, "otto", NULL, "host7");
	login(l);
	record_link_new(&other, r, ERR_DESTINATION, NULL, NULL, NULL);
	record_link_end(&other, RECORD_REFUSED);
	read_mail(l);
	record_link_end(&l, RECORD_SILENT);
	record_free(&r);
	assert_int_equal(warned, 0);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "connection source 1\nS: * OK [CAPABILITY IMAP4rev1 X-ODD] "));
	assert_non_null(strstr(text, " ready for "));
	assert_null(strstr(text, "otto"));
	assert_null(strstr(text, "host7"));
	assert_non_null(strstr(text, "C: g1 AUTHENTICATE PLAIN *\nS: g1 OK welcome "));
	assert_null(strstr(text, "Z2VoZWlt"));
	assert_non_null(strstr(text, "S: + idling\n"));
	assert_non_null(strstr(text, "connection destination 1\nrefused\nconnection source 1\n"));
	assert_non_null(strstr(text, "C: g2 CREATE {6+}\nC: "));
	assert_non_null(strstr(text, "C: g3 LIST \"\" \"*\"\n"));
	assert_non_null(strstr(text, "S: * 1 FETCH (BODY[] {7}\nS+: \""));
	assert_non_null(strstr(text, "\\\"\\r\\n\"\nS+: \"\\r\\n\"\nS:  UID 7)\nC+: 12\n"));
	assert_non_null(strstr(text, "\"\nsilent\n"));
	close(fd);
	unlink(path);
}

/* It says so once, and takes what comes. */
static void test_full_disk(void **state)
{
	struct record *r;
	struct record_link *l;
	int fd = open("/dev/full", O_WRONLY), warned = 0;

	(void)state;
	assert_true(fd >= 0);
	record_new(&r, fd, count, &warned);
	record_link_new(&l, r, ERR_SOURCE, "otto", NULL, "host7");
	for (int i = 0; i < 5000; i++) {
		login(l);
		record_flush(l);
	}
	record_link_end(&l, RECORD_LEFT);
	record_free(&r);
	assert_int_equal(warned, 1);
	close(fd);
}

static void test_nothing_is_recorded(void **state)
{
	struct record_link *l = NULL;

	(void)state;
	record_link_new(&l, NULL, ERR_SOURCE, "otto", NULL, "host7");
	assert_null(l);
	login(l);
	read_mail(l);
	record_tls(l);
	record_flush(l);
	record_link_end(&l, RECORD_LEFT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_full_disk),
	    cmocka_unit_test(test_nothing_is_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
