/* names.c - which source folder becomes which destination folder.
 *
 * On the data's way: after both ends have listed their folders and the ledger said what it
 * remembers, before anything is made or copied.
 * Promises: no two source folders share a target; the result depends on the folders alone, not on
 * the order they were listed in; what was solved stays while its attempt does.
 * Does not: make folders, or know how a service spells a name on the wire.
 *
 * Everything is decided in sorted order, parents before children, class by class: solved before,
 * remembered, INBOX, roles, unchanged paths, the rest. A later class yields to an earlier one. */
#include "model/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define PART_MAX_LEAST 24u /* less than that cannot be kept distinct */
#define NOBODY SIZE_MAX

struct path {
	char **parts;
	size_t depth;
	unsigned change;
};

/* ---- a table of paths, by key ---- */

struct path_slot {
	struct view key; /* data NULL = empty */
	size_t value;
	unsigned next_suffix;
};

struct path_table {
	struct path_slot *slots;
	size_t size; /* a power of two, at least twice what will be in it */
};

/* The nearest parent that is a source folder; depth 0 = there is none. */
struct parent {
	size_t entry, depth;
};

struct solver {
	struct name_map *map;
	const struct folder_list *there;
	const struct name_rules *rules;
	struct arena scratch;
	size_t *order;              /* entries by folded path, parents before children */
	struct path_table taken;    /* clash key of a target -> entry */
	struct path_table sources;  /* exact key of a source path -> entry */
	struct path_table present;  /* exact key of a destination path -> folder */
	struct path_table occupied; /* clash key of a destination path -> folder */
	struct parent *parents;     /* of each entry */
	bool *done;
};

static void table_init(struct path_table *t, struct arena *a, size_t most)
{
	t->size = 16;
	while (t->size < most * 2)
		t->size *= 2;
	t->slots = arena_new(a, t->size, sizeof(*t->slots));
}

/* The slot of KEY, or the empty one where it belongs. */
static struct path_slot *table_slot(const struct path_table *t, struct view key)
{
	uint64_t hash = 1469598103934665603u;
	size_t at;

	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.data[i]) * 1099511628211u;
	at = (size_t)(hash ^ hash >> 32) & (t->size - 1);
	while (t->slots[at].key.data && !view_eq(t->slots[at].key, key))
		at = (at + 1) & (t->size - 1);
	return &t->slots[at];
}

static size_t table_get(const struct path_table *t, struct view key)
{
	const struct path_slot *slot = table_slot(t, key);

	return slot->key.data ? slot->value : NOBODY;
}

/* The first one to claim a key keeps it. */
static bool table_put(struct path_table *t, struct view key, size_t value)
{
	struct path_slot *slot = table_slot(t, key);

	if (slot->key.data)
		return false;
	*slot = (struct path_slot){.key = key, .value = value, .next_suffix = 2};
	return true;
}

/* ---- keys ---- */

static bool is_inbox(char *const *parts, size_t depth)
{
	return depth == 1 && !ascii_cmp_nocase(parts[0], "INBOX");
}

/* Each part and a NUL: the key of a parent is the beginning of its children's. */
static struct view key_join(struct arena *a, char *const *parts, size_t depth)
{
	size_t len = 0;
	char *key, *to;

	for (size_t i = 0; i < depth; i++)
		len += strlen(parts[i]) + 1;
	to = key = arena_new(a, len + 1, 1);
	for (size_t i = 0; i < depth; i++)
		to = stpcpy(to, parts[i]) + 1;
	return view_make(key, len);
}

/* Paths with the same clash key are one folder to the destination. */
static struct view clash_key(struct solver *s, char *const *parts, size_t depth)
{
	char **folded = arena_new(&s->scratch, depth, sizeof(*folded));

	for (size_t i = 0; i < depth; i++)
		folded[i] = s->rules->fold_case ? folder_fold(&s->scratch, parts[i]) : parts[i];
	if (depth && !ascii_cmp_nocase(folded[0], "INBOX"))
		folded[0] = arena_strdup(&s->scratch, "INBOX");
	return key_join(&s->scratch, folded, depth);
}

static bool path_is(const struct path *path, char *const *parts, size_t depth)
{
	if (path->depth != depth)
		return false;
	for (size_t i = 0; i < depth; i++)
		if (strcmp(path->parts[i], parts[i]) != 0)
			return false;
	return true;
}

