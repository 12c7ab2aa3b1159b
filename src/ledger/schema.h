/* schema.h - the records of the ledger, as bytes. Version 2; written down in full in schema.c.
 * Encoding cannot fail; decoding answers -1 for anything malformed (a damaged or foreign file). */
#pragma once

#include "ledger/ledger.h"

#define SCHEMA_PAIR_SIZE 8

/* What kind of record a key names: its first byte. */
enum schema_kind {
	SCHEMA_PAIR = 'p',
	SCHEMA_FOLDER = 'f',
	SCHEMA_ROW = 'i',
	SCHEMA_INTENT = 'n',
	SCHEMA_FLAGS = 's',
};

struct schema_pair {
	const char *source, *destination;
	uint32_t pass; /* the last one begun */
	int64_t begun; /* when, seconds since 1970 */
};

/* Keys. A key is its kind, the pair, and then for folders the number, for rows and intents the
 * number and the source id; so that all rows of a folder lie together. NUMBER 0 with an empty ID
 * gives the prefix of the whole pair. */
void schema_pair_id(
    unsigned char out[static SCHEMA_PAIR_SIZE], const char *source, const char *destination);
void schema_key(struct buf *key, enum schema_kind kind, const unsigned char *pair, uint32_t number,
    struct view id);
/* The id behind pair and number. -1: too short to be such a key. */
int schema_key_id(struct view key, struct view *id);
int schema_key_number(struct view key, uint32_t *number);

void schema_put_pair(struct buf *value, const struct schema_pair *p);
int schema_get_pair(struct view value, struct schema_pair *p, struct arena *a);

void schema_put_folder(struct buf *value, const struct ledger_folder *f);
int schema_get_folder(struct view value, struct ledger_folder *f, struct arena *a);

/* Flag sets stand in rows and intents as the ledger's own numbers (SCHEMA_FLAGS records). */
void schema_put_row(struct buf *value, const struct ledger_row *row);
int schema_get_row(struct view value, struct ledger_row *row, struct arena *a);

void schema_put_intent(struct buf *value, const struct ledger_intent *i);
int schema_get_intent(struct view value, struct ledger_intent *i, struct arena *a);
