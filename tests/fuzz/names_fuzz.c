/* names_fuzz.c - hostile folder names on both sides: each source folder gets a name that the
 * destination can spell, none gets another's, and neither the order they are listed in nor what
 * became of others matters.
 *
 * The input: a line with the rules (delimiter, longest part, 'f' = folds case), then a line a folder:
 * 's' at the source, 'd' at the destination, 'm' remembered for the source folder before it; a digit for its
 * role; its path, '/' between the parts. */
#include "fuzz.h"
#include "model/names.h"

enum { FOLDERS_MAX = 40, PART_LEAST = 24 };

struct scene {
	struct arena arena;
	struct name_rules rules;
	const struct folder *sources[FOLDERS_MAX];
	struct folder *remembered[FOLDERS_MAX]; /* paths, or NULL */
	size_t count;
	struct folder_list there;
};

static bool is_known(const struct scene *s, struct view raw)
{
	for (size_t i = 0; i < s->count; i++)
		if (view_eq(s->sources[i]->raw, raw))
			return true;
	return false;
}

/* LINE is a digit and a path. False: there is no part in it. */
static bool read_folder(struct scene *s, struct folder *f, struct view line)
{
	struct view rest = view_make(line.data + 1, line.len - 1);

	*f = (struct folder){.raw = rest, .selectable = true};
	f->role = (enum folder_role)((unsigned char)line.data[0] % ROLE_COUNT);
	f->parts = arena_new(&s->arena, rest.len + 1, sizeof(char *));
	while (rest.len) {
		char *part = arena_text(&s->arena, cut_at(&rest, '/'));

		if (*part)
			f->parts[f->depth++] = part;
	}
	return f->depth > 0;
}

/* Can the destination have a folder of that name? */
static bool is_possible(const struct scene *s, const struct folder *f)
{
	for (size_t i = 0; i < f->depth; i++)
		for (const char *c = f->parts[i]; *c; c++)
			if (*c == s->rules.delimiter || (*c > 0 && *c < ' ') || *c == 0x7f)
				return false;
	return s->rules.delimiter || f->depth == 1;
}

static void add_folder(struct scene *s, char kind, const struct folder *f)
{
	struct folder *copy;

	if (kind != 's' && !is_possible(s, f))
		return;
	if (kind == 'd') {
		*folder_list_add(&s->there) = *f;
		return;
	}
	if (kind == 's' && is_known(s, f->raw))
		return;
	copy = ARENA_NEW(&s->arena, struct folder);
	*copy = *f;
	if (kind == 's')
		s->sources[s->count++] = copy;
	else if (s->count)
		s->remembered[s->count - 1] = copy;
}

static void read_scene(struct scene *s, struct view input)
{
	struct view line = cut_at(&input, '\n');
	struct folder f;

	if (line.len > 0 && line.data[0] && strchr("/.\\^!|:~", line.data[0]))
		s->rules.delimiter = line.data[0];
	if (line.len > 1)
		s->rules.part_max = (unsigned char)line.data[1];
	s->rules.fold_case = line.len > 2 && line.data[2] == 'f';
	while (input.len && s->count < FOLDERS_MAX) {
		line = cut_at(&input, '\n');
		if (line.len > 2 && read_folder(s, &f, view_make(line.data + 1, line.len - 1)))
			add_folder(s, line.data[0], &f);
	}
}

static bool same_path(char *const *a, size_t a_depth, char *const *b, size_t b_depth, bool fold)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	bool same = a_depth == b_depth;

	for (size_t i = 0; same && i < a_depth; i++)
		same = fold ? !strcmp(folder_fold(&scratch, a[i]), folder_fold(&scratch, b[i]))
			    : !strcmp(a[i], b[i]);
	return same;
}

/* A part of the destination's own, or of its memory, is as long as it is. */
static bool is_given(const struct scene *s, const char *part)
{
	for (size_t i = 0; i < s->there.count; i++)
		for (size_t k = 0; k < s->there.folders[i].depth; k++)
			if (!strcmp(s->there.folders[i].parts[k], part))
				return true;
	for (size_t i = 0; i < s->count; i++)
		for (size_t k = 0; s->remembered[i] && k < s->remembered[i]->depth; k++)
			if (!strcmp(s->remembered[i]->parts[k], part))
				return true;
	return false;
}