/* ---- spelling ---- */

/* One part in the making. */
struct speller {
	const struct name_rules *rules;
	struct arena *a;
	bool plain; /* letters, digits, blank, '-' and '_' only */
	unsigned change;
};

static bool is_plain(utf8proc_int32_t c)
{
	utf8proc_category_t category = utf8proc_category(c);

	return c == ' ' || c == '-' || c == '_' ||
	       (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO);
}

static bool is_control(utf8proc_int32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Must this character be replaced? */
static bool must_replace(struct speller *sp, utf8proc_int32_t c)
{
	if (c < 0)
		return sp->plain; /* not UTF-8 */
	if (is_control(c)) {
		sp->change |= NAME_CONTROL;
		return true;
	}
	if (sp->rules->delimiter && c == (unsigned char)sp->rules->delimiter) {
		sp->change |= NAME_DELIMITER;
		return true;
	}
	return sp->plain && !is_plain(c);
}

static void trim_blanks(char *text)
{
	size_t from = strspn(text, " "), len = strlen(text);

	while (len > from && text[len - 1] == ' ')
		len--;
	memmove(text, text + from, len - from);
	text[len - from] = '\0';
}

static char *spell_part(struct speller *sp, const char *part)
{
	size_t len = strlen(part);
	char *out = arena_new(sp->a, len + 2, 1), *to = out;

	for (size_t at = 0; at < len;) {
		utf8proc_int32_t c = -1;
		utf8proc_ssize_t n = utf8proc_iterate(
		    (const utf8proc_uint8_t *)part + at, (utf8proc_ssize_t)(len - at), &c);
		size_t step = n < 1 ? 1 : (size_t)n;
		if (must_replace(sp, n < 1 ? -1 : c))
			*to++ = '_';
		else
			to = mempcpy(to, part + at, step);
		at += step;
	}
	if (sp->plain)
		trim_blanks(out);
	if (!*out)
		memcpy(out, "_", sizeof("_"));
	return out;
}

/* PART within ROOM bytes; a cut one ends in '~' ('_' where that would be wrong) and four digits of the
 * whole's hash. */
static char *fit_part(struct speller *sp, char *part, size_t room)
{
	char mark = sp->plain || sp->rules->delimiter == '~' ? '_' : '~';
	size_t len = strlen(part), keep = room - 5;
	uint32_t hash = 2166136261u;

	if (!sp->rules->part_max || len <= room)
		return part;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)part[i]) * 16777619u;
	while (keep && ((unsigned char)part[keep] & 0xc0) == 0x80)
		keep--;
	sp->change |= NAME_TOO_LONG;
	return arena_printf(
	    sp->a, "%.*s%c%04x", (int)keep, part, mark, (unsigned)(hash ^ hash >> 16) & 0xffff);
}

static size_t part_room(const struct name_rules *rules)
{
	return rules->part_max < PART_MAX_LEAST ? PART_MAX_LEAST : rules->part_max;
}

/* All parts in one, with '_' between. */
static void join_parts(struct speller *sp, struct path *path)
{
	char *joined = path->parts[0];

	if (path->depth < 2)
		return;
	for (size_t i = 1; i < path->depth; i++)
		joined = arena_printf(sp->a, "%s_%s", joined, path->parts[i]);
	path->parts[0] = fit_part(sp, joined, part_room(sp->rules));
	path->depth = 1;
	sp->change |= NAME_FLAT;
}

/* INBOX cannot have children: {"INBOX", "a", "b"} becomes {"INBOX_a", "b"}. */
static void leave_inbox(struct speller *sp, struct path *path)
{
	if (path->depth < 2 || !is_inbox(path->parts, 1))
		return;
	path->parts++;
	path->parts[0] =
	    fit_part(sp, arena_printf(sp->a, "INBOX_%s", path->parts[0]), part_room(sp->rules));
	path->depth--;
	sp->change |= NAME_FLAT;
}

/* ---- what a folder would like to be called ---- */

/* "cur" is reserved in a Maildir, "cur_" is not. */
static void leave_reserved(struct speller *sp, struct path *path)
{
	char **last = &path->parts[path->depth - 1];

	*last = fit_part(sp, arena_printf(sp->a, "%s_", *last), part_room(sp->rules));
}

