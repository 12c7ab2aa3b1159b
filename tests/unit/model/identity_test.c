/* identity_test.c - every sample is fed at every split point and byte by byte; samples that mean
 * the same must be the same, the others must differ. A slow twin checks the digests. */
#include "model/identity.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal)                                                                              \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

static const struct {
	const char *data;
	size_t len;
} samples[] = {
    TEXT(""),
    TEXT("\r"),
    TEXT("\n"),
    TEXT("\r\n"),
    TEXT("\r\n\r\n"),
    TEXT("\n\nbody"),
    TEXT("a"),
    TEXT("a\r"),
    TEXT("a\r\r\n"),
    TEXT("Subject: x"),
    TEXT("Subject: x\r\n"),
    TEXT("Subject: x\r\n\r"),
    TEXT("Subject: x\r\n\r\n"),
    TEXT("Subject: x\n\nbody\n"),
    TEXT("Subject: x\r\n\r\nbody\r\n"),
    TEXT("Subject: x\r\n\r\nbody\r\r\nmore\rless\n\r\n"),
    TEXT("Subject: x\r\n\r\n\0\0a\0\r\n\0\n"),
    TEXT("Subject: gr\xc3\xbc\xc3\x9f\0e\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n"),
    TEXT("Status: RO\r\nSubject: x\r\nX-UID: 5\r\n\r\nb"),
    TEXT("Status: RO\r\n folded away\r\n\tmore\r\nSubject: x\r\n folded\r\n\r\nb"),
    TEXT("Status"),
    TEXT("Status:"),
    TEXT("Status\r\n\r\n"),
    TEXT("Status \t: x\n\nb"),
    TEXT("Return-Path: <a@b>\r\nX-IMAPbase: 1 2\r\nContent-Length: 3\r\nLines: 1\r\n\r\nb"),
    TEXT("Return-Path: <a@b>"),
    TEXT(" folded first\r\nSubject: x\r\n\r\n"),
    TEXT("Message-ID: <one@host>\r\n\r\nb"),
    TEXT("message-id:\r\n <one\r\n\t@host>\r\nX: y\r\n\r\nb"),
    TEXT("MESSAGE-ID :<one@host>\nMessage-ID: <two@host>\n\nb"),
    TEXT("Message-ID: broken id without brackets\r\n\r\n"),
    TEXT("Message-ID:\r\n \r\n\r\n"),
    TEXT("Message-ID: <\xc3\xbc@h>\r\n\r\n"),
    TEXT("A-header-field-name-that-is-longer-than-all-that-we-care-for: value\r\n\r\n"),
    TEXT("no colon here at all, and longer than what is ever held back for a name\r\n"),
    TEXT("From someone@somewhere Mon Jan  1 00:00:00 2024\r\nSubject: x\r\n\r\n"),
    TEXT("Subject: x\r\n \r\nX: after a line of blanks\r\n\r\nb"),
    TEXT("Subject: x\r\r\nX: y\r\n\r\nb"),
};

