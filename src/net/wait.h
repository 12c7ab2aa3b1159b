/* wait.h - the one place where a lane waits (DESIGN §6 "Waiting").
 *
 * One wait set per lane holds everything that can move bytes: both connections, the channel to the
 * controller, and the stop bell. Whoever waits, for anything, moves bytes on all of them, both ways,
 * each up to its own ceiling; so two peers that both want to write first cannot lock us up. */
#pragma once

#include <poll.h>

#include "base/error.h"

/* Something with a file descriptor that belongs to a wait set. Embedded in its owner. */
struct waiter {
	struct waiter *next; /* the wait set's */
	/* The descriptor to watch, -1 = none at the moment. */
	int (*fd)(struct waiter *w);
	/* POLLIN / POLLOUT it wants now; 0 = nothing (a full read buffer is left unread). */
	short (*wants)(struct waiter *w);
	/* Move bytes without blocking. Trouble is kept in the owner, who meets it at its next call. */
	void (*ready)(struct waiter *w, short revents);
	/* True when ready() can move bytes although the descriptor shows nothing (they wait inside
	 * TLS); nobody sleeps then. NULL = never. */
	bool (*pending)(struct waiter *w);
};

struct waitset;

/* STOP_FD becomes readable when this lane shall stop; -1 = never. Not owned, never read from. */
void waitset_new(struct waitset **ws, int stop_fd);
/* LET: from now on waitset_cancel(), and nothing else, may be called by another thread: every wait ends
 * as if the stop bell had rung. Not LET: that is over, and forgotten. */
void waitset_let_cancel(struct waitset *ws, bool let);
void waitset_cancel(struct waitset *ws);
/* All waiters must have been removed. */
void waitset_free(struct waitset **ws);
void waitset_add(struct waitset *ws, struct waiter *w);
void waitset_remove(struct waitset *ws, struct waiter *w);

/* Wait until at least one waiter could move bytes, or DEADLINE (clock_ms; -1 = none) passes, and
 * move what can be moved. 1 = something moved, 0 = the deadline passed, -1 = stop (err: stopped)
 * or poll failed. */
int waitset_wait(struct waitset *ws, int64_t deadline, struct err *e);
/* The same without waiting: moves what can be moved now. 1, 0 or -1 as above. */
int waitset_pump(struct waitset *ws, struct err *e);
/* Wait MS milliseconds, moving bytes meanwhile. 0, or -1 = stop. */
int waitset_sleep(struct waitset *ws, int64_t ms, struct err *e);