static char *own_part(struct speller *sp, const char *part)
{
	return fit_part(sp, spell_part(sp, part), part_room(sp->rules));
}

/* What the parent became; spelled anew where it will be but a piece of one part. */
static void wish_parent(
    struct speller *sp, struct path *path, const struct name_map_entry *parent, bool respell)
{
	for (size_t k = 0; k < parent->depth; k++)
		path->parts[path->depth++] =
		    respell ? spell_part(sp, parent->parts[k]) : parent->parts[k];
	sp->change |= parent->change;
}

/* Parent's target and then the own parts, spelled as ATTEMPT demands. */
static struct path wish(struct solver *s, size_t i, unsigned attempt)
{
	const struct folder *f = s->map->entries[i].source;
	struct speller sp = {.rules = s->rules, .a = &s->scratch, .plain = attempt > 0};
	const struct parent *parent = &s->parents[i];
	struct path path = {0};
	size_t above = 0;

	if (parent->depth) {
		assert(s->done[parent->entry]);
		above = s->map->entries[parent->entry].depth;
	}
	path.parts = arena_new(&s->scratch, above + f->depth, sizeof(*path.parts));
	if (parent->depth)
		wish_parent(&sp, &path, &s->map->entries[parent->entry], attempt > 1);
	for (size_t k = parent->depth; k < f->depth; k++)
		path.parts[path.depth++] = own_part(&sp, f->parts[k]);
	if (attempt == 1)
		leave_inbox(&sp, &path);
	if (attempt > 1 || !s->rules->delimiter)
		join_parts(&sp, &path);
	if (attempt > 2)
		leave_reserved(&sp, &path);
	path.change = sp.change | (attempt ? NAME_REFUSED : 0u);
	return path;
}

/* PATH with a number that keeps it apart. */
static struct path with_suffix(
    struct solver *s, const struct path *path, unsigned attempt, unsigned n)
{
	struct speller sp = {
	    .rules = s->rules, .a = &s->scratch, .plain = attempt > 0, .change = path->change};
	struct path out = {.depth = path->depth};
	char *suffix = arena_printf(&s->scratch, attempt ? "_%u" : " (%u)", n);
	char **last;

	out.parts = arena_new(&s->scratch, path->depth, sizeof(*out.parts));
	memcpy(out.parts, path->parts, path->depth * sizeof(*out.parts));
	last = &out.parts[path->depth - 1];
	*last = fit_part(&sp, *last, part_room(s->rules) - strlen(suffix));
	*last = arena_printf(&s->scratch, "%s%s", *last, suffix);
	out.change = sp.change | NAME_CLASH;
	return out;
}

/* ---- claiming ---- */

static const struct folder *occupant(const struct solver *s, struct view key)
{
	size_t i = table_get(&s->occupied, key);

	return i == NOBODY ? NULL : &s->there->folders[i];
}

/* May entry I become the folder with this clash key? */
static bool is_free(const struct solver *s, size_t i, struct view key)
{
	const struct folder *f = occupant(s, key);

	if (f && f->space != SPACE_PERSONAL && f->space != s->map->entries[i].source->space)
		return false;
	return table_get(&s->taken, key) == NOBODY;
}

static char **copy_parts(struct arena *a, char *const *parts, size_t depth)
{
	char **copy = arena_new(a, depth, sizeof(*copy));

	for (size_t i = 0; i < depth; i++)
		copy[i] = arena_strdup(a, parts[i]);
	return copy;
}

/* Entry I becomes PATH, whose clash key is KEY and free. */
static void settle(struct solver *s, size_t i, const struct path *path, struct view key)
{
	struct name_map_entry *entry = &s->map->entries[i];
	const struct folder *source = entry->source;
	unsigned broken = source->name_broken ? NAME_BROKEN : 0u;

	table_put(&s->taken, key, i);
	entry->parts = copy_parts(&s->map->arena, path->parts, path->depth);
	entry->depth = path->depth;
	entry->change = broken;
	if (!path_is(path, source->parts, source->depth))
		entry->change |= path->change;
	entry->settled = true;
	entry->settled_attempt = entry->attempt;
	s->done[i] = true;
}

static bool try_settle(struct solver *s, size_t i, const struct path *path)
{
	struct view key = clash_key(s, path->parts, path->depth);

	if (!is_free(s, i, key))
		return false;
	settle(s, i, path, key);
	return true;
}

