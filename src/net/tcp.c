/* tcp.c - connecting by the happy eyeballs rules (RFC 8305) and moving bytes over the socket.
 *
 * On the data's way: the lowest pipe; above it stands tls or conn itself.
 * Promises: nothing here blocks but tcp_connect, which waits in the wait set; no SIGPIPE; small
 * writes leave at once (TCP_NODELAY) and what arrived is acknowledged at once (TCP_QUICKACK).
 * Does not: buffer, resolve names, or know how long silence may last. */
#include "net/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct tcp {
	struct layer layer; /* first: the callbacks cast */
	int fd;
	bool drained; /* the last read took all there was: see wants */
};

static int layer_failed(struct err *e, const char *what, int cause)
{
	err_set(e, CAUSE_CONNECT, ERR_LINK, "%s: %s", what, strerror(cause));
	return LAYER_FAILED;
}

static void socket_option(int fd, int level, int name, int value)
{
	/* What a socket does not have (a socketpair in tests), it does without. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static ptrdiff_t tcp_read(struct layer *l, void *out, size_t size, struct err *e)
{
	struct tcp *t = (struct tcp *)l;
	int fd = t->fd;
	if (t->drained)
		return LAYER_AGAIN;
	ssize_t n = recv(fd, out, size, 0);
	while (n < 0 && errno == EINTR)
		n = recv(fd, out, size, 0);
	if (n < 0)
		return errno == EAGAIN ? LAYER_AGAIN : layer_failed(e, "hung up", errno);
	/* Cyrus answers in two small writes under Nagle: the second waits for our acknowledgement,
	 * which the kernel would delay by 40 ms. It forgets this option again and again. */
	t->drained = n > 0 && (size_t)n < size;
	if (t->drained)
		socket_option(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	return n;
}

static ptrdiff_t tcp_write(struct layer *l, const void *data, size_t len, struct err *e)
{
	struct tcp *t = (struct tcp *)l;
	ssize_t n = send(t->fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR)
		n = send(t->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno == EAGAIN)
		return LAYER_AGAIN;
	t->drained = false; /* its last words may have come meanwhile */
	return layer_failed(e, "hung up", errno);
}

static short tcp_wants(struct layer *l, bool reading)
{
	if (reading)
		((struct tcp *)l)->drained = false;
	return reading ? POLLIN : POLLOUT;
}

static bool tcp_pending(struct layer *l)
{
	(void)l;
	return false;
}

static int tcp_fd(struct layer *l)
{
	return ((struct tcp *)l)->fd;
}

static void tcp_close(struct layer *l)
{
	close(((struct tcp *)l)->fd);
	free(l);
}

static const struct layer_ops tcp_ops = {
    .name = "tcp",
    .read = tcp_read,
    .write = tcp_write,
    .wants = tcp_wants,
    .pending = tcp_pending,
    .fd = tcp_fd,
    .close = tcp_close,
};

/* A peer that vanished is noticed after two minutes even by whoever only listens. */
static void socket_tune(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
	socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
	socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

void tcp_over(struct layer **out, int fd)
{
	struct tcp *t = NEW(struct tcp);
	t->layer.ops = &tcp_ops;
	t->fd = fd;
	socket_tune(fd);
	*out = &t->layer;
}

void tcp_wake_at(int fd, int bytes)
{
	socket_option(fd, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

size_t tcp_unsent(int fd)
{
	int unsent = 0;
	if (ioctl(fd, SIOCOUTQ, &unsent) || unsent < 0)
		return 0;
	return (size_t)unsent;
}

/* One address being tried. */
struct attempt {
	struct waiter waiter; /* first: the callbacks cast */
	const struct address *to;
	int fd;     /* -1 = not begun, or over */
	bool woken; /* the kernel has something to say */
	int trouble;
};

struct race {
	struct waitset *ws;
	struct attempt *attempts;
	size_t count;
	size_t begun;
	size_t running;
	int64_t next_start;
};

static int attempt_fd(struct waiter *w)
{
	return ((struct attempt *)w)->fd;
}

static short attempt_wants(struct waiter *w)
{
	return ((struct attempt *)w)->woken ? 0 : POLLOUT;
}

static void attempt_ready(struct waiter *w, short revents)
{
	(void)revents;
	((struct attempt *)w)->woken = true;
}

static void race_init(struct race *r, struct waitset *ws, const struct address *list, size_t count)
{
	*r = (struct race){.ws = ws, .count = count};
	r->attempts = mem_new(count, sizeof(*r->attempts));
	for (size_t i = 0; i < count; i++)
		r->attempts[i] = (struct attempt){
		    .waiter = {.fd = attempt_fd, .wants = attempt_wants, .ready = attempt_ready},
		    .to = &list[i],
		    .fd = -1,
		};
}

/* The attempt is over; its socket is the caller's. */
static int race_leave(struct race *r, struct attempt *a)
{
	int fd = a->fd;
	a->fd = -1;
	r->running--;
	waitset_remove(r->ws, &a->waiter);
	return fd;
}

static void race_end(struct race *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->attempts[i].fd >= 0)
			close(race_leave(r, &r->attempts[i]));
	free(r->attempts);
}

/* Start the next address; failures that show at once are only noted. */
static void race_start_next(struct race *r)
{
	struct attempt *a = &r->attempts[r->begun++];
	const struct sockaddr *to = (const struct sockaddr *)&a->to->addr;
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		a->trouble = errno;
		return;
	}
	if (connect(fd, to, a->to->len) && errno != EINPROGRESS && errno != EINTR) {
		a->trouble = errno;
		close(fd);
		return;
	}
	a->fd = fd;
	r->running++;
	r->next_start = clock_ms() + TCP_ATTEMPT_DELAY_MS;
	waitset_add(r->ws, &a->waiter);
}

/* Start what is due: one more each 250 ms, and while nothing runs. */
static void race_start(struct race *r)
{
	while (r->begun < r->count && (r->running == 0 || clock_ms() >= r->next_start))
		race_start_next(r);
}

/* The winner's socket, -1 = none yet. A failed attempt makes the next one due at once. */
static int race_look(struct race *r)
{
	for (size_t i = 0; i < r->begun; i++) {
		struct attempt *a = &r->attempts[i];
		socklen_t len = sizeof(a->trouble);
		if (a->fd < 0 || !a->woken)
			continue;
		if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &a->trouble, &len))
			a->trouble = errno;
		int fd = race_leave(r, a);
		if (!a->trouble)
			return fd;
		close(fd);
		r->next_start = 0;
	}
	return -1;
}

