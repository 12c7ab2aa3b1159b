/* events.h - what happens, as JSON lines for programs (docs/events.md is the contract). */
#pragma once

#include "cli/pace.h"
#include "cli/tally.h"

struct events {
	int fd;
	bool broken;         /* nobody reads any more */
	int64_t progress_ms; /* when the last progress was written, 0 = never */
};

void events_start(struct events *ev, const struct copy_options *options, bool insecure);
void events_folder(
    struct events *ev, const char *source, const char *target, uint64_t items, uint64_t stored);
void events_exception(struct events *ev, const struct exception *x);
void events_note(struct events *ev, const char *text);
/* Written at most once a second; the others in between are dropped. Returns
 * whether it was written. */
bool events_progress(struct events *ev, const struct copy_progress *now, const struct pace *pace);
/* The last line. SUMMARY NULL: the pass was never begun. E NULL: it ran to its end. */
void events_result(struct events *ev, int code, const struct copy_summary *summary,
    const struct tally *tally, const struct err *e);
