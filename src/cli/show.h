/* show.h - things as people read them: sizes, counts, durations, and text of strangers made safe
 * for a terminal and fitted to a number of columns. Pure. */
#pragma once

#include "base/buf.h"

#define SHOW_MAX 32 /* bytes any of the fixed forms needs */

/* "0 B", "1023 B", "1.5 KiB", "300 MiB" ...: binary units, three digits or so. */
void show_size(char out[SHOW_MAX], uint64_t bytes);
/* "1.2/3.4 GiB": both in the unit of the second. */
void show_size_pair(char out[SHOW_MAX], uint64_t done, uint64_t total);
/* "12,345". */
void show_count(char out[SHOW_MAX], uint64_t n);
/* "42s", "12m34s", "3h05m", "12d". */
void show_duration(char out[SHOW_MAX], uint64_t seconds);

/* Columns TEXT takes on a terminal, once cleaned as below. */
size_t show_columns(const char *text);
/* Add TEXT to OUT such that nothing in it can steer a terminal: control characters and invalid
 * UTF-8 become '?', invisible format characters (bidi overrides, joiners) are left out. Text that
 * does not fit OUT's ceiling is cut. */
void show_clean(struct buf *out, const char *text);
/* The same, in at most WIDTH columns; longer text loses its middle to "…". */
void show_fit(struct buf *out, const char *text, size_t width);