/* ---- the classes, in the order of their rights ---- */

static void solve_settled(struct solver *s)
{
	for (size_t n = 0; n < s->map->count; n++) {
		struct name_map_entry *entry = &s->map->entries[s->order[n]];
		if (!entry->settled || entry->settled_attempt != entry->attempt)
			continue;
		table_put(&s->taken, clash_key(s, entry->parts, entry->depth), s->order[n]);
		s->done[s->order[n]] = true;
	}
}

/* What the ledger says is true, even on ground where nothing new would be put. */
static void solve_remembered(struct solver *s)
{
	for (size_t n = 0; n < s->map->count; n++) {
		size_t i = s->order[n];
		const struct name_map_entry *entry = &s->map->entries[i];
		struct path path = {.parts = entry->remembered, .depth = entry->remembered_depth};
		struct view key;
		if (s->done[i] || entry->attempt || !path.parts || !path.depth)
			continue;
		path.change = NAME_REMEMBERED;
		key = clash_key(s, path.parts, path.depth);
		if (table_get(&s->taken, key) == NOBODY)
			settle(s, i, &path, key);
	}
}

/* The inbox of the source, NOBODY = it has none. */
static size_t inbox_entry(const struct solver *s)
{
	size_t by_name = NOBODY;

	for (size_t n = 0; n < s->map->count; n++) {
		const struct folder *f = s->map->entries[s->order[n]].source;
		if (f->role == ROLE_INBOX)
			return s->order[n];
		if (by_name == NOBODY && f->depth == 1 && !strcmp(f->parts[0], "INBOX"))
			by_name = s->order[n];
	}
	return by_name;
}

/* INBOX is kept for the inbox, also where the source has none. */
static void solve_inbox(struct solver *s)
{
	char *parts[] = {(char[]){"INBOX"}};
	struct path path = {.parts = parts, .depth = 1, .change = NAME_ROLE};
	size_t i = inbox_entry(s);

	if (i != NOBODY && !s->done[i] && try_settle(s, i, &path))
		return;
	table_put(&s->taken, clash_key(s, parts, 1), NOBODY - 1);
}

static size_t only_source(const struct solver *s, enum folder_role role)
{
	size_t found = NOBODY;

	for (size_t i = 0; i < s->map->count; i++) {
		const struct folder *f = s->map->entries[i].source;
		if (f->role != role || f->space != SPACE_PERSONAL)
			continue;
		if (found != NOBODY)
			return NOBODY;
		found = i;
	}
	return found;
}

static const struct folder *only_destination(const struct solver *s, enum folder_role role)
{
	const struct folder *found = NULL;

	for (size_t i = 0; i < s->there->count; i++) {
		const struct folder *f = &s->there->folders[i];
		if (f->role != role || f->space != SPACE_PERSONAL || !f->selectable)
			continue;
		if (found)
			return NULL;
		found = f;
	}
	return found;
}

static void solve_roles(struct solver *s)
{
	for (int role = ROLE_INBOX + 1; role < ROLE_COUNT; role++) {
		size_t i = only_source(s, (enum folder_role)role);
		const struct folder *f = only_destination(s, (enum folder_role)role);
		if (i == NOBODY || !f || s->done[i] || s->map->entries[i].attempt)
			continue;
		try_settle(s, i,
		    &(struct path){.parts = f->parts, .depth = f->depth, .change = NAME_ROLE});
	}
}

/* Where the destination has the folder under a name that means the same to it, its spelling is
 * taken: it would not make a second one. */
static void adopt_spelling(struct solver *s, size_t i)
{
	struct name_map_entry *entry = &s->map->entries[i];
	const struct folder *f = occupant(s, clash_key(s, entry->parts, entry->depth));

	if (!s->rules->fold_case || !f || is_inbox(f->parts, f->depth))
		return;
	entry->parts = copy_parts(&s->map->arena, f->parts, f->depth);
	entry->depth = f->depth;
}

/* Folders that keep their path; PRESENT: only those that are at the destination already, so that
 * they go before others that merely look alike there. */
