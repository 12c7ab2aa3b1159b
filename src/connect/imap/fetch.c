/* fetch.c - bodies out of an IMAP folder: windows are announced (a UID FETCH each, or several where
 * one would be too long a line; pipelined) and come back in order, with their bodies in the window's
 * buffer or as a stream. Servers may work on several of these commands at once (Dovecot does when its
 * output is full), so a body belongs to whichever window wants its UID. The literal's length is the
 * truth, not RFC822.SIZE. A body that is missing, NIL or empty is asked for again alone, and never
 * handed on as an empty message. Does not: decide what to fetch, or in what portions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect/imap/imap.h"

/* So many UIDs of ten digits go into a set at least. */
#define PART_LEAST (IMAP_SET_MAX / 14)

/* One command, and the items it asks for. */
struct fetch_part {
	char tag[16];
	size_t first, count;
	bool answered;
};

struct imap_fetch {
	struct imap_fetch *next;
	struct window *window; /* NULL once handed over as a stream */
	uint32_t *uids;        /* of the window's items */
	size_t count;
	struct fetch_part *parts; /* those sent */
	size_t part_count, unanswered;
	bool heard; /* of the item of a window of one: a FETCH came */
	/* a body handed over as a stream */
	struct item_stream stream;
	struct imap *im;
	uint64_t left;
	bool ended;
};

static void fetch_free(struct imap_fetch *f)
{
	if (!f)
		return;
	free(f->uids);
	free(f->parts);
	free(f);
}

static struct imap_fetch *pop(struct imap *im)
{
	struct imap_fetch *f = im->fetch_first;

	if (f && !(im->fetch_first = f->next))
		im->fetch_last = &im->fetch_first;
	return f;
}

/* The folder may have to be opened first; then in the same flight. */
static int send_or_open(
    struct imap *im, const struct folder *f, struct imap_command *c, struct err *e)
{
	return imap_is_selected(im, f->raw, false) ? imap_command_send(im, c, e)
						   : imap_select_with(im, f->raw, false, c, e);
}

/* Ids of another incarnation would be other messages. */
static int is_known(const struct imap *im, const struct window *w, struct err *e)
{
	uint64_t uidvalidity, ignored;

	if (!w->known || imap_cursor_parse(w->known, &uidvalidity, &ignored, &ignored) ||
	    uidvalidity == im->uidvalidity)
		return 0;
	return err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
	    "its UIDVALIDITY is not what it was when its messages were listed");
}

/* Ask for items from FIRST on, as many as go into a line. */
static int send_part(struct imap *im, struct imap_fetch *f, size_t first, struct err *e)
{
	struct buf set AUTO(buf_free) = BUF_INIT(IMAP_SET_MAX + 40);
	struct imap_command c AUTO(imap_command_free) = {0};
	struct fetch_part *part = &f->parts[f->part_count++];

	part->first = first;
	part->count = imap_next_set(f->uids + first, f->count - first, &set);
	f->unanswered++;
	imap_command_start(im, &c, "UID FETCH ");
	buf_add_view(&c.text, buf_view(&set));
	imap_command_add(&c, "(UID BODY.PEEK[])");
	memcpy(part->tag, c.tag, sizeof(part->tag));
	return send_or_open(im, f->window->folder, &c, e);
}

int imap_want(struct session *s, struct window *w, struct err *e)
{
	struct imap *im = IMAP(s);
	struct imap_fetch *f;

	assert(w->count && (!w->alone || w->count == 1));
	f = NEW(struct imap_fetch);
	f->window = w;
	f->im = im;
	f->count = w->count;
	f->uids = mem_new(w->count, sizeof(*f->uids));
	f->parts = mem_new(1 + w->count / PART_LEAST, sizeof(*f->parts));
	for (size_t i = 0; i < w->count; i++) {
		uint64_t uid = 0;

		view_number(w->items[i].id, &uid);
		f->uids[i] = (uint32_t)uid;
		w->items[i].state = ITEM_WANTED;
	}
	*im->fetch_last = f; /* lent from here on, whatever fails */
	im->fetch_last = &f->next;
	for (size_t at = 0; at < f->count; at += f->parts[f->part_count - 1].count)
		if (send_part(im, f, at, e) || (!at && is_known(im, w, e)))
			return -1;
	return 0;
}

