/* make.c - folders are made, renamed and subscribed. Beside folders.c, which lists them. Promises: a
 * folder that is there already was made; a subscription is not worth a folder. */
#include <stdlib.h>
#include <string.h>

#include "connect/imap/imap.h"

#define FLIGHT 32u /* commands under way */

static int raw_name(
    struct imap *im, struct buf *raw, char *const *parts, size_t depth, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	if (depth > 1 || ascii_cmp_nocase(parts[0], "INBOX"))
		buf_add_text(raw, im->prefix);
	for (size_t i = 0; i < depth; i++) {
		char *encoded;

		if (i)
			buf_add_char(raw, im->delimiter);
		if (imap_utf7_encode(&encoded, &scratch, parts[i]) || buf_add_text(raw, encoded))
			return err_set(e, CAUSE_FOLDER_REFUSED, ERR_FOLDER,
			    "the folder name cannot be written in IMAP");
	}
	return 0;
}

/* Can a folder of exactly that name be used? STATUS, because LIST takes patterns, and some names
 * ("{7}") make Cyrus 3.6 crash as one. */
static int folder_exists(struct imap *im, struct view raw, bool *exists, struct err *e)
{
	struct imap_command c;

	imap_command_start(im, &c, "STATUS");
	imap_command_add_string(im, &c, raw);
	imap_command_add(&c, "(MESSAGES)");
	*exists = !imap_run(im, &c, NULL, e);
	return *exists || e->scope == ERR_FOLDER ? 0 : -1;
}

/* " (USE (\\Sent))" where the server takes it (RFC 6154 §3); true = it was added. */
static bool add_use(struct imap *im, struct imap_command *c, enum folder_role role)
{
	const char *attribute = folder_role_attribute(role);

	if (!attribute || !imap_has(im, CAP_CREATE_SPECIAL_USE))
		return false;
	imap_command_add(c, "(USE (%s))", attribute);
	return true;
}

static int create(struct imap *im, struct view raw, enum folder_role role, struct err *e)
{
	struct imap_command c;

	imap_command_start(im, &c, "CREATE");
	imap_command_add_string(im, &c, raw);
	if (add_use(im, &c, role)) {
		if (!imap_run(im, &c, NULL, e))
			return 0;
		if (e->scope != ERR_FOLDER)
			return -1;
		imap_command_start(im, &c, "CREATE");
		imap_command_add_string(im, &c, raw);
	}
	return imap_run(im, &c, NULL, e);
}

/* SUBSCRIBE or UNSUBSCRIBE: a subscription is not worth a folder, so a refusal is none. */
static int subscribe_folder(struct imap *im, const char *verb, struct view raw, struct err *e)
{
	struct imap_command c;

	imap_command_start(im, &c, verb);
	imap_command_add_string(im, &c, raw);
	if (!imap_run(im, &c, NULL, e))
		return 0;
	return e->scope == ERR_FOLDER ? 0 : -1;
}

/* The subscribed names at and below OLD. */
struct subscriptions {
	struct imap *im;
	struct view old;
	struct arena arena;
	struct view *names;
	size_t count, size, bytes;
};

static bool is_at_or_below(const struct imap *im, struct view name, struct view top)
{
	return name.len >= top.len && !memcmp(name.data, top.data, top.len) &&
	       (name.len == top.len || (im->delimiter && name.data[top.len] == im->delimiter));
}

static int take_subscribed(void *arg, const struct imap_response *r, struct err *e)
{
	struct subscriptions *s = arg;
	struct view name = imap_listed_name(&s->im->reader, imap_node_at(r->args, 2));

	(void)e;
	if (!view_is_nocase(r->name, "LSUB") || !is_at_or_below(s->im, name, s->old) ||
	    imap_has_attribute(imap_node_at(r->args, 0), "\\Noselect") ||
	    s->count >= IMAP_FOLDERS_MAX || (s->bytes += name.len) > IMAP_NAMES_MAX)
		return 0;
	if (s->count == s->size) {
		s->size = s->size * 2 + 16;
		s->names = mem_grow(s->names, s->size, sizeof(*s->names));
	}
	s->names[s->count++] = arena_copy(&s->arena, name);
	return 0;
}

