/* imap.c - the IMAP connector's table (connector.h): IMAP4rev1 (RFC 3501) with what servers add. */
#include "connect/imap/imap.h"
#include "connect/connectors.h"

static struct window *imap_abandon(struct session *s)
{
	struct window *w = imap_abandon_append(IMAP(s));

	return w ? w : imap_abandon_fetch(IMAP(s));
}

const struct connector imap_connector = {
    .scheme = "imap",
    .open = imap_open,
    .adopt = imap_adopt,
    .close = imap_close,
    .list = imap_list,
    .make = imap_make,
    .make_all = imap_make_all,
    .now = imap_now,
    .changes = imap_changes,
    .changes_all = imap_changes_all,
    .want = imap_want,
    .next = imap_next,
    .put = imap_put,
    .settle = imap_settle,
    .mark = imap_mark,
    .place = imap_place,
    .remove = imap_remove,
    .abandon = imap_abandon,
};
