/* channel.h - typed, bounded frames over a socketpair between worker and controller.
 * A frame is: u32 length of the payload (little endian), u8 type, payload. A peer that breaks the
 * form or the bound is cut off; nothing it says is trusted beyond that. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "net/wait.h"

#define CHANNEL_FRAME_MAX (4u << 20) /* payload bytes */

struct channel;

/* Takes ownership of FD (made non-blocking). The channel joins WS while it lives. */
void channel_new(struct channel **out, int fd, struct waitset *ws);
void channel_free(struct channel **ch);

/* Queue one frame; waits only while more than a few frames are unsent. Errors: scope run, cause
 * bug (frame too long) or stopped (the other process has gone). */
int channel_send(struct channel *ch, uint8_t type, struct view payload, struct err *e);
/* Wait for the next frame. *payload is valid until the next call of channel_recv/_try. */
int channel_recv(struct channel *ch, uint8_t *type, struct view *payload, struct err *e);
/* 1 = a frame was there, 0 = none at the moment, -1 = broken or closed. */
int channel_try(struct channel *ch, uint8_t *type, struct view *payload, struct err *e);
/* The same of what came while somebody waited: the socket is not looked at. */
int channel_came(struct channel *ch, uint8_t *type, struct view *payload, struct err *e);
/* Wait until everything queued has been handed to the kernel. */
int channel_flush(struct channel *ch, struct err *e);
