/* coding.c - base64, quoted-printable, encoded words, parameter values: both ways, so that what was written
 * can be proven. Promises: reading gives back what was written, byte for byte; a reader that meets what
 * others might take otherwise refuses. Does not: know what a part or a field is. */
#include "repair/coding.h"

#include <string.h>
#include <utf8proc.h>

#define LINE 76u
#define WORD 75u /* an encoded word with all its marks */

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789ABCDEF";

static unsigned char byte_at(struct view v, size_t i)
{
	return (unsigned char)v.data[i];
}

/* ---- base64 ---- */

static void add_group(char *to, struct view v, size_t at)
{
	size_t left = v.len - at;
	unsigned a = byte_at(v, at), b = left > 1 ? byte_at(v, at + 1) : 0;
	unsigned c = left > 2 ? byte_at(v, at + 2) : 0;

	to[0] = base64_letters[a >> 2];
	to[1] = base64_letters[(a & 3) << 4 | b >> 4];
	to[2] = left > 1 ? base64_letters[(b & 15) << 2 | c >> 6] : '=';
	to[3] = left > 2 ? base64_letters[c & 63] : '=';
}

int coding_base64(struct buf *out, struct view content)
{
	char line[LINE];
	size_t used = 0;

	for (size_t at = 0; at < content.len; at += 3) {
		if (used == LINE) {
			if (buf_add(out, line, used) || buf_add_text(out, "\r\n"))
				return -1;
			used = 0;
		}
		add_group(line + used, content, at);
		used += 4;
	}
	return buf_add(out, line, used);
}

/* Letters, then at most two '='; whatever else stands between is passed over, as all readers do. */
int coding_read_base64(struct buf *out, struct view coded)
{
	unsigned bits = 0, held = 0, padding = 0;

	for (size_t i = 0; i < coded.len; i++) {
		const char *letter = coded.data[i] ? strchr(base64_letters, coded.data[i]) : NULL;

		padding += coded.data[i] == '=';
		if (!letter)
			continue;
		if (padding)
			return -1;
		bits = bits << 6 | (unsigned)(letter - base64_letters);
		if (++held == 4 &&
		    buf_add(out, (char[]){(char)(bits >> 16), (char)(bits >> 8), (char)bits}, 3))
			return -1;
		held %= 4;
	}
	if ((held ? 4 - held : 0) != padding || held == 1)
		return -1;
	bits <<= held ? 6 * (4 - held) : 0;
	return held ? buf_add(out, (char[]){(char)(bits >> 16), (char)(bits >> 8)}, held - 1) : 0;
}

/* ---- quoted-printable ---- */

static bool ends_line(struct view v, size_t at)
{
	return at + 1 < v.len && v.data[at] == '\r' && v.data[at + 1] == '\n';
}

static bool stands_as_it_is(struct view v, size_t at, size_t column)
{
	unsigned char c = byte_at(v, at);

	if (c == ' ' || c == '\t')
		return at + 1 < v.len && !ends_line(v, at + 1);
	if (!column && (c == 'F' || c == '.')) /* "From " and a lone point mean things to others */
		return false;
	return c > ' ' && c < 127 && c != '=';
}

int coding_quoted(struct buf *out, struct view content)
{
	size_t column = 0, at = 0;

	while (at < content.len) {
		unsigned char c = byte_at(content, at);
		char text[3] = {'=', hex_digits[c >> 4], hex_digits[c & 15]};
		bool plain = stands_as_it_is(content, at, column);
		size_t len = plain ? 1 : 3;

		if (ends_line(content, at)) {
			if (buf_add_text(out, "\r\n"))
				return -1;
			at += 2;
			column = 0;
			continue;
		}
		if (column + len > LINE - 1) { /* a soft line end takes one */
			if (buf_add_text(out, "=\r\n"))
				return -1;
			column = 0;
			continue;
		}
		if (buf_add(out, plain ? (const char *)&c : text, len))
			return -1;
		column += len;
		at++;
	}
	return 0;
}

