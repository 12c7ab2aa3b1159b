/* name.c - names of message files. Pure.
 *
 *   1700000000.M000001Q0123…cdef.godwit,S=1200,W=1230:2,FS
 *   seconds    micros  key       whose  sizes         flags
 *
 * That is how godwit names what it stores: names sort in the order stored, and the key tells which
 * source item it is. The name ends in "godwit-raw" where the file is the message byte for byte. Of
 * others' names only the flags and the trailing fields with numbers (S, W, and U of mbsync) are
 * understood: these are rewritten by whoever keeps the folder, the rest never is. */
#include "connect/maildir/maildir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OURS ".godwit"
#define OURS_RAW ".godwit-raw"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *AT, which moves behind them; 0 where there are none, or too many. */
static uint64_t take_number(const char **at)
{
	const char *start = *at;
	uint64_t n = 0;

	while (is_digit(**at))
		++*at;
	return view_number(view_make(start, (size_t)(*at - start)), &n) ? 0 : n;
}

/* Where the flags begin: at ":2," (or "!2,", where a file system has no ':'), else at a ':'. */
static size_t base_length(const char *name)
{
	const char *info = strstr(name, ":2,");

	if (!info)
		info = strstr(name, "!2,");
	return info ? (size_t)(info - name) : strcspn(name, ":");
}

/* ",S=123" at the end of BASE: taken off. */
static bool cut_field(struct maildir_name *n, struct view *base)
{
	const char *comma = memrchr(base->data, ',', base->len);
	struct view field;
	uint64_t value;

	if (!comma || comma == base->data)
		return false;
	field = view_make(comma + 1, (size_t)(base->data + base->len - comma - 1));
	if (field.len < 3 || !memchr("SWU", field.data[0], 3) || field.data[1] != '=' ||
	    view_number(view_make(field.data + 2, field.len - 2), &value))
		return false;
	if (field.data[0] == 'S') {
		n->has_size = true;
		n->size = value;
	} else if (field.data[0] == 'W') {
		n->has_wire_size = true;
		n->wire_size = value;
	}
	base->len = (size_t)(comma - base->data);
	return true;
}

static int hex_value(char c)
{
	return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "Q" and the key, then whose it is. */
static void parse_ours(struct maildir_name *n, const char *at)
{
	struct view rest;

	if (*at++ != 'Q')
		return;
	for (size_t i = 0; i < sizeof(n->key); i++, at += 2) {
		int high = hex_value(at[0]), low = high < 0 ? -1 : hex_value(at[1]);

		if (low < 0)
			return;
		n->key[i] = (unsigned char)(high << 4 | low);
	}
	rest = view_make(at, (size_t)(n->unique.data + n->unique.len - at));
	n->raw = view_is(rest, OURS_RAW);
	n->ours = n->raw || view_is(rest, OURS);
}

void maildir_name_parse(struct maildir_name *n, const char *name)
{
	size_t len = base_length(name);
	const char *at = name;

	*n = (struct maildir_name){.unique = {name, len}};
	if (name[len] && strlen(name + len) >= 3 && name[len + 1] == '2' && name[len + 2] == ',')
		n->letters = view_of(name + len + 3);
	while (cut_field(n, &n->unique))
		;
	n->seconds = take_number(&at);
	if (at[0] != '.' || at[1] != 'M')
		return;
	at += 2;
	n->micros = take_number(&at);
	parse_ours(n, at);
}

void maildir_name_id(char *out, struct view unique)
{
	char hex[3];

	for (size_t i = 0; i < unique.len; i++) {
		unsigned char c = (unsigned char)unique.data[i];

		if (c > 0x20 && c < 0x7f && c != '%') {
			*out++ = (char)c;
			continue;
		}
		hex_encode(hex, &c, 1);
		*out++ = '%';
		*out++ = hex[0];
		*out++ = hex[1];
	}
	*out = '\0';
}

void maildir_name_print(char *out, uint64_t seconds, uint64_t micros,
    const unsigned char key[MAILDIR_KEY], bool raw, uint64_t size, uint64_t wire_size)
{
	char hex[2 * MAILDIR_KEY + 1];

	hex_encode(hex, key, MAILDIR_KEY);
	snprintf(out, MAILDIR_NAME, "%" PRIu64 ".M%06" PRIu64 "Q%s%s,S=%" PRIu64 ",W=%" PRIu64,
	    seconds, micros, hex, raw ? OURS_RAW : OURS, size, wire_size);
}

int maildir_name_relabel(char *out, const char *name, const char *letters)
{
	int len = snprintf(out, MAILDIR_NAME, "%.*s:2,%s", (int)base_length(name), name, letters);

	return len < MAILDIR_NAME ? 0 : -1;
}
