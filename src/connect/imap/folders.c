/* folders.c - the folders of an IMAP account: namespaces, and LIST with its ladder of fall-backs. Beside
 * make.c. Raw names are kept exactly as the server said them and sent back so; people and
 * the engine see paths of UTF-8 parts. Does not: decide which folder goes where (model/names). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"

/* ---- namespaces ---- */

static void add_namespaces(struct imap *im, const struct imap_node *list, enum folder_space space)
{
	if (!list || list->kind != IMAP_NODE_LIST)
		return;
	for (const struct imap_node *n = list->child; n; n = n->next) {
		struct view prefix, delimiter;
		struct imap_namespace *to;

		if (n->kind != IMAP_NODE_LIST || im->namespace_count == IMAP_NAMESPACES)
			continue;
		prefix = imap_node_text(imap_node_at(n->child, 0));
		delimiter = imap_node_text(imap_node_at(n->child, 1));
		if (!delimiter.len && prefix.len) /* Courier and others: NIL though there is one */
			delimiter = view_make(prefix.data + prefix.len - 1, 1);
		if (prefix.len >= IMAP_PREFIX_SIZE)
			continue;
		to = &im->namespaces[im->namespace_count++];
		*to = (struct imap_namespace){
		    .delimiter = delimiter.len ? delimiter.data[0] : '\0', .space = space};
		if (prefix.len)
			memcpy(to->prefix, prefix.data, prefix.len);
	}
}

int imap_take_namespace(struct imap *im, const struct imap_response *r)
{
	im->namespace_count = 0;
	add_namespaces(im, imap_node_at(r->args, 0), SPACE_PERSONAL);
	add_namespaces(im, imap_node_at(r->args, 1), SPACE_OTHERS);
	add_namespaces(im, imap_node_at(r->args, 2), SPACE_SHARED);
	return 0;
}

static int take_delimiter(void *arg, const struct imap_response *r, struct err *e)
{
	struct imap *im = arg;
	struct view delimiter;

	(void)e;
	if (view_is_nocase(r->name, "LIST")) {
		delimiter = imap_node_text(imap_node_at(r->args, 1));
		im->delimiter = delimiter.len ? delimiter.data[0] : '\0';
	}
	return 0;
}

int imap_namespace(struct imap *im, struct err *e)
{
	struct imap_command c;

	im->prefix = "";
	for (size_t i = 0; i < im->namespace_count; i++) {
		if (im->namespaces[i].space != SPACE_PERSONAL)
			continue;
		im->prefix = im->namespaces[i].prefix;
		im->delimiter = im->namespaces[i].delimiter;
		if (im->delimiter)
			return 0;
		break; /* NIL: is it flat, or does it say so of all prefixes? */
	}
	imap_command_start(im, &c, "LIST \"\" \"\"");
	return imap_run(im, &c, &(struct imap_taker){.response = take_delimiter, .arg = im}, e);
}

/* The namespace a raw name lies in: the one with the longest prefix; NULL = none is known. */
static const struct imap_namespace *namespace_of(const struct imap *im, struct view raw)
{
	const struct imap_namespace *best = NULL;

	for (size_t i = 0; i < im->namespace_count; i++) {
		const struct imap_namespace *n = &im->namespaces[i];
		size_t len = strlen(n->prefix);

		if (raw.len >= len && !memcmp(raw.data, n->prefix, len) &&
		    (!best || len > strlen(best->prefix)))
			best = n;
	}
	return best;
}

/* ---- names ---- */

/* A part that is no modified UTF-7: its bytes, those that are not printable ASCII as %XX. */
static char *escape_part(struct arena *a, struct view part)
{
	struct buf out = BUF_INIT(part.len * 3 + 1);
	char *text;

	for (size_t i = 0; i < part.len; i++) {
		unsigned char c = (unsigned char)part.data[i];
		if (c >= 0x20 && c < 0x7f)
			buf_add_char(&out, (char)c);
		else
			buf_printf(&out, "%%%02X", c);
	}
	text = arena_text(a, buf_view(&out));
	buf_free(&out);
	return text;
}

