/* scrub_test.c - what stays of mail, names and sentences, and that nothing else does. */
#include "connect/scrub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/arena.h"
#include "model/identity.h"
#include "wire/imap_text.h"

/* A message, scrubbed in pieces of STEP bytes; what is left out at its end is left out. */
static struct buf message(struct scrub *s, struct view text, size_t step)
{
	struct buf out = BUF_INIT(1u << 20);
	struct scrub_message m;

	scrub_message_begin(s, &m);
	for (size_t at = 0; at < text.len; at += step) {
		size_t len = text.len - at < step ? text.len - at : step;

		scrub_message_add(s, &m, view_make(text.data + at, len), &out);
	}
	scrub_message_end(s, &m, &out);
	return out;
}

#define HEAD "Subject: Geheim 4711\r\nMessage-ID: <Anna.1@firma.example>\r\nX-A: \xc3\xa4X\r\n"
#define MAIL HEAD "\r\nLiebe Anna,\n bare \r and \0 stay.\r\n"

static struct view mail(void)
{
	return view_make(MAIL, sizeof(MAIL) - 1);
}

static void test_form_stays(void **state)
{
	struct scrub *s;
	struct buf out;

	(void)state;
	scrub_new(&s);
	out = message(s, mail(), 1000);
	assert_int_equal(out.len, mail().len);
	for (size_t i = 0; i < out.len; i++) {
		unsigned char was = (unsigned char)mail().data[i], is = (unsigned char)out.data[i];

		assert_int_equal(was >= '0' && was <= '9', is >= '0' && is <= '9');
		assert_int_equal(was >= 'a' && was <= 'z', is >= 'a' && is <= 'z');
		assert_int_equal(was >= 'A' && was <= 'Z', is >= 'A' && is <= 'Z');
		assert_int_equal(was >= 0x80, is >= 0x80);
		if (was < '0' || (was > ';' && was < 'A'))
			assert_int_equal(was, is);
	}
	assert_null(memmem(out.data, out.len, "Geheim", 6));
	assert_null(memmem(out.data, out.len, "Liebe", 5));
	assert_null(memmem(out.data, out.len, "firma", 5));
	assert_non_null(memmem(out.data, out.len, "\r\nMessage-ID: <", 15));
	buf_free(&out);
	scrub_free(&s);
}

static void test_cuts_do_not_matter(void **state)
{
	struct scrub *s;
	struct buf whole;

	(void)state;
	scrub_new(&s);
	whole = message(s, mail(), 1000);
	for (size_t step = 1; step < mail().len; step++) {
		struct buf cut = message(s, mail(), step);

		assert_true(view_eq(buf_view(&cut), buf_view(&whole)));
		buf_free(&cut);
	}
	buf_free(&whole);
	scrub_free(&s);
}

static void test_each_record_has_its_key(void **state)
{
	struct scrub *one, *two;
	struct buf a, b;

	(void)state;
	scrub_new(&one);
	scrub_new(&two);
	a = message(one, mail(), 1000);
	b = message(two, mail(), 1000);
	assert_false(view_eq(buf_view(&a), buf_view(&b)));
	buf_free(&a);
	buf_free(&b);
	scrub_free(&one);
	scrub_free(&two);
}

/* What godwit takes for the same message is the same afterwards, and what it does not is not. */
static void test_identity_stays(void **state)
{
	static const struct {
		const char *one, *two;
		bool same;
	} table[] = {
	    {"Subject: a\r\n\r\nx\r\n", "Subject: a\r\n\r\nx\r\n", true},
	    {"Subject: a\r\n\r\nx\r\n", "Subject: a\n\nx\n", true},
	    {"Subject: a\r\nTo: b\r\n\r\n", "Status: RO\r\nSubject: a\r\nTo: b\r\n\r\n", true},
	    {"Subject: a\r\nTo: b\r\n\r\n", "X-UID: 7\r\n 8\r\nSubject: a\r\nTo: b\r\n\r\n", true},
	    {"Subject: a\xe4q\r\nTo: b\r\n\r\n", "Subject: aXq\r\nTo: b\r\n\r\n", true},
	    {"Subject: message 1\r\n\r\n", "Subject: message 2\r\n\r\n", false},
	    {"Subject: a\r\n\r\n", "Subject: b\r\n\r\n", false},
	    {"Status: a\r\nSubject: a\r\n\r\n", "Statut: a\r\nSubject: a\r\n\r\n", false},
	};
	struct scrub *s;

	(void)state;
	scrub_new(&s);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct arena a AUTO(arena_free) = ARENA_INIT;
		struct buf one = message(s, view_of(table[i].one), 7);
		struct buf two = message(s, view_of(table[i].two), 3);
		struct identity x, y;

		identity_of(buf_view(&one), &x, &a, NULL);
		identity_of(buf_view(&two), &y, &a, NULL);
		assert_int_equal(!memcmp(x.header, y.header, sizeof(x.header)), table[i].same);
		buf_free(&one);
		buf_free(&two);
	}
	scrub_free(&s);
}

