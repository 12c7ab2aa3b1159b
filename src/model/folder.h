/* folder.h - folders as every service shows them: a path of UTF-8 parts, a role, a raw name. */
#pragma once

#include "base/arena.h"

enum folder_role {
	ROLE_NONE,
	ROLE_INBOX,
	ROLE_SENT,
	ROLE_DRAFTS,
	ROLE_TRASH,
	ROLE_JUNK,
	ROLE_ARCHIVE,
	ROLE_ALL,
	ROLE_FLAGGED,
	ROLE_IMPORTANT,
	ROLE_COUNT
};

enum folder_space { SPACE_PERSONAL, SPACE_OTHERS, SPACE_SHARED };

struct folder {
	struct view raw;  /* exactly what the service calls it: the key, and what is sent back */
	char **parts;     /* UTF-8, never empty strings; the inbox is {"INBOX"} in every service */
	size_t depth;     /* >= 1 */
	bool name_broken; /* raw could not be decoded; parts show its bytes, escaped */
	enum folder_role role;
	bool role_declared; /* by the service (RFC 6154), not guessed from the name */
	enum folder_space space;
	bool selectable; /* can hold items */
	bool subscribed;
	struct view
	    object; /* names the folder whatever it is called (MAILBOXID); empty = not told */
	/* A glance at its state, where the listing told it (LIST-STATUS). */
	bool has_glance;
	uint64_t messages;
	char *glance_cursor; /* as changes() would tell it: where it equals that of a finished pass,
	                      * nothing changed, flags neither; NULL = not told */
};

struct folder_list {
	struct folder *folders; /* in the order listed */
	size_t count, size;
	struct arena arena; /* owns all text */
};

void folder_list_free(struct folder_list *l);
/* A new zeroed entry at the end; valid until the next add. */
struct folder *folder_list_add(struct folder_list *l);
/* By raw name; NULL = none. */
const struct folder *folder_list_find(const struct folder_list *l, struct view raw);
const struct folder *folder_list_role(const struct folder_list *l, enum folder_role role);

/* "Archive/2024" for people: parts joined by '/', a '/' or '\' inside a part written "\/", "\\";
 * in A. Control characters are left to text_printable. */
char *folder_display(struct arena *a, char *const *parts, size_t depth);

/* PART for comparing: NFC, case folded, without blanks (of any script) at its ends; in A. What is
 * not UTF-8 comes back as it is. For keys only, never shown. */
char *folder_fold(struct arena *a, const char *part);

/* "sent"; never NULL, "" for ROLE_NONE. */
const char *folder_role_name(enum folder_role role);
/* The attribute of RFC 6154 with backslash ("\\Sent"); NULL where there is none. */
const char *folder_role_attribute(enum folder_role role);
enum folder_role folder_role_by_attribute(struct view attribute);
/* The role a well-known name means ("Gesendete Elemente" → sent), in the main languages, ASCII
 * and Unicode case and normalisation ignored; ROLE_NONE = not known. NAME is one part, UTF-8. */
enum folder_role folder_role_by_name(const char *name);
/* Second step of role finding: gives roles by name to folders at the top level (or directly below
 * INBOX) for roles nobody declared; where several names claim one role the first in byte order
 * of the folded name wins and the others stay without. Only selectable personal folders get one.
 * The inbox is {"INBOX"} where nobody has that role. */
void folder_list_guess_roles(struct folder_list *l);
