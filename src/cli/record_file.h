/* record_file.h - the flight recorder's file: its head and its end (the worker writes between them, see
 * connect/record.h). */
#pragma once

#include "cli/arguments.h"
#include "cli/jsonline.h"
#include "cli/tally.h"

/* Make args->record, readable by its owner only, with the head of a record; its descriptor becomes
 * args->options.record. A file that is there is never touched (cause usage). COMMAND as the user
 * says it: "copy". Without args->record nothing is done. */
int record_file_open(
    struct copy_arguments *args, enum job_kind job, const char *command, struct err *e);
/* How the command ended: its exit code, E's cause (NULL = none), counts. SUMMARY (may be NULL) is taken.
 * What cannot be written is missing. */
void record_file_end(const struct copy_arguments *args, int code, json_t *summary,
    const struct tally *tally, const struct err *e);
