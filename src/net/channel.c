/* channel.c - frames over the socketpair between a worker and its controller.
 *
 * On the data's way: receipts and intents of a lane go to the store this way, and its answers come
 * back. Beneath it only a socket; it is a waiter of the lane's wait set like the connections.
 * Promises: frames arrive whole and in order or not at all; a frame beyond the bound, or a frame cut
 * off, ends the channel for good; frames sent before the other side went are still delivered.
 * Does not: look into a payload, time out (both processes watch each other by the socket). */
#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/pack.h"
#include "net/queue.h"

#define FRAME_HEAD 5u /* u32 length, u8 type */
/* Beside one longest frame, so that small ones need not wait for a big one. */
#define CHANNEL_SLACK (256u << 10)
/* Frames go out at once from here on, without waiting for company. */
#define CHANNEL_PUSH_AT (64u << 10)
#define CHANNEL_QUEUE (CHANNEL_FRAME_MAX + FRAME_HEAD + CHANNEL_SLACK)

struct channel {
	struct waiter waiter; /* first: the callbacks cast */
	struct waitset *ws;
	int fd;
	struct queue in;
	struct queue out;
	size_t lent; /* bytes at the start of in that the caller is looking at */
	bool failed;
	struct err trouble;
};

static int channel_tell_trouble(const struct channel *ch, struct err *e)
{
	if (e)
		*e = ch->trouble;
	return -1;
}

static void channel_gone(struct channel *ch, const char *why)
{
	if (ch->failed)
		return;
	ch->failed = true;
	err_set(&ch->trouble, CAUSE_STOPPED, ERR_RUN, "the other process has gone");
	ch->trouble.next = ERR_STOPPED;
	err_detail(&ch->trouble, "%s", why);
}

static void channel_pull(struct channel *ch)
{
	while (queue_room(&ch->in) > 0 && !ch->failed) {
		size_t room = queue_room(&ch->in);
		ssize_t n = recv(ch->fd, queue_tail(&ch->in), room, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			channel_gone(ch, n ? strerror(errno) : "end of stream");
			return;
		}
		queue_grown(&ch->in, (size_t)n);
		if ((size_t)n < room)
			return;
	}
}

static void channel_push(struct channel *ch)
{
	while (queue_len(&ch->out) > 0 && !ch->failed) {
		struct view v = queue_view(&ch->out);
		ssize_t n = send(ch->fd, v.data, v.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			int cause = errno;
			channel_pull(ch); /* what it said before it went */
			channel_gone(ch, strerror(cause));
			return;
		}
		queue_take(&ch->out, (size_t)n);
	}
}

static int channel_fd(struct waiter *w)
{
	return ((struct channel *)w)->fd;
}

static short channel_wants(struct waiter *w)
{
	const struct channel *ch = (struct channel *)w;
	if (ch->failed)
		return 0;
	return (short)((queue_room(&ch->in) > 0 ? POLLIN : 0) |
		       (queue_len(&ch->out) > 0 ? POLLOUT : 0));
}

static void channel_ready(struct waiter *w, short revents)
{
	struct channel *ch = (struct channel *)w;
	const short over = POLLERR | POLLHUP | POLLNVAL;
	if (revents & (POLLOUT | over))
		channel_push(ch);
	if (revents & (POLLIN | over))
		channel_pull(ch);
}

void channel_new(struct channel **out, int fd, struct waitset *ws)
{
	struct channel *ch = NEW(struct channel);
	ch->waiter =
	    (struct waiter){.fd = channel_fd, .wants = channel_wants, .ready = channel_ready};
	ch->ws = ws;
	ch->fd = fd;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	queue_init(&ch->in, CHANNEL_QUEUE);
	queue_init(&ch->out, CHANNEL_QUEUE);
	waitset_add(ws, &ch->waiter);
	*out = ch;
}

void channel_free(struct channel **channel)
{
	struct channel *ch = *channel;
	if (!ch)
		return;
	waitset_remove(ch->ws, &ch->waiter);
	close(ch->fd);
	queue_free(&ch->in);
	queue_free(&ch->out);
	free(ch);
	*channel = NULL;
}

