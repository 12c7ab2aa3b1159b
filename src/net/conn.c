/* conn.c - one buffered connection: two queues, a stack of layers, a place in the wait set.
 *
 * On the data's way: between a connector (which peeks, takes and writes) and tls/tcp. Bytes are read
 * straight into the in queue, where the codec looks at them; they are never moved while it does.
 * Promises: calls look blocking, but bytes move on every connection of the wait set meanwhile; a
 * full in queue is left unread; trouble met while others waited is kept, and told only after the
 * bytes that came before it; every error names the connection and its side; no silence lasts longer
 * than timeout_ms.
 * Does not: understand a byte, retry, log. */
#include "net/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/queue.h"
#include "net/resolve.h"
#include "net/tcp.h"
#include "net/tls.h"

#define CONN_QUEUE_DEFAULT (256u << 10)
/* Queued output goes out at once from here on, without waiting for company. */
#define CONN_PUSH_AT (16u << 10)
/* To be woken for each piece of what comes in a stream costs both sides more than the piece: let as
 * much gather first, but not for long. */
#define CONN_STREAM_AT (4u << 10)
#define CONN_GATHER (32 << 10)
#define CONN_GATHER_MS 1

struct conn {
	struct waiter waiter; /* first: the callbacks cast */
	struct waitset *ws;
	struct layer *layer;
	struct conn_target target; /* its texts are ours */
	struct queue in;
	struct queue out;
	size_t seen; /* bytes of in that conn_peek has shown */
	struct conn_stats stats;
	bool encrypted;
	bool shaking; /* the TLS handshake owns the layer; nothing else moves */
	bool failed;  /* see trouble */
	struct err trouble;
	enum conn_end end;
	int64_t moved_in; /* clock_ms of the last byte each way */
	int64_t moved_out;
	bool streaming; /* much came when last something came, and nothing was asked since */
	size_t unsent;  /* what the kernel had still to send when last asked */
};

/* -- errors -- */

/* "HOST:PORT " before a predicate, and the side. A stop is nobody's fault and stays as it is. */
static int conn_name_error(const struct conn_target *t, struct err *e)
{
	if (!e || e->cause == CAUSE_STOPPED)
		return -1;
	struct err named = *e;
	bool six = strchr(t->host, ':');
	err_set(&named, e->cause, e->scope, "%s%s%s:%u %s", six ? "[" : "", t->host, six ? "]" : "",
	    t->port, e->text);
	named.next = e->next;
	named.wait_s = e->wait_s;
	named.side = t->side;
	memcpy(named.detail, e->detail, sizeof(named.detail));
	*e = named;
	return -1;
}

/* Keep the first trouble (E is a predicate): the calls of the owner will meet it. */
static void conn_keep_trouble(struct conn *c, struct err *e)
{
	if (c->failed)
		return;
	c->failed = true;
	c->end = CONN_BROKEN;
	conn_name_error(&c->target, e);
	c->trouble = *e;
}

static int conn_tell_trouble(const struct conn *c, struct err *e)
{
	if (e)
		*e = c->trouble;
	return -1;
}

static int conn_fail(struct conn *c, struct err *trouble, struct err *e)
{
	conn_keep_trouble(c, trouble);
	return conn_tell_trouble(c, e);
}

static void conn_hung_up(struct conn *c)
{
	struct err gone;
	err_set(&gone, CAUSE_CONNECT, ERR_LINK, "hung up");
	err_detail(&gone, "after %llu bytes received and %llu sent",
	    (unsigned long long)c->stats.bytes_in, (unsigned long long)c->stats.bytes_out);
	if (!c->failed) {
		conn_keep_trouble(c, &gone);
		c->end = CONN_HUNG_UP;
	}
}

static int conn_timed_out(struct conn *c, const char *what, struct err *e)
{
	struct err late;
	int seconds = (c->target.timeout_ms + 999) / 1000;
	err_set(&late, CAUSE_CONNECT, ERR_LINK, "%s for %d second%s", what, seconds,
	    seconds == 1 ? "" : "s");
	err_detail(&late, "after %llu bytes received and %llu sent, %zu more queued",
	    (unsigned long long)c->stats.bytes_in, (unsigned long long)c->stats.bytes_out,
	    queue_len(&c->out));
	conn_fail(c, &late, e);
	c->end = CONN_SILENT;
	return -1;
}

/* -- moving bytes; never blocks -- */

