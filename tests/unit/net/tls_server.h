/* tls_server.h - for tests: certificates made on the spot, and a small server in a child process
 * that behaves well or badly, on a loopback port. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

enum cert_kind {
	CERT_GOOD,     /* for localhost and 127.0.0.1, by our CA */
	CERT_EXPIRED,  /* likewise, but its time is over since 2001-02-03 */
	CERT_EARLY,    /* likewise, but valid only from 2090-01-01 */
	CERT_OTHER,    /* for other.example and 192.0.2.9 and 2001:db8::9 */
	CERT_NAMELESS, /* only a common name, which counts for nothing */
	CERT_SELF,     /* for localhost, by itself */
	CERT_BY_LEAF,  /* signed by CERT_GOOD, which is no CA */
	CERT_KINDS,
};

enum manners {
	SERVE_TLS,         /* greeting, then one answer to one line, then an orderly end */
	SERVE_STARTTLS,    /* the same after STARTTLS */
	SERVE_INJECTED,    /* bytes behind the OK to STARTTLS, in the same packet */
	SERVE_CLEAR_AFTER, /* OK to STARTTLS, then clear text */
	SERVE_CLEAR,       /* speaks clear text at once */
	SERVE_HANG_UP,     /* hangs up instead of shaking hands */
	SERVE_SILENT,      /* never says a word */
	SERVE_OLD,         /* TLS 1.1 at most */
	SERVE_NO_CIPHER,   /* only ciphers that do not encipher */
	SERVE_CUT_RECORD,  /* half a record, then the connection is cut */
	SERVE_CUT_STREAM,  /* whole records, then cut without close_notify */
	SERVE_GARBAGE,     /* bytes that are no TLS record after the greeting */
	SERVE_MUCH,        /* MUCH_BYTES after the greeting, while it takes as many */
};

#define MUCH_BYTES (1u << 20)
#define TLS_GREETING "* OK ready\r\n"
#define TLS_COMMAND "a NOOP\r\n"
#define TLS_ANSWER "a OK done\r\n"
#define STARTTLS_GREETING "* OK STARTTLS\r\n"
#define STARTTLS_COMMAND "s STARTTLS\r\n"
#define STARTTLS_ANSWER "s OK go\r\n"

/* Makes PEM files in a new directory; its names are valid until pki_free. */
struct pki {
	char dir[64];
	char ca[96];         /* the CA's certificate */
	char foreign_ca[96]; /* of a CA that signed nothing here */
	char cert[CERT_KINDS][96];
	char key[96]; /* of all of them */
};

void pki_new(struct pki *pki);
void pki_free(struct pki *pki);

struct tls_server {
	pid_t pid;
	uint16_t port;
};

/* One connection is served. */
void tls_server_start(
    struct tls_server *s, const struct pki *pki, enum cert_kind cert, enum manners manners);
/* Waits for the child's end (kills it when it is one that never ends). 0 = the child was content
 * with what it heard. */
int tls_server_stop(struct tls_server *s);

/* The byte at place I of what SERVE_MUCH sends and expects. */
char much_byte(size_t i);
