/* repair_probe.c - the repair room as a program, for judge.py: a message in, what it became out.
 *
 *     repair_probe mend < message > mended    3: there is no mended form; what was done goes to stderr
 *     repair_probe wrap < message > letter
 *     repair_probe many                       as mend, again and again: length as a line, message; the
 *                                             answer likewise, length -1 = none */
#include "repair/repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX (64u << 20)

static void put(struct view v)
{
	if (v.len)
		fwrite(v.data, 1, v.len, stdout);
}

static int run_one(const char *what)
{
	struct buf in AUTO(buf_free) = BUF_INIT(MAX);
	struct buf out AUTO(buf_free) = BUF_INIT(2 * MAX);
	char piece[65536], text[REPAIR_TEXT] = "";
	unsigned changes = 0;
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0)
		if (buf_add(&in, piece, n))
			return 2;
	if (!strcmp(what, "wrap")) {
		if (repair_wrap(buf_view(&in), 1500000000, &out))
			return 2;
	} else if (repair_mend(buf_view(&in), &out, &changes)) {
		return 3;
	}
	repair_describe(text, changes);
	fputs(text, stderr);
	put(buf_view(&out));
	return 0;
}

static int run_many(void)
{
	size_t len;

	while (scanf("%zu", &len) == 1 && getchar() == '\n' && len < MAX) {
		struct buf out AUTO(buf_free) = BUF_INIT(2 * len + 65536);
		char *in = mem_new(len, 1); /* its very size, for the address sanitizer */
		unsigned changes;
		bool mended = fread(in, 1, len, stdin) == len &&
			      !repair_mend(view_make(in, len), &out, &changes);

		free(in);
		printf("%d\n", mended ? (int)out.len : -1);
		put(mended ? buf_view(&out) : (struct view){0});
		fflush(stdout);
	}
	return 0;
}

int main(int count, char **words)
{
	if (count != 2)
		return 2;
	return !strcmp(words[1], "many") ? run_many() : run_one(words[1]);
}
