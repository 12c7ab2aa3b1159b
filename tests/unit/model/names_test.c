/* names_test.c - folder maps: by example, and by the laws they promise over random trees. Each map
 * is solved for many orders of listing, and once more with itself as memory. */
#include "model/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 40u

/* ---- building ---- */

static unsigned seed = 1;

static unsigned random_below(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

/* PATH has its parts between '/'. */
static char **split(struct arena *a, const char *path, size_t *depth)
{
	char *text = arena_strdup(a, path);
	char **parts = arena_new(a, strlen(path) + 1, sizeof(*parts));

	*depth = 0;
	for (char *part; (part = strsep(&text, "/"));)
		parts[(*depth)++] = part;
	return parts;
}

static const char *join(struct arena *a, char *const *parts, size_t depth)
{
	char *text = arena_strdup(a, "");

	for (size_t i = 0; i < depth; i++)
		text = arena_printf(a, "%s%s%s", text, i ? "/" : "", parts[i]);
	return text;
}

static void folder_init(struct folder *f, struct arena *a, const char *path)
{
	*f = (struct folder){.raw = view_of(arena_strdup(a, path)), .selectable = true};
	f->parts = split(a, path, &f->depth);
}

struct want {
	const char *source;
	enum folder_role role;
	const char *target;
	unsigned change;
	const char *remembered;
	unsigned attempt;
	enum folder_space space;
	bool broken;
};

struct there {
	const char *path;
	enum folder_role role;
	enum folder_space space;
	bool unselectable;
};

struct scenario {
	const char *name;
	struct name_rules rules;
	struct there there[12];
	struct want want[16];
};

/* One set of sources and destination folders, in some order. */
struct world {
	struct arena arena;
	struct folder sources[MOST];
	const struct folder *order[MOST];
	size_t index[MOST]; /* of the source at a place of order */
	size_t count;
	struct folder_list there;
};

static void world_free(struct world *w)
{
	folder_list_free(&w->there);
	arena_free(&w->arena);
}

static struct folder *world_add_there(struct world *w, const char *path)
{
	struct folder *f = folder_list_add(&w->there);

	folder_init(f, &w->there.arena, path);
	return f;
}

static void world_order(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		w->index[i] = i;
	for (size_t i = w->count; i > 1; i--) {
		size_t k = random_below((unsigned)i), kept = w->index[k];
		w->index[k] = w->index[i - 1];
		w->index[i - 1] = kept;
	}
	for (size_t i = 0; i < w->count; i++)
		w->order[i] = &w->sources[w->index[i]];
	for (size_t i = w->there.count; i > 1; i--) {
		size_t k = random_below((unsigned)i);
		struct folder kept = w->there.folders[k];
		w->there.folders[k] = w->there.folders[i - 1];
		w->there.folders[i - 1] = kept;
	}
}

/* ---- laws ---- */

/* Keys by which the destination tells folders apart, made without names.c. */
static const char *law_key(
    struct arena *a, char *const *parts, size_t depth, const struct name_rules *rules)
{
	char *key = arena_strdup(a, "");

	for (size_t i = 0; i < depth; i++) {
		const char *part = rules->fold_case ? folder_fold(a, parts[i]) : parts[i];
		if (!i && !ascii_cmp_nocase(part, "INBOX"))
			part = "INBOX";
		key = arena_printf(a, "%s%s\n", key, part);
	}
	return key;
}

static void check_distinct(const struct name_map *m, const struct name_rules *rules)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	const char *keys[MOST];

	for (size_t i = 0; i < m->count; i++) {
		const struct name_map_entry *e = &m->entries[i];
		assert_true(e->depth > 0);
		for (size_t k = 0; k < e->depth; k++)
			assert_true(*e->parts[k] != '\0');
		keys[i] = law_key(&a, e->parts, e->depth, rules);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(keys[k], keys[i]))
				fail_msg("two folders share %s", keys[i]);
	}
}