static void add_part(struct folder *f, struct arena *a, struct view part)
{
	char *text;

	if (!part.len)
		return;
	if (imap_utf7_decode(&text, a, part)) {
		text = escape_part(a, part);
		f->name_broken = true;
	}
	f->parts[f->depth++] = text;
}

static void split_name(struct folder *f, struct arena *a, struct view name, char delimiter)
{
	size_t most = 1, start = 0;

	for (size_t i = 0; i < name.len; i++)
		most += delimiter && name.data[i] == delimiter;
	f->parts = arena_new(a, most + 1, sizeof(char *));
	for (size_t i = 0; i <= name.len; i++) {
		if (i < name.len && !(delimiter && name.data[i] == delimiter))
			continue;
		add_part(f, a, view_make(name.data + start, i - start));
		start = i + 1;
	}
	if (!f->depth) /* a name of nothing but delimiters */
		f->parts[f->depth++] = escape_part(a, name.len ? name : view_of("?"));
}

/* "INBOX" is the inbox in any case; its children keep the part, spelled INBOX. */
static void settle_inbox(struct folder *f, struct arena *a)
{
	if (f->space != SPACE_PERSONAL || ascii_cmp_nocase(f->parts[0], "INBOX"))
		return;
	if (f->depth == 1)
		f->role = ROLE_INBOX;
	f->parts[0] = arena_strdup(a, "INBOX");
}

static void name_folder(struct imap *im, struct folder *f, struct arena *a, char delimiter)
{
	/* the inbox is personal wherever the prefixes lie ("INBOX." there, "" shared: old Cyrus) */
	bool inbox = view_is_nocase(f->raw, "INBOX");
	const struct imap_namespace *n = inbox ? NULL : namespace_of(im, f->raw);
	size_t prefix = n && n->space == SPACE_PERSONAL ? strlen(n->prefix) : 0;
	struct view name = f->raw;

	f->space = n ? n->space : SPACE_PERSONAL;
	if (prefix)
		name = view_make(f->raw.data + prefix, f->raw.len - prefix);
	split_name(f, a, name, delimiter);
	if (inbox || !prefix)
		settle_inbox(f, a);
}

/* ---- LIST ---- */

struct listing {
	struct imap *im;
	struct folder_list *out;
	size_t names; /* bytes so far */
	/* By hash of the raw name: place in out->folders and one, 0 = free. NULL = not used */
	uint32_t *slots;
	bool lsub;
	bool flood; /* more folders, or longer names, than anybody has */
};

static void take_attribute(struct folder *f, struct view attribute)
{
	enum folder_role role = folder_role_by_attribute(attribute);

	if (role != ROLE_NONE && f->role == ROLE_NONE) {
		f->role = role;
		f->role_declared = true;
	} else if (view_is_nocase(attribute, "\\Noselect") ||
		   view_is_nocase(attribute, "\\NonExistent")) {
		f->selectable = false;
	} else if (view_is_nocase(attribute, "\\Subscribed")) {
		f->subscribed = true;
	}
}

#define SLOTS (1u << 17) /* more than twice as many as folders */

/* The slot of that name, or the free one where it belongs. */
static uint32_t *slot_of(const struct listing *to, struct view raw)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < raw.len; i++)
		hash = (hash ^ (unsigned char)raw.data[i]) * 16777619u;
	for (uint32_t at = (hash ^ hash >> 15) % SLOTS;; at = (at + 1) % SLOTS)
		if (!to->slots[at] || view_eq(to->out->folders[to->slots[at] - 1].raw, raw))
			return &to->slots[at];
}

static void start_slots(struct listing *to)
{
	to->slots = mem_new(SLOTS, sizeof(*to->slots));
	for (size_t i = 0; i < to->out->count; i++)
		*slot_of(to, to->out->folders[i].raw) = (uint32_t)i + 1;
}

