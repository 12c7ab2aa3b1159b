/* cursor.c - what all services' cursors share: the first word names the folder's incarnation, other
 * words that are numbers never descend. */
#include <string.h>

#include "connect/connector.h"

bool cursor_same(const struct cursor *a, const struct cursor *b)
{
	size_t len = strcspn(a->text, " ");

	return len && len == strcspn(b->text, " ") && !memcmp(a->text, b->text, len);
}

bool cursor_went_back(const struct cursor *now, const struct cursor *then)
{
	const char *a = now->text, *b = then->text;

	while (*a && *b) {
		size_t a_len = strcspn(a, " "), b_len = strcspn(b, " ");
		uint64_t x, y;

		if (!view_number(view_make(a, a_len), &x) &&
		    !view_number(view_make(b, b_len), &y) && x && x < y && a != now->text)
			return true;
		a += a_len + (a[a_len] == ' ');
		b += b_len + (b[b_len] == ' ');
	}
	return false;
}