/* Layer to in queue, until either has had enough. */
static void conn_pull(struct conn *c)
{
	uint64_t before = c->stats.bytes_in;
	while (queue_room(&c->in) > 0) {
		struct err e;
		ptrdiff_t n =
		    c->layer->ops->read(c->layer, queue_tail(&c->in), queue_room(&c->in), &e);
		if (n == 0)
			conn_hung_up(c);
		else if (n == LAYER_FAILED)
			conn_keep_trouble(c, &e);
		if (n <= 0)
			return;
		queue_grown(&c->in, (size_t)n);
		c->stats.bytes_in += (uint64_t)n;
		c->streaming = c->stats.bytes_in - before >= CONN_STREAM_AT;
		c->moved_in = clock_ms();
	}
}

/* Out queue to layer. */
static void conn_push(struct conn *c)
{
	while (queue_len(&c->out) > 0 && !c->failed) {
		struct err e;
		struct view v = queue_view(&c->out);
		ptrdiff_t n = c->layer->ops->write(c->layer, v.data, v.len, &e);
		if (n == LAYER_FAILED) {
			conn_keep_trouble(c, &e);
			conn_pull(c); /* the peer's last words say why, as a rule */
		}
		if (n <= 0)
			return;
		c->stats.bytes_out += (uint64_t)n;
		c->moved_out = clock_ms();
		queue_take(&c->out, (size_t)n);
	}
}

/* -- in the wait set -- */

static int conn_fd(struct waiter *w)
{
	struct conn *c = (struct conn *)w;
	return c->layer->ops->fd(c->layer);
}

static short conn_wants(struct waiter *w)
{
	struct conn *c = (struct conn *)w;
	int wants = 0;
	if (c->failed)
		return 0;
	if (c->shaking || queue_room(&c->in) > 0)
		wants |= c->layer->ops->wants(c->layer, true);
	if (!c->shaking && queue_len(&c->out) > 0)
		wants |= c->layer->ops->wants(c->layer, false);
	return (short)wants;
}

static bool conn_pending(struct waiter *w)
{
	struct conn *c = (struct conn *)w;
	return !c->failed && !c->shaking && queue_room(&c->in) > 0 &&
	       c->layer->ops->pending(c->layer);
}

static void conn_ready(struct waiter *w, short revents)
{
	struct conn *c = (struct conn *)w;
	const int over = POLLERR | POLLHUP | POLLNVAL;
	if (c->failed || c->shaking)
		return;
	if (queue_len(&c->out) > 0 && revents & (c->layer->ops->wants(c->layer, false) | over))
		conn_push(c);
	if (c->failed)
		return;
	if (conn_pending(w) || revents & (c->layer->ops->wants(c->layer, true) | over))
		conn_pull(c);
}

/* -- opening and closing -- */

static void target_copy(struct conn_target *to, const struct conn_target *from)
{
	*to = *from;
	to->host = mem_strdup(from->host);
	to->ca_file = from->ca_file ? mem_strdup(from->ca_file) : NULL;
	to->in_max = from->in_max ? from->in_max : CONN_QUEUE_DEFAULT;
	to->out_max = from->out_max ? from->out_max : CONN_QUEUE_DEFAULT;
}

void conn_over(
    struct conn **out, struct waitset *ws, struct layer *layer, const struct conn_target *target)
{
	struct conn *c = NEW(struct conn);
	c->waiter = (struct waiter){
	    .fd = conn_fd, .wants = conn_wants, .ready = conn_ready, .pending = conn_pending};
	c->ws = ws;
	c->layer = layer;
	target_copy(&c->target, target);
	queue_init(&c->in, c->target.in_max);
	queue_init(&c->out, c->target.out_max);
	c->encrypted = target->tls == CONN_TLS_IMPLICIT;
	c->moved_in = c->moved_out = clock_ms();
	waitset_add(ws, &c->waiter);
	*out = c;
}

void conn_move(struct conn *c, struct waitset *ws)
{
	waitset_remove(c->ws, &c->waiter);
	c->ws = ws;
	waitset_add(ws, &c->waiter);
}

void conn_close(struct conn **conn)
{
	struct conn *c = *conn;
	if (!c)
		return;
	waitset_remove(c->ws, &c->waiter);
	if (c->layer)
		c->layer->ops->close(c->layer);
	if (c->out.data)
		explicit_bzero(c->out.data, c->out.size); /* passwords went through here */
	queue_free(&c->in);
	queue_free(&c->out);
	free((char *)c->target.host);
	free((char *)c->target.ca_file);
	free(c);
	*conn = NULL;
}