/* Wait until at most LEFT bytes are queued. */
static int channel_drain(struct channel *ch, size_t left, struct err *e)
{
	channel_push(ch);
	while (queue_len(&ch->out) > left && !ch->failed)
		if (waitset_wait(ch->ws, -1, e) < 0)
			return -1;
	return ch->failed ? channel_tell_trouble(ch, e) : 0;
}

static void channel_add(struct channel *ch, uint8_t type, struct view payload)
{
	AUTO(buf_free) struct buf head = BUF_INIT(FRAME_HEAD);
	pack_u32(&head, (uint32_t)payload.len);
	pack_u8(&head, type);
	queue_add(&ch->out, head.data, head.len);
	queue_add(&ch->out, payload.data, payload.len);
}

int channel_send(struct channel *ch, uint8_t type, struct view payload, struct err *e)
{
	if (ch->failed)
		return channel_tell_trouble(ch, e);
	if (payload.len > CHANNEL_FRAME_MAX)
		return err_set(e, CAUSE_BUG, ERR_RUN,
		    "a message of %zu bytes between two processes is too long", payload.len);
	size_t whole = FRAME_HEAD + payload.len;
	if (queue_len(&ch->out) > ch->out.size - whole && channel_drain(ch, CHANNEL_SLACK, e))
		return -1;
	if (queue_room(&ch->out) < whole)
		queue_compact(&ch->out);
	channel_add(ch, type, payload);
	if (queue_len(&ch->out) >= CHANNEL_PUSH_AT)
		channel_push(ch);
	return 0;
}

/* 1 = the frame at the start of the queue is whole, 0 = not yet, -1 = it breaks the bound. */
static int channel_parse(struct channel *ch, uint8_t *type, struct view *payload, struct err *e)
{
	struct view v = queue_view(&ch->in);
	if (v.len < FRAME_HEAD)
		return 0;
	struct unpack u = unpack_start(v);
	uint32_t len = unpack_u32(&u);
	uint8_t kind = unpack_u8(&u);
	if (len > CHANNEL_FRAME_MAX) {
		ch->failed = true;
		err_set(&ch->trouble, CAUSE_BUG, ERR_RUN,
		    "the other process sent a message of %u bytes, which is too long", len);
		return channel_tell_trouble(ch, e);
	}
	if (v.len - FRAME_HEAD < len)
		return 0;
	*type = kind;
	*payload = view_make(v.data + FRAME_HEAD, len);
	ch->lent = FRAME_HEAD + len;
	return 1;
}

/* As channel_try, without reading the socket. */
static int channel_next(struct channel *ch, uint8_t *type, struct view *payload, struct err *e)
{
	int found = channel_parse(ch, type, payload, e);
	if (found == 0 && ch->failed)
		return channel_tell_trouble(ch, e);
	return found;
}

/* Room for the rest of the longest frame behind what is there. */
static void channel_make_room(struct channel *ch)
{
	if (ch->in.start > CHANNEL_SLACK)
		queue_compact(&ch->in);
}

int channel_came(struct channel *ch, uint8_t *type, struct view *payload, struct err *e)
{
	queue_take(&ch->in, ch->lent);
	ch->lent = 0;
	int found = channel_next(ch, type, payload, e);
	if (!found)
		channel_make_room(ch);
	return found;
}

int channel_try(struct channel *ch, uint8_t *type, struct view *payload, struct err *e)
{
	struct err ignored; /* it may have said more before it went */
	int found = channel_came(ch, type, payload, &ignored);
	if (found > 0)
		return found;
	channel_pull(ch);
	return channel_next(ch, type, payload, e);
}

int channel_recv(struct channel *ch, uint8_t *type, struct view *payload, struct err *e)
{
	int found = channel_try(ch, type, payload, e);
	while (found == 0) {
		if (waitset_wait(ch->ws, -1, e) < 0)
			return -1;
		found = channel_next(ch, type, payload, e);
	}
	return found < 0 ? -1 : 0;
}

int channel_flush(struct channel *ch, struct err *e)
{
	return channel_drain(ch, 0, e);
}