static bool is_zero(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static struct identity of(const char *data, size_t len)
{
	struct identity out;

	identity_of(view_make(data, len), &out, NULL, NULL);
	return out;
}

static void assert_identical(const struct identity *a, const struct identity *b)
{
	assert_true(a->size == b->size && a->canonical_size == b->canonical_size);
	assert_memory_equal(a->msgid, b->msgid, sizeof(a->msgid));
	assert_memory_equal(a->header, b->header, sizeof(a->header));
	assert_memory_equal(a->body, b->body, sizeof(a->body));
	assert_int_equal(a->odd, b->odd);
	assert_memory_equal(a->exact, b->exact, sizeof(a->exact));
}

static struct identity of_text(const char *text)
{
	return of(text, strlen(text));
}

/* ---- the cuts ---- */

static void check_feed(const char *data, size_t len, const size_t *cuts, size_t count)
{
	struct identity whole = of(data, len), found;
	struct identity_reader *r;
	size_t at = 0;

	identity_start(&r);
	for (size_t i = 0; i <= count; i++) {
		size_t end = i < count ? cuts[i] : len;
		char *piece = malloc(end - at + 1);
		assert_non_null(piece);
		memcpy(piece, data + at, end - at);
		identity_feed(r, view_make(piece, end - at));
		free(piece);
		at = end;
	}
	identity_finish(r, false, &found);
	assert_identical(&found, &whole);
	identity_free(&r);
	assert_null(r);
}

static void test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		size_t len = samples[i].len, each[256];
		assert_true(len < COUNT_OF(each));
		for (size_t a = 0; a <= len; a++) {
			each[a] = a;
			for (size_t b = a; b <= len; b++)
				check_feed(samples[i].data, len, (size_t[]){a, b}, 2);
		}
		check_feed(samples[i].data, len, each, len + 1);
	}
}

/* To finish does not disturb what comes after. */
static void test_finish_midway(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		struct identity whole = of(samples[i].data, samples[i].len), found;
		struct identity_reader *r;
		identity_start(&r);
		for (size_t k = 0; k < samples[i].len; k++) {
			identity_feed(r, view_make(samples[i].data + k, 1));
			identity_finish(r, k % 2, &found);
			if (k % 2)
				assert_true(!found.size && !found.canonical_size && !found.odd &&
					    is_zero(found.body, sizeof(found.body)));
		}
		identity_finish(r, false, &found);
		assert_identical(&found, &whole);
		identity_free(&r);
	}
}

/* ---- the slow twin ---- */

struct slow {
	char header[4000], all[4000];
	size_t header_len, len;
	uint64_t canonical_size;
};

static void slow_add(struct slow *s, const char *text, size_t len, bool header)
{
	memcpy(s->all + s->len, text, len);
	s->len += len;
	if (header) {
		memcpy(s->header + s->header_len, text, len);
		s->header_len += len;
	}
}

static bool slow_is_volatile(struct view line)
{
	static const char *const names[] = {"status", "x-status", "x-uid", "x-uidl", "x-keywords",
	    "x-imap", "x-imapbase", "content-length", "return-path", "lines"};
	size_t len = 0;

	while (len < line.len && line.data[len] != ':')
		len++;
	if (len == line.len)
		return false;
	while (len && strchr(" \t", line.data[len - 1]))
		len--;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (view_is_nocase(view_make(line.data, len), names[i]))
			return true;
	return false;
}

/* Line by line as identity.h says it, with no thought for speed. */
static void slow_run(struct slow *s, const char *data, size_t len)
{
	bool header = true, skip = false;

	for (size_t at = 0; at < len;) {
		size_t end = at;
		struct view line;
		bool ended, bare;
		while (end < len && data[end] != '\n')
			end++;
		ended = end < len;
		bare = ended && (end == at || data[end - 1] != '\r');
		line = view_make(data + at, end - at - (ended && !bare));
		s->canonical_size += line.len + (ended ? 2 : 0);
		at = end + ended;
		if (header && ended && !line.len) {
			header = false;
			slow_add(s, "\r\n", 2, false);
			continue;
		}
		if (header && !(line.len && strchr(" \t", line.data[0]) && line.data[0]))
			skip = slow_is_volatile(line);
		if (header && skip)
			continue;
		for (size_t i = 0; i < line.len; i++) {
			unsigned char c = (unsigned char)line.data[i];
			char out = header ? (c == 0 || c > 127 ? 'X' : (char)c)
				   : c    ? (char)c
					  : '\x80';
			slow_add(s, &out, 1, header);
		}
		slow_add(s, "\r\n", 2, header);
	}
}

