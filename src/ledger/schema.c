/* schema.c - the records of the ledger as bytes, version 2. Between ledger.c and any store.
 *
 *   p PAIR                   view source, view destination, varint pass, u64 begun
 *   f PAIR u32be NUMBER      view source raw, varint depth, view part ..., view target raw,
 *                            view source object, view target object, view cursor, view tail, view source,
 *                            view target, view floor, varint finished, limit, stored, refused, owed, found,
 *                            left, gone, u8 subscribed, u8 fidelity, 3 times view top id
 *   s PAIR u32be NUMBER      text of a flag set; number 0 is the empty set and has no record
 *   i PAIR u32be FOLDER ID   u8 state (+16 assumed, +32 gone, +64 object, +128 repaired), view target id, 16
 *                            bytes digest, varint size, varint pass, varint source base, varint target
 *                            base, [u8 cause, view reason], [u64 object], [view reason, 16 sent]
 *   n PAIR u32be FOLDER ID   u8 state (+128 repaired), varint size, varint canonical size, 8 msgid, 16 header, 16 body,
 *                            u8 odd, [16 exact], date sent, date told, varint flags sent, varint flags told,
 *                            view msgid, varint size told, u64 object, [view repair, 16 header told]; a
 *                            date is u8 known, u64 instant, u16 zone
 *
 * Promises: what is put is got back; a malformed record is said to be so. Numbers in keys are big
 * endian, so that they sort. Does not: touch a store, or know what the records mean. */
#include "ledger/schema.h"

#include <sodium.h>
#include <string.h>

#define PARTS_MAX 2000u
#define REASON_MAX 300u
/* the first byte of a row */
#define ROW_STATE 0x0fu
#define ROW_IS_ASSUMED 0x10u
#define ROW_IS_GONE 0x20u
#define ROW_HAS_OBJECT 0x40u
#define IS_REPAIRED 0x80u /* of an intent, too */

void schema_pair_id(
    unsigned char out[static SCHEMA_PAIR_SIZE], const char *source, const char *destination)
{
	crypto_generichash_state state;
	unsigned char digest[16];

	crypto_generichash_init(&state, NULL, 0, sizeof(digest));
	crypto_generichash_update(&state, (const unsigned char *)source, strlen(source) + 1);
	crypto_generichash_update(&state, (const unsigned char *)destination, strlen(destination));
	crypto_generichash_final(&state, digest, sizeof(digest));
	memcpy(out, digest, SCHEMA_PAIR_SIZE);
}

void schema_key(struct buf *key, enum schema_kind kind, const unsigned char *pair, uint32_t number,
    struct view id)
{
	unsigned char be[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
	    (unsigned char)(number >> 8), (unsigned char)number};

	buf_clear(key);
	buf_add_char(key, (char)kind);
	buf_add(key, pair, SCHEMA_PAIR_SIZE);
	if (number || id.len)
		buf_add(key, be, sizeof(be));
	buf_add_view(key, id);
	assert(key->len <= STORE_KEY_MAX);
}

int schema_key_id(struct view key, struct view *id)
{
	const size_t head = 1 + SCHEMA_PAIR_SIZE + 4;

	if (key.len <= head)
		return -1;
	*id = view_make(key.data + head, key.len - head);
	return 0;
}

int schema_key_number(struct view key, uint32_t *number)
{
	const unsigned char *at = (const unsigned char *)key.data + 1 + SCHEMA_PAIR_SIZE;

	if (key.len < 1 + SCHEMA_PAIR_SIZE + 4)
		return -1;
	*number = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	return 0;
}

static struct view cut(const char *text, size_t max)
{
	struct view v = view_of(text);

	v.len = v.len > max ? max : v.len;
	return v;
}

static void get_bytes(struct unpack *u, unsigned char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = unpack_u8(u);
}

static void get_cursor(struct unpack *u, struct cursor *out)
{
	struct view v = unpack_view(u);

	if (v.len >= CURSOR_SIZE) {
		u->bad = true;
		return;
	}
	memset(out, 0, sizeof(*out));
	if (v.len)
		memcpy(out->text, v.data, v.len);
}

void schema_put_pair(struct buf *value, const struct schema_pair *p)
{
	buf_clear(value);
	pack_text(value, p->source);
	pack_text(value, p->destination);
	pack_varint(value, p->pass);
	pack_u64(value, (uint64_t)p->begun);
}

