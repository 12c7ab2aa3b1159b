/* arguments.h - what a user asked of `godwit copy`, `verify` or `check`, checked and completed. */
#pragma once

#include "cli/secrets.h"
#include "fleet/fleet.h"

enum output_form { OUTPUT_TEXT, OUTPUT_JSON };

struct copy_arguments {
	/* as given */
	struct secret_origin source_secret, destination_secret;
	const char *ca_file, *source_ca_file, *destination_ca_file;
	const char *state_dir, *report, *record, *keep_originals;
	uint64_t max_size;
	int timeout_ms, settle_ms;
	int output;    /* enum output_form */
	int namespace; /* 0 personal, 1 all */
	int deletions; /* enum deletions */
	int deletions_limit;
	int lanes;
	bool insecure, retry_refused, repair, recreate, dry_run, debug, quiet, help;
	uint64_t sample, seed; /* verify */
	bool digest, exact;    /* verify */
	/* made of it */
	struct copy_options options; /* text in the arena, or borrowed from argv */
};

/* Read ARGV (COUNT words behind "copy"). -1: cause usage; output and quiet are right also then.
 * With --help nothing else is checked. */
int arguments_parse(
    struct copy_arguments *args, struct arena *a, int count, char *const *argv, struct err *e);
/* The same for another command. Verify and check take no state. */
int arguments_parse_job(struct copy_arguments *args, enum job_kind job, struct arena *a, int count,
    char *const *argv, struct err *e);
/* The options that are not as by default and no text, one a line: "option --timeout 5.000". No path, no
 * name and no secret is among them. */
void arguments_tell(struct buf *out, const struct copy_arguments *args, enum job_kind job);
/* The options' long names, for those who check documentation: the Nth, NULL beyond the last. */
const char *arguments_option(size_t n);
const char *arguments_job_option(enum job_kind job, size_t n);
/* The state directory: GIVEN, or the default; in A. */
int arguments_state_dir(const char **out, const char *given, struct arena *a, struct err *e);
