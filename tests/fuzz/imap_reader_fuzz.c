/* imap_reader_fuzz.c - any bytes as a server's: whatever they are, the reader's events must be the
 * same however they are cut, its memory stays below its ceiling, and it reads nothing that was not
 * given (reader_events.c checks the latter two at every call).
 *
 * The input is what the server sends and nothing else, so that a transcript is a seed and a crash
 * is a transcript; the cuts come from a hash of it. */
#include "fuzz.h"
#include "transcripts/reader_events.h"

enum { OUT_MAX = 1 << 24 };

struct cutter {
	struct dice dice;
	size_t most; /* longest piece */
};

static size_t cut_by_dice(void *arg, struct view left)
{
	struct cutter *c = arg;

	return dice_cut(&c->dice, &left, c->most).len;
}

static void events(struct buf *out, size_t line_max, struct view input, struct cutter *cutter)
{
	const char *broken = NULL;

	if (reader_events(out, line_max, input, cutter ? cut_by_dice : NULL, cutter, &broken) < 0) {
		fprintf(stderr, "broken promise: %s\n", broken);
		abort();
	}
}

static void check(struct view input, size_t line_max)
{
	static const size_t mosts[] = {1, 3, 40};
	AUTO(buf_free) struct buf whole = BUF_INIT(OUT_MAX);

	events(&whole, line_max, input, NULL);
	for (size_t i = 0; i < COUNT_OF(mosts); i++) {
		AUTO(buf_free) struct buf cut = BUF_INIT(OUT_MAX);
		struct cutter cutter = {.dice = dice_of(input), .most = mosts[i]};
		events(&cut, line_max, input, &cutter);
		if (view_eq(buf_view(&cut), buf_view(&whole)))
			continue;
		fprintf(stderr, "whole:\n%s\ncut (pieces of at most %zu):\n%s\n",
		    whole.data ? whole.data : "", mosts[i], cut.data ? cut.data : "");
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(view_make(data, size), 65536);
	check(view_make(data, size), 100);
	return 0;
}
