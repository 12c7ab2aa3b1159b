/* schema_test.c - what a record says comes back, at every extreme; a damaged one is either told to
 * be so or reads as something in bounds. Each decode gets its bytes in a block of their very size, so
 * that ASan sees one byte too far. */
#include "ledger/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const unsigned char pair_one[SCHEMA_PAIR_SIZE] = {1, 2, 3, 0, 0xff, 6, 7, 8};

/* V in a block of its own; the caller frees .data. */
static struct view own_block(struct view v)
{
	char *bytes = malloc(v.len + !v.len);

	assert_non_null(bytes);
	if (v.len)
		memcpy(bytes, v.data, v.len);
	return view_make(bytes, v.len);
}

static char *long_text(size_t len)
{
	return memset(mem_new(len + 1, 1), 'x', len);
}

/* ---- keys ---- */

static void test_pair_ids(void **state)
{
	static const char *const pairs[][2] = {{"a@x", "b@y"}, {"b@y", "a@x"}, {"a@x", "b@y2"},
	    {"a@xb", "@y"}, {"a@x", "b@"}, {"", "a@xb@y"}, {"a@xb@y", ""}, {"", ""}};
	unsigned char ids[COUNT_OF(pairs)][SCHEMA_PAIR_SIZE], again[SCHEMA_PAIR_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		schema_pair_id(ids[i], pairs[i][0], pairs[i][1]);
		schema_pair_id(again, pairs[i][0], pairs[i][1]);
		assert_memory_equal(ids[i], again, SCHEMA_PAIR_SIZE);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(ids[i], ids[k], SCHEMA_PAIR_SIZE);
	}
}

static void test_keys(void **state)
{
	static const uint32_t numbers[] = {1, 255, 256, 65536, 0x01020304, UINT32_MAX};
	AUTO(buf_free) struct buf key = BUF_INIT(STORE_KEY_MAX), before = BUF_INIT(STORE_KEY_MAX);
	uint32_t number;
	struct view id;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		schema_key(&key, SCHEMA_ROW, pair_one, numbers[i], view_of("77"));
		assert_int_equal(schema_key_number(buf_view(&key), &number), 0);
		assert_int_equal(number, numbers[i]);
		assert_int_equal(schema_key_id(buf_view(&key), &id), 0);
		assert_true(view_is(id, "77"));
		if (i) /* they sort as numbers do */
			assert_true(view_cmp(buf_view(&before), buf_view(&key)) < 0);
		buf_clear(&before);
		buf_add_view(&before, buf_view(&key));
	}
}

static void test_key_prefixes(void **state)
{
	AUTO(buf_free) struct buf pair = BUF_INIT(STORE_KEY_MAX);
	AUTO(buf_free) struct buf folder = BUF_INIT(STORE_KEY_MAX);
	AUTO(buf_free) struct buf row = BUF_INIT(STORE_KEY_MAX);

	(void)state;
	schema_key(&pair, SCHEMA_ROW, pair_one, 0, (struct view){0});
	schema_key(&folder, SCHEMA_ROW, pair_one, 7, (struct view){0});
	schema_key(&row, SCHEMA_ROW, pair_one, 7, view_of("1"));
	assert_int_equal(pair.len, 1 + SCHEMA_PAIR_SIZE);
	assert_int_equal(folder.len, pair.len + 4);
	assert_int_equal(row.len, folder.len + 1);
	assert_memory_equal(folder.data, pair.data, pair.len);
	assert_memory_equal(row.data, folder.data, folder.len);
	assert_int_equal(pair.data[0], 'i');
	assert_memory_equal(pair.data + 1, pair_one, SCHEMA_PAIR_SIZE);
}

