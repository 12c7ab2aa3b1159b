/* flow.h - the engine: one pass over one mailbox pair (DESIGN §3). It sees connectors only through
 * connector.h and memory only through ledger.h. Runs in the worker. */
#pragma once

#include "connect/connector.h"
#include "ledger/ledger.h"
#include "model/exception.h"
#include "model/job.h"

#define KEPT_NAME 40u

struct flow_options {
	const struct endpoint *source, *destination;
	uint64_t max_size; /* bytes; 0 = the destination's limit */
	int settle_ms;     /* how long a destination may take to show a message after a lost link */
	bool retry_refused;
	bool repair;         /* what is refused is put in other bytes (repair.h) */
	bool all_namespaces; /* shared and other users' folders too */
	bool dry_run;        /* look and plan; change nothing at either end nor in the ledger */
	bool recreate;       /* destination folders that are missing are made again */
	bool rebuild;        /* recognise what is at both ends, copy nothing */
	enum deletions deletions;
	unsigned deletions_limit; /* percent of the mailbox's items */
	struct verify_options verify;
};

struct flow_watch {
	void (*progress)(void *arg, const struct copy_progress *p);
	void (*folder)(
	    void *arg, const char *source, const char *target, uint64_t items, uint64_t stored);
	void (*exception)(void *arg, const struct exception *x);
	void (*note)(void *arg, const char *text);
	/* a folder that was looked at (verify.h, survey.h); a copy tells none */
	void (*report)(
	    void *arg, const char *source, const char *target, const struct folder_report *r);
	void *arg;
};

struct flow_context {
	struct waitset *waits;
	struct store *store;
	const struct ledger_hook *hook; /* NULL = none */
	int (*secret)(
	    void *arg, enum err_side side, enum secret_need need, struct buf *out, struct err *e);
	void *secret_arg;
	const struct flow_watch *watch;
	struct record *record; /* of what passes on the wire; NULL = none */
	uint64_t stream_from;  /* bytes: items of this size travel as a stream; 0 = the usual */
	/* Keep the untouched bytes of a message that is repaired, durably; NAME (room for KEPT_NAME bytes)
	 * gets what they are called. NULL = they are not kept. */
	int (*keep)(void *arg, struct view original, char *name, struct err *e);
	void *keep_arg;
	/* For a source that is opened beside the destination: waits, secret_arg and watch->arg of its own.
	 * NULL = it is opened behind it. */
	const struct flow_context *opener;
	/* Of further lanes, each with all of the above of its own; what they call runs in their threads. */
	const struct flow_context *helpers;
	size_t helper_count;
	bool all_lanes; /* tests: helpers also where they do not pay */
};

/* One pass. 0 = it ran to its end, whatever exceptions there were (told to the watch, counted in
 * the summary); -1 = it did not. The summary is filled either way. */
int flow_copy(struct copy_summary *summary, const struct flow_options *options,
    const struct flow_context *context, struct err *e);
