/* fetch.c - bodies out of an IMAP folder: windows are announced (one UID FETCH each, pipelined) and
 * come back in order, with their bodies in the window's buffer or as a stream. The literal's length
 * is the truth, not RFC822.SIZE. A body that is missing, NIL or empty is asked for again alone, and
 * never handed on as an empty message. Does not: decide what to fetch, or in what portions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect/imap/imap.h"

struct imap_fetch {
	struct imap_fetch *next;
	struct window *window; /* NULL once handed over as a stream */
	char tag[16];
	uint32_t *uids; /* of the window's items */
	size_t count;
	/* the response under way */
	size_t body_at, body_len; /* where its body lies in the window's buffer */
	bool body_here;           /* a literal was taken in */
	uint64_t body_real;       /* length of one that was too large to be taken in */
	bool skip;                /* its bytes are not wanted */
	bool heard;               /* of the item of a window of one: a FETCH came */
	/* a body handed over as a stream */
	struct item_stream stream;
	struct imap *im;
	uint64_t left;
};

static void fetch_free(struct imap_fetch *f)
{
	if (!f)
		return;
	free(f->uids);
	free(f);
}

static struct imap_fetch *pop(struct imap *im)
{
	struct imap_fetch *f = im->fetch_first;

	if (f && !(im->fetch_first = f->next))
		im->fetch_last = &im->fetch_first;
	return f;
}

int imap_want(struct session *s, struct window *w, struct err *e)
{
	struct imap *im = IMAP(s);
	struct imap_fetch *f;
	struct buf set_text AUTO(buf_free) = BUF_INIT(1u << 16);
	struct imap_command c;
	struct imap_set set;
	int failed;

	assert(w->count && (!w->alone || w->count == 1));
	if (imap_select(im, w->folder->raw, false, false, e))
		return -1;
	f = NEW(struct imap_fetch);
	f->window = w;
	f->im = im;
	f->count = w->count;
	f->uids = mem_new(w->count, sizeof(*f->uids));
	imap_set_start(&set, &set_text);
	for (size_t i = 0; i < w->count; i++) {
		uint64_t uid = 0;

		view_number(w->items[i].id, &uid);
		f->uids[i] = (uint32_t)uid;
		w->items[i].state = ITEM_WANTED;
		imap_set_add(&set, f->uids[i]);
	}
	imap_set_finish(&set);
	imap_command_start(im, &c, "UID FETCH ");
	buf_add_view(&c.text, buf_view(&set_text));
	imap_command_add(&c, "(UID BODY.PEEK[])");
	memcpy(f->tag, c.tag, sizeof(f->tag));
	*im->fetch_last = f;
	im->fetch_last = &f->next;
	failed = imap_command_send(im, &c, e);
	imap_command_free(&c);
	return failed;
}

static struct window_item *find_item(struct imap_fetch *f, uint64_t uid)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->uids[i] == uid)
			return &f->window->items[i];
	return NULL;
}

static void set_reason(struct window *w, struct window_item *item, enum item_state state,
    enum cause cause, const char *reason)
{
	item->state = state;
	item->cause = cause;
	item->reason = arena_strdup(&w->arena, reason);
}

static int stream_read(struct item_stream *stream, struct view *out, struct err *e)
{
	struct imap_fetch *f =
	    (struct imap_fetch *)((char *)stream - offsetof(struct imap_fetch, stream));
	enum imap_event event;

	if (!f->left)
		return 0;
	if (imap_next_event(f->im, &event, e))
		return -1;
	if (event != IMAP_EVENT_DATA)
		return imap_broken(f->im, e, "a message ended before its announced length");
	*out = f->im->reader.data;
	f->left -= out->len;
	return 1;
}

/* The literal is larger than anything godwit shall carry: its item is given up, and so must the
 * connection be, because the bytes would come. */
static void give_up_item(struct imap *im, struct imap_fetch *f, uint64_t len)
{
	struct window_item *item =
	    f->count == 1 ? f->window->items : find_item(f, im->reader.literal_uid);
	char text[120];

	snprintf(text, sizeof(text),
	    "the source announces %" PRIu64 " bytes, more than the limit of %" PRIu64, len,
	    im->env.max_item);
	if (item)
		set_reason(f->window, item, ITEM_UNREADABLE, CAUSE_TOO_BIG, text);
	im->half_sent = true;
}

/* A body begins. 1 = hand the window over now. */
static int begin_body(struct imap *im, struct imap_fetch *f)
{
	struct window *w = f->window;
	uint64_t len = im->reader.literal_len;

	f->heard = true;
	if (im->env.max_item && len > im->env.max_item) {
		give_up_item(im, f, len);
		return 1;
	}
	if (w->alone && len) {
		w->items[0].state = ITEM_STREAM;
		w->items[0].size = len;
		f->stream = (struct item_stream){len, stream_read};
		f->left = len;
		w->stream = &f->stream;
		return 1;
	}
	f->body_at = w->body.len;
	f->body_len = 0;
	f->body_real = len;
	f->skip = len > w->body.max - w->body.len || !buf_room(&w->body, len);
	f->body_here = !f->skip;
	return 0;
}

