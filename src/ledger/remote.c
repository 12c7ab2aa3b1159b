/* remote.c - the store over a channel: the worker's side asks, the controller's side serves.
 *
 * On the data's way: between ledger.c in a worker and the real store in its controller. Writes and
 * barriers only travel forth, so the next window's intent is on its way while this one is on the
 * wire; a read is asked a frame at a time, and goes on behind the last row it got.
 * Promises: order is the channel's order, so a read sees the writes before it and a barrier
 * covers them; neither side holds more than one frame of rows; the server believes nothing that a
 * worker sends; once either side says the store is broken, every call fails with that error.
 * Does not: reconnect (a worker without controller ends), nor commit by itself: when, and for
 * how many workers at once, is the controller's choice. */
#include "ledger/store.h"

#include <stdlib.h>
#include <string.h>

#include "net/channel.h"

#define ROWS_MAX (256u << 10) /* bytes of rows in one frame; one row more always fits */
#define ROW_MAX (STORE_KEY_MAX + STORE_VALUE_MAX + 16u)
#define KEYS_MAX (256u << 10) /* bytes of keys in one get frame */
#define SLICE 64              /* keys the server looks up at a time */

/* ---- the worker's side ---- */

struct remote_store {
	struct store base;
	struct channel *ch;
	int (*other)(void *arg, uint8_t type, struct view payload, struct err *e);
	void *other_arg;
	uint64_t asked, durable; /* tickets */
	uint32_t request;        /* number of the last scan or get */
	uint32_t stale;          /* requests given up (stop bell): their rows will still come */
	bool taking;             /* a take or other callback runs */
	bool broken;
	struct err error; /* when broken */
	struct buf frame; /* under construction */
	struct buf after; /* key of the last row of a scan */
};

static const struct store_ops remote_ops;

static struct remote_store *remote_of(struct store *s)
{
	assert(s->ops == &remote_ops);
	return (struct remote_store *)s;
}

/* What broke it is in s->error. */
static int remote_broken(struct remote_store *s, struct err *e)
{
	s->broken = true;
	if (e)
		*e = s->error;
	return -1;
}

static int remote_fault(struct remote_store *s, const char *what, struct err *e)
{
	err_set(&s->error, CAUSE_BUG, ERR_RUN, "the controller's store answered wrongly: %s", what);
	return remote_broken(s, e);
}

static int remote_sound(struct remote_store *s, struct err *e)
{
	assert(!s->taking);
	return s->broken ? remote_broken(s, e) : 0;
}

/* A frame that was not queued would leave a hole before the next: nothing follows it. */
static int remote_send(struct remote_store *s, uint8_t type, struct view payload, struct err *e)
{
	return channel_send(s->ch, type, payload, &s->error) ? remote_broken(s, e) : 0;
}

static int frame_durable(struct remote_store *s, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	uint64_t ticket = unpack_u64(&u);

	if (unpack_done(&u) || ticket < s->durable || ticket > s->asked)
		return remote_fault(s, "a ticket that was never given", e);
	s->durable = ticket;
	return 0;
}

static int frame_failed(struct remote_store *s, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	uint8_t cause = unpack_u8(&u);
	struct view text = unpack_view(&u);

	if (unpack_done(&u) || cause == CAUSE_NONE || cause >= CAUSE_COUNT ||
	    text.len >= sizeof(s->error.text))
		return remote_fault(s, "a malformed failure", e);
	err_set(&s->error, (enum cause)cause, ERR_RUN, "%.*s", (int)text.len, text.data);
	return remote_broken(s, e);
}

int store_remote_frame(struct store *store, uint8_t type, struct view payload, struct err *e)
{
	struct remote_store *s = remote_of(store);

	if (s->broken)
		return remote_broken(s, e);
	if (type == STORE_ROWS && s->stale) {
		s->stale--;
		return 0;
	}
	if (type == STORE_DURABLE)
		return frame_durable(s, payload, e);
	if (type == STORE_FAILED)
		return frame_failed(s, payload, e);
	return remote_fault(s, "a frame nobody asked for", e);
}