static int64_t race_deadline(const struct race *r, int64_t deadline)
{
	if (r->begun < r->count && (deadline < 0 || r->next_start < deadline))
		return r->next_start;
	return deadline;
}

/* "192.0.2.1: Connection refused; 2001:db8::1: no answer" */
static void race_describe(const struct race *r, struct err *e)
{
	AUTO(buf_free) struct buf said = BUF_INIT(2048);
	for (size_t i = 0; i < r->begun; i++) {
		const struct attempt *a = &r->attempts[i];
		char name[NI_MAXHOST] = "?";
		getnameinfo((const struct sockaddr *)&a->to->addr, a->to->len, name, sizeof(name),
		    NULL, 0, NI_NUMERICHOST);
		buf_printf(&said, "%s%s: %s", i ? "; " : "", name,
		    a->trouble ? strerror(a->trouble) : "no answer");
	}
	err_detail(e, "%s", said.len ? said.data : "no address");
}

static int race_lost(const struct race *r, bool late, struct err *e)
{
	int trouble = 0;
	for (size_t i = 0; i < r->begun; i++)
		trouble = r->attempts[i].trouble ? r->attempts[i].trouble : trouble;
	if (late || !trouble)
		err_set(e, CAUSE_CONNECT, ERR_LINK, "cannot be reached: no answer in time");
	else if (trouble == ECONNREFUSED)
		err_set(e, CAUSE_CONNECT, ERR_LINK, "refuses the connection: no server there");
	else
		err_set(e, CAUSE_CONNECT, ERR_LINK, "cannot be reached: %s", strerror(trouble));
	race_describe(r, e);
	return -1;
}

int tcp_connect(struct layer **out, struct waitset *ws, const struct address *list, size_t count,
    int64_t deadline, struct err *e)
{
	AUTO(race_end) struct race race;
	race_init(&race, ws, list, count);
	for (;;) {
		race_start(&race);
		if (race.running == 0)
			return race_lost(&race, false, e);
		if (waitset_wait(ws, race_deadline(&race, deadline), e) < 0)
			return -1;
		int fd = race_look(&race);
		if (fd >= 0) {
			tcp_over(out, fd);
			return 0;
		}
		if (deadline >= 0 && clock_ms() >= deadline)
			return race_lost(&race, true, e);
	}
}