static int hex_value(char c)
{
	const char *digit = c ? strchr(hex_digits, c) : NULL;

	if (!digit && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return digit ? (int)(digit - hex_digits) : -1;
}

/* The escape behind MARK ('=' or '%') at AT: its value, -1 = malformed. */
static int read_escape(struct view v, size_t at)
{
	int high = at + 1 < v.len ? hex_value(v.data[at + 1]) : -1;
	int low = at + 2 < v.len ? hex_value(v.data[at + 2]) : -1;

	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* 2: CRLF, 1: LF, 0: neither is at AT. */
static size_t line_end_at(struct view v, size_t at)
{
	return ends_line(v, at) ? 2 : at < v.len && v.data[at] == '\n';
}

int coding_read_quoted(struct buf *out, struct view coded)
{
	for (size_t at = 0, end; at < coded.len;) {
		char c = coded.data[at];
		int value;

		if ((end = line_end_at(coded, at))) {
			if (at && (coded.data[at - 1] == ' ' || coded.data[at - 1] == '\t'))
				return -1; /* kept by some, dropped by others */
			at += end;
			if (buf_add_text(out, "\r\n"))
				return -1;
			continue;
		}
		if (c == '=' && (end = line_end_at(coded, at + 1))) {
			at += 1 + end;
			continue;
		}
		value = c == '=' ? read_escape(coded, at) : (unsigned char)c;
		if (value < 0 || buf_add_char(out, (char)value))
			return -1;
		at += c == '=' ? 3 : 1;
	}
	return 0;
}

/* ---- header ---- */

/* How long the letter at AT is, 0 = that is not UTF-8. */
static size_t letter_at(struct view v, size_t at)
{
	utf8proc_int32_t ignored;
	utf8proc_ssize_t len = utf8proc_iterate(
	    (const utf8proc_uint8_t *)v.data + at, (utf8proc_ssize_t)(v.len - at), &ignored);

	return len > 0 ? (size_t)len : 0;
}

const char *coding_charset(struct view bytes)
{
	size_t at = 0, len = 1;

	while (at < bytes.len && (len = letter_at(bytes, at)))
		at += len;
	return len ? "utf-8" : "unknown-8bit";
}

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 2047, 5(3): what may stand in a word anywhere in a header. */
static size_t add_letter(char *to, unsigned char c)
{
	if (c == ' ' || is_alnum(c) || (c && strchr("!*+-/", c))) {
		*to = c == ' ' ? '_' : (char)c;
		return 1;
	}
	to[0] = '=';
	to[1] = hex_digits[c >> 4];
	to[2] = hex_digits[c & 15];
	return 3;
}

int coding_words(struct buf *out, struct view bytes)
{
	const char *charset = coding_charset(bytes);
	size_t room = WORD - strlen(charset) - 7, at = 0; /* 7: its marks */
	bool utf8 = charset[1] == 't';

	while (at < bytes.len) {
		char text[WORD];
		size_t used = 0, count = 0, letter = 1;

		for (size_t more = 0; at + count < bytes.len; count += letter, used = more) {
			letter = utf8 ? letter_at(bytes, at + count) : 1;
			more = used;
			if (used + 3 * letter > room)
				break;
			for (size_t i = 0; i < letter; i++)
				more += add_letter(text + more, byte_at(bytes, at + count + i));
		}
		if (buf_printf(out, "%s=?%s?q?%.*s?=", at ? "\r\n " : "", charset, (int)used, text))
			return -1;
		at += count;
	}
	return 0;
}

size_t coding_read_word(struct buf *out, struct view v)
{
	static const char *const heads[] = {"=?utf-8?q?", "=?unknown-8bit?q?"};
	size_t at = 0;

	for (size_t i = 0; i < COUNT_OF(heads) && !at; i++)
		at = view_starts_nocase(v, heads[i]) ? strlen(heads[i]) : 0;
	for (; at && at < v.len && v.data[at] != '?'; at++) {
		int value = v.data[at] == '='   ? read_escape(v, at)
			    : v.data[at] == '_' ? ' '
						: (unsigned char)v.data[at];

		if (value < 0 || buf_add_char(out, (char)value))
			return 0;
		at += v.data[at] == '=' ? 2 : 0;
	}
	return at && at + 1 < v.len && v.data[at + 1] == '=' ? at + 2 : 0;
}

int coding_parameter(struct buf *out, struct view bytes)
{
	if (buf_printf(out, "%s''", coding_charset(bytes)))
		return -1;
	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = byte_at(bytes, i);
		char text[3] = {'%', hex_digits[c >> 4], hex_digits[c & 15]};
		bool plain = is_alnum(c) || (c && strchr("!#$&+-.^_`{|}~", c));

		if (buf_add(out, plain ? (const char *)&c : text, plain ? 1 : 3))
			return -1;
	}
	return 0;
}

int coding_read_parameter(struct buf *out, struct view v)
{
	ptrdiff_t at = view_find_nocase(v, "''");

	if (at < 0)
		return -1;
	for (size_t i = (size_t)at + 2; i < v.len; i++) {
		int value = v.data[i] == '%' ? read_escape(v, i) : (unsigned char)v.data[i];

		if (value < 0 || buf_add_char(out, (char)value))
			return -1;
		i += v.data[i] == '%' ? 2 : 0;
	}
	return 0;
}