static int move_subscription(
    struct imap *im, struct view name, size_t old_len, struct view to, struct err *e)
{
	struct buf moved AUTO(buf_free) = BUF_INIT(IMAP_LINE_MAX);

	buf_add_view(&moved, to);
	buf_add(&moved, name.data + old_len, name.len - old_len);
	return subscribe_folder(im, "SUBSCRIBE", buf_view(&moved), e) ||
		       subscribe_folder(im, "UNSUBSCRIBE", name, e)
		   ? -1
		   : 0;
}

static void subscriptions_free(struct subscriptions *s)
{
	free(s->names);
	arena_free(&s->arena);
}

/* Names are subscribed, not folders (RFC 3501 §6.3.6): few servers take them along, and Cyrus forgets
 * them, so they are asked for before. LSUB "*", because a name is no pattern. */
static int find_subscriptions(struct subscriptions *s, struct err *e)
{
	struct imap_command c;

	if (!s->old.len)
		return 0;
	imap_command_start(s->im, &c, "LSUB \"\" \"*\"");
	if (!imap_run(s->im, &c, &(struct imap_taker){.response = take_subscribed, .arg = s}, e))
		return 0;
	return e->scope == ERR_FOLDER ? 0 : -1;
}

static int move_subscriptions(struct subscriptions *s, struct view to, struct err *e)
{
	for (size_t i = 0; i < s->count; i++)
		if (move_subscription(s->im, s->names[i], s->old.len, to, e))
			return -1;
	return 0;
}

/* RENAME of INBOX would move its messages and leave it (RFC 3501 §6.3.5). The selected folder may be
 * the one, or below it. */
static int rename_folder(struct imap *im, struct view from, struct view to, struct err *e)
{
	struct imap_command c;

	if (view_is_nocase(from, "INBOX"))
		return err_set(e, CAUSE_FOLDER_REFUSED, ERR_FOLDER, "the INBOX cannot be renamed");
	if (imap_unselect(im, e))
		return -1;
	buf_clear(&im->now_raw);
	imap_command_start(im, &c, "RENAME");
	imap_command_add_string(im, &c, from);
	imap_command_add_string(im, &c, to);
	return imap_run(im, &c, NULL, e);
}

/* CREATE or RENAME was refused: *done when things are so already. A folder that stands beside its new
 * name was not renamed. */
static int was_made(struct imap *im, struct view from, struct view to, bool *done, struct err *e)
{
	bool left = false;

	if (folder_exists(im, to, done, e) ||
	    (*done && from.len && folder_exists(im, from, &left, e)))
		return -1;
	*done = *done && !left;
	return 0;
}

static int make_folder(
    struct imap *im, struct view from, struct view to, enum folder_role role, struct err *e)
{
	struct err refusal;
	bool done = false;

	if (!from.len && !create(im, to, role, &refusal))
		return 0;
	if (from.len && !rename_folder(im, from, to, &refusal)) {
		if (!(im->quirks & QUIRK_RENAMES_NOTHING))
			return 0;
		err_set(
		    &refusal, CAUSE_FOLDER_GONE, ERR_FOLDER, "there was no folder to be renamed");
		refusal.side = im->at->side;
	}
	if (refusal.scope == ERR_FOLDER && was_made(im, from, to, &done, e))
		return -1;
	if (done)
		return 0;
	*e = refusal;
	if (e->scope == ERR_FOLDER)
		e->cause = CAUSE_FOLDER_REFUSED;
	return -1;
}

int imap_make(struct session *s, struct view from, char *const *parts, size_t depth,
    enum folder_role role, bool subscribe, struct arena *a, struct view *out_raw, struct err *e)
{
	struct imap *im = IMAP(s);
	struct buf raw AUTO(buf_free) = BUF_INIT(4000);
	struct subscriptions subscribed AUTO(subscriptions_free) = {.im = im};
	struct view to;

