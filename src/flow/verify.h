/* verify.h - source and destination held against each other, folder by folder, without the ledger. It
 * sees connectors through connector.h, changes nothing at either side, and writes nothing down. */
#pragma once

#include "flow/flow.h"

/* 0 = all was compared, whatever was found (told to the watch, counted in the summary); -1 = it was
 * not. The context's store is not used. Holds some 130 bytes a message of one folder at each side.
 *
 * Without options->verify: sizes, arrival dates, flags, header digests and Message-IDs. DIGEST: every
 * byte of every message. SAMPLE: every byte of that many messages a folder, chosen by SEED, and of
 * those that have the same header. */
int flow_verify(struct verify_summary *summary, const struct flow_options *options,
    const struct flow_context *context, struct err *e);
