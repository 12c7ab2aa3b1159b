/* memory_store.c - see memory_store.h. The log of batches is the truth; the sorted cells are what it
 * amounts to, and a crash builds them anew from a prefix of it.
 * Promises: the same order, reads and prefix rule as every store; nothing is durable before a
 * wait; the failure is exact: call N, before or after its work, and every later call.
 * Does not: be quick with many records, or shrink its log. */
#include "memory_store.h"

#include <stdlib.h>
#include <string.h>

struct memory_cell {
	struct buf key, value;
};

struct memory_store {
	struct store base;
	struct memory_disk *disk;
	bool taking;
};

static struct memory_store *memory_of(struct store *s)
{
	return (struct memory_store *)s;
}

/* ---- cells ---- */

/* The first cell whose key is not below KEY. */
static size_t cell_place(const struct memory_disk *d, struct view key)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (view_cmp(buf_view(&d->cells[middle].key), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool cell_is(const struct memory_disk *d, size_t at, struct view key)
{
	return at < d->count && view_eq(buf_view(&d->cells[at].key), key);
}

static void cell_free(struct memory_cell *c)
{
	buf_free(&c->key);
	buf_free(&c->value);
}

static void cell_make(struct memory_disk *d, size_t at, struct view key)
{
	if (d->count == d->size) {
		d->size = d->size ? d->size * 2 : 64;
		d->cells = mem_grow(d->cells, d->size, sizeof(*d->cells));
	}
	memmove(d->cells + at + 1, d->cells + at, (d->count - at) * sizeof(*d->cells));
	d->count++;
	d->cells[at] = (struct memory_cell){
	    .key = BUF_INIT(STORE_KEY_MAX), .value = BUF_INIT(STORE_VALUE_MAX)};
	buf_add_view(&d->cells[at].key, key);
}

static void cell_put(struct memory_disk *d, struct view key, struct view value)
{
	size_t at = cell_place(d, key);

	if (!cell_is(d, at, key))
		cell_make(d, at, key);
	buf_clear(&d->cells[at].value);
	buf_add_view(&d->cells[at].value, value);
}

static void cell_delete(struct memory_disk *d, struct view key)
{
	size_t at = cell_place(d, key);

	if (!cell_is(d, at, key))
		return;
	cell_free(d->cells + at);
	d->count--;
	memmove(d->cells + at, d->cells + at + 1, (d->count - at) * sizeof(*d->cells));
}

static void cells_clear(struct memory_disk *d)
{
	for (size_t i = 0; i < d->count; i++)
		cell_free(d->cells + i);
	d->count = 0;
}

static void batch_apply(struct memory_disk *d, struct view packed)
{
	struct unpack u = unpack_start(packed);
	struct view key, value;
	int more;

	while ((more = store_batch_next(&u, &key, &value)) > 0) {
		if (value.data)
			cell_put(d, key, value);
		else
			cell_delete(d, key);
	}
	assert(more == 0);
}

/* ---- the disk ---- */

void memory_disk_new(struct memory_disk **d)
{
	*d = NEW(struct memory_disk);
}

static void log_cut(struct memory_disk *d, size_t count)
{
	while (d->written > count)
		buf_free(&d->log[--d->written]);
	if (d->durable > count)
		d->durable = count;
}

void memory_disk_clear(struct memory_disk *d)
{
	cells_clear(d);
	log_cut(d, 0);
	d->calls = d->fail_at = 0;
	d->how = MEMORY_BEFORE;
	d->down = false;
}

void memory_disk_free(struct memory_disk **d)
{
	if (!*d)
		return;
	memory_disk_clear(*d);
	free((*d)->cells);
	free((*d)->log);
	free(*d);
	*d = NULL;
}

static void log_add(struct memory_disk *d, struct view packed)
{
	if (d->written == d->log_size) {
		d->log_size = d->log_size ? d->log_size * 2 : 64;
		d->log = mem_grow(d->log, d->log_size, sizeof(*d->log));
	}
	d->log[d->written] = BUF_INIT(STORE_BATCH_MAX);
	buf_add_view(&d->log[d->written++], packed);
	batch_apply(d, packed);
}

void memory_disk_copy(struct memory_disk **d, const struct memory_disk *from)
{
	struct memory_disk *new;

	memory_disk_new(&new);
	for (size_t i = 0; i < from->written; i++)
		log_add(new, buf_view(&from->log[i]));
	new->durable = from->durable;
	new->calls = from->calls;
	new->fail_at = from->fail_at;
	new->how = from->how;
	new->down = from->down;
	*d = new;
}

size_t memory_disk_pending(const struct memory_disk *d)
{
	return d->written - d->durable;
}

void memory_disk_crash(struct memory_disk *d, size_t keep)
{
	if (keep < memory_disk_pending(d))
		log_cut(d, d->durable + keep);
	d->durable = d->written;
	cells_clear(d);
	for (size_t i = 0; i < d->written; i++)
		batch_apply(d, buf_view(&d->log[i]));
	d->calls = d->fail_at = 0;
	d->down = false;
}

bool memory_disk_equal(const struct memory_disk *a, const struct memory_disk *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!view_eq(buf_view(&a->cells[i].key), buf_view(&b->cells[i].key)) ||
		    !view_eq(buf_view(&a->cells[i].value), buf_view(&b->cells[i].value)))
			return false;
	return true;
}

/* ---- the store ---- */

static int memory_fault(struct err *e)
{
	return err_set(e, CAUSE_STATE, ERR_RUN, "the store failed, as the test wanted");
}

/* One more call begins. 1 = do the work, 0 = do it and then fail, -1 = fail at once. */
static int memory_step(struct memory_store *s)
{
	struct memory_disk *d = s->disk;

	assert(!s->taking);
	d->calls++;
	if (d->down)
		return -1;
	if (d->calls != d->fail_at)
		return 1;
	d->down = true;
	return d->how == MEMORY_AFTER ? 0 : -1;
}

static int memory_write(struct store *store, const struct store_batch *b, struct err *e)
{
	struct memory_store *s = memory_of(store);
	int step = memory_step(s);

	if (step >= 0 && b->ops.len)
		log_add(s->disk, buf_view(&b->ops));
	return step > 0 ? 0 : memory_fault(e);
}

/* A ticket is the number of batches it covers, and one, so that it is never zero. */
static int memory_barrier(struct store *store, uint64_t *ticket, struct err *e)
{
	struct memory_store *s = memory_of(store);

	if (memory_step(s) <= 0)
		return memory_fault(e);
	*ticket = s->disk->written + 1;
	return 0;
}

static int memory_wait(struct store *store, uint64_t ticket, struct err *e)
{
	struct memory_store *s = memory_of(store);
	int step = memory_step(s);

	assert(ticket <= s->disk->written + 1);
	if (step >= 0 && ticket && ticket - 1 > s->disk->durable)
		s->disk->durable = ticket - 1;
	return step > 0 ? 0 : memory_fault(e);
}

static int cell_give(struct memory_store *s, size_t at, store_take *take, void *arg, struct err *e)
{
	const struct memory_cell *c = s->disk->cells + at;
	struct view value = buf_view(&c->value);
	struct store_row row = {
	    buf_view(&c->key), view_make(value.data ? value.data : "", value.len)};
	int answer;

	s->taking = true;
	answer = take(arg, &row, e);
	s->taking = false;
	return answer;
}

static bool cell_begins(const struct memory_disk *d, size_t at, struct view prefix)
{
	struct view key = at < d->count ? buf_view(&d->cells[at].key) : (struct view){0};

	return at < d->count && key.len >= prefix.len &&
	       view_eq(view_make(key.data, prefix.len), prefix);
}

static int memory_scan(struct store *store, struct view prefix, struct view after, size_t limit,
    store_take *take, void *arg, struct err *e)
{
	struct memory_store *s = memory_of(store);
	bool behind = after.len && view_cmp(after, prefix) >= 0;
	size_t at = cell_place(s->disk, behind ? after : prefix);
	int answer = 0;

	if (memory_step(s) <= 0)
		return memory_fault(e);
	if (behind && cell_is(s->disk, at, after))
		at++;
	for (size_t got = 0; !answer && (!limit || got < limit); got++, at++) {
		if (!cell_begins(s->disk, at, prefix))
			break;
		answer = cell_give(s, at, take, arg, e);
	}
	return answer < 0 ? -1 : 0;
}

static int memory_get(struct store *store, const struct view *keys, size_t count, store_take *take,
    void *arg, struct err *e)
{
	struct memory_store *s = memory_of(store);
	int answer = 0;

	if (memory_step(s) <= 0)
		return memory_fault(e);
	for (size_t i = 0; !answer && i < count; i++) {
		size_t at = cell_place(s->disk, keys[i]);
		if (cell_is(s->disk, at, keys[i]))
			answer = cell_give(s, at, take, arg, e);
	}
	return answer < 0 ? -1 : 0;
}

static void memory_close(struct store **store)
{
	free(*store);
	*store = NULL;
}

static const struct store_ops memory_ops = {
    .write = memory_write,
    .barrier = memory_barrier,
    .wait = memory_wait,
    .scan = memory_scan,
    .get = memory_get,
    .close = memory_close,
};

void memory_store_open(struct store **s, struct memory_disk *d)
{
	struct memory_store *new = NEW(struct memory_store);

	new->base.ops = &memory_ops;
	new->disk = d;
	*s = &new->base;
}
