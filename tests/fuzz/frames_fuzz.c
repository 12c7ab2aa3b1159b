/* frames_fuzz.c - what travels between processes in one frame: exceptions and errors. Anything is read
 * or refused, what was read is written and read again the same, and holds no control character that
 * a terminal would obey where it says so. */
#include "fleet/protocol.h"
#include "fuzz.h"
#include "model/exception.h"

enum { OUT_MAX = 1 << 20 };

static void check_exception(struct view input)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	AUTO(buf_free) struct buf once = BUF_INIT(OUT_MAX), twice = BUF_INIT(OUT_MAX);
	struct unpack u = unpack_start(input), v;
	struct exception x, y;

	if (exception_unpack(&u, &x, &a))
		return;
	must(x.cause > CAUSE_NONE && x.cause < CAUSE_COUNT && *cause_name(x.cause),
	    "it has a cause");
	must(!exception_pack(&once, &x), "it is written");
	v = unpack_start(buf_view(&once));
	must(!exception_unpack(&v, &y, &a) && !unpack_done(&v), "and read again");
	must(!exception_pack(&twice, &y) && view_eq(buf_view(&once), buf_view(&twice)),
	    "and is the same");
}

static void check_error(struct view input)
{
	AUTO(buf_free) struct buf once = BUF_INIT(OUT_MAX), twice = BUF_INIT(OUT_MAX);
	struct unpack u = unpack_start(input), v;
	struct err e, again;

	if (fleet_unpack_error(&u, &e))
		return;
	must(*err_scope_name(e.scope) && *cause_name(e.cause), "its names are known");
	for (size_t i = 0; e.text[i]; i++)
		must((unsigned char)e.text[i] >= 0x20 && e.text[i] != 0x7f, "it may be shown");
	must(!fleet_pack_error(&once, &e), "it is written");
	v = unpack_start(buf_view(&once));
	must(!fleet_unpack_error(&v, &again) && !unpack_done(&v), "and read again");
	must(!fleet_pack_error(&twice, &again) && view_eq(buf_view(&once), buf_view(&twice)),
	    "and is the same");
}

/* Numbers in as few bytes as they need, and back. */
static void check_numbers(struct view input)
{
	AUTO(buf_free) struct buf out = BUF_INIT(OUT_MAX);
	struct unpack u = unpack_start(input), v;
	uint64_t n = unpack_varint(&u);

	if (u.bad)
		return;
	pack_varint(&out, n);
	v = unpack_start(buf_view(&out));
	must(unpack_varint(&v) == n && !unpack_done(&v), "a number is the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_exception(view_make(data, size));
	check_error(view_make(data, size));
	check_numbers(view_make(data, size));
	return 0;
}