static void take_piece(struct imap *im, struct imap_fetch *f)
{
	if (f->skip)
		return;
	buf_add_view(&f->window->body, im->reader.data);
	f->body_len += im->reader.data.len;
}

static void end_body(struct imap_fetch *f, const struct imap_response *r)
{
	const struct imap_node *first = r->args ? r->args->child : NULL;
	const struct imap_node *body = imap_node_value(first, "BODY[]");
	struct window *w = f->window;
	struct window_item *item;
	uint64_t uid;

	if (imap_node_number(imap_node_value(first, "UID"), &uid) || !(item = find_item(f, uid)))
		return;
	f->heard = true;
	if (body && body->kind == IMAP_NODE_STRING && body->text.len &&
	    item->state == ITEM_WANTED) {
		f->body_at = w->body.len; /* short ones may come quoted */
		f->body_len = body->text.len;
		f->body_here = !buf_add_view(&w->body, body->text);
	}
	if (f->body_here && f->body_len && item->state == ITEM_WANTED) {
		item->state = ITEM_READ;
		item->offset = f->body_at;
		item->len = f->body_len;
	} else if (f->skip && item->state == ITEM_WANTED) {
		item->state = ITEM_AGAIN; /* RFC822.SIZE was a lie */
		item->size = f->body_real;
	}
}

/* The command is over: what became of items that did not come. */
static void judge_missing(struct imap *im, struct imap_fetch *f, struct window_item *item)
{
	const struct imap_response *r = &im->reader.response;
	struct window *w = f->window;

	if (item->state != ITEM_WANTED)
		return;
	if (f->count > 1)
		item->state = ITEM_AGAIN; /* alone, it cannot hide behind the others */
	else if (r->status != IMAP_OK)
		set_reason(w, item, ITEM_UNREADABLE, CAUSE_UNREADABLE, imap_words(im, &w->arena));
	else if (!f->heard)
		item->state = ITEM_GONE;
	else
		set_reason(w, item, ITEM_UNREADABLE, CAUSE_EMPTY,
		    "the source gave the message without any content");
}

static int finish(struct imap *im, struct imap_fetch *f, struct err *e)
{
	int wait_s;

	if (im->reader.response.status != IMAP_OK &&
	    imap_general_cause(&im->reader.response, &wait_s))
		return imap_refused(im, CAUSE_THROTTLED, ERR_LINK, "reading was refused", e);
	for (size_t i = 0; i < f->count; i++)
		judge_missing(im, f, &f->window->items[i]);
	return 0;
}

/* Take in the oldest command until its window can be handed over. 1 = with its stream begun (the
 * command goes on behind it), 0 = it is over, -1. */
static int receive(struct imap *im, struct imap_fetch *f, struct err *e)
{
	const struct imap_response *r = &im->reader.response;
	enum imap_event event;

	for (;;) {
		if (imap_next_event(im, &event, e))
			return -1;
		if (event == IMAP_EVENT_LITERAL && f->window && begin_body(im, f))
			return 1;
		if (event == IMAP_EVENT_DATA && f->window)
			take_piece(im, f);
		if (event != IMAP_EVENT_RESPONSE)
			continue;
		if (r->kind == IMAP_TAGGED && !view_is(r->tag, f->tag))
			return imap_broken(im, e, "an answer to no command");
		if (r->kind == IMAP_TAGGED)
			return f->window ? finish(im, f, e) : 0;
		if (f->window &&
		    (view_is_nocase(r->name, "FETCH") || view_is_nocase(r->name, "UIDFETCH")))
			end_body(f, r);
		f->body_here = f->skip = false;
	}
}

int imap_next(struct session *s, struct window **w, struct err *e)
{
	struct imap *im = IMAP(s);
	struct imap_fetch *f = im->fetch_first;
	int result;

	if (im->half_sent)
		return imap_broken(im, e, "a message too large to be carried was on its way");
	if (f && !f->window) { /* behind a stream: read to the end of its command */
		if (receive(im, f, e))
			return -1;
		fetch_free(pop(im));
		f = im->fetch_first;
	}
	*w = NULL;
	if (!f)
		return 0;
	result = receive(im, f, e);
	if (result < 0)
		return -1;
	*w = f->window;
	if (result == 1)
		f->window = NULL;
	else
		fetch_free(pop(im));
	return 0;
}

struct window *imap_abandon_fetch(struct imap *im)
{
	struct imap_fetch *f;

	while ((f = pop(im))) {
		struct window *w = f->window;

		fetch_free(f);
		if (w)
			return w;
	}
	return NULL;
}
