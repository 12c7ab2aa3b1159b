/* quirks.c - the one table of odd servers. Beside the IMAP connector; pure. */
#include "connect/imap/quirks.h"

static const struct {
	const char *id;         /* somewhere in the ID, NULL = any */
	const char *capability; /* somewhere in the list, NULL = any */
	unsigned bits;
} table[] = {
    /* Courier; it knows no ID */
    {.capability = " ACL2=UNION ", .bits = QUIRK_SELECT_TO_READ | QUIRK_RENAMES_NOTHING},
    {.id = "Dovecot", .bits = QUIRK_X_GUID},
    {.id = "Cyrus", .bits = QUIRK_LIST_WITHOUT_MAILBOXID},
};

unsigned imap_quirks_find(struct view id, struct view capability)
{
	unsigned bits = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].id && view_find_nocase(id, table[i].id) < 0)
			continue;
		if (table[i].capability && view_find_nocase(capability, table[i].capability) < 0)
			continue;
		bits |= table[i].bits;
	}
	return bits;
}