static void test_slow_twin(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		struct identity found = of(samples[i].data, samples[i].len);
		struct slow s = {0};
		unsigned char digest[16];
		slow_run(&s, samples[i].data, samples[i].len);
		assert_true(found.size == samples[i].len);
		if (found.canonical_size != s.canonical_size)
			fail_msg("size of sample %zu", i);
		crypto_generichash(digest, 16, (unsigned char *)s.header, s.header_len, NULL, 0);
		if (memcmp(found.header, digest, 16) != 0)
			fail_msg("header of sample %zu", i);
		crypto_generichash(digest, 16, (unsigned char *)s.all, s.len, NULL, 0);
		if (memcmp(found.body, digest, 16) != 0)
			fail_msg("body of sample %zu", i);
	}
}

/* ---- the very bytes ---- */

static bool slow_is_odd(const char *data, size_t len)
{
	bool header = true;
	size_t line = 0; /* bytes in it */

	for (size_t i = 0; i < len; i++) {
		char c = data[i];
		if (c == '\0' || (header && (unsigned char)c > 127))
			return true;
		if (c == '\r' && (i + 1 == len || data[i + 1] != '\n'))
			return true;
		if (c == '\n' && (!i || data[i - 1] != '\r'))
			return true;
		if (c == '\n' && line == 1) /* the CR only */
			header = false;
		line = c == '\n' ? 0 : line + 1;
	}
	return false;
}

static size_t random_message(unsigned *seed, char *out, size_t max)
{
	static const struct {
		const char *data;
		size_t len;
	} pieces[] = {TEXT("\n"), TEXT("\r"), TEXT("\r\n"), TEXT("\r\n\r\n"), TEXT("\0"),
	    TEXT("\x80"), TEXT("X"), TEXT("S"), TEXT("E"), TEXT("L"), TEXT("B"), TEXT(" "),
	    TEXT("Status:"), TEXT("Lines: 1\r\n"), TEXT("a:")};
	size_t len = 0;

	for (;;) {
		size_t k;
		*seed = *seed * 1103515245u + 12345u;
		k = (*seed >> 16) % (COUNT_OF(pieces) + 1);
		if (k == COUNT_OF(pieces) || len + pieces[k].len > max)
			return len;
		memcpy(out + len, pieces[k].data, pieces[k].len);
		len += pieces[k].len;
	}
}

static void check_exact(const char *a, size_t a_len, const char *b, size_t b_len)
{
	struct identity x = of(a, a_len), y = of(b, b_len);
	bool same = a_len == b_len && !memcmp(a, b, a_len);

	if (x.odd != slow_is_odd(a, a_len))
		fail_msg("odd: %d: %.*s", x.odd, (int)a_len, a);
	assert_int_equal(x.odd, !is_zero(x.exact, sizeof(x.exact)));
	if (x.odd && !memcmp(x.exact, y.exact, sizeof(x.exact)) != same)
		fail_msg("exact: %d", same);
}

/* Odd messages have equal exact digests just when all their bytes are equal. */
static void test_exact(void **state)
{
	enum { MANY = 1000 };
	static char text[MANY][64];
	static size_t len[MANY];
	unsigned seed = 7;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++)
		for (size_t k = 0; k < COUNT_OF(samples); k++)
			check_exact(
			    samples[i].data, samples[i].len, samples[k].data, samples[k].len);
	for (size_t i = 0; i < MANY; i++) {
		len[i] = random_message(&seed, text[i], sizeof(text[i]));
		check_feed(text[i], len[i], (size_t[]){len[i] / 3, len[i] / 2}, 2);
		for (size_t k = 0; k <= i; k++)
			check_exact(text[i], len[i], text[k], len[k]);
	}
}

/* ---- what is the same, and what not ---- */

