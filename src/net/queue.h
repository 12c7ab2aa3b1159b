/* queue.h - bytes in one piece of fixed size: added at the end, taken at the start. For the files
 * of net/ only.
 *
 * The memory never moves and adding never moves bytes, so that a view of what is inside stays true
 * while others go on adding; only queue_take and queue_compact, which the owner calls, may move
 * them. The memory is asked for once, with the first byte; untouched pages cost nothing. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct queue {
	char *data;
	size_t size;  /* the ceiling */
	size_t start; /* first byte inside */
	size_t end;   /* behind the last byte inside */
};

static inline void queue_init(struct queue *q, size_t ceiling)
{
	*q = (struct queue){.size = ceiling};
}

static inline void queue_free(struct queue *q)
{
	free(q->data);
	*q = (struct queue){0};
}

static inline size_t queue_len(const struct queue *q)
{
	return q->end - q->start;
}

static inline struct view queue_view(const struct queue *q)
{
	return view_make(q->data ? q->data + q->start : "", queue_len(q));
}

/* How many bytes can be added behind the last one, and where. */
static inline size_t queue_room(const struct queue *q)
{
	return q->size - q->end;
}

static inline char *queue_tail(struct queue *q)
{
	if (!q->data)
		q->data = mem_new(q->size, 1);
	return q->data + q->end;
}

static inline void queue_grown(struct queue *q, size_t len)
{
	assert(len <= queue_room(q));
	q->end += len;
}

/* Move what is inside to the front, so that all free bytes are behind it. */
static inline void queue_compact(struct queue *q)
{
	if (q->start == 0)
		return;
	memmove(q->data, q->data + q->start, queue_len(q));
	q->end -= q->start;
	q->start = 0;
}

static inline void queue_take(struct queue *q, size_t len)
{
	assert(len <= queue_len(q));
	q->start += len;
	if (q->start == q->end)
		q->start = q->end = 0;
	/* Moves at most as many bytes as were taken since the last move. */
	else if (queue_room(q) < q->size / 4 && queue_len(q) <= q->start)
		queue_compact(q);
}

/* Add what fits behind the last byte; returns how much that was. */
static inline size_t queue_add(struct queue *q, const void *data, size_t len)
{
	size_t fits = len < queue_room(q) ? len : queue_room(q);
	if (fits > 0)
		memcpy(queue_tail(q), data, fits);
	q->end += fits;
	return fits;
}
