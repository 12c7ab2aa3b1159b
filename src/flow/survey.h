/* survey.h - what a copy would meet: both sides are listed and measured, nothing is moved or changed.
 * It sees connectors through connector.h and needs no ledger. */
#pragma once

#include "flow/flow.h"

/* 0 = both were looked at, whatever was found (told to the watch, counted in the summary); -1 = they
 * were not. The context's store is not used. It predicts from what the servers tell and showed, and
 * from nothing else. */
int flow_survey(struct survey_summary *summary, const struct flow_options *options,
    const struct flow_context *context, struct err *e);
