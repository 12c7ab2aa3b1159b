/* quirks.h - what odd servers need, as named bits found from what is known of them. Only where it
 * cannot be found out by looking: tolerance for all beats a bit for one. Each bit has a test, and
 * stands in docs/strange-servers.md; nobody outside the IMAP connector knows them. */
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
	/* iCloud: what VANISHED tells is malformed, and ENABLE says OK without ENABLED. */
	QUIRK_NO_QRESYNC = 1 << 4,
	/* Yahoo, Gmail with that setting: of a large folder only the newest messages are shown, a
	 * round number of them (imap_looks_capped). */
	QUIRK_SHOWS_NEWEST = 1 << 5,
	/* Exchange, GroupWise: RFC822.SIZE is an estimate unless the administrator wants it exact (RFC 2683
	 * §3.4.5): what seems a little too large may fit. */
	QUIRK_SIZES_GUESSED = 1 << 6,
};

/* What is known of a server. Each may be empty; nothing said before TLS belongs here. */
struct imap_clues {
	struct view host;       /* as the user wrote it */
	struct view greeting;   /* its text */
	struct view id;         /* "name version" of RFC 2971 */
	struct view capability; /* the words of the last list, each with a space on both sides */
};

/* The bits of enum imap_quirk. */
unsigned imap_quirks_find(const struct imap_clues *clues);

/* Is this the number at which a server with QUIRK_SHOWS_NEWEST stops showing messages? */
bool imap_looks_capped(uint64_t messages);
