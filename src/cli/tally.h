/* tally.h - exceptions by cause: how many, and the first few of each. Bounded memory. */
#pragma once

#include "model/exception.h"

#define TALLY_SAMPLES 5

struct tally_group {
	uint64_t count;
	struct exception samples[TALLY_SAMPLES]; /* the first of them */
};

struct tally {
	struct tally_group groups[CAUSE_COUNT];
	struct arena arena; /* owns the samples' text */
};

void tally_add(struct tally *t, const struct exception *x);
void tally_free(struct tally *t);
