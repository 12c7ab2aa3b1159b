/* match.h - the messages of two folders paired as multisets: true duplicates stay duplicates, order
 * does not count. Pure. */
#pragma once

#include "model/item.h"

/* One message. About a hundred bytes, because folders have a hundred thousand of them. */
struct match_item {
	char *id;
	unsigned char header[16], msgid[8]; /* as in struct identity */
	unsigned char body[16], exact[16];  /* with WHOLE only */
	uint64_t size;                      /* as told; with WHOLE the canonical one */
	uint64_t carried;                   /* with WHOLE: bytes as they came */
	int64_t instant;
	uint32_t flags;
	uint32_t order; /* the caller's */
	bool dated;     /* instant is known */
	bool unread;    /* nothing but size, date and flags is known */
	bool whole;     /* it was read to its last byte */
	bool wanted;    /* the caller's: shall be read whole */
	bool paired;    /* out */
};

enum match_difference {
	MATCH_FLAGS = 1,
	MATCH_DATE = 2,
	MATCH_SIZE = 4,     /* and nothing is known of the bytes */
	MATCH_HEADER = 8,   /* the same Message-ID, another header */
	MATCH_BODY = 16,    /* the same header, another body */
	MATCH_ALTERED = 32, /* canonical bytes are the same, others not (identity.h) */
	MATCH_UNREAD = 64,  /* one of them could not be read: paired by size and date */
};

struct match_sink {
	/* A pair; DIFFERS: bits of enum match_difference, 0 = the same. */
	void (*pair)(void *arg, const struct match_item *left, const struct match_item *right,
	    unsigned differs);
	void *arg;
};

/* Pair what can be paired, the likest first. What is left has PAIRED false. Where one of two twins is
 * WHOLE, all are to be. */
void match_run(struct match_item *left, size_t left_count, struct match_item *right,
    size_t right_count, const struct match_sink *sink);
