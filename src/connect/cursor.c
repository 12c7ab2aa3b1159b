/* cursor.c - what all services' cursors share: the first word names the folder's incarnation. */
#include <string.h>

#include "connect/connector.h"

bool cursor_same(const struct cursor *a, const struct cursor *b)
{
	size_t len = strcspn(a->text, " ");

	return len && len == strcspn(b->text, " ") && !memcmp(a->text, b->text, len);
}