static void test_short_keys(void **state)
{
	AUTO(buf_free) struct buf key = BUF_INIT(STORE_KEY_MAX);
	uint32_t number;
	struct view id;

	(void)state;
	schema_key(&key, SCHEMA_INTENT, pair_one, 7, view_of("1"));
	for (size_t len = 0; len <= key.len; len++) {
		struct view cut = own_block(view_make(key.data, len));
		assert_int_equal(schema_key_id(cut, &id), len < key.len ? -1 : 0);
		assert_int_equal(schema_key_number(cut, &number), len < key.len - 1 ? -1 : 0);
		free((void *)(uintptr_t)cut.data);
	}
}

/* ---- one record of each kind, from and to bytes ---- */

/* Decode VALUE; 0 = it is one, and printed to OUT in full. */
typedef int decode_fn(struct view value, struct buf *out);

static void print_bytes(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		buf_printf(out, "%02x", at[i]);
	buf_add_char(out, '|');
}

static int decode_pair(struct view value, struct buf *out)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct schema_pair p = {0};

	if (schema_get_pair(value, &p, &a))
		return -1;
	return buf_printf(
	    out, "%s|%s|%u|%lld", p.source, p.destination, p.pass, (long long)p.begun);
}

static int decode_folder(struct view value, struct buf *out)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct ledger_folder f = {0};

	if (schema_get_folder(value, &f, &a))
		return -1;
	print_bytes(out, f.source_raw.data, f.source_raw.len);
	for (size_t i = 0; i < f.target_depth; i++)
		buf_printf(out, "%s/", f.target_parts[i]);
	print_bytes(out, f.target_raw.data, f.target_raw.len);
	assert_true(strnlen(f.cursor.text, CURSOR_SIZE) < CURSOR_SIZE);
	assert_true(strnlen(f.tail.text, CURSOR_SIZE) < CURSOR_SIZE);
	assert_true(strnlen(f.source.text, CURSOR_SIZE) < CURSOR_SIZE);
	assert_true(strnlen(f.target.text, CURSOR_SIZE) < CURSOR_SIZE);
	print_bytes(out, f.source_object.data, f.source_object.len);
	print_bytes(out, f.target_object.data, f.target_object.len);
	return buf_printf(out, "%s,%s,%s|%s|%s|%s|%s|%llu|%llu|%llu|%llu|%llu|%llu|%d%u",
	    f.top[0].text, f.top[1].text, f.top[2].text, f.cursor.text, f.tail.text, f.source.text,
	    f.target.text, (unsigned long long)f.stored, (unsigned long long)f.refused,
	    (unsigned long long)f.owed, (unsigned long long)f.found, (unsigned long long)f.left,
	    (unsigned long long)f.gone, f.subscribed, f.fidelity);
}

static int decode_row(struct view value, struct buf *out)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct ledger_row r = {0};

	if (schema_get_row(value, &r, &a))
		return -1;
	assert_in_range(r.state, ROW_STORED, ROW_LEFT);
	assert_in_range(r.cause, CAUSE_NONE, CAUSE_COUNT - 1);
	print_bytes(out, r.target_id.data, r.target_id.len);
	print_bytes(out, r.digest, sizeof(r.digest));
	return buf_printf(out, "%d|%llu|%d|%u|%u|%u|%d|%d|%s", r.state, (unsigned long long)r.size,
	    r.gone, r.pass, r.source_base, r.target_base, r.target_assumed, r.cause, r.reason);
}

static int decode_intent(struct view value, struct buf *out)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct ledger_intent i = {0};

	if (schema_get_intent(value, &i, &a))
		return -1;
	assert_in_range(i.state, INTENT_OPEN, INTENT_PLACED);
	print_bytes(out, i.identity.msgid, sizeof(i.identity.msgid));
	print_bytes(out, i.identity.header, sizeof(i.identity.header));
	print_bytes(out, i.identity.body, sizeof(i.identity.body));
	return buf_printf(out, "%d|%llu|%llu|%d|%lld|%d|%u|%u|%s", i.state,
	    (unsigned long long)i.identity.size, (unsigned long long)i.identity.canonical_size,
	    i.date.known, (long long)i.date.instant, i.date.zone, i.flags, i.flags_told, i.msgid);
}

