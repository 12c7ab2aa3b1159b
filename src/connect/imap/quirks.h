/* quirks.h - what odd servers need, as named bits found from what they say of themselves. Each bit
 * has a test; nobody outside the IMAP connector knows them. */
#pragma once

#include "base/buf.h"

enum imap_quirk {
	/* Courier: EXAMINE of a folder never SELECTed before invents a new UIDVALIDITY each time. */
	QUIRK_SELECT_TO_READ = 1 << 0,
	/* Dovecot: X-GUID, though not advertised, names messages (FETCH) and folders (STATUS); it
	 * outlives MOVE, COPY and RENAME. */
	QUIRK_X_GUID = 1 << 1,
	/* Cyrus 3.6: the MAILBOXID of a LIST with STATUS is memory already freed, any bytes; that of
	 * STATUS alone is right. */
	QUIRK_LIST_WITHOUT_MAILBOXID = 1 << 2,
	/* Courier: RENAME of a folder that is not there is OK. */
	QUIRK_RENAMES_NOTHING = 1 << 3,
};

/* ID: "name version" of RFC 2971, may be empty. CAPABILITY: the words of the list after login, each
 * with a space on both sides. Nothing said before TLS is used. */
unsigned imap_quirks_find(struct view id, struct view capability);
