/* inspect.c - records of the ledger as named values, and back. Beside ledger.c, over the same schema
 * and the same stores. One table a kind says what a record holds; the bytes are schema.c's affair.
 * Promises: what is told of a record is all of it, so that records can be carried to another state;
 * what is changed between begin and commit is changed wholly or not at all. Does not: know what the
 * records mean to a pass, or keep passes away (the caller holds their locks). */
#include "ledger/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ledger/schema.h"

/* ---- what a record holds ---- */

enum field_type {
	FIELD_U32,
	FIELD_U64,
	FIELD_SIZE,
	FIELD_I64,
	FIELD_I16,
	FIELD_BOOL,
	FIELD_VIEW,
	FIELD_TEXT,   /* const char * */
	FIELD_CURSOR, /* struct cursor */
	FIELD_8,      /* bytes */
	FIELD_16,
	FIELD_ROW_STATE,
	FIELD_INTENT_STATE,
	FIELD_CAUSE,
	FIELD_PATH, /* target_parts and target_depth of a folder */
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset;
};

#define PAIR(name, member, type)                                                                   \
	{                                                                                          \
		name, type, offsetof(struct schema_pair, member)                                   \
	}
#define FOLDER(name, member, type)                                                                 \
	{                                                                                          \
		name, type, offsetof(struct ledger_folder, member)                                 \
	}
#define ROW(name, member, type)                                                                    \
	{                                                                                          \
		name, type, offsetof(struct ledger_row, member)                                    \
	}
#define INTENT(name, member, type)                                                                 \
	{                                                                                          \
		name, type, offsetof(struct ledger_intent, member)                                 \
	}

static const struct field pair_fields[] = {
    PAIR("source", source, FIELD_TEXT),
    PAIR("destination", destination, FIELD_TEXT),
    PAIR("pass", pass, FIELD_U32),
    PAIR("begun", begun, FIELD_I64),
};

static const struct field flags_fields[] = {{"flags", FIELD_VIEW, 0}};

static const struct field folder_fields[] = {
    FOLDER("source_name", source_raw, FIELD_VIEW),
    FOLDER("target_path", target_parts, FIELD_PATH),
    FOLDER("target_name", target_raw, FIELD_VIEW),
    FOLDER("source_object", source_object, FIELD_VIEW),
    FOLDER("target_object", target_object, FIELD_VIEW),
    FOLDER("cursor", cursor, FIELD_CURSOR),
    FOLDER("tail", tail, FIELD_CURSOR),
    FOLDER("source_seen", source, FIELD_CURSOR),
    FOLDER("target_seen", target, FIELD_CURSOR),
    FOLDER("floor", floor, FIELD_CURSOR),
    FOLDER("finished", finished, FIELD_U32),
    FOLDER("limit", limit, FIELD_U64),
    FOLDER("stored", stored, FIELD_U64),
    FOLDER("refused", refused, FIELD_U64),
    FOLDER("owed", owed, FIELD_U64),
    FOLDER("found", found, FIELD_U64),
    FOLDER("left", left, FIELD_U64),
    FOLDER("gone", gone, FIELD_U64),
    FOLDER("subscribed", subscribed, FIELD_BOOL),
    FOLDER("fidelity", fidelity, FIELD_U32),
    FOLDER("top_id", top[0], FIELD_CURSOR),
    FOLDER("second_id", top[1], FIELD_CURSOR),
    FOLDER("third_id", top[2], FIELD_CURSOR),
};

static const struct field item_fields[] = {
    ROW("state", state, FIELD_ROW_STATE),
    ROW("target_id", target_id, FIELD_VIEW),
    ROW("header", digest, FIELD_16),
    ROW("size", size, FIELD_U64),
    ROW("object", object, FIELD_U64),
    ROW("gone", gone, FIELD_BOOL),
    ROW("pass", pass, FIELD_U32),
    ROW("source_flags", source_base, FIELD_U32),
    ROW("target_flags", target_base, FIELD_U32),
    ROW("target_assumed", target_assumed, FIELD_BOOL),
    ROW("cause", cause, FIELD_CAUSE),
    ROW("reason", reason, FIELD_TEXT),
    ROW("sent_header", sent, FIELD_16),
};

