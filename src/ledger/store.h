/* store.h - where the ledger's records lie: ordered keys and values, nothing else. Five slots, so
 * that SQLite, the controller over a channel, and later PostgreSQL can all be it. All meaning is in
 * ledger.c; a store only keeps.
 *
 * Promises of every store: writes become durable in the order written; a crash keeps a prefix of
 * the batches, each whole or not at all; a read sees all writes made before it through the same
 * handle, durable or not. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/pack.h"

#define STORE_KEY_MAX 1024u /* bytes of one key; at least 1 */
#define STORE_VALUE_MAX 65536u
#define STORE_BATCH_MAX (2u << 20) /* bytes of one packed batch */

/* A batch under construction: puts and deletes, applied together, in order. */
struct store_batch {
	struct buf ops; /* packed: u8 op, view key, [view value] ... */
	size_t count;
};

void store_batch_init(struct store_batch *b);
void store_batch_free(struct store_batch *b);
void store_batch_clear(struct store_batch *b);
/* -1 = the batch is full: write it and go on with an empty one (keys and values above their
 * ceilings are our bug: asserted). */
int store_batch_put(struct store_batch *b, struct view key, struct view value);
int store_batch_delete(struct store_batch *b, struct view key);

/* Walk a packed batch (from the other process: not trusted). 1 = *key and *value are the next
 * (value.data NULL = delete; an empty value has data), 0 = end, -1 = malformed. */
int store_batch_next(struct unpack *u, struct view *key, struct view *value);

struct store_row {
	struct view key, value;
};

/* Called for each row in key order; views are valid during the call, and value.data is never NULL.
 * 0 = go on, 1 = enough: the call ends well, -1 = it ends with this error (the store stays sound).
 * It must not call the store that calls it, nor receive from its channel: asserted. */
typedef int store_take(void *arg, const struct store_row *row, struct err *e);

struct store {
	const struct store_ops *ops;
};

struct store_ops {
	/* Apply a batch after all earlier ones. It may become durable any time later. */
	int (*write)(struct store *s, const struct store_batch *b, struct err *e);
	/* All batches written so far shall become durable soon: *ticket names that instant. Returns
	 * at once (SQLite: when they are); wait() with a ticket returns when it is so. Tickets
	 * ascend. */
	int (*barrier)(struct store *s, uint64_t *ticket, struct err *e);
	int (*wait)(struct store *s, uint64_t ticket, struct err *e);
	/* Rows whose keys begin with PREFIX and are greater than AFTER (empty = from the start), at
	 * most LIMIT (0 = all). */
	int (*scan)(struct store *s, struct view prefix, struct view after, size_t limit,
	    store_take *take, void *arg, struct err *e);
	/* Rows of COUNT keys: take is called for those that exist, in the order asked. */
	int (*get)(struct store *s, const struct view *keys, size_t count, store_take *take,
	    void *arg, struct err *e);
	/* Takes NULL. What was written and has no barrier may be kept or lost. */
	void (*close)(struct store **s);
};

/* ---- SQLite: one file DIR/ledger.db ---- */

/* Makes DIR (mode 0700) where missing, and nothing in it. */
int store_sqlite_make_dir(const char *dir, struct err *e);
/* Makes DIR (mode 0700) where missing. Several processes may have it open (write-ahead log).
 * Errors: cause state, scope run: not a directory, not ours (another version: names both), not
 * writable, full; cause damaged: corrupt. */
int store_sqlite_open(struct store **s, const char *dir, struct err *e);
/* Move DIR's damaged file away, to a name of its own, which OUT gets. Nobody may have it open. */
int store_sqlite_set_aside(const char *dir, char *out, size_t size, struct err *e);
/* All that is written from here to the next barrier is one transaction, done or not done, however
 * large; other processes wait so long. */
int store_sqlite_hold(struct store *s, struct err *e);

/* ---- remote: the same calls over a channel to the controller ---- */

struct channel;

/* Frame types on the channel that belong to the store (fleet/protocol.h has the others). */
enum store_frame {
	STORE_WRITE = 1, /* → packed batch */
	STORE_BARRIER,   /* → u64 ticket */
	STORE_DURABLE,   /* ← u64 ticket: all tickets up to it */
	STORE_SCAN,      /* → u32 request, view prefix, view after, u32 limit */
	STORE_GET,       /* → u32 request, keys as views */
	STORE_ROWS,   /* ← u32 request, u8 more, (view key, view value) ...; more: the frame was
	                  *   full, ask again for what comes behind its last row */
	STORE_FAILED, /* ← u8 cause, text: the store is broken; nothing more will be durable */
	STORE_FRAME_LAST = 15,
};

/* The worker's side. The channel is borrowed and shared with the lane's other frames: a frame that
 * is not the store's and arrives while we wait is given to OTHER (NULL = a fault). */
int store_remote_open(struct store **s, struct channel *ch,
    int (*other)(void *arg, uint8_t type, struct view payload, struct err *e), void *arg,
    struct err *e);
/* The other way round: a frame of type < STORE_FRAME_LAST that the lane met while it waited for one
 * of its own. -1 = the store is broken. */
int store_remote_frame(struct store *s, uint8_t type, struct view payload, struct err *e);

/* The controller's side: serve one frame of type < STORE_FRAME_LAST that came from the worker.
 * Writes are gathered; store_server_commit makes all of them durable and answers the barriers, so
 * that several workers share one commit. Malformed frames: err bug, scope run: cut the worker off.
 * When the store behind fails, the worker is told (STORE_FAILED) and the error returned. One frame
 * is answered by at most one, so a worker that does not read cannot fill the controller. BEHIND and
 * CH are borrowed. */
struct store_server;
void store_server_new(struct store_server **sv, struct store *behind, struct channel *ch);
void store_server_free(struct store_server **sv);
int store_server_frame(struct store_server *sv, uint8_t type, struct view payload, struct err *e);
bool store_server_waiting(const struct store_server *sv); /* is a barrier unanswered? */
int store_server_commit(struct store_server *sv, struct err *e);
