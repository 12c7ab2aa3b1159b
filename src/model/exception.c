/* exception.c - exceptions as frames.
 *
 * On the data's way: the engine makes an exception in a worker, it travels to the controller in
 * this form, which writes the report and the event stream from it.
 * Promises: what was packed unpacks to the same, texts beyond TEXT_MAX are cut between characters;
 * hostile bytes give -1, never a wild read, a NUL inside a text or a cause that does not exist.
 * Does not: make texts fit for a terminal (text_printable does). */
#include "model/exception.h"

#include <string.h>

#define TEXT_MAX 16384u

static int pack_cut(struct buf *b, const char *text)
{
	struct view v = view_of(text);

	if (v.len > TEXT_MAX) {
		v.len = TEXT_MAX;
		while (v.len && ((unsigned char)v.data[v.len] & 0xc0) == 0x80)
			v.len--;
	}
	return pack_view(b, v);
}

int exception_pack(struct buf *b, const struct exception *x)
{
	size_t before = b->len;

	assert(x->cause > CAUSE_NONE && x->cause < CAUSE_COUNT);
	if (pack_u16(b, (uint16_t)x->cause) == 0 && pack_cut(b, x->folder) == 0 &&
	    pack_cut(b, x->target) == 0 && pack_cut(b, x->id) == 0 && pack_cut(b, x->msgid) == 0 &&
	    pack_cut(b, x->reason) == 0)
		return 0;
	b->len = before;
	return -1;
}

static const char *unpack_text(struct unpack *u, struct arena *a)
{
	struct view v = unpack_view(u);

	if (v.len > TEXT_MAX || (v.len && memchr(v.data, '\0', v.len)))
		u->bad = true;
	return u->bad ? "" : arena_text(a, v);
}

int exception_unpack(struct unpack *u, struct exception *x, struct arena *a)
{
	unsigned cause = unpack_u16(u);
	struct exception got = {.cause = (enum cause)cause};

	got.folder = unpack_text(u, a);
	got.target = unpack_text(u, a);
	got.id = unpack_text(u, a);
	got.msgid = unpack_text(u, a);
	got.reason = unpack_text(u, a);
	if (cause == CAUSE_NONE || cause >= CAUSE_COUNT)
		u->bad = true;
	if (u->bad)
		return -1;
	*x = got;
	return 0;
}