/* Until the handshake is done, or the deadline passes. */
static int conn_shake_hands(struct conn *c, struct err *e)
{
	struct err trouble;
	int64_t deadline = clock_ms() + c->target.timeout_ms;
	int done = tls_handshake(c->layer, &trouble);
	while (done == LAYER_AGAIN) {
		if (waitset_wait(c->ws, deadline, e) < 0)
			return -1;
		done = tls_handshake(c->layer, &trouble);
		if (done == LAYER_AGAIN && clock_ms() >= deadline)
			return conn_timed_out(c, "has not answered our TLS greeting", e);
	}
	if (done == LAYER_FAILED)
		return conn_fail(c, &trouble, e);
	return 0;
}

static int conn_start_tls(struct conn *c, bool upgrade, struct err *e)
{
	struct err trouble;
	struct tls_settings settings = {
	    .host = c->target.host,
	    .port = c->target.port,
	    .ca_file = c->target.ca_file,
	    .insecure = c->target.insecure,
	    .upgrade = upgrade,
	};
	struct layer *below = c->layer;
	c->shaking = true; /* also ends all use of a layer that is gone */
	c->layer = NULL;
	if (tls_over(&c->layer, below, &settings, &trouble))
		return conn_fail(c, &trouble, e);
	if (conn_shake_hands(c, e))
		return -1;
	c->shaking = false;
	c->encrypted = true;
	return 0;
}

static int conn_connect(
    struct layer **out, struct waitset *ws, const struct conn_target *target, struct err *e)
{
	struct address *list = NULL;
	size_t count = 0;
	int64_t deadline = clock_ms() + target->timeout_ms;
	if (resolve_host(&list, &count, ws, target->host, target->port, deadline, e)) {
		if (e && e->cause != CAUSE_STOPPED)
			e->side = target->side;
		return -1;
	}
	int failed = tcp_connect(out, ws, list, count, deadline, e);
	free(list);
	return failed ? conn_name_error(target, e) : 0;
}

int conn_open(
    struct conn **out, struct waitset *ws, const struct conn_target *target, struct err *e)
{
	struct layer *layer = NULL;
	if (conn_connect(&layer, ws, target, e))
		return -1;
	AUTO(conn_close) struct conn *c = NULL;
	conn_over(&c, ws, layer, target);
	c->encrypted = false;
	if (target->tls == CONN_TLS_IMPLICIT && conn_start_tls(c, false, e))
		return -1;
	*out = c;
	c = NULL;
	return 0;
}

/* A worse trouble than any hang-up that was noticed behind these bytes. */
static int conn_refuse_injection(struct conn *c, struct err *e)
{
	struct err trouble;
	err_set(&trouble, CAUSE_TLS, ERR_LINK,
	    "sent %zu bytes in clear text where TLS had to begin; somebody on the way may have "
	    "put them there",
	    queue_len(&c->in));
	trouble.next = ERR_GIVE_UP;
	c->failed = false;
	return conn_fail(c, &trouble, e);
}

int conn_starttls(struct conn *c, struct err *e)
{
	assert(!c->encrypted);
	if (queue_len(&c->in) > 0)
		return conn_refuse_injection(c, e);
	/* A server may have said its OK before it read the command. */
	if (conn_flush(c, e))
		return -1;
	if (queue_len(&c->in) > 0)
		return conn_refuse_injection(c, e);
	return conn_start_tls(c, true, e);
}

bool conn_is_encrypted(const struct conn *c)
{
	return c->encrypted;
}

/* -- reading -- */

struct view conn_peek(struct conn *c)
{
	c->seen = queue_len(&c->in);
	return queue_view(&c->in);
}

void conn_take(struct conn *c, size_t len)
{
	queue_take(&c->in, len);
	c->seen = c->seen > len ? c->seen - len : 0;
}

static bool conn_has_news(const struct conn *c)
{
	return queue_len(&c->in) > c->seen;
}

