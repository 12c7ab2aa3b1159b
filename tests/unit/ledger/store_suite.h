/* store_suite.h - what every store must do, run over each of them. */
#pragma once

#include "ledger/store.h"

/* Where stores are opened, one at a time. */
struct suite_place {
	void (*fresh)(void *arg); /* an empty place */
	void (*open)(void *arg, struct store **s);
	void (*close)(void *arg, struct store **s);
	/* The process with the store dies before close: batches without barrier may be lost. Then
	 * open works again. */
	void (*crash)(void *arg, struct store **s);
	void *arg;
};

/* Failures counted, as cmocka does. */
int suite_run(const char *name, const struct suite_place *place);

/* ---- for other store tests too ---- */

/* What a scan or get gave: "key=value;" each. */
struct suite_seen {
	struct buf text;
	size_t rows;
	size_t stop_at; /* 0 = never; the row after which it says enough */
	int stop_with;  /* 1 or -1 */
};

store_take suite_take;

void suite_put(struct store *s, const char *key, const char *value);
void suite_delete(struct store *s, const char *key);
/* Barrier and wait. */
void suite_sync(struct store *s);
/* The result of a whole scan of PREFIX is TEXT, as suite_seen writes it. */
void suite_expect(struct store *s, const char *prefix, const char *text);
/* Rows below PREFIX. */
size_t suite_count(struct store *s, const char *prefix);
/* COUNT rows "PREFIX00000000" ... with that number as value, in batches of EACH. */
void suite_fill(struct store *s, const char *prefix, size_t from, size_t count, size_t each);
/* Are the rows below PREFIX numbered 0..n-1 without a gap? Returns n. */
size_t suite_prefix(struct store *s, const char *prefix);