static void check_same(const struct name_map *a, const struct world *aw, const struct name_map *b,
    const struct world *bw, bool change)
{
	AUTO(arena_free) struct arena scratch = ARENA_INIT;
	const struct name_map_entry *by_index[MOST];

	for (size_t i = 0; i < a->count; i++)
		by_index[aw->index[i]] = &a->entries[i];
	for (size_t i = 0; i < b->count; i++) {
		const struct name_map_entry *x = by_index[bw->index[i]], *y = &b->entries[i];
		const char *left = join(&scratch, x->parts, x->depth);
		const char *right = join(&scratch, y->parts, y->depth);
		if (strcmp(left, right) != 0)
			fail_msg("%s: %s and %s",
			    join(&scratch, y->source->parts, y->source->depth), left, right);
		if (change && x->change != y->change)
			fail_msg("%s: %u and %u", right, x->change, y->change);
	}
}

/* The next pass: what was made is there, and remembered. */
static void check_memory(
    const struct name_map *m, struct world *w, const struct name_rules *rules, bool change)
{
	struct name_map again;
	struct world next = *w;

	for (size_t i = 0; i < m->count; i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		const char *path = join(&a, m->entries[i].parts, m->entries[i].depth);
		if (!folder_list_find(&next.there, view_of(path)))
			world_add_there(&next, path);
	}
	world_order(&next);
	name_map_init(&again, next.order, next.count);
	for (size_t i = 0; i < next.count; i++)
		for (size_t k = 0; k < m->count; k++)
			if (w->index[k] == next.index[i]) {
				again.entries[i].remembered = m->entries[k].parts;
				again.entries[i].remembered_depth = m->entries[k].depth;
			}
	name_map_solve(&again, &next.there, rules);
	check_same(m, w, &again, &next, change);
	name_map_free(&again);
	w->arena = next.arena; /* the lists may have moved */
	w->there = next.there;
}

/* ---- examples ---- */

static void scenario_build(struct world *w, const struct scenario *s)
{
	*w = (struct world){0};
	for (const struct want *want = s->want; want->source; want++) {
		struct folder *f = &w->sources[w->count++];
		folder_init(f, &w->arena, want->source);
		f->role = want->role;
		f->space = want->space;
		f->name_broken = want->broken;
	}
	for (const struct there *t = s->there; t->path; t++) {
		struct folder *f = world_add_there(w, t->path);
		f->role = t->role;
		f->space = t->space;
		f->selectable = !t->unselectable;
	}
}

static void scenario_solve(struct name_map *m, struct world *w, const struct scenario *s)
{
	name_map_init(m, w->order, w->count);
	for (size_t i = 0; i < w->count; i++) {
		const struct want *want = &s->want[w->index[i]];
		struct name_map_entry *entry = &m->entries[i];
		entry->attempt = want->attempt;
		if (want->remembered)
			entry->remembered =
			    split(&w->arena, want->remembered, &entry->remembered_depth);
	}
	name_map_solve(m, &w->there, &s->rules);
}

static void scenario_check(const struct scenario *s)
{
	for (int round = 0; round < 30; round++) {
		AUTO(world_free) struct world w;
		AUTO(name_map_free) struct name_map m;
		scenario_build(&w, s);
		world_order(&w);
		scenario_solve(&m, &w, s);
		for (size_t i = 0; i < m.count; i++) {
			const struct want *want = &s->want[w.index[i]];
			const char *got = join(&w.arena, m.entries[i].parts, m.entries[i].depth);
			if (strcmp(got, want->target) != 0)
				fail_msg("%s: %s -> %s, not %s", s->name, want->source, got,
				    want->target);
			if (m.entries[i].change != want->change)
				fail_msg("%s: %s: change %u, not %u", s->name, want->source,
				    m.entries[i].change, want->change);
		}
		check_distinct(&m, &s->rules);
		check_memory(&m, &w, &s->rules, true);
	}
}

