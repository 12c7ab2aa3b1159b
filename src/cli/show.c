/* show.c - how numbers and text of strangers are shown to people. Stands at the end of the data's
 * way, between what the servers said and the terminal.
 * Promises: nothing that leaves here can steer a terminal, and a fitted text never takes more
 * columns than it was given. Where terminals differ about a character, the wider answer counts.
 * Does not: translate, or know the user's character set (UTF-8 is written always). */
#include "cli/show.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

static size_t unit_of(uint64_t bytes)
{
	size_t unit = 0;

	for (; bytes >= 1024 && unit + 1 < COUNT_OF(units); bytes >>= 10)
		unit++;
	return unit;
}

/* The number alone, in the given unit: one decimal below a hundred. */
static int print_in_unit(char *out, size_t size, uint64_t bytes, size_t unit)
{
	uint64_t whole = bytes >> (10 * unit);
	uint64_t rest = unit ? bytes >> (10 * (unit - 1)) & 1023 : 0, tenths = rest * 10 / 1024;

	if (!unit || whole >= 100)
		return snprintf(out, size, "%llu", (unsigned long long)whole);
	return snprintf(out, size, "%llu.%u", (unsigned long long)whole, (unsigned)tenths);
}

void show_size(char out[SHOW_MAX], uint64_t bytes)
{
	size_t unit = unit_of(bytes);
	int len = print_in_unit(out, SHOW_MAX, bytes, unit);

	snprintf(out + len, (size_t)(SHOW_MAX - len), " %s", units[unit]);
}

void show_size_pair(char out[SHOW_MAX], uint64_t done, uint64_t total)
{
	size_t unit = unit_of(total);
	char left[SHOW_MAX], right[SHOW_MAX];

	/* done never exceeds total but for a moment: then the total is what is known to be there */
	print_in_unit(left, sizeof(left), done < total ? done : total, unit);
	print_in_unit(right, sizeof(right), total, unit);
	snprintf(out, SHOW_MAX, "%.12s/%.12s %.3s", left, right, units[unit]);
}

void show_count(char out[SHOW_MAX], uint64_t n)
{
	char digits[SHOW_MAX];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	size_t to = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[to++] = ',';
		out[to++] = digits[i];
	}
	out[to] = '\0';
}

void show_duration(char out[SHOW_MAX], uint64_t seconds)
{
	unsigned long long s = seconds;

	if (s < 60)
		snprintf(out, SHOW_MAX, "%llus", s);
	else if (s < 3600)
		snprintf(out, SHOW_MAX, "%llum%02llus", s / 60, s % 60);
	else if (s < 100 * 3600)
		snprintf(out, SHOW_MAX, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, SHOW_MAX, "%llud", s / 86400);
}

/* One character as it will be shown. */
struct glyph {
	size_t bytes;     /* taken from the text */
	const char *show; /* what to write */
	size_t len;       /* bytes of it; 0 = left out */
	size_t width;
};

static bool is_mark(utf8proc_category_t category)
{
	return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME;
}

static bool is_unsafe(utf8proc_category_t category)
{
	return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CS ||
	       category == UTF8PROC_CATEGORY_CN || category == UTF8PROC_CATEGORY_ZL ||
	       category == UTF8PROC_CATEGORY_ZP;
}

/* Unicode says one column, the C library (and so many terminals) two. */
static bool is_disputed(utf8proc_int32_t c)
{
	return (c >= 0x3248 && c <= 0x324f) || (c >= 0x4dc0 && c <= 0x4dff);
}

static struct glyph glyph_at(const char *text, size_t len)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n =
	    utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &c);
	utf8proc_category_t category = n > 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;
	struct glyph g = {.bytes = n > 0 ? (size_t)n : 1, .show = text, .len = 1, .width = 1};

	if (is_unsafe(category)) {
		g.show = "?";
		return g;
	}
	if (category == UTF8PROC_CATEGORY_CF || c == 0xfe0f) {
		g.len = g.width = 0; /* U+FE0F widens the character before it on some terminals */
		return g;
	}
	g.len = g.bytes;
	g.width = (size_t)utf8proc_charwidth(c);
	if (is_disputed(c))
		g.width = 2;
	else if (!g.width && !is_mark(category))
		g.width = 1;
	return g;
}

size_t show_columns(const char *text)
{
	size_t len = strlen(text), width = 0;

	for (size_t at = 0; at < len;) {
		struct glyph g = glyph_at(text + at, len - at);
		width += g.width;
		at += g.bytes;
	}
	return width;
}

/* Add characters from the front until WIDTH columns are full. */
static void add_head(struct buf *out, const char *text, size_t width)
{
	size_t len = strlen(text), used = 0;

	for (size_t at = 0; at < len;) {
		struct glyph g = glyph_at(text + at, len - at);
		if (used + g.width > width || buf_add(out, g.show, g.len) < 0)
			return;
		used += g.width;
		at += g.bytes;
	}
}

/* The end of TEXT that takes at most WIDTH columns. */
static const char *tail_of(const char *text, size_t width)
{
	size_t len = strlen(text), total = show_columns(text), at = 0;

	while (at < len && total > width) {
		struct glyph g = glyph_at(text + at, len - at);
		total -= g.width;
		at += g.bytes;
	}
	return text + at;
}

void show_clean(struct buf *out, const char *text)
{
	add_head(out, text, SIZE_MAX);
}

void show_fit(struct buf *out, const char *text, size_t width)
{
	size_t head;

	if (show_columns(text) <= width) {
		add_head(out, text, width);
		return;
	}
	if (!width)
		return;
	/* the end of a folder's path says more than its beginning */
	head = (width - 1) / 3;
	add_head(out, text, head);
	if (buf_add_text(out, "…") == 0)
		add_head(out, tail_of(text, width - 1 - head), width - 1 - head);
}
