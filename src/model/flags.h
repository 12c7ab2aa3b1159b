/* flags.h - interned sets of flags and keywords: any number of keywords, four bytes an item.
 *
 * The canonical text of a set is its flags separated by one space: system flags first, in the order
 * \Answered \Flagged \Deleted \Seen \Draft, then other \-flags and keywords in byte order, spelled
 * as first seen. Names are equal when they differ only in ASCII case (RFC 3501 §2.3.2). \Recent is
 * dropped: it is the server's. */
#pragma once

#include "base/buf.h"

#define FLAGS_NONE 0u /* the empty set has this id in every table */

enum flags_system {
	FLAG_ANSWERED = 1,
	FLAG_FLAGGED = 2,
	FLAG_DELETED = 4,
	FLAG_SEEN = 8,
	FLAG_DRAFT = 16,
};

struct flags_table;

void flags_table_new(struct flags_table **t);
void flags_table_free(struct flags_table **t);
/* Bytes of all names and sets so far: what a server that invents keywords costs. */
size_t flags_table_size(const struct flags_table *t);

/* The id of the set that the space-separated names make, in any order, duplicates allowed. */
uint32_t flags_intern(struct flags_table *t, struct view text);
/* Canonical text; lives as long as the table. */
const char *flags_text(const struct flags_table *t, uint32_t id);
unsigned flags_system(const struct flags_table *t, uint32_t id); /* bits of enum flags_system */
/* Does the set hold anything besides the five system flags? */
bool flags_has_keywords(const struct flags_table *t, uint32_t id);

/* Set arithmetic; results are interned. */
uint32_t flags_union(struct flags_table *t, uint32_t a, uint32_t b);
uint32_t flags_minus(struct flags_table *t, uint32_t a, uint32_t b);
uint32_t flags_common(struct flags_table *t, uint32_t a, uint32_t b);
/* Only the five system flags of A. */
uint32_t flags_only_system(struct flags_table *t, uint32_t a);
