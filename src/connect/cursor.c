/* cursor.c - what all services' cursors share: the first word names the folder's incarnation, the second
 * how far its ids have come. */
#include <string.h>

#include "connect/connector.h"

bool cursor_same(const struct cursor *a, const struct cursor *b)
{
	size_t len = strcspn(a->text, " ");

	return len && len == strcspn(b->text, " ") && !memcmp(a->text, b->text, len);
}

uint64_t cursor_next_id(const struct cursor *c)
{
	const char *at = c->text + strcspn(c->text, " ");
	uint64_t number;

	at += *at == ' ';
	return view_number(view_make(at, strcspn(at, " ")), &number) ? 0 : number;
}

bool cursor_went_back(const struct cursor *now, const struct cursor *then)
{
	return cursor_next_id(now) && cursor_next_id(now) < cursor_next_id(then);
}

bool cursor_glance(const struct folder *f, struct cursor *out)
{
	size_t len = f && f->glance_cursor ? strlen(f->glance_cursor) : 0;

	*out = (struct cursor){""};
	if (!len || len >= sizeof(out->text))
		return false;
	memcpy(out->text, f->glance_cursor, len);
	return true;
}
