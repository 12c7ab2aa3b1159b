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

/* The exceptions in groups by cause, under these headings. Returns how many there are. */
uint64_t report_print_groups(
    struct buf *out, const struct tally *t, const char *serious_heading, const char *notes_heading);
/* Where they stand as JSON lines (FILE, NULL = nowhere). */
void report_print_file(struct buf *out, const char *file);
/* "12,345 messages", in the plural where it is due. */
void report_add_count(struct buf *out, uint64_t n, const char *noun);
/* Add the text to OUT. "Checked" is said only where the summary says so. Pure. */
void report_print(struct buf *out, const struct report *r);
