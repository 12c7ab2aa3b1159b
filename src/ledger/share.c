/* share.c - several ledgers in one pass, a lane each. Beside ledger.c. A folder's records are one lane's at a
 * time; of what all share, only flag sets are written, each lane under numbers of its own.
 * Promises: whoever takes a folder over reads all that the lane before it has made durable. */
#include <string.h>

#include "ledger/records.h"

int ledger_sync(struct ledger *l, struct err *e)
{
	uint64_t ticket;

	return records_flush(l, e) || l->store->ops->barrier(l->store, &ticket, e) ||
		       l->store->ops->wait(l->store, ticket, e)
		   ? -1
		   : 0;
}

/* Flag sets that two lanes meet at once get a number from each: both mean the same. All count from the
 * same SHARED number on, also who joins when others have given some out already. */
static void number_apart(struct ledger *l, uint32_t shared, unsigned place, unsigned lanes)
{
	l->last_number = shared + 1 + place - lanes; /* the next is LANES further */
	l->stride = lanes;
}

int ledger_share(struct ledger *l, unsigned lanes, struct err *e)
{
	assert(l->stride == 1 && lanes > 0);
	if (ledger_sync(l, e))
		return -1;
	l->shared_number = l->last_number;
	number_apart(l, l->shared_number, 0, lanes);
	return 0;
}

int ledger_join(struct ledger **out, const struct ledger *with, unsigned place, struct store *store,
    struct flags_table *flags, const struct ledger_hook *hook, struct err *e)
{
	struct ledger *l = records_new(store, with->destination, flags);

	assert(place > 0 && place < with->stride);
	memcpy(l->pair, with->pair, sizeof(l->pair));
	l->hook = hook ? *hook : (struct ledger_hook){0};
	if (records_load(l, e)) {
		ledger_close(&l);
		return -1;
	}
	l->pass = with->pass;
	number_apart(l, with->shared_number, place, with->stride);
	*out = l;
	return 0;
}

/* Into the folder that it was read from already; its number may be the other one by now. */
struct reloading {
	struct ledger *l;
	struct ledger_folder *folder;
};

static int take_folder_again(void *arg, const struct store_row *record, struct err *e)
{
	struct reloading *r = arg;

	return schema_key_number(record->key, &r->folder->number) ||
		       schema_get_folder(record->value, r->folder, &r->l->arena)
		   ? records_damaged(e, "folder")
		   : 0;
}

static int take_open_again(void *arg, const struct store_row *record, struct err *e)
{
	struct reloading *r = arg;

	(void)record;
	(void)e;
	r->folder->open++;
	return 0;
}

int ledger_reload(struct ledger *l, struct ledger_folder *f, struct err *e)
{
	struct reloading r = {l, f};
	uint32_t other = f->number ^ SUCCESSOR;

	f->open = 0;
	return records_scan(l, SCHEMA_FLAGS, l->pair, 0, records_take_flags, l, e) ||
		       records_scan(
			   l, SCHEMA_FOLDER, l->pair, f->number, take_folder_again, &r, e) ||
		       records_scan(l, SCHEMA_FOLDER, l->pair, other, take_folder_again, &r, e) ||
		       records_scan(l, SCHEMA_INTENT, l->pair, f->number, take_open_again, &r, e)
		   ? -1
		   : 0;
}