static struct window_item *find_in(const struct imap_fetch *f, uint64_t uid)
{
	for (size_t i = 0; f->window && i < f->count; i++)
		if (f->uids[i] == uid)
			return &f->window->items[i];
	return NULL;
}

/* Who wants that UID. */
static struct window_item *find_item(struct imap *im, uint64_t uid, struct imap_fetch **owner)
{
	for (struct imap_fetch *f = im->fetch_first; f; f = f->next) {
		struct window_item *item = find_in(f, uid);

		if (item) {
			*owner = f;
			return item;
		}
	}
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

	if (f->ended)
		return 0;
	if (imap_next_event(f->im, &event, e))
		return -1;
	if (!f->left) { /* what stands behind it shows whether its length was true */
		f->ended = event == IMAP_EVENT_RESPONSE || event == IMAP_EVENT_LITERAL;
		return f->ended
			   ? 0
			   : imap_broken(f->im, e, "a message went on behind its announced length");
	}
	if (event != IMAP_EVENT_DATA)
		return imap_broken(f->im, e, "a message ended before its announced length");
	*out = f->im->reader.data;
	f->left -= out->len;
	return 1;
}

/* The literal is larger than anything godwit shall carry: its item is given up, and so must the
 * connection be, because the bytes would come. */
static void give_up_item(
    struct imap *im, struct imap_fetch *f, struct window_item *item, uint64_t len)
{
	char text[120];

	snprintf(text, sizeof(text),
	    "the source announces %" PRIu64 " bytes, more than the limit of %" PRIu64, len,
	    im->env.max_item);
	set_reason(f->window, item, ITEM_UNREADABLE, CAUSE_TOO_BIG, text);
	im->half_sent = true;
}

static void begin_stream(struct imap *im, struct imap_fetch *f, uint64_t len)
{
	f->window->items[0].state = ITEM_STREAM;
	f->window->items[0].size = len;
	f->stream = (struct item_stream){len, stream_read};
	f->left = len;
	f->window->stream = &f->stream;
	im->body = (struct imap_body){0};
}

/* A body begins. 1 = hand *ready's window over now. Where the UID was not told yet, it is taken into
 * the oldest window and moved when it is known. */
static int begin_body(struct imap *im, struct imap_fetch **ready)
{
	struct imap_fetch *f = im->fetch_first;
	struct window_item *item = find_item(im, im->reader.literal_uid, &f);
	uint64_t len = im->reader.literal_len;
	struct window *w = f->window;

	im->body = (struct imap_body){.real = len, .skip = true};
	if (!item && w && !im->reader.literal_uid && f->count == 1 && !f->next)
		item = w->items;
	*ready = f;
	if (item)
		f->heard = true;
	if (item && im->env.max_item && len > im->env.max_item) {
		give_up_item(im, f, item, len);
		return 1;
	}
	if (item && w->alone && len) {
		begin_stream(im, f, len);
		return 1;
	}
	if (w && len <= w->body.max - w->body.len && buf_room(&w->body, len)) {
		im->body.window = w;
		im->body.at = w->body.len;
		im->body.skip = false;
	}
	return 0;
}

static void take_piece(struct imap *im)
{
	if (!im->body.skip)
		buf_add_view(&im->body.window->body, im->reader.data);
}

/* Its bytes are in W, wherever they were taken in. -1 = no room for them. */
static int bring_body(struct imap *im, struct window *w, const struct imap_node *quoted)
{
	struct view bytes = imap_node_text(quoted); /* short ones may come quoted */

	if (im->body.window == w)
		return 0;
	if (im->body.window)
		bytes = view_make(im->body.window->body.data + im->body.at, (size_t)im->body.real);
	im->body.at = w->body.len;
	im->body.real = bytes.len;
	return buf_add_view(&w->body, bytes);
}