static const struct scenario scenarios[] = {
    {
	.name = "same paths",
	.rules = {.delimiter = '/'},
	.there = {{"INBOX", .role = ROLE_INBOX}, {.path = "a"}},
	.want = {{"INBOX", .role = ROLE_INBOX, .target = "INBOX"}, {"a", .target = "a"},
	    {"a/b", .target = "a/b"}, {"A", .target = "A"}, {"x.y", .target = "x.y"},
	    {"only/child", .target = "only/child"}},
    },
    {
	.name = "roles and their children",
	.rules = {.delimiter = '/'},
	.there = {{"INBOX", .role = ROLE_INBOX}, {"Sent Items", .role = ROLE_SENT},
	    {"INBOX/Bin", .role = ROLE_TRASH}, {"Drafts", .role = ROLE_DRAFTS},
	    {"Archive", .role = ROLE_ARCHIVE, .unselectable = true}},
	.want = {{"INBOX", .role = ROLE_INBOX, .target = "INBOX"},
	    {"Sent", .role = ROLE_SENT, .target = "Sent Items", .change = NAME_ROLE},
	    {"Sent/2020", .target = "Sent Items/2020", .change = NAME_ROLE},
	    {"Sent/2020/May", .target = "Sent Items/2020/May", .change = NAME_ROLE},
	    {"Papierkorb", .role = ROLE_TRASH, .target = "INBOX/Bin", .change = NAME_ROLE},
	    {"Drafts", .role = ROLE_DRAFTS, .target = "Drafts"},
	    {"Ablage", .role = ROLE_ARCHIVE, .target = "Ablage"},
	    {"Junk", .role = ROLE_JUNK, .target = "Junk"}},
    },
    {
	.name = "a role's place is somebody's path",
	.rules = {.delimiter = '/'},
	.there = {{"Sent", .role = ROLE_SENT}},
	.want = {{"Sent Items", .role = ROLE_SENT, .target = "Sent", .change = NAME_ROLE},
	    {"Sent", .target = "Sent (3)", .change = NAME_CLASH},
	    {"Sent/old", .target = "Sent (3)/old", .change = NAME_CLASH},
	    {"Sent (2)", .target = "Sent (2)"}},
    },
    {
	.name = "roles that are not one",
	.rules = {.delimiter = '/'},
	.there = {{"Gesendet", .role = ROLE_SENT}, {"Sent", .role = ROLE_SENT},
	    {"Bin", .role = ROLE_TRASH}, {"Shared/Junk", .role = ROLE_JUNK, .space = SPACE_SHARED}},
	.want = {{"Sent Items", .role = ROLE_SENT, .target = "Sent Items"},
	    {"Trash", .role = ROLE_TRASH, .target = "Trash"},
	    {"Deleted", .role = ROLE_TRASH, .target = "Deleted"},
	    {"Spam", .role = ROLE_JUNK, .target = "Spam"}},
    },
    {
	.name = "a shared folder's role does not count",
	.rules = {.delimiter = '/'},
	.there = {{"Sent Items", .role = ROLE_SENT}},
	.want = {{"Sent", .role = ROLE_SENT, .target = "Sent Items", .change = NAME_ROLE},
	    {"Shared/Sent", .role = ROLE_SENT, .target = "Shared/Sent", .space = SPACE_SHARED}},
    },
    {
	.name = "not onto others' ground",
	.rules = {.delimiter = '/'},
	.there = {{"Public", .space = SPACE_SHARED}, {"Public/x", .space = SPACE_SHARED},
	    {"Team", .space = SPACE_SHARED}},
	.want = {{"Public", .target = "Public (2)", .change = NAME_CLASH},
	    {"Public/x", .target = "Public (2)/x", .change = NAME_CLASH},
	    {"Team", .target = "Team", .space = SPACE_SHARED}},
    },
    {
	.name = "INBOX stays the only one",
	.rules = {.delimiter = '/'},
	.there = {{"INBOX", .role = ROLE_INBOX}},
	.want = {{"INBOX", .role = ROLE_INBOX, .target = "INBOX"}, {"INBOX/x", .target = "INBOX/x"},
	    {"Inbox", .target = "Inbox (2)", .change = NAME_CLASH},
	    {"Inbox/x", .target = "Inbox (2)/x", .change = NAME_CLASH},
	    {"inbox", .target = "inbox (3)", .change = NAME_CLASH},
	    {"a/INBOX", .target = "a/INBOX"}, {"a/Inbox", .target = "a/Inbox"}},
    },
    {
	.name = "no inbox at the source: its place is kept",
	.rules = {.delimiter = '/'},
	.want = {{"inbox", .target = "inbox (2)", .change = NAME_CLASH}, {"a", .target = "a"}},
    },
    {
	.name = "children of an unlisted Inbox are the inbox's",
	.rules = {.delimiter = '/'},
	.want = {{"INBOX", .role = ROLE_INBOX, .target = "INBOX"}, {"INBOX/x", .target = "INBOX/x"},
	    {"Inbox/x", .target = "Inbox/x (2)", .change = NAME_CLASH}},
    },
    {
	.name = "delimiter inside, control characters, broken",
	.rules = {.delimiter = '.'},
	.there = {{.path = "a_b"}},
	.want = {{"a.b", .target = "a_b", .change = NAME_DELIMITER},
	    {"a.b/c", .target = "a_b/c", .change = NAME_DELIMITER},
	    {"tab\there", .target = "tab_here", .change = NAME_CONTROL},
	    {"c1\xc2\x9b", .target = "c1_", .change = NAME_CONTROL},
	    {"x.\x7f", .target = "x__", .change = NAME_CONTROL | NAME_DELIMITER},
	    {"bad", .target = "bad", .change = NAME_BROKEN, .broken = true}},
    },
    {
	.name = "clashes after spelling",
	.rules = {.delimiter = '.'},
	.want = {{"a_b", .target = "a_b"},
	    {"a.b", .target = "a_b (3)", .change = NAME_DELIMITER | NAME_CLASH},
	    {"a\tb", .target = "a_b (2)", .change = NAME_CONTROL | NAME_CLASH},
	    {"a.b/c", .target = "a_b (3)/c", .change = NAME_DELIMITER | NAME_CLASH},
	    {"p.q/c", .target = "p_q/c (2)", .change = NAME_DELIMITER | NAME_CLASH},
	    {"p\tq/c", .target = "p_q/c", .change = NAME_CONTROL}},
    },
    {
	.name = "case folded",
	.rules = {.delimiter = '/', .fold_case = true},
	.there = {{.path = "foo"}, {.path = "BAR"}},
	.want = {{"Foo", .target = "Foo (2)", .change = NAME_CLASH}, {"foo", .target = "foo"},
	    {"Foo/x", .target = "Foo (2)/x", .change = NAME_CLASH}, {"bar", .target = "BAR"},
	    {"bar/x", .target = "BAR/x"}, {"Neu", .target = "Neu"},
	    {"neu", .target = "neu (2)", .change = NAME_CLASH},
	    {"\u00c4", .target = "\u00c4 (2)", .change = NAME_CLASH},
	    {"A\u0308", .target = "A\u0308"}},
    },
    {
	.name = "flat",
	.rules = {.delimiter = 0},
	.there = {{"INBOX", .role = ROLE_INBOX}, {"Sent Items", .role = ROLE_SENT}},
	.want = {{"INBOX", .role = ROLE_INBOX, .target = "INBOX"}, {"a", .target = "a"},
	    {"a/b", .target = "a_b", .change = NAME_FLAT},
	    {"a/b/c", .target = "a_b_c", .change = NAME_FLAT},
	    {"a/b_c", .target = "a_b_c (2)", .change = NAME_FLAT | NAME_CLASH},
	    {"Sent", .role = ROLE_SENT, .target = "Sent Items", .change = NAME_ROLE},
	    {"Sent/x", .target = "Sent Items_x", .change = NAME_FLAT | NAME_ROLE},
	    {"INBOX/x", .target = "INBOX_x", .change = NAME_FLAT}},
    },
    {
	.name = "too long",
	.rules = {.delimiter = '/', .part_max = 24},
	.want = {{"exactly-twenty-four-byte", .target = "exactly-twenty-four-byte"},
	    {"exactly-twenty-four-bytes", .target = "exactly-twenty-four~7492",
		.change = NAME_TOO_LONG},
	    {"exactly-twenty-four-bytez", .target = "exactly-twenty-four~5099",
		.change = NAME_TOO_LONG},
	    {"exactly-twenty-four-bytes/x", .target = "exactly-twenty-four~7492/x",
		.change = NAME_TOO_LONG},
	    /* 18 bytes and then characters of three: none is cut in two */
	    {"eighteen-bytes-her\u65e5\u672c\u8a9e\u65e5", .target = "eighteen-bytes-her~c1a9",
		.change = NAME_TOO_LONG}},
    },
    {
	.name = "too long, and the usual mark is the delimiter",
	.rules = {.delimiter = '~', .part_max = 24},
	.want = {{"exactly-twenty-four-bytes", .target = "exactly-twenty-four_7492",
	    .change = NAME_TOO_LONG}},
    },
    {
	.name = "remembered goes first",
	.rules = {.delimiter = '/'},
	.there = {{"Sent Items", .role = ROLE_SENT}},
	.want = {{"Sent", .role = ROLE_SENT, .target = "Sent", .remembered = "Sent"},
	    {"a", .target = "elsewhere/a", .change = NAME_REMEMBERED, .remembered = "elsewhere/a"},
	    {"a/b", .target = "elsewhere/a/b", .change = NAME_REMEMBERED},
	    {"elsewhere/a", .target = "elsewhere/a (2)", .change = NAME_CLASH},
	    {"c", .target = "c (2)", .change = NAME_CLASH, .remembered = "c (2)"},
	    {"d", .target = "d", .remembered = "d"},
	    /* a ledger that is wrong must not make two of one */
	    {"e", .target = "e", .remembered = "d"}},
    },
    {
	.name = "refused once",
	.rules = {.delimiter = '/'},
	.there = {{"Sent Items", .role = ROLE_SENT}},
	.want = {{"INBOX", .role = ROLE_INBOX, .target = "INBOX", .attempt = 1},
	    {"INBOX/x*", .target = "INBOX_x_", .change = NAME_REFUSED | NAME_FLAT, .attempt = 1},
	    {"INBOX/x*/y", .target = "INBOX_x_/y", .change = NAME_REFUSED | NAME_FLAT},
	    {" a%b ", .target = "a_b", .change = NAME_REFUSED, .attempt = 1},
	    {" ", .target = "_", .change = NAME_REFUSED, .attempt = 1},
	    {"a&b", .target = "a_b_2", .change = NAME_REFUSED | NAME_CLASH, .attempt = 1},
	    {"\u65e5\u672c\u2026", .target = "\u65e5\u672c_", .change = NAME_REFUSED, .attempt = 1},
	    {"plain", .target = "plain", .attempt = 1},
	    {"Sent", .role = ROLE_SENT, .target = "Sent",
		.attempt = 1}, /* not the role's folder any more */
	    {"r*", .target = "r_", .change = NAME_REFUSED, .attempt = 1, .remembered = "r*"}},
    },
    {
	.name = "refused twice",
	.rules = {.delimiter = '/'},
	.want = {{"a", .target = "a"},
	    {"a/b", .target = "a_b", .change = NAME_REFUSED | NAME_FLAT, .attempt = 2},
	    {"a/b/c", .target = "a_b/c", .change = NAME_REFUSED | NAME_FLAT},
	    {"x*/y*/z", .target = "x__y__z", .change = NAME_REFUSED | NAME_FLAT, .attempt = 2},
	    {"INBOX/i", .target = "INBOX_i", .change = NAME_REFUSED | NAME_FLAT, .attempt = 2},
	    {"a_b", .target = "a_b_2", .change = NAME_REFUSED | NAME_CLASH, .attempt = 2}},
    },
    {
	.name = "refused three times",
	.rules = {.delimiter = '/', .part_max = 24},
	.want = {{"tmp", .target = "tmp_", .change = NAME_REFUSED, .attempt = 3},
	    {"tmp/cur", .target = "tmp__cur_", .change = NAME_REFUSED | NAME_FLAT, .attempt = 3},
	    {"tmp/x", .target = "tmp_/x", .change = NAME_REFUSED},
	    {"exactly-twenty-four-byte", .target = "exactly-twenty-four_3c86",
		.change = NAME_REFUSED | NAME_TOO_LONG, .attempt = 3}},
    },
    {.name = "nothing", .rules = {.delimiter = '/'}},
};