/* VALUE decodes to what prints as TEXT. */
static void expect_record(decode_fn *decode, const struct buf *value, const char *text)
{
	AUTO(buf_free) struct buf out = BUF_INIT(1u << 20);
	struct view block = own_block(buf_view(value));

	assert_int_equal(decode(block, &out), 0);
	assert_string_equal(out.data, text);
	free((void *)(uintptr_t)block.data);
}

static void test_pairs(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	static const struct {
		struct schema_pair pair;
		const char *text;
	} table[] = {
	    {{"a@x", "b@y", 1, 1700000000}, "a@x|b@y|1|1700000000"},
	    {{"", "", 0, 0}, "||0|0"},
	    {{"\xc3\xa9@x", "b\tc", UINT32_MAX, INT64_MAX},
		"\xc3\xa9@x|b\tc|4294967295|9223372036854775807"},
	    {{"a", "b", 127, INT64_MIN}, "a|b|127|-9223372036854775808"},
	    {{"a", "b", 128, -1}, "a|b|128|-1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		schema_put_pair(&value, &table[i].pair);
		expect_record(decode_pair, &value, table[i].text);
	}
}

static char *no_parts[] = {NULL};
static char *three_parts[] = {(char[]){"Archive"}, (char[]){"2024/x"}, (char[]){"\xc3\x84"}};

static void test_folders(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	const struct {
		struct ledger_folder folder;
		const char *text;
	} table[] = {
	    {{.target_parts = no_parts}, "||||,,|||||0|0|0|0|0|0|00"},
	    {{.source_raw = {"IN\0X", 4},
		 .target_parts = three_parts,
		 .target_depth = 3,
		 .target_raw = {"\xff/\0", 3},
		 .cursor = {"1 2 3"},
		 .tail = {"4 5 6"},
		 .source = {"8"},
		 .target = {"7"},
		 .stored = UINT64_MAX,
		 .refused = 1u << 7,
		 .owed = (uint64_t)1 << 63,
		 .found = 3,
		 .top = {{"9"}, {"8"}},
		 .left = 4,
		 .gone = 5,
		 .source_object = {"F1", 2},
		 .target_object = {"\x02", 1},
		 .fidelity = 5,
		 .subscribed = true},
		"494e0058|Archive/2024/x/\xc3\x84/ff2f00|4631|02|9,8,|1 2 3|4 5 "
		"6|8|7|18446744073709551615|128|"
		"9223372036854775808|3|4|5|15"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		schema_put_folder(&value, &table[i].folder);
		expect_record(decode_folder, &value, table[i].text);
	}
}

/* The longest cursor, the deepest path; one more of either is a damaged record. */
static void test_folder_bounds(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX), out = BUF_INIT(1u << 20);
	char *parts[2001];
	struct ledger_folder f = {.target_parts = parts};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		parts[i] = (char[]){"p"};
	memset(f.cursor.text, '9', CURSOR_SIZE - 1);
	f.target_depth = 2000;
	schema_put_folder(&value, &f);
	assert_int_equal(decode_folder(buf_view(&value), &out), 0);
	assert_non_null(strstr(out.data, f.cursor.text));
	f.target_depth = 2001;
	schema_put_folder(&value, &f);
	assert_int_equal(decode_folder(buf_view(&value), &out), -1);
}

static void test_cursor_too_long(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX), out = BUF_INIT(1u << 20);
	char *text = long_text(CURSOR_SIZE);

	(void)state;
	for (size_t which = 0; which < 4; which++) {
		buf_clear(&value);
		pack_text(&value, "raw");
		pack_varint(&value, 0);
		pack_text(&value, "target");
		for (size_t i = 0; i < 4; i++)
			pack_view(&value, view_make(text, i == which ? CURSOR_SIZE : 3));
		for (size_t i = 0; i < 4; i++)
			pack_u8(&value, 0);
		assert_int_equal(decode_folder(buf_view(&value), &out), -1);
	}
	free(text);
}

