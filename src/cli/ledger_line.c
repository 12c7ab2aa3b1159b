/* ledger_line.c - a record of the ledger as a JSON object, and back. Between ledger/inspect.h and the
 * commands that show or carry records.
 * Promises: what is written and read again is the same record, whatever bytes its names have. Does
 * not: know what any value means. */
#include "cli/ledger_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *hex_object(struct view bytes)
{
	json_t *o = json_object();
	char *text = mem_new(2 * bytes.len + 1, 1);

	hex_encode(text, bytes.data, bytes.len);
	jsonline_set(o, "hex", json_string(text));
	free(text);
	return o;
}

json_t *ledger_line_bytes(struct view bytes)
{
	bool zero = bytes.len && memchr(bytes.data, '\0', bytes.len);
	json_t *text = zero ? NULL : json_stringn(bytes.len ? bytes.data : "", bytes.len);

	return text ? text : hex_object(bytes);
}

/* Beyond what JSON programs hold in an integer: as text. */
static json_t *number_value(uint64_t n)
{
	char text[24];

	if (n <= INT64_MAX)
		return jsonline_number(n);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return json_string(text);
}

static json_t *list_value(const struct inspect_value *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->count; i++)
		json_array_append_new(list, ledger_line_bytes(v->list[i]));
	return list;
}

static json_t *value_json(const struct inspect_value *v)
{
	char hex[65];

	switch (v->type) {
	case INSPECT_NUMBER:
		return number_value(v->number);
	case INSPECT_SIGNED:
		return json_integer((json_int_t)v->number);
	case INSPECT_TRUTH:
		return json_boolean(v->number);
	case INSPECT_DIGEST:
		hex_encode(hex, v->bytes.data, v->bytes.len < 32 ? v->bytes.len : 32);
		return json_string(hex);
	case INSPECT_BYTES:
	case INSPECT_WORD:
		return ledger_line_bytes(v->bytes);
	case INSPECT_LIST:
		return list_value(v);
	}
	return json_null();
}

static bool has_id(enum inspect_kind kind)
{
	return kind == INSPECT_ITEM || kind == INSPECT_INTENT;
}

json_t *ledger_line_object(const struct inspect_record *r)
{
	json_t *o = json_object();

	jsonline_set(o, "kind", json_string(inspect_kind_name(r->kind)));
	if (r->kind != INSPECT_PAIR)
		jsonline_set(o, has_id(r->kind) ? "folder" : "number", jsonline_number(r->number));
	if (has_id(r->kind))
		jsonline_set(o, "id", ledger_line_bytes(r->id));
	for (size_t i = 0; i < r->count; i++)
		jsonline_set(o, r->values[i].name, value_json(&r->values[i]));
	return o;
}

/* ---- reading ---- */

static int bad(struct err *e, const char *name)
{
	return err_set(e, CAUSE_USAGE, ERR_RUN, "\"%.60s\" is not what such a line has", name);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex(struct view *out, struct view text, struct arena *a)
{
	char *bytes = arena_new(a, text.len / 2 + 1, 1);

	if (text.len % 2)
		return -1;
	for (size_t i = 0; i < text.len; i += 2) {
		int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);

		if (high < 0 || low < 0)
			return -1;
		bytes[i / 2] = (char)(high << 4 | low);
	}
	*out = view_make(bytes, text.len / 2);
	return 0;
}

static int read_bytes(struct view *out, const json_t *json, struct arena *a)
{
	const json_t *hex = json_is_object(json) ? json_object_get(json, "hex") : NULL;
	const json_t *text = hex ? hex : json;

	if (!json_is_string(text))
		return -1;
	*out = view_make(json_string_value(text), json_string_length(text));
	return hex ? read_hex(out, *out, a) : 0;
}

static int read_list(struct inspect_value *v, const json_t *json, struct arena *a)
{
	struct view *list = arena_new(a, json_array_size(json) + 1, sizeof(*list));

	v->type = INSPECT_LIST;
	v->list = list;
	for (; v->count < json_array_size(json); v->count++)
		if (read_bytes(&list[v->count], json_array_get(json, v->count), a))
			return -1;
	return 0;
}

static int read_value(struct inspect_value *v, const json_t *json, struct arena *a)
{
	if (json_is_integer(json)) {
		v->number = (uint64_t)json_integer_value(json);
		v->type = json_integer_value(json) < 0 ? INSPECT_SIGNED : INSPECT_NUMBER;
		return 0;
	}
	if (json_is_boolean(json)) {
		v->type = INSPECT_TRUTH;
		v->number = json_is_true(json);
		return 0;
	}
	if (json_is_array(json))
		return read_list(v, json, a);
	v->type = INSPECT_BYTES;
	return read_bytes(&v->bytes, json, a);
}

static int read_number(const json_t *o, const char *name, uint32_t *out)
{
	const json_t *json = json_object_get(o, name);

	if (!json_is_integer(json) || json_integer_value(json) <= 0 ||
	    json_integer_value(json) > UINT32_MAX)
		return -1;
	*out = (uint32_t)json_integer_value(json);
	return 0;
}

static int read_key(const json_t *o, struct inspect_record *r, struct arena *a, struct err *e)
{
	const char *number = has_id(r->kind) ? "folder" : "number";

	if (r->kind != INSPECT_PAIR && read_number(o, number, &r->number))
		return bad(e, number);
	if (has_id(r->kind) && read_bytes(&r->id, json_object_get(o, "id"), a))
		return bad(e, "id");
	return 0;
}

static bool is_key(const char *name)
{
	return !strcmp(name, "kind") || !strcmp(name, "number") || !strcmp(name, "folder") ||
	       !strcmp(name, "id");
}

int ledger_line_read(const json_t *o, struct inspect_record *r, struct arena *a, struct err *e)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	int n = kind ? inspect_kind_by_name(view_of(kind)) : -1;

	*r = (struct inspect_record){0};
	if (n < 0)
		return bad(e, "kind");
	r->kind = (enum inspect_kind)n;
	if (read_key(o, r, a, e))
		return -1;
	for (void *at = json_object_iter((json_t *)(uintptr_t)o); at;
	     at = json_object_iter_next((json_t *)(uintptr_t)o, at)) {
		struct inspect_value v = {.name = json_object_iter_key(at)};

		if (is_key(v.name))
			continue;
		if (r->count == INSPECT_VALUES || read_value(&v, json_object_iter_value(at), a))
			return bad(e, v.name);
		r->values[r->count++] = v;
	}
	return 0;
}