static void test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		scenario_check(&scenarios[i]);
}

/* An attempt raised for one moves that one; it and the others keep apart. */
static void test_raised_attempt(void **state)
{
	static const struct scenario s = {
	    .rules = {.delimiter = '/'},
	    .want = {{.source = "a*"}, {.source = "a*/b"}, {.source = "a_"}, {.source = "c"}},
	};
	AUTO(world_free) struct world w;
	AUTO(name_map_free) struct name_map m;

	(void)state;
	scenario_build(&w, &s);
	for (size_t i = 0; i < w.count; i++)
		w.order[w.index[i] = i] = &w.sources[i];
	scenario_solve(&m, &w, &s);
	assert_string_equal(m.entries[0].parts[0], "a*");
	m.entries[0].attempt = 1;
	name_map_solve(&m, &w.there, &s.rules);
	assert_string_equal(m.entries[0].parts[0], "a__2");
	assert_int_equal(m.entries[0].change, NAME_REFUSED | NAME_CLASH);
	assert_string_equal(m.entries[1].parts[0], "a*");
	assert_string_equal(m.entries[2].parts[0], "a_");
	m.entries[1].attempt = 1;
	name_map_solve(&m, &w.there, &s.rules);
	assert_string_equal(m.entries[1].parts[0], "a__2");
	assert_string_equal(m.entries[1].parts[1], "b");
	assert_string_equal(m.entries[0].parts[0], "a__2");
	m.entries[1].attempt = 2;
	name_map_solve(&m, &w.there, &s.rules);
	assert_int_equal(m.entries[1].depth, 1);
	assert_string_equal(m.entries[1].parts[0], "a__2_b");
	check_distinct(&m, &s.rules);
}

