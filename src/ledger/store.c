/* store.c - batches: the unit in which records are written.
 *
 * On the data's way: ledger.c fills a batch, a store applies it; between worker and controller it
 * travels packed, as it lies in memory.
 * Promises: what store_batch_put and _delete have packed, store_batch_next gives back in order; a
 * packed batch from another process is never believed beyond its bounds.
 * Does not: know what keys mean, nor sort or merge them. */
#include "ledger/store.h"

enum { OP_PUT = 1, OP_DELETE = 2 };

void store_batch_init(struct store_batch *b)
{
	*b = (struct store_batch){.ops = BUF_INIT(STORE_BATCH_MAX)};
}

void store_batch_free(struct store_batch *b)
{
	buf_free(&b->ops);
	b->count = 0;
}

void store_batch_clear(struct store_batch *b)
{
	buf_clear(&b->ops);
	b->count = 0;
}

static int batch_add(struct store_batch *b, uint8_t op, struct view key, const struct view *value)
{
	size_t before = b->ops.len;

	assert(key.len > 0 && key.len <= STORE_KEY_MAX);
	if (pack_u8(&b->ops, op) == 0 && pack_view(&b->ops, key) == 0 &&
	    (!value || pack_view(&b->ops, *value) == 0)) {
		b->count++;
		return 0;
	}
	b->ops.len = before;
	return -1;
}

int store_batch_put(struct store_batch *b, struct view key, struct view value)
{
	assert(value.len <= STORE_VALUE_MAX);
	return batch_add(b, OP_PUT, key, &value);
}

int store_batch_delete(struct store_batch *b, struct view key)
{
	return batch_add(b, OP_DELETE, key, NULL);
}

int store_batch_next(struct unpack *u, struct view *key, struct view *value)
{
	uint8_t op;
	struct view k, v = {0};

	if (!unpack_more(u))
		return u->bad ? -1 : 0;
	op = unpack_u8(u);
	k = unpack_view(u);
	if (op == OP_PUT)
		v = unpack_view(u);
	if (u->bad || (op != OP_PUT && op != OP_DELETE) || !k.len || k.len > STORE_KEY_MAX ||
	    v.len > STORE_VALUE_MAX) {
		u->bad = true;
		return -1;
	}
	*key = k;
	*value = v;
	return 1;
}
