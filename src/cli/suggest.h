/* suggest.h - "did you mean ...?" Pure. */
#pragma once

#include "base/base.h"

/* Number of insertions, deletions, replacements and swaps of neighbours that make A into B;
 * at most 99, also for what is too long to be compared. */
unsigned suggest_distance(const char *a, const char *b);
/* The name that WORD was probably meant to be, NULL = none is near. NAMES has COUNT entries of
 * STRIDE bytes, each beginning with a const char * (so any table with the name first will do). */
const char *suggest_name(const char *word, const void *names, size_t count, size_t stride);