/* INBOX and Inbox are one (RFC 3501 §5.1), whatever is listed. */
static struct folder *find_folder(const struct listing *to, struct view raw)
{
	struct folder_list *l = to->out;
	const struct folder *f = NULL;

	if (!to->slots)
		f = folder_list_find(l, raw);
	else if (*slot_of(to, raw))
		f = &l->folders[*slot_of(to, raw) - 1];
	if (!f && view_is_nocase(raw, "INBOX"))
		f = folder_list_role(l, ROLE_INBOX);
	return f ? &l->folders[f - l->folders] : NULL;
}

bool imap_has_attribute(const struct imap_node *list, const char *name)
{
	for (const struct imap_node *n = list ? list->child : NULL; n; n = n->next)
		if (view_is_nocase(imap_node_text(n), name))
			return true;
	return false;
}

/* Some servers send names without the quotes they need: several atoms, or one called NIL. Behind a
 * whole name nothing but a list may stand (RFC 5258). */
struct view imap_listed_name(const struct imap_reader *reader, const struct imap_node *name)
{
	bool bare = name && (name->kind == IMAP_NODE_NIL ||
				(name->next && name->next->kind != IMAP_NODE_LIST));

	return bare ? imap_reader_rest(reader, name) : imap_node_text(name);
}

static void take_list(struct listing *to, const struct imap_response *r)
{
	const struct imap_node *attributes = imap_node_at(r->args, 0);
	struct view delimiter = imap_node_text(imap_node_at(r->args, 1));
	struct view raw = imap_listed_name(&to->im->reader, imap_node_at(r->args, 2));
	char split = delimiter.len ? delimiter.data[0] : '\0';
	struct folder *f;

	if (split && raw.len > 1 && raw.data[raw.len - 1] == split &&
	    raw.data[raw.len - 2] != split)
		raw.len--; /* Exchange, UW: "Public Folders/" */
	if (!raw.len)
		return;
	f = find_folder(to, raw);
	if (to->lsub) { /* \Noselect: not subscribed itself, only something below it */
		if (f && !imap_has_attribute(attributes, "\\Noselect"))
			f->subscribed = true;
		return;
	}
	if (!f) {
		to->names += raw.len;
		to->flood = to->out->count >= IMAP_FOLDERS_MAX || to->names > IMAP_NAMES_MAX;
		if (to->flood)
			return;
		f = folder_list_add(to->out);
		f->raw = arena_copy(&to->out->arena, raw);
		*slot_of(to, f->raw) = (uint32_t)to->out->count;
		name_folder(to->im, f, &to->out->arena, split);
		f->selectable = true;
	}
	for (const struct imap_node *n = attributes ? attributes->child : NULL; n; n = n->next)
		take_attribute(f, imap_node_text(n));
}

static uint64_t status_number(const struct imap_node *list, const char *name)
{
	uint64_t n = 0;

	return imap_node_number(imap_node_value(list, name), &n) ? 0 : n;
}

/* What names a folder whatever it is called: a STATUS item, "" = none. */
static const char *object_item(const struct imap *im)
{
	return im->no_objects               ? ""
	       : imap_has(im, CAP_OBJECTID) ? "MAILBOXID"
	       : im->quirks & QUIRK_X_GUID  ? "X-GUID"
					    : "";
}

#define OBJECT_MAX 255u /* RFC 8474 §7 */

/* MAILBOXID (RFC 8474 §4.1) has its value in parentheses. */
static struct view status_object(const struct imap *im, const struct imap_node *list)
{
	const struct imap_node *n = imap_node_value(list, object_item(im));
	struct view id = imap_node_text(n && n->kind == IMAP_NODE_LIST ? n->child : n);

	return id.len <= OBJECT_MAX ? id : (struct view){0};
}

