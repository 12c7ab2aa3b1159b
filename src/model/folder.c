/* folder.c - lists of folders and what their names mean.
 *
 * On the data's way: connectors fill the list, the engine guesses the missing roles, names.c makes
 * the folder map of two lists.
 * Promises: the guess depends on the folders alone, not on the order they were listed in.
 * Does not: speak to a server, or know how a service spells names on the wire. */
#include "model/folder.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/role_names.h"

/* ---- lists ---- */

void folder_list_free(struct folder_list *l)
{
	free(l->folders);
	arena_free(&l->arena);
	*l = (struct folder_list){0};
}

struct folder *folder_list_add(struct folder_list *l)
{
	if (l->count == l->size) {
		l->size = l->size ? l->size * 2 : 32;
		l->folders = mem_grow(l->folders, l->size, sizeof(*l->folders));
	}
	l->folders[l->count] = (struct folder){0};
	return &l->folders[l->count++];
}

const struct folder *folder_list_find(const struct folder_list *l, struct view raw)
{
	for (size_t i = 0; i < l->count; i++)
		if (view_eq(l->folders[i].raw, raw))
			return &l->folders[i];
	return NULL;
}

const struct folder *folder_list_role(const struct folder_list *l, enum folder_role role)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->folders[i].role == role)
			return &l->folders[i];
	return NULL;
}

/* ---- names ---- */

char *folder_display(struct arena *a, char *const *parts, size_t depth)
{
	size_t len = 0;
	char *text, *to;

	for (size_t i = 0; i < depth; i++)
		len += 2 * strlen(parts[i]) + 1;
	to = text = arena_new(a, len + 1, 1);
	for (size_t i = 0; i < depth; i++) {
		if (i)
			*to++ = '/';
		for (const char *from = parts[i]; *from; from++) {
			if (*from == '/' || *from == '\\')
				*to++ = '\\';
			*to++ = *from;
		}
	}
	return text;
}

static bool is_blank(utf8proc_int32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 ||
	       utf8proc_category(c) == UTF8PROC_CATEGORY_ZS;
}

/* TEXT (valid UTF-8) without the blanks of any script at both its ends. */
static struct view trim(struct view text)
{
	size_t from = 0, to = 0, at = 0;
	bool begun = false;

	while (at < text.len) {
		utf8proc_int32_t c;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.data + at,
		    (utf8proc_ssize_t)(text.len - at), &c);
		if (n < 1)
			return text;
		if (!is_blank(c)) {
			from = begun ? from : at;
			begun = true;
			to = at + (size_t)n;
		}
		at += (size_t)n;
	}
	return begun ? view_make(text.data + from, to - from) : text;
}

static char *fold_unicode(struct arena *a, const char *part)
{
	utf8proc_uint8_t *folded = NULL;
	utf8proc_ssize_t len = utf8proc_map((const utf8proc_uint8_t *)part, 0, &folded,
	    UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
	char *out;

	if (len < 0)
		return arena_strdup(a, part); /* not UTF-8: compared by its bytes */
	out = arena_text(a, trim(view_make(folded, (size_t)len)));
	free(folded);
	return out;
}

char *folder_fold(struct arena *a, const char *part)
{
	char *out;

	for (const char *c = part; *c; c++)
		if ((unsigned char)*c >= 0x80)
			return fold_unicode(a, part);
	out = arena_text(a, trim(view_of(part)));
	for (char *c = out; *c; c++)
		*c = (char)ascii_lower(*c);
	return out;
}

/* ---- roles ---- */

static const struct {
	const char *name, *attribute;
} roles[ROLE_COUNT] = {
    [ROLE_NONE] = {"", NULL},
    [ROLE_INBOX] = {"inbox", NULL},
    [ROLE_SENT] = {"sent", "\\Sent"},
    [ROLE_DRAFTS] = {"drafts", "\\Drafts"},
    [ROLE_TRASH] = {"trash", "\\Trash"},
    [ROLE_JUNK] = {"junk", "\\Junk"},
    [ROLE_ARCHIVE] = {"archive", "\\Archive"},
    [ROLE_ALL] = {"all", "\\All"},
    [ROLE_FLAGGED] = {"flagged", "\\Flagged"},
    [ROLE_IMPORTANT] = {"important", "\\Important"},
};

const char *folder_role_name(enum folder_role role)
{
	assert(role < ROLE_COUNT);
	return roles[role].name;
}

const char *folder_role_attribute(enum folder_role role)
{
	assert(role < ROLE_COUNT);
	return roles[role].attribute;
}

enum folder_role folder_role_by_attribute(struct view attribute)
{
	for (int role = 0; role < ROLE_COUNT; role++)
		if (roles[role].attribute && view_is_nocase(attribute, roles[role].attribute))
			return (enum folder_role)role;
	return ROLE_NONE;
}

static enum folder_role role_of_folded(const char *folded)
{
	for (size_t i = 0; i < COUNT_OF(role_names); i++)
		if (!strcmp(role_names[i].name, folded))
			return role_names[i].role;
	return ROLE_NONE;
}

enum folder_role folder_role_by_name(const char *name)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;

	return role_of_folded(folder_fold(&a, name));
}

/* May F get a role for its name? */
static bool is_candidate(const struct folder *f)
{
	return f->role == ROLE_NONE && f->selectable && f->space == SPACE_PERSONAL && f->depth &&
	       (f->depth == 1 || (f->depth == 2 && !ascii_cmp_nocase(f->parts[0], "INBOX")));
}

struct claim {
	struct folder *folder;
	const char *folded;
};

static bool claim_is_before(const struct claim *a, const struct claim *b)
{
	int order = strcmp(a->folded, b->folded);

	if (!order)
		order =
		    (a->folder->depth > b->folder->depth) - (a->folder->depth < b->folder->depth);
	return (order ? order : view_cmp(a->folder->raw, b->folder->raw)) < 0;
}

static void guess_inbox(struct folder_list *l)
{
	if (folder_list_role(l, ROLE_INBOX))
		return;
	for (size_t i = 0; i < l->count; i++)
		if (l->folders[i].depth == 1 && !strcmp(l->folders[i].parts[0], "INBOX"))
			l->folders[i].role = ROLE_INBOX;
}

void folder_list_guess_roles(struct folder_list *l)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct claim best[ROLE_COUNT] = {0};

	guess_inbox(l);
	for (size_t i = 0; i < l->count; i++) {
		struct claim claim = {.folder = &l->folders[i]};
		enum folder_role role;
		if (!is_candidate(claim.folder))
			continue;
		claim.folded = folder_fold(&a, claim.folder->parts[claim.folder->depth - 1]);
		role = role_of_folded(claim.folded);
		if (!best[role].folder || claim_is_before(&claim, &best[role]))
			best[role] = claim;
	}
	for (int role = ROLE_NONE + 1; role < ROLE_COUNT; role++)
		if (best[role].folder && !folder_list_role(l, (enum folder_role)role))
			best[role].folder->role = (enum folder_role)role;
}
