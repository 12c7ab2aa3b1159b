/* window.c - items into windows and out of them. Beside copy.c: how a window is filled, what is done
 * with items that could not be read, and with each kind of receipt. Promises: an item leaves a
 * window only into the ledger, back to todo, or into a window to be put again; never silently. */
#include "flow/lane.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/header_date.h"
#include "model/identity.h"

#define TRIES 4u
#define WINDOWS_AHEAD 4u /* into which what may be under way is divided */
#define CONCESSIONS 20u  /* splits count too: far more than any honest server needs */
#define ACCIDENTS 16u    /* refusals in a row that are no message's fault: the mailbox stops */
#define HOLDS 7u         /* waits of 1, 2, 4 ... 64 s where the destination names no time */
#define CLAMP_LOW 86400  /* 2 January 1970 */
#define CLAMP_HIGH INT64_C(2145916800) /* 1 January 2038 */

/* A stream whose first bytes were read for the header, and which is digested as it passes. */
struct peeked_stream {
	struct item_stream stream; /* first */
	struct item_stream *behind;
	struct identity_reader *reader;
	struct window_item *item;
	struct buf head;
	bool head_given;
};

static struct window *window_new(size_t room)
{
	struct window *w = NEW(struct window);

	buf_init(&w->body, WINDOW_MAX);
	w->items = mem_new(room, sizeof(*w->items));
	return w;
}

static int peeked_read(struct item_stream *s, struct view *out, struct err *e);

static void peeked_free(struct item_stream *s)
{
	struct peeked_stream *p = (struct peeked_stream *)s;

	if (!s || s->read != peeked_read)
		return;
	identity_free(&p->reader);
	buf_free(&p->head);
	free(p);
}

void window_free(struct window **w)
{
	struct window *old = *w;

	*w = NULL;
	if (!old)
		return;
	peeked_free(old->stream);
	buf_free(&old->body);
	arena_free(&old->arena);
	free(old->items);
	free(old);
}

/* ---- filling ---- */

static struct window_item item_of(
    const struct folder_job *job, struct window *w, const struct todo *t)
{
	struct window_item item = {.id = arena_copy(&w->arena, t->id),
	    .size = t->size,
	    .object = t->object,
	    .date = t->date,
	    .date_told = t->date,
	    .flags = t->flags,
	    .flags_told = t->flags,
	    .was = t->was,
	    .tries = t->tries,
	    .msgid = "",
	    .reason = "",
	    .rung = t->rung};

	if (t->rung) {
		item.refusal = job->refusals[t->refusal].text;
		item.refused = job->refusals[t->refusal].cause;
	}
	return item;
}

static void apply_concessions(struct lane *l, struct window_item *item, bool clamp, bool cut)
{
	if (clamp && item->date.known) {
		item->date.zone = 0;
		if (item->date.instant < CLAMP_LOW)
			item->date.instant = CLAMP_LOW;
		else if (item->date.instant > CLAMP_HIGH)
			item->date.instant = CLAMP_HIGH;
		else
			item->date.known = false;
	}
	if (cut)
		item->flags = flags_only_system(l->flags, item->flags);
}

static int refuse_size(
    struct lane *l, struct folder_job *job, struct window_item *item, uint64_t size, struct err *e)
{
	char reason[120];
	int failed;

	snprintf(reason, sizeof(reason), "%" PRIu64 " bytes, and the limit is %" PRIu64, size,
	    lane_max_size(l));
	item->cause = CAUSE_TOO_BIG;
	item->reason = reason;
	lane_exception(l, job, CAUSE_TOO_BIG, item->id, item->msgid, "%s", reason);
	failed = ledger_refuse(l->ledger, job->memory, item, ROW_REFUSED, e);
	item->reason = ""; /* ours ends here */
	return failed;
}

static size_t items_at_most(const struct folder_job *job)
{
	return job->todo_count >= LARGE_FOLDER ? WINDOW_ITEMS_LARGE : WINDOW_ITEMS;
}

