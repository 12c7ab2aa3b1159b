/* maildir.c - the Maildir connector's table (connector.h). */
#include "connect/maildir/maildir.h"
#include "connect/connectors.h"

static struct window *maildir_abandon(struct session *s)
{
	struct window *w = maildir_queue_pop(&MAILDIR(s)->put);

	return w ? w : maildir_queue_pop(&MAILDIR(s)->wanted);
}

const struct connector maildir_connector = {
    .scheme = "maildir",
    .open = maildir_open,
    .close = maildir_close,
    .list = maildir_list,
    .make = maildir_make,
    .now = maildir_now,
    .changes = maildir_changes,
    .want = maildir_want,
    .next = maildir_next,
    .put = maildir_put,
    .settle = maildir_settle,
    .mark = maildir_mark,
    .place = maildir_place,
    .remove = maildir_remove,
    .abandon = maildir_abandon,
};
