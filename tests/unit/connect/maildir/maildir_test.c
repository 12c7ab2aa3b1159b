/* maildir_test.c - the connector's slots on Maildirs in a directory of the test's own. */
#include "connect/maildir/maildir.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/connectors.h"
#include "model/identity.h"

/* ---- a place to work in ---- */

static char work[64];
static struct waitset *waits;
static struct flags_table *flags;
static struct arena arena;

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(work, sizeof(work), "/tmp/godwit-maildir-XXXXXX");
	waitset_new(&waits, -1);
	flags_table_new(&flags);
	return mkdtemp(work) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	waitset_free(&waits);
	flags_table_free(&flags);
	arena_free(&arena);
	return nftw(work, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static char *path(const char *name)
{
	return arena_printf(&arena, "%s/%s", work, name);
}

static void write_file(const char *name, const char *text)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static const char *read_file(const char *name)
{
	static char text[4096];
	int fd = open(path(name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? NULL : text;
}

static bool is_there(const char *name)
{
	return !access(path(name), F_OK);
}

static void move(const char *from, const char *to)
{
	assert_int_equal(rename(path(from), path(to)), 0);
}

/* The mtime of a directory, as if its last change were long ago. */
static void settle(const char *name, int64_t seconds)
{
	const struct timespec times[] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

	assert_int_equal(utimensat(AT_FDCWD, path(name), times, 0), 0);
}

static void make_maildir(const char *name)
{
	static const char *const inside[] = {"", "/cur", "/new", "/tmp"};

	for (size_t i = 0; i < COUNT_OF(inside); i++)
		assert_int_equal(
		    mkdir(path(arena_printf(&arena, "%s%s", name, inside[i])), 0700), 0);
}

static struct err e;

static struct session *open_at(const char *name, enum err_side side, enum endpoint_layout layout)
{
	struct endpoint *at = ARENA_NEW(&arena, struct endpoint);
	struct connect_env env = {.waits = waits, .flags = flags, .origin = "anna@old"};
	struct session *s = NULL;

	*at = (struct endpoint){
	    .scheme = "maildir", .path = path(name), .side = side, .layout = layout};
	if (maildir_connector.open(&s, at, &env, &e))
		fail_msg("%s", e.text);
	return s;
}

static void close_it(struct session *s)
{
	maildir_connector.close(&s, NULL);
}

static const struct folder inbox = {.raw = {".", 1}};

static struct folder folder_of(const char *raw)
{
	return (struct folder){.raw = view_of(raw)};
}

/* ---- what is told ---- */

struct heard {
	struct fact facts[64];
	size_t count;
	struct changes_told told;
	/* done in the midst of the sweep, once */
	const char *move_from, *move_to;
};

static int take(void *arg, const struct fact *fact, struct err *error)
{
	struct heard *h = arg;

	(void)error;
	assert_true(h->count < COUNT_OF(h->facts));
	h->facts[h->count] = *fact;
	h->facts[h->count++].id = arena_copy(&arena, fact->id);
	if (h->move_from)
		move(h->move_from, h->move_to);
	h->move_from = NULL;
	return 0;
}

static void hear(
    struct session *s, const struct folder *f, const struct changes_ask *ask, struct heard *h)
{
	struct fact_sink sink = {take, h};

	h->count = 0;
	if (maildir_connector.changes(s, f, ask, &sink, &h->told, &e))
		fail_msg("%s", e.text);
}

static const struct fact *told_of(const struct heard *h, const char *id)
{
	for (size_t i = 0; i < h->count; i++)
		if (view_is(h->facts[i].id, id))
			return &h->facts[i];
	return NULL;
}

static const char *flags_told(const struct heard *h, const char *id)
{
	const struct fact *fact = told_of(h, id);

	return fact ? flags_text(flags, fact->flags) : "(not told)";
}

static void test_facts(void **state)
{
	struct changes_ask all = {0}, identity = {.identity = true}, only_ids = {.only_ids = true};
	struct heard h = {0};
	struct session *s;

	(void)state;
	make_maildir("m");
	write_file("m/cur/2.b:2,FRSTD", "Subject: b\n\nb\n");
	write_file("m/new/3.c", "Subject: c\n\nc\n");
	write_file("m/cur/1.a:2,Sac", "Subject: a\r\n\r\na\r\n");
	write_file("m/cur/4.d,S=14,W=17:2,P", "Subject: d\n\nd\n");
	write_file("m/cur/5.e,S=15,W=99:2,x", "Subject: e\n\nee\n");
	write_file("m/dovecot-keywords", "0 work\n2 $Junk\n1 a b\n30 far\nx y\n3\n");
	settle("m/cur/1.a:2,Sac", 1000000000);
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	hear(s, &inbox, &all, &h);
	assert_int_equal(h.count, 5);
	assert_true(h.told.complete && !h.told.reset);
	assert_int_equal(h.told.total, 5);
	for (size_t i = 0; i < h.count; i++) /* in the order of the names */
		assert_int_equal(h.facts[i].id.data[0], '1' + (int)i);
	assert_string_equal(flags_told(&h, "1.a"), "\\Seen $Junk work");
	assert_string_equal(flags_told(&h, "2.b"), "\\Answered \\Flagged \\Deleted \\Seen \\Draft");
	assert_string_equal(flags_told(&h, "3.c"), "");
	assert_string_equal(flags_told(&h, "4.d"), "$Forwarded");
	assert_string_equal(flags_told(&h, "5.e"), "");
	assert_int_equal(told_of(&h, "1.a")->date.instant, 1000000000);
	assert_int_equal(told_of(&h, "4.d")->size, 17);
	assert_int_equal(told_of(&h, "5.e")->size, 15); /* an estimate: that W cannot be true */
	hear(s, &inbox, &identity, &h);
	assert_int_equal(told_of(&h, "5.e")->size, 18);
	assert_int_equal(told_of(&h, "1.a")->size, 17);
	assert_true(told_of(&h, "3.c")->has_identity);
	hear(s, &inbox, &only_ids, &h);
	assert_int_equal(h.count, 5);
	assert_int_equal(told_of(&h, "5.e")->size, 0);
	close_it(s);
}

static void test_since(void **state)
{
	struct heard h = {0};
	struct cursor before, fresh;
	struct changes_ask since = {.since = &before},
			   only_new = {.since = &before, .only_new = true};
	struct session *s;

	(void)state;
	make_maildir("m");
	write_file("m/cur/1.a:2,", "a\n");
	s = open_at("m", ERR_DESTINATION, LAYOUT_DETECT);
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	fresh = before = h.told.cursor;
	hear(s, &inbox, &since, &h); /* too fresh to be believed */
	assert_true(h.told.complete && h.count == 1);
	settle("m/cur", 1000000000);
	settle("m/new", 1000000000);
	hear(s, &inbox, &since, &h);
	assert_true(h.told.complete && h.count == 1);
	before = h.told.cursor;
	hear(s, &inbox, &since, &h);
	assert_true(!h.told.complete && !h.told.reset && !h.count && h.told.gone_told);
	assert_int_equal(h.told.total, 1);
	assert_true(cursor_same(&fresh, &before));
	move("m/cur/1.a:2,", "m/cur/1.a:2,S");
	hear(s, &inbox, &since, &h);
	assert_true(h.told.complete && h.count == 1);
	assert_string_equal(flags_told(&h, "1.a"), "\\Seen");
	before = h.told.cursor;
	hear(s, &inbox, &only_new, &h);
	assert_true(!h.told.complete && h.count == 1); /* told rather than not */
	snprintf(before.text, sizeof(before.text), "%.*s 9000000000000000000 -",
	    (int)strcspn(h.told.cursor.text, " "), h.told.cursor.text);
	hear(s, &inbox, &only_new, &h);
	assert_int_equal(h.count, 0);
	snprintf(before.text, sizeof(before.text), "1-1 5 -");
	hear(s, &inbox, &since, &h);
	assert_true(h.told.reset && h.count == 1);
	snprintf(before.text, sizeof(before.text), "%.*s junk",
	    (int)strcspn(h.told.cursor.text, " "), h.told.cursor.text);
	hear(s, &inbox, &since, &h);
	assert_true(h.told.reset && h.count == 1);
	close_it(s);
}

/* A folder deleted and made again is another one; renamed it is the same. */
static void test_incarnation(void **state)
{
	struct folder f = folder_of(".A");
	struct cursor one, two;
	struct session *s;

	(void)state;
	make_maildir("m");
	make_maildir("m/.A");
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	assert_int_equal(maildir_connector.now(s, &f, &one, &e), 0);
	move("m/.A", "m/.B");
	assert_int_equal(maildir_connector.now(s, &f, &two, &e), -1);
	assert_int_equal(e.scope, ERR_FOLDER);
	assert_non_null(strstr(e.text, "m/.A"));
	f = folder_of(".B");
	assert_int_equal(maildir_connector.now(s, &f, &two, &e), 0);
	assert_true(cursor_same(&one, &two));
	assert_int_equal(rmdir(path("m/.B/cur")), 0);
	assert_int_equal(mkdir(path("m/.B/other"), 0700), 0);
	assert_int_equal(mkdir(path("m/.B/cur"), 0700), 0);
	assert_int_equal(maildir_connector.now(s, &f, &two, &e), 0);
	assert_false(cursor_same(&one, &two));
	close_it(s);
}

/* new/ may be missing, and come later. */
static void test_new_comes(void **state)
{
	struct heard h = {0};
	struct session *s;

	(void)state;
	assert_int_equal(mkdir(path("m"), 0700), 0);
	assert_int_equal(mkdir(path("m/cur"), 0700), 0);
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	assert_int_equal(h.count, 0);
	assert_int_equal(mkdir(path("m/new"), 0700), 0);
	write_file("m/new/1.a", "a\n");
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	assert_int_equal(h.count, 1);
	close_it(s);
}

/* Flags that change while the folder is told: each message is told once all the same. */
static void test_renamed_meanwhile(void **state)
{
	struct heard h = {.move_from = "m/cur/2.b:2,", .move_to = "m/cur/2.b:2,S"};
	struct session *s;

	(void)state;
	make_maildir("m");
	write_file("m/cur/1.a:2,", "a\n");
	write_file("m/cur/2.b:2,", "b\n");
	write_file("m/new/3.c", "c\n");
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	assert_int_equal(h.count, 3);
	assert_string_equal(flags_told(&h, "2.b"), "\\Seen");
	h.move_from = "m/new/3.c";
	h.move_to = "m/cur/3.c:2,F";
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	assert_int_equal(h.count, 3);
	assert_string_equal(flags_told(&h, "3.c"), "\\Flagged");
	h.move_from = "m/cur/3.c:2,F";
	h.move_to = "m/elsewhere";
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	assert_int_equal(h.count, 2);
	assert_int_equal(h.told.total, 2);
	close_it(s);
}

/* ---- reading ---- */

static struct window *window_of(const struct folder *f, const char *const *ids, size_t count)
{
	struct window *w = ARENA_NEW(&arena, struct window);

	w->folder = f;
	w->count = count;
	w->items = arena_new(&arena, count, sizeof(*w->items));
	buf_init(&w->body, 1000);
	for (size_t i = 0; i < count; i++)
		w->items[i] =
		    (struct window_item){.id = view_of(ids[i]), .reason = "", .msgid = ""};
	return w;
}

static void window_end(struct window *w)
{
	buf_free(&w->body);
	arena_free(&w->arena);
}

static bool body_is(const struct window *w, size_t i, const char *text)
{
	const struct window_item *item = &w->items[i];

	return item->state == ITEM_READ &&
	       view_is(view_make(w->body.data + item->offset, item->len), text);
}

static void test_read(void **state)
{
	static const char *const ids[] = {"1.a", "2.b", "3.c", "4.d", "5.e", "6.f"};
	struct window *w, *got;
	struct session *s;
	char *big = mem_new(1001, 1);

	(void)state;
	memset(big, 'x', 999);
	big[500] = '\n';
	make_maildir("m");
	write_file("m/cur/1.a:2,S", "a\nb\r\nc\n");
	write_file("m/new/3.c", "c");
	write_file("m/cur/4.d:2,S", "");
	write_file("m/cur/5.e:2,S", big);
	assert_int_equal(mkfifo(path("m/cur/6.f:2,S"), 0600), 0);
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	w = window_of(&inbox, ids, COUNT_OF(ids));
	assert_int_equal(maildir_connector.want(s, w, &e), 0);
	assert_int_equal(maildir_connector.next(s, &got, &e), 0);
	assert_ptr_equal(got, w);
	assert_true(body_is(w, 0, "a\r\nb\r\nc\r\n"));
	assert_int_equal(w->items[1].state, ITEM_GONE);
	assert_true(body_is(w, 2, "c"));
	assert_int_equal(w->items[3].cause, CAUSE_EMPTY);
	assert_int_equal(w->items[4].state, ITEM_AGAIN); /* no room */
	assert_int_equal(w->items[4].size, 1000);
	assert_int_equal(w->items[5].state, ITEM_UNREADABLE);
	assert_true(is_there("m/new/3.c"));
	move("m/cur/1.a:2,S", "m/cur/1.a:2,ST"); /* it knows the folder by now */
	assert_int_equal(maildir_connector.want(s, w, &e), 0);
	buf_clear(&w->body);
	assert_int_equal(maildir_connector.next(s, &got, &e), 0);
	assert_true(body_is(w, 0, "a\r\nb\r\nc\r\n"));
	assert_int_equal(maildir_connector.next(s, &got, &e), 0);
	assert_null(got);
	assert_int_equal(maildir_connector.want(s, w, &e), 0);
	assert_ptr_equal(maildir_connector.abandon(s), w);
	assert_null(maildir_connector.abandon(s));
	window_end(w);
	close_it(s);
	free(big);
}

static void test_stream(void **state)
{
	static const char *const ids[] = {"1.a"};
	size_t lines = 100000, seen = 0;
	char *text = mem_new(lines * 3 + 1, 1);
	struct window *w, *got;
	struct session *s;
	struct view piece;
	int more;

	(void)state;
	for (size_t i = 0; i < lines; i++)
		memcpy(text + 3 * i, i % 7 ? "ab\n" : "a\r\n", 3);
	make_maildir("m");
	write_file("m/cur/1.a:2,", text);
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	w = window_of(&inbox, ids, 1);
	w->alone = true;
	assert_int_equal(maildir_connector.want(s, w, &e), 0);
	assert_int_equal(maildir_connector.next(s, &got, &e), 0);
	assert_int_equal(w->items[0].state, ITEM_STREAM);
	assert_int_equal(w->stream->size, 3 * lines + lines - (lines + 6) / 7);
	while ((more = w->stream->read(w->stream, &piece, &e)) == 1)
		seen += piece.len;
	assert_int_equal(more, 0);
	assert_int_equal(seen, w->stream->size);
	/* it shrinks while it passes: never finished as if it were whole */
	assert_int_equal(maildir_connector.want(s, w, &e), 0);
	assert_int_equal(maildir_connector.next(s, &got, &e), 0);
	assert_int_equal(w->stream->read(w->stream, &piece, &e), 1);
	assert_int_equal(truncate(path("m/cur/1.a:2,"), 100), 0);
	while ((more = w->stream->read(w->stream, &piece, &e)) == 1)
		;
	assert_int_equal(more, -1);
	window_end(w);
	close_it(s);
	free(text);
}

/* ---- storing ---- */

static void fill_item(struct window *w, size_t i, const char *text, const char *names)
{
	struct window_item *item = &w->items[i];

	item->state = ITEM_READ;
	item->offset = w->body.len;
	item->len = strlen(text);
	item->flags = flags_intern(flags, view_of(names));
	item->date = (struct date){.instant = 1000000000 + (int64_t)i, .known = true};
	buf_add_text(&w->body, text);
	identity_of(view_of(text), &item->identity, &w->arena, &item->msgid);
}

static void put(struct session *s, const struct folder *f, struct window *w)
{
	struct window *got;

	if (maildir_connector.put(s, f, w, &e))
		fail_msg("%s", e.text);
	assert_int_equal(maildir_connector.settle(s, 0, &got, &e), 0);
	assert_ptr_equal(got, w);
	assert_int_equal(maildir_connector.settle(s, 0, &got, &e), 0);
	assert_null(got);
}

static char **parts_of(const char *one, const char *two)
{
	char **parts = arena_new(&arena, 2, sizeof(*parts));

	parts[0] = arena_strdup(&arena, one);
	parts[1] = two ? arena_strdup(&arena, two) : NULL;
	return parts;
}

static struct view make(
    struct session *s, const char *from, char **parts, size_t depth, bool subscribe)
{
	struct view raw;

	if (maildir_connector.make(
		s, view_of(from), parts, depth, ROLE_NONE, subscribe, &arena, &raw, &e))
		fail_msg("%s", e.text);
	return raw;
}

static const char *full_keywords(void)
{
	char *text = arena_strdup(&arena, "");

	for (int i = 0; i < 26; i++)
		text = arena_printf(&arena, "%s%d k%d\n", text, i, i);
	return text;
}

static void test_put(void **state)
{
	static const char *const ids[] = {"1", "2", "3"};
	static const struct folder source = {.raw = {"INBOX", 5}}, other = {.raw = {"Other", 5}};
	struct session *s = open_at("new", ERR_DESTINATION, LAYOUT_DETECT);
	struct window *w = window_of(&source, ids, 3), *again = window_of(&source, ids, 3),
		      *third = window_of(&other, ids, 3);
	struct window *const all[] = {w, again, third};
	struct heard h = {0};

	(void)state;
	assert_string_equal(make(s, "", parts_of("INBOX", NULL), 1, true).data, ".");
	write_file("new/tmp/1.M000001Q000102030405060708090a0b0c0d0e0f.godwit", "left behind");
	write_file("new/tmp/another's", "not ours");
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		fill_item(all[i], 0, "Subject: one\r\n\r\ntwin\r\n", "\\Seen work");
		fill_item(all[i], 1, "Subject: one\r\n\r\ntwin\r\n", "$Forwarded");
		fill_item(all[i], 2, "Subject: raw\n\nbare\r\n", "");
	}
	put(s, &inbox, w);
	close_it(s);
	s = open_at("new", ERR_DESTINATION, LAYOUT_DETECT);
	put(s, &inbox, again); /* as after a kill */
	put(s, &inbox, third); /* of another folder: other items */
	assert_false(is_there("new/tmp/1.M000001Q000102030405060708090a0b0c0d0e0f.godwit"));
	assert_true(is_there("new/tmp/another's"));
	hear(s, &inbox, &(struct changes_ask){.digest = true}, &h);
	assert_int_equal(h.count, 6);
	for (size_t i = 0; i < 3; i++) {
		const struct fact *fact = &h.facts[i];

		assert_int_equal(w->items[i].state, ITEM_STORED);
		assert_true(view_eq(fact->id, w->items[i].stored_id));
		assert_true(view_eq(fact->id, again->items[i].stored_id));
		assert_true(view_eq(h.facts[3 + i].id, third->items[i].stored_id));
		assert_int_equal(fact->size, w->items[i].len);
		assert_int_equal(fact->flags, w->items[i].flags);
		assert_int_equal(fact->date.instant, 1000000000 + (int)i);
		assert_memory_equal(
		    fact->identity.body, w->items[i].identity.body, sizeof(fact->identity.body));
	}
	assert_string_equal(read_file("new/dovecot-keywords"), "0 work\n1 $Forwarded\n");
	for (size_t i = 0; i < COUNT_OF(all); i++)
		window_end(all[i]);
	close_it(s);
}

/* A stream whose first odd line end comes late. */
struct paper_stream {
	struct item_stream stream;
	struct view text;
	size_t at, piece;
};

static int paper_read(struct item_stream *stream, struct view *out, struct err *error)
{
	struct paper_stream *p = (struct paper_stream *)stream;
	size_t left = p->text.len - p->at, len = left < p->piece ? left : p->piece;

	if (!p->piece)
		return err_set(error, CAUSE_CONNECT, ERR_LINK, "the source broke");
	*out = view_make(p->text.data + p->at, len);
	p->at += len;
	return len > 0;
}

static void put_stream(struct session *s, const char *id, struct view text, size_t piece)
{
	struct paper_stream p = {.stream = {text.len, paper_read}, .text = text, .piece = piece};
	struct window *w = window_of(&inbox, (const char *const[]){id}, 1);
	struct heard h = {0};

	w->alone = true;
	w->stream = &p.stream;
	w->items[0].state = ITEM_STREAM;
	identity_of(text, &w->items[0].identity, &w->arena, &w->items[0].msgid);
	if (!piece) {
		assert_int_equal(maildir_connector.put(s, &inbox, w, &e), -1);
		assert_string_equal(e.text, "the source broke");
		assert_ptr_equal(maildir_connector.abandon(s), w);
		assert_int_equal(w->items[0].state, ITEM_UNKNOWN);
	} else {
		put(s, &inbox, w);
		hear(s, &inbox,
		    &(struct changes_ask){
			.digest = true, .ids = &w->items[0].stored_id, .count = 1},
		    &h);
		assert_int_equal(h.count, 1);
		assert_int_equal(h.facts[0].size, text.len);
		assert_memory_equal(h.facts[0].identity.exact, w->items[0].identity.exact,
		    sizeof(h.facts[0].identity.exact));
		assert_memory_equal(h.facts[0].identity.body, w->items[0].identity.body,
		    sizeof(h.facts[0].identity.body));
	}
	window_end(w);
}

static void test_put_stream(void **state)
{
	static const size_t pieces[] = {1, 3, 4096, 300000};
	struct session *s = open_at("new", ERR_DESTINATION, LAYOUT_DETECT);
	struct buf text AUTO(buf_free) = BUF_INIT(1u << 20);
	struct heard h = {0};

	(void)state;
	make(s, "", parts_of("INBOX", NULL), 1, false);
	for (int i = 0; i < 12000; i++)
		buf_add_text(&text, i == 11000 ? "lone\rcr\r\n" : "some text\r\n");
	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		put_stream(s, arena_printf(&arena, "plain%zu", i), buf_view(&text), pieces[i]);
	buf_add_text(&text, "odd\r\r\nbare\nend\r");
	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		put_stream(s, arena_printf(&arena, "odd%zu", i), buf_view(&text), pieces[i]);
	put_stream(s, "broken", buf_view(&text), 0);
	hear(s, &inbox, &(struct changes_ask){.only_ids = true}, &h);
	assert_int_equal(h.count, 2 * COUNT_OF(pieces));
	assert_int_equal(rmdir(path("new/tmp")), 0); /* nothing was left there */
	close_it(s);
}

/* ---- changing ---- */

static void test_mark(void **state)
{
	struct session *s;
	struct mark marks[4];
	struct heard h = {0};

	(void)state;
	make_maildir("m");
	write_file("m/new/1.a", "a\n");
	write_file("m/cur/2.b:2,FXZa", "b\n");
	write_file("m/cur/3.c:2,", "c\n");
	write_file("m/dovecot-keywords", full_keywords());
	s = open_at("m", ERR_DESTINATION, LAYOUT_DETECT);
	marks[0] =
	    (struct mark){.id = view_of("1.a"), .add = flags_intern(flags, view_of("\\Seen k3"))};
	marks[1] = (struct mark){
	    .id = view_of("2.b"), .remove = flags_intern(flags, view_of("\\Flagged"))};
	marks[2] =
	    (struct mark){.id = view_of("3.c"), .add = flags_intern(flags, view_of("new-word"))};
	marks[3] =
	    (struct mark){.id = view_of("4.d"), .add = flags_intern(flags, view_of("\\Seen"))};
	assert_int_equal(maildir_connector.mark(s, &inbox, marks, 4, &e), 0);
	assert_true(marks[0].done && marks[1].done && !marks[2].done && marks[3].gone);
	assert_non_null(strstr(marks[2].reason, "26"));
	assert_true(is_there("m/cur/1.a:2,Sd"));
	assert_true(is_there("m/cur/2.b:2,XZa")); /* what is not ours stays */
	assert_true(is_there("m/cur/3.c:2,"));
	marks[0].add = flags_intern(flags, view_of("$Forwarded")); /* no letter left: P */
	assert_int_equal(maildir_connector.mark(s, &inbox, marks, 1, &e), 0);
	assert_true(is_there("m/cur/1.a:2,PSd"));
	hear(s, &inbox, &(struct changes_ask){0}, &h);
	assert_string_equal(flags_told(&h, "1.a"), "\\Seen $Forwarded k3");
	close_it(s);
}

static void test_place(void **state)
{
	struct folder a = folder_of(".A"), b = folder_of(".B");
	struct placement items[3] = {{.id = {"1.a", 3}}, {.id = {"2.b", 3}}, {.id = {"3.c", 3}}};
	struct session *s;

	(void)state;
	make_maildir("m");
	make_maildir("m/.A");
	make_maildir("m/.B");
	write_file("m/.A/new/1.a", "a\n");
	write_file("m/.A/cur/2.b:2,Sb", "b\n");
	write_file("m/.B/cur/2.b:2,", "another\n");
	write_file("m/.A/dovecot-keywords", "1 work\n");
	write_file("m/.B/dovecot-keywords", "0 other\n");
	s = open_at("m", ERR_DESTINATION, LAYOUT_DETECT);
	assert_int_equal(maildir_connector.place(s, &a, &b, items, 3, &e), 0);
	assert_true(items[0].done && view_is(items[0].new_id, "1.a"));
	assert_true(is_there("m/.B/cur/1.a:2,") && !is_there("m/.A/new/1.a"));
	assert_true(!items[1].done && items[1].reason);
	assert_string_equal(read_file("m/.B/cur/2.b:2,"), "another\n");
	assert_true(items[2].gone && !items[2].done);
	assert_int_equal(unlink(path("m/.B/cur/2.b:2,")), 0);
	assert_int_equal(maildir_connector.place(s, &a, &b, items + 1, 1, &e), 0);
	assert_true(items[1].done);
	assert_true(is_there("m/.B/cur/2.b:2,Sb")); /* "work" has b here too */
	assert_string_equal(read_file("m/.B/dovecot-keywords"), "0 other\n1 work\n");
	close_it(s);
}

static void test_remove(void **state)
{
	const struct view ids[] = {view_of("1.a"), view_of("nothing"), view_of("2.b")};
	struct session *s;

	(void)state;
	make_maildir("m");
	write_file("m/new/1.a", "a\n");
	write_file("m/cur/2.b:2,S", "b\n");
	write_file("m/cur/2.bb:2,S", "b\n");
	s = open_at("m", ERR_DESTINATION, LAYOUT_DETECT);
	assert_int_equal(maildir_connector.remove(s, &inbox, ids, 3, &e), 0);
	assert_false(is_there("m/new/1.a") || is_there("m/cur/2.b:2,S"));
	assert_true(is_there("m/cur/2.bb:2,S"));
	close_it(s);
}

/* ---- folders ---- */

static const char *listed(struct session *s, bool glances)
{
	struct folder_list list = {0};
	char *text = arena_strdup(&arena, "");

	if (maildir_connector.list(s, &list, &e))
		fail_msg("%s", e.text);
	for (size_t i = 0; i < list.count; i++) {
		const struct folder *f = &list.folders[i];

		text = arena_printf(&arena, "%s%s%s%s", text, i ? " " : "",
		    folder_display(&arena, f->parts, f->depth), f->subscribed ? "+" : "");
		if (glances)
			text = arena_printf(
			    &arena, "%s=%d%s", text, (int)f->messages, f->glance_cursor ? "!" : "");
	}
	folder_list_free(&list);
	return text;
}

static void test_layouts(void **state)
{
	struct session *s;

	(void)state;
	make_maildir("d");
	make_maildir("d/.A");
	make_maildir("d/.A.B&AOk-");
	make_maildir("d/.R&D");
	make_maildir("d/.\xc3\xa9");
	make_maildir("d/.\xff");
	make_maildir("d/.inbox");
	assert_int_equal(mkdir(path("d/.nothing"), 0700), 0);
	s = open_at("d", ERR_DESTINATION, LAYOUT_DETECT);
	assert_string_equal(listed(s, false), "INBOX A A/B\xc3\xa9 R&D inbox_ \xc3\xa9 ?");
	close_it(s);
	make_maildir("f");
	make_maildir("f/A");
	assert_int_equal(mkdir(path("f/X"), 0700), 0);
	make_maildir("f/X/Y");
	assert_int_equal(symlink(work, path("f/loop")), 0);
	s = open_at("f", ERR_DESTINATION, LAYOUT_DETECT);
	assert_string_equal(listed(s, false), "INBOX A X/Y");
	close_it(s);
	assert_int_equal(mkdir(path("sync"), 0700), 0);
	make_maildir("sync/Inbox");
	make_maildir("sync/Archive");
	s = open_at("sync", ERR_DESTINATION, LAYOUT_DETECT);
	assert_string_equal(listed(s, false), "Archive INBOX");
	assert_string_equal(make(s, "", parts_of("INBOX", NULL), 1, false).data, "Inbox");
	close_it(s);
}

static void test_make(void **state)
{
	static const enum endpoint_layout layouts[] = {LAYOUT_MAILDIRPP, LAYOUT_FS};
	static const char *const raws[] = {".A.B&AOk-", "A/B&AOk-"};
	static const char *const renamed[] = {".C.B&AOk-", "C/B&AOk-"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(layouts); i++) {
		const char *root = i ? "f" : "d";
		struct session *s = open_at(root, ERR_DESTINATION, layouts[i]);
		char **ab = parts_of("A", "B\xc3\xa9"), **c = parts_of("C", NULL);
		char **bad = parts_of("x/y", NULL), **reserved = parts_of("cur", NULL);
		struct view raw;

		assert_string_equal(listed(s, false), "");
		make(s, "", parts_of("inbox", NULL), 1, true);
		raw = make(s, "", ab, 2, true);
		assert_true(view_is(raw, raws[i]));
		make(s, "", ab, 2, true); /* idempotent */
		make(s, "", ab, 1, false);
		assert_string_equal(listed(s, false), "INBOX+ A A/B\xc3\xa9+");
		assert_string_equal(read_file(arena_printf(&arena, "%s/subscriptions", root)),
		    "V\t2\n\nINBOX\nA\tB&AOk-\n");
		assert_int_equal(i ? 0 : 1, is_there("d/.A/maildirfolder"));
		make(s, i ? "A" : ".A", c, 1, false);
		assert_string_equal(listed(s, false), "INBOX+ C C/B\xc3\xa9+");
		assert_true(is_there(arena_printf(&arena, "%s/%s/cur", root, renamed[i])));
		make(s, i ? "A" : ".A", c, 1, false); /* done already */
		assert_int_equal(maildir_connector.make(
				     s, view_of("."), c, 1, ROLE_NONE, false, &arena, &raw, &e),
		    -1);
		assert_int_equal(maildir_connector.make(s, (struct view){0}, bad, 1, ROLE_NONE,
				     false, &arena, &raw, &e),
		    -1);
		assert_int_equal(e.cause, CAUSE_FOLDER_REFUSED);
		assert_int_equal(e.scope, ERR_FOLDER);
		assert_int_equal(maildir_connector.make(s, (struct view){0}, reserved, 1, ROLE_NONE,
				     false, &arena, &raw, &e),
		    i ? -1 : 0);
		close_it(s);
	}
}

static void test_subscriptions(void **state)
{
	struct session *s;

	(void)state;
	make_maildir("m");
	make_maildir("m/.A.B");
	make_maildir("m/.C");
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	assert_string_equal(listed(s, false), "INBOX+ A/B+ C+"); /* nobody keeps a list */
	write_file("m/subscriptions", "A.B\n");                  /* version 1 */
	assert_string_equal(listed(s, false), "INBOX A/B+ C");
	write_file("m/courierimapsubscribed", "INBOX\nINBOX.C\n");
	assert_string_equal(listed(s, false), "INBOX+ A/B+ C+");
	close_it(s);
	s = open_at("m", ERR_DESTINATION, LAYOUT_DETECT);
	make(s, "", parts_of("C", NULL), 1, true);
	assert_string_equal(read_file("m/subscriptions"), "A.B\nC\n");
	close_it(s);
}

static void test_glance(void **state)
{
	struct session *s;

	(void)state;
	make_maildir("m");
	make_maildir("m/.A");
	write_file("m/cur/1.a:2,", "a\n");
	write_file("m/new/2.b", "b\n");
	settle("m/cur", 1000000000);
	settle("m/new", 1000000000);
	s = open_at("m", ERR_SOURCE, LAYOUT_DETECT);
	assert_string_equal(listed(s, true), "INBOX+=2! A+=0"); /* A is too fresh */
	close_it(s);
}

/* A lock that its holder left behind does not stop us; that of the living is waited for. */
static void test_locks(void **state)
{
	struct session *s;
	struct mark mark = {.id = {"1.a", 3}};
	char host[256] = "";

	(void)state;
	make_maildir("m");
	write_file("m/cur/1.a:2,", "a\n");
	gethostname(host, sizeof(host) - 1);
	write_file("m/dovecot-uidlist.lock", arena_printf(&arena, "4194305:%s", host));
	write_file("m/dovecot-keywords.godwit", "half of an old one");
	write_file("m/subscriptions.lock", "1:elsewhere");
	settle("m/subscriptions.lock", clock_wall() - 1000);
	s = open_at("m", ERR_DESTINATION, LAYOUT_DETECT);
	mark.add = flags_intern(flags, view_of("work"));
	assert_int_equal(maildir_connector.mark(s, &inbox, &mark, 1, &e), 0);
	assert_true(mark.done && is_there("m/cur/1.a:2,a"));
	assert_string_equal(read_file("m/dovecot-keywords"), "0 work\n");
	make(s, "", parts_of("INBOX", NULL), 1, true);
	assert_string_equal(read_file("m/subscriptions"), "V\t2\n\nINBOX\n");
	assert_false(is_there("m/dovecot-uidlist.lock") || is_there("m/subscriptions.lock") ||
		     is_there("m/godwit.lock") || is_there("m/dovecot-keywords.godwit"));
	close_it(s);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
	    TEST(test_facts),
	    TEST(test_since),
	    TEST(test_incarnation),
	    TEST(test_new_comes),
	    TEST(test_renamed_meanwhile),
	    TEST(test_read),
	    TEST(test_stream),
	    TEST(test_put),
	    TEST(test_put_stream),
	    TEST(test_mark),
	    TEST(test_place),
	    TEST(test_remove),
	    TEST(test_layouts),
	    TEST(test_make),
	    TEST(test_subscriptions),
	    TEST(test_glance),
	    TEST(test_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
