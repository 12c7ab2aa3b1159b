/* report.h - the report at the end, for people. */
#pragma once

#include "cli/tally.h"
#include "fleet/fleet.h"

struct report {
	const struct copy_options *options;
	const struct copy_summary *summary;
	const struct tally *tally;
	bool ended;       /* the pass ran to its end */
	const char *file; /* where all exceptions are, NULL = nowhere */
};

/* Add the text to OUT. "Checked" is said only where the summary says so. Pure. */
void report_print(struct buf *out, const struct report *r);
