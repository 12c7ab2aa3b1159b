/* pack_test.c - what is packed unpacks to the same; hostile bytes never lead out of bounds. */
#include "base/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t numbers[] = {0, 1, 127, 128, 255, 256, 16383, 16384, 65535, 65536, INT32_MAX,
    UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX - 1, UINT64_MAX};

static void pack_all(struct buf *b, uint64_t n)
{
	assert_int_equal(pack_u8(b, (uint8_t)n), 0);
	assert_int_equal(pack_u16(b, (uint16_t)n), 0);
	assert_int_equal(pack_u32(b, (uint32_t)n), 0);
	assert_int_equal(pack_u64(b, n), 0);
	assert_int_equal(pack_varint(b, n), 0);
	assert_int_equal(pack_text(b, "text"), 0);
	assert_int_equal(pack_view(b, (struct view){0}), 0);
}

static void test_round_trip(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		uint64_t n = numbers[i];
		struct unpack u;
		buf_clear(&b);
		pack_all(&b, n);
		u = unpack_start(buf_view(&b));
		assert_int_equal(unpack_u8(&u), (uint8_t)n);
		assert_int_equal(unpack_u16(&u), (uint16_t)n);
		assert_int_equal(unpack_u32(&u), (uint32_t)n);
		assert_true(unpack_u64(&u) == n);
		assert_true(unpack_varint(&u) == n);
		assert_true(unpack_more(&u));
		assert_true(view_is(unpack_view(&u), "text"));
		assert_int_equal(unpack_done(&u), -1); /* something is left over */
		assert_int_equal(unpack_view(&u).len, 0);
		assert_false(unpack_more(&u));
		assert_int_equal(unpack_done(&u), 0);
	}
	buf_free(&b);
}

static void test_little_endian(void **state)
{
	struct buf b = BUF_INIT(100);

	(void)state;
	pack_u32(&b, 0x01020304);
	pack_varint(&b, 300);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "\x04\x03\x02\x01\xac\x02", 6);
	buf_free(&b);
}

static void test_every_cut(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	pack_all(&b, UINT64_MAX);
	for (size_t len = 0; len < b.len; len++) {
		char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read too far */
		struct unpack u;
		assert_non_null(exact);
		memcpy(exact, b.data, len);
		u = unpack_start(view_make(exact, len));
		unpack_u8(&u);
		unpack_u16(&u);
		unpack_u32(&u);
		unpack_u64(&u);
		unpack_varint(&u);
		unpack_view(&u);
		unpack_view(&u);
		assert_true(u.bad);
		assert_int_equal(unpack_done(&u), -1);
		assert_int_equal(unpack_u64(&u), 0); /* bad stays bad */
		free(exact);
	}
	buf_free(&b);
}

static void test_hostile(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool good; /* as a varint with nothing behind it */
	} rows[] = {
	    {"", 0, false},
	    {"\x80", 1, false},
	    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true},
	    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, false}, /* 65 bits */
	    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11, false},
	    {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12, false},
	};
	struct unpack u =
	    unpack_start(view_make("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xyz", 13));

	(void)state;
	assert_int_equal(unpack_view(&u).len, 0); /* a view of 2^64-1 bytes */
	assert_true(u.bad);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		u = unpack_start(view_make(rows[i].bytes, rows[i].len));
		unpack_varint(&u);
		assert_int_equal(unpack_done(&u), rows[i].good ? 0 : -1);
	}
	u = unpack_start((struct view){0});
	assert_int_equal(unpack_done(&u), 0);
	assert_false(unpack_more(&u));
}

static void test_ceiling(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	assert_int_equal(pack_text(&b, "12345"), -1);
	assert_int_equal(b.len, 0); /* not even the length */
	assert_int_equal(pack_text(&b, "1234"), 0);
	assert_int_equal(pack_u8(&b, 1), -1);
	buf_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_little_endian),
	    cmocka_unit_test(test_every_cut),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
