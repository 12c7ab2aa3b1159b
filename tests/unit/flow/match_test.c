/* Messages of two folders paired as multisets: each kind of difference by itself, and by dice against
 * what must hold whatever was thrown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/match.h"

#define MOST 60

struct tally {
	size_t pairs, same;
	unsigned differs; /* all that was told */
	bool wrong;
};

static void on_pair(
    void *arg, const struct match_item *left, const struct match_item *right, unsigned differs)
{
	struct tally *t = arg;

	t->pairs++;
	t->same += !differs;
	t->differs |= differs;
	t->wrong |= !left->paired || !right->paired;
}

static struct tally match(struct match_item *l, size_t lc, struct match_item *r, size_t rc)
{
	struct tally t = {0};
	const struct match_sink sink = {on_pair, &t};

	match_run(l, lc, r, rc, &sink);
	assert_false(t.wrong);
	return t;
}

/* "h1 s100 d5 f1 m2 b3 x4": header, size, date, flags, Message-ID; b: read whole, with that body; x:
 * and its exact digest. u: unread. */
static struct match_item item(const char *text)
{
	struct match_item i = {.dated = true, .id = (char *)(uintptr_t)text};

	for (const char *at = text; *at; at += strcspn(at, " "), at += *at == ' ') {
		unsigned n = (unsigned)strtoul(at + 1, NULL, 10);

		switch (*at) {
		case 'h':
			i.header[0] = (unsigned char)n;
			break;
		case 's':
			i.size = i.carried = n;
			break;
		case 'd':
			i.instant = n;
			i.dated = n != 0;
			break;
		case 'f':
			i.flags = n;
			break;
		case 'm':
			i.msgid[0] = (unsigned char)n;
			break;
		case 'b':
			i.whole = true;
			i.body[0] = (unsigned char)n;
			break;
		case 'x':
			i.exact[0] = (unsigned char)n;
			break;
		case 'u':
			i.unread = true;
			break;
		}
	}
	return i;
}

static void test_pairs(void **state)
{
	static const struct {
		const char *left, *right;
		bool paired;
		unsigned differs;
	} cases[] = {
	    {"h1 s9 d5 f1 m2", "h1 s9 d5 f1 m2", true, 0},
	    {"h1 s9 d5 f1 m2", "h1 s9 d5 f2 m2", true, MATCH_FLAGS},
	    {"h1 s9 d5 f1 m2", "h1 s9 d6 f1 m2", true, MATCH_DATE},
	    {"h1 s9 d0 f1 m2", "h1 s9 d6 f1 m2", true, MATCH_DATE},
	    {"h1 s9 d0 f1 m2", "h1 s9 d0 f1 m2", true, 0},
	    {"h1 s9 d5 f1 m2", "h1 s9 d6 f2 m2", true, MATCH_DATE | MATCH_FLAGS},
	    {"h1 s9 d5 f1 m2", "h1 s8 d5 f1 m2", true, MATCH_SIZE},
	    {"h1 s9 d5 f1 m2 b1", "h1 s9 d5 f1 m2 b1", true, 0},
	    {"h1 s9 d5 f1 m2 b1", "h1 s9 d5 f1 m2 b2", true, MATCH_BODY},
	    {"h1 s9 d5 f1 m2 b1 x1", "h1 s9 d5 f1 m2 b1 x2", true, MATCH_ALTERED},
	    {"h1 s9 d5 f1 m2 b1", "h1 s9 d5 f1 m2 b1 x2", true, MATCH_ALTERED},
	    {"h1 s9 d5 f1 m2", "h3 s9 d5 f1 m2", true, MATCH_HEADER},
	    {"h1 s9 d5 f1 m2", "h3 s9 d5 f1 m4", false, 0},
	    {"h1 s9 d5 f1", "h3 s9 d5 f1", false, 0}, /* no Message-ID names nothing */
	    {"u s9 d5 f1", "h1 s9 d5 f1 m2", true, MATCH_UNREAD},
	    {"h1 s9 d5 f1 m2", "u s9 d5 f2", true, MATCH_UNREAD | MATCH_FLAGS},
	    {"u s9 d5 f1", "h1 s8 d5 f1 m2", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct match_item l = item(cases[i].left), r = item(cases[i].right);
		struct tally t = match(&l, 1, &r, 1);

		if (t.pairs != cases[i].paired || t.differs != cases[i].differs ||
		    l.paired != cases[i].paired || r.paired != cases[i].paired)
			fail_msg("%s / %s: %zu pairs, %#x", cases[i].left, cases[i].right, t.pairs,
			    t.differs);
	}
}

/* Among twins nothing is told that need not be. */
static void test_twins(void **state)
{
	struct match_item l[] = {item("h1 s9 d5 f1 b1"), item("h1 s9 d5 f2 b1"),
	    item("h1 s9 d7 f1 b2"), item("h1 s9 d7 f1 b3")};
	struct match_item r[] = {item("h1 s9 d7 f1 b3"), item("h1 s9 d5 f2 b1"),
	    item("h1 s9 d5 f1 b1"), item("h1 s9 d8 f1 b2"), item("h1 s9 d7 f1 b3")};
	struct tally t = match(l, COUNT_OF(l), r, COUNT_OF(r));

	(void)state;
	assert_int_equal(t.pairs, 4);
	assert_int_equal(t.same, 3);
	assert_int_equal(t.differs, MATCH_DATE);
	assert_int_equal(r[0].paired + r[4].paired, 1);
	assert_true(r[1].paired && r[2].paired && r[3].paired);
}

static uint32_t dice(uint32_t *state, uint32_t sides)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 16) % sides;
}