int schema_get_pair(struct view value, struct schema_pair *p, struct arena *a)
{
	struct unpack u = unpack_start(value);

	p->source = arena_text(a, unpack_view(&u));
	p->destination = arena_text(a, unpack_view(&u));
	p->pass = (uint32_t)unpack_varint(&u);
	p->begun = (int64_t)unpack_u64(&u);
	return unpack_done(&u);
}

void schema_put_folder(struct buf *value, const struct ledger_folder *f)
{
	buf_clear(value);
	pack_view(value, f->source_raw);
	pack_varint(value, f->target_depth);
	for (size_t i = 0; i < f->target_depth; i++)
		pack_text(value, f->target_parts[i]);
	pack_view(value, f->target_raw);
	pack_view(value, f->source_object);
	pack_view(value, f->target_object);
	pack_text(value, f->cursor.text);
	pack_text(value, f->tail.text);
	pack_text(value, f->source.text);
	pack_text(value, f->target.text);
	pack_text(value, f->floor.text);
	pack_varint(value, f->finished);
	pack_varint(value, f->limit);
	pack_varint(value, f->stored);
	pack_varint(value, f->refused);
	pack_varint(value, f->owed);
	pack_varint(value, f->found);
	pack_varint(value, f->left);
	pack_varint(value, f->gone);
	pack_u8(value, f->subscribed);
	pack_u8(value, (uint8_t)f->fidelity);
	for (size_t i = 0; i < TOPS; i++)
		pack_text(value, f->top[i].text);
}

int schema_get_folder(struct view value, struct ledger_folder *f, struct arena *a)
{
	struct unpack u = unpack_start(value);

	f->source_raw = arena_copy(a, unpack_view(&u));
	f->target_depth = unpack_varint(&u);
	if (f->target_depth > PARTS_MAX)
		return -1;
	f->target_parts = arena_new(a, f->target_depth + 1, sizeof(char *));
	for (size_t i = 0; i < f->target_depth; i++)
		f->target_parts[i] = arena_text(a, unpack_view(&u));
	f->target_raw = arena_copy(a, unpack_view(&u));
	f->source_object = arena_copy(a, unpack_view(&u));
	f->target_object = arena_copy(a, unpack_view(&u));
	get_cursor(&u, &f->cursor);
	get_cursor(&u, &f->tail);
	get_cursor(&u, &f->source);
	get_cursor(&u, &f->target);
	get_cursor(&u, &f->floor);
	f->finished = (uint32_t)unpack_varint(&u);
	f->limit = unpack_varint(&u);
	f->stored = unpack_varint(&u);
	f->refused = unpack_varint(&u);
	f->owed = unpack_varint(&u);
	f->found = unpack_varint(&u);
	f->left = unpack_varint(&u);
	f->gone = unpack_varint(&u);
	f->subscribed = unpack_u8(&u) != 0;
	f->fidelity = unpack_u8(&u);
	for (size_t i = 0; i < TOPS; i++)
		get_cursor(&u, &f->top[i]);
	return unpack_done(&u);
}

static bool has_cause(enum row_state state)
{
	return state == ROW_REFUSED || state == ROW_OWED;
}

void schema_put_row(struct buf *value, const struct ledger_row *row)
{
	buf_clear(value);
	bool repaired = !has_cause(row->state) && row->cause == CAUSE_REPAIRED;

	pack_u8(
	    value, (uint8_t)((unsigned)row->state | (row->target_assumed ? ROW_IS_ASSUMED : 0) |
			     (row->gone ? ROW_IS_GONE : 0) | (row->object ? ROW_HAS_OBJECT : 0) |
			     (repaired ? IS_REPAIRED : 0)));
	pack_view(value, row->target_id);
	buf_add(value, row->digest, sizeof(row->digest));
	pack_varint(value, row->size);
	pack_varint(value, row->pass);
	pack_varint(value, row->source_base);
	pack_varint(value, row->target_base);
	if (has_cause(row->state)) {
		pack_u8(value, (uint8_t)row->cause);
		pack_view(value, cut(row->reason ? row->reason : "", REASON_MAX));
	}
	if (row->object)
		pack_u64(value, row->object);
	if (repaired) {
		pack_view(value, cut(row->reason ? row->reason : "", REASON_MAX));
		buf_add(value, row->sent, sizeof(row->sent));
	}
}

