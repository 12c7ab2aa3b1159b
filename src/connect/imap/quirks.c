/* quirks.c - the one table of odd servers. Beside the IMAP connector; pure. */
#include "connect/imap/quirks.h"

#include <string.h>

/* All clues of a line must fit, NULL = any. */
static const struct {
	const char *host;       /* ".x.org" = x.org and all below it, else that name alone */
	const char *greeting;   /* somewhere in its text */
	const char *id;         /* somewhere in the ID */
	const char *capability; /* somewhere in the list */
	unsigned bits;
} table[] = {
    /* Courier; it knows no ID, and its greeting only where nobody wrote another */
    {.capability = " ACL2=UNION ", .bits = QUIRK_SELECT_TO_READ | QUIRK_RENAMES_NOTHING},
    {.greeting = "Courier-IMAP ready", .bits = QUIRK_SELECT_TO_READ | QUIRK_RENAMES_NOTHING},
    {.id = "Dovecot", .bits = QUIRK_X_GUID},
    {.id = "Cyrus", .bits = QUIRK_LIST_WITHOUT_MAILBOXID},
    {.host = ".mail.me.com", .bits = QUIRK_NO_QRESYNC},
    {.host = "imap.mail.yahoo.com", .bits = QUIRK_SHOWS_NEWEST}, /* export.imap... shows all */
    {.host = "imap.aol.com", .bits = QUIRK_SHOWS_NEWEST},
    {.capability = " X-GM-EXT-1 ", .bits = QUIRK_SHOWS_NEWEST},
    {.greeting = "Microsoft Exchange", .bits = QUIRK_SIZES_GUESSED},
    {.host = "outlook.office365.com", .bits = QUIRK_SIZES_GUESSED},
    {.greeting = "GroupWise", .bits = QUIRK_SIZES_GUESSED},
};

static bool host_fits(struct view host, const char *pattern)
{
	size_t len = strlen(pattern);

	if (host.len && host.data[host.len - 1] == '.') /* the root's dot */
		host.len--;
	if (*pattern != '.')
		return view_is_nocase(host, pattern);
	if (view_is_nocase(host, pattern + 1))
		return true;
	return host.len > len &&
	       view_is_nocase(view_make(host.data + host.len - len, len), pattern);
}

unsigned imap_quirks_find(const struct imap_clues *clues)
{
	unsigned bits = 0;

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		if (table[i].host && !host_fits(clues->host, table[i].host))
			continue;
		if (table[i].greeting && view_find_nocase(clues->greeting, table[i].greeting) < 0)
			continue;
		if (table[i].id && view_find_nocase(clues->id, table[i].id) < 0)
			continue;
		if (table[i].capability &&
		    view_find_nocase(clues->capability, table[i].capability) < 0)
			continue;
		bits |= table[i].bits;
	}
	return bits;
}

bool imap_looks_capped(uint64_t messages)
{
	return messages == 1000 || messages == 2000 || messages == 5000 || messages == 10000;
}
