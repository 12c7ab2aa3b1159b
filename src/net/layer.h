/* layer.h - stackable pipes: tcp at the bottom, tls above it, later deflate and proxies.
 * Non-blocking, without buffers of their own beyond what the library below needs. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define LAYER_AGAIN (-1) /* nothing can move now; see wants */
#define LAYER_FAILED (-2)

struct layer {
	const struct layer_ops *ops;
	struct layer *below; /* owned; NULL at the bottom */
};

struct layer_ops {
	const char *name;
	/* Bytes moved (> 0), 0 = the peer ended the stream in order, LAYER_AGAIN, or LAYER_FAILED
	 * with *e filled (scope link; cause connect or tls; side not set: conn does that). The text
	 * is a predicate ("hung up"): conn puts "HOST:PORT " before it. Whoever fails goes on
	 * failing. */
	ptrdiff_t (*read)(struct layer *l, void *out, size_t size, struct err *e);
	ptrdiff_t (*write)(struct layer *l, const void *data, size_t len, struct err *e);
	/* POLLIN|POLLOUT needed before a read (READING) or a write can make progress. To be asked
	 * before each wait: what came during it may not be read without. */
	short (*wants)(struct layer *l, bool reading);
	/* Bytes that can be read without the socket becoming readable first (inside TLS). */
	bool (*pending)(struct layer *l);
	int (*fd)(struct layer *l);
	/* Close and free this layer and those below; says goodbye only if that cannot block. */
	void (*close)(struct layer *l);
};
