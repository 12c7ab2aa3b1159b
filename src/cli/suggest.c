/* suggest.c - finds the word a mistyped one was meant to be (Damerau-Levenshtein, the restricted
 * form). Used by the option and command tables. Does not: guess from afar. */
#include "cli/suggest.h"

#include <string.h>

#define WORD_MAX 40

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned low = a < b ? a : b;

	return low < c ? low : c;
}

unsigned suggest_distance(const char *a, const char *b)
{
	unsigned cost[WORD_MAX + 1][WORD_MAX + 1];
	size_t rows = strlen(a), columns = strlen(b);

	if (rows > WORD_MAX || columns > WORD_MAX)
		return 99;
	for (size_t i = 0; i <= rows; i++) {
		for (size_t j = 0; j <= columns; j++) {
			if (!i || !j) {
				cost[i][j] = (unsigned)(i + j);
				continue;
			}
			cost[i][j] = least(cost[i - 1][j] + 1, cost[i][j - 1] + 1,
			    cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    cost[i - 2][j - 2] + 1 < cost[i][j])
				cost[i][j] = cost[i - 2][j - 2] + 1;
		}
	}
	return cost[rows][columns];
}

const char *suggest_name(const char *word, const void *names, size_t count, size_t stride)
{
	size_t len = strlen(word);
	unsigned best = len < 3 ? 1 : (unsigned)(len / 3);
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		const char *name = *(const char *const *)((const char *)names + i * stride);
		unsigned far = suggest_distance(word, name);
		if (len >= 3 && !strncmp(word, name, len) && far > 1)
			far = 1;
		if (far > best || (found && far == best))
			continue;
		best = far;
		found = name;
	}
	return found;
}
