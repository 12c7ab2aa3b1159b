/* resolve.c - names to addresses without blocking the lane.
 *
 * On the data's way: the first step of conn_open. getaddrinfo blocks and knows no deadline, so a
 * detached thread asks it and rings an eventfd that the lane watches in its wait set.
 * Promises: stop and deadline are obeyed at once; a late thread is left to itself and frees the job,
 * whoever lets go of it last does; address literals never start a thread.
 * Does not: cache, retry, or sort beyond alternating families (getaddrinfo has sorted by RFC 6724).
 * This is the one place of net/ where threads meet: all that both touch is struct job, under its
 * lock. */
#include "net/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"

/* One question. Both sides hold a reference; the last one frees it. */
struct job {
	pthread_mutex_t lock;
	int refs;
	bool done;
	int code; /* of getaddrinfo, valid when done; likewise the rest */
	int sys_errno;
	struct addrinfo *list;
	/* Written before the thread starts, then only read. */
	resolve_ask *ask;
	char *host;
	char service[8];
	int bell; /* eventfd */
};

/* The lane's eye on the bell. */
struct watch {
	struct waiter waiter; /* first: the callbacks cast */
	int fd;
};

static const struct addrinfo name_hints = {
    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
static const struct addrinfo literal_hints = {.ai_family = AF_UNSPEC,
    .ai_socktype = SOCK_STREAM,
    .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};

static int watch_fd(struct waiter *w)
{
	return ((struct watch *)w)->fd;
}

static short watch_wants(struct waiter *w)
{
	(void)w;
	return POLLIN;
}

static void watch_ready(struct waiter *w, short revents)
{
	(void)w;
	(void)revents;
}

static struct job *job_new(resolve_ask *ask, const char *host, const char *service)
{
	struct job *job = NEW(struct job);
	pthread_mutex_init(&job->lock, NULL);
	job->refs = 1;
	job->ask = ask;
	job->host = mem_strdup(host);
	snprintf(job->service, sizeof(job->service), "%s", service);
	job->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return job;
}

static void job_drop(struct job **job)
{
	if (!*job)
		return;
	pthread_mutex_lock(&(*job)->lock);
	bool last = --(*job)->refs == 0;
	pthread_mutex_unlock(&(*job)->lock);
	if (last) {
		if ((*job)->list)
			freeaddrinfo((*job)->list);
		if ((*job)->bell >= 0)
			close((*job)->bell);
		pthread_mutex_destroy(&(*job)->lock);
		free((*job)->host);
		free(*job);
	}
	*job = NULL;
}

static void *job_run(void *arg)
{
	struct job *job = arg;
	struct addrinfo *list = NULL;
	int code = job->ask(job->host, job->service, &name_hints, &list);
	int sys_errno = errno;

	pthread_mutex_lock(&job->lock);
	job->code = code;
	job->sys_errno = sys_errno;
	job->list = list;
	job->done = true;
	pthread_mutex_unlock(&job->lock);
	uint64_t one = 1;
	ssize_t rung = write(job->bell, &one, sizeof(one));
	assert(rung == sizeof(one));
	(void)rung;
	job_drop(&job);
	return NULL;
}

static bool job_is_done(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	bool done = job->done;
	pthread_mutex_unlock(&job->lock);
	return done;
}

/* All signals stay with the program's own threads. */
static int job_start(struct job *job)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;

	if (job->bell < 0)
		return errno;
	job->refs++; /* the thread's; nobody else knows the job yet */
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&thread, &attr, job_run, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (failed)
		job->refs--;
	return failed;
}

/* 1 = done, 0 = the deadline passed, -1 = stop. */
static int job_wait(struct job *job, struct waitset *ws, int64_t deadline, struct err *e)
{
	struct watch watch = {
	    .waiter = {.fd = watch_fd, .wants = watch_wants, .ready = watch_ready},
	    .fd = job->bell,
	};
	int moved = 1;

	waitset_add(ws, &watch.waiter);
	while (moved > 0 && !job_is_done(job)) {
		moved = waitset_wait(ws, deadline, e);
		if (moved > 0 && deadline >= 0 && !job_is_done(job) && clock_ms() >= deadline)
			moved = 0;
	}
	waitset_remove(ws, &watch.waiter);
	return moved;
}

