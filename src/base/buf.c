/* buf.c - owned bytes with a ceiling, and borrowed views. Stands below everything.
 * Promises: no buffer passes the ceiling it was born with; nothing is added in part. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t ceiling)
{
	*b = BUF_INIT(ceiling);
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT(b->max);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_room(struct buf *b, size_t len)
{
	size_t size;

	if (len > b->max - b->len)
		return NULL;
	if (b->len + len + 1 > b->size) {
		size = b->size * 2 > b->len + len + 1 ? b->size * 2 : b->len + len + 1;
		size = size < 64 ? 64 : size;
		size = size > b->max + 1 ? b->max + 1 : size;
		b->data = mem_grow(b->data, size, 1);
		b->size = size;
	}
	return b->data + b->len;
}

void buf_grown(struct buf *b, size_t len)
{
	assert(b->len + len < b->size);
	b->len += len;
	b->data[b->len] = '\0';
}

int buf_add(struct buf *b, const void *data, size_t len)
{
	char *to = buf_room(b, len);

	if (!to)
		return -1;
	if (len)
		memcpy(to, data, len);
	buf_grown(b, len);
	return 0;
}

int buf_add_view(struct buf *b, struct view v)
{
	return buf_add(b, v.data, v.len);
}

int buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

int buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	char *to;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	to = len < 0 ? NULL : buf_room(b, (size_t)len);
	if (to) {
		vsnprintf(to, (size_t)len + 1, fmt, again);
		buf_grown(b, (size_t)len);
	}
	va_end(again);
	va_end(args);
	return to ? 0 : -1;
}

void buf_drop(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (!len)
		return;
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
	b->data[b->len] = '\0';
}

struct view buf_view(const struct buf *b)
{
	return (struct view){b->data, b->len};
}

struct view view_of(const char *text)
{
	return (struct view){text, text ? strlen(text) : 0};
}

struct view view_make(const void *data, size_t len)
{
	return (struct view){data, len};
}

bool view_eq(struct view a, struct view b)
{
	return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

bool view_is(struct view v, const char *text)
{
	return view_eq(v, view_of(text));
}

int ascii_lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (ascii_lower((unsigned char)a[i]) != ascii_lower((unsigned char)b[i]))
			return false;
	return true;
}

bool view_is_nocase(struct view v, const char *text)
{
	return v.len == strlen(text) && same_nocase(v.data, text, v.len);
}

bool view_starts_nocase(struct view v, const char *prefix)
{
	size_t len = strlen(prefix);

	return v.len >= len && same_nocase(v.data, prefix, len);
}

ptrdiff_t view_find_nocase(struct view v, const char *needle)
{
	size_t len = strlen(needle);

	for (size_t at = 0; at + len <= v.len; at++)
		if (same_nocase(v.data + at, needle, len))
			return (ptrdiff_t)at;
	return -1;
}

int view_cmp(struct view a, struct view b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.data, b.data, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

int view_cmp_natural(struct view a, struct view b)
{
	return a.len != b.len ? (a.len > b.len) - (a.len < b.len) : view_cmp(a, b);
}

int view_cmp_sort(const void *a, const void *b)
{
	return view_cmp(*(const struct view *)a, *(const struct view *)b);
}

int view_number(struct view v, uint64_t *out)
{
	uint64_t n = 0;

	if (!v.len)
		return -1;
	for (size_t i = 0; i < v.len; i++) {
		if (v.data[i] < '0' || v.data[i] > '9')
			return -1;
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(v.data[i] - '0'), &n))
			return -1;
	}
	*out = n;
	return 0;
}

int ascii_cmp_nocase(const char *a, const char *b)
{
	for (;; a++, b++) {
		int x = ascii_lower((unsigned char)*a), y = ascii_lower((unsigned char)*b);
		if (x != y || !x)
			return x - y;
	}
}

void hex_encode(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}