	if (raw_name(im, &raw, parts, depth, e))
		return -1;
	to = buf_view(&raw);
	if (!view_eq(from, to)) /* else it is called so */
		subscribed.old = from;
	if (find_subscriptions(&subscribed, e) || make_folder(im, subscribed.old, to, role, e) ||
	    move_subscriptions(&subscribed, to, e) ||
	    (subscribe && subscribe_folder(im, "SUBSCRIBE", to, e)))
		return -1;
	*out_raw = arena_copy(a, to);
	return 0;
}

/* ---- several at once ---- */

/* Commands under way, each for one of the folders. */
struct flight {
	struct imap *im;
	struct imap_command commands[FLIGHT];
	struct making *folders[FLIGHT];
	size_t count;
};

static void flight_free(struct flight *f)
{
	for (size_t i = 0; i < f->count; i++)
		imap_command_free(&f->commands[i]);
	f->count = 0;
}

/* Their answers; of those that say OK the folders are done. */
static int flight_land(struct flight *f, struct err *e)
{
	for (size_t i = 0; i < f->count; i++) {
		struct err trouble;

		if (!imap_finish(f->im, &f->commands[i], NULL, &trouble))
			f->folders[i]->done = true;
		else if (trouble.scope != ERR_FOLDER) {
			*e = trouble;
			return -1;
		}
	}
	flight_free(f);
	return 0;
}

static struct imap_command *flight_add(struct flight *f, const char *verb, struct making *m)
{
	struct imap_command *c = &f->commands[f->count];

	f->folders[f->count++] = m;
	imap_command_start(f->im, c, verb);
	imap_command_add_string(f->im, c, m->raw);
	return c;
}

/* The last one goes out. A literal that must be asked for cannot wait in line: that folder is left. */
static int flight_send(struct flight *f, struct err *e)
{
	struct imap_command *c = &f->commands[f->count - 1];

	if (!c->asks)
		return imap_command_send(f->im, c, e);
	f->folders[--f->count]->done = false;
	imap_command_free(c);
	return 0;
}

static int send_creates(struct flight *f, struct making *folders, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		struct making *m = &folders[i];

		if (!m->raw.len || m->there)
			continue; /* it cannot be written, or need not */
		add_use(f->im, flight_add(f, "CREATE", m), m->role);
		if (flight_send(f, e))
			return -1;
	}
	return flight_land(f, e);
}

static int send_subscribes(struct flight *f, struct making *folders, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		if (!folders[i].done || !folders[i].subscribe)
			continue;
		flight_add(f, "SUBSCRIBE", &folders[i]);
		if (flight_send(f, e))
			return -1;
	}
	return flight_land(f, e);
}

/* Up to FLIGHT of them. */
static int make_some(
    struct imap *im, struct making *folders, size_t count, struct arena *a, struct err *e)
{
	struct buf raw AUTO(buf_free) = BUF_INIT(4000);
	struct flight f = {.im = im};
	int failed;

	for (size_t i = 0; i < count; i++) {
		struct err ignored;

		folders[i].done = folders[i].there;
		if (folders[i].there)
			continue;
		buf_clear(&raw);
		folders[i].raw = (struct view){0};
		if (!raw_name(im, &raw, folders[i].parts, folders[i].depth, &ignored))
			folders[i].raw = arena_copy(a, buf_view(&raw));
	}
	failed = send_creates(&f, folders, count, e) || send_subscribes(&f, folders, count, e);
	flight_free(&f);
	return failed ? -1 : 0;
}

int imap_make_all(
    struct session *s, struct making *folders, size_t count, struct arena *a, struct err *e)
{
	for (size_t at = 0, some; at < count; at += some) {
		some = count - at < FLIGHT ? count - at : FLIGHT;
		if (make_some(IMAP(s), folders + at, some, a, e))
			return -1;
	}
	return 0;
}