/* Wherever it stands: that is how messages are recognised. */
static void test_message_id_is_the_same_everywhere(void **state)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	const char *x, *y;
	struct identity ignored;
	struct scrub *s;
	struct buf one, two;

	(void)state;
	scrub_new(&s);
	one = message(s, view_of("Message-ID: <a1@b>\r\nTo: x\r\n\r\n"), 5);
	two = message(s, view_of("To: y\r\nSubject: z\r\nmessage-id: <a1@b>\r\n\r\n"), 4);
	identity_of(buf_view(&one), &ignored, &a, &x);
	identity_of(buf_view(&two), &ignored, &a, &y);
	assert_string_equal(x, y);
	assert_string_not_equal(x, "<a1@b>");
	buf_free(&one);
	buf_free(&two);
	scrub_free(&s);
}

static void test_long_ones_are_cut(void **state)
{
	char *text = mem_new(100000, 1), rest[2][17];
	struct scrub *s;

	(void)state;
	scrub_new(&s);
	memset(text, 'x', 99999);
	memcpy(text, "A: b\r\n\r\n", 8);
	for (size_t i = 0; i < 2; i++) {
		struct buf out AUTO(buf_free) = BUF_INIT(1u << 20);
		struct scrub_message m;

		scrub_message_begin(s, &m);
		scrub_message_add(s, &m, view_make(text, 50000 - i), &out);
		scrub_message_add(s, &m, view_make(text + 50000 - i, 49999 + i), &out);
		scrub_message_end(s, &m, &out);
		assert_int_equal(out.len, 8 + SCRUB_KEPT_BODY);
		assert_int_equal(m.rest_len, 99999 - 8 - SCRUB_KEPT_BODY);
		scrub_message_rest(&m, rest[i]);
	}
	assert_string_equal(rest[0], rest[1]);
	free(text);
	scrub_free(&s);
}

/* {line, words that stay, words that go}. */
static const struct {
	const char *line, *stay[4], *go[4];
} names[] = {
    {"* LIST (\\HasNoChildren \\Sent) \"/\" \"Kunden/Maier 2019\"\r\n",
	{"* LIST (\\HasNoChildren \\Sent) \"/\" \"", "2019"}, {"Kunden", "Maier"}},
    {"* LIST () \".\" INBOX.Geheim.Gesendet\r\n", {"INBOX.", ".Gesendet\r\n"}, {"Geheim"}},
    {"* 3 FETCH (UID 3 FLAGS (\\Seen $MDNSent Chefsache) INTERNALDATE \"17-Jul-1996 02:44:25 "
     "-0700\")\r\n",
	{"* 3 FETCH (UID 3 FLAGS (\\Seen $MDNSent",
	    "INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n"},
	{"Chefsache"}},
    {"* 3 FETCH (BODY[HEADER] \"Subject: Intern\" ENVELOPE (\"Mon, 7 Feb\" \"Intern\"))\r\n",
	{"* 3 FETCH (BODY[HEADER] \"", "ENVELOPE ("}, {"Intern", "Subject"}},
    {"g12 APPEND \"Plan\" (\\Seen) \" 1-Feb-2020 00:00:00 +0000\" {123+}\r\n",
	{"g12 APPEND \"", "(\\Seen) \" 1-Feb-2020 00:00:00 +0000\" {123+}\r\n"}, {"Plan"}},
    {"* ESEARCH (TAG \"g7\") UID ALL 1:9\r\n", {"* ESEARCH (TAG \"g7\") UID ALL 1:9\r\n"}, {NULL}},
    {"gz LOGOUT\r\n", {"gz LOGOUT\r\n"}, {NULL}},
    {"* LIST () \"/\" \"a\\\"Fall\\\\b\"\r\n", {"\\\"", "\\\\"}, {"Fall"}},
};

