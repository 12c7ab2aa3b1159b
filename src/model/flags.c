/* flags.c - interned sets of flags and keywords.
 *
 * On the data's way: connectors intern what a server says of an item, the engine compares ids and
 * does arithmetic on them, the ledger keeps the canonical text.
 * Promises: equal sets have equal ids in one table, however they were spelled or ordered; ids and
 * texts live as long as the table; interning a text that was met lately costs one look-up.
 * Does not: judge which flags a server takes; share a table between threads. */
#include "model/flags.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define NOT_FOUND UINT32_MAX
#define SYSTEM_COUNT 5u
#define LATELY_SLOTS 1024u
#define LATELY_TEXT 112u

/* The first names of every table, in canonical order; the bit of name n is 1 << n. */
static const char *const system_names[SYSTEM_COUNT] = {
    "\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"};

struct slot {
	uint32_t hash;
	uint32_t id; /* NOT_FOUND = empty */
};

/* Open addressing, from a hash to an id; the key is whatever the owner compares. */
struct index {
	struct slot *slots;
	size_t size, used;
};

struct flag_set {
	const char *text;
	uint32_t *names; /* ids of names in canonical order */
	size_t count;
	unsigned system;
};

/* What was interned lately, by its raw text: a slot a hash, the last one wins. */
struct lately {
	uint32_t hash;
	uint32_t id;
	size_t len;
	char text[LATELY_TEXT];
};

struct flags_table {
	struct arena arena;
	const char **names;
	size_t name_count, name_size;
	struct index name_index;
	struct flag_set *sets;
	size_t set_count, set_size;
	struct index set_index;
	uint32_t *scratch; /* names of the set in the making */
	size_t scratch_size;
	struct lately *lately;
};

/* FNV-1a */
static uint32_t hash_bytes(const void *data, size_t len, bool fold)
{
	const unsigned char *bytes = data;
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++) {
		uint32_t c = fold ? (uint32_t)ascii_lower(bytes[i]) : bytes[i];
		hash = (hash ^ c) * 16777619u;
	}
	return hash;
}

/* ---- index ---- */

static void index_put(struct index *x, uint32_t hash, uint32_t id)
{
	size_t at = hash & (x->size - 1);

	while (x->slots[at].id != NOT_FOUND)
		at = (at + 1) & (x->size - 1);
	x->slots[at] = (struct slot){hash, id};
	x->used++;
}

static void index_resize(struct index *x, size_t size)
{
	struct index grown = {.slots = mem_new(size, sizeof(*x->slots)), .size = size};

	for (size_t i = 0; i < size; i++)
		grown.slots[i].id = NOT_FOUND;
	for (size_t i = 0; i < x->size; i++)
		if (x->slots[i].id != NOT_FOUND)
			index_put(&grown, x->slots[i].hash, x->slots[i].id);
	free(x->slots);
	*x = grown;
}

static void index_add(struct index *x, uint32_t hash, uint32_t id)
{
	if (x->used * 2 >= x->size)
		index_resize(x, x->size ? x->size * 2 : 64);
	index_put(x, hash, id);
}

typedef bool same_fn(const struct flags_table *t, uint32_t id, const void *key);

static uint32_t index_find(const struct index *x, uint32_t hash, const struct flags_table *t,
    same_fn *same, const void *key)
{
	if (!x->size)
		return NOT_FOUND;
	for (size_t at = hash & (x->size - 1);; at = (at + 1) & (x->size - 1)) {
		const struct slot *slot = &x->slots[at];
		if (slot->id == NOT_FOUND || (slot->hash == hash && same(t, slot->id, key)))
			return slot->id;
	}
}

/* ---- names ---- */

static bool name_same(const struct flags_table *t, uint32_t id, const void *key)
{
	return view_is_nocase(*(const struct view *)key, t->names[id]);
}

static uint32_t name_intern(struct flags_table *t, struct view name)
{
	uint32_t hash = hash_bytes(name.data, name.len, true);
	uint32_t id = index_find(&t->name_index, hash, t, name_same, &name);

	if (id != NOT_FOUND)
		return id;
	if (t->name_count == t->name_size) {
		t->name_size = t->name_size ? t->name_size * 2 : 32;
		t->names = mem_grow(t->names, t->name_size, sizeof(*t->names));
	}
	assert(t->name_count < NOT_FOUND);
	id = (uint32_t)t->name_count++;
	t->names[id] = arena_text(&t->arena, name);
	index_add(&t->name_index, hash, id);
	return id;
}

