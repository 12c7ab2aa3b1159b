/* endpoint_test.c - what a URL means, what is refused, and that no refusal tells a secret. */
#include "model/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_accepted(void **state)
{
	static const struct {
		const char *url, *user, *host;
		unsigned port;
		enum endpoint_tls tls;
		const char *auth, *authzid, *identity;
	} rows[] = {
	    {"imaps://anna@mail.example.org/", "anna", "mail.example.org", 993, ENDPOINT_TLS, NULL,
		NULL, "anna@mail.example.org"},
	    {"imap://anna@mail.example.org", "anna", "mail.example.org", 143, ENDPOINT_STARTTLS,
		NULL, NULL, "anna@mail.example.org"},
	    {"IMAPS://Anna%40Example.ORG@Mail.Example.org.:1993/", "Anna@Example.ORG",
		"mail.example.org", 1993, ENDPOINT_TLS, NULL, NULL,
		"Anna@example.org@mail.example.org"},
	    {"imaps://anna@example.org@mail/", "anna@example.org", "mail", 993, ENDPOINT_TLS, NULL,
		NULL, "anna@example.org@mail"},
	    {"imap://a@h/?tls=none", "a", "h", 143, ENDPOINT_CLEAR, NULL, NULL, "a@h"},
	    {"imap://a@h?tls=NONE&auth=Plain", "a", "h", 143, ENDPOINT_CLEAR, "PLAIN", NULL, "a@h"},
	    {"imaps://admin@h/?auth=scram-sha-256&authzid=Bob%40B.org", "admin", "h", 993,
		ENDPOINT_TLS, "SCRAM-SHA-256", "Bob@B.org", "Bob@b.org@h"},
	    {"imaps://a@h/?auth=login", "a", "h", 993, ENDPOINT_TLS, "LOGIN", NULL, "a@h"},
	    {"imaps://a@h/?auth=scram-sha-1", "a", "h", 993, ENDPOINT_TLS, "SCRAM-SHA-1", NULL,
		"a@h"},
	    {"imaps://a@h/?auth=xoauth2", "a", "h", 993, ENDPOINT_TLS, "XOAUTH2", NULL, "a@h"},
	    {"imaps://a@h/?", "a", "h", 993, ENDPOINT_TLS, NULL, NULL, "a@h"},
	    {"imaps://a@[::1]/", "a", "::1", 993, ENDPOINT_TLS, NULL, NULL, "a@::1"},
	    {"imaps://a@[2001:DB8:0::0:1]:65535/", "a", "2001:db8::1", 65535, ENDPOINT_TLS, NULL,
		NULL, "a@2001:db8::1"},
	    {"imaps://a@127.0.0.1:1/", "a", "127.0.0.1", 1, ENDPOINT_TLS, NULL, NULL,
		"a@127.0.0.1"},
	    {"imaps://a%3Ab%25c%2f@h/", "a:b%c/", "h", 993, ENDPOINT_TLS, NULL, NULL, "a:b%c/@h"},
	    {"imaps://m\xc3\xbcller@h/", "m\xc3\xbcller", "h", 993, ENDPOINT_TLS, NULL, NULL,
		"m\xc3\xbcller@h"},
	    {"imaps://m%C3%BCller@h/", "m\xc3\xbcller", "h", 993, ENDPOINT_TLS, NULL, NULL,
		"m\xc3\xbcller@h"},
	    {"imaps://DOM%5Canna@h/", "DOM\\anna", "h", 993, ENDPOINT_TLS, NULL, NULL,
		"DOM\\anna@h"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		struct endpoint at;
		struct err e = {.text = "untouched"};
		if (endpoint_parse(&at, &a, rows[i].url, ERR_DESTINATION, &e) < 0)
			fail_msg("%s: %s", rows[i].url, e.text);
		assert_string_equal(e.text, "untouched");
		assert_string_equal(at.scheme, "imap");
		assert_string_equal(at.url, rows[i].url);
		assert_string_equal(at.user, rows[i].user);
		assert_string_equal(at.host, rows[i].host);
		assert_int_equal(at.port, rows[i].port);
		assert_int_equal(at.tls, rows[i].tls);
		assert_string_equal(at.auth ? at.auth : "", rows[i].auth ? rows[i].auth : "");
		assert_string_equal(
		    at.authzid ? at.authzid : "", rows[i].authzid ? rows[i].authzid : "");
		assert_string_equal(at.identity, rows[i].identity);
		assert_int_equal(at.side, ERR_DESTINATION);
	}
}

static void check_refused(const char *url, const char *says)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct endpoint at = {.user = "untouched"};
	struct err e = {0};

	if (endpoint_parse(&at, &a, url, ERR_SOURCE, &e) != -1)
		fail_msg("accepted: %s", url);
	assert_int_equal(e.cause, CAUSE_USAGE);
	assert_int_equal(e.scope, ERR_RUN);
	assert_int_equal(e.next, ERR_GIVE_UP);
	assert_int_equal(e.side, ERR_SOURCE);
	assert_string_equal(at.user, "untouched");
	if (!strstr(e.text, says))
		fail_msg("%s: %s", url, e.text);
	if (!strstr(e.text, "source") ||
	    !strstr(e.text, strncmp(url, "maildir:", 8) ? "imaps://anna" : "maildir:/home"))
		fail_msg("no side or no example: %s", e.text);
	if (!strcmp(e.text + strlen(e.text) - 3, "..."))
		fail_msg("too long: %s", e.text);
	assert_int_equal(endpoint_parse(&at, &a, url, ERR_SOURCE, NULL), -1);
}

