/* tcp.h - the bottom of the pipes: connecting, and bytes over a socket. */
#pragma once

#include "net/layer.h"
#include "net/resolve.h"
#include "net/wait.h"

#define TCP_ATTEMPT_DELAY_MS 250 /* RFC 8305 §8, Connection Attempt Delay */

/* Connect to the first of the addresses that answers: they are tried in the given order, the next
 * one 250 ms after the last was started, or at once when one fails; losers are closed. The caller
 * owns *out (close it with its ops). Errors: cause connect, scope link, the text a predicate as in
 * layer.h, the detail with each address and its trouble; stopped. DEADLINE as waitset_wait. */
int tcp_connect(struct layer **out, struct waitset *ws, const struct address *list, size_t count,
    int64_t deadline, struct err *e);

/* A layer over a connected stream socket, which it owns from now on (made non-blocking). Never
 * raises SIGPIPE. */
void tcp_over(struct layer **out, int fd);

/* Bytes handed to the kernel that the peer has not acknowledged yet; 0 when not known. */
size_t tcp_unsent(int fd);

/* The least a wait for input is to end for, in bytes; less is there for whoever reads without
 * waiting, and an end or an error ends every wait. Without it, 1. */
void tcp_wake_at(int fd, int bytes);
