/* summary.h - how far a copy is, and what came of it. Filled by the engine in the worker, shown by
 * the program; travels between them as plain memory (the same program on both ends). */
#pragma once

#include "base/base.h"

/* What becomes of the copies of what was deleted at the source. */
enum deletions { DELETIONS_KEEP, DELETIONS_MIRROR };

enum copy_phase { COPY_CONNECTING, COPY_LISTING, COPY_COPYING, COPY_CHECKING, COPY_DONE };

/* Where the copy stands. What is done only grows; a total may shrink when a folder is done again. */
struct copy_progress {
	enum copy_phase phase;
	char folder[200]; /* display name of the folder at work */
	uint64_t folders_done, folders_total;
	uint64_t items_done, items_total; /* of this pass: stored, of those known to be copied */
	uint64_t bytes_done, bytes_total;
};

struct copy_summary {
	uint64_t folders; /* looked at */
	uint64_t folders_made;
	uint64_t folders_renamed; /* at the destination, as they were at the source */
	uint64_t folders_failed;  /* listed as exceptions */
	uint64_t items_at_source;
	uint64_t items_stored; /* in this pass */
	uint64_t bytes_stored;
	uint64_t items_before;   /* were already there, from earlier passes */
	uint64_t items_repaired; /* of items_stored: in other bytes, each told as an exception */
	uint64_t items_resolved; /* of items_stored: found at the destination after a doubt */
	uint64_t items_found;    /* at the destination before us, recognised in this pass */
	uint64_t items_moved;    /* within the destination, as they were at the source */
	uint64_t items_gone;     /* found deleted at the source in this pass */
	uint64_t items_removed;  /* of those: removed at the destination */
	bool deletions_held;     /* more had gone than the limit allows: nothing was removed */
	uint64_t items_left; /* left alone, because the destination's user moved or deleted them */
	uint64_t marks;      /* items whose flags were changed */
	/* what would be done, nothing of it was */
	bool dry_run;
	uint64_t planned_items, planned_bytes, planned_marks, planned_moves, planned_removals,
	    planned_folders;
	uint64_t items_checked; /* of items_stored: seen at the destination afterwards */
	uint64_t not_copied; /* exceptions with exit 1 about items, standing (also old refusals) */
	uint64_t notes;      /* exceptions with exit 0 */
	uint64_t reconnects;
	uint64_t elapsed_ms;
	uint64_t source_bytes_in, source_waits, destination_bytes_out, destination_waits;
	bool checked; /* every item stored in this pass was seen at the destination */
	char source_software[100], destination_software[100];
};