static void test_maildir(void **state)
{
	static const struct {
		const char *url, *path, *identity;
		enum endpoint_layout layout;
		bool given;
	} rows[] = {
	    {"maildir:/home/anna/Maildir", "/home/anna/Maildir", "maildir:/home/anna/Maildir",
		LAYOUT_DETECT, false},
	    {"MAILDIR:Mail%20dir#1", "Mail dir#1", "maildir:Mail dir#1", LAYOUT_DETECT, false},
	    {"maildir:///m?layout=fs", "/m", "maildir:/m", LAYOUT_FS, false},
	    {"maildir:/m%3f?layout=Maildir++&id=anna", "/m?", "anna", LAYOUT_MAILDIRPP, true},
	    {"maildir:/a@b:c", "/a@b:c", "maildir:/a@b:c", LAYOUT_DETECT, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		struct endpoint at;
		struct err e;

		if (endpoint_parse(&at, &a, rows[i].url, ERR_SOURCE, &e) < 0)
			fail_msg("%s: %s", rows[i].url, e.text);
		assert_string_equal(at.scheme, "maildir");
		assert_string_equal(at.path, rows[i].path);
		assert_string_equal(at.identity, rows[i].identity);
		assert_int_equal(at.layout, rows[i].layout);
		assert_int_equal(at.identity_given, rows[i].given);
		assert_null(at.user);
		assert_null(at.host);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *url, *says;
	} rows[] = {
	    {"", "not a URL"},
	    {"anna@mail.example.org", "not a URL"},
	    {"imaps:anna@mail.example.org", "not a URL"},
	    {"://a@h/", "not a URL"},
	    {"1imap://a@h/", "not a URL"},
	    {"mbox:/home/anna/mail",
		"not supported yet; this version can do imaps://, imap:// and maildir:"},
	    {"maildir:", "no path"},
	    {"maildir:?id=x", "no path"},
	    {"maildir://anna@host/x", "third '/'"},
	    {"maildir:/a%zb", "%25"},
	    {"maildir:/a?layout=flat", "maildir++ or fs"},
	    {"maildir:/a?layout=fs&layout=fs", "twice"},
	    {"maildir:/a?auth=plain", "no parameter 'auth'"},
	    {"maildir:/a?tls=none", "there are ?layout= and ?id="},
	    {"maildir:/a?tls=none", "write it like maildir:/home/anna/Maildir"},
	    {"imaps://a@h/?layout=fs", "no parameter 'layout'"},
	    {"pop3s://a@h/", "not supported yet"},
	    {"gopher://a@h/", "not known; this version can do imaps://, imap:// and maildir:"},
	    {"imaps://mail.example.org/", "no user"},
	    {"imaps:///", "no user"},
	    {"imaps://@h/", "user name is empty"},
	    {"imaps://a@/", "no host"},
	    {"imaps://a@:993/", "no host"},
	    {"imaps://a@h:/", "port"},
	    {"imaps://a@h:0/", "port"},
	    {"imaps://a@h:65536/", "port"},
	    {"imaps://a@h:99999999999999999999/", "port"},
	    {"imaps://a@h:imaps/", "port"},
	    {"imaps://a@h:-1/", "port"},
	    {"imaps://a@::1/", "brackets"},
	    {"imaps://a@[::1/", "']'"},
	    {"imaps://a@[::1]993/", "port"},
	    {"imaps://a@[fe80::1%25eth0]/", "not an IPv6 address"},
	    {"imaps://a@[]/", "not an IPv6 address"},
	    {"imaps://a@[127.0.0.1]/", "not an IPv6 address"},
	    {"imaps://a@h..org/", "host may have"},
	    {"imaps://a@.org/", "host may have"},
	    {"imaps://a@h../", "host may have"}, /* else a second identity of "h." */
	    {"imaps://a@h\xc3\xb6st.org/", "xn--"},
	    {"imaps://a@ho st/", "host may have"},
	    {"imaps://a@h%2Forg/", "host may have"},
	    {"imaps://a@h/INBOX", "all folders are copied"},
	    {"imaps://a@h//", "all folders are copied"},
	    {"imaps://a@h/#x", "'#'"},
	    {"imaps://a@h#", "'#'"},
	    {"imaps://a#b@h/", "%23"},
	    {"imaps://a%@h/", "%25"},
	    {"imaps://a%4@h/", "%25"},
	    {"imaps://a%zz@h/", "%25"},
	    {"imaps://a%00b@h/", "control"},
	    {"imaps://a%0d%0ab@h/", "control"},
	    {"imaps://a%7f@h/", "control"},
	    {"imaps://a%c2%9b@h/", "control"},
	    {"imaps://a%ff@h/", "UTF-8"},
	    {"imaps://a\nb@h/", "control"},
	    {"imaps://a\xff@h/", "UTF-8"},
	    {"imaps://a@h/?auth=gssapi", "?auth= takes"},
	    {"imaps://a@h/?auth=", "?auth= takes"},
	    {"imaps://a@h/?auth=plain&auth=plain", "twice"},
	    {"imaps://a@h/?authzid=", "empty"},
	    {"imaps://a@h/?authzid=b%00", "control"},
	    {"imaps://a@h/?authzid=b&authzid=c", "twice"},
	    {"imaps://a@h/?connections=0", "1 to 1000"},
	    {"imaps://a@h/?connections=1001", "1 to 1000"},
	    {"imaps://a@h/?connections=two", "1 to 1000"},
	    {"imaps://a@h/?connections=2&connections=3", "twice"},
	    {"imaps://a@h/?tls=none", "goes with imap://"},
	    {"imap://a@h/?tls=maybe", "takes only none"},
	    {"imap://a@h/?colour=blue", "no parameter 'colour'"},
	    {"imap://a@h/?=blue", "no parameter ''"},
	    {"imap://a@h/?tls", "?NAME=VALUE"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_refused(rows[i].url, rows[i].says);
}

/* Wherever somebody puts the password, he is told what to do and nobody else sees it. */
static void test_passwords(void **state)
{
	static const char *const plain[] = {"imaps://anna:hunter2@h/", "imaps://:hunter2@h/",
	    "imaps://anna@example.org:hunter2@h/", "imaps://anna:hunter2@x@h/",
	    "imaps://anna:hun/ter2@h/", "imaps://anna:hunter2/x@h/", "imaps://anna:hunter2?x@h/",
	    "imaps://anna:hunter2#x@h/", "imaps://anna:hunter2#/x@h/",
	    "imaps://a@h/?password=hunter2", "imaps://a@h/?pass=hunter2",
	    "imaps://a@h/?Token=hunter2"};
	static const char *const odd[] = {"anna:hunter2@h", "imaps:anna:hunter2@h",
	    "imaps://anna:hunter2", "imaps://a@b:hunter2/", "imaps://a@b:hunter2/x@h/",
	    "imaps://a@h/?hunter2", "imaps://a@h/?auth=hunter2", "imaps://a@h/?tls=hunter2",
	    "imaps://a@h/?authzid=%hunter2", "imaps://a@h/hunter2", "imaps://a@h/#hunter2",
	    "imaps://a@hunter2 x/", "imaps://%hunter2@h/", "imaps://a@[hunter2]/",
	    "imaps://a@h/?colour=hunter2"};
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct endpoint at;
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(plain); i++) {
		check_refused(plain[i], "--source-password-file");
		check_refused(plain[i], "--source-password-env");
		check_refused(plain[i], "--source-password-command");
	}
	for (size_t i = 0; i < COUNT_OF(plain) + COUNT_OF(odd); i++) {
		const char *url = i < COUNT_OF(plain) ? plain[i] : odd[i - COUNT_OF(plain)];
		assert_int_equal(endpoint_parse(&at, &a, url, ERR_DESTINATION, &e), -1);
		if (strstr(e.text, "hunter") || strstr(e.text, "ter2") || *e.detail)
			fail_msg("%s: %s", url, e.text);
		if (i < COUNT_OF(plain))
			assert_non_null(strstr(e.text, "--destination-password-file"));
	}
}

static void test_long(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;

	(void)state;
	check_refused(arena_printf(&a, "imaps://%05000d@h/", 1), "too long");
	check_refused(arena_printf(&a, "imaps://a@%0300d/", 1), "host may have");
	check_refused(arena_printf(&a, "imaps://a@[%0300d]/", 1), "not an IPv6 address");
	check_refused(arena_printf(&a, "%0300d://a@h/", 1), "not a URL");
	check_refused(arena_printf(&a, "x%0300d://a@h/", 1), "not known");
	check_refused(arena_printf(&a, "imap://a@h/?x%0300d=1", 1), "no parameter");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accepted),
	    cmocka_unit_test(test_maildir),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_passwords),
	    cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