int schema_get_row(struct view value, struct ledger_row *row, struct arena *a)
{
	struct unpack u = unpack_start(value);

	unsigned state = unpack_u8(&u);

	row->state = state & ROW_STATE;
	row->target_assumed = state & ROW_IS_ASSUMED;
	row->gone = state & ROW_IS_GONE;
	row->target_id = arena_copy(a, unpack_view(&u));
	get_bytes(&u, row->digest, sizeof(row->digest));
	row->size = unpack_varint(&u);
	row->pass = (uint32_t)unpack_varint(&u);
	row->source_base = (uint32_t)unpack_varint(&u);
	row->target_base = (uint32_t)unpack_varint(&u);
	row->cause = has_cause(row->state) ? unpack_u8(&u) : CAUSE_NONE;
	row->reason = has_cause(row->state) ? arena_text(a, unpack_view(&u)) : "";
	row->object = state & ROW_HAS_OBJECT ? unpack_u64(&u) : 0;
	if (row->state < ROW_STORED || row->state > ROW_LEFT || row->cause >= CAUSE_COUNT ||
	    (state & IS_REPAIRED && has_cause(row->state)))
		return -1;
	if (state & IS_REPAIRED) {
		row->cause = CAUSE_REPAIRED;
		row->reason = arena_text(a, unpack_view(&u));
		get_bytes(&u, row->sent, sizeof(row->sent));
	}
	return unpack_done(&u);
}

static void put_date(struct buf *value, const struct date *d)
{
	pack_u8(value, d->known);
	pack_u64(value, (uint64_t)d->instant);
	pack_u16(value, (uint16_t)d->zone);
}

static void get_date(struct unpack *u, struct date *d)
{
	d->known = unpack_u8(u) != 0;
	d->instant = (int64_t)unpack_u64(u);
	d->zone = (int16_t)unpack_u16(u);
}

static bool is_repaired(const struct ledger_intent *i)
{
	return i->repair && *i->repair;
}

void schema_put_intent(struct buf *value, const struct ledger_intent *i)
{
	buf_clear(value);
	pack_u8(value, (uint8_t)((unsigned)i->state | (is_repaired(i) ? IS_REPAIRED : 0)));
	pack_varint(value, i->identity.size);
	pack_varint(value, i->identity.canonical_size);
	buf_add(value, i->identity.msgid, sizeof(i->identity.msgid));
	buf_add(value, i->identity.header, sizeof(i->identity.header));
	buf_add(value, i->identity.body, sizeof(i->identity.body));
	pack_u8(value, i->identity.odd);
	if (i->identity.odd)
		buf_add(value, i->identity.exact, sizeof(i->identity.exact));
	put_date(value, &i->date);
	put_date(value, &i->date_told);
	pack_varint(value, i->flags);
	pack_varint(value, i->flags_told);
	pack_view(value, cut(i->msgid ? i->msgid : "", REASON_MAX));
	pack_varint(value, i->size);
	pack_u64(value, i->object);
	if (is_repaired(i)) {
		pack_view(value, cut(i->repair, REASON_MAX));
		buf_add(value, i->header_told, sizeof(i->header_told));
	}
}

int schema_get_intent(struct view value, struct ledger_intent *i, struct arena *a)
{
	struct unpack u = unpack_start(value);
	unsigned state = unpack_u8(&u);

	i->state = state & ~IS_REPAIRED;
	i->identity.size = unpack_varint(&u);
	i->identity.canonical_size = unpack_varint(&u);
	get_bytes(&u, i->identity.msgid, sizeof(i->identity.msgid));
	get_bytes(&u, i->identity.header, sizeof(i->identity.header));
	get_bytes(&u, i->identity.body, sizeof(i->identity.body));
	i->identity.odd = unpack_u8(&u) != 0;
	if (i->identity.odd)
		get_bytes(&u, i->identity.exact, sizeof(i->identity.exact));
	get_date(&u, &i->date);
	get_date(&u, &i->date_told);
	i->flags = (uint32_t)unpack_varint(&u);
	i->flags_told = (uint32_t)unpack_varint(&u);
	i->msgid = arena_text(a, unpack_view(&u));
	i->size = unpack_varint(&u);
	i->object = unpack_u64(&u);
	i->repair = state & IS_REPAIRED ? arena_text(a, unpack_view(&u)) : NULL;
	if (i->repair)
		get_bytes(&u, i->header_told, sizeof(i->header_told));
	if (i->state < INTENT_OPEN || i->state > INTENT_PLACED)
		return -1;
	return unpack_done(&u);
}
