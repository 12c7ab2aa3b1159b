/* protocol_test.c - errors between worker and controller: what was told is heard; hostile bytes are
 * refused or harmless. Each frame lies in a block of its very size, for ASan. */
#include "fleet/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Frame types of store and fleet never meet. */
static void test_types_are_apart(void **state)
{
	(void)state;
	assert_true((int)FLEET_SECRET_ASK > (int)STORE_FRAME_LAST);
	assert_true(STORE_FAILED < STORE_FRAME_LAST);
	assert_true(FLEET_RESULT <= UINT8_MAX);
}

static int unpack(struct view bytes, struct err *e)
{
	char *block = malloc(bytes.len + !bytes.len);
	struct unpack u;
	int result;

	assert_non_null(block);
	if (bytes.len)
		memcpy(block, bytes.data, bytes.len);
	u = unpack_start(view_make(block, bytes.len));
	result = fleet_unpack_error(&u, e);
	assert_false(!result && u.bad); /* it says so itself */
	result = result || unpack_done(&u) ? -1 : 0;
	free(block);
	return result;
}

static void test_round_trip(void **state)
{
	AUTO(buf_free) struct buf b = BUF_INIT(10000);
	const struct err table[] = {
	    {.cause = CAUSE_NONE},
	    {.cause = CAUSE_USAGE, .text = "a text"},
	    {CAUSE_THROTTLED, ERR_LINK, ERR_WAIT, ERR_DESTINATION, 65535, "wait", "[LIMIT] x"},
	    {CAUSE_MISSING, ERR_ITEM, ERR_STOPPED, ERR_HERE, 1, "", "only detail"},
	    {CAUSE_BUG, ERR_RUN, ERR_GIVE_UP, ERR_SOURCE, 0, "M\xc3\xbcller \xe2\x82\xac", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct err got;
		buf_clear(&b);
		assert_int_equal(fleet_pack_error(&b, &table[i]), 0);
		memset(&got, 0x55, sizeof(got));
		assert_int_equal(unpack(buf_view(&b), &got), 0);
		assert_int_equal(got.cause, table[i].cause);
		assert_int_equal(got.scope, table[i].scope);
		assert_int_equal(got.next, table[i].next);
		assert_int_equal(got.side, table[i].side);
		assert_int_equal(got.wait_s, table[i].wait_s);
		assert_string_equal(got.text, table[i].text);
		assert_string_equal(got.detail, table[i].detail);
	}
}

static void test_every_value(void **state)
{
	AUTO(buf_free) struct buf b = BUF_INIT(10000);

	(void)state;
	for (unsigned cause = 0; cause < CAUSE_COUNT; cause++)
		for (unsigned scope = 0; scope <= ERR_RUN; scope++)
			for (unsigned next = 0; next <= ERR_STOPPED; next++) {
				struct err e = {.cause = cause, .scope = scope, .next = next}, got;
				buf_clear(&b);
				assert_int_equal(fleet_pack_error(&b, &e), 0);
				assert_int_equal(unpack(buf_view(&b), &got), 0);
				assert_memory_equal(&got, &e, offsetof(struct err, wait_s));
			}
}

/* The longest texts (what err_set makes) are whole; a negative time to wait is none. */
static void test_extremes(void **state)
{
	AUTO(buf_free) struct buf b = BUF_INIT(10000);
	struct err e = {.cause = CAUSE_QUOTA, .wait_s = -5}, got;

	(void)state;
	memset(e.text, 't', sizeof(e.text) - 4);
	memset(e.detail, 'd', sizeof(e.detail) - 4);
	assert_int_equal(fleet_pack_error(&b, &e), 0);
	assert_int_equal(unpack(buf_view(&b), &got), 0);
	assert_string_equal(got.text, e.text);
	assert_string_equal(got.detail, e.detail);
	assert_int_equal(got.wait_s, 0);
}

static void test_no_room(void **state)
{
	const struct err e = {.cause = CAUSE_QUOTA, .text = "no room for this"};

	(void)state;
	for (size_t room = 0; room < 24; room++) {
		AUTO(buf_free) struct buf b = BUF_INIT(room);
		assert_int_equal(fleet_pack_error(&b, &e), room < 23 ? -1 : 0);
	}
}

/* ---- hostile bytes ---- */

static bool is_printable(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len < size;
}

/* Refused, or every field in bounds; refused leaves the error as it was. */
static int try_unpack(struct view bytes)
{
	struct err got, before;

	memset(&before, 0x55, sizeof(before));
	got = before;
	if (unpack(bytes, &got))
		return -1;
	assert_in_range(got.cause, 0, CAUSE_COUNT - 1);
	assert_in_range(got.scope, 0, ERR_RUN);
	assert_in_range(got.next, 0, ERR_STOPPED);
	assert_in_range(got.side, 0, ERR_DESTINATION);
	assert_in_range(got.wait_s, 0, 86400);
	assert_true(is_printable(got.text, sizeof(got.text)));
	assert_true(is_printable(got.detail, sizeof(got.detail)));
	return 0;
}

static void fill(struct buf *b)
{
	const struct err e = {
	    CAUSE_TLS, ERR_LINK, ERR_WAIT, ERR_SOURCE, 300, "some text", "detail"};

	buf_clear(b);
	assert_int_equal(fleet_pack_error(b, &e), 0);
}

static void test_every_truncation(void **state)
{
	AUTO(buf_free) struct buf b = BUF_INIT(1000);

	(void)state;
	fill(&b);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(try_unpack(view_make(b.data, len)), -1);
	assert_int_equal(try_unpack(buf_view(&b)), 0);
	buf_add_char(&b, 0);
	assert_int_equal(try_unpack(buf_view(&b)), -1);
}

static void test_every_byte_changed(void **state)
{
	AUTO(buf_free) struct buf b = BUF_INIT(1000);

	(void)state;
	fill(&b);
	for (size_t at = 0; at < b.len; at++) {
		char was = b.data[at];
		for (int c = 0; c < 256; c++) {
			b.data[at] = (char)c;
			try_unpack(buf_view(&b));
		}
		b.data[at] = was;
	}
}

static void test_out_of_bounds(void **state)
{
	static const struct {
		size_t at;
		unsigned least;
	} table[] = {
	    {0, CAUSE_COUNT}, {1, ERR_RUN + 1}, {2, ERR_STOPPED + 1}, {3, ERR_DESTINATION + 1}};
	AUTO(buf_free) struct buf b = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (unsigned c = table[i].least; c < 256; c++) {
			fill(&b);
			b.data[table[i].at] = (char)c;
			assert_int_equal(try_unpack(buf_view(&b)), -1);
		}
}

/* A worker that was taken over cannot write to the controller's terminal. */
static void test_escapes(void **state)
{
	AUTO(buf_free) struct buf b = BUF_INIT(10000);
	char huge[3000];

	(void)state;
	memset(huge, '\x1b', sizeof(huge));
	for (size_t i = 0; i < 4; i++)
		pack_u8(&b, 0);
	pack_varint(&b, UINT64_MAX);
	pack_view(&b, view_make(huge, sizeof(huge)));
	pack_view(&b, view_make("a\0b\n\xff", 5));
	assert_int_equal(try_unpack(buf_view(&b)), 0);
}

static void test_noise(void **state)
{
	unsigned seed = 1;
	char bytes[64];

	(void)state;
	for (int round = 0; round < 50000; round++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(bytes);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(rand_r(&seed) % (round % 2 ? 256 : 6));
		try_unpack(view_make(bytes, len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_types_are_apart),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_every_value),
	    cmocka_unit_test(test_extremes),
	    cmocka_unit_test(test_no_room),
	    cmocka_unit_test(test_every_truncation),
	    cmocka_unit_test(test_every_byte_changed),
	    cmocka_unit_test(test_out_of_bounds),
	    cmocka_unit_test(test_escapes),
	    cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