static int resolve_failed(int code, int sys_errno, const char *host, struct err *e)
{
	if (code == EAI_AGAIN || code == EAI_MEMORY || code == EAI_SYSTEM) {
		err_set(e, CAUSE_CONNECT, ERR_LINK,
		    "the name service gives no answer about %s; try again later", host);
	} else {
		err_set(e, CAUSE_CONNECT, ERR_LINK,
		    "there is no address for the host name %s; look at its spelling", host);
		if (e)
			e->next = ERR_GIVE_UP;
	}
	err_detail(e, "%s", code == EAI_SYSTEM ? strerror(sys_errno) : gai_strerror(code));
	return -1;
}

/* The next address of FAMILY (or, with OTHERS, of all but that) from AT on. */
static const struct addrinfo *next_of(const struct addrinfo *at, int family, bool others)
{
	while (at && (at->ai_family == family) == others)
		at = at->ai_next;
	return at;
}

static void address_add(struct address *list, size_t *count, const struct addrinfo *from)
{
	struct address *to = &list[*count];
	if (from->ai_addrlen > sizeof(to->addr))
		return;
	memcpy(&to->addr, from->ai_addr, from->ai_addrlen);
	to->len = from->ai_addrlen;
	(*count)++;
}

/* Alternate: one IPv6, one other, and so on, each in the order given (RFC 8305 §4). */
static size_t addresses_from(struct address **out, const struct addrinfo *given)
{
	size_t count = 0, room = 0;
	for (const struct addrinfo *a = given; a; a = a->ai_next)
		room++;
	struct address *list = mem_new(room, sizeof(*list));
	const struct addrinfo *six = next_of(given, AF_INET6, false);
	const struct addrinfo *rest = next_of(given, AF_INET6, true);
	while (six || rest) {
		if (six) {
			address_add(list, &count, six);
			six = next_of(six->ai_next, AF_INET6, false);
		}
		if (rest) {
			address_add(list, &count, rest);
			rest = next_of(rest->ai_next, AF_INET6, true);
		}
	}
	*out = list;
	return count;
}

/* 1 = HOST is an address and *out is filled, 0 = it is a name. */
static int resolve_literal(
    struct address **out, size_t *count, const char *host, const char *service)
{
	struct addrinfo *list = NULL;
	if (getaddrinfo(host, service, &literal_hints, &list))
		return 0;
	*count = addresses_from(out, list);
	freeaddrinfo(list);
	return 1;
}

/* "localhost" is this machine whatever a resolver says, or where there is none (RFC 6761 §6.3).
 * 1 = HOST is that and *out is filled, 0 = it is another name. */
static int resolve_localhost(
    struct address **out, size_t *count, const char *host, const char *service)
{
	struct address *six = NULL, *four = NULL;
	size_t sixes = 0, fours = 0;
	if (ascii_cmp_nocase(host, "localhost") ||
	    !resolve_literal(&four, &fours, "127.0.0.1", service))
		return 0;
	if (resolve_literal(&six, &sixes, "::1", service)) {
		four = mem_grow(four, fours + sixes, sizeof(*four));
		memmove(four + sixes, four, fours * sizeof(*four));
		memcpy(four, six, sixes * sizeof(*four));
		free(six);
	}
	*out = four;
	*count = fours + sixes;
	return 1;
}

int resolve_host_by(resolve_ask *ask, struct address **out, size_t *count, struct waitset *ws,
    const char *host, uint16_t port, int64_t deadline, struct err *e)
{
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	if (resolve_literal(out, count, host, service) ||
	    resolve_localhost(out, count, host, service))
		return 0;

	AUTO(job_drop) struct job *job = job_new(ask, host, service);
	int failed = job_start(job);
	if (failed)
		return resolve_failed(EAI_SYSTEM, failed, host, e);
	int done = job_wait(job, ws, deadline, e);
	if (done < 0)
		return -1;
	if (done == 0)
		return resolve_failed(EAI_AGAIN, 0, host, e);
	/* The thread is through with these, and job_is_done was the fence. */
	if (job->code)
		return resolve_failed(job->code, job->sys_errno, host, e);
	*count = addresses_from(out, job->list);
	return 0;
}

int resolve_host(struct address **out, size_t *count, struct waitset *ws, const char *host,
    uint16_t port, int64_t deadline, struct err *e)
{
	return resolve_host_by(getaddrinfo, out, count, ws, host, port, deadline, e);
}
