/* pack.c - fixed layouts for frames and ledger records. Stands below everything.
 * Promises: a reader never leaves its bounds, whatever the bytes; see struct unpack. */
#include "base/pack.h"

#include <string.h>

static int pack_le(struct buf *b, uint64_t n, size_t size)
{
	char bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(unsigned char)(n >> (8 * i));
	return buf_add(b, bytes, size);
}

int pack_u8(struct buf *b, uint8_t n)
{
	return pack_le(b, n, 1);
}

int pack_u16(struct buf *b, uint16_t n)
{
	return pack_le(b, n, 2);
}

int pack_u32(struct buf *b, uint32_t n)
{
	return pack_le(b, n, 4);
}

int pack_u64(struct buf *b, uint64_t n)
{
	return pack_le(b, n, 8);
}

int pack_varint(struct buf *b, uint64_t n)
{
	char bytes[10];
	size_t len = 0;

	for (; n >= 0x80; n >>= 7)
		bytes[len++] = (char)(unsigned char)(n | 0x80);
	bytes[len++] = (char)n;
	return buf_add(b, bytes, len);
}

int pack_view(struct buf *b, struct view v)
{
	size_t before = b->len;

	if (pack_varint(b, v.len) == 0 && buf_add_view(b, v) == 0)
		return 0;
	b->len = before;
	return -1;
}

int pack_text(struct buf *b, const char *text)
{
	return pack_view(b, view_of(text));
}

struct unpack unpack_start(struct view v)
{
	return (struct unpack){.at = v.data, .end = v.len ? v.data + v.len : v.data};
}

static struct view take(struct unpack *u, uint64_t len)
{
	struct view v = {u->at, (size_t)len};

	if (u->bad || len > (uint64_t)(u->end - u->at)) {
		u->bad = true;
		return (struct view){0};
	}
	if (len)
		u->at += len;
	return v;
}

static uint64_t unpack_le(struct unpack *u, size_t size)
{
	struct view v = take(u, size);
	uint64_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		n |= (uint64_t)(unsigned char)v.data[i] << (8 * i);
	return n;
}

uint8_t unpack_u8(struct unpack *u)
{
	return (uint8_t)unpack_le(u, 1);
}

uint16_t unpack_u16(struct unpack *u)
{
	return (uint16_t)unpack_le(u, 2);
}

uint32_t unpack_u32(struct unpack *u)
{
	return (uint32_t)unpack_le(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
	return unpack_le(u, 8);
}

uint64_t unpack_varint(struct unpack *u)
{
	uint64_t n = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = unpack_u8(u);
		if (u->bad || (shift == 63 && byte > 1))
			break;
		n |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return n;
	}
	u->bad = true;
	return 0;
}

struct view unpack_view(struct unpack *u)
{
	return take(u, unpack_varint(u));
}

bool unpack_more(const struct unpack *u)
{
	return !u->bad && u->at < u->end;
}

int unpack_done(const struct unpack *u)
{
	return u->bad || u->at != u->end ? -1 : 0;
}