static void test_reason(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(name_change_reason(&a, NAME_SAME), "");
	for (unsigned bit = NAME_ROLE; bit <= NAME_REMEMBERED; bit *= 2) {
		assert_true(strlen(name_change_reason(&a, bit)) > 10);
		assert_null(strstr(name_change_reason(&a, bit), ";"));
	}
	assert_non_null(strstr(name_change_reason(&a, NAME_CLASH | NAME_FLAT), "; "));
}

/* ---- random trees ---- */

static const char *random_path(struct arena *a)
{
	static const char *const parts[] = {"a", "A", "a.b", "a_b", "b", "INBOX", "Inbox", "Sent",
	    "sent", "\u00e4", "a\u0308", "\u00c4", " x", "x ", "x", "a*", "a%", "tab\t", "a (2)",
	    "a_2", "INBOX_a", "a_a", "long-long-long-long-long-1", "long-long-long-long-long-2",
	    "\xff", "..", "~", "\u3000", "\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e"};
	char *path = arena_strdup(a, parts[random_below(COUNT_OF(parts))]);

	while (random_below(5) < 2)
		path = arena_printf(a, "%s/%s", path, parts[random_below(COUNT_OF(parts))]);
	return path;
}

static void random_world(struct world *w)
{
	*w = (struct world){0};
	for (unsigned n = 1 + random_below(MOST); n; n--) {
		const char *path = random_path(&w->arena);
		struct folder *f = &w->sources[w->count];
		bool known = false;
		for (size_t i = 0; i < w->count; i++)
			known |= view_is(w->sources[i].raw, path);
		if (known)
			continue;
		folder_init(f, &w->arena, path);
		f->role = random_below(6) ? ROLE_NONE : (enum folder_role)random_below(ROLE_COUNT);
		f->space = random_below(9) ? SPACE_PERSONAL : SPACE_SHARED;
		w->count++;
	}
	for (unsigned n = random_below(12); n; n--) {
		const char *path = random_path(&w->arena);
		struct folder *f;
		if (folder_list_find(&w->there, view_of(path)))
			continue;
		f = world_add_there(w, path);
		f->role = random_below(3) ? ROLE_NONE : (enum folder_role)random_below(ROLE_COUNT);
		f->space = random_below(9) ? SPACE_PERSONAL : SPACE_SHARED;
	}
}

