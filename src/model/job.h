/* job.h - what a worker can be asked to do besides copying, and what comes of it. Filled by the engine
 * in the worker, shown by the program; travels between them as plain memory, like summary.h. */
#pragma once

#include "model/summary.h"

enum job_kind { JOB_COPY, JOB_VERIFY, JOB_CHECK };

/* ---- verify ---- */

struct verify_options {
	bool digest;     /* read every message at both sides */
	uint64_t sample; /* else this many of each folder; 0 = none */
	uint64_t seed;   /* chooses them */
};

/* Two folders compared, or all of them. A message with several differences counts in each. */
struct verdict {
	uint64_t source_items, target_items;
	uint64_t same;    /* pairs without any difference */
	uint64_t missing; /* at the destination */
	uint64_t extra;   /* only at the destination */
	uint64_t flags, dates, sizes, bytes;
	uint64_t altered;    /* only in what servers are known to change while storing */
	uint64_t unread;     /* could not be read, so not compared */
	uint64_t read_whole; /* pairs of which every byte was compared */
};

struct verify_summary {
	uint64_t folders;         /* compared */
	uint64_t folders_missing; /* at the destination */
	uint64_t folders_extra;   /* only at the destination */
	uint64_t folders_failed;  /* could not be opened or listed */
	struct verdict all;
	uint64_t seed; /* of the sample, 0 = there was none */
	uint64_t reconnects, elapsed_ms;
	char source_software[100], destination_software[100];
};

/* ---- check ---- */

/* A source folder, and where it would go. */
struct survey_folder {
	uint64_t items, bytes;
	uint64_t target_items, target_bytes; /* there already */
	bool there;                          /* the destination has it */
	uint64_t too_big;
};

enum survey_keywords { SURVEY_KEYWORDS_UNKNOWN, SURVEY_KEYWORDS_TAKEN, SURVEY_KEYWORDS_REFUSED };

struct survey_summary {
	uint64_t folders, folders_there, folders_refused, folders_failed;
	uint64_t items, bytes;
	uint64_t target_items, target_bytes; /* in the folders they would go to */
	uint64_t too_big, bad_dates, with_keywords;
	uint64_t renamed;
	uint64_t max_size; /* the limit that counts, bytes; 0 = none was told */
	bool limit_told;   /* the destination tells a limit of its own */
	bool quota_told, quota_short;
	uint64_t quota_free;             /* bytes */
	uint64_t needed, needed_at_most; /* bytes to come, by what is there already */
	enum survey_keywords keywords;
	uint64_t probe_bytes, probe_ms; /* messages of the source read; 0 bytes = none */
	uint64_t source_round_ms, destination_round_ms; /* round trips */
	uint64_t reconnects, elapsed_ms;
	char source_software[100], destination_software[100];
};

struct job_summary {
	struct copy_summary copy;
	struct verify_summary verify;
	struct survey_summary survey;
};

/* What is told of one folder when it is done. */
struct folder_report {
	enum job_kind kind; /* which of the two counts */
	struct verdict verdict;
	struct survey_folder survey;
};