static void test_names(void **state)
{
	struct scrub *s;

	(void)state;
	scrub_new(&s);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char *copy = mem_strdup(names[i].line);

		scrub_names(s, copy, strlen(copy));
		assert_int_equal(strlen(copy), strlen(names[i].line));
		for (size_t k = 0; k < 4 && names[i].stay[k]; k++)
			assert_non_null(strstr(copy, names[i].stay[k]));
		for (size_t k = 0; k < 4 && names[i].go[k]; k++)
			assert_null(strstr(copy, names[i].go[k]));
		free(copy);
	}
	scrub_free(&s);
}

/* Modified UTF-7 stays valid and the same word the same, whatever its case and its company. */
static void test_names_travel(void **state)
{
	static const char *const valid[] = {"Entw&APw-rfe zwei", "&BB8EQAQ4BDIENQRC-", "&2D3cTA-",
	    "Q &- A", "&ZeVnLIqe-/&U,BTFw-", "&DjQOFw-x"};
	struct arena a AUTO(arena_free) = ARENA_INIT;
	char one[] = "\"Projekt/alt\"", two[] = "(INBOX.ALT.projekt)";
	struct scrub *s;

	(void)state;
	scrub_new(&s);
	for (size_t i = 0; i < COUNT_OF(valid); i++) {
		char *copy = mem_strdup(valid[i]), *text;

		scrub_names(s, copy, strlen(copy));
		assert_string_not_equal(copy, valid[i]);
		assert_int_equal(imap_utf7_decode(&text, &a, view_of(copy)), 0);
		free(copy);
	}
	scrub_names(s, one, strlen(one));
	scrub_names(s, two, strlen(two));
	assert_int_equal(ascii_lower(one[1]), two[11]);
	assert_memory_equal(one + 2, two + 12, 6);
	assert_int_equal(one[9], two[7] + 32);
	scrub_free(&s);
}

/* A letter stays a letter and a picture a picture, whatever the key: names depend on it where a server
 * takes nothing else. */
static void test_categories_stay(void **state)
{
	static const char name[] =
	    "\xf0\x9f\x93\xac\xe3\x83\x86\xe3\x83\xbc\xe3\x80\x92\xd0\x99\xe3\x82\x99\xe9\x85";

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		char copy[sizeof(name)];
		struct scrub *s;
		utf8proc_int32_t was, is;
		utf8proc_ssize_t n;

		scrub_new(&s);
		memcpy(copy, name, sizeof(name));
		scrub_names(s, copy, strlen(copy));
		for (size_t at = 0; at < sizeof(name) - 3; at += (size_t)n) {
			n = utf8proc_iterate((const utf8proc_uint8_t *)name + at, -1, &was);
			assert_int_equal(
			    utf8proc_iterate((const utf8proc_uint8_t *)copy + at, -1, &is), n);
			assert_int_equal(utf8proc_category(is), utf8proc_category(was));
		}
		assert_string_equal(copy + sizeof(name) - 3, "\xe9\x85");
		scrub_free(&s);
	}
}

static void test_sentences(void **state)
{
	static const struct {
		const char *line, *same;
	} table[] = {
	    {"Dovecot (Debian) ready.", "Dovecot (Debian) ready."},
	    {"Mailbox is over quota, Backoff Time: 1234",
		"Mailbox is over quota, Backoff Time: 1234"},
	    {"\"version\" \"3.6.1\"", "\"version\" \"3.6.1\""},
	    {"Logged in as anna", NULL},
	    {"mail.firma.example ready", NULL},
	    {"from otto@firma.example", NULL},
	    {"session a7f3b2", NULL},
	    {"no such mailbox: Kundschaft", NULL},
	};
	char name[] = "\"Kundschaft\"";
	struct scrub *s;

	(void)state;
	scrub_new(&s);
	scrub_learn(s, "anna@firma.example");
	scrub_names(s, name, strlen(name));
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		char *copy = mem_strdup(table[i].line);

		scrub_sentence(s, copy, strlen(copy));
		if (table[i].same)
			assert_string_equal(copy, table[i].same);
		else
			assert_string_not_equal(copy, table[i].line);
		free(copy);
	}
	scrub_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_form_stays),
	    cmocka_unit_test(test_cuts_do_not_matter),
	    cmocka_unit_test(test_each_record_has_its_key),
	    cmocka_unit_test(test_identity_stays),
	    cmocka_unit_test(test_message_id_is_the_same_everywhere),
	    cmocka_unit_test(test_long_ones_are_cut),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_names_travel),
	    cmocka_unit_test(test_categories_stay),
	    cmocka_unit_test(test_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
