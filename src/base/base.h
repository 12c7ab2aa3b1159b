/* base.h - the handful of macros everybody shares. base/ includes nothing of ours. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Run cleanup FN (taking a pointer to the variable) when the variable leaves its scope. */
#define AUTO(fn) __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define MEM_EXHAUSTED 70 /* exit code */

/* Allocation that cannot fail: on exhaustion the process says so on stderr and ends with exit
 * code MEM_EXHAUSTED. (The ledger makes that harmless.) Memory is zeroed. The caller owns it and releases it with free(). */
void *mem_new(size_t count, size_t size);
/* Grow to COUNT elements of SIZE bytes; new bytes are NOT zeroed. */
void *mem_grow(void *old, size_t count, size_t size);
/* Room for one element behind COUNT: ARRAY as it is, or grown ahead of need, and *SIZE with it. */
void *mem_room(void *array, size_t count, size_t *size, size_t each);
char *mem_strdup(const char *text);
/* From now on exhaustion is not said on stderr: whoever waits for this process says it. */
void mem_exhaust_silently(void);
/* From now on blocks of SIZE bytes and more go back to the system when they are freed, where the allocator would
 * keep some for each thread. */
void mem_return_blocks(size_t size);

#define NEW(type) ((type *)mem_new(1, sizeof(type)))

/* Milliseconds of a clock that never jumps; only differences mean anything. */
int64_t clock_ms(void);
/* Seconds since 1970 of the wall clock. */
int64_t clock_wall(void);
/* Test hook: makes both clocks return what FN returns (milliseconds); NULL restores them. */
void clock_fake(int64_t (*fn)(void));
