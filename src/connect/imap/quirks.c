/* quirks.c - the one table of odd servers. Beside the IMAP connector; pure. */
#include "connect/imap/quirks.h"

static const struct {
	const char *greeting; /* somewhere in the greeting, NULL = any */
	const char *id;       /* somewhere in the ID, NULL = any */
	unsigned bits;
} table[] = {
    {.greeting = "Courier-IMAP", .bits = QUIRK_SELECT_TO_READ},
    {.id = "Courier", .bits = QUIRK_SELECT_TO_READ},
};

unsigned imap_quirks_find(struct view greeting, struct view id)
{
	unsigned bits = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].greeting && view_find_nocase(greeting, table[i].greeting) < 0)
			continue;
		if (table[i].id && view_find_nocase(id, table[i].id) < 0)
			continue;
		bits |= table[i].bits;
	}
	return bits;
}
