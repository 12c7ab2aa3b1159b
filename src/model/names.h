/* names.h - which source folder becomes which destination folder. Pure: no I/O, the same input
 * always gives the same output, in whatever order the folders are listed.
 *
 * Order of precedence: what the ledger remembers > INBOX to INBOX > same role > same path > same
 * path as far as the destination can spell it, with a suffix " (2)", " (3)" ... where two fall
 * together. Nothing is ever merged: two source folders never get one destination folder.
 *
 * Children follow what their nearest listed parent became. INBOX belongs to the inbox alone, in any
 * case of its letters. A role counts where exactly one personal folder on either side has it. A
 * personal folder is never put onto somebody else's or a shared one that has the same path. */
#pragma once

#include "model/folder.h"

/* What the destination can spell. */
struct name_rules {
	char delimiter;  /* 0 = flat: no hierarchy at all */
	size_t part_max; /* bytes of UTF-8 in one part; 0 = not known */
	bool fold_case;  /* known to treat names that differ in case as one */
};

enum name_change {
	NAME_SAME = 0,
	NAME_ROLE = 1,      /* another name, because the role is the same; not an exception */
	NAME_DELIMITER = 2, /* the delimiter stood inside a part; '_' stands there now */
	NAME_CONTROL = 4,   /* control characters replaced by '_' */
	NAME_TOO_LONG = 8,
	NAME_CLASH = 16,   /* a suffix keeps it apart from another */
	NAME_BROKEN = 32,  /* source name could not be decoded */
	NAME_REFUSED = 64, /* the destination refused the first choice; plain characters only */
	NAME_FLAT = 128, /* no hierarchy there: parts joined by '_' or INBOX cannot have children */
	NAME_REMEMBERED = 256, /* an earlier pass called it so, nobody sees why any more */
};

struct name_map_entry {
	const struct folder *source;
	char **parts; /* destination path, UTF-8 */
	size_t depth;
	unsigned change; /* bits of enum name_change */
	/* In: how often the destination refused the previous choice for this folder. 0: first choice;
	 * 1: only letters, digits, space, - and _ (others become '_') and no empty ends; INBOX's
	 * children leave INBOX ("INBOX" joined to the part by '_'); 2: all parts joined by '_';
	 * 3: and a '_' at the end ("cur", "new" and "tmp" are reserved in a Maildir). */
	unsigned attempt;
	/* In: remembered raw destination path of an earlier pass (parts), NULL = none. Counts for the
	 * first choice only: once the destination refused it, the name is made anew. */
	char **remembered;
	size_t remembered_depth;
	/* Private: solved before, and at which attempt. */
	bool settled;
	unsigned settled_attempt;
};

struct name_map {
	struct name_map_entry *entries; /* one a source folder, in the order given */
	size_t count;
	struct arena arena;
};

/* Prepare a map with one entry for each of the COUNT source folders (pointers are kept). */
void name_map_init(struct name_map *m, const struct folder *const *sources, size_t count);
void name_map_free(struct name_map *m);
/* Fill parts, depth and change of all entries. DESTINATION: what is there already; a folder there
 * that is nobody's by role or memory is taken by the source folder with the same path. May be
 * called again after attempt was raised for some entries; the others do not change. */
void name_map_solve(
    struct name_map *m, const struct folder_list *destination, const struct name_rules *rules);
/* For the report: why it is called differently, one phrase or several with "; " between; "" for
 * NAME_SAME; in A. */
char *name_change_reason(struct arena *a, unsigned change);
