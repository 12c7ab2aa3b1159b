/* look_report.h - the reports of the commands that only look: verify and check. Pure. */
#pragma once

#include "cli/face.h"

/* The exit codes where all was looked at. EXACT: what the destination has besides, and what its server
 * altered, counts as a difference too. */
int verify_exit_code(const struct verify_summary *s, bool exact);
int check_exit_code(const struct survey_summary *s);

/* As struct face_end wants them; SUMMARY is a struct verify_summary, a struct survey_summary. */
void verify_report_print(struct buf *out, const struct face *f, const void *summary, bool ended);
void check_report_print(struct buf *out, const struct face *f, const void *summary, bool ended);
/* A folder's line of check's table. */
void check_report_row(
    struct buf *out, const char *source, const char *target, const struct survey_folder *f);
