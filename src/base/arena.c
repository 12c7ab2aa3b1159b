/* arena.c - memory that lives and dies together. Stands below everything. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 8192u
#define ALIGN 16u

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(ALIGN) char bytes[];
};

static struct arena_block *block_new(size_t size)
{
	struct arena_block *block = mem_grow(NULL, 1, sizeof(*block) + size);

	*block = (struct arena_block){.size = size};
	return block;
}

void *arena_new(struct arena *a, size_t count, size_t size)
{
	struct arena_block *block = a->blocks;
	size_t need;
	void *p;

	if (__builtin_mul_overflow(count, size, &need) || need > SIZE_MAX / 2)
		return mem_new(count, size); /* dies there, with its message */
	need = (need + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!block || block->size - block->used < need) {
		block = block_new(need > BLOCK_SIZE ? need : BLOCK_SIZE);
		block->next = a->blocks;
		a->blocks = block;
	}
	p = memset(block->bytes + block->used, 0, need);
	block->used += need;
	a->used += need;
	return p;
}

struct view arena_copy(struct arena *a, struct view v)
{
	return view_make(arena_text(a, v), v.len);
}

char *arena_text(struct arena *a, struct view v)
{
	char *to = arena_new(a, v.len + 1, 1);

	if (v.len)
		memcpy(to, v.data, v.len);
	return to;
}

char *arena_strdup(struct arena *a, const char *text)
{
	return arena_text(a, view_of(text));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args, again;
	char *to;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	assert(len >= 0);
	to = arena_new(a, (size_t)len + 1, 1);
	vsnprintf(to, (size_t)len + 1, fmt, again);
	va_end(again);
	va_end(args);
	return to;
}

void arena_clear(struct arena *a)
{
	struct arena_block *block, *kept = NULL;

	while ((block = a->blocks)) {
		a->blocks = block->next;
		if (!kept && block->size == BLOCK_SIZE)
			kept = block;
		else
			free(block);
	}
	if (kept) {
		kept->next = NULL;
		kept->used = 0;
	}
	*a = (struct arena){.blocks = kept};
}

void arena_free(struct arena *a)
{
	arena_clear(a);
	free(a->blocks);
	*a = ARENA_INIT;
}