static struct name_rules random_rules(void)
{
	return (struct name_rules){.delimiter = (char[]){'/', '.', '\\', 0}[random_below(4)],
	    .part_max = (size_t[]){0, 24, 25, 200}[random_below(4)],
	    .fold_case = random_below(2)};
}

/* Nothing stands in a made name that the destination cannot spell. */
static void check_spelling(
    const struct name_map *m, const struct world *w, const struct name_rules *rules)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;

	for (size_t i = 0; i < m->count; i++) {
		const struct name_map_entry *e = &m->entries[i];
		const char *path = join(&a, e->parts, e->depth);
		bool below_existing = false;
		for (size_t k = 0; k < w->there.count; k++)
			below_existing |= !strncmp(
			    path, w->there.folders[k].raw.data, w->there.folders[k].raw.len);
		assert_true(below_existing || rules->delimiter || e->depth == 1);
		for (size_t k = 0; k < e->depth && !below_existing; k++) {
			assert_true(!rules->part_max || strlen(e->parts[k]) <= rules->part_max);
			assert_null(
			    rules->delimiter ? strchr(e->parts[k], rules->delimiter) : NULL);
			assert_null(strpbrk(e->parts[k], "\t\n\x7f"));
		}
	}
}

/* Only the inbox is called INBOX. */
static void check_inbox(const struct name_map *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct folder *f = m->entries[i].source;
		if (m->entries[i].depth == 1 && !ascii_cmp_nocase(m->entries[i].parts[0], "INBOX"))
			assert_true(f->role == ROLE_INBOX || !strcmp(f->parts[0], "INBOX"));
	}
}

