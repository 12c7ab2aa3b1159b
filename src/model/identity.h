/* identity.h - digests of messages that survive what servers are known to do to them.
 *
 * Canonical bytes: every line end (CRLF, bare LF) is CRLF, a bare CR stays; bytes >= 0x80 and NUL
 * count as 'X' in the header (Cyrus munges the ones, Dovecot replaces the other) and NUL as 0x80 in
 * the body; volatile header fields (Status, X-Status, X-UID, X-UIDL, X-Keywords, X-IMAP, X-IMAPbase,
 * Content-Length, Return-Path, Lines) are left out, with their folded lines; a missing line end at
 * the very end of the message counts as there. */
#pragma once

#include "base/arena.h"
#include "model/item.h"

/* Feed a message in pieces of any size; the result does not depend on the cuts. */
struct identity_reader;

void identity_start(struct identity_reader **r);
void identity_feed(struct identity_reader *r, struct view bytes);
/* Fills *out with all that is known at this moment: after the whole message everything, after only
 * the header (HEADER_ONLY true) size, canonical_size, body, odd and exact are zero. More may be fed
 * afterwards. */
void identity_finish(struct identity_reader *r, bool header_only, struct identity *out);
void identity_free(struct identity_reader **r);
/* Has the empty line that ends the header been fed? */
bool identity_header_done(const struct identity_reader *r);
/* The Message-ID as text for reports, "" = none (or header not done); valid until free. */
const char *identity_msgid(const struct identity_reader *r);

/* All in one, for a message in memory. MSGID (may be NULL) gets a printable copy in A. */
void identity_of(struct view message, struct identity *out, struct arena *a, const char **msgid);

bool identity_has_msgid(const struct identity *i);
/* Do two identities mean the same message? By header digest and size (either's exact or canonical
 * size), and by the Message-ID and the body digest where both know it: what is moved within the
 * destination has none. Dates are the caller's business. */
bool identity_same(const struct identity *a, const struct identity *b);