#define ZEROS "00000000000000000000000000000000"
#define EFFS "ffffffffffffffffffffffffffffffff"

static struct ledger_row row_extreme(enum row_state state, const char *reason)
{
	struct ledger_row r = {.state = state,
	    .target_id = {"4294967295", 10},
	    .size = UINT64_MAX,
	    .gone = true,
	    .pass = UINT32_MAX,
	    .source_base = UINT32_MAX,
	    .target_base = 128,
	    .target_assumed = true,
	    .cause = CAUSE_MISSING,
	    .reason = reason};

	memset(r.digest, 0xff, sizeof(r.digest));
	return r;
}

static void test_rows(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	const struct {
		struct ledger_row row;
		const char *text;
	} table[] = {
	    {{.state = ROW_STORED}, "|" ZEROS "|1|0|0|0|0|0|0|0|"},
	    {{.state = ROW_OWED, .cause = CAUSE_NONE, .reason = NULL},
		"|" ZEROS "|4|0|0|0|0|0|0|0|"},
	    /* only what was not copied has a cause */
	    {row_extreme(ROW_STORED, "why"),
		"34323934393637323935|" EFFS
		"|1|18446744073709551615|1|4294967295|4294967295|128|1|0|"},
	    {row_extreme(ROW_ADOPTED, "why"),
		"34323934393637323935|" EFFS
		"|2|18446744073709551615|1|4294967295|4294967295|128|1|0|"},
	    {row_extreme(ROW_REFUSED, "why"),
		"34323934393637323935|" EFFS
		"|3|18446744073709551615|1|4294967295|4294967295|128|1|30|why"},
	    {row_extreme(ROW_OWED, ""),
		"34323934393637323935|" EFFS
		"|4|18446744073709551615|1|4294967295|4294967295|128|1|30|"},
	};

	(void)state;
	assert_int_equal(CAUSE_MISSING, 30); /* on disk for good: their numbers are stable */
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		schema_put_row(&value, &table[i].row);
		expect_record(decode_row, &value, table[i].text);
	}
}

/* A server's endless reason is cut; ids of any length and bytes are kept. */
static void test_row_long_texts(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	AUTO(arena_free) struct arena a = ARENA_INIT;
	char *text = long_text(70000);
	struct ledger_row row = row_extreme(ROW_REFUSED, text), got = {0};

	(void)state;
	row.target_id = view_make(text, 900);
	schema_put_row(&value, &row);
	assert_int_equal(schema_get_row(buf_view(&value), &got, &a), 0);
	assert_int_equal(strlen(got.reason), 300);
	assert_true(view_eq(got.target_id, row.target_id));
	free(text);
}

/* DESIGN §7: at most 128 bytes a message, key and all. */
static void test_row_is_small(void **state)
{
	AUTO(buf_free) struct buf key = BUF_INIT(STORE_KEY_MAX), value = BUF_INIT(STORE_VALUE_MAX);
	struct ledger_row row = row_extreme(ROW_STORED, "");

	(void)state;
	schema_key(&key, SCHEMA_ROW, pair_one, UINT32_MAX, view_of("4294967295"));
	schema_put_row(&value, &row);
	assert_true(key.len + value.len <= 90);
}

static struct ledger_intent intent_extreme(enum intent_state state, const char *msgid)
{
	struct ledger_intent i = {.state = state,
	    .identity = {.size = UINT64_MAX, .canonical_size = (uint64_t)UINT32_MAX + 1},
	    .date = {INT64_MIN, -32768, true},
	    .flags = UINT32_MAX,
	    .flags_told = 1,
	    .msgid = msgid};