static bool fits(const struct lane *l, const struct window *w, uint64_t bytes, uint64_t room,
    size_t items, const struct todo *t)
{
	if (!w->count)
		return true;
	return !w->alone && !t->alone && t->size < lane_stream_from(l) && w->count < items &&
	       bytes + t->size <= room;
}

/* Would one window hold all that is left of the folder? */
static bool is_rest_small(const struct folder_job *job)
{
	uint64_t bytes = 0;

	if (job->todo_count - job->todo_next > WINDOW_ITEMS)
		return false;
	for (size_t i = job->todo_next; i < job->todo_count; i++)
		bytes += job->todo[i].size;
	return bytes <= WINDOW_BYTES;
}

/* What the next window is filled to: twice as much as the last one, but not so much that the destination waits
 * long for it. A small folder is one, so that its order survives a refusal. */
static uint64_t window_room(struct lane *l, const struct folder_job *job)
{
	uint64_t most = lane_reading_ahead(l) / WINDOWS_AHEAD;

	if (is_rest_small(job) || lane_is_steady(l))
		return WINDOW_BYTES;
	most = most > WINDOW_BYTES ? WINDOW_BYTES : most;
	l->window_bytes = l->window_bytes * 2 < most ? l->window_bytes * 2 : most;
	return l->window_bytes;
}

int window_fill(struct lane *l, struct folder_job *job, struct window **out, struct err *e)
{
	size_t items = items_at_most(job);
	struct window *w = window_new(items);
	uint64_t bytes = 0, max = lane_max_size(l), room = window_room(l, job);
	bool guesses = l->source->caps.guesses; /* then what it gives tells */
	int given_up;

	*out = NULL;
	w->folder = job->source;
	w->known = &job->told.cursor;
	for (; job->todo_next < job->todo_count; job->todo_next++) {
		const struct todo *t = &job->todo[job->todo_next];
		struct window_item item = item_of(job, w, t);

		if (max && t->size > (guesses ? max + max / 2 : max)) {
			if (refuse_size(l, job, &item, t->size, e))
				return window_free(&w), -1;
			continue;
		}
		if ((given_up = suspect_give_up(l, job, &item, e)) < 0)
			return window_free(&w), -1;
		if (given_up)
			continue;
		if (!fits(l, w, bytes, room, items, t) || (w->count && suspect_is(job, t->id)))
			break;
		apply_concessions(l, &item, t->clamp_date, t->cut_flags);
		w->alone = t->size >= lane_stream_from(l);
		w->items[w->count++] = item;
		bytes += t->size;
		if (t->alone || suspect_is(job, t->id)) {
			job->todo_next++;
			break;
		}
	}
	w->bytes = w->alone ? 0 : bytes;
	buf_room(&w->body, w->bytes); /* as announced: it need not grow piece by piece */
	if (w->count)
		*out = w;
	else
		window_free(&w);
	return 0;
}

/* ---- reading ---- */

static int peeked_read(struct item_stream *s, struct view *out, struct err *e)
{
	struct peeked_stream *p = (struct peeked_stream *)s;
	int more;

	if (!p->head_given && p->head.len) {
		p->head_given = true;
		*out = buf_view(&p->head);
		return 1;
	}
	more = p->behind->read(p->behind, out, e);
	if (more == 1)
		identity_feed(p->reader, *out);
	else if (more == 0)
		identity_finish(p->reader, false, &p->item->identity);
	return more;
}

/* Where the source's own date cannot be read, the header's is nearer to it than the day of the copy. */
static void date_item(struct window_item *item, struct view message)
{
	if (!item->date.known)
		header_date(message, &item->date);
}

