/* mem.c - allocation that cannot fail, and the clocks. Stands below everything.
 * Promises: memory is zeroed, exhaustion ends the process with exit code 70 (the ledger makes that
 * harmless). Does not: recover. */
#include "base/base.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t (*fake_clock)(void); /* tests only */
static bool exhausted_silently;

static _Noreturn void out_of_memory(void)
{
	static const char text[] =
	    "godwit: out of memory; run it again to go on where it stopped\n";
	ssize_t ignored = exhausted_silently ? 0 : write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	_exit(MEM_EXHAUSTED);
}

void mem_exhaust_silently(void)
{
	exhausted_silently = true;
}

void mem_return_blocks(size_t size)
{
#ifdef M_MMAP_THRESHOLD /* glibc; set, it stays as it is */
	mallopt(M_MMAP_THRESHOLD, (int)size);
#else
	(void)size;
#endif
}

void *mem_new(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_grow(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count ? count : 1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_room(void *array, size_t count, size_t *size, size_t each)
{
	if (count < *size)
		return array;
	*size = *size * 2 + 64;
	return mem_grow(array, *size, each);
}

char *mem_strdup(const char *text)
{
	size_t len = strlen(text) + 1;
	return memcpy(mem_new(len, 1), text, len);
}

int64_t clock_ms(void)
{
	struct timespec t;

	if (fake_clock)
		return fake_clock();
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall(void)
{
	return fake_clock ? fake_clock() / 1000 : (int64_t)time(NULL);
}

void clock_fake(int64_t (*fn)(void))
{
	fake_clock = fn;
}
