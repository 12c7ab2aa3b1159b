/* owners.c - whose the messages of a destination folder are: the rows and claims of every source that
 * pours into it. Beside ledger.c; read by those who must not take what is another's. */
#include <stdlib.h>
#include <string.h>

#include "ledger/records.h"

/* ---- every pair that pours into one destination folder ---- */

struct owner {
	unsigned char pair[SCHEMA_PAIR_SIZE];
	uint32_t number;
};

struct owners {
	const char *destination;
	struct view target_raw;
	struct owner *list;
	size_t count;
	struct arena arena;
};

static void add_owner(struct owners *o, const char *key, uint32_t number)
{
	o->list = mem_grow(o->list, o->count + 1, sizeof(*o->list));
	o->list[o->count].number = number;
	memcpy(o->list[o->count++].pair, key + 1, SCHEMA_PAIR_SIZE);
}

static int take_pair_owner(void *arg, const struct store_row *record, struct err *e)
{
	struct owners *o = arg;
	struct schema_pair pair;

	if (record->key.len != 1 + SCHEMA_PAIR_SIZE ||
	    schema_get_pair(record->value, &pair, &o->arena))
		return records_damaged(e, "mailbox");
	if (!strcmp(pair.destination, o->destination))
		add_owner(o, record->key.data, 0);
	return 0;
}

static int take_folder_owner(void *arg, const struct store_row *record, struct err *e)
{
	struct owners *o = arg;
	struct ledger_folder f = {0};

	if (schema_key_number(record->key, &f.number) ||
	    schema_get_folder(record->value, &f, &o->arena))
		return records_damaged(e, "folder");
	if (view_eq(f.target_raw, o->target_raw))
		add_owner(o, record->key.data, f.number);
	return 0;
}

/* The folders, of every source, that pour into one destination folder: into O->list. */
static int find_owners(struct ledger *l, struct owners *o, struct err *e)
{
	struct owners pairs = {.destination = l->destination};
	int result = records_flush(l, e);

	if (!result)
		result = l->store->ops->scan(l->store, view_of((char[]){SCHEMA_PAIR, 0}),
		    (struct view){0}, 0, take_pair_owner, &pairs, e);
	for (size_t i = 0; !result && i < pairs.count; i++)
		result =
		    records_scan(l, SCHEMA_FOLDER, pairs.list[i].pair, 0, take_folder_owner, o, e);
	free(pairs.list);
	arena_free(&pairs.arena);
	return result;
}

int ledger_each_owner(struct ledger *l, struct view target_raw,
    int (*take)(void *arg, const struct ledger_row *row, struct err *e), void *arg, struct err *e)
{
	struct owners folders = {.target_raw = target_raw};
	struct walk w = {.l = l, .take = take, .arg = arg};
	int result = find_owners(l, &folders, e);

	for (size_t i = 0; !result && i < folders.count; i++)
		result = records_scan(l, SCHEMA_ROW, folders.list[i].pair, folders.list[i].number,
		    records_take, &w, e);
	free(folders.list);
	arena_free(&folders.arena);
	arena_free(&w.arena);
	return result;
}

struct claims {
	int (*take)(void *arg, const struct identity *identity, struct err *e);
	void *arg;
	struct arena arena;
};

static int take_claim(void *arg, const struct store_row *record, struct err *e)
{
	struct claims *c = arg;
	struct ledger_intent i = {0};

	arena_clear(&c->arena);
	if (schema_get_intent(record->value, &i, &c->arena))
		return records_damaged(e, "intent");
	return i.state == INTENT_UNLOCATED ? c->take(c->arg, &i.identity, e) : 0;
}

int ledger_each_claim(struct ledger *l, const struct ledger_folder *f,
    int (*take)(void *arg, const struct identity *identity, struct err *e), void *arg,
    struct err *e)
{
	struct owners folders = {.target_raw = f->target_raw};
	struct claims c = {.take = take, .arg = arg};
	int result = find_owners(l, &folders, e);

	for (size_t i = 0; !result && i < folders.count; i++) {
		const struct owner *o = &folders.list[i];

		if (o->number != f->number || memcmp(o->pair, l->pair, sizeof(l->pair)))
			result =
			    records_scan(l, SCHEMA_INTENT, o->pair, o->number, take_claim, &c, e);
	}
	free(folders.list);
	arena_free(&folders.arena);
	arena_free(&c.arena);
	return result;
}
