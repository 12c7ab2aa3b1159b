/* tally.c - keeps count of exceptions by cause and the first few of each, for the report at the
 * end. Does not: keep them all (that is what --report is for). */
#include "cli/tally.h"

#include <string.h>

#define SAMPLE_TEXT 500 /* bytes of any text kept */

static const char *keep(struct arena *a, const char *text)
{
	return arena_text(a, view_make(text, strnlen(text, SAMPLE_TEXT)));
}

void tally_add(struct tally *t, const struct exception *x)
{
	struct tally_group *group = &t->groups[x->cause];

	if (group->count < TALLY_SAMPLES)
		group->samples[group->count] = (struct exception){.cause = x->cause,
		    .folder = keep(&t->arena, x->folder),
		    .target = keep(&t->arena, x->target),
		    .id = keep(&t->arena, x->id),
		    .msgid = keep(&t->arena, x->msgid),
		    .reason = keep(&t->arena, x->reason)};
	group->count++;
}

void tally_free(struct tally *t)
{
	arena_free(&t->arena);
	*t = (struct tally){0};
}
