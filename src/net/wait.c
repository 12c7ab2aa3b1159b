/* wait.c - poll(2) over everything a lane can move bytes on.
 *
 * On the data's way: beneath every call of net/ that waits. It moves no byte itself; it finds out who
 * can, and lets them (waiter.ready).
 * Promises: the stop bell wins over everything and goes on ringing; who wants nothing is not
 * watched, so a hung-up peer whose buffer is full costs no busy loop; a waiter with bytes inside
 * (pending) is never slept over.
 * Does not: time the single connection (its owner does, by deadline), nor read the bell. */
#include "net/wait.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BELLS 2

struct waitset {
	struct waiter *first;
	size_t count;
	int bells[BELLS];   /* the stop bell, and one that waitset_cancel() rings */
	bool moving;        /* ready() is running: it must not wait itself */
	struct pollfd *fds; /* the bells, then one for each waiter, in list order */
	size_t size;
};

void waitset_new(struct waitset **ws, int stop_fd)
{
	struct waitset *new = NEW(struct waitset);
	new->bells[0] = stop_fd;
	new->bells[1] = -1;
	new->size = 8;
	new->fds = mem_new(new->size, sizeof(*new->fds));
	*ws = new;
}

void waitset_let_cancel(struct waitset *ws, bool let)
{
	if (ws->bells[1] >= 0)
		close(ws->bells[1]);
	ws->bells[1] = let ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
}

void waitset_cancel(struct waitset *ws)
{
	eventfd_write(ws->bells[1], 1);
}

void waitset_free(struct waitset **ws)
{
	if (!*ws)
		return;
	assert(!(*ws)->first);
	waitset_let_cancel(*ws, false);
	free((*ws)->fds);
	free(*ws);
	*ws = NULL;
}

void waitset_add(struct waitset *ws, struct waiter *w)
{
	assert(w->fd && w->wants && w->ready && !ws->moving);
	w->next = ws->first;
	ws->first = w;
	ws->count++;
	if (ws->count + BELLS > ws->size) {
		ws->size *= 2;
		ws->fds = mem_grow(ws->fds, ws->size, sizeof(*ws->fds));
	}
}

void waitset_remove(struct waitset *ws, struct waiter *w)
{
	assert(!ws->moving);
	struct waiter **at = &ws->first;
	while (*at && *at != w)
		at = &(*at)->next;
	assert(*at == w);
	*at = w->next;
	w->next = NULL;
	ws->count--;
}

static bool waiter_is_pending(struct waiter *w)
{
	return w->pending && w->pending(w);
}

/* Ask everybody what they want; true = somebody need not wait for a descriptor. */
static bool waitset_ask(struct waitset *ws)
{
	bool pending = false;
	struct pollfd *p = ws->fds;
	for (size_t i = 0; i < BELLS; i++)
		*p++ = (struct pollfd){.fd = ws->bells[i], .events = POLLIN};
	for (struct waiter *w = ws->first; w; w = w->next) {
		short wants = w->wants(w);
		*p++ = (struct pollfd){.fd = wants ? w->fd(w) : -1, .events = wants};
		pending = pending || waiter_is_pending(w);
	}
	return pending;
}

/* Milliseconds until DEADLINE, as poll wants them. */
static int poll_timeout(int64_t deadline)
{
	if (deadline < 0)
		return -1;
	int64_t left = deadline - clock_ms();
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static int waitset_poll(struct waitset *ws, int64_t deadline, struct err *e)
{
	bool pending = waitset_ask(ws);
	int n = poll(ws->fds, ws->count + BELLS, pending ? 0 : poll_timeout(deadline));
	while (n < 0 && errno == EINTR)
		n = poll(ws->fds, ws->count + BELLS, pending ? 0 : poll_timeout(deadline));
	if (n >= 0)
		return 0;
	int cause = errno;
	err_set(e, CAUSE_BUG, ERR_RUN, "waiting for the network failed");
	err_detail(e, "poll: %s", strerror(cause));
	return -1;
}

static int waitset_move(struct waitset *ws)
{
	int moved = 0;
	const struct pollfd *p = ws->fds + BELLS;
	ws->moving = true;
	for (struct waiter *w = ws->first; w; w = w->next, p++) {
		if (!p->revents && !waiter_is_pending(w))
			continue;
		w->ready(w, p->revents);
		moved = 1;
	}
	ws->moving = false;
	return moved;
}

int waitset_wait(struct waitset *ws, int64_t deadline, struct err *e)
{
	assert(!ws->moving);
	if (waitset_poll(ws, deadline, e))
		return -1;
	if (ws->fds[0].revents || ws->fds[1].revents)
		return err_stopped(e);
	return waitset_move(ws);
}

int waitset_pump(struct waitset *ws, struct err *e)
{
	return waitset_wait(ws, 0, e);
}

int waitset_sleep(struct waitset *ws, int64_t ms, struct err *e)
{
	int64_t deadline = clock_ms() + ms;
	for (;;) {
		int moved = waitset_wait(ws, deadline, e);
		if (moved <= 0)
			return moved;
		if (clock_ms() >= deadline)
			return 0;
	}
}