static void test_random_worlds(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		AUTO(world_free) struct world w;
		AUTO(name_map_free) struct name_map m, shuffled;
		struct name_rules rules = random_rules();
		struct world other;
		random_world(&w);
		world_order(&w);
		name_map_init(&m, w.order, w.count);
		name_map_solve(&m, &w.there, &rules);
		check_distinct(&m, &rules);
		check_spelling(&m, &w, &rules);
		check_inbox(&m);
		other = w;
		world_order(&other);
		name_map_init(&shuffled, other.order, other.count);
		name_map_solve(&shuffled, &other.there, &rules);
		check_same(&m, &w, &shuffled, &other, true);
		check_memory(&m, &w, &rules, false);
		for (size_t i = 0; i < m.count; i++) /* refusals at random: still apart */
			m.entries[i].attempt += random_below(4);
		name_map_solve(&m, &w.there, &rules);
		check_distinct(&m, &rules);
	}
}

/* A hostile listing: all names become one; time stays in bounds. */
static void test_many_clashes(void **state)
{
	enum { COUNT = 20000 };
	AUTO(arena_free) struct arena a = ARENA_INIT;
	AUTO(name_map_free) struct name_map m;
	struct folder *folders = arena_new(&a, COUNT, sizeof(*folders));
	const struct folder **order = arena_new(&a, COUNT, sizeof(*order));
	struct folder_list there = {0};

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		char name[20] = {0};
		for (unsigned k = 0; k < 16; k++)
			name[k] = i >> k & 1 ? '.' : '\t';
		folder_init(&folders[i], &a, name);
		order[i] = &folders[i];
	}
	name_map_init(&m, order, COUNT);
	name_map_solve(&m, &there, &(struct name_rules){.delimiter = '.'});
	assert_true(m.entries[COUNT - 1].change & NAME_CLASH);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_scenarios),
	    cmocka_unit_test(test_raised_attempt),
	    cmocka_unit_test(test_reason),
	    cmocka_unit_test(test_random_worlds),
	    cmocka_unit_test(test_many_clashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
