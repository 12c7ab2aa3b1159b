/* vault.h - memory for one secret: never swapped, never in a core dump, empty in forked children. */
#pragma once

#include "base/error.h"

#define VAULT_SIZE 65536 /* bytes; the longest secret is one less */

struct vault {
	char *data; /* VAULT_SIZE bytes; NULL = not open */
	size_t len;
};

int vault_open(struct vault *v, struct err *e);
/* Wipes. Takes a closed one. */
void vault_free(struct vault *v);
/* Reduce what was read to its first line, without its ending (LF or CRLF); the rest is wiped.
 * WHERE names the origin in errors (cause usage): empty, longer than a vault, or with a NUL. */
int vault_keep_line(struct vault *v, const char *where, struct err *e);
