/* face.h - all that a command over two mailboxes shows: progress, notes, events, the report, errors. */
#pragma once

#include "cli/arguments.h"
#include "cli/events.h"
#include "cli/progress.h"
#include "cli/report_file.h"
#include "cli/tally.h"

struct face {
	const struct copy_arguments *args; /* borrowed */
	const char *command;               /* "copy" */
	struct buf rows;                   /* check: a line a folder, for the report */
	struct progress progress;
	struct copy_progress now; /* what was told last */
	struct pace pace;
	struct events events;
	struct tally tally;
	struct report_file file;
	bool moved;     /* now has changed since the last progress event */
	bool stop_said; /* the user was told that we are stopping */
};

/* Standard output and standard error are used. Shows nothing yet. */
void face_open(struct face *f, const struct copy_arguments *args);
/* For another command than copy; right behind face_open. */
void face_command(struct face *f, const char *command);
/* What was asked for is understood: the start event, and warnings about what was asked for. */
void face_begin(struct face *f);
/* What copy_run is to call; valid as long as F. */
struct copy_watcher face_watcher(struct face *f);
/* A sentence for the user. */
void face_note(struct face *f, const char *text);
/* Take the progress line away: somebody else is going to write on the terminal. */
void face_clear(struct face *f);
/* All is over: shows report, result and error (NULL = it ran to its end; SUMMARY NULL = it was
 * never begun). Returns the exit code (DESIGN §10). */
int face_finish(struct face *f, const struct copy_summary *summary, const struct err *e);
/* How a command other than copy ends. */
struct face_end {
	const void *summary; /* NULL = it was never begun */
	int code;            /* where it ran to its end */
	bool checked;        /* all that was asked for was looked at */
	json_t *(*json)(const void *summary);
	/* The report, for people. ENDED: it ran to its end. */
	void (*print)(struct buf *out, const struct face *f, const void *summary, bool ended);
};
int face_close(struct face *f, const struct face_end *end, const struct err *e);
void face_free(struct face *f);

/* The exit code alone. Pure. */
int face_exit_code(const struct copy_summary *summary, const struct err *e);
