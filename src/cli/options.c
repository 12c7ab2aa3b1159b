/* options.c - reads command lines by a table. First station of what the user wants.
 * Promises: the first fault is told in one sentence, with the nearest known name; values that
 * could be secrets are never repeated. Does not: know what any option means. */
#include "cli/options.h"

#include <string.h>

#include "base/buf.h"
#include "cli/suggest.h"

struct reading {
	const struct option_table *table;
	char *target;
	char *const *argv;
	int count, at;
	struct err *e;
	bool failed;
};

/* Keeps the first fault only. */
#define FAIL(r, ...)                                                                               \
	do {                                                                                       \
		if (!(r)->failed)                                                                  \
			err_set((r)->e, CAUSE_USAGE, ERR_RUN, __VA_ARGS__);                        \
		(r)->failed = true;                                                                \
	} while (0)

static const struct option_spec *find_name(const struct option_table *table, struct view name)
{
	for (size_t i = 0; i < table->count; i++)
		if (view_is(name, table->specs[i].name))
			return &table->specs[i];
	return NULL;
}

static const struct option_spec *find_letter(const struct option_table *table, char letter)
{
	for (size_t i = 0; i < table->count; i++)
		if (letter && table->specs[i].letter == letter)
			return &table->specs[i];
	return NULL;
}

/* "12", "0.25" → milliseconds. */
static int parse_seconds(const char *text, uint64_t *ms)
{
	const char *dot = strchr(text, '.');
	size_t whole = dot ? (size_t)(dot - text) : strlen(text);
	size_t digits = dot ? strlen(dot + 1) : 0;
	uint64_t s, part = 0;

	if (view_number(view_make(text, whole), &s) < 0 || s > 1000000)
		return -1;
	if (dot && (digits > 3 || view_number(view_make(dot + 1, digits), &part) < 0))
		return -1;
	for (size_t i = digits; i < 3; i++)
		part *= 10;
	*ms = s * 1000 + part;
	return 0;
}

static int parse_size(const char *text, uint64_t *bytes)
{
	size_t len = strlen(text);
	const char *units = "KMG", *unit;
	uint64_t n, factor = 1;

	if (len > 2 && !ascii_cmp_nocase(text + len - 2, "iB"))
		len -= 2;
	unit = len ? memchr(units, text[len - 1] & ~0x20, 3) : NULL;
	if (unit) {
		len--;
		factor = (uint64_t)1024 << (10 * (unit - units));
	} else if (text[len]) {
		return -1; /* "5iB" */
	}
	if (view_number(view_make(text, len), &n) < 0 || !n)
		return -1;
	return __builtin_mul_overflow(n, factor, bytes) ? -1 : 0;
}

static void set_choice(struct reading *r, const struct option_spec *o, const char *value)
{
	char all[120] = "";

	for (int i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], value)) {
			*(int *)(void *)(r->target + o->offset) = i;
			return;
		}
		if (i)
			strncat(
			    all, o->choices[i + 1] ? ", " : " or ", sizeof(all) - strlen(all) - 1);
		strncat(all, o->choices[i], sizeof(all) - strlen(all) - 1);
	}
	FAIL(r, "--%s wants %s, not '%s'", o->name, all, value);
}

static void set_seconds(struct reading *r, const struct option_spec *o, const char *value)
{
	uint64_t ms;

	if (parse_seconds(value, &ms) < 0 || ms < (uint64_t)o->min * 1000 ||
	    ms > (uint64_t)o->max * 1000)
		FAIL(r, "--%s wants seconds, %d to %d, not '%s'", o->name, o->min, o->max, value);
	else
		*(int *)(void *)(r->target + o->offset) = (int)ms;
}

static void set_number(struct reading *r, const struct option_spec *o, const char *value)
{
	uint64_t n;

	if (view_number(view_of(value), &n) < 0 || n < (uint64_t)o->min || n > (uint64_t)o->max)
		FAIL(r, "--%s wants a number, %d to %d, not '%s'", o->name, o->min, o->max, value);
	else
		*(int *)(void *)(r->target + o->offset) = (int)n;
}

