/* lane.c - what a lane tells its controller, and what it may carry. Below all rooms of the engine, so
 * that none of them needs another for it. Promises: text from servers is made harmless. */
#include "flow/lane.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void lane_exception(struct lane *l, const struct folder_job *job, enum cause cause, struct view id,
    const char *msgid, const char *fmt, ...)
{
	const struct flow_watch *watch = l->context->watch;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char reason[400];
	struct exception x = {.cause = cause,
	    .folder = job->name,
	    .target = strcmp(job->name, job->target_name) ? job->target_name : "",
	    .id = arena_text(&scratch, id),
	    .msgid = msgid,
	    .reason = reason};
	va_list args;

	va_start(args, fmt);
	text_format(reason, sizeof(reason), fmt, args);
	va_end(args);
	l->summary->notes += cause_exit(cause) == 0;
	l->summary->not_copied += cause == CAUSE_MISSING || cause == CAUSE_IN_DOUBT;
	watch->exception(watch->arg, &x);
}

void lane_note(struct lane *l, const char *fmt, ...)
{
	const struct flow_watch *watch = l->context->watch;
	char text[500];
	va_list args;

	va_start(args, fmt);
	text_format(text, sizeof(text), fmt, args);
	va_end(args);
	watch->note(watch->arg, text);
}

/* Folders not looked at yet are counted as their listing told, at the mean size so far. */
void lane_progress(struct lane *l)
{
	struct copy_progress p = l->progress;
	uint64_t mean = p.items_total ? p.bytes_total / p.items_total : 0;

	p.items_total += l->ahead_items;
	p.bytes_total += l->ahead_items * mean;
	l->context->watch->progress(l->context->watch->arg, &p);
}

bool lane_may_repair(const struct lane *l, enum cause cause)
{
	return l->options->repair &&
	       (cause == CAUSE_REFUSED || cause == CAUSE_NUL || cause == CAUSE_8BIT_HEADER ||
		   cause == CAUSE_BARE_NEWLINE || cause == CAUSE_BAD_HEADER ||
		   cause == CAUSE_EMPTY || cause == CAUSE_LONG_LINE);
}

void lane_repaired(struct lane *l, const struct folder_job *job, struct view id, const char *msgid,
    const char *repair)
{
	l->summary->items_repaired++;
	lane_exception(l, job, CAUSE_REPAIRED, id, msgid, "%s", repair);
}

bool lane_is_steady(const struct lane *l)
{
	return l->context->record;
}

uint64_t lane_reading_ahead(const struct lane *l)
{
	return lane_is_steady(l) ? WANTED_BYTES : pace_ahead(&l->reading, PACE_LEAST, WANTED_BYTES);
}

/* Steady: no more than the pair that always may be. */
uint64_t lane_writing_ahead(const struct lane *l)
{
	return lane_is_steady(l) ? 0 : pace_ahead(&l->writing, PACE_LEAST, PUT_BYTES);
}

uint64_t lane_stream_from(const struct lane *l)
{
	return l->context->stream_from ? l->context->stream_from : STREAM_FROM;
}

uint64_t lane_max_size(const struct lane *l)
{
	uint64_t told = l->destination ? l->destination->caps.max_size : 0;
	uint64_t asked = l->options->max_size;

	return !told ? asked : !asked || told < asked ? told : asked;
}
