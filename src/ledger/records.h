/* records.h - what ledger.c, share.c and owners.c share: the ledger itself and its way to the store. Nobody
 * else includes it. */
#pragma once

#include "ledger/schema.h"

/* A folder has two numbers, of which one counts, so that no other can inherit its rows. */
#define SUCCESSOR 0x80000000u

struct ledger {
	struct store *store;
	struct flags_table *flags;
	struct ledger_hook hook;
	unsigned char pair[SCHEMA_PAIR_SIZE];
	const char *destination;
	uint32_t pass;
	struct ledger_folder *folders;
	uint32_t last_number;   /* of a flag set, given by us */
	uint32_t stride;        /* between the numbers we give: each lane has a row of its own */
	uint32_t shared_number; /* the last one before others joined */
	struct store_batch batch;
	struct buf key, value;
	struct arena arena; /* folders: as long as the ledger */
	/* flag sets: the ledger's number of a table id (0 = none yet), and back */
	uint32_t *number_of_id, *id_of_number;
	size_t ids, numbers;
};

/* With nothing in it yet. */
struct ledger *records_new(
    struct store *store, const char *destination_identity, struct flags_table *flags);
/* Pass, flag sets, folders, and how many intents each has. */
int records_load(struct ledger *l, struct err *e);
/* Takes one flag set; ARG is the ledger. */
int records_take_flags(void *arg, const struct store_row *record, struct err *e);
/* What was gathered goes to the store. */
int records_flush(struct ledger *l, struct err *e);
/* Records of one kind below a pair and a folder's number (0 = all), flushed before. */
int records_scan(struct ledger *l, enum schema_kind kind, const unsigned char *pair,
    uint32_t number, store_take *take, void *arg, struct err *e);
/* WHAT is malformed: cause damaged, scope run. */
int records_damaged(struct err *e, const char *what);

/* Rows on their way to TAKE: records_take is the store's callback, ARG is this. */
struct walk {
	const struct ledger *l;
	int (*take)(void *arg, const struct ledger_row *row, struct err *e);
	void *arg;
	struct arena arena;
};

int records_take(void *arg, const struct store_row *record, struct err *e);
