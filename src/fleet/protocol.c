/* protocol.c - errors as frames, between worker and controller. */
#include "fleet/protocol.h"

#include <string.h>

int fleet_pack_error(struct buf *b, const struct err *e)
{
	return pack_u8(b, (uint8_t)e->cause) || pack_u8(b, (uint8_t)e->scope) ||
		       pack_u8(b, (uint8_t)e->next) || pack_u8(b, (uint8_t)e->side) ||
		       pack_varint(b, (uint64_t)(e->wait_s < 0 ? 0 : e->wait_s)) ||
		       pack_text(b, e->text) || pack_text(b, e->detail)
		   ? -1
		   : 0;
}

int fleet_unpack_error(struct unpack *u, struct err *e)
{
	struct err got = {.cause = unpack_u8(u), .scope = unpack_u8(u)};
	struct view text, detail;
	uint64_t wait_s;

	got.next = unpack_u8(u);
	got.side = unpack_u8(u);
	wait_s = unpack_varint(u);
	got.wait_s = wait_s > 86400 ? 86400 : (int)wait_s;
	text = unpack_view(u);
	detail = unpack_view(u);
	if (u->bad || got.cause >= CAUSE_COUNT || got.scope > ERR_RUN || got.next > ERR_STOPPED ||
	    got.side > ERR_DESTINATION)
		return -1;
	text_printable(got.text, sizeof(got.text), text.data, text.len);
	text_printable(got.detail, sizeof(got.detail), detail.data, detail.len);
	*e = got;
	return 0;
}
