/* imap_text_test.c - names, dates, strings and sets: tables of what goes in and what comes out, and
 * round trips. */
#include "wire/imap_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void assert_view(struct view v, const char *text)
{
	if (!view_is(v, text))
		fail_msg("\"%.*s\" is not \"%s\"", (int)v.len, v.data ? v.data : "", text);
}

/* ---- modified UTF-7 ---- */

static void test_utf7_both_ways(void **state)
{
	static const struct {
		const char *raw, *text;
	} names[] = {
	    {"", ""},
	    {"INBOX", "INBOX"},
	    {"Tom &- Jerry", "Tom & Jerry"},
	    {"&-&-", "&&"},
	    {"&-AOk-", "&AOk-"},
	    {"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
		"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"}, /* RFC 3501 §5.1.3 */
	    {"Entw&APw-rfe", "Entw\xc3\xbcrfe"},
	    {"L&APg-bende", "L\xc3\xb8"
			    "bende"}, /* stalwart#1697 (quirk 40) */
	    {"&2D3eAA-", "\xf0\x9f\x98\x80"},
	    {"a&2D3eANg93gE-b", "a\xf0\x9f\x98\x80\xf0\x9f\x98\x81"
				"b"},
	    {"&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-",
		"\xd0\x9e\xd1\x82\xd0\xbf\xd1\x80\xd0\xb0\xd0\xb2\xd0\xbb\xd0\xb5\xd0\xbd"
		"\xd0\xbd\xd1\x8b\xd0\xb5"},
	    {"&AAk-", "\t"},
	    {"&AAEAAg-x&AH8-", "\x01\x02x\x7f"},
	    {"&AIA-", "\xc2\x80"},
	    {"&2,,f,w-", "\xf4\x8f\xbf\xbf"}, /* U+10FFFF */
	    {"&,,8-", "\xef\xbf\xbf"},
	    {"x +/,\\\"%*", "x +/,\\\"%*"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		char *text, *raw;
		if (imap_utf7_decode(&text, &a, view_of(names[i].raw)) < 0)
			fail_msg("%s does not decode", names[i].raw);
		assert_string_equal(text, names[i].text);
		assert_int_equal(imap_utf7_encode(&raw, &a, names[i].text), 0);
		assert_string_equal(raw, names[i].raw);
	}
}

static void test_utf7_refuses(void **state)
{
	static const char *const raws[] = {
	    "&", "a&", "&AOk", "&AOk&-",                /* the shift never ends */
	    "&AO-", "&A-", "&AOkA-", "&AOkAAA-",        /* no whole unit, or more than whole ones */
	    "&AOl-",                                    /* bits left over that are not 0 */
	    "&AGE-", "&ACY-", "&AOkAYQ-",               /* what could be written plainly */
	    "&AOk-&AOk-",                               /* one run in two */
	    "&AOk=-", "&AO/-", "&A Ok-", "&A\xc3\xa9-", /* no base64 of this kind */
	    "&2D0-", "&3gA-", "&2D0AYQ-", "&3gDYPQ-",
	    "&2D3YPQ-", /* half a pair, or the wrong way round */
	    "Entw\xc3\xbcrfe", "Entw\xfcrfe", "a\tb", "a\x7f", /* not ASCII, or not printable */
	    "&AAA-", "a&AAAAYQ-",                              /* NUL */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(raws); i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		char mark, *text = &mark;
		if (imap_utf7_decode(&text, &a, view_of(raws[i])) == 0)
			fail_msg("%s decodes to %s", raws[i], text);
		assert_ptr_equal(text, &mark);
	}
	AUTO(arena_free) struct arena a = ARENA_INIT;
	char *text;
	assert_int_equal(imap_utf7_decode(&text, &a, view_make("a\0b", 3)), -1);
}

static void test_utf7_encode_wants_utf8(void **state)
{
	static const char *const texts[] = {
	    "\x80",
	    "\xbf",
	    "a\xc3",
	    "\xc3"
	    "a",
	    "\xc3\xc3", /* lone or missing continuation */
	    "\xc0\x80",
	    "\xc1\xbf",
	    "\xe0\x9f\xbf",
	    "\xf0\x8f\xbf\xbf", /* overlong */
	    "\xed\xa0\x80",
	    "\xed\xbf\xbf", /* surrogates */
	    "\xf4\x90\x80\x80",
	    "\xf8\x88\x80\x80\x80",
	    "\xfe",
	    "\xff", /* beyond Unicode */
	    "\xe2\x82",
	    "\xf0\x9f\x98",
	    "\xf0\x9f\x98"
	    "a",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		char mark, *raw = &mark;
		assert_int_equal(imap_utf7_encode(&raw, &a, texts[i]), -1);
		assert_ptr_equal(raw, &mark);
	}
}

/* UTF-8 of one code point, written a second time so that the codec is not its own judge. */
static void utf8_write(char out[5], unsigned c)
{
	if (c < 0x80)
		snprintf(out, 5, "%c", (char)c);
	else if (c < 0x800)
		snprintf(out, 5, "%c%c", (char)(0xc0 + c / 64), (char)(0x80 + c % 64));
	else if (c < 0x10000)
		snprintf(out, 5, "%c%c%c", (char)(0xe0 + c / 4096), (char)(0x80 + c / 64 % 64),
		    (char)(0x80 + c % 64));
	else
		snprintf(out, 5, "%c%c%c%c", (char)(0xf0 + c / 262144),
		    (char)(0x80 + c / 4096 % 64), (char)(0x80 + c / 64 % 64),
		    (char)(0x80 + c % 64));
}

static void test_utf7_every_character(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;

	(void)state;
	for (unsigned c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 97) {
		char text[5], *raw, *again;
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		utf8_write(text, c);
		arena_clear(&a);
		assert_int_equal(imap_utf7_encode(&raw, &a, text), 0);
		assert_int_equal(imap_utf7_decode(&again, &a, view_of(raw)), 0);
		assert_string_equal(again, text);
	}
}

/* ---- dates ---- */

static void test_date_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t instant;
		int zone;
	} dates[] = {
	    {"17-Jul-1996 02:44:25 -0700", 837596665, -420},
	    {"01-Jan-1970 00:00:00 +0000", 0, 0},
	    {" 1-Jan-1970 00:00:00 +0000", 0, 0},
	    {"1-Jan-1970 00:00:00 +0000", 0, 0},
	    {"1-jan-1970 00:00:00 +0000", 0, 0},
	    {"1-JAN-1970 00:00:00", 0, 0},
	    {"1-Jan-1970 00:00:00 GMT", 0, 0},
	    {"1-Jan-1970  0:0:0  utc", 0, 0},
	    {"31-Dec-1969 23:59:59 +0000", -1, 0},
	    {"01-Jan-1970 01:00:00 +0100", 0, 60},
	    {"01-Jan-1970 05:45:00 +0545 ", 0, 345},
	    {"29-Feb-2000 12:00:00 +0000", 951825600, 0},
	    {"31-Dec-2016 23:59:60 +0000", 1483228800, 0}, /* a leap second */
	    {"19-Jan-2038 03:14:08 +0000", 2147483648, 0},
	    {"01-Jan-1901 00:00:00 +0000", -2177452800, 0},
	    {"01-Jan-0102 00:00:00 +0000", -58948387200, 0}, /* quirk 75 */
	    {"01-Jan-0001 00:00:00 +0000", -62135596800, 0},
	    {"31-Dec-9999 23:59:59 +0000", 253402300799, 0},
	    {"17-Jul-96 02:44:25 -0700", 837596665, -420},
	    {"29-Feb-04 00:00:00 -0000", 1078012800, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(dates); i++) {
		int64_t instant = 4711;
		int16_t zone = 4711;
		if (imap_date_parse(view_of(dates[i].text), &instant, &zone) < 0)
			fail_msg("%s is not read", dates[i].text);
		if (instant != dates[i].instant)
			fail_msg("%s is %lld", dates[i].text, (long long)instant);
		assert_int_equal(zone, dates[i].zone);
	}
}

