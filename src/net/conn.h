/* conn.h - one buffered connection to a mail server, in blocking style: calls wait in the lane's
 * wait set, so that the other connection goes on meanwhile. Understands no byte it carries.
 *
 * Deadlines: timeout_ms is the longest silence. Every wait ends with cause connect when for that
 * long no byte moved on this connection (in the wanted direction). */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "net/layer.h"
#include "net/wait.h"

enum conn_tls {
	CONN_TLS_IMPLICIT, /* TLS from the first byte */
	CONN_TLS_START,    /* clear text first; conn_starttls must follow */
	CONN_TLS_NONE,     /* asked for by the user */
};

struct conn_target {
	const char *host; /* name or address literal (IPv6 without brackets) */
	uint16_t port;
	enum conn_tls tls;
	const char *ca_file; /* PEM, the only trust; NULL = the system's CAs */
	bool insecure;       /* do not verify; the caller reports it */
	int timeout_ms;
	enum err_side side; /* put into every error of this connection */
	size_t in_max;      /* ceilings of the two buffers, bytes; 0 = 256 KiB. More than in_max
			     * cannot be peeked at once: conn_need then fails (cause protocol) */
	size_t out_max;
};

struct conn_stats {
	uint64_t bytes_in; /* clear bytes, after TLS */
	uint64_t bytes_out;
	uint64_t waits; /* how often conn_need had to wait for the server: round trips, seen
	                     * from here */
};

/* How a connection came to its end. */
enum conn_end {
	CONN_OPEN,
	CONN_HUNG_UP, /* by the server, in order */
	CONN_SILENT,  /* the deadline passed */
	CONN_BROKEN,  /* anything else */
};

struct conn;

/* Resolve, connect (RFC 8305: IPv6 and IPv4 race, 250 ms apart), and for IMPLICIT do the TLS
 * handshake with verification of chain and name (TLS 1.2 or better, SNI). Target is copied.
 * Errors: cause connect or tls, scope link; next give-up where trying again cannot help (bad
 * certificate, unknown host name), with a sentence that names host and port and says what to do
 * (expired: when; foreign CA: --ca-file; wrong name: which names it is for). */
int conn_open(
    struct conn **out, struct waitset *ws, const struct conn_target *target, struct err *e);
/* The same over a pipe that is connected already (proxies, tests): owns LAYER from now on. No
 * handshake is done; target->tls says whether LAYER is encrypted. Cannot fail. */
void conn_over(
    struct conn **out, struct waitset *ws, struct layer *layer, const struct conn_target *target);
/* From now on it waits in WS: for one that was opened by another thread, which is done with it. */
void conn_move(struct conn *c, struct waitset *ws);
/* NULL is fine. Pending output is dropped: callers flush first where it matters. */
void conn_close(struct conn **c);

/* Upgrade after the server's OK. Fails (cause tls, give-up) when bytes were received after it:
 * they came in clear text and may be an attacker's (RFC 3501 §6.2.1, CVE-2011-0411). */
int conn_starttls(struct conn *c, struct err *e);
bool conn_is_encrypted(const struct conn *c);
/* What has arrived and was not taken; valid until the next call on c other than conn_peek. Waiting
 * on anything else meanwhile may make more arrive, but moves nothing. */
struct view conn_peek(struct conn *c);
void conn_take(struct conn *c, size_t len);
/* Wait until more is to be peeked than conn_peek last gave (less what was taken since): bytes that
 * came while somebody else waited are not waited for again. Queued output is sent meanwhile. -1:
 * hung up ("connect", with how much had been received), timeout, TLS trouble, stop. Whatever came
 * before a hang-up is given first. */
int conn_need(struct conn *c, struct err *e);

/* Queue bytes; waits only while the out buffer is full. */
int conn_write(struct conn *c, struct view bytes, struct err *e);
/* Wait until all queued bytes have gone to the kernel. */
int conn_flush(struct conn *c, struct err *e);
/* Trouble noticed while somebody else waited: 0 = none, -1 = *e filled. */
int conn_check(struct conn *c, struct err *e);

enum conn_end conn_end(const struct conn *c);
struct conn_stats conn_stats(const struct conn *c);