static void test_pairs(void **state)
{
	static const struct {
		struct {
			const char *data;
			size_t len;
		} a, b;
		bool header, body;
	} rows[] = {
	    {TEXT("S: x\r\n\r\nb\r\n"), TEXT("S: x\n\nb\n"), true, true},
	    {TEXT("S: x\r\n\r\nb\r\n"), TEXT("S: x\r\n\r\nb"), true, true},
	    {TEXT("S: x\r\n\r\nb\r\n"), TEXT("S: x\r\n\r\nb\r\n\r\n"), true, false},
	    {TEXT("S: x\r\n\r\nb\r"), TEXT("S: x\r\n\r\nb"), true, false},
	    {TEXT("S: \xc3\xbc\r\n\r\n"), TEXT("S: XX\r\n\r\n"), true, true},
	    {TEXT("S: a\0b\r\n\r\n"), TEXT("S: aXb\r\n\r\n"), true, true},
	    {TEXT("S: x\r\n\r\na\0b"),
		TEXT("S: x\r\n\r\na\x80"
		     "b"),
		true, true},
	    {TEXT("S: x\r\n\r\na\xc3"), TEXT("S: x\r\n\r\naX"), true, false},
	    {TEXT("S: x\r\n\r\n"), TEXT("Status: O\r\nS: x\r\nx-uid: 1\r\n 2\r\n\r\n"), true, true},
	    {TEXT("S: x\r\n\r\nStatus: O\r\n"), TEXT("S: x\r\n\r\n"), true, false},
	    {TEXT("S: x\r\n\r\n"), TEXT("S: x\r\nX-Status-2: O\r\n\r\n"), false, false},
	    {TEXT("S: x\r\n\r\n"), TEXT("S: x\r\n"), true, false},
	    {TEXT("S: x\r\n y\r\n\r\n"), TEXT("S: x y\r\n\r\n"), false, false},
	    {TEXT("S: x\r\r\n\r\n"), TEXT("S: x\r\n\r\n"), false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct identity a = of(rows[i].a.data, rows[i].a.len);
		struct identity b = of(rows[i].b.data, rows[i].b.len);
		if (!memcmp(a.header, b.header, 16) != rows[i].header)
			fail_msg("header of row %zu", i);
		if (!memcmp(a.body, b.body, 16) != rows[i].body)
			fail_msg("body of row %zu", i);
		assert_int_equal(identity_same(&a, &b), rows[i].body);
	}
}

static void test_msgid(void **state)
{
	static const struct {
		const char *message, *msgid;
	} rows[] = {
	    {"Message-ID: <a@b>\r\n\r\n", "<a@b>"},
	    {"mEssage-iD:<a@b>\n\n", "<a@b>"},
	    {"Message-ID : <a @ b>\r\n\r\n", "<a@b>"},
	    {"X: y\r\nMessage-Id:\r\n\t<a@\r\n b>\r\n\r\n", "<a@b>"},
	    {"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n", "<a@b>"},
	    {"Message-ID:\r\nMessage-ID: <c@d>\r\n\r\n", "<c@d>"},
	    {"Message-ID: no brackets\r\n\r\n", "nobrackets"},
	    {"Message-ID: <a@b>", "<a@b>"}, /* nothing else at all */
	    {"Message-ID: <a\x1b[2J@b>\r\n\r\n", "<a?[2J@b>"},
	    {"Message-ID: <\xc3\xbc@b>\r\n\r\n", "<XX@b>"},
	    {"X-Message-ID: <a@b>\r\n\r\n", ""},
	    {"Subject: Message-ID: <a@b>\r\n\r\n", ""},
	    {"\r\nMessage-ID: <a@b>\r\n\r\n", ""},
	    {"X: y\r\n Message-ID: <a@b>\r\n\r\n", ""},
	    {"", ""},
	};
	struct identity plain = of_text(rows[0].message);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct arena a = ARENA_INIT;
		struct identity id;
		const char *msgid;
		identity_of(view_of(rows[i].message), &id, &a, &msgid);
		assert_string_equal(msgid, rows[i].msgid);
		assert_int_equal(is_zero(id.msgid, 8), !*rows[i].msgid);
		assert_int_equal(
		    !memcmp(id.msgid, plain.msgid, 8), !strcmp(rows[i].msgid, "<a@b>"));
		arena_free(&a);
	}
}