/* The canonical order: system flags as they are numbered, then the others by their bytes. */
static int name_order(const struct flags_table *t, uint32_t a, uint32_t b)
{
	if (a < SYSTEM_COUNT || b < SYSTEM_COUNT)
		return (a > b) - (a < b);
	return a == b ? 0 : strcmp(t->names[a], t->names[b]);
}

static int name_order_sort(const void *a, const void *b, void *t)
{
	return name_order(t, *(const uint32_t *)a, *(const uint32_t *)b);
}

/* ---- sets ---- */

struct names_key {
	const uint32_t *names;
	size_t count;
};

static bool set_same(const struct flags_table *t, uint32_t id, const void *key)
{
	const struct names_key *k = key;
	const struct flag_set *set = &t->sets[id];

	return set->count == k->count &&
	       !memcmp(set->names, k->names, k->count * sizeof(*k->names));
}

static const char *set_text(struct flags_table *t, const uint32_t *names, size_t count)
{
	size_t len = 0;
	char *text, *to;

	for (size_t i = 0; i < count; i++)
		len += strlen(t->names[names[i]]) + 1;
	to = text = arena_new(&t->arena, len + 1, 1);
	for (size_t i = 0; i < count; i++) {
		if (i)
			*to++ = ' ';
		to = stpcpy(to, t->names[names[i]]);
	}
	return text;
}

static uint32_t set_add(struct flags_table *t, const uint32_t *names, size_t count, uint32_t hash)
{
	struct flag_set set = {.count = count, .text = set_text(t, names, count)};
	uint32_t id = (uint32_t)t->set_count;

	set.names = arena_new(&t->arena, count, sizeof(*names));
	for (size_t i = 0; i < count; i++) {
		set.names[i] = names[i];
		if (names[i] < SYSTEM_COUNT)
			set.system |= 1u << names[i];
	}
	if (t->set_count == t->set_size) {
		t->set_size = t->set_size ? t->set_size * 2 : 32;
		t->sets = mem_grow(t->sets, t->set_size, sizeof(*t->sets));
	}
	assert(t->set_count < NOT_FOUND);
	t->sets[t->set_count++] = set;
	index_add(&t->set_index, hash, id);
	return id;
}

/* The set of the first COUNT scratch names, which are in order and without doubles. */
static uint32_t set_intern(struct flags_table *t, size_t count)
{
	struct names_key key = {t->scratch, count};
	uint32_t hash = hash_bytes(t->scratch, count * sizeof(*t->scratch), false);
	uint32_t id = count ? index_find(&t->set_index, hash, t, set_same, &key) : FLAGS_NONE;

	return id != NOT_FOUND ? id : set_add(t, t->scratch, count, hash);
}

static void scratch_need(struct flags_table *t, size_t count)
{
	if (count <= t->scratch_size)
		return;
	t->scratch_size = count * 2;
	t->scratch = mem_grow(t->scratch, t->scratch_size, sizeof(*t->scratch));
}

/* ---- text ---- */

/* The next name of TEXT, which moves behind it; false = no more. Whatever is not above a blank
 * separates: no control character ever gets into a name. */
static bool text_next(struct view *text, struct view *name)
{
	size_t at = 0, end;

	while (at < text->len && (unsigned char)text->data[at] <= ' ')
		at++;
	end = at;
	while (end < text->len && (unsigned char)text->data[end] > ' ')
		end++;
	*name = view_make(text->data + at, end - at);
	*text = view_make(text->data + end, text->len - end);
	return name->len > 0;
}

static uint32_t intern_slowly(struct flags_table *t, struct view text)
{
	size_t count = 0, kept = 0;
	struct view name;

	while (text.len && text_next(&text, &name)) {
		if (view_is_nocase(name, "\\Recent"))
			continue;
		scratch_need(t, count + 1);
		t->scratch[count++] = name_intern(t, name);
	}
	if (count > 1)
		qsort_r(t->scratch, count, sizeof(*t->scratch), name_order_sort, t);
	for (size_t i = 0; i < count; i++)
		if (!i || t->scratch[i] != t->scratch[kept - 1])
			t->scratch[kept++] = t->scratch[i];
	return set_intern(t, kept);
}