static void end_body(struct imap *im, const struct imap_response *r)
{
	const struct imap_node *first = r->args ? r->args->child : NULL;
	const struct imap_node *body = imap_node_value(first, "BODY[]");
	struct imap_fetch *f;
	struct window_item *item;
	uint64_t uid;

	if (view_is_nocase(r->name, "UIDFETCH") && r->has_number)
		uid = r->number;
	else if (imap_node_number(imap_node_value(first, "UID"), &uid))
		return;
	if (!(item = find_item(im, uid, &f)) || item->state != ITEM_WANTED || !body)
		return;
	f->heard = true;
	if (body->kind == IMAP_NODE_BODY && im->body.skip && im->body.real) {
		item->state = ITEM_AGAIN; /* RFC822.SIZE was a lie, or its UID came late */
		item->size = im->body.real;
		return;
	}
	if ((body->kind != IMAP_NODE_BODY && body->kind != IMAP_NODE_STRING) ||
	    bring_body(im, f->window, body) || !im->body.real)
		return;
	item->state = ITEM_READ;
	item->offset = im->body.at;
	item->len = (size_t)im->body.real;
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
	else if (r->status != IMAP_OK) {
		set_reason(w, item, ITEM_UNREADABLE, CAUSE_UNREADABLE, imap_words(im, &w->arena));
		w->hold = view_is_nocase(r->code, "UNAVAILABLE") ? CAUSE_THROTTLED : w->hold;
	} else if (!f->heard)
		item->state = ITEM_GONE;
	else
		set_reason(w, item, ITEM_UNREADABLE, CAUSE_EMPTY,
		    "the source gave the message without any content");
}

/* The part whose answer is in hand; its owner. */
static struct fetch_part *find_part(struct imap *im, struct imap_fetch **owner)
{
	for (struct imap_fetch *f = im->fetch_first; f; f = f->next)
		for (size_t i = 0; i < f->part_count; i++)
			if (!f->parts[i].answered &&
			    view_is(im->reader.response.tag, f->parts[i].tag)) {
				*owner = f;
				return &f->parts[i];
			}
	return NULL;
}

static int take_tagged(struct imap *im, struct err *e)
{
	const struct imap_response *r = &im->reader.response;
	struct imap_fetch *f;
	struct fetch_part *part = find_part(im, &f);
	int wait_s;

	if (!part)
		return imap_answers_nothing(im, e);
	/* Yahoo says [UNAVAILABLE] of single messages for ever; others while they are overloaded */
	if (r->status != IMAP_OK && !view_is_nocase(r->code, "UNAVAILABLE") &&
	    imap_general_cause(r, &wait_s))
		return imap_refused(im, CAUSE_THROTTLED, ERR_LINK, "reading was refused", e);
	part->answered = true;
	f->unanswered--;
	for (size_t i = 0; f->window && i < part->count; i++)
		judge_missing(im, f, &f->window->items[part->first + i]);
	return 0;
}

/* Take in what comes until the oldest window is answered, or a stream begins (*ready, its window
 * may be a later one). */
static int receive(struct imap *im, struct imap_fetch **ready, struct err *e)
{
	const struct imap_response *r = &im->reader.response;
	enum imap_event event;

	*ready = im->fetch_first;
	while (im->fetch_first->unanswered) {
		if (imap_next_event(im, &event, e))
			return -1;
		if (event == IMAP_EVENT_LITERAL && begin_body(im, ready))
			return 0;
		if (event == IMAP_EVENT_DATA && im->body.window)
			take_piece(im);
		if (event != IMAP_EVENT_RESPONSE)
			continue;
		if (r->kind == IMAP_TAGGED && take_tagged(im, e))
			return -1;
		if (view_is_nocase(r->name, "FETCH") || view_is_nocase(r->name, "UIDFETCH"))
			end_body(im, r);
		im->body = (struct imap_body){0};
		*ready = im->fetch_first;
	}
	return 0;
}

int imap_next(struct session *s, struct window **w, struct err *e)
{
	struct imap *im = IMAP(s);
	struct imap_fetch *f;

	*w = NULL;
	if (im->half_sent)
		return imap_broken(im, e, "a message too large to be carried was on its way");
	while (im->fetch_first) {
		if (receive(im, &f, e))
			return -1;
		*w = f->window;
		f->window = NULL;
		if (!f->unanswered)
			fetch_free(pop(im));
		if (*w)
			return 0;
	}
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