static void test_reader_states(void **state)
{
	struct identity_reader *r;
	struct identity whole = of_text("Message-ID: <a@b>\r\n\r\nbody"), head;

	(void)state;
	identity_start(&r);
	identity_feed(r, view_of("Message-ID: <a@b>\r\n"));
	assert_false(identity_header_done(r));
	assert_string_equal(identity_msgid(r), "");
	identity_finish(r, true, &head);
	assert_string_equal(identity_msgid(r), "<a@b>"); /* told that this is all */
	assert_memory_equal(head.header, whole.header, 16);
	assert_memory_equal(head.msgid, whole.msgid, 8);
	identity_feed(r, view_of("\r\n"));
	assert_true(identity_header_done(r));
	identity_finish(r, true, &head);
	assert_memory_equal(head.header, whole.header, 16);
	assert_true(identity_same(&head, &whole));
	identity_free(&r);
	identity_free(&r);
}

/* Fields, lines and Message-IDs of any length; the reader does not grow. */
static void test_huge_header(void **state)
{
	enum { LEN = 300000 };
	char *text = malloc(LEN + 100), *one;
	struct arena a = ARENA_INIT;
	struct identity x, y;
	const char *msgid;
	size_t len;

	(void)state;
	assert_non_null(text);
	len = (size_t)sprintf(text, "Message-ID: <");
	memset(text + len, 'i', LEN - len);
	len = LEN + (size_t)sprintf(text + LEN, ">\r\n\r\nbody\r\n");
	identity_of(view_make(text, len), &x, &a, &msgid);
	assert_int_equal(strlen(msgid), 1000);
	one = text + LEN / 2;
	*one = 'j'; /* beyond what is kept of the id, yet within the header's digest */
	y = of(text, len);
	assert_memory_equal(x.msgid, y.msgid, 8);
	assert_memory_not_equal(x.header, y.header, 16);
	check_feed(text, len, (size_t[]){5, 1012, 1013, 1014, LEN - 1, LEN + 2}, 6);
	arena_free(&a);
	free(text);
}

static void test_same(void **state)
{
	static const char with_lf[] = "Message-ID: <a@b>\nS: x\n\nbody\n";
	static const char with_crlf[] = "Message-ID: <a@b>\r\nS: x\r\n\r\nbody\r\n";
	struct identity lf = of_text(with_lf), crlf = of_text(with_crlf), other, none = {0};

	(void)state;
	assert_true(identity_same(&lf, &crlf));
	other = crlf; /* read back at the destination: header and size only */
	memset(other.body, 0, sizeof(other.body));
	other.canonical_size = 0;
	assert_true(identity_same(&lf, &other)); /* its size is our canonical one */
	assert_true(identity_same(&other, &lf));
	other.size++;
	assert_false(identity_same(&lf, &other));
	other.size = 0; /* not known at all */
	assert_true(identity_same(&lf, &other));
	other.msgid[0] ^= 1;
	assert_false(identity_same(&lf, &other));
	memset(other.msgid, 0,
	    sizeof(other.msgid)); /* nobody read it: the header's digest covers it */
	assert_true(identity_same(&lf, &other));
	assert_true(identity_same(&other, &lf));
	other = crlf;
	other.body[3] ^= 1;
	assert_false(identity_same(&lf, &other));
	assert_false(identity_same(&none, &none)); /* nothing known is no match */
	memset(crlf.body, 0, sizeof(crlf.body));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_split),
	    cmocka_unit_test(test_finish_midway),
	    cmocka_unit_test(test_slow_twin),
	    cmocka_unit_test(test_exact),
	    cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_msgid),
	    cmocka_unit_test(test_reader_states),
	    cmocka_unit_test(test_huge_header),
	    cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
