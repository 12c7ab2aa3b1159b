/* sasl.h - one SASL exchange as the client, sans-I/O (RFC 4422). PLAIN, LOGIN and SCRAM come from
 * libgsasl; XOAUTH2 (which it lacks) is ours. Base64 is done here: in and out are the text that
 * travels in "+ ..." lines. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct sasl_secret {
	const char *user;     /* login name, UTF-8 */
	const char *authzid;  /* account to act for, NULL = none */
	const char *password; /* or OAuth token */
	const char *host;     /* for messages only */
};

struct sasl;

/* Mechanism names are upper case: PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 XOAUTH2.
 * true = this build can do it. */
bool sasl_can(const char *mechanism);
/* Choose the best of those the server offers (names from AUTH= capabilities, upper-cased), where
 * FORCED (upper case) is the only one allowed unless NULL. SCRAM-SHA-256 > SCRAM-SHA-1 > PLAIN >
 * LOGIN; with an authzid only those that carry one; XOAUTH2 only when forced.
 * NULL = none fits. The result is static text. */
const char *sasl_choose(
    const char *const *offered, size_t count, const char *forced, bool has_authzid);

/* Secret is borrowed for the whole life. Errors: cause login, scope mailbox. */
int sasl_start(
    struct sasl **out, const char *mechanism, const struct sasl_secret *secret, struct err *e);
/* Frees, wiping what was secret. */
void sasl_free(struct sasl **out);
/* true: the mechanism speaks first, so that an initial response can be sent (SASL-IR). */
bool sasl_client_first(const struct sasl *s);
/* CHALLENGE: base64 text behind "+ " (empty for the first step of a client-first mechanism).
 * Adds the base64 answer to OUT (nothing for an empty one; an empty initial response is "=",
 * which the caller writes). Whatever was said is secret: never log it.
 * -1: the server's proof was wrong or a challenge malformed (cause login). */
int sasl_step(struct sasl *s, struct view challenge, struct buf *out, struct err *e);
/* After the server's OK: has the mechanism seen all it needs, the server's signature in SCRAM
 * among it? -1 = no, the server is not who it claims to be (cause login, with a sentence). */
int sasl_finish(struct sasl *s, struct err *e);