static int frame_other(struct remote_store *s, uint8_t type, struct view payload, struct err *e)
{
	int answer;

	if (!s->other)
		return remote_fault(s, "a frame that is not the store's", e);
	s->taking = true;
	answer = s->other(s->other_arg, type, payload, e);
	s->taking = false;
	return answer;
}

/* Receive one frame. 1 = it holds rows, *payload; 0 = it was another and is dealt with. A wait that
 * is cut short (the stop bell) breaks nothing. */
static int remote_receive(struct remote_store *s, struct view *payload, struct err *e)
{
	uint8_t type;

	if (channel_recv(s->ch, &type, payload, e))
		return -1;
	if (type == STORE_ROWS && !s->stale)
		return 1;
	if (type == 0 || type >= STORE_FRAME_LAST)
		return frame_other(s, type, *payload, e);
	return store_remote_frame(&s->base, type, *payload, e);
}

static int remote_write(struct store *store, const struct store_batch *b, struct err *e)
{
	struct remote_store *s = remote_of(store);

	if (remote_sound(s, e))
		return -1;
	return b->ops.len ? remote_send(s, STORE_WRITE, buf_view(&b->ops), e) : 0;
}

static int remote_barrier(struct store *store, uint64_t *ticket, struct err *e)
{
	struct remote_store *s = remote_of(store);

	if (remote_sound(s, e))
		return -1;
	buf_clear(&s->frame);
	pack_u64(&s->frame, s->asked + 1);
	if (remote_send(s, STORE_BARRIER, buf_view(&s->frame), e))
		return -1;
	*ticket = ++s->asked;
	return 0;
}

static int remote_wait(struct store *store, uint64_t ticket, struct err *e)
{
	struct remote_store *s = remote_of(store);
	struct view payload;
	int got;

	assert(ticket <= s->asked);
	if (remote_sound(s, e))
		return -1;
	while (s->durable < ticket) {
		got = remote_receive(s, &payload, e);
		if (got > 0)
			return remote_fault(s, "rows nobody asked for", e);
		if (got < 0)
			return -1;
	}
	return 0;
}

/* Send the request in s->frame and wait for its rows: *u stands at the first. */
static int rows_ask(
    struct remote_store *s, uint8_t type, struct unpack *u, bool *more, struct err *e)
{
	struct view payload;
	int got = 0;
	uint8_t flag;

	if (remote_send(s, type, buf_view(&s->frame), e))
		return -1;
	while (!got)
		got = remote_receive(s, &payload, e);
	if (got < 0) {
		s->stale++;
		return -1;
	}
	*u = unpack_start(payload);
	if (unpack_u32(u) != s->request)
		return remote_fault(s, "rows of another request", e);
	flag = unpack_u8(u);
	if (u->bad || flag > 1 || (flag && !unpack_more(u)))
		return remote_fault(s, "malformed rows", e);
	*more = flag;
	return 0;
}

/* 1 = *row is the next, 0 = end of the frame. */
static int rows_next(struct remote_store *s, struct unpack *u, struct store_row *row, struct err *e)
{
	if (!unpack_more(u))
		return 0;
	row->key = unpack_view(u);
	row->value = unpack_view(u);
	if (u->bad || !row->key.len || row->key.len > STORE_KEY_MAX ||
	    row->value.len > STORE_VALUE_MAX)
		return remote_fault(s, "malformed rows", e);
	return 1;
}

static int rows_give(
    struct remote_store *s, const struct store_row *row, store_take *take, void *arg, struct err *e)
{
	int answer;

	s->taking = true;
	answer = take(arg, row, e);
	s->taking = false;
	return answer;
}

