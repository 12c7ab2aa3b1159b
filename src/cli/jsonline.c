/* jsonline.c - JSON lines, for events and for the report file. Stands between what the servers
 * said and the programs that read us.
 * Promises: every line is valid JSON and valid UTF-8, safe to look at on a terminal. Does not:
 * know any event. */
#include "cli/jsonline.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define TEXT_MAX 4096

/* jansson fails only when memory is out. */
static json_t *must(json_t *json)
{
	assert(json);
	return json;
}

static utf8proc_ssize_t next_char(const char *text, size_t len, utf8proc_int32_t *c)
{
	return utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, c);
}

json_t *jsonline_text(const char *text)
{
	AUTO(buf_free) struct buf clean = BUF_INIT(TEXT_MAX);
	size_t len = text ? strlen(text) : 0;
	utf8proc_int32_t c;

	if (!text)
		return must(json_null());
	for (size_t at = 0; at < len;) {
		utf8proc_ssize_t n = next_char(text + at, len - at, &c);
		int added = n > 0 ? buf_add(&clean, text + at, (size_t)n)
				  : buf_add_text(&clean, "\xef\xbf\xbd");
		if (added < 0)
			break;
		at += n > 0 ? (size_t)n : 1;
	}
	return must(json_stringn(clean.data ? clean.data : "", clean.len));
}

json_t *jsonline_text_or_null(const char *text)
{
	return jsonline_text(text && *text ? text : NULL);
}

json_t *jsonline_id(const char *id)
{
	uint64_t n;

	if (view_number(view_of(id), &n) == 0 && n <= INT64_MAX && (*id != '0' || !id[1]))
		return jsonline_number(n);
	return jsonline_text_or_null(id);
}

json_t *jsonline_number(uint64_t n)
{
	return must(json_integer((json_int_t)(n <= INT64_MAX ? n : INT64_MAX)));
}

void jsonline_set(json_t *object, const char *key, json_t *value)
{
	int failed = json_object_set_new(object, key, value);

	assert(!failed);
	(void)failed;
}

static bool needs_escape(utf8proc_int32_t c)
{
	utf8proc_category_t category = utf8proc_category(c);

	return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
	       category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

static void add_escaped(struct buf *out, utf8proc_int32_t c)
{
	uint32_t u = (uint32_t)c;

	if (u < 0x10000) {
		buf_printf(out, "\\u%04X", u);
		return;
	}
	u -= 0x10000;
	buf_printf(out, "\\u%04X\\u%04X", 0xd800 + (u >> 10), 0xdc00 + (u & 0x3ff));
}

void jsonline_add(struct buf *out, json_t *object)
{
	char *line = json_dumps(object, JSON_COMPACT);
	size_t len = line ? strlen(line) : 0;
	utf8proc_int32_t c;

	assert(line);
	json_decref(object);
	/* outside of strings JSON is plain ASCII: what needs an escape stands inside of one */
	for (size_t at = 0; at < len;) {
		size_t n = (size_t)next_char(line + at, len - at, &c);
		if (needs_escape(c))
			add_escaped(out, c);
		else
			buf_add(out, line + at, n);
		at += n;
	}
	free(line);
	buf_add_char(out, '\n');
}
