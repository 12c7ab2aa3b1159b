/* fuzz.h - what the fuzzers share: a promise that must hold, and dice. A target is one file NAME_fuzz.c
 * with LLVMFuzzerTestOneInput; run.sh knows which sources it is about. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool true_, const char *what)
{
	if (true_)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

/* Numbers out of a hash of the input: the same input, the same numbers. */
struct dice {
	uint64_t state;
};

static inline struct dice dice_of(struct view v)
{
	struct dice d = {0x9e3779b97f4a7c15u};

	for (size_t i = 0; i < v.len; i++)
		d.state = (d.state ^ (unsigned char)v.data[i]) * 0x100000001b3u;
	return d;
}

/* From 0 to MOST - 1. */
static inline size_t dice_roll(struct dice *d, size_t most)
{
	d->state = d->state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(d->state >> 33) % most;
}

/* A piece of 1 to MOST bytes off the front of V. */
static inline struct view dice_cut(struct dice *d, struct view *v, size_t most)
{
	size_t len = dice_roll(d, most) + 1;
	struct view piece = {v->data, len < v->len ? len : v->len};

	*v = view_make(v->data + piece.len, v->len - piece.len);
	return piece;
}

/* What stands before the next END, or the rest; taken off the front of V. */
static inline struct view cut_at(struct view *v, char end)
{
	const char *stop = v->len ? memchr(v->data, end, v->len) : NULL;
	struct view piece = {v->data, stop ? (size_t)(stop - v->data) : v->len};
	size_t taken = piece.len + (stop != NULL);

	*v = view_make(v->data + taken, v->len - taken);
	return piece;
}