static void solve_unchanged(struct solver *s, bool present)
{
	for (size_t n = 0; n < s->map->count; n++) {
		size_t i = s->order[n];
		const struct folder *f = s->map->entries[i].source;
		const struct parent *parent = &s->parents[i];
		struct path path;
		if (s->done[i] || s->map->entries[i].attempt ||
		    (parent->depth && !s->done[parent->entry]))
			continue;
		if (present &&
		    table_get(&s->present, key_join(&s->scratch, f->parts, f->depth)) == NOBODY)
			continue;
		path = wish(s, i, 0);
		if (path_is(&path, f->parts, f->depth) && try_settle(s, i, &path) && !present)
			adopt_spelling(s, i);
	}
}

static void solve_one(struct solver *s, size_t i)
{
	unsigned attempt = s->map->entries[i].attempt;
	struct path path = wish(s, i, attempt);
	struct view key = clash_key(s, path.parts, path.depth);
	struct path_slot *slot = table_slot(&s->taken, key);
	unsigned local = 2, *n = slot->key.data ? &slot->next_suffix : &local;

	if (is_free(s, i, key)) {
		settle(s, i, &path, key);
		return;
	}
	for (;;) {
		struct path other = with_suffix(s, &path, attempt, (*n)++);
		if (try_settle(s, i, &other))
			return;
	}
}

static void solve_rest(struct solver *s)
{
	for (size_t n = 0; n < s->map->count; n++) {
		if (s->done[s->order[n]])
			continue;
		solve_one(s, s->order[n]);
		adopt_spelling(s, s->order[n]);
	}
}

/* ---- why a remembered name differs ---- */

/* The number in a suffix at the end of PART, 0 = none. */
static unsigned suffix_number(const char *part, unsigned attempt)
{
	const char *at = strrchr(part, attempt ? '_' : '(');
	unsigned long n = at ? strtoul(at + 1, NULL, 10) : 0;

	return n <= 99999 ? (unsigned)n : 0;
}

/* The change that would lead from the source's path to the remembered one, NAME_REMEMBERED = none
 * that we know. */
static unsigned explain(struct solver *s, size_t i)
{
	const struct name_map_entry *entry = &s->map->entries[i];
	struct view key = clash_key(s, entry->parts, entry->depth);
	const struct folder *f = occupant(s, key);

	if (entry->source->role != ROLE_NONE && f && f->role == entry->source->role)
		return NAME_ROLE;
	for (unsigned attempt = 0; attempt < 4; attempt++) {
		unsigned n = suffix_number(entry->parts[entry->depth - 1], attempt);
		struct path path = wish(s, i, attempt), other;
		if (view_eq(clash_key(s, path.parts, path.depth), key))
			return path.change;
		if (!n)
			continue;
		other = with_suffix(s, &path, attempt, n);
		if (view_eq(clash_key(s, other.parts, other.depth), key))
			return other.change;
	}
	return NAME_REMEMBERED;
}

static void explain_remembered(struct solver *s)
{
	for (size_t n = 0; n < s->map->count; n++) {
		struct name_map_entry *entry = &s->map->entries[s->order[n]];
		if (entry->change & NAME_REMEMBERED)
			entry->change = (entry->change & NAME_BROKEN) | explain(s, s->order[n]);
	}
}

/* ---- the whole ---- */

struct sort_entry {
	const struct folder *source;
	char **folded;
	size_t index;
};

static int cmp_parts(char *const *a, size_t a_depth, char *const *b, size_t b_depth)
{
	for (size_t i = 0; i < a_depth && i < b_depth; i++) {
		int order = strcmp(a[i], b[i]);
		if (order)
			return order;
	}
	return (a_depth > b_depth) - (a_depth < b_depth);
}

static int cmp_entries(const void *a, const void *b)
{
	const struct sort_entry *x = a, *y = b;
	const struct folder *f = x->source, *g = y->source;
	int order = cmp_parts(x->folded, f->depth, y->folded, g->depth);

	order = order ? order : cmp_parts(f->parts, f->depth, g->parts, g->depth);
	return order ? order : view_cmp(f->raw, g->raw);
}