static void set_size(struct reading *r, const struct option_spec *o, const char *value)
{
	uint64_t bytes;

	if (parse_size(value, &bytes) < 0)
		FAIL(r, "--%s wants a size such as 500K, 50M or 2G, not '%s'", o->name, value);
	else
		*(uint64_t *)(void *)(r->target + o->offset) = bytes;
}

static void set_value(struct reading *r, const struct option_spec *o, const char *value)
{
	switch (o->kind) {
	case OPTION_TEXT:
		if (*value)
			*(const char **)(void *)(r->target + o->offset) = value;
		else
			FAIL(r, "--%s needs a value; it was given an empty one", o->name);
		break;
	case OPTION_SECONDS:
		set_seconds(r, o, value);
		break;
	case OPTION_NUMBER:
		set_number(r, o, value);
		break;
	case OPTION_SIZE:
		set_size(r, o, value);
		break;
	case OPTION_CHOICE:
		set_choice(r, o, value);
		break;
	case OPTION_FLAG:
	case OPTION_REFUSED:
		break;
	}
}

/* VALUE is what stood behind '=', NULL = nothing did. */
static void apply(struct reading *r, const struct option_spec *o, const char *value)
{
	if (o->kind == OPTION_REFUSED) {
		FAIL(r, "--%s: %s", o->name, o->help);
		/* skip what was meant as its value */
		r->at += !value && r->at < r->count && r->argv[r->at][0] != '-';
	} else if (o->kind == OPTION_FLAG) {
		if (value)
			FAIL(r, "--%s takes no value", o->name);
		*(bool *)(r->target + o->offset) = true;
	} else if (value) {
		set_value(r, o, value);
	} else if (r->at < r->count) {
		set_value(r, o, r->argv[r->at++]);
	} else {
		FAIL(r, "--%s needs a value", o->name);
	}
}

static void fail_unknown(struct reading *r, struct view name)
{
	char word[64];
	const char *near;

	text_printable(word, sizeof(word), name.data, name.len);
	near = suggest_name(word, r->table->specs, r->table->count, sizeof(*r->table->specs));
	if (near)
		FAIL(r, "there is no option --%s; did you mean --%s?", word, near);
	else
		FAIL(r, "there is no option --%s; see godwit %s --help", word, r->table->command);
}

static void read_long(struct reading *r, const char *word)
{
	const char *equals = strchr(word, '=');
	struct view name = equals ? view_make(word, (size_t)(equals - word)) : view_of(word);
	const struct option_spec *o = find_name(r->table, name);

	if (o)
		apply(r, o, equals ? equals + 1 : NULL);
	else
		fail_unknown(r, name);
}

/* Short options are flags only, so that "-qh" is "-q -h". */
static void read_short(struct reading *r, const char *letters)
{
	for (; *letters; letters++) {
		const struct option_spec *o = find_letter(r->table, *letters);
		if (o) {
			apply(r, o, NULL);
			continue;
		}
		FAIL(r, "there is no option -%c; see godwit %s --help",
		    *letters > ' ' && *letters < 0x7f ? *letters : '?', r->table->command);
		return;
	}
}

int options_parse(const struct option_table *table, void *target, int count, char *const *argv,
    const char **operands, int room, struct err *e)
{
	struct reading r = {.table = table, .target = target, .argv = argv, .count = count, .e = e};
	bool plain = false;
	int found = 0;

	while (r.at < count) {
		const char *word = argv[r.at++];
		if (plain || word[0] != '-' || !word[1]) {
			if (found < room)
				operands[found] = word;
			found++;
		} else if (word[1] != '-') {
			read_short(&r, word + 1);
		} else if (word[2]) {
			read_long(&r, word + 2);
		} else {
			plain = true;
		}
	}
	return r.failed ? -1 : found;
}