	memset(i.identity.msgid, 0xff, sizeof(i.identity.msgid));
	memset(i.identity.header, 0xff, sizeof(i.identity.header));
	memset(i.identity.body, 0xff, sizeof(i.identity.body));
	return i;
}

static void test_intents(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	const struct {
		struct ledger_intent intent;
		const char *text;
	} table[] = {
	    {{.state = INTENT_OPEN}, "0000000000000000|" ZEROS "|" ZEROS "|1|0|0|0|0|0|0|0|"},
	    {{.state = INTENT_DOUBTED, .date = {-1, 840, false}, .msgid = "<a@b>"},
		"0000000000000000|" ZEROS "|" ZEROS "|3|0|0|0|-1|840|0|0|<a@b>"},
	    {intent_extreme(INTENT_UNLOCATED, ""),
		"ffffffffffffffff|" EFFS "|" EFFS "|2|18446744073709551615|4294967296|1|"
		"-9223372036854775808|-32768|4294967295|1|"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		schema_put_intent(&value, &table[i].intent);
		expect_record(decode_intent, &value, table[i].text);
	}
}

/* ---- repaired ---- */

static struct ledger_row row_repaired(void)
{
	struct ledger_row row = row_extreme(ROW_STORED, "mended");

	row.cause = CAUSE_REPAIRED;
	memset(row.sent, 7, sizeof(row.sent));
	return row;
}

static void test_repaired(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct ledger_row row = row_repaired(), got = {0};
	struct ledger_intent intent = intent_extreme(INTENT_DOUBTED, ""), read = {0};

	(void)state;
	row.object = 5;
	schema_put_row(&value, &row);
	assert_int_equal(schema_get_row(buf_view(&value), &got, &a), 0);
	assert_int_equal(got.state, ROW_STORED);
	assert_int_equal(got.cause, CAUSE_REPAIRED);
	assert_int_equal(got.object, 5);
	assert_string_equal(got.reason, "mended");
	assert_memory_equal(got.sent, row.sent, sizeof(row.sent));
	assert_memory_equal(got.digest, row.digest, sizeof(row.digest));
	assert_true(ledger_sent_digest(&got) == got.sent);
	value.data[0] = (char)(ROW_REFUSED | 0x80); /* no row is both */
	assert_int_equal(schema_get_row(buf_view(&value), &got, &a), -1);

	schema_put_intent(&value, &intent);
	assert_int_equal(schema_get_intent(buf_view(&value), &read, &a), 0);
	assert_null(read.repair);
	intent.repair = "wrapped";
	memset(intent.header_told, 9, sizeof(intent.header_told));
	schema_put_intent(&value, &intent);
	assert_int_equal(schema_get_intent(buf_view(&value), &read, &a), 0);
	assert_int_equal(read.state, INTENT_DOUBTED);
	assert_string_equal(read.repair, "wrapped");
	assert_memory_equal(read.header_told, intent.header_told, sizeof(read.header_told));
}

/* ---- damage ---- */

static const struct {
	const char *name;
	decode_fn *decode;
} kinds[] = {{"pair", decode_pair}, {"folder", decode_folder}, {"row", decode_row},
    {"intent", decode_intent}, {"repaired row", decode_row}, {"repaired intent", decode_intent}};

/* A valid record of kinds[K], with every field in use. */
static void fill_record(size_t k, struct buf *value)
{
	struct ledger_row row = row_extreme(ROW_REFUSED, "no");
	struct ledger_intent intent = intent_extreme(INTENT_OPEN, "<m@x>");

	switch (k) {
	case 0:
		schema_put_pair(value, &(struct schema_pair){"a@x", "b@y", 300, 1700000000});
		break;
	case 1:
		schema_put_folder(value, &(struct ledger_folder){.source_raw = {"raw", 3},
					     .target_parts = three_parts,
					     .target_depth = 3,
					     .target_raw = {"target", 6},
					     .cursor = {"1 2 3"},
					     .tail = {"4 5 6"},
					     .stored = 200});
		break;
	case 2:
		schema_put_row(value, &row);
		break;
	case 3:
		schema_put_intent(value, &intent);
		break;
	case 4:
		row = row_repaired();
		schema_put_row(value, &row);
		break;
	default:
		intent.repair = "mended";
		schema_put_intent(value, &intent);
	}
}

/* Whatever the bytes: -1, or something that can be printed. */
static int try_decode(size_t k, struct view bytes)
{
	AUTO(buf_free) struct buf out = BUF_INIT(4u << 20);
	struct view block = own_block(bytes);
	int result = kinds[k].decode(block, &out);

	assert_true(result == 0 || result == -1);
	free((void *)(uintptr_t)block.data);
	return result;
}

static void test_every_truncation(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);

	(void)state;
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		fill_record(k, &value);
		for (size_t len = 0; len < value.len; len++)
			assert_int_equal(try_decode(k, view_make(value.data, len)), -1);
		assert_int_equal(try_decode(k, buf_view(&value)), 0);
		buf_add_char(&value, 0); /* one byte too many */
		assert_int_equal(try_decode(k, buf_view(&value)), -1);
	}
}