static void test_date_refuses(void **state)
{
	static const char *const texts[] = {"", " ", "x", "NIL",
	    "00-Jan-0000 00:00:00 +0000", /* Exchange, for no date (quirk 75) */
	    "01-Jan-0000 00:00:00 +0000", "00-Jan-1970 00:00:00 +0000",
	    "32-Jan-1970 00:00:00 +0000", "31-Apr-1970 00:00:00 +0000",
	    "29-Feb-1900 00:00:00 +0000", "29-Feb-1999 00:00:00 +0000",
	    "01-Foo-1970 00:00:00 +0000", "01--1970 00:00:00 +0000", "01-1970 00:00:00 +0000",
	    "01-Ja", "01-Jan", "01-Jan-", "01-Jan-1970", "01-Jan-1970 ",
	    "01-Jan-19700 00:00:00 +0000", "01-Jan-1970 24:00:00 +0000",
	    "01-Jan-1970 00:60:00 +0000", "01-Jan-1970 00:00:61 +0000", "01-Jan-1970 00:00 +0000",
	    "01-Jan-1970 00:00:", "01-Jan-1970 ::", "01-Jan-1970 00:00:00 0000",
	    "01-Jan-1970 00:00:00 +", "01-Jan-1970 00:00:00 +01", "01-Jan-1970 00:00:00 +2400",
	    "01-Jan-1970 00:00:00 +0060", "01-Jan-1970 00:00:00 +0000 x",
	    "01-Jan-1970 00:00:00 MEZ", "-1-Jan-1970 00:00:00 +0000", "01-Jan--970 00:00:00 +0000",
	    "\"01-Jan-1970 00:00:00 +0000\""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		int64_t instant = 4711;
		int16_t zone = 4711;
		if (imap_date_parse(view_of(texts[i]), &instant, &zone) == 0)
			fail_msg("%s is read as %lld", texts[i], (long long)instant);
		assert_true(instant == 4711 && zone == 4711);
	}
}

