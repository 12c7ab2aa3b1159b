/* lines_test.c - line ends between disk and wire: every text of few bytes, cut in every way. */
#include "connect/maildir/maildir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONGEST 7

static const char letters[] = {'a', '\r', '\n'};

/* Feed TEXT in pieces: bit i of CUTS = a cut behind byte i. */
static void feed(
    struct view text, unsigned cuts, void (*take)(void *arg, struct view piece), void *arg)
{
	size_t start = 0;

	for (size_t i = 0; i < text.len; i++)
		if (i + 1 == text.len || cuts >> i & 1) {
			take(arg, view_make(text.data + start, i + 1 - start));
			start = i + 1;
		}
}

struct way {
	struct buf out;
	bool cr, to_wire;
};

static void convert(void *arg, struct view piece)
{
	struct way *w = arg;

	assert_int_equal(w->to_wire ? maildir_lines_to_wire(&w->out, piece, &w->cr)
				    : maildir_lines_to_disk(&w->out, piece, &w->cr),
	    0);
}

static void count(void *arg, struct view piece)
{
	maildir_lines_feed(arg, piece);
}

static struct way run(struct view text, unsigned cuts, bool to_wire)
{
	struct way w = {.out = BUF_INIT(100), .to_wire = to_wire};

	feed(text, cuts, convert, &w);
	if (!to_wire && w.cr)
		buf_add_char(&w.out, '\r');
	return w;
}

/* What the wire form must be, one byte at a time. */
static struct view expected_wire(struct view text, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '\n' && (!i || text.data[i - 1] != '\r'))
			out[len++] = '\r';
		out[len++] = text.data[i];
	}
	return view_make(out, len);
}

static void check(struct view text, unsigned cuts)
{
	char wire[3 * LONGEST];
	struct view expected = expected_wire(text, wire);
	struct way there = run(text, cuts, true), disk = run(text, cuts, false), back;
	struct maildir_lines lines = {0};

	feed(text, cuts, count, &lines);
	assert_int_equal(lines.bytes, text.len);
	assert_int_equal(lines.bytes + lines.bare, expected.len);
	assert_true(view_eq(buf_view(&there.out), expected));
	back = run(buf_view(&disk.out), cuts, true);
	if (maildir_lines_plain(&lines) != view_eq(buf_view(&back.out), text))
		fail_msg("plain: %d", maildir_lines_plain(&lines));
	buf_free(&there.out);
	buf_free(&disk.out);
	buf_free(&back.out);
}

/* Plain is exactly what comes back from the disk as it was. */
static void test_all(void **state)
{
	char text[LONGEST];

	(void)state;
	for (size_t len = 0; len <= LONGEST; len++) {
		size_t texts = 1;

		for (size_t i = 0; i < len; i++)
			texts *= COUNT_OF(letters);
		for (size_t t = 0; t < texts; t++) {
			for (size_t i = 0, rest = t; i < len; i++, rest /= COUNT_OF(letters))
				text[i] = letters[rest % COUNT_OF(letters)];
			for (unsigned cuts = 0; cuts < 1u << (len ? len - 1 : 0); cuts++)
				check(view_make(text, len), cuts);
		}
	}
}

static void test_ceiling(void **state)
{
	struct buf out = BUF_INIT(3);
	bool cr = false;

	(void)state;
	assert_int_equal(maildir_lines_to_wire(&out, view_of("ab\n"), &cr), -1);
	buf_free(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all),
	    cmocka_unit_test(test_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
