/* account.c - what an account may still take: quota (RFC 9208) and keywords. Asked right after the
 * login, and only where env.measure is set, because a copy learns it by itself. Above session.c.
 * Promises: nothing is changed; what the server does not tell stays unknown. */
#include "connect/imap/imap.h"

/* "STORAGE 10 512 MESSAGE 3 1000": the room left, in bytes (RFC 9208 §5.1: units of 1024). */
static bool storage_free(const struct imap_node *list, uint64_t *out)
{
	const struct imap_node *used = imap_node_value(list, "STORAGE");
	uint64_t now, limit;

	if (!used || imap_node_number(used, &now) || imap_node_number(used->next, &limit))
		return false;
	*out = limit <= now                      ? 0
	       : limit - now > UINT64_MAX / 1024 ? UINT64_MAX
						 : (limit - now) * 1024;
	return true;
}

/* Of several roots the one with the least room counts. */
static int take_quota(void *arg, const struct imap_response *r, struct err *e)
{
	struct session_caps *caps = &((struct imap *)arg)->session.caps;
	const struct imap_node *list = imap_node_at(r->args, 1);
	uint64_t room;

	(void)e;
	if (!view_is_nocase(r->name, "QUOTA") || !list || list->kind != IMAP_NODE_LIST ||
	    !storage_free(list->child, &room))
		return 0;
	caps->quota_free = caps->quota_told && caps->quota_free < room ? caps->quota_free : room;
	caps->quota_told = true;
	return 0;
}

static int ask_quota(struct imap *im, struct err *e)
{
	struct imap_command c;

	if (view_find_nocase(buf_view(&im->capability), " QUOTA") < 0)
		return 0;
	imap_command_start(im, &c, "GETQUOTAROOT");
	imap_command_add(&c, "INBOX");
	if (!imap_run(im, &c, &(struct imap_taker){.response = take_quota, .arg = im}, e))
		return 0;
	return e->scope == ERR_FOLDER ? 0 : -1;
}

/* Only SELECT tells: for EXAMINE nothing is permanent. It is left without an EXPUNGE. */
static int ask_keywords(struct imap *im, struct err *e)
{
	if (imap_select(im, view_of("INBOX"), true, true, e))
		return e->scope == ERR_FOLDER ? 0 : -1;
	return imap_unselect(im, e);
}

int imap_measure(struct imap *im, struct err *e)
{
	return ask_quota(im, e) || ask_keywords(im, e) ? -1 : 0;
}