/* Read a stream up to the end of its header (or a bound), so that the intent can tell it by that. */
static int peek_stream(struct window *w, struct err *e)
{
	struct peeked_stream *p = NEW(struct peeked_stream);
	struct view piece;
	int more = 1;

	p->stream = (struct item_stream){w->stream->size, peeked_read};
	p->behind = w->stream;
	p->item = &w->items[0];
	buf_init(&p->head, WINDOW_MAX);
	identity_start(&p->reader);
	w->stream = &p->stream;
	while (!identity_header_done(p->reader) && p->head.len < WINDOW_BYTES) {
		if ((more = p->behind->read(p->behind, &piece, e)) != 1)
			break;
		identity_feed(p->reader, piece);
		buf_add_view(&p->head, piece);
	}
	if (more < 0)
		return -1;
	identity_finish(p->reader, true, &p->item->identity);
	p->item->identity.size = w->stream->size;
	date_item(p->item, buf_view(&p->head));
	p->item->msgid = arena_strdup(&w->arena, identity_msgid(p->reader));
	return 0;
}

static bool same_date(const struct date *a, const struct date *b)
{
	return a->known == b->known && a->instant == b->instant;
}

/* Concessions made so far stay made. */
static void want_again(struct folder_job *job, const struct window_item *item)
{
	struct todo t = {.id = item->id,
	    .size = item->size,
	    .date = item->date_told,
	    .flags = item->flags_told,
	    .was = (uint8_t)item->was,
	    .tries = (uint8_t)(item->tries + 1),
	    .alone = true,
	    .clamp_date = item->cause == CAUSE_DATE ||
			  (item->date_told.known && !same_date(&item->date, &item->date_told)),
	    .cut_flags = item->cause == CAUSE_FLAGS || item->flags != item->flags_told};

	t.id = arena_copy(&job->arena, item->id);
	if (item->rung) {
		job->refusals = mem_room(
		    job->refusals, job->refusal_count, &job->refusal_size, sizeof(*job->refusals));
		job->refusals[job->refusal_count] =
		    (struct refusal){item->refused, arena_strdup(&job->arena, item->refusal)};
		t.rung = (uint8_t)item->rung;
		t.refusal = (uint32_t)job->refusal_count++;
	}
	plan_add(job, &t);
}

static int unreadable(
    struct lane *l, struct folder_job *job, struct window_item *item, struct err *e)
{
	lane_exception(l, job, item->cause, item->id, item->msgid, "%s", item->reason);
	return ledger_refuse(
	    l->ledger, job->memory, item, item->cause == CAUSE_TOO_BIG ? ROW_REFUSED : ROW_OWED, e);
}

static int inspect_item(struct lane *l, struct folder_job *job, struct window *w,
    struct window_item *item, struct err *e)
{
	uint64_t max = lane_max_size(l);
	bool came = item->state == ITEM_READ || item->state == ITEM_STREAM;
	struct view body;

	if (came && item->rung && remedy_item(l, job, w, e))
		return -1;
	switch (item->state) {
	case ITEM_READ:
		if (max && item->len > max) {
			item->state = ITEM_REFUSED;
			return refuse_size(l, job, item, item->len, e);
		}
		body = view_make(w->body.data + item->offset, item->len);
		identity_of(body, &item->identity, &w->arena, &item->msgid);
		date_item(item, body);
		return 0;
	case ITEM_STREAM:
		return peek_stream(w, e);
	case ITEM_REFUSED: /* by remedy_item */
		return 0;
	case ITEM_GONE:
		check_doubt_gone(job, item);
		return 0;
	case ITEM_AGAIN:
		if (item->tries < TRIES) {
			want_again(job, item);
			return 0;
		}
		item->cause = CAUSE_UNREADABLE;
		item->reason = "the source announced it again and again and never gave it";
		return unreadable(l, job, item, e);
	case ITEM_WANTED: /* the source broke off before it */
		want_again(job, item);
		return 0;
	default:
		return unreadable(l, job, item, e);
	}
}

/* Only what can be put stays. */
static void keep_readable(struct window *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->count; i++)
		if (w->items[i].state == ITEM_READ || w->items[i].state == ITEM_STREAM)
			w->items[kept++] = w->items[i];
	w->count = kept;
}

