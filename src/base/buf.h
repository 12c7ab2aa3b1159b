/* buf.h - bytes: struct buf owns, struct view borrows. Message bytes are never text. */
#pragma once

#include "base/base.h"

/* Borrowed bytes; not NUL-terminated. Valid as long as what it was taken from. */
struct view {
	const char *data;
	size_t len;
};

/* Owned, growing bytes with a ceiling given at birth. data is always NUL-terminated beyond len
 * once something was added (the NUL is not counted), so that text in it can be printed. */
struct buf {
	char *data;
	size_t len;
	size_t size;
	size_t max; /* ceiling of len, in bytes */
};

#define BUF_INIT(ceiling) ((struct buf){.max = (ceiling)})

void buf_init(struct buf *b, size_t ceiling);
/* Release the bytes; b is empty and usable again, with the same ceiling. */
void buf_free(struct buf *b);
/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);

/* All adders: 0 = added, -1 = the ceiling would be passed and nothing was added. */
int buf_add(struct buf *b, const void *data, size_t len);
int buf_add_view(struct buf *b, struct view v);
int buf_add_text(struct buf *b, const char *text);
int buf_add_char(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for at least LEN more bytes: a pointer to write to (then buf_grown), NULL beyond the
 * ceiling. Valid until the next change of b. */
char *buf_room(struct buf *b, size_t len);
void buf_grown(struct buf *b, size_t len);
/* Drop LEN bytes at the front (moves the rest). */
void buf_drop(struct buf *b, size_t len);

struct view buf_view(const struct buf *b);

struct view view_of(const char *text); /* text may be NULL: empty view */
struct view view_make(const void *data, size_t len);
bool view_eq(struct view a, struct view b);
bool view_is(struct view v, const char *text);
/* ASCII case is ignored; locale plays no part. */
bool view_is_nocase(struct view v, const char *text);
bool view_starts_nocase(struct view v, const char *prefix);
/* First place of NEEDLE ignoring ASCII case, -1 = not found. */
ptrdiff_t view_find_nocase(struct view v, const char *needle);
int view_cmp(struct view a, struct view b); /* memcmp order, shorter first */
/* Shorter before longer: decimal numbers in the order of their values. */
int view_cmp_natural(struct view a, struct view b);
/* view_cmp for qsort and bsearch over views. */
int view_cmp_sort(const void *a, const void *b);
/* A decimal number that fills V wholly: 0 and *out, -1 = not a number or above UINT64_MAX. */
int view_number(struct view v, uint64_t *out);

int ascii_lower(int c);
int ascii_cmp_nocase(const char *a, const char *b);

/* Hexadecimal text of LEN bytes, NUL-terminated; out holds 2*LEN+1. */
void hex_encode(char *out, const void *data, size_t len);