static const struct field intent_fields[] = {
    INTENT("state", state, FIELD_INTENT_STATE),
    INTENT("bytes", identity.size, FIELD_U64),
    INTENT("canonical_bytes", identity.canonical_size, FIELD_U64),
    INTENT("msgid_digest", identity.msgid, FIELD_8),
    INTENT("header", identity.header, FIELD_16),
    INTENT("body", identity.body, FIELD_16),
    INTENT("odd", identity.odd, FIELD_BOOL),
    INTENT("exact", identity.exact, FIELD_16),
    INTENT("date", date.instant, FIELD_I64),
    INTENT("date_zone", date.zone, FIELD_I16),
    INTENT("date_known", date.known, FIELD_BOOL),
    INTENT("source_date", date_told.instant, FIELD_I64),
    INTENT("source_date_zone", date_told.zone, FIELD_I16),
    INTENT("source_date_known", date_told.known, FIELD_BOOL),
    INTENT("flags", flags, FIELD_U32),
    INTENT("source_flags", flags_told, FIELD_U32),
    INTENT("msgid", msgid, FIELD_TEXT),
    INTENT("size", size, FIELD_U64),
    INTENT("object", object, FIELD_U64),
    INTENT("repair", repair, FIELD_TEXT),
    INTENT("source_header", header_told, FIELD_16),
};

static const struct kind {
	const char *name;
	enum schema_kind key;
	const struct field *fields;
	size_t count;
} kinds[INSPECT_KINDS] = {
    [INSPECT_PAIR] = {"pair", SCHEMA_PAIR, pair_fields, COUNT_OF(pair_fields)},
    [INSPECT_FLAGS] = {"flags", SCHEMA_FLAGS, flags_fields, COUNT_OF(flags_fields)},
    [INSPECT_FOLDER] = {"folder", SCHEMA_FOLDER, folder_fields, COUNT_OF(folder_fields)},
    [INSPECT_ITEM] = {"item", SCHEMA_ROW, item_fields, COUNT_OF(item_fields)},
    [INSPECT_INTENT] = {"intent", SCHEMA_INTENT, intent_fields, COUNT_OF(intent_fields)},
};

static const char *const row_states[] = {
    NULL, "stored", "adopted", "refused", "owed", "found", "left"};
static const char *const intent_states[] = {NULL, "open", "unlocated", "doubted", "placed"};

/* Any record, decoded. */
union any {
	struct schema_pair pair;
	struct view flags;
	struct ledger_folder folder;
	struct ledger_row row;
	struct ledger_intent intent;
};

struct inspect {
	struct store *store;
	struct store_batch batch;
	struct buf key, value;
};

const char *inspect_kind_name(enum inspect_kind kind)
{
	return kinds[kind].name;
}

int inspect_kind_by_name(struct view name)
{
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (view_is(name, kinds[i].name))
			return (int)i;
	return -1;
}

const struct inspect_value *inspect_find(const struct inspect_record *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->values[i].name, name))
			return &r->values[i];
	return NULL;
}

uint64_t inspect_number(const struct inspect_record *r, const char *name)
{
	const struct inspect_value *v = inspect_find(r, name);

	return v ? v->number : 0;
}

struct view inspect_bytes(const struct inspect_record *r, const char *name)
{
	const struct inspect_value *v = inspect_find(r, name);

	return v ? v->bytes : (struct view){0};
}

/* ---- a struct as values ---- */

static struct view word(const char *const *names, size_t count, unsigned n)
{
	return view_of(n < count && names[n] ? names[n] : "");
}

static void list_path(struct inspect_value *v, const struct ledger_folder *f, struct arena *a)
{
	struct view *list = arena_new(a, f->target_depth + 1, sizeof(*list));

	for (size_t i = 0; i < f->target_depth; i++)
		list[i] = view_of(f->target_parts[i]);
	v->list = list;
	v->count = f->target_depth;
}

static void set_number(struct inspect_value *v, enum inspect_type type, uint64_t n)
{
	v->type = type;
	v->number = n;
}

static void set_bytes(struct inspect_value *v, enum inspect_type type, struct view bytes)
{
	v->type = type;
	v->bytes = bytes;
}

static struct inspect_value value_of(const union any *any, const struct field *f, struct arena *a)
{
	const void *at = (const char *)any + f->offset;
	struct inspect_value v = {.name = f->name};

