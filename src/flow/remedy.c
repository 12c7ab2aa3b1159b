/* remedy.c - what the destination refuses is put in other bytes, where the user asked for it (--repair). Beside
 * window.c: a refused item climbs one rung, is wanted again from the source, alone, and mended or
 * wrapped (repair.h) before its intent is written; so all that follows, doubt too, is about the bytes
 * that are sent, while the row knows the source's header as well.
 * Promises: the exact bytes are tried first; where originals are kept, this one is before anything else is
 * put for it; an item is repaired and told, or refused and told. */
#include "repair/repair.h"

#include <string.h>

#include "flow/lane.h"
#include "model/identity.h"

#define REMEDY_MAX (8u << 20) /* larger ones are not held in memory */

static bool is_large(const struct window *w, const struct window_item *item)
{
	return (w->stream ? w->stream->size : item->len) > REMEDY_MAX;
}

const char *remedy_hindrance(
    const struct lane *l, const struct window *w, const struct window_item *item)
{
	if (item->repair)
		return "; this was the answer to the repaired one";
	return lane_may_repair(l, item->cause) && is_large(w, item)
		   ? "; larger than 8 MiB it is not repaired"
		   : "";
}

bool remedy_climb(
    struct lane *l, struct folder_job *job, const struct window *w, struct window_item *item)
{
	if (item->for_now || !lane_may_repair(l, item->cause) || item->rung + 1 >= REPAIR_RUNGS ||
	    is_large(w, item))
		return false; /* not its bytes, or not to be helped */
	item->refusal = item->rung ? arena_printf(&job->arena, "%s, and then \"%s\"", item->refusal,
					 item->reason)
				   : arena_printf(&job->arena, "\"%s\"", item->reason);
	item->refused = item->cause;
	item->cause = CAUSE_NONE;
	item->state = ITEM_AGAIN;
	item->climbs = true;
	item->tries = 0;
	item->rung++;
	return true;
}

/* The whole message, from wherever it comes; *LARGE: more than announced, and dropped. */
static int take_original(struct window *w, struct buf *out, bool *large, struct err *e)
{
	struct window_item *item = &w->items[0];
	struct view piece;
	int more;

	*large = false;
	if (item->state == ITEM_READ) {
		*large = buf_add(out, w->body.data + item->offset, item->len) != 0;
		return 0;
	}
	while ((more = w->stream->read(w->stream, &piece, e)) == 1)
		*large = *large || buf_add_view(out, piece);
	w->stream = NULL;
	return more;
}

static int refuse(struct lane *l, struct folder_job *job, struct window_item *item,
    const char *reason, struct err *e)
{
	item->state = ITEM_REFUSED;
	item->cause = item->refused;
	item->reason = reason;
	lane_exception(l, job, item->cause, item->id, item->msgid, "%s", reason);
	return ledger_refuse(l->ledger, job->memory, item, ROW_REFUSED, e);
}

/* The bytes of the rung, or of the next one where there are none. What was done, in W's arena. */
static const char *make_bytes(struct window *w, struct view original)
{
	struct window_item *item = &w->items[0];
	char changes[REPAIR_TEXT];
	unsigned changed;

	buf_free(&w->body);
	buf_init(&w->body, 2 * original.len + 65536);
	if (item->rung == REPAIR_MENDED && !repair_mend(original, &w->body, &changed)) {
		repair_describe(changes, changed);
		return arena_printf(&w->arena, "mended: %s", changes);
	}
	item->rung = REPAIR_WRAPPED;
	buf_clear(&w->body);
	repair_wrap(original, item->date_told.known ? item->date_told.instant : 0, &w->body);
	return "wrapped: stored as the attachment of a message";
}

static int repair(
    struct lane *l, struct folder_job *job, struct window *w, struct view original, struct err *e)
{
	struct window_item *item = &w->items[0];
	char name[KEPT_NAME] = "";
	const char *done;
	struct err why;

	identity_of(original, &item->identity, &w->arena, &item->msgid);
	memcpy(item->header_told, item->identity.header, sizeof(item->header_told));
	if (l->context->keep && l->context->keep(l->context->keep_arg, original, name, &why))
		return refuse(l, job, item, arena_strdup(&w->arena, why.text), e);
	done = make_bytes(w, original);
	item->repair = arena_printf(&w->arena, "%s%s%s; the destination answered %s", done,
	    *name ? "; the original is kept as " : "", name, item->refusal);
	item->state = ITEM_READ;
	item->offset = 0;
	item->len = w->body.len;
	return 0;
}

int remedy_item(struct lane *l, struct folder_job *job, struct window *w, struct err *e)
{
	struct buf original AUTO(buf_free) = BUF_INIT(REMEDY_MAX);
	bool large;

	assert(w->count == 1);
	if (take_original(w, &original, &large, e))
		return -1;
	if (large)
		return refuse(l, job, &w->items[0], "it is too large to be repaired", e);
	return repair(l, job, w, buf_view(&original), e);
}