/* A read in progress. */
struct remote_read {
	struct view prefix;      /* scan */
	size_t limit, got;       /* scan: 0 = all; rows so far */
	const struct view *keys; /* get */
	size_t count, at;        /* get: keys asked so far are those below at */
	size_t sent;             /* get: end of the keys in this request */
	store_take *take;
	void *arg;
};

static uint32_t scan_left(const struct remote_read *r)
{
	size_t left = r->limit - r->got;

	if (!r->limit)
		return 0;
	return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

static void scan_request(struct remote_store *s, const struct remote_read *r)
{
	buf_clear(&s->frame);
	pack_u32(&s->frame, ++s->request);
	pack_view(&s->frame, r->prefix);
	pack_view(&s->frame, buf_view(&s->after));
	pack_u32(&s->frame, scan_left(r));
}

static bool scan_fits(const struct remote_store *s, const struct remote_read *r, struct view key)
{
	return key.len >= r->prefix.len && view_eq(view_make(key.data, r->prefix.len), r->prefix) &&
	       view_cmp(key, buf_view(&s->after)) > 0 && (!r->limit || r->got < r->limit);
}

/* Give the rows of one frame. 1 = enough. */
static int scan_frame(
    struct remote_store *s, struct remote_read *r, struct unpack *u, struct err *e)
{
	struct store_row row;
	int answer = 0, got = 0;

	while (!answer && (got = rows_next(s, u, &row, e)) > 0) {
		if (!scan_fits(s, r, row.key))
			return remote_fault(s, "a row that was not asked for", e);
		buf_clear(&s->after);
		buf_add_view(&s->after, row.key);
		r->got++;
		answer = rows_give(s, &row, r->take, r->arg, e);
	}
	return got < 0 ? -1 : answer;
}

static int remote_scan(struct store *store, struct view prefix, struct view after, size_t limit,
    store_take *take, void *arg, struct err *e)
{
	struct remote_store *s = remote_of(store);
	struct remote_read r = {.prefix = prefix, .limit = limit, .take = take, .arg = arg};
	struct unpack u;
	bool more = true;
	int answer = 0;

	assert(prefix.len <= STORE_KEY_MAX && after.len <= STORE_KEY_MAX);
	if (remote_sound(s, e))
		return -1;
	buf_clear(&s->after);
	buf_add_view(&s->after, after);
	while (more && !answer && (!limit || r.got < limit)) {
		scan_request(s, &r);
		if (rows_ask(s, STORE_SCAN, &u, &more, e))
			return -1;
		answer = scan_frame(s, &r, &u, e);
	}
	return answer < 0 ? -1 : 0;
}

static void get_request(struct remote_store *s, struct remote_read *r)
{
	buf_clear(&s->frame);
	pack_u32(&s->frame, ++s->request);
	for (r->sent = r->at; r->sent < r->count && s->frame.len < KEYS_MAX; r->sent++)
		pack_view(&s->frame, r->keys[r->sent]);
}

/* Rows come in the order asked, with gaps: move to the key of this one. */
static bool get_fits(struct remote_read *r, struct view key)
{
	while (r->at < r->sent && !view_eq(r->keys[r->at], key))
		r->at++;
	return r->at++ < r->sent;
}

static int get_frame(struct remote_store *s, struct remote_read *r, struct unpack *u, struct err *e)
{
	struct store_row row;
	int answer = 0, got = 0;

	while (!answer && (got = rows_next(s, u, &row, e)) > 0) {
		if (!get_fits(r, row.key))
			return remote_fault(s, "a row that was not asked for", e);
		answer = rows_give(s, &row, r->take, r->arg, e);
	}
	return got < 0 ? -1 : answer;
}

static int remote_get(struct store *store, const struct view *keys, size_t count, store_take *take,
    void *arg, struct err *e)
{
	struct remote_store *s = remote_of(store);
	struct remote_read r = {.keys = keys, .count = count, .take = take, .arg = arg};
	struct unpack u;
	bool more;
	int answer = 0;

	if (remote_sound(s, e))
		return -1;
	while (!answer && r.at < count) {
		get_request(s, &r);
		if (rows_ask(s, STORE_GET, &u, &more, e))
			return -1;
		answer = get_frame(s, &r, &u, e);
		if (!more)
			r.at = r.sent;
	}
	return answer < 0 ? -1 : 0;
}

static void remote_close(struct store **store)
{
	struct remote_store *s;

	if (!*store)
		return;
	s = remote_of(*store);
	buf_free(&s->frame);
	buf_free(&s->after);
	free(s);
	*store = NULL;
}

static const struct store_ops remote_ops = {
    .write = remote_write,
    .barrier = remote_barrier,
    .wait = remote_wait,
    .scan = remote_scan,
    .get = remote_get,
    .close = remote_close,
};

int store_remote_open(struct store **s, struct channel *ch,
    int (*other)(void *arg, uint8_t type, struct view payload, struct err *e), void *arg,
    struct err *e)
{
	struct remote_store *new = NEW(struct remote_store);

	(void)e; /* nothing is asked yet: a missing controller shows at the first call */
	*new = (struct remote_store){
	    .base = {&remote_ops},
	    .ch = ch,
	    .other = other,
	    .other_arg = arg,
	    .frame = BUF_INIT(KEYS_MAX + 2 * STORE_KEY_MAX + 64),
	    .after = BUF_INIT(STORE_KEY_MAX),
	};
	*s = &new->base;
	return 0;
}

/* ---- the controller's side ---- */

struct store_server {
	struct store *behind;
	struct channel *ch;
	uint64_t asked, answered; /* tickets of the worker */
	bool failed;              /* the worker was told */
	struct buf frame;         /* answer under construction */
	size_t rows;              /* in it */
	bool full;                /* the next row did not fit */
};

void store_server_new(struct store_server **sv, struct store *behind, struct channel *ch)
{
	struct store_server *new = NEW(struct store_server);

	new->behind = behind;
	new->ch = ch;
	new->frame = BUF_INIT(ROWS_MAX + ROW_MAX + 16);
	*sv = new;
}

void store_server_free(struct store_server **sv)
{
	if (!*sv)
		return;
	buf_free(&(*sv)->frame);
	free(*sv);
	*sv = NULL;
}

static int worker_fault(const char *what, struct err *e)
{
	return err_set(e, CAUSE_BUG, ERR_RUN, "a worker sent its store %s", what);
}

/* The store behind failed with *why: tell the worker, hand the error up. */
static int server_failed(struct store_server *sv, const struct err *why, struct err *e)
{
	if (!sv->failed) {
		buf_clear(&sv->frame);
		pack_u8(&sv->frame, (uint8_t)why->cause);
		pack_text(&sv->frame, why->text);
		channel_send(sv->ch, STORE_FAILED, buf_view(&sv->frame), NULL);
	}
	sv->failed = true;
	if (e)
		*e = *why;
	return -1;
}

static int batch_check(struct view packed)
{
	struct unpack u = unpack_start(packed);
	struct view key, value;
	int more = 1;

	if (packed.len > STORE_BATCH_MAX)
		return -1;
	while (more > 0)
		more = store_batch_next(&u, &key, &value);
	return more;
}

static int serve_write(struct store_server *sv, struct view payload, struct err *e)
{
	struct store_batch b;
	struct err why = {0};
	int failed;

	if (batch_check(payload))
		return worker_fault("a malformed batch", e);
	/* Borrowed, not copied: a store only reads the batch it is given. */
	b = (struct store_batch){.ops = {.data = (char *)payload.data, .len = payload.len}};
	failed = sv->behind->ops->write(sv->behind, &b, &why);
	return failed ? server_failed(sv, &why, e) : 0;
}

static int serve_barrier(struct store_server *sv, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	uint64_t ticket = unpack_u64(&u);

	if (unpack_done(&u) || ticket <= sv->asked)
		return worker_fault("a ticket that does not ascend", e);
	sv->asked = ticket;
	return 0;
}

static void rows_begin(struct store_server *sv, uint32_t request)
{
	buf_clear(&sv->frame);
	pack_u32(&sv->frame, request);
	pack_u8(&sv->frame, 0);
	sv->rows = 0;
	sv->full = false;
}

static int rows_add(void *arg, const struct store_row *row, struct err *e)
{
	struct store_server *sv = arg;

	(void)e;
	if (sv->rows && sv->frame.len + row->key.len + row->value.len > ROWS_MAX) {
		sv->full = true;
		return 1;
	}
	sv->rows++;
	pack_view(&sv->frame, row->key);
	pack_view(&sv->frame, row->value);
	return 0;
}

static int rows_end(struct store_server *sv, struct err *e)
{
	sv->frame.data[4] = sv->full;
	return channel_send(sv->ch, STORE_ROWS, buf_view(&sv->frame), e);
}

static int serve_scan(struct store_server *sv, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	uint32_t request = unpack_u32(&u);
	struct view prefix = unpack_view(&u), after = unpack_view(&u);
	uint32_t limit = unpack_u32(&u);
	struct err why = {0};

	if (unpack_done(&u) || prefix.len > STORE_KEY_MAX || after.len > STORE_KEY_MAX)
		return worker_fault("a malformed scan", e);
	rows_begin(sv, request);
	if (sv->behind->ops->scan(sv->behind, prefix, after, limit, rows_add, sv, &why))
		return server_failed(sv, &why, e);
	return rows_end(sv, e);
}

/* Up to SLICE keys; returns how many, -1 = malformed. */
static int keys_next(struct unpack *u, struct view keys[SLICE])
{
	int n = 0;

	while (n < SLICE && unpack_more(u)) {
		keys[n] = unpack_view(u);
		if (u->bad || !keys[n].len || keys[n].len > STORE_KEY_MAX)
			return -1;
		n++;
	}
	return u->bad ? -1 : n;
}

static int keys_check(struct unpack u)
{
	struct view keys[SLICE];
	int n = 1;

	while (n > 0)
		n = keys_next(&u, keys);
	return n;
}

static int serve_get(struct store_server *sv, struct view payload, struct err *e)
{
	struct unpack u = unpack_start(payload);
	uint32_t request = unpack_u32(&u);
	struct view keys[SLICE];
	struct err why = {0};
	int n = 1, failed = 0;

	if (keys_check(u))
		return worker_fault("a malformed get", e);
	rows_begin(sv, request);
	while (!failed && !sv->full && (n = keys_next(&u, keys)) > 0)
		failed = sv->behind->ops->get(sv->behind, keys, (size_t)n, rows_add, sv, &why);
	return failed ? server_failed(sv, &why, e) : rows_end(sv, e);
}

int store_server_frame(struct store_server *sv, uint8_t type, struct view payload, struct err *e)
{
	switch (type) {
	case STORE_WRITE:
		return serve_write(sv, payload, e);
	case STORE_BARRIER:
		return serve_barrier(sv, payload, e);
	case STORE_SCAN:
		return serve_scan(sv, payload, e);
	case STORE_GET:
		return serve_get(sv, payload, e);
	default:
		return worker_fault("a frame of no known type", e);
	}
}

bool store_server_waiting(const struct store_server *sv)
{
	return sv->asked > sv->answered;
}

int store_server_commit(struct store_server *sv, struct err *e)
{
	struct err why = {0};
	uint64_t ticket;

	if (sv->behind->ops->barrier(sv->behind, &ticket, &why) ||
	    sv->behind->ops->wait(sv->behind, ticket, &why))
		return server_failed(sv, &why, e);
	if (!store_server_waiting(sv))
		return 0;
	buf_clear(&sv->frame);
	pack_u64(&sv->frame, sv->asked);
	if (channel_send(sv->ch, STORE_DURABLE, buf_view(&sv->frame), e))
		return -1;
	sv->answered = sv->asked;
	return 0;
}
