/* search.c - the UIDs of a whole folder and nothing else: ESEARCH (RFC 4731) where offered, else plain
 * SEARCH. Beside facts.c. An answer is one line, and must fit into IMAP_LINE_MAX: large folders are
 * asked for in portions by message number, from the end, so that what is expunged meanwhile can only
 * move messages into a portion that comes later: told twice (and dropped here), never left out.
 * Promises: each UID once; what a hostile server can make us keep or tell is bounded. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"

#define PORTION 50000u /* UIDs an answer: 11 bytes each in the longest form */

struct search {
	struct imap *im;
	const struct fact_sink *sink;
	uint64_t below; /* UIDs from here on were told */
	uint64_t left;  /* how many more may be told */
	/* one portion */
	struct arena arena;
	uint32_t *uids;
	size_t count, size;
	bool flood;
};

static void add_uid(struct search *s, uint64_t uid)
{
	if (s->count == s->size) {
		s->flood = true;
		return;
	}
	if (uid && uid <= UINT32_MAX)
		s->uids[s->count++] = (uint32_t)uid;
}

static void add_set(struct search *s, struct view text)
{
	struct imap_set_walk walk = imap_set_walk(text);
	uint32_t uid;
	int found = 1;

	while (!s->flood && (found = imap_set_next(&walk, &uid)) == 1)
		add_uid(s, uid);
	s->flood = s->flood || found < 0;
}

/* "(TAG "g7") UID ALL 4:18,21 COUNT 3"; without UID these would be message numbers. */
static void take_esearch(struct search *s, const struct imap_node *n)
{
	bool uids = false;

	for (; n; n = n->next) {
		uids = uids || view_is_nocase(imap_node_text(n), "UID");
		if (uids && n->next && view_is_nocase(imap_node_text(n), "ALL"))
			add_set(s, imap_node_text(n->next));
	}
}

static int take_found(void *arg, const struct imap_response *r, struct err *e)
{
	struct search *s = arg;
	uint64_t uid;

	(void)e;
	if (view_is_nocase(r->name, "ESEARCH"))
		take_esearch(s, r->args);
	else if (view_is_nocase(r->name, "SEARCH"))
		for (const struct imap_node *n = r->args; n; n = n->next)
			if (n->kind == IMAP_NODE_ATOM && !imap_node_number(n, &uid))
				add_uid(s, uid);
	return 0;
}

/* One command. More than SIZE UIDs, or a set that cannot be read, is a flood. */
static int ask_portion(struct search *s, const char *key, bool extended, size_t size, struct err *e)
{
	struct imap_command c;

	arena_clear(&s->arena);
	s->uids = arena_new(&s->arena, size, sizeof(*s->uids));
	s->size = size;
	s->count = 0;
	s->flood = false;
	imap_command_start(s->im, &c, extended ? "UID SEARCH RETURN (ALL)" : "UID SEARCH");
	imap_command_add(&c, "%s", key);
	return imap_run(s->im, &c, &(struct imap_taker){.response = take_found, .arg = s}, e);
}

/* UW's ESEARCH ranges span UIDs that are gone; with more of them than messages it is not believed. */
static int find_portion(struct search *s, const char *key, uint64_t messages, struct err *e)
{
	struct imap *im = s->im;
	uint64_t before = im->exists;

	if (imap_has(im, CAP_ESEARCH) && !im->loose_sets) {
		struct err refusal;
		int failed = ask_portion(s, key, true, (size_t)messages + IMAP_FLOOD, &refusal);
		uint64_t come = im->exists > before ? im->exists - before : 0;

		if (failed && refusal.scope != ERR_FOLDER) {
			*e = refusal;
			return -1;
		}
		if (!failed && !s->flood && s->count && s->count <= messages + come)
			return 0;
		im->loose_sets = true;
		log_debug("%s: ESEARCH is not to be used, trying SEARCH", im->at->host);
	}
	if (ask_portion(s, key, false, (size_t)messages + IMAP_FLOOD, e))
		return -1;
	return s->flood ? imap_broken(im, e, "it finds far more messages than it counts") : 0;
}

static int compare_uids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int tell_portion(struct search *s, struct err *e)
{
	uint32_t last = 0;

	qsort(s->uids, s->count, sizeof(*s->uids), compare_uids);
	for (size_t i = 0; i < s->count && s->uids[i] < s->below; i++) {
		struct fact fact = {0};
		char id[24];

		if (s->uids[i] == last)
			continue;
		last = s->uids[i];
		if (!s->left--)
			return imap_broken(s->im, e, "it finds far more messages than it counts");
		snprintf(id, sizeof(id), "%" PRIu32, last);
		fact.id = view_of(id);
		fact.partial = true;
		if (s->sink->take(s->sink->arg, &fact, e))
			return -1;
	}
	if (s->count && s->uids[0] < s->below)
		s->below = s->uids[0];
	return 0;
}

/* Messages LOW to HIGH, whose last is also the folder's when LAST. */
static void write_key(char *out, size_t size, uint64_t low, uint64_t high, bool last)
{
	if (low == 1 && last) /* no numbers: it may be empty by now */
		snprintf(out, size, "ALL");
	else if (last)
		snprintf(out, size, "%" PRIu64 ":*", low);
	else
		snprintf(out, size, "%" PRIu64 ":%" PRIu64, low, high);
}

int imap_tell_ids(struct imap *im, const struct fact_sink *sink, struct err *e)
{
	struct search s = {
	    .im = im, .sink = sink, .below = UINT64_MAX, .left = im->exists + IMAP_FLOOD};
	uint64_t high = im->exists;
	bool last = true;
	int failed = 0;

	if (high > UINT32_MAX)
		return imap_broken(im, e, "it counts more messages than there can be");
	for (; high && !failed; last = false) {
		uint64_t low = high > PORTION ? high - PORTION + 1 : 1;
		char key[60];

		write_key(key, sizeof(key), low, high, last);
		failed = find_portion(&s, key, high - low + 1, e) || tell_portion(&s, e);
		high = low - 1;
	}
	arena_free(&s.arena);
	return failed ? -1 : 0;
}
