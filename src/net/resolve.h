/* resolve.h - host names to addresses, with a deadline (getaddrinfo has none: a thread asks, the
 * lane waits in its wait set; a thread that is late is abandoned and cleans up after itself). */
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include "base/error.h"
#include "net/wait.h"

struct address {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* Addresses of HOST in the order to try them: families alternate, IPv6 first (RFC 8305 §4).
 * *out is the caller's, release with free(). Errors: cause connect; an unknown name is give-up,
 * a resolver that cannot answer now is retry. DEADLINE as waitset_wait. */
int resolve_host(struct address **out, size_t *count, struct waitset *ws, const char *host,
    uint16_t port, int64_t deadline, struct err *e);

/* Whoever asks the name service: getaddrinfo, or in tests one that is late or fails. It runs in a
 * thread of its own that may outlive the call. */
typedef int resolve_ask(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list);

/* resolve_host with another asker for names (not for address literals). */
int resolve_host_by(resolve_ask *ask, struct address **out, size_t *count, struct waitset *ws,
    const char *host, uint16_t port, int64_t deadline, struct err *e);
