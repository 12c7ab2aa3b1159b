/* fleet.h - running a job over two mailboxes: a controller (this process) and one worker (forked). The
 * controller owns the store and the lock and never parses a byte from a mail server. */
#pragma once

#include "base/error.h"
#include "model/endpoint.h"
#include "model/exception.h"
#include "model/job.h"

#define LANES_MAX 16

struct copy_options {
	struct endpoint source, destination;
	const char *state_dir; /* made where missing; verify and check have none */
	uint64_t max_size;     /* bytes; 0 = the destination's limit */
	int settle_ms; /* how long a destination may take to show a message after a lost link */
	bool retry_refused;
	bool repair; /* what is refused is put in other bytes */
	const char *
	    keep_originals; /* directory for their untouched bytes, made where missing; NULL = none */
	bool all_namespaces; /* shared and other users' folders too */
	bool dry_run;        /* look and tell, change nothing */
	bool recreate;       /* destination folders that are missing are made again */
	bool rebuild;        /* fill a lost ledger from both mailboxes, copy nothing */
	enum deletions deletions;
	unsigned deletions_limit; /* percent */
	struct verify_options verify;
	unsigned lanes; /* most connections to each side at once; at least 1 */
	int record;     /* file the flight recorder writes to (connect/record.h); -1 = none */
};

/* Secrets stay with the controller; it is asked when a session logs in. Adds the secret to OUT. */
struct secret_source {
	int (*get)(void *arg, enum err_side side, bool was_refused, struct buf *out, struct err *e);
	void *arg;
};

/* Told while it runs; called in the controller, never concurrently. All slots are required. */
struct copy_watcher {
	void (*progress)(void *arg, const struct copy_progress *p); /* often */
	void (*folder)(void *arg, const char *source, const char *target, uint64_t items,
	    uint64_t stored); /* a folder is finished */
	void (*exception)(void *arg, const struct exception *x);
	void (*note)(void *arg, const char *text); /* a sentence: waiting, reconnecting ... */
	void (*report)(void *arg, const char *source, const char *target,
	    const struct folder_report *r); /* verify and check: a folder is finished */
	void (*tick)(void *arg);            /* some ten times a second, also when nothing happens */
	void *arg;
};

/* Run one pass. 0 = it ran to the end (see summary and exceptions), -1 = it did not: *e says why;
 * the summary then holds what was done so far. STOP_FD readable = stop in order (signals). */
int copy_run(struct copy_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e);
/* Compare both sides without any state: reads and locks nothing here, changes nothing there. 0 = all
 * was compared, whatever was found. */
int verify_run(struct verify_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e);
/* Look at both sides and say what a copy would meet; likewise. */
int survey_run(struct survey_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e);
