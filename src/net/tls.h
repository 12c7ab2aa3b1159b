/* tls.h - TLS as a pipe over any other pipe (client side, OpenSSL 3, TLS 1.2 or better). */
#pragma once

#include "net/layer.h"

struct tls_settings {
	const char *host;    /* what the certificate must be for; a name is also sent as SNI */
	uint16_t port;       /* for sentences to the user */
	const char *ca_file; /* PEM, the only trust; NULL = the system's CAs, or what SSL_CERT_FILE
			      * and SSL_CERT_DIR name */
	bool insecure;       /* verify neither chain nor name */
	bool upgrade;        /* clear text came before (STARTTLS); for sentences */
};

/* A TLS layer over BELOW, which it owns from now on, also when this fails (cause tls, give-up: the
 * CA file cannot be used). Nothing has been said yet: see tls_handshake. */
int tls_over(
    struct layer **out, struct layer *below, const struct tls_settings *settings, struct err *e);

/* Go on shaking hands: 0 = done and verified, LAYER_AGAIN = wait for what wants() says and call
 * again, LAYER_FAILED. Errors, texts as in layer.h: cause tls, give-up where the certificate or the
 * protocol is at fault; cause connect when the peer hung up. */
int tls_handshake(struct layer *layer, struct err *e);
