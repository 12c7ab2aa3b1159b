/* pack.h - numbers and bytes in a fixed layout (little endian), for frames between processes and
 * for ledger records. Readers are told the bounds and never read past them. */
#pragma once

#include "base/buf.h"

/* Adders return 0, or -1 when the ceiling of B would be passed. */
int pack_u8(struct buf *b, uint8_t n);
int pack_u16(struct buf *b, uint16_t n);
int pack_u32(struct buf *b, uint32_t n);
int pack_u64(struct buf *b, uint64_t n);
/* LEB128: 7 bits a byte, low first; small numbers are short. */
int pack_varint(struct buf *b, uint64_t n);
/* Length as varint, then the bytes. */
int pack_view(struct buf *b, struct view v);
int pack_text(struct buf *b, const char *text);

/* A place in packed bytes. Once anything did not fit, bad is set, every further read gives zero or
 * an empty view, and unpack_done answers -1: check once, at the end. */
struct unpack {
	const char *at;
	const char *end;
	bool bad;
};

struct unpack unpack_start(struct view v);
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
uint64_t unpack_varint(struct unpack *u);
/* Borrowed from the packed bytes. */
struct view unpack_view(struct unpack *u);
bool unpack_more(const struct unpack *u);
/* 0 = all was well and nothing is left over. */
int unpack_done(const struct unpack *u);
