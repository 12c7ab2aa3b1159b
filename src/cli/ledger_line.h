/* ledger_line.h - the ledger's records as JSON lines (docs/ledger-format.md), and back. Pure. */
#pragma once

#include "cli/jsonline.h"
#include "ledger/inspect.h"

#define LEDGER_LINE_VERSION 1

/* The record as an object: kind, number or folder, id, and its values. Bytes that are no UTF-8 become
 * {"hex": "..."}. */
json_t *ledger_line_object(const struct inspect_record *r);
/* Bytes as they stand in such a line. */
json_t *ledger_line_bytes(struct view bytes);
/* The record of an object; texts live in A. Only its form is looked at. -1: cause usage. */
int ledger_line_read(const json_t *o, struct inspect_record *r, struct arena *a, struct err *e);
