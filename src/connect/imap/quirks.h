/* quirks.h - what odd servers need, as named bits found from what they say of themselves. Each bit
 * has a test; nobody outside the IMAP connector knows them. */
#pragma once

#include "base/buf.h"

enum imap_quirk {
	/* Courier: EXAMINE of a folder never SELECTed before invents a new UIDVALIDITY each time. */
	QUIRK_SELECT_TO_READ = 1 << 0,
};

/* GREETING: text of the greeting. ID: "name version" of RFC 2971, may be empty. */
unsigned imap_quirks_find(struct view greeting, struct view id);