static void test_date_format(void **state)
{
	static const struct {
		int64_t instant;
		int zone;
		const char *text; /* NULL = refused */
	} dates[] = {
	    {837596665, -420, "\"17-Jul-1996 02:44:25 -0700\""},
	    {0, 0, "\"01-Jan-1970 00:00:00 +0000\""},
	    {0, 345, "\"01-Jan-1970 05:45:00 +0545\""},
	    {0, -30, "\"31-Dec-1969 23:30:00 -0030\""},
	    {0, 1439, "\"01-Jan-1970 23:59:00 +2359\""},
	    {0, 1440, NULL},
	    {0, -1440, NULL},
	    {-62135596800, 0, "\"01-Jan-0001 00:00:00 +0000\""},
	    {-62135596801, 0, NULL},
	    {-62135596800, -1, NULL},
	    {-62135596860, 1, "\"01-Jan-0001 00:00:00 +0001\""},
	    {253402300799, 0, "\"31-Dec-9999 23:59:59 +0000\""},
	    {253402300800, 0, NULL},
	    {253402300799, 1, NULL},
	    {253402300800, -1, "\"31-Dec-9999 23:59:00 -0001\""},
	    {INT64_MIN, -1439, NULL},
	    {INT64_MAX, 1439, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(dates); i++) {
		char out[IMAP_DATE_SIZE] = "untouched";
		int result = imap_date_format(out, dates[i].instant, (int16_t)dates[i].zone);
		assert_int_equal(result, dates[i].text ? 0 : -1);
		assert_string_equal(out, dates[i].text ? dates[i].text : "untouched");
	}
}

/* Every five days or so for 2,600 years: there and back, and as the C library has it. */
static void test_date_round_trip(void **state)
{
	(void)state;
	for (int64_t instant = -40000000000; instant < 42000000000; instant += 468011) {
		char out[IMAP_DATE_SIZE], expected[64];
		int64_t again;
		int16_t zone, zone_again;
		time_t t = (time_t)instant;
		struct tm tm;
		zone = (int16_t)(instant % 1440);
		assert_int_equal(imap_date_format(out, instant, zone), 0);
		assert_int_equal(
		    imap_date_parse(view_make(out + 1, strlen(out) - 2), &again, &zone_again), 0);
		assert_true(again == instant && zone_again == zone);
		assert_int_equal(imap_date_format(out, instant, 0), 0);
		gmtime_r(&t, &tm);
		strftime(expected, sizeof(expected), "\"%d-%b-%Y %H:%M:%S +0000\"", &tm);
		if (tm.tm_year + 1900 >= 1000) /* %Y pads no years */
			assert_string_equal(out, expected);
	}
}

/* ---- strings ---- */

static void test_quoted(void **state)
{
	static const struct {
		const char *text, *quoted; /* quoted NULL = only as a literal */
	} strings[] = {
	    {"", "\"\""},
	    {"INBOX", "\"INBOX\""},
	    {"a\"b\\c", "\"a\\\"b\\\\c\""},
	    {"a\tb\x01\x7f", "\"a\tb\x01\x7f\""},
	    {"a\rb", NULL},
	    {"a\nb", NULL},
	    {"\x80", NULL},
	    {"na\xc3\xafve", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(strings); i++) {
		AUTO(buf_free) struct buf b = BUF_INIT(100);
		struct view text = view_of(strings[i].text);
		assert_int_equal(imap_needs_literal(text), !strings[i].quoted);
		if (!strings[i].quoted)
			continue;
		assert_int_equal(imap_add_quoted(&b, text), 0);
		assert_string_equal(b.data, strings[i].quoted);
		struct buf small = BUF_INIT(b.len - 1);
		assert_int_equal(imap_add_quoted(&small, text), -1);
		assert_int_equal(small.len, 0);
		buf_free(&small);
	}
	assert_true(imap_needs_literal(view_make("a\0b", 3)));
}

/* ---- sets ---- */

static void test_set_build(void **state)
{
	static const struct {
		uint32_t uids[10]; /* up to 0 */
		const char *text;
	} sets[] = {
	    {{0}, ""},
	    {{7}, "7"},
	    {{7, 8}, "7:8"},
	    {{3, 4, 5, 9, 12}, "3:5,9,12"},
	    {{1, 3, 5, 6}, "1,3,5:6"},
	    {{5, 5, 5}, "5"},
	    {{5, 6, 6, 7}, "5:7"},
	    {{9, 5}, "9,5"}, /* not what was asked, and still not wrong */
	    {{4294967294u, 4294967295u}, "4294967294:4294967295"},
	    {{4294967295u, 1}, "4294967295,1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sets); i++) {
		AUTO(buf_free) struct buf b = BUF_INIT(100);
		struct imap_set s;
		buf_add_text(&b, "UID FETCH ");
		imap_set_start(&s, &b);
		for (const uint32_t *uid = sets[i].uids; *uid; uid++)
			assert_int_equal(imap_set_add(&s, *uid), 0);
		assert_int_equal(imap_set_finish(&s), 0);
		assert_string_equal(b.data + strlen("UID FETCH "), sets[i].text);
	}
}

/* For any ceiling: what was taken fits and is all there, what was refused is not. */
static void test_set_ceiling(void **state)
{
	static const uint32_t uids[] = {1, 2, 3, 9, 10, 99, 100, 101, 500, 4294967295u};

	(void)state;
	for (size_t max = 0; max < 40; max++) {
		AUTO(buf_free) struct buf b = BUF_INIT(max);
		struct imap_set s;
		size_t taken = 0;
		uint32_t uid;
		imap_set_start(&s, &b);
		while (taken < COUNT_OF(uids) && imap_set_add(&s, uids[taken]) == 0)
			taken++;
		assert_int_equal(imap_set_finish(&s), 0);
		assert_true(b.len <= max);
		assert_true(taken == COUNT_OF(uids) || max < 34);
		struct imap_set_walk w = imap_set_walk(buf_view(&b));
		for (size_t i = 0; i < taken; i++) {
			assert_int_equal(imap_set_next(&w, &uid), 1);
			assert_int_equal(uid, uids[i]);
		}
		assert_int_equal(imap_set_next(&w, &uid), 0);
	}
}

static void test_set_walk(void **state)
{
	static const struct {
		const char *set, *numbers; /* "!" at the end = malformed there */
	} sets[] = {
	    {"", ""},
	    {"5", "5 "},
	    {"7:9", "7 8 9 "},
	    {"9:7", "9 8 7 "},
	    {"5:5", "5 "},
	    {"1,4:6", "1 4 5 6 "},
	    {"4:6,1", "4 5 6 1 "},
	    {"4294967295:4294967294", "4294967295 4294967294 "},
	    {"0", "!"},
	    {"1,0", "1 !"},
	    {"0:3", "!"},
	    {"1:*", "!"},
	    {"*", "!"},
	    {"4294967296", "!"},
	    {"1e5", "!"},
	    {"-1", "!"},
	    {" 1", "!"},
	    {"1 ", "!"},
	    {",1", "!"},
	    {"1,", "!"},
	    {"1,,2", "1 !"},
	    {"1:", "!"},
	    {":1", "!"},
	    {"1:2:3", "!"},
	    {"1:2,3:", "1 2 !"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sets); i++) {
		AUTO(buf_free) struct buf got = BUF_INIT(200);
		struct imap_set_walk w = imap_set_walk(view_of(sets[i].set));
		uint32_t uid;
		int found;
		buf_add_text(&got, "");
		while ((found = imap_set_next(&w, &uid)) == 1)
			buf_printf(&got, "%u ", uid);
		if (found < 0)
			buf_add_char(&got, '!');
		assert_int_equal(imap_set_next(&w, &uid), found); /* and it stays so */
		assert_string_equal(got.data, sets[i].numbers);
	}
}

static void test_set_ranges(void **state)
{
	struct imap_set_walk w = imap_set_walk(view_of("1:4294967295,9:7,5"));
	uint32_t uid, from, to;

	(void)state;
	assert_int_equal(imap_set_range(&w, &from, &to), 1);
	assert_true(from == 1 && to == 4294967295u);
	assert_int_equal(imap_set_next(&w, &uid), 1);
	assert_int_equal(uid, 9);
	assert_int_equal(imap_set_range(&w, &from, &to), 1);
	assert_true(from == 8 && to == 7);
	assert_int_equal(imap_set_range(&w, &from, &to), 1);
	assert_true(from == 5 && to == 5);
	assert_int_equal(imap_set_range(&w, &from, &to), 0);
	assert_view(w.rest, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_utf7_both_ways),
	    cmocka_unit_test(test_utf7_refuses),
	    cmocka_unit_test(test_utf7_encode_wants_utf8),
	    cmocka_unit_test(test_utf7_every_character),
	    cmocka_unit_test(test_date_parse),
	    cmocka_unit_test(test_date_refuses),
	    cmocka_unit_test(test_date_format),
	    cmocka_unit_test(test_date_round_trip),
	    cmocka_unit_test(test_quoted),
	    cmocka_unit_test(test_set_build),
	    cmocka_unit_test(test_set_ceiling),
	    cmocka_unit_test(test_set_walk),
	    cmocka_unit_test(test_set_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