	switch (f->type) {
	case FIELD_U32:
		set_number(&v, INSPECT_NUMBER, *(const uint32_t *)at);
		break;
	case FIELD_U64:
		set_number(&v, INSPECT_NUMBER, *(const uint64_t *)at);
		break;
	case FIELD_SIZE:
		set_number(&v, INSPECT_NUMBER, *(const size_t *)at);
		break;
	case FIELD_I64:
		set_number(&v, INSPECT_SIGNED, (uint64_t) * (const int64_t *)at);
		break;
	case FIELD_I16:
		set_number(&v, INSPECT_SIGNED, (uint64_t)(int64_t) * (const int16_t *)at);
		break;
	case FIELD_BOOL:
		set_number(&v, INSPECT_TRUTH, *(const bool *)at);
		break;
	case FIELD_VIEW:
		set_bytes(&v, INSPECT_BYTES, *(const struct view *)at);
		break;
	case FIELD_TEXT:
		set_bytes(&v, INSPECT_BYTES, view_of(*(const char *const *)at));
		break;
	case FIELD_CURSOR:
		set_bytes(&v, INSPECT_BYTES, view_of(((const struct cursor *)at)->text));
		break;
	case FIELD_8:
		set_bytes(&v, INSPECT_DIGEST, view_make(at, 8));
		break;
	case FIELD_16:
		set_bytes(&v, INSPECT_DIGEST, view_make(at, 16));
		break;
	case FIELD_ROW_STATE:
		set_bytes(&v, INSPECT_WORD, word(row_states, COUNT_OF(row_states), any->row.state));
		break;
	case FIELD_INTENT_STATE:
		set_bytes(&v, INSPECT_WORD,
		    word(intent_states, COUNT_OF(intent_states), any->intent.state));
		break;
	case FIELD_CAUSE:
		set_bytes(&v, INSPECT_WORD, view_of(cause_name(any->row.cause)));
		break;
	case FIELD_PATH:
		v.type = INSPECT_LIST;
		list_path(&v, &any->folder, a);
		break;
	}
	return v;
}

static int get_any(enum inspect_kind kind, struct view value, union any *any, struct arena *a)
{
	switch (kind) {
	case INSPECT_PAIR:
		return schema_get_pair(value, &any->pair, a);
	case INSPECT_FLAGS:
		any->flags = value;
		return 0;
	case INSPECT_FOLDER:
		return schema_get_folder(value, &any->folder, a);
	case INSPECT_ITEM:
		return schema_get_row(value, &any->row, a);
	case INSPECT_INTENT:
		return schema_get_intent(value, &any->intent, a);
	}
	return -1;
}

static int damaged(struct err *e, enum inspect_kind kind)
{
	return err_set(e, CAUSE_DAMAGED, ERR_RUN, "the state directory holds a damaged %s record",
	    kinds[kind].name);
}

static int decode(enum inspect_kind kind, const struct store_row *row, struct inspect_record *r,
    union any *any, struct arena *a, struct err *e)
{
	*r = (struct inspect_record){.kind = kind};
	memset(any, 0, sizeof(*any));
	if (get_any(kind, row->value, any, a) ||
	    (kind != INSPECT_PAIR && schema_key_number(row->key, &r->number)))
		return damaged(e, kind);
	if ((kind == INSPECT_ITEM || kind == INSPECT_INTENT) && schema_key_id(row->key, &r->id))
		return damaged(e, kind);
	for (size_t i = 0; i < kinds[kind].count; i++)
		r->values[r->count++] = value_of(any, &kinds[kind].fields[i], a);
	return 0;
}

/* ---- values as a struct ---- */

static int bad_value(struct err *e, enum inspect_kind kind, const char *name)
{
	return err_set(e, CAUSE_USAGE, ERR_RUN, "a record of kind %s has no valid \"%s\"",
	    kinds[kind].name, name);
}

static int find_word(const char *const *names, size_t count, struct view v)
{
	for (size_t i = 0; i < count; i++)
		if (names[i] && view_is(v, names[i]))
			return (int)i;
	return -1;
}

static int read_number(void *at, enum field_type type, uint64_t n)
{
	int64_t sign = (int64_t)n;

	if (type == FIELD_U32 && n <= UINT32_MAX)
		*(uint32_t *)at = (uint32_t)n;
	else if (type == FIELD_U64)
		*(uint64_t *)at = n;
	else if (type == FIELD_SIZE)
		*(size_t *)at = n;
	else if (type == FIELD_I64)
		*(int64_t *)at = sign;
	else if (type == FIELD_I16 && sign >= INT16_MIN && sign <= INT16_MAX)
		*(int16_t *)at = (int16_t)sign;
	else if (type == FIELD_BOOL && n <= 1)
		*(bool *)at = n != 0;
	else
		return -1;
	return 0;
}

