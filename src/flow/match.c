/* match.c - pairs the messages of two folders. Below verify.c, which reads them.
 * Rounds, each less strict than the one before: what is alike in all is paired first, so that among
 * twins no difference is told that need not be. A round sorts what is left by its fields and walks
 * both sides once. */
#include "flow/match.h"

#include <stdlib.h>
#include <string.h>

enum field {
	BY_HEADER = 1,
	BY_BODY = 2, /* of whole ones; else nothing */
	BY_EXACT = 4,
	BY_SIZE = 8,
	BY_DATE = 16,
	BY_FLAGS = 32,
	BY_MSGID = 64,
};

#define SAME_BYTES ((unsigned)(BY_HEADER | BY_BODY | BY_SIZE))

/* Who takes part. */
enum who { ANYBODY, UNREAD, NAMED };

static const unsigned rounds[] = {
    SAME_BYTES | BY_EXACT | BY_DATE | BY_FLAGS,
    SAME_BYTES | BY_DATE | BY_FLAGS,
    SAME_BYTES | BY_DATE,
    SAME_BYTES | BY_FLAGS,
    SAME_BYTES,
    BY_HEADER | BY_DATE,
    BY_HEADER,
};

struct side {
	struct match_item **items;
	size_t count;
};

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_dates(const struct match_item *a, const struct match_item *b)
{
	if (a->dated != b->dated || !a->dated)
		return a->dated - b->dated;
	return (a->instant > b->instant) - (a->instant < b->instant);
}

static int compare(const struct match_item *a, const struct match_item *b, unsigned fields)
{
	int order = 0;

	if (fields & BY_HEADER)
		order = memcmp(a->header, b->header, sizeof(a->header));
	if (!order && (fields & BY_MSGID))
		order = memcmp(a->msgid, b->msgid, sizeof(a->msgid));
	if (!order && (fields & BY_BODY))
		order = memcmp(a->body, b->body, sizeof(a->body));
	if (!order && (fields & BY_EXACT))
		order = memcmp(a->exact, b->exact, sizeof(a->exact));
	if (!order && (fields & BY_SIZE))
		order = compare_numbers(a->size, b->size);
	if (!order && (fields & BY_DATE))
		order = compare_dates(a, b);
	if (!order && (fields & BY_FLAGS))
		order = compare_numbers(a->flags, b->flags);
	return order;
}

static int by_fields(const void *a, const void *b, void *fields)
{
	const struct match_item *const *x = a, *const *y = b;
	int order = compare(*x, *y, *(const unsigned *)fields);

	return order ? order : compare_numbers((*x)->order, (*y)->order);
}

static bool has_msgid(const struct match_item *i)
{
	static const unsigned char none[sizeof(i->msgid)];

	return memcmp(i->msgid, none, sizeof(none)) != 0;
}

static bool takes_part(const struct match_item *i, enum who who)
{
	if (i->paired)
		return false;
	return who == ANYBODY || (who == UNREAD ? i->unread : has_msgid(i));
}

static void gather(
    struct side *s, struct match_item *items, size_t count, unsigned fields, enum who who)
{
	s->count = 0;
	for (size_t i = 0; i < count; i++)
		if (takes_part(&items[i], who))
			s->items[s->count++] = &items[i];
	if (s->count)
		qsort_r(s->items, s->count, sizeof(*s->items), by_fields, &fields);
}

static unsigned compare_bytes(const struct match_item *a, const struct match_item *b)
{
	if (a->unread || b->unread)
		return MATCH_UNREAD;
	if (compare(a, b, BY_HEADER))
		return MATCH_HEADER;
	if (!a->whole || !b->whole)
		return a->size != b->size ? MATCH_SIZE : 0;
	if (compare(a, b, BY_BODY))
		return MATCH_BODY;
	return compare(a, b, BY_EXACT) || a->carried != b->carried ? MATCH_ALTERED : 0;
}

static unsigned differences(const struct match_item *a, const struct match_item *b)
{
	return compare_bytes(a, b) | (compare_dates(a, b) ? MATCH_DATE : 0) |
	       (a->flags != b->flags ? MATCH_FLAGS : 0);
}

static void pair_up(struct match_item *a, struct match_item *b, const struct match_sink *sink)
{
	a->paired = b->paired = true;
	sink->pair(sink->arg, a, b, differences(a, b));
}

/* Both are sorted by FIELDS. */
static void walk(
    const struct side *l, const struct side *r, unsigned fields, const struct match_sink *sink)
{
	for (size_t i = 0, j = 0; i < l->count && j < r->count;) {
		int order = compare(l->items[i], r->items[j], fields);

		if (!order)
			pair_up(l->items[i], r->items[j], sink);
		i += order <= 0;
		j += order >= 0;
	}
}

void match_run(struct match_item *left, size_t left_count, struct match_item *right,
    size_t right_count, const struct match_sink *sink)
{
	struct side l = {.items = mem_new(left_count + 1, sizeof(*l.items))};
	struct side r = {.items = mem_new(right_count + 1, sizeof(*r.items))};
	static const struct {
		unsigned fields;
		enum who left, right;
	} last[] = {{BY_MSGID | BY_DATE, NAMED, NAMED}, {BY_MSGID, NAMED, NAMED},
	    {BY_SIZE | BY_DATE, UNREAD, ANYBODY}, {BY_SIZE | BY_DATE, ANYBODY, UNREAD}};

	for (size_t i = 0; i < COUNT_OF(rounds); i++) {
		gather(&l, left, left_count, rounds[i], ANYBODY);
		gather(&r, right, right_count, rounds[i], ANYBODY);
		walk(&l, &r, rounds[i], sink);
	}
	for (size_t i = 0; i < COUNT_OF(last); i++) {
		gather(&l, left, left_count, last[i].fields, last[i].left);
		gather(&r, right, right_count, last[i].fields, last[i].right);
		walk(&l, &r, last[i].fields, sink);
	}
	free(l.items);
	free(r.items);
}