/* The source says "unavailable" of a message: of that one for ever, or of all for a while. After some
 * waits in a row the former is taken for true. */
static int wait_for_source(
    struct lane *l, struct folder_job *job, const struct window *w, struct err *e)
{
	if (!w->hold) {
		job->source_holds = 0;
		return 0;
	}
	if (job->source_holds == HOLDS)
		return 0;
	lane_note(l, "the source asks to wait: \"%s\"", w->items[0].reason);
	return waitset_sleep(l->context->waits, INT64_C(500) << job->source_holds++, e);
}

int window_inspect(struct lane *l, struct folder_job *job, struct window **w, struct err *e)
{
	if (!*w)
		return 0;
	if (wait_for_source(l, job, *w, e))
		return window_free(w), -1;
	for (size_t i = 0; i < (*w)->count; i++)
		if (inspect_item(l, job, *w, &(*w)->items[i], e))
			return window_free(w), -1;
	keep_readable(*w);
	if (!(*w)->count)
		window_free(w);
	return 0;
}

/* ---- receipts ---- */

static void expect_item(struct lane *l, struct folder_job *job, const struct window_item *item)
{
	struct expectation x = {.source_id = item->id,
	    .target_id = item->stored_id,
	    .identity = item->identity,
	    .date = item->date,
	    .date_told = item->date_told,
	    .flags = item->flags,
	    .flags_told = item->flags_told,
	    .msgid = item->msgid};

	job->holds = job->accidents = 0;
	l->summary->items_stored++;
	l->summary->bytes_stored += item->identity.size;
	l->progress.items_done++;
	l->progress.bytes_done += item->identity.size;
	job->stored_now++;
	job->bytes_now += item->identity.size;
	if (item->repair)
		lane_repaired(l, job, item->id, item->msgid, item->repair);
	if (item->stored_id.len) /* the others are checked when they are located */
		check_expect(job, &x);
}

/* Refused for its date or its keywords: they are given up before the message is. Courier says no
 * more than "error" to either, so an unexplained refusal tries both where they stand out. */
static bool concede(struct lane *l, struct window_item *item)
{
	bool unexplained = item->cause == CAUSE_REFUSED;
	bool far = item->date.instant < CLAMP_LOW || item->date.instant > CLAMP_HIGH;
	bool keywords = flags_has_keywords(l->flags, item->flags);

	if (item->tries > CONCESSIONS)
		return false;
	if (item->for_now && !item->tries) {
		item->state = ITEM_AGAIN;
		return true;
	}
	if (item->date.known && (item->cause == CAUSE_DATE || (unexplained && far)))
		item->cause = CAUSE_DATE;
	else if (keywords && (item->cause == CAUSE_FLAGS || unexplained))
		item->cause = CAUSE_FLAGS;
	else
		return false;
	item->state = ITEM_AGAIN;
	return true;
}

/* The items FIRST..LAST of W that are AGAIN, in a window of their own, bytes and all. */
static struct window *window_again(
    struct lane *l, const struct window *w, size_t first, size_t last)
{
	struct window *half = window_new(last - first);

	half->folder = w->folder;
	for (size_t i = first; i < last; i++) {
		const struct window_item *from = &w->items[i];
		struct window_item *to = &half->items[half->count];

		if (from->state != ITEM_AGAIN || from->climbs)
			continue;
		*to = *from;
		to->id = arena_copy(&half->arena, from->id);
		to->msgid = arena_strdup(&half->arena, from->msgid);
		to->offset = half->body.len;
		to->state = ITEM_READ;
		to->reason = "";
		if (from->repair) {
			to->refusal = arena_strdup(&half->arena, from->refusal);
			to->repair = arena_strdup(&half->arena, from->repair);
		}
		apply_concessions(l, to, from->cause == CAUSE_DATE, from->cause == CAUSE_FLAGS);
		to->cause = CAUSE_NONE;
		to->for_now = false;
		to->tries++;
		buf_add(&half->body, w->body.data + from->offset, from->len);
		half->count++;
	}
	if (!half->count)
		window_free(&half);
	return half;
}