static int read_hex(unsigned char *out, struct view v)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < v.len; i++) {
		const char *digit = memchr(digits, v.data[i], 16);
		unsigned n = digit ? (unsigned)(digit - digits) : 0;

		if (!digit)
			return -1;
		out[i / 2] = (unsigned char)(i % 2 ? out[i / 2] | n : n << 4);
	}
	return 0;
}

static int read_bytes(void *at, enum field_type type, struct view v, struct arena *a)
{
	size_t len = type == FIELD_8 ? 8 : 16;

	if (type == FIELD_VIEW) {
		*(struct view *)at = v;
	} else if (type == FIELD_TEXT) {
		*(const char **)at = arena_text(a, v);
	} else if (type == FIELD_CURSOR) {
		if (v.len >= CURSOR_SIZE)
			return -1;
		snprintf(((struct cursor *)at)->text, CURSOR_SIZE, "%.*s", (int)v.len,
		    v.len ? v.data : "");
	} else if (v.len == 2 * len) {
		return read_hex(at, v);
	} else {
		if (v.len != len)
			return -1;
		memcpy(at, v.data, len);
	}
	return 0;
}

static int read_word(union any *any, enum field_type type, struct view v, struct arena *a)
{
	int n = type == FIELD_ROW_STATE      ? find_word(row_states, COUNT_OF(row_states), v)
		: type == FIELD_INTENT_STATE ? find_word(intent_states, COUNT_OF(intent_states), v)
					     : cause_by_name(arena_text(a, v));

	if (n < 0)
		return -1;
	if (type == FIELD_ROW_STATE)
		any->row.state = (enum row_state)n;
	else if (type == FIELD_INTENT_STATE)
		any->intent.state = (enum intent_state)n;
	else
		any->row.cause = (enum cause)n;
	return 0;
}

static int read_path(struct ledger_folder *f, const struct inspect_value *v, struct arena *a)
{
	f->target_depth = v->count;
	f->target_parts = arena_new(a, v->count + 1, sizeof(char *));
	for (size_t i = 0; i < v->count; i++)
		f->target_parts[i] = arena_text(a, v->list[i]);
	return 0;
}

static int read_value(
    union any *any, const struct field *f, const struct inspect_value *v, struct arena *a)
{
	void *at = (char *)any + f->offset;

	bool negative = v->type == INSPECT_SIGNED && (int64_t)v->number < 0;

	switch (v->type) {
	case INSPECT_NUMBER:
	case INSPECT_SIGNED:
	case INSPECT_TRUTH:
		if (negative && f->type != FIELD_I64 && f->type != FIELD_I16)
			return -1;
		return f->type <= FIELD_BOOL ? read_number(at, f->type, v->number) : -1;
	case INSPECT_BYTES:
	case INSPECT_WORD:
	case INSPECT_DIGEST:
		if (f->type == FIELD_U64) /* too large for a JSON integer */
			return view_number(v->bytes, at);
		if (f->type >= FIELD_VIEW && f->type <= FIELD_16)
			return read_bytes(at, f->type, v->bytes, a);
		return f->type >= FIELD_ROW_STATE && f->type <= FIELD_CAUSE
			   ? read_word(any, f->type, v->bytes, a)
			   : -1;
	case INSPECT_LIST:
		return f->type == FIELD_PATH ? read_path(&any->folder, v, a) : -1;
	}
	return -1;
}

static void put_any(struct buf *value, enum inspect_kind kind, const union any *any)
{
	switch (kind) {
	case INSPECT_PAIR:
		schema_put_pair(value, &any->pair);
		break;
	case INSPECT_FLAGS:
		buf_clear(value);
		buf_add_view(value, any->flags);
		break;
	case INSPECT_FOLDER:
		schema_put_folder(value, &any->folder);
		break;
	case INSPECT_ITEM:
		schema_put_row(value, &any->row);
		break;
	case INSPECT_INTENT:
		schema_put_intent(value, &any->intent);
		break;
	}
}

/* ---- opening ---- */

/* Opening would make it. */
static int must_be_there(const char *dir, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct stat st;

	if (!stat(arena_printf(&scratch, "%s/ledger.db", dir), &st))
		return 0;
	return err_set(e, CAUSE_STATE, ERR_RUN,
	    "there is no ledger in %s; name the state directory of the copy with --state", dir);
}

