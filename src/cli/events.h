/* events.h - what happens, as JSON lines for programs (docs/events.md is the contract). */
#pragma once

#include "cli/jsonline.h"
#include "cli/pace.h"
#include "cli/tally.h"

struct events {
	int fd;
	bool broken;         /* nobody reads any more */
	int64_t progress_ms; /* when the last progress was written, 0 = never */
};

void events_start(
    struct events *ev, const char *command, const struct copy_options *options, bool insecure);
void events_folder(
    struct events *ev, const char *source, const char *target, uint64_t items, uint64_t stored);
void events_exception(struct events *ev, const struct exception *x);
void events_note(struct events *ev, const char *text);
/* Written at most once a second; the others in between are dropped. Returns
 * whether it was written. */
bool events_progress(struct events *ev, const struct copy_progress *now, const struct pace *pace);
/* verify and check: a folder is finished. */
void events_report(
    struct events *ev, const char *source, const char *target, const struct folder_report *r);
json_t *events_copy_summary(const struct copy_summary *s);
json_t *events_causes(const struct tally *t);
json_t *events_verify_summary(const struct verify_summary *s);
json_t *events_survey_summary(const struct survey_summary *s);
/* The last line. SUMMARY NULL: the pass was never begun. E NULL: it ran to its end. */
void events_result(struct events *ev, int code, const struct copy_summary *summary,
    const struct tally *tally, const struct err *e);
/* The same with a SUMMARY of another command; PLAN of a dry run, or NULL. References are taken. */
void events_end(struct events *ev, int code, bool checked, json_t *summary, json_t *plan,
    const struct tally *tally, const struct err *e);
