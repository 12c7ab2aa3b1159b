/* arena.h - memory that lives and dies together. Nothing in it is freed singly. */
#pragma once

#include "base/buf.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used;                /* bytes handed out since the last clear */
};

#define ARENA_INIT ((struct arena){0})

/* Zeroed, aligned for any type. Cannot fail (see mem_new). */
void *arena_new(struct arena *a, size_t count, size_t size);
char *arena_strdup(struct arena *a, const char *text);
/* Copies of bytes; the text form adds the NUL and expects no NUL inside. */
struct view arena_copy(struct arena *a, struct view v);
char *arena_text(struct arena *a, struct view v);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Everything handed out becomes invalid; one block is kept for reuse. */
void arena_clear(struct arena *a);
void arena_free(struct arena *a);

#define ARENA_NEW(a, type) ((type *)arena_new((a), 1, sizeof(type)))