int inspect_open(struct inspect **out, const char *dir, bool make, struct err *e)
{
	struct inspect *i;
	struct store *store;

	if ((!make && must_be_there(dir, e)) || store_sqlite_open(&store, dir, e))
		return -1;
	i = NEW(struct inspect);
	i->store = store;
	store_batch_init(&i->batch);
	buf_init(&i->key, STORE_KEY_MAX);
	buf_init(&i->value, STORE_VALUE_MAX);
	*out = i;
	return 0;
}

void inspect_close(struct inspect **i)
{
	struct inspect *old = *i;

	*i = NULL;
	if (!old)
		return;
	old->store->ops->close(&old->store);
	store_batch_free(&old->batch);
	buf_free(&old->key);
	buf_free(&old->value);
	free(old);
}

/* ---- reading ---- */

static int flush(struct inspect *i, struct err *e)
{
	if (!i->batch.count)
		return 0;
	if (i->store->ops->write(i->store, &i->batch, e))
		return -1;
	store_batch_clear(&i->batch);
	return 0;
}

struct reading {
	enum inspect_kind kind;
	inspect_take *take;
	void *arg;
	bool found;
};

static int take_row(void *arg, const struct store_row *row, struct err *e)
{
	struct reading *reading = arg;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct inspect_record r;
	union any any;

	if (decode(reading->kind, row, &r, &any, &scratch, e))
		return -1;
	reading->found = true;
	return reading->take(reading->arg, &r, e);
}

static void key_of(struct inspect *i, const struct inspect_pair *pair, enum inspect_kind kind,
    uint32_t number, struct view id)
{
	unsigned char name[SCHEMA_PAIR_SIZE];

	buf_clear(&i->key);
	if (!pair) {
		buf_add_char(&i->key, (char)kinds[kind].key);
		return;
	}
	schema_pair_id(name, pair->source, pair->destination);
	schema_key(&i->key, kinds[kind].key, name, number, id);
}

int inspect_each(struct inspect *i, const struct inspect_pair *pair, enum inspect_kind kind,
    uint32_t number, inspect_take *take, void *arg, struct err *e)
{
	struct reading reading = {kind, take, arg, false};

	if (flush(i, e))
		return -1;
	key_of(i, pair, kind, number, (struct view){0});
	return i->store->ops->scan(
	    i->store, buf_view(&i->key), (struct view){0}, 0, take_row, &reading, e);
}

int inspect_get(struct inspect *i, const struct inspect_pair *pair, enum inspect_kind kind,
    uint32_t number, struct view id, inspect_take *take, void *arg, bool *found, struct err *e)
{
	struct reading reading = {kind, take, arg, false};
	struct view key;
	int failed = flush(i, e);

	/* no key is longer than a source's id can make it */
	if (!failed && id.len + 1 + SCHEMA_PAIR_SIZE + 4 <= STORE_KEY_MAX) {
		key_of(i, pair, kind, number, id);
		key = buf_view(&i->key);
		failed = i->store->ops->get(i->store, &key, 1, take_row, &reading, e);
	}
	*found = reading.found;
	return failed;
}

static int take_any(void *arg, const struct store_row *row, struct err *e)
{
	(void)row, (void)e;
	*(bool *)arg = true;
	return 1;
}

int inspect_is_known(struct inspect *i, const struct inspect_pair *pair, bool *known, struct err *e)
{
	*known = false;
	if (flush(i, e))
		return -1;
	for (size_t kind = 0; kind < INSPECT_KINDS && !*known; kind++) {
		key_of(i, pair, (enum inspect_kind)kind, 0, (struct view){0});
		if (i->store->ops->scan(
			i->store, buf_view(&i->key), (struct view){0}, 1, take_any, known, e))
			return -1;
	}
	return 0;
}

/* ---- writing ---- */

int inspect_begin(struct inspect *i, struct err *e)
{
	return store_sqlite_hold(i->store, e);
}

int inspect_commit(struct inspect *i, struct err *e)
{
	uint64_t ticket;

	return flush(i, e) || i->store->ops->barrier(i->store, &ticket, e) ||
		       i->store->ops->wait(i->store, ticket, e)
		   ? -1
		   : 0;
}

/* VALUE NULL data = delete. */
static int add_change(struct inspect *i, struct view key, struct view value, struct err *e)
{
	bool full = value.data ? store_batch_put(&i->batch, key, value)
			       : store_batch_delete(&i->batch, key);

	if (!full)
		return 0;
	if (flush(i, e))
		return -1;
	return value.data ? store_batch_put(&i->batch, key, value)
			  : store_batch_delete(&i->batch, key);
}