uint32_t flags_intern(struct flags_table *t, struct view text)
{
	uint32_t hash = hash_bytes(text.data, text.len, false);
	struct lately *slot = &t->lately[hash & (LATELY_SLOTS - 1)];
	uint32_t id;

	if (!text.len)
		return FLAGS_NONE;
	if (slot->hash == hash && slot->len == text.len && !memcmp(slot->text, text.data, text.len))
		return slot->id;
	id = intern_slowly(t, text);
	if (text.len <= LATELY_TEXT) {
		slot->hash = hash;
		slot->id = id;
		slot->len = text.len;
		memcpy(slot->text, text.data, text.len);
	}
	return id;
}

/* ---- life ---- */

void flags_table_new(struct flags_table **t)
{
	struct flags_table *table = NEW(struct flags_table);

	table->lately = mem_new(LATELY_SLOTS, sizeof(*table->lately));
	for (size_t i = 0; i < SYSTEM_COUNT; i++)
		name_intern(table, view_of(system_names[i]));
	set_add(table, NULL, 0, 0); /* FLAGS_NONE */
	*t = table;
}

size_t flags_table_size(const struct flags_table *t)
{
	return t->arena.used;
}

void flags_table_free(struct flags_table **t)
{
	if (!*t)
		return;
	free((*t)->names);
	free((*t)->name_index.slots);
	free((*t)->sets);
	free((*t)->set_index.slots);
	free((*t)->scratch);
	free((*t)->lately);
	arena_free(&(*t)->arena);
	free(*t);
	*t = NULL;
}

/* ---- facts ---- */

static const struct flag_set *set_of(const struct flags_table *t, uint32_t id)
{
	assert(id < t->set_count);
	return &t->sets[id];
}

const char *flags_text(const struct flags_table *t, uint32_t id)
{
	return set_of(t, id)->text;
}

unsigned flags_system(const struct flags_table *t, uint32_t id)
{
	return set_of(t, id)->system;
}

bool flags_has_keywords(const struct flags_table *t, uint32_t id)
{
	const struct flag_set *set = set_of(t, id);

	return set->count && set->names[set->count - 1] >= SYSTEM_COUNT;
}

/* ---- arithmetic ---- */

/* One walk over both sets in canonical order, keeping what is only in A, in both, only in B. */
static uint32_t set_merge(
    struct flags_table *t, uint32_t a, uint32_t b, bool only_a, bool both, bool only_b)
{
	const struct flag_set *x = set_of(t, a), *y = set_of(t, b);
	size_t i = 0, j = 0, count = 0;

	scratch_need(t, x->count + y->count);
	while (i < x->count || j < y->count) {
		int order = i == x->count   ? 1
			    : j == y->count ? -1
					    : name_order(t, x->names[i], y->names[j]);
		uint32_t name = order <= 0 ? x->names[i] : y->names[j];
		if (order < 0 ? only_a : order > 0 ? only_b : both)
			t->scratch[count++] = name;
		i += order <= 0;
		j += order >= 0;
	}
	return set_intern(t, count);
}

uint32_t flags_union(struct flags_table *t, uint32_t a, uint32_t b)
{
	return a == b || b == FLAGS_NONE ? a : set_merge(t, a, b, true, true, true);
}

uint32_t flags_minus(struct flags_table *t, uint32_t a, uint32_t b)
{
	return a == b ? FLAGS_NONE : set_merge(t, a, b, true, false, false);
}

uint32_t flags_common(struct flags_table *t, uint32_t a, uint32_t b)
{
	return a == b ? a : set_merge(t, a, b, false, true, false);
}

uint32_t flags_only_system(struct flags_table *t, uint32_t a)
{
	const struct flag_set *set = set_of(t, a);
	size_t count = 0;

	scratch_need(t, SYSTEM_COUNT);
	while (count < set->count && set->names[count] < SYSTEM_COUNT) {
		t->scratch[count] = set->names[count];
		count++;
	}
	return set_intern(t, count);
}