static int conn_overfull(struct conn *c, struct err *e)
{
	struct err trouble;
	err_set(&trouble, CAUSE_PROTOCOL, ERR_LINK,
	    "sent an answer that is longer than %zu bytes in one piece", c->in.size);
	return conn_fail(c, &trouble, e);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The owner begins to wait: what the kernel has still to send is the yardstick of conn_is_silent. */
static int64_t conn_begin_wait(struct conn *c)
{
	c->unsent = tcp_unsent(c->layer->ops->fd(c->layer));
	return clock_ms();
}

/* Nothing moved since LIFE, for timeout_ms. On a slow line the kernel may hold megabytes that the
 * server still has to get before it can answer: while these dwindle, it is not silent. */
static bool conn_is_silent(struct conn *c, int64_t life)
{
	if (clock_ms() < life + c->target.timeout_ms)
		return false;
	size_t before = c->unsent;
	c->unsent = tcp_unsent(c->layer->ops->fd(c->layer));
	if (c->unsent >= before)
		return true;
	c->moved_out = clock_ms();
	return false;
}

/* More of a stream is coming: wait until it is worth waking for. What it is too little for, the
 * caller waits for as ever. */
static int conn_gather(struct conn *c, struct err *e)
{
	int fd = c->layer->ops->fd(c->layer);
	int64_t until = clock_ms() + CONN_GATHER_MS;
	int moved = 1;
	tcp_wake_at(fd, CONN_GATHER);
	while (moved > 0 && !conn_has_news(c) && !c->failed && clock_ms() < until)
		moved = waitset_wait(c->ws, until, e);
	tcp_wake_at(fd, 1);
	return moved;
}

/* While output is on its way the server has nothing to answer yet: bytes either way are life. */
static int conn_wait_for_news(struct conn *c, struct err *e)
{
	int64_t life = conn_begin_wait(c);
	c->stats.waits++;
	if (c->streaming && conn_gather(c, e) < 0)
		return -1;
	while (!conn_has_news(c) && !c->failed) {
		if (waitset_wait(c->ws, life + c->target.timeout_ms, e) < 0)
			return -1;
		life = later(life, later(c->moved_in, c->moved_out));
		if (!conn_has_news(c) && !c->failed && conn_is_silent(c, life))
			return conn_timed_out(c, "has not answered", e);
	}
	return 0;
}

int conn_need(struct conn *c, struct err *e)
{
	if (conn_has_news(c))
		return 0;
	if (c->failed)
		return conn_tell_trouble(c, e);
	if (queue_room(&c->in) < c->in.size / 2)
		queue_compact(&c->in);
	if (queue_room(&c->in) == 0)
		return conn_overfull(c, e);
	if (waitset_pump(c->ws, e) < 0)
		return -1;
	if (!conn_has_news(c) && !c->failed && conn_wait_for_news(c, e))
		return -1;
	return conn_has_news(c) ? 0 : conn_tell_trouble(c, e);
}

/* -- writing -- */

/* Until at most LEFT bytes are queued. */
static int conn_drain(struct conn *c, size_t left, struct err *e)
{
	conn_push(c);
	if (queue_len(&c->out) <= left || c->failed)
		return conn_check(c, e);
	int64_t life = conn_begin_wait(c);
	while (queue_len(&c->out) > left && !c->failed) {
		if (waitset_wait(c->ws, life + c->target.timeout_ms, e) < 0)
			return -1;
		life = later(life, c->moved_out);
		if (queue_len(&c->out) > left && !c->failed && conn_is_silent(c, life))
			return conn_timed_out(c, "has taken none of our data", e);
	}
	return conn_check(c, e);
}

int conn_write(struct conn *c, struct view bytes, struct err *e)
{
	if (c->failed)
		return conn_tell_trouble(c, e);
	c->streaming = false; /* what is asked for now may be short */
	while (bytes.len > 0) {
		if (bytes.len > queue_room(&c->out))
			queue_compact(&c->out);
		size_t fits = queue_add(&c->out, bytes.data, bytes.len);
		bytes.data += fits;
		bytes.len -= fits;
		if (queue_len(&c->out) >= CONN_PUSH_AT)
			conn_push(c);
		if (bytes.len > 0 && conn_drain(c, c->out.size / 2, e))
			return -1;
	}
	return conn_check(c, e);
}

int conn_flush(struct conn *c, struct err *e)
{
	if (c->failed)
		return conn_tell_trouble(c, e);
	return conn_drain(c, 0, e);
}

int conn_check(struct conn *c, struct err *e)
{
	return c->failed ? conn_tell_trouble(c, e) : 0;
}

enum conn_end conn_end(const struct conn *c)
{
	return c->end;
}

struct conn_stats conn_stats(const struct conn *c)
{
	return c->stats;
}