static void sort_sources(struct solver *s)
{
	size_t count = s->map->count;
	struct sort_entry *sorted = arena_new(&s->scratch, count, sizeof(*sorted));

	for (size_t i = 0; i < count; i++) {
		const struct folder *f = s->map->entries[i].source;
		sorted[i] = (struct sort_entry){.source = f, .index = i};
		sorted[i].folded = arena_new(&s->scratch, f->depth, sizeof(*sorted[i].folded));
		for (size_t k = 0; k < f->depth; k++)
			sorted[i].folded[k] = folder_fold(&s->scratch, f->parts[k]);
	}
	if (count)
		qsort(sorted, count, sizeof(*sorted), cmp_entries);
	s->order = arena_new(&s->scratch, count, sizeof(*s->order));
	for (size_t n = 0; n < count; n++) {
		const struct folder *f = sorted[n].source;
		s->order[n] = sorted[n].index;
		table_put(&s->sources, key_join(&s->scratch, f->parts, f->depth), sorted[n].index);
	}
}

static struct parent find_parent(struct solver *s, const struct folder *f)
{
	struct view key = key_join(&s->scratch, f->parts, f->depth);
	struct parent parent = {.entry = NOBODY, .depth = f->depth};

	while (--parent.depth) {
		key.len -= strlen(f->parts[parent.depth]) + 1;
		parent.entry = table_get(&s->sources, key);
		if (parent.entry != NOBODY)
			break;
	}
	return parent;
}

static void find_parents(struct solver *s)
{
	s->parents = arena_new(&s->scratch, s->map->count, sizeof(*s->parents));
	for (size_t i = 0; i < s->map->count; i++)
		s->parents[i] = find_parent(s, s->map->entries[i].source);
}

/* Of folders that are one to the destination the first in byte order stands for all. */
static void index_destination(struct solver *s)
{
	for (size_t i = 0; i < s->there->count; i++) {
		const struct folder *f = &s->there->folders[i];
		struct view key = clash_key(s, f->parts, f->depth);
		struct path_slot *slot = table_slot(&s->occupied, key);
		table_put(&s->present, key_join(&s->scratch, f->parts, f->depth), i);
		if (!table_put(&s->occupied, key, i) &&
		    view_cmp(f->raw, s->there->folders[slot->value].raw) < 0)
			slot->value = i;
	}
}

void name_map_solve(
    struct name_map *m, const struct folder_list *destination, const struct name_rules *rules)
{
	struct solver s = {.map = m, .there = destination, .rules = rules};

	table_init(&s.taken, &s.scratch, m->count + 1);
	table_init(&s.sources, &s.scratch, m->count);
	table_init(&s.present, &s.scratch, destination->count);
	table_init(&s.occupied, &s.scratch, destination->count);
	s.done = arena_new(&s.scratch, m->count, sizeof(*s.done));
	sort_sources(&s);
	find_parents(&s);
	index_destination(&s);
	solve_settled(&s);
	solve_remembered(&s);
	solve_inbox(&s);
	solve_roles(&s);
	solve_unchanged(&s, true);
	solve_unchanged(&s, false);
	solve_rest(&s);
	explain_remembered(&s);
	arena_free(&s.scratch);
}

void name_map_init(struct name_map *m, const struct folder *const *sources, size_t count)
{
	*m = (struct name_map){.count = count};
	m->entries = arena_new(&m->arena, count, sizeof(*m->entries));
	for (size_t i = 0; i < count; i++) {
		assert(sources[i]->depth > 0);
		m->entries[i].source = sources[i];
	}
}

void name_map_free(struct name_map *m)
{
	arena_free(&m->arena);
	*m = (struct name_map){0};
}

char *name_change_reason(struct arena *a, unsigned change)
{
	static const struct {
		unsigned bit;
		const char *text;
	} reasons[] = {
	    {NAME_ROLE, "it goes to the destination's folder for the same purpose"},
	    {NAME_DELIMITER, "its name holds the destination's hierarchy delimiter"},
	    {NAME_CONTROL, "its name holds control characters"},
	    {NAME_TOO_LONG, "its name is too long for the destination"},
	    {NAME_CLASH, "another folder has the same name at the destination"},
	    {NAME_BROKEN, "the source's name for it is not validly encoded"},
	    {NAME_REFUSED, "the destination refused its name"},
	    {NAME_FLAT, "the destination cannot have this folder inside another"},
	    {NAME_REMEMBERED, "an earlier pass called it so"},
	};
	char *text = arena_strdup(a, "");

	for (size_t i = 0; i < COUNT_OF(reasons); i++)
		if (change & reasons[i].bit)
			text = arena_printf(a, "%s%s%s", text, *text ? "; " : "", reasons[i].text);
	return text;
}
