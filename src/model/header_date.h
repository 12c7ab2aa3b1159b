/* header_date.h - when a message came, as its own header tells (RFC 5322 §3.3, §3.6.7, §4.3): for where the
 * source's arrival date cannot be read. */
#pragma once

#include "model/item.h"

/* The date of the first Received field, else of the Date field, of the header at the front of MESSAGE.
 * -1: neither is there in a form that can be read. */
int header_date(struct view message, struct date *out);