static void check_part(const struct scene *s, const char *part)
{
	size_t max = s->rules.part_max < PART_LEAST ? PART_LEAST : s->rules.part_max;

	must(*part, "no part is empty");
	for (const char *c = part; *c; c++)
		must((unsigned char)*c >= 0x20 && *c != 0x7f &&
			 (!s->rules.delimiter || *c != s->rules.delimiter),
		    "neither control characters nor the delimiter are in a part");
	must(!s->rules.part_max || strlen(part) <= max || is_given(s, part),
	    "a part is short enough");
}

static void check_legal(const struct scene *s, const struct name_map *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct name_map_entry *a = &m->entries[i];

		must(a->depth > 0, "each folder has a place");
		for (size_t k = 0; k < a->depth; k++)
			check_part(s, a->parts[k]);
		must(s->rules.delimiter || a->depth == 1,
		    "where there is no hierarchy, none is made");
		for (size_t k = 0; k < i; k++)
			must(!same_path(a->parts, a->depth, m->entries[k].parts,
				 m->entries[k].depth, s->rules.fold_case),
			    "no two have one place");
	}
}

/* Source I of the scene is entry COUNT - 1 - I where REVERSED. */
static void solve(struct scene *s, struct name_map *m, bool reversed)
{
	const struct folder *order[FOLDERS_MAX];

	for (size_t i = 0; i < s->count; i++)
		order[reversed ? s->count - 1 - i : i] = s->sources[i];
	name_map_init(m, order, s->count);
	for (size_t i = 0; i < s->count; i++) {
		const struct folder *was = s->remembered[reversed ? s->count - 1 - i : i];

		m->entries[i].remembered = was ? was->parts : NULL;
		m->entries[i].remembered_depth = was ? was->depth : 0;
	}
	name_map_solve(m, &s->there, &s->rules);
}

static void check_order(struct scene *s, const struct name_map *m)
{
	struct name_map other AUTO(name_map_free);

	solve(s, &other, true);
	for (size_t i = 0; i < m->count; i++) {
		const struct name_map_entry *a = &m->entries[i],
					    *b = &other.entries[m->count - 1 - i];

		must(same_path(a->parts, a->depth, b->parts, b->depth, false) &&
			 a->change == b->change,
		    "the order of the list does not matter");
	}
}

static bool is_plain_part(const struct name_map_entry *entry)
{
	for (const char *c = entry->parts[0]; *c; c++)
		if (*c > 0 && !strchr(" -_", *c) && (*c < '0' || *c > '9') &&
		    (*c < 'A' || *c > 'Z') && (*c < 'a' || *c > 'z'))
			return false;
	return entry->depth == 1;
}

/* The destination refuses one name three times: it gets others, and the rest stays. */
static void check_refusals(struct scene *s, struct name_map *m, struct dice *dice)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	size_t refused = dice_roll(dice, m->count);

	for (unsigned attempt = 1; attempt <= 3; attempt++) {
		char ***before = arena_new(&scratch, m->count, sizeof(*before));

		for (size_t i = 0; i < m->count; i++)
			before[i] = m->entries[i].parts;
		m->entries[refused].attempt = attempt;
		name_map_solve(m, &s->there, &s->rules);
		check_legal(s, m);
		for (size_t i = 0; i < m->count; i++)
			must(i == refused || m->entries[i].parts == before[i], "the others stay");
		must(attempt < 2 || is_plain_part(&m->entries[refused]),
		    "at last it is one plain part");
		must(*name_change_reason(&scratch, m->entries[refused].change) ||
			 same_path(m->entries[refused].parts, m->entries[refused].depth,
			     s->sources[refused]->parts, s->sources[refused]->depth,
			     s->rules.fold_case),
		    "another name has a reason");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scene s = {0};
	struct name_map m AUTO(name_map_free) = {0};
	struct dice dice = dice_of(view_make(data, size));

	read_scene(&s, view_make(data, size));
	folder_list_guess_roles(&s.there);
	solve(&s, &m, false);
	check_legal(&s, &m);
	if (s.count) {
		check_order(&s, &m);
		check_refusals(&s, &m, &dice);
	}
	folder_list_free(&s.there);
	arena_free(&s.arena);
	return 0;
}