int inspect_put(struct inspect *i, const struct inspect_pair *pair, const struct inspect_record *r,
    struct err *e)
{
	const struct kind *k = &kinds[r->kind];
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	bool has_id = r->kind == INSPECT_ITEM || r->kind == INSPECT_INTENT;
	union any any;

	memset(&any, 0, sizeof(any));
	for (size_t n = 0; n < k->count; n++) {
		const struct inspect_value *v = inspect_find(r, k->fields[n].name);

		if (!v || read_value(&any, &k->fields[n], v, &scratch))
			return bad_value(e, r->kind, k->fields[n].name);
	}
	if (has_id != (r->id.len > 0) || r->id.len + 1 + SCHEMA_PAIR_SIZE + 4 > STORE_KEY_MAX)
		return bad_value(e, r->kind, "id");
	if ((r->kind == INSPECT_PAIR) != !r->number)
		return bad_value(e, r->kind, "number");
	put_any(&i->value, r->kind, &any);
	key_of(i, pair, r->kind, r->number, r->id);
	return add_change(i, buf_view(&i->key), buf_view(&i->value), e);
}

struct renaming {
	struct inspect *i;
	unsigned char name[SCHEMA_PAIR_SIZE];
	struct buf rows; /* packed: old key, new key, value */
};

static int take_old(void *arg, const struct store_row *row, struct err *e)
{
	struct renaming *n = arg;
	struct buf key AUTO(buf_free) = BUF_INIT(STORE_KEY_MAX);

	if (row->key.len < 1 + SCHEMA_PAIR_SIZE)
		return damaged(e, INSPECT_PAIR);
	if (n->rows.len + 2 * row->key.len + row->value.len + 32 > n->rows.max)
		return 1; /* enough for now */
	buf_add_view(&key, row->key);
	memcpy(key.data + 1, n->name, SCHEMA_PAIR_SIZE);
	pack_view(&n->rows, row->key);
	pack_view(&n->rows, buf_view(&key));
	pack_view(&n->rows, row->value);
	return 0;
}

/* What was gathered goes to its new place. */
static int move_gathered(struct renaming *n, struct err *e)
{
	struct unpack u = unpack_start(buf_view(&n->rows));

	while (unpack_more(&u)) {
		struct view old = unpack_view(&u), key = unpack_view(&u), value = unpack_view(&u);

		if (add_change(n->i, key, value, e) || add_change(n->i, old, (struct view){0}, e))
			return -1;
	}
	return flush(n->i, e);
}

/* A store takes no calls while it gives: gather some, move them, until none is left. */
static int move_kind(
    struct renaming *n, const struct inspect_pair *from, enum inspect_kind kind, struct err *e)
{
	do {
		buf_clear(&n->rows);
		key_of(n->i, from, kind, 0, (struct view){0});
		if (n->i->store->ops->scan(n->i->store, buf_view(&n->i->key), (struct view){0},
			4096, take_old, n, e) ||
		    move_gathered(n, e))
			return -1;
	} while (n->rows.len);
	return 0;
}

struct new_names {
	const struct inspect_pair *to;
	struct schema_pair pair;
};

static int take_pair(void *arg, const struct inspect_record *r, struct err *e)
{
	struct new_names *n = arg;

	(void)e;
	n->pair = (struct schema_pair){.source = n->to->source,
	    .destination = n->to->destination,
	    .pass = (uint32_t)inspect_number(r, "pass"),
	    .begun = (int64_t)inspect_number(r, "begun")};
	return 0;
}

int inspect_rename(struct inspect *i, const struct inspect_pair *from,
    const struct inspect_pair *to, struct err *e)
{
	struct renaming n = {.i = i, .rows = BUF_INIT(STORE_BATCH_MAX / 4)};
	struct new_names names = {.to = to};
	bool found;
	int failed;

	schema_pair_id(n.name, to->source, to->destination);
	failed =
	    inspect_get(i, from, INSPECT_PAIR, 0, (struct view){0}, take_pair, &names, &found, e);
	for (size_t kind = 0; !failed && kind < INSPECT_KINDS; kind++)
		failed = move_kind(&n, from, (enum inspect_kind)kind, e);
	if (!failed && found) {
		schema_put_pair(&i->value, &names.pair);
		key_of(i, to, INSPECT_PAIR, 0, (struct view){0});
		failed = add_change(i, buf_view(&i->key), buf_view(&i->value), e);
	}
	buf_free(&n.rows);
	return failed ? -1 : 0;
}