static void take_status(struct listing *to, const struct imap_response *r)
{
	struct folder *f = find_folder(to, imap_node_text(imap_node_at(r->args, 0)));
	const struct imap_node *list = imap_node_at(r->args, 1);
	uint64_t uidvalidity, uidnext, modseq;
	struct cursor cursor;

	if (!f || f->has_glance || !list || list->kind != IMAP_NODE_LIST)
		return;
	f->has_glance = true;
	f->messages = status_number(list->child, "MESSAGES");
	f->object = arena_copy(&to->out->arena, status_object(to->im, list->child));
	uidvalidity = status_number(list->child, "UIDVALIDITY");
	uidnext = status_number(list->child, "UIDNEXT");
	modseq = status_number(list->child, "HIGHESTMODSEQ");
	imap_cursor_print(&cursor, uidvalidity, uidnext, modseq);
	if (uidvalidity && uidnext && modseq) /* else it says nothing about ids, or about flags */
		f->glance_cursor = arena_strdup(&to->out->arena, cursor.text);
}

/* That is no accident: another connection would bring the same. */
static int listed_too_much(struct imap *im, struct err *e)
{
	imap_broken(im, e, "it lists folders without end");
	if (e) {
		e->scope = ERR_MAILBOX;
		e->next = ERR_GIVE_UP;
	}
	return -1;
}

static int take_folders(void *arg, const struct imap_response *r, struct err *e)
{
	struct listing *to = arg;

	if (r->kind != IMAP_UNTAGGED)
		return 0;
	if (view_is_nocase(r->name, to->lsub ? "LSUB" : "LIST"))
		take_list(to, r);
	else if (view_is_nocase(r->name, "STATUS") && !to->lsub)
		take_status(to, r);
	return to->flood ? listed_too_much(to->im, e) : 0;
}

/* One rung: 0 = listed, 1 = the server would not, -1 = worse. Nothing listed counts as would not
 * (some servers answer a RETURN they do not know with nothing). */
static int try_list(
    struct imap *im, struct folder_list *out, const char *verb, bool lsub, struct err *e)
{
	struct listing to = {.im = im, .out = out, .lsub = lsub};
	struct imap_command c;
	int failed;

	start_slots(&to);
	imap_command_start(im, &c, verb);
	failed = imap_run(im, &c, &(struct imap_taker){.response = take_folders, .arg = &to}, e);
	free(to.slots);
	if (!failed)
		return out->count || lsub ? 0 : 1;
	return e->scope == ERR_FOLDER ? 1 : -1;
}

/* There is an INBOX always (RFC 3501 §5.1), but "*" does not show it everywhere. As try_list. */
static int list_inbox(struct imap *im, struct folder_list *out, struct err *e)
{
	if (folder_list_role(out, ROLE_INBOX))
		return 0;
	return try_list(im, out, "LIST \"\" INBOX", false, e);
}

/* Either the last rung was refused, with words, or nothing was listed at all. */
static int no_folders(struct imap *im, bool refused, struct err *e)
{
	if (!refused)
		err_set(e, CAUSE_FOLDER_GONE, ERR_MAILBOX,
		    "%s lists no folders for %s, not even INBOX; look at the account there",
		    im->at->host, im->at->user);
	e->scope = ERR_MAILBOX;
	e->side = im->at->side;
	return -1;
}

/* Does LIST bring the names of folders, too? */
static bool lists_objects(const struct imap *im)
{
	return imap_has(im, CAP_LIST_EXTENDED) && imap_has(im, CAP_LIST_STATUS) &&
	       !(im->quirks & QUIRK_LIST_WITHOUT_MAILBOXID);
}

static int list_with(struct imap *im, struct folder_list *out, const char *object, struct err *e)
{
	bool status = imap_has(im, CAP_LIST_STATUS);
	char verb[200];

	snprintf(verb, sizeof(verb), "LIST \"\" \"*\" RETURN (SUBSCRIBED%s%s%s%s%s%s)",
	    imap_has(im, CAP_SPECIAL_USE) ? " SPECIAL-USE" : "",
	    status ? " STATUS (MESSAGES UIDNEXT UIDVALIDITY" : "",
	    status && imap_has(im, CAP_CONDSTORE) ? " HIGHESTMODSEQ" : "", *object ? " " : "",
	    object, status ? ")" : "");
	return try_list(im, out, verb, false, e);
}

