/* endpoint.h - SOURCE and DESTINATION as the user writes them (DESIGN §10).
 *
 *   imaps://user@host[:port]/      TLS from the first byte, port 993
 *   imap://user@host[:port]/       STARTTLS required, port 143; ?tls=none must be asked for
 *   ?auth=MECHANISM  plain login scram-sha-1 scram-sha-256 xoauth2
 *   ?authzid=NAME    account to act for
 *   ?connections=N   at most so many at once
 *   ?id=NAME         whose mailbox it is, where user and host do not tell (see identity)
 *
 *   maildir:/path                  a Maildir on this machine; no host, no user, nobody is asked for a
 *                                  password. A relative path counts from where godwit was started.
 *   ?layout=NAME     maildir++ (".A.B") or fs ("A/B"), where what is there does not tell; ?id= as above
 *
 * The user part is percent-encoded ('@' in it may stand as it is: the last one before the host
 * counts). Where the URL has no user, OS login name is NOT assumed: it is an error. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum endpoint_tls { ENDPOINT_TLS, ENDPOINT_STARTTLS, ENDPOINT_CLEAR };

/* How the folders of a Maildir lie on disk. */
enum endpoint_layout { LAYOUT_DETECT, LAYOUT_MAILDIRPP, LAYOUT_FS };

struct endpoint {
	const char *scheme; /* "imap" for imap and imaps: the service, lower case */
	const char *url;    /* as given; holds no secret */
	const char *user;   /* decoded UTF-8; NULL = the service has no login */
	const char *host;   /* lower case, IPv6 literal without brackets; NULL = this machine */
	const char
	    *path; /* of a service on this machine, decoded, as written; else NULL. Whoever may
	                   * look at the disk makes it real, and with it the identity. */
	enum endpoint_layout layout;
	uint16_t port;
	enum endpoint_tls tls;
	const char *auth;    /* mechanism, upper case ("SCRAM-SHA-256"); NULL = choose */
	const char *authzid; /* NULL = none */
	int connections;     /* at most so many at once; 0 = nothing was said */
	const char
	    *identity; /* "account@host" in lower-case host: whose mailbox it is, whatever port, TLS
	                       * or login form (the authzid's where given), or "maildir:" and the
	                       * path; ?id= goes before either; key of ledger and lock */
	bool identity_given; /* by ?id= */
	/* from options, not from the URL */
	const char *ca_file; /* NULL = the system's */
	bool insecure;
	int timeout_ms;
	enum err_side side;
};

/* Parse TEXT into *out; strings live in A. Errors: cause usage, scope run, text says what is wrong
 * and shows a right example. A password in the URL is refused, naming the options to use instead;
 * unknown query parameters are refused by name. */
int endpoint_parse(
    struct endpoint *out, struct arena *a, const char *text, enum err_side side, struct err *e);
