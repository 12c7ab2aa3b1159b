/* Numbers and strangers' text as people see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <string.h>
#include <utf8proc.h>
#include <wchar.h>

#include "cli/show.h"

static void test_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"},
	    {102399, "99.9 KiB"}, {102400, "100 KiB"}, {1048575, "1023 KiB"}, {1048576, "1.0 MiB"},
	    {(uint64_t)300 << 20, "300 MiB"}, {UINT64_MAX, "15.9 EiB"}};
	char text[SHOW_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		show_size(text, cases[i].bytes);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_size_pairs(void **state)
{
	static const struct {
		uint64_t done, total;
		const char *text;
	} cases[] = {{0, 0, "0/0 B"}, {100, 1u << 30, "0.0/1.0 GiB"}, {512, 1024, "0.5/1.0 KiB"},
	    {2048, 1024, "1.0/1.0 KiB"}, {1u << 30, (uint64_t)200 << 30, "1.0/200 GiB"},
	    {UINT64_MAX, UINT64_MAX, "15.9/15.9 EiB"}};
	char text[SHOW_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		show_size_pair(text, cases[i].done, cases[i].total);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_counts_and_durations(void **state)
{
	static const struct {
		uint64_t n;
		const char *count, *duration;
	} cases[] = {{0, "0", "0s"}, {59, "59", "59s"}, {60, "60", "1m00s"}, {999, "999", "16m39s"},
	    {1000, "1,000", "16m40s"}, {3600, "3,600", "1h00m"}, {359999, "359,999", "99h59m"},
	    {360000, "360,000", "4d"},
	    {UINT64_MAX, "18,446,744,073,709,551,615", "213503982334601d"}};
	char text[SHOW_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		show_count(text, cases[i].n);
		assert_string_equal(text, cases[i].count);
		show_duration(text, cases[i].n);
		assert_string_equal(text, cases[i].duration);
	}
}

static void test_clean(void **state)
{
	static const struct {
		const char *in, *out;
		size_t columns;
	} cases[] = {{"", "", 0}, {"plain", "plain", 5}, {"a\033[2Jb\r\n", "a?[2Jb??", 8},
	    {"\xc2\x9bK", "?K", 2}, {"\xff\xfe", "??", 2}, {"\xe2\x82", "??", 2},
	    {"日本語", "日本語", 6}, {"e\xcc\x81", "e\xcc\x81", 1},
	    {"a\xe2\x80\xae"
	     "b",
		"ab", 2},
	    {"\xe2\x80\xa8", "?", 1}, {"\x7f", "?", 1},
	    {"\xe2\x9d\xa4\xef\xb8\x8f", "\xe2\x9d\xa4", 1}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		AUTO(buf_free) struct buf out = BUF_INIT(200);
		show_clean(&out, cases[i].in);
		assert_string_equal(out.data ? out.data : "", cases[i].out);
		assert_int_equal(show_columns(cases[i].in), cases[i].columns);
	}
}

static void test_fit(void **state)
{
	static const struct {
		const char *in;
		size_t width;
		const char *out;
	} cases[] = {{"INBOX", 5, "INBOX"}, {"INBOX", 0, ""}, {"INBOX", 1, "…"},
	    {"Archive/2024/Invoices", 10, "Arc…voices"}, {"日本語日本語", 7, "日…本語"},
	    {"日本語", 2, "…"}, {"日本語", 3, "…語"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		AUTO(buf_free) struct buf out = BUF_INIT(200);
		show_fit(&out, cases[i].in, cases[i].width);
		assert_string_equal(out.data ? out.data : "", cases[i].out);
	}
}

/* The C library's opinion, where it has one: an independent yardstick. */
static size_t libc_columns(const char *text)
{
	size_t width = 0;
	wchar_t c;

	for (size_t len = strlen(text), at = 0; at < len;) {
		size_t n = mbrtowc(&c, text + at, len - at, &(mbstate_t){0});
		assert_true(n != (size_t)-1 && n != (size_t)-2);
		/* -1: newer than this C library */
		width += wcwidth(c) < 0 ? 0 : (size_t)wcwidth(c);
		at += n;
	}
	return width;
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Text of random characters and random bytes; never a NUL. */
static void fill_random(char text[100], uint32_t *seed)
{
	size_t at = 0;

	while (at < 90) {
		uint32_t c = next_random(seed) % (next_random(seed) % 3 ? 0x3100 : 0x20000);
		utf8proc_ssize_t n = utf8proc_encode_char(
		    (utf8proc_int32_t)(c ? c : 'x'), (utf8proc_uint8_t *)text + at);
		if (next_random(seed) % 20 == 0)
			text[at] = (char)(1 + next_random(seed) % 255);
		at += n > 0 ? (size_t)n : 0;
	}
	text[at] = '\0';
}

static void test_never_too_wide(void **state)
{
	uint32_t seed = 1;
	char text[100];

	(void)state;
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		skip();
	for (int round = 0; round < 20000; round++) {
		AUTO(buf_free) struct buf out = BUF_INIT(1000);
		size_t width = next_random(&seed) % 60;
		fill_random(text, &seed);
		show_fit(&out, text, width);
		assert_true(show_columns(out.data ? out.data : "") <= width);
		assert_true(libc_columns(out.data ? out.data : "") <= width);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_size_pairs), cmocka_unit_test(test_counts_and_durations),
	    cmocka_unit_test(test_clean), cmocka_unit_test(test_fit),
	    cmocka_unit_test(test_never_too_wide)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