/* The first rungs; 0, 1 and -1 as try_list. */
static int list_extended(struct imap *im, struct folder_list *out, struct err *e)
{
	const char *object = lists_objects(im) ? object_item(im) : "";
	int result = list_with(im, out, object, e);

	if (result == 1 && *object && im->reader.response.status == IMAP_BAD) {
		im->no_objects = true; /* without them, then */
		folder_list_free(out);
		result = list_with(im, out, "", e);
	}
	if (result == 1)
		folder_list_free(out);
	return result;
}

/* ---- names of folders by STATUS ---- */

static int take_object(void *arg, const struct imap_response *r, struct err *e)
{
	struct listing *to = arg;
	const struct imap_node *list = imap_node_at(r->args, 1);
	struct folder *f;

	(void)e;
	if (!view_is_nocase(r->name, "STATUS") || !list || list->kind != IMAP_NODE_LIST)
		return 0;
	f = find_folder(to, imap_node_text(imap_node_at(r->args, 0)));
	if (f && !f->object.len)
		f->object = arena_copy(&to->out->arena, status_object(to->im, list->child));
	return 0;
}

#define STATUS_AHEAD 50u /* commands under way */

/* 1 = sent, 0 = this folder cannot be asked. */
static int ask_object(struct imap *im, const struct folder *f, char tag[static 16], struct err *e)
{
	struct imap_command c AUTO(imap_command_free) = {0};

	if (!f->selectable)
		return 0;
	imap_command_start(im, &c, "STATUS");
	imap_command_add_string(im, &c, f->raw);
	imap_command_add(&c, "(%s)", object_item(im));
	if (c.asks) /* a literal that must be asked for cannot wait in line */
		return 0;
	memcpy(tag, c.tag, sizeof(c.tag));
	return imap_command_send(im, &c, e) ? -1 : 1;
}

/* Up to STATUS_AHEAD folders from *at on, in one round trip. What is refused stays without. */
static int ask_objects(struct listing *to, size_t *at, struct err *e)
{
	struct imap_taker taker = {.response = take_object, .arg = to};
	char tags[STATUS_AHEAD][16];
	size_t sent = 0;

	while (*at < to->out->count && sent < STATUS_AHEAD) {
		int asked = ask_object(to->im, &to->out->folders[(*at)++], tags[sent], e);

		if (asked < 0)
			return -1;
		sent += (size_t)asked;
	}
	for (size_t i = 0; i < sent; i++)
		if (imap_await(to->im, tags[i], &taker, e))
			return -1;
	return 0;
}

/* Where LIST does not bring them. */
static int add_objects(struct imap *im, struct folder_list *out, struct err *e)
{
	struct listing to = {.im = im, .out = out};

	if (lists_objects(im) || !*object_item(im))
		return 0;
	for (size_t at = 0; at < out->count;)
		if (ask_objects(&to, &at, e))
			return -1;
	return 0;
}

int imap_list(struct session *s, struct folder_list *out, struct err *e)
{
	struct imap *im = IMAP(s);
	bool refused = false;
	int result = 1;

	folder_list_free(out);
	if (imap_has(im, CAP_LIST_EXTENDED)) {
		result = list_extended(im, out, e);
		if (result == 1)
			log_debug("%s: LIST-EXTENDED failed, trying plain LIST", im->at->host);
	}
	if (result == 1) {
		result = try_list(im, out, "LIST \"\" \"*\"", false, e);
		refused = result == 1 && im->reader.response.status != IMAP_OK;
		if (!result)
			result = try_list(im, out, "LSUB \"\" \"*\"", true, e) < 0 ? -1 : 0;
	}
	if (result >= 0 && !refused)
		result = list_inbox(im, out, e);
	if (result < 0)
		return -1;
	return !out->count ? no_folders(im, refused, e) : add_objects(im, out, e);
}