static void test_every_byte_changed(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	unsigned tried = 0, refused = 0;

	(void)state;
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		fill_record(k, &value);
		for (size_t at = 0; at < value.len; at++) {
			char was = value.data[at];
			for (int c = 0; c < 256; c++) {
				value.data[at] = (char)c;
				refused += try_decode(k, buf_view(&value)) != 0;
				tried++;
			}
			value.data[at] = was;
		}
	}
	print_message("%u damaged records, %u told to be so\n", tried, refused);
	assert_true(refused > tried / 8);
}

static void test_noise(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 40000; round++) {
		size_t k = (size_t)round % COUNT_OF(kinds);
		size_t changes = 1 + (size_t)(rand_r(&seed) % 4);
		fill_record(k, &value);
		for (size_t i = 0; i < changes; i++)
			value.data[(size_t)rand_r(&seed) % value.len] = (char)rand_r(&seed);
		try_decode(k, view_make(value.data, (size_t)rand_r(&seed) % (value.len + 1)));
	}
}

/* States, causes and depths that no version ever wrote. */
static void test_impossible_values(void **state)
{
	AUTO(buf_free) struct buf value = BUF_INIT(STORE_VALUE_MAX);
	static const unsigned char states[] = {0, 5, 127, 128, 255};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(states); i++) {
		fill_record(2, &value);
		value.data[0] = (char)states[i];
		assert_int_equal(try_decode(2, buf_view(&value)), -1);
		fill_record(3, &value);
		value.data[0] = (char)states[i];
		assert_int_equal(try_decode(3, buf_view(&value)), -1);
	}
	fill_record(2, &value);
	value.data[value.len - 4] = (char)CAUSE_COUNT; /* u8 cause, view "no" */
	assert_int_equal(try_decode(2, buf_view(&value)), -1);
	buf_clear(&value); /* 2^64-1 path parts */
	pack_text(&value, "raw");
	pack_varint(&value, UINT64_MAX);
	assert_int_equal(try_decode(1, buf_view(&value)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pair_ids),
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_key_prefixes),
	    cmocka_unit_test(test_short_keys),
	    cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_folders),
	    cmocka_unit_test(test_folder_bounds),
	    cmocka_unit_test(test_cursor_too_long),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_row_long_texts),
	    cmocka_unit_test(test_row_is_small),
	    cmocka_unit_test(test_intents),
	    cmocka_unit_test(test_repaired),
	    cmocka_unit_test(test_every_truncation),
	    cmocka_unit_test(test_every_byte_changed),
	    cmocka_unit_test(test_noise),
	    cmocka_unit_test(test_impossible_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
