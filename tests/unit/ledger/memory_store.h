/* memory_store.h - the store's failing twin: records in memory, on a "disk" that outlives the
 * handle, and can fail at call N or lose what was not yet durable.
 *
 * A walk over every step of a ledger:
 *
 *     memory_disk_new(&d);
 *     for (n = 1;; n++) {
 *             d->fail_at = n;
 *             run(memory_store_open(d));           // every call from the n-th on fails
 *             if (d->calls < n) break;             // it came to its end: all steps were tried
 *             memory_disk_crash(d, k);             // the power goes: keeps what is durable, and
 *             run(memory_store_open(d));           // K of the memory_disk_pending(d) batches
 *             compare; memory_disk_clear(d);
 *     }
 *
 * As in the real thing a barrier makes nothing durable: only wait() does. Who does not wait and
 * goes on loses with memory_disk_crash(d, 0). */
#pragma once

#include "ledger/store.h"

enum memory_failure {
	MEMORY_BEFORE, /* the call that fails does nothing */
	MEMORY_AFTER,  /* it does its work, and the answer is lost */
};

struct memory_disk {
	uint64_t calls;   /* of write, barrier, wait, scan, get since the last crash or clear */
	uint64_t fail_at; /* the number of the first call that fails (1 = the next one); 0 = none */
	enum memory_failure how;
	bool down; /* it failed, so all fail; a crash mends it */

	struct memory_cell *cells; /* in key order: as the handle sees it */
	size_t count, size;
	struct buf *log; /* every batch written, in order */
	size_t written, durable, log_size;
};

void memory_disk_new(struct memory_disk **d);
void memory_disk_free(struct memory_disk **d);
/* Forget everything: as new. */
void memory_disk_clear(struct memory_disk *d);
/* An equal disk, to try several endings from one state. */
void memory_disk_copy(struct memory_disk **d, const struct memory_disk *from);
/* Batches written and not durable. */
size_t memory_disk_pending(const struct memory_disk *d);
/* Keep what is durable and the first KEEP batches behind it (SIZE_MAX = all); works again, with
 * fail_at 0. Open handles must be closed or not used any more. */
void memory_disk_crash(struct memory_disk *d, size_t keep);
/* Do both hold the same records? */
bool memory_disk_equal(const struct memory_disk *a, const struct memory_disk *b);

/* The disk is borrowed. Several handles may share it. */
void memory_store_open(struct store **s, struct memory_disk *d);