static void push_retry(struct folder_job *job, struct window *w)
{
	if (!w)
		return;
	w->next = job->retry;
	job->retry = w;
}

/* Put again: the halves where one of many was refused, else all that are AGAIN. */
static void put_again(struct lane *l, struct folder_job *job, struct window *w)
{
	size_t middle = w->split ? (w->count + 1) / 2 : w->count;

	for (size_t i = 0; i < w->count; i++)
		if (w->items[i].state == ITEM_AGAIN && (w->stream || w->items[i].climbs))
			want_again(job, &w->items[i]);
	if (w->stream)
		return;
	push_retry(job, window_again(l, w, middle, w->count));
	push_retry(
	    job, window_again(l, w, 0, middle)); /* on top: the order of the source is kept */
}

/* The destination asked for patience, is full, or has lost the folder. */
static int obey_hold(struct lane *l, struct folder_job *job, const struct window *w, struct err *e)
{
	const struct window_item *item = w->items;
	int wait_s = w->wait_s;

	for (size_t i = 0; i < w->count; i++)
		if (w->items[i].state == ITEM_AGAIN)
			item = &w->items[i];
	if (w->hold == CAUSE_FOLDER_GONE)
		return err_set(e, CAUSE_FOLDER_GONE, ERR_FOLDER,
		    "the folder %s has gone at the destination: \"%s\"", job->target_name,
		    item->reason);
	if (w->hold == CAUSE_THROTTLED && job->holds < HOLDS) {
		wait_s = wait_s ? wait_s : 1 << job->holds;
		job->holds++;
		l->throttled = true;
		lane_note(l, "the destination asks to wait %d s: \"%s\"", wait_s, item->reason);
		return waitset_sleep(l->context->waits, (int64_t)wait_s * 1000, e);
	}
	err_set(e, w->hold, ERR_MAILBOX, "the destination takes no more: \"%s\"", item->reason);
	if (e)
		e->side = ERR_DESTINATION;
	return -1;
}

/* One accident after another is the destination's trouble, not each message's. */
static int count_accidents(struct folder_job *job, const struct window_item *item, struct err *e)
{
	if (!item->for_now || ++job->accidents < ACCIDENTS)
		return 0;
	err_set(e, CAUSE_THROTTLED, ERR_MAILBOX,
	    "the destination refuses one message after another: \"%s\"", item->reason);
	if (e)
		e->side = ERR_DESTINATION;
	return -1;
}

int window_receive(struct lane *l, struct folder_job *job, struct window *w, struct err *e)
{
	int failed = 0;

	for (size_t i = 0; i < w->count; i++)
		if (w->items[i].state == ITEM_REFUSED && !concede(l, &w->items[i]))
			remedy_climb(l, job, w, &w->items[i]);
	if (ledger_receive(l->ledger, job->memory, w, e))
		return -1;
	for (size_t i = 0; i < w->count; i++) {
		const struct window_item *item = &w->items[i];

		l->settled += item->state == ITEM_STORED || item->state == ITEM_REFUSED;
		if (item->state == ITEM_STORED)
			expect_item(l, job, item);
		if (item->state != ITEM_REFUSED)
			continue;
		lane_exception(l, job, item->cause, item->id, item->msgid,
		    "the destination answered \"%s\"%s", item->reason,
		    remedy_hindrance(l, w, item));
		failed = failed || count_accidents(job, item, e);
	}
	return failed ? -1 : 0;
}

int window_settle(struct lane *l, struct folder_job *job, struct window **w, struct err *e)
{
	struct window *done = *w;
	int failed = window_receive(l, job, done, e);

	if (!failed) {
		put_again(l, job, done);
		lane_progress(l);
		failed = done->hold ? obey_hold(l, job, done, e) : 0;
	}
	window_free(w);
	return failed;
}