static size_t throw_items(struct match_item *out, uint32_t *state)
{
	size_t count = dice(state, MOST);

	for (size_t i = 0; i < count; i++) {
		out[i] = (struct match_item){.dated = true,
		    .order = (uint32_t)i,
		    .size = 1 + dice(state, 2),
		    .instant = dice(state, 2),
		    .flags = dice(state, 2)};
		out[i].header[0] = (unsigned char)(1 + dice(state, 3));
		out[i].msgid[0] = out[i].header[0];
	}
	return count;
}

/* Bits of what a throw can give; with HEADER_ONLY the header alone. */
static size_t kind_of(const struct match_item *i, bool header_only)
{
	size_t kind = i->header[0];

	if (header_only)
		return kind;
	kind = kind * 2 + (size_t)i->size - 1;
	kind = kind * 2 + (size_t)i->instant;
	return kind * 2 + i->flags;
}

static size_t common(
    const struct match_item *l, size_t lc, const struct match_item *r, size_t rc, bool header_only)
{
	size_t ours[64] = {0}, theirs[64] = {0}, both = 0;

	for (size_t i = 0; i < lc; i++)
		ours[kind_of(&l[i], header_only)]++;
	for (size_t i = 0; i < rc; i++)
		theirs[kind_of(&r[i], header_only)]++;
	for (size_t i = 0; i < COUNT_OF(ours); i++)
		both += ours[i] < theirs[i] ? ours[i] : theirs[i];
	return both;
}

static void test_dice(void **state)
{
	static struct match_item l[MOST], r[MOST];
	uint32_t seed = 1;

	(void)state;
	for (int run = 0; run < 3000; run++) {
		size_t lc = throw_items(l, &seed), rc = throw_items(r, &seed);
		struct tally t = match(l, lc, r, rc);

		/* as many exact pairs, and as many pairs at all, as the multisets hold */
		assert_int_equal(t.same, common(l, lc, r, rc, false));
		assert_int_equal(t.pairs, common(l, lc, r, rc, true));
	}
}

/* A folder of nothing but twins is no square of work: this would take hours. */
static void test_many_twins(void **state)
{
	size_t count = 200000;
	struct match_item *l = mem_new(count, sizeof(*l)), *r = mem_new(count, sizeof(*r));

	(void)state;
	for (size_t i = 0; i < count; i++) {
		l[i] = r[i] = item("h1 s9 d5 f1");
		l[i].order = r[i].order = (uint32_t)i;
	}
	assert_int_equal(match(l, count, r, count - 1).same, count - 1);
	free(l);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_twins), cmocka_unit_test(test_dice),
	    cmocka_unit_test(test_many_twins)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
