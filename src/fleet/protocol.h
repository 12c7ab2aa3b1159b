/* protocol.h - the frames between worker and controller besides the store's (ledger/store.h), all
 * over one channel (net/channel.h). The controller believes none of it further than its form. */
#pragma once

#include "ledger/store.h"

enum fleet_frame {
	FLEET_SECRET_ASK = STORE_FRAME_LAST + 1, /* → u8 side, u8 was refused */
	FLEET_SECRET,                            /* ← u8 1, view secret | u8 0, error */
	FLEET_PROGRESS,                          /* → struct copy_progress */
	FLEET_FOLDER,    /* → view source, view target, varint items, varint stored */
	FLEET_EXCEPTION, /* → exception_pack */
	FLEET_NOTE,      /* → text */
	FLEET_REPORT,    /* → view source, view target, struct folder_report */
	FLEET_RESULT,    /* → struct job_summary, u8 failed, [error] */
};

/* An error as bytes. Unpacking bounds every field. */
int fleet_pack_error(struct buf *b, const struct err *e);
int fleet_unpack_error(struct unpack *u, struct err *e);
