/* jsonline.h - one JSON object a line, whatever bytes the servers sent. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

#define JSONLINE_MAX (1u << 20)

/* A JSON string: bytes that are not UTF-8 become U+FFFD, what is longer than 4096 bytes is cut.
 * NULL gives null. Never NULL. */
json_t *jsonline_text(const char *text);
/* The same, but "" gives null too: "none". */
json_t *jsonline_text_or_null(const char *text);
/* An item's id: a number where it is a plain decimal one (IMAP: uid), null where it is "". */
json_t *jsonline_id(const char *id);
json_t *jsonline_number(uint64_t n);
/* Set KEY in OBJECT; VALUE's reference is taken. */
void jsonline_set(json_t *object, const char *key, json_t *value);
/* Add OBJECT and a newline to OUT, keys in the order they were set; takes the reference. Control
 * and format characters are escaped, so that the line is safe on a terminal as well. */
void jsonline_add(struct buf *out, json_t *object);
