/* mock_connector.c - see mock_connector.h. A window that was put waits in its session until settle
 * processes it or the link breaks; then a prefix of what was under way has been stored, perhaps
 * late, and of that a prefix has been answered.
 * Promises: what is stored depends on nothing but the seed. Does not: judge the engine; it only notes
 * a use that the contract forbids (server->fault). */
#include "mock_connector.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/identity.h"

struct mock_session {
	struct session session; /* first */
	struct mock_server *server;
	struct flags_table *flags;
	struct window *wanted, *put; /* oldest first */
	struct mock_folder *into;    /* where the put windows go */
	bool dead, judged;
	/* the body that flows */
	struct item_stream stream;
	struct mock_message *streaming;
	size_t streamed;
};

static struct mock_server *const *installed;
static size_t installed_count;
static int64_t the_time = 1000000;

#define MOCK(s) ((struct mock_session *)(s))

/* ---- chance and time ---- */

unsigned mock_below(struct mock_random *r, unsigned n)
{
	r->state += 0x9e3779b97f4a7c15u; /* splitmix64 */
	uint64_t z = r->state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return n ? (unsigned)(z % n) : 0;
}

bool mock_chance(struct mock_random *r, unsigned per_mille)
{
	return per_mille && mock_below(r, 1000) < per_mille;
}

int64_t mock_clock(void)
{
	return the_time;
}

void mock_clock_pass(int64_t ms)
{
	the_time += ms;
}

static int no_fd(struct waiter *w)
{
	(void)w;
	return -1;
}

static short wants_nothing(struct waiter *w)
{
	(void)w;
	return 0;
}

static void time_passes(struct waiter *w, short revents)
{
	(void)w;
	(void)revents;
	the_time += 25;
}

static bool is_pending(struct waiter *w)
{
	(void)w;
	return true;
}

struct waiter *mock_waiter(void)
{
	static struct waiter waiter = {
	    .fd = no_fd, .wants = wants_nothing, .ready = time_passes, .pending = is_pending};

	return &waiter;
}

/* ---- what a server has ---- */

void mock_server_free(struct mock_server *s)
{
	for (size_t i = 0; i < s->folder_count; i++) {
		free(s->folders[i].messages);
		free(s->folders[i].late);
	}
	arena_free(&s->arena);
	*s = (struct mock_server){0};
}

struct mock_folder *mock_folder_add(struct mock_server *s, const char *name)
{
	struct mock_folder *f = &s->folders[s->folder_count++];

	assert(s->folder_count <= COUNT_OF(s->folders));
	*f = (struct mock_folder){.name = arena_strdup(&s->arena, name),
	    .uidvalidity = 1000 + (uint32_t)s->folder_count,
	    .uidnext = 1,
	    .modseq = 1};
	return f;
}

struct mock_folder *mock_folder_find(struct mock_server *s, struct view name)
{
	for (size_t i = 0; i < s->folder_count; i++)
		if (view_is(name, s->folders[i].name))
			return &s->folders[i];
	return NULL;
}

static struct mock_message *push(
    struct mock_message **list, size_t *count, size_t *size, const struct mock_message *m)
{
	if (*count == *size) {
		*size = *size * 2 + 16;
		*list = mem_grow(*list, *size, sizeof(**list));
	}
	(*list)[*count] = *m;
	return &(*list)[(*count)++];
}

static int group_of(struct view bytes)
{
	ptrdiff_t at = view_find_nocase(bytes, "X-Group: ");

	return at < 0 ? -1 : atoi(bytes.data + at + strlen("X-Group: "));
}

static struct mock_message *add(struct mock_folder *f, const struct mock_message *m)
{
	struct mock_message *added = push(&f->messages, &f->count, &f->size, m);

	added->uid = f->uidnext++;
	added->modseq = ++f->modseq;
	return added;
}

static struct mock_message message_of(
    struct mock_server *s, struct view bytes, const char *flags, struct date date)
{
	return (struct mock_message){.bytes = arena_copy(&s->arena, bytes),
	    .declared = bytes.len,
	    .flags = arena_strdup(&s->arena, flags),
	    .date = date,
	    .group = group_of(bytes)};
}

struct mock_message *mock_deliver(struct mock_server *s, struct mock_folder *f, struct view bytes,
    const char *flags, struct date date)
{
	struct mock_message m = message_of(s, bytes, flags, date);

	return add(f, &m);
}

void mock_set_flags(struct mock_server *s, struct mock_folder *f, size_t index, const char *flags)
{
	f->messages[index].flags = arena_strdup(&s->arena, flags);
	f->messages[index].modseq = ++f->modseq;
	f->messages[index].changes++;
}

void mock_delete(struct mock_folder *f, size_t index)
{
	f->messages[index].deleted = true;
	f->messages[index].deleted_at = ++f->modseq;
}

void mock_restore(struct mock_folder *f, uint32_t uidnext, uint64_t modseq)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		if (f->messages[i].uid < uidnext)
			f->messages[kept++] = f->messages[i];
	f->count = kept;
	f->uidnext = uidnext;
	f->modseq = modseq;
}

void mock_renumber(struct mock_folder *f)
{
	f->uidvalidity++;
	for (size_t i = 0; i < f->count; i++)
		f->messages[i].uid = (uint32_t)(i * 3 + 1);
	f->uidnext = (uint32_t)(f->count * 3 + 1);
}

void mock_arrive(struct mock_server *s)
{
	for (size_t i = 0; i < s->folder_count; i++) {
		struct mock_folder *f = &s->folders[i];
		size_t kept = 0;

		for (size_t k = 0; k < f->late_count; k++)
			if (f->late[k].due <= the_time)
				add(f, &f->late[k]);
			else
				f->late[kept++] = f->late[k];
		f->late_count = kept;
	}
}

struct view mock_altered(const struct mock_manners *m, struct view bytes, struct arena *a)
{
	ptrdiff_t end = view_find_nocase(bytes, "\r\n\r\n");
	size_t header = end < 0 ? bytes.len : (size_t)end, len = 0;
	const char *added = m->rewrites ? "X-Store: mock\r\n" : "";
	char *out = arena_new(a, bytes.len * 2 + 100, 1);

	memcpy(out, added, len = strlen(added));
	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.data[i];

		if (m->mends_ends && c == '\n' && (!i || bytes.data[i - 1] != '\r'))
			out[len++] = '\r';
		out[len++] = m->munges && i < header && (unsigned char)c >= 0x80 ? 'X' : c;
	}
	return view_make(out, len);
}

bool mock_refuses(const struct mock_manners *m, struct view bytes)
{
	return view_find_nocase(bytes, "X-Virus:") >= 0 || (m->max_size && bytes.len > m->max_size);
}

enum cause mock_odd(struct view bytes)
{
	const char *end = memmem(bytes.data, bytes.len, "\r\n\r\n", 4);
	struct view header = {bytes.data, end ? (size_t)(end - bytes.data) : bytes.len};

	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.data[i] == '\n' && (!i || bytes.data[i - 1] != '\r'))
			return CAUSE_BARE_NEWLINE;
	for (size_t i = 0; i < header.len; i++)
		if ((unsigned char)header.data[i] >= 0x80)
			return CAUSE_8BIT_HEADER;
	return view_find_nocase(header, "X-Strange:") >= 0 ? CAUSE_BAD_HEADER : CAUSE_NONE;
}

/* ---- accidents ---- */

static int broken(struct mock_session *s, struct err *e)
{
	s->dead = true;
	s->server->breaks++;
	return err_set(e, CAUSE_CONNECT, ERR_LINK, "the mock %s hung up", s->server->scheme);
}

static void deliver_foreign(struct mock_server *s)
{
	struct mock_folder *f = &s->folders[mock_below(&s->random, (unsigned)s->folder_count)];
	char text[80];

	snprintf(text, sizeof(text), "Subject: foreign %u\r\n\r\n%u\r\n",
	    mock_below(&s->random, 1000), mock_below(&s->random, 1000000));
	mock_deliver(s, f, view_of(text), "\\Seen", (struct date){1600000000, 0, true});
}

static void delete_one(struct mock_server *s)
{
	struct mock_folder *f = &s->folders[mock_below(&s->random, (unsigned)s->folder_count)];

	if (f->count)
		mock_delete(f, mock_below(&s->random, (unsigned)f->count));
}

/* A call begins. */
static int enter(struct mock_session *s, struct err *e)
{
	struct mock_server *server = s->server;

	if (s->dead)
		server->fault = "a dead session was used";
	mock_clock_pass(1);
	mock_arrive(server);
	if (server->folder_count && mock_chance(&server->random, server->faults.foreign))
		deliver_foreign(server);
	if (server->folder_count && mock_chance(&server->random, server->faults.deletion))
		delete_one(server);
	if (s->dead || ++server->calls == server->break_at)
		return broken(s, e);
	return mock_chance(&server->random, server->faults.link) ? broken(s, e) : 0;
}

/* ---- sessions ---- */

static int mock_open(
    struct session **out, const struct endpoint *at, const struct connect_env *env, struct err *e);

static void judge(struct mock_session *s);

static void mock_close(struct session **out, struct session_stats *stats)
{
	struct mock_session *s = MOCK(*out);

	(void)stats;
	*out = NULL;
	if (!s)
		return;
	judge(s);
	if (s->put || s->wanted)
		s->server->fault = "a session was closed with windows inside";
	free(s);
}

static char **parts_of(struct arena *a, const char *name, size_t *depth)
{
	char **parts = arena_new(a, 8, sizeof(*parts));

	for (*depth = 0; *name; name += *name == '/') {
		size_t len = strcspn(name, "/");

		parts[(*depth)++] = arena_text(a, view_make(name, len));
		name += len;
	}
	return parts;
}

static void print_cursor(struct mock_session *s, const struct mock_folder *f, struct cursor *out)
{
	snprintf(out->text, sizeof(out->text), "%" PRIu32 " %" PRIu32 " %" PRIu64, f->uidvalidity,
	    f->uidnext, s->server->manners.condstore ? f->modseq : 0);
}

static size_t alive(const struct mock_folder *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++)
		n += !f->messages[i].deleted;
	return n;
}

static int mock_list(struct session *session, struct folder_list *out, struct err *e)
{
	struct mock_session *s = MOCK(session);

	if (enter(s, e))
		return -1;
	folder_list_free(out);
	for (size_t i = 0; i < s->server->folder_count; i++) {
		const struct mock_folder *from = &s->server->folders[i];
		struct folder *f;
		struct cursor c;

		if (!*from->name)
			continue; /* deleted */
		f = folder_list_add(out);

		print_cursor(s, from, &c);
		f->raw = view_of(arena_strdup(&out->arena, from->name));
		f->parts = parts_of(&out->arena, from->name, &f->depth);
		f->selectable = f->subscribed = true;
		f->has_glance = true;
		f->messages = alive(from);
		if (s->server->manners.condstore) /* else it would say nothing about flags */
			f->glance_cursor = arena_strdup(&out->arena, c.text);
	}
	return 0;
}

static int mock_make(struct session *session, struct view from, char *const *parts, size_t depth,
    enum folder_role role, bool subscribe, struct arena *a, struct view *out_raw, struct err *e)
{
	struct mock_session *s = MOCK(session);
	struct buf name AUTO(buf_free) = BUF_INIT(1000);

	(void)role;
	(void)subscribe;
	if (enter(s, e))
		return -1;
	for (size_t i = 0; i < depth; i++)
		buf_printf(&name, "%s%s", i ? "/" : "", parts[i]);
	if (from.len && mock_folder_find(s->server, from))
		mock_folder_find(s->server, from)->name =
		    arena_strdup(&s->server->arena, name.data);
	else if (!mock_folder_find(s->server, buf_view(&name)))
		mock_folder_add(s->server, name.data);
	*out_raw = arena_copy(a, buf_view(&name));
	return 0;
}

static struct mock_folder *folder_of(struct mock_session *s, const struct folder *f, struct err *e)
{
	struct mock_folder *found;

	if (s->wanted)
		s->server->fault = "something was asked while windows were on their way";
	if (enter(s, e))
		return NULL;
	found = mock_folder_find(s->server, f->raw);
	if (!found)
		err_set(e, CAUSE_FOLDER_GONE, ERR_FOLDER, "no such folder");
	return found;
}

static int mock_now(
    struct session *session, const struct folder *f, struct cursor *out, struct err *e)
{
	struct mock_folder *from = folder_of(MOCK(session), f, e);

	if (!from)
		return -1;
	print_cursor(MOCK(session), from, out);
	return 0;
}

/* ---- facts ---- */

static struct view header_of(struct view bytes)
{
	ptrdiff_t end = view_find_nocase(bytes, "\r\n\r\n");

	return end < 0 ? bytes : view_make(bytes.data, (size_t)end + 4);
}

static void identify(struct fact *fact, struct view bytes, bool whole)
{
	struct identity_reader *reader;

	identity_start(&reader);
	identity_feed(reader, whole ? bytes : header_of(bytes));
	identity_finish(reader, !whole, &fact->identity);
	identity_free(&reader);
	fact->has_identity = true;
}

static int tell(struct mock_session *s, const struct mock_message *m, const struct changes_ask *ask,
    bool brief, const struct fact_sink *sink, struct err *e)
{
	struct fact fact = {.size = m->declared, .date = m->date};
	char id[12];

	s->server->told++;
	if (mock_chance(&s->server->random, s->server->faults.sweep))
		return broken(s, e);
	snprintf(id, sizeof(id), "%" PRIu32, m->uid);
	fact.id = view_of(id);
	if (m->deleted || ask->only_ids) {
		fact = (struct fact){.id = view_of(id), .gone = m->deleted, .partial = true};
		return sink->take(sink->arg, &fact, e);
	}
	if (brief)
		fact = (struct fact){.id = fact.id, .partial = true};
	fact.flags = flags_intern(s->flags, view_of(m->flags));
	if (ask->identity || ask->digest)
		identify(&fact, m->bytes, ask->digest);
	return sink->take(sink->arg, &fact, e);
}

static bool is_asked(const struct changes_ask *ask, const struct mock_message *m)
{
	char id[12];

	snprintf(id, sizeof(id), "%" PRIu32, m->uid);
	for (size_t i = 0; i < ask->count; i++)
		if (view_is(ask->ids[i], id))
			return true;
	return false;
}

/* Servers tell flags that others change unasked, and some tell the rest along with them. */
static bool is_twice(const struct mock_session *s, const struct changes_ask *ask)
{
	const struct mock_faults *f = &s->server->faults;

	return mock_chance(&s->server->random, ask->only_new ? f->twice_new : f->twice);
}

struct since {
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;
	bool all;
};

static bool is_news(const struct mock_session *s, const struct changes_ask *ask,
    const struct since *since, const struct mock_message *m)
{
	if (m->deleted)
		return ask->gone && !ask->count && !since->all && s->server->manners.qresync &&
		       m->deleted_at > since->modseq;
	if (ask->count)
		return is_asked(ask, m);
	if (since->all || ask->only_ids)
		return true;
	if (ask->only_new)
		return m->uid >= since->uidnext;
	return !s->server->manners.condstore || m->modseq > since->modseq;
}

static int mock_changes(struct session *session, const struct folder *f,
    const struct changes_ask *ask, const struct fact_sink *sink, struct changes_told *told,
    struct err *e)
{
	struct mock_session *s = MOCK(session);
	struct mock_folder *from = folder_of(s, f, e);
	struct since since = {0};

	if (!from)
		return -1;
	*told = (struct changes_told){.total = alive(from) + from->hidden};
	print_cursor(s, from, &told->cursor);
	if (!ask->since || sscanf(ask->since->text, "%" SCNu32 " %" SCNu32 " %" SCNu64,
			       &since.uidvalidity, &since.uidnext, &since.modseq) != 3)
		since.all = true;
	else
		told->back = since.uidvalidity == from->uidvalidity &&
			     (since.uidnext > from->uidnext ||
				 (s->server->manners.condstore && since.modseq > from->modseq));
	told->reset = told->back || (!since.all && since.uidvalidity != from->uidvalidity);
	since.all = since.all || told->reset;
	told->complete = !ask->count && !ask->only_new &&
			 (since.all || ask->only_ids || !s->server->manners.condstore);
	told->gone_told = ask->gone && !since.all && s->server->manners.qresync;
	for (size_t i = 0; i < from->count; i++) {
		const struct mock_message *m = &from->messages[i];

		bool brief = ask->partial && !since.all && told->complete && m->uid < since.uidnext;

		if (is_news(s, ask, &since, m) &&
		    (tell(s, m, ask, brief, sink, e) ||
			(is_twice(s, ask) && tell(s, m, ask, brief, sink, e))))
			return -1;
	}
	return 0;
}

/* Some go in the flight, some do not. */
static int mock_changes_all(
    struct session *session, struct asking *folders, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		struct asking *a = &folders[i];
		struct err trouble;

		a->done = false;
		if (mock_chance(&MOCK(session)->server->random, 300))
			continue;
		a->done = !mock_changes(session, a->folder, a->ask, a->sink, &a->told, &trouble);
		if (!a->done && trouble.scope != ERR_FOLDER) {
			*e = trouble;
			return -1;
		}
	}
	return 0;
}

static int mock_mark(struct session *session, const struct folder *f, struct mark *marks,
    size_t count, struct err *e)
{
	struct mock_session *s = MOCK(session);
	struct mock_folder *in = folder_of(s, f, e);

	if (!in)
		return -1;
	for (size_t k = 0; k < count; k++)
		for (size_t i = 0; i < in->count; i++) {
			struct changes_ask ask = {.ids = &marks[k].id, .count = 1};
			uint32_t flags;

			if (!is_asked(&ask, &in->messages[i]) || in->messages[i].deleted)
				continue;
			flags = flags_intern(s->flags, view_of(in->messages[i].flags));
			flags = flags_minus(
			    s->flags, flags_union(s->flags, flags, marks[k].add), marks[k].remove);
			if (s->server->manners.drops_keywords)
				flags = flags_only_system(s->flags, flags);
			mock_set_flags(s->server, in, i, flags_text(s->flags, flags));
			marks[k].done = true;
		}
	return 0;
}

static struct mock_message *message_with(struct mock_folder *f, struct view id)
{
	struct changes_ask ask = {.ids = &id, .count = 1};

	for (size_t i = 0; i < f->count; i++)
		if (!f->messages[i].deleted && is_asked(&ask, &f->messages[i]))
			return &f->messages[i];
	return NULL;
}

static int mock_place(struct session *session, const struct folder *from_folder,
    const struct folder *to_folder, struct placement *items, size_t count, struct err *e)
{
	struct mock_session *s = MOCK(session);
	struct mock_folder *from = folder_of(s, from_folder, e);
	struct mock_folder *to = from ? mock_folder_find(s->server, to_folder->raw) : NULL;

	if (!to)
		return from ? err_set(e, CAUSE_FOLDER_GONE, ERR_FOLDER, "no such folder") : -1;
	for (size_t k = 0; k < count; k++) {
		struct mock_message *m = message_with(from, items[k].id);
		char *id;

		if (!m) {
			items[k].gone = true;
			continue;
		}
		if (mock_chance(&s->server->random, s->server->faults.link))
			return broken(s, e);
		id = arena_new(&s->server->arena, 12, 1);
		snprintf(id, 12, "%" PRIu32, add(to, m)->uid);
		if (!s->server->manners.moves &&
		    mock_chance(&s->server->random, s->server->faults.link))
			return broken(s, e);
		mock_delete(from, (size_t)(message_with(from, items[k].id) - from->messages));
		items[k].done = true;
		if (mock_chance(&s->server->random, s->server->manners.ids_told))
			items[k].new_id = view_of(id);
	}
	return mock_chance(&s->server->random, s->server->faults.link) ? broken(s, e) : 0;
}

static int mock_remove(struct session *session, const struct folder *f, const struct view *ids,
    size_t count, struct err *e)
{
	struct mock_session *s = MOCK(session);
	struct mock_folder *in = folder_of(s, f, e);

	if (!in)
		return -1;
	for (size_t k = 0; k < count; k++) {
		struct mock_message *m = message_with(in, ids[k]);

		if (mock_chance(&s->server->random, s->server->faults.link))
			return broken(s, e);
		if (m)
			mock_delete(in, (size_t)(m - in->messages));
	}
	return 0;
}

/* ---- reading ---- */

static void enqueue(struct window **queue, struct window *w)
{
	while (*queue)
		queue = &(*queue)->next;
	w->next = NULL;
	*queue = w;
}

static struct window *dequeue(struct window **queue)
{
	struct window *w = *queue;

	if (w)
		*queue = w->next;
	return w;
}

static bool is_known(struct mock_session *s, const struct window *w)
{
	struct mock_folder *found = mock_folder_find(s->server, w->folder->raw);
	struct cursor now;

	if (!found || !w->known || !w->known->text[0])
		return true;
	print_cursor(s, found, &now);
	return cursor_same(&now, w->known);
}

static int mock_want(struct session *session, struct window *w, struct err *e)
{
	struct mock_session *s = MOCK(session);

	for (size_t i = 0; i < w->count; i++)
		w->items[i].state = ITEM_WANTED;
	enqueue(&s->wanted, w);
	if (enter(s, e))
		return -1;
	return is_known(s, w) ? 0
			      : err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER, "it is another folder");
}

static int stream_read(struct item_stream *stream, struct view *out, struct err *e)
{
	struct mock_session *s =
	    (struct mock_session *)((char *)stream - offsetof(struct mock_session, stream));
	struct view bytes = s->streaming->bytes;
	size_t len = bytes.len - s->streamed;

	mock_clock_pass(1);
	if (mock_chance(&s->server->random, s->server->faults.stream))
		return broken(s, e);
	if (!len)
		return 0;
	len = 1 + mock_below(&s->server->random, (unsigned)len);
	*out = view_make(bytes.data + s->streamed, len);
	s->streamed += len;
	return 1;
}

static void read_item(
    struct mock_session *s, struct window *w, struct window_item *item, struct mock_message *m)
{
	struct mock_server *server = s->server;

	if (!m || m->deleted) {
		item->state = w->count > 1 ? ITEM_AGAIN : ITEM_GONE;
		return;
	}
	m->reads++;
	if (m->poisoned || mock_chance(&server->random, server->faults.unreadable)) {
		item->state = w->count > 1 ? ITEM_AGAIN : ITEM_UNREADABLE;
		item->cause = CAUSE_UNREADABLE;
		item->reason = "not this time";
	} else if (mock_chance(&server->random, server->faults.again)) {
		item->state = ITEM_AGAIN;
	} else if (w->alone) {
		item->state = ITEM_STREAM;
		s->stream = (struct item_stream){m->bytes.len, stream_read};
		s->streaming = m;
		s->streamed = 0;
		w->stream = &s->stream;
	} else {
		item->state = ITEM_READ;
		item->offset = w->body.len;
		item->len = m->bytes.len;
		buf_add_view(&w->body, m->bytes);
	}
}

static int mock_next(struct session *session, struct window **out, struct err *e)
{
	struct mock_session *s = MOCK(session);
	struct mock_folder *f;
	struct window *w;

	if (enter(s, e))
		return -1;
	*out = w = dequeue(&s->wanted);
	if (!w)
		return 0;
	f = mock_folder_find(s->server, w->folder->raw);
	for (size_t i = 0; i < w->count; i++) {
		struct changes_ask ask = {.ids = &w->items[i].id, .count = 1};
		struct mock_message *m = NULL;

		for (size_t k = 0; f && k < f->count; k++)
			if (is_asked(&ask, &f->messages[k]))
				m = &f->messages[k];
		read_item(s, w, &w->items[i], m);
	}
	return 0;
}

/* ---- storing ---- */

static struct view body_of(const struct window *w, const struct window_item *item)
{
	return view_make(w->body.data + item->offset, item->len);
}

static enum cause refusal_of(struct mock_session *s, const struct window *w, size_t i)
{
	const struct mock_manners *m = &s->server->manners;
	const struct window_item *item = &w->items[i];

	if (mock_refuses(m, body_of(w, item)))
		return CAUSE_VIRUS;
	if (m->refuses_odd && mock_odd(body_of(w, item)))
		return mock_odd(body_of(w, item));
	if (m->refuses_dates && item->date.known &&
	    (item->date.instant < 86400 || item->date.instant > INT64_C(2145916800)))
		return m->says_why ? CAUSE_DATE : CAUSE_REFUSED;
	if (m->refuses_keywords && flags_has_keywords(s->flags, item->flags))
		return m->says_why ? CAUSE_FLAGS : CAUSE_REFUSED;
	return CAUSE_NONE;
}

/* Stored now, or due later. */
static uint32_t store_item(
    struct mock_session *s, const struct window *w, const struct window_item *item, int64_t due)
{
	const struct mock_manners *m = &s->server->manners;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct view bytes = mock_altered(m, body_of(w, item), &scratch);
	uint32_t flags = m->drops_keywords ? flags_only_system(s->flags, item->flags) : item->flags;
	struct date date =
	    m->drops_dates || !item->date.known ? (struct date){1900000000, 0, true} : item->date;
	struct mock_message message =
	    message_of(s->server, bytes, flags_text(s->flags, flags), date);

	message.due = due;
	if (due <= the_time)
		return add(s->into, &message)->uid;
	push(&s->into->late, &s->into->late_count, &s->into->late_size, &message);
	return 0;
}

static void refuse_item(struct window_item *item, enum cause cause)
{
	item->state = ITEM_REFUSED;
	item->cause = cause;
	item->reason = "the mock will not have it";
}

/* Items FIRST..LAST are one command that the server carries out. TOLD: its answer arrives. */
static void carry_out(
    struct mock_session *s, struct window *w, size_t first, size_t last, bool told, int64_t due)
{
	bool ids = told && mock_chance(&s->server->random, s->server->manners.ids_told);
	enum cause bad = CAUSE_NONE;

	for (size_t i = first; i < last; i++)
		bad = bad ? bad : refusal_of(s, w, i);
	for (size_t i = first; i < last; i++) {
		struct window_item *item = &w->items[i];
		uint32_t uid = bad ? 0 : store_item(s, w, item, due);

		item->state = told ? item->state : ITEM_UNKNOWN;
		if (!told)
			continue;
		if (bad && last - first == 1) {
			refuse_item(item, bad);
		} else if (bad) {
			item->state = ITEM_AGAIN;
			w->split = true;
		} else {
			item->state = ITEM_STORED;
			item->stored_id = ids ? view_of(arena_printf(&w->arena, "%" PRIu32, uid))
					      : (struct view){0};
		}
	}
}

static void hold(struct window *w, size_t from, enum cause cause)
{
	for (size_t i = from; i < w->count; i++) {
		w->items[i].state = ITEM_AGAIN;
		w->items[i].cause = cause;
		w->items[i].reason = "later";
	}
	w->hold = cause;
}

static enum cause hold_of(struct mock_server *s)
{
	if (mock_chance(&s->random, s->faults.throttle))
		return CAUSE_THROTTLED;
	if (mock_chance(&s->random, s->faults.quota))
		return CAUSE_QUOTA;
	return mock_chance(&s->random, s->faults.folder_gone) ? CAUSE_FOLDER_GONE : CAUSE_NONE;
}

static bool is_batch(const struct mock_session *s)
{
	return s->server->manners.batches;
}

/* The whole window is carried out and answered. */
static void process(struct mock_session *s, struct window *w)
{
	struct mock_server *server = s->server;
	enum cause held = hold_of(server);
	size_t held_from = is_batch(s) ? 0 : mock_below(&server->random, (unsigned)w->count);
	size_t each = is_batch(s) ? w->count : 1;

	if (is_batch(s) && !held && w->count > 1 &&
	    mock_chance(&server->random, server->faults.bad_batch)) {
		for (size_t i = 0; i < w->count; i++)
			w->items[i].state = ITEM_AGAIN;
		w->split = true;
		return;
	}
	for (size_t i = 0; i < (held ? held_from : w->count); i += each)
		carry_out(s, w, i, i + each, true, the_time);
	if (held)
		hold(w, held_from, held);
}

/* The link broke with W under way: a prefix of its commands was carried out, and a prefix of those
 * answered. */
static void process_partly(struct mock_session *s, struct window *w, bool whole, int64_t due)
{
	size_t each = is_batch(s) ? w->count : 1;
	unsigned commands = (unsigned)(w->count / each);
	unsigned done = whole ? commands : mock_below(&s->server->random, commands + 1);
	unsigned answered = due > the_time ? 0 : mock_below(&s->server->random, done + 1);

	if (is_batch(s))
		answered = 0;
	for (unsigned c = 0; c < commands; c++) {
		if (c < done)
			carry_out(s, w, c * each, (c + 1) * each, c < answered, due);
		else
			for (size_t i = c * each; i < (c + 1) * each; i++)
				w->items[i].state = ITEM_UNKNOWN;
	}
}

/* What became of the windows still inside. */
static void judge(struct mock_session *s)
{
	struct mock_server *server = s->server;
	unsigned whole = 0, count = 0;
	int64_t due = the_time;

	for (struct window *w = s->put; w; w = w->next)
		count++;
	if (s->judged || !count)
		return;
	s->judged = true;
	if (mock_chance(&server->random, server->faults.late))
		due += 1 + mock_below(&server->random, server->manners.late_ms);
	whole = mock_below(&server->random, count + 1);
	for (struct window *w = s->put; w; w = w->next, whole -= whole > 0) {
		bool reached = whole > 0 || w == s->put || mock_chance(&server->random, 300);

		if (w->stream) /* broken off in the midst, or it would not be here */
			w->items[0].state = ITEM_UNKNOWN;
		else if (reached)
			process_partly(s, w, whole > 0, due);
		else
			for (size_t i = 0; i < w->count; i++)
				w->items[i].state = ITEM_UNKNOWN;
	}
}

/* The stream comes to its end before anything is stored: it is kept as if it had been read. */
static int drain(struct mock_session *s, struct window *w, struct err *e)
{
	struct view piece;
	int more;

	w->items[0].offset = w->body.len;
	while ((more = w->stream->read(w->stream, &piece, e)) == 1)
		buf_add_view(&w->body, piece);
	w->items[0].len = w->body.len - w->items[0].offset;
	if (more < 0) {
		s->dead = true; /* a command is half sent */
		return -1;
	}
	if (w->items[0].len != w->stream->size)
		s->server->fault = "a stream has another size than it said";
	return 0;
}

static int mock_put(
    struct session *session, const struct folder *f, struct window *w, struct err *e)
{
	struct mock_session *s = MOCK(session);

	enqueue(&s->put, w);
	w->hold = CAUSE_NONE;
	w->split = false;
	s->server->puts += w->count;
	s->into = mock_folder_find(s->server, f->raw);
	assert(s->into);
	if (enter(s, e))
		return -1;
	if (w->stream && drain(s, w, e))
		return -1;
	if (w->stream) /* carried out at once: a stream is not under way with others */
		carry_out(s, w, 0, 1, true, the_time);
	return 0;
}

static int mock_settle(struct session *session, size_t max, struct window **out, struct err *e)
{
	struct mock_session *s = MOCK(session);
	size_t outstanding = 0;

	*out = NULL;
	for (struct window *w = s->put; w; w = w->next)
		outstanding++;
	if (!outstanding || (outstanding <= max && !mock_chance(&s->server->random, 200)))
		return 0;
	if (enter(s, e))
		return -1;
	*out = dequeue(&s->put);
	if (!(*out)->stream)
		process(s, *out);
	return 0;
}

static struct window *mock_abandon(struct session *session)
{
	struct mock_session *s = MOCK(session);
	struct window *w;

	judge(s);
	w = dequeue(&s->put);
	return w ? w : dequeue(&s->wanted);
}

/* ---- the tables ---- */

#define MOCK_CONNECTOR(name)                                                                       \
	{                                                                                          \
		.scheme = (name), .open = mock_open, .close = mock_close, .list = mock_list,       \
		.make = mock_make, .now = mock_now, .changes = mock_changes,                       \
		.changes_all = mock_changes_all, .want = mock_want, .next = mock_next,             \
		.put = mock_put, .settle = mock_settle, .mark = mock_mark, .place = mock_place,    \
		.remove = mock_remove, .abandon = mock_abandon                                     \
	}

static const struct connector connectors[] = {
    MOCK_CONNECTOR("first"), MOCK_CONNECTOR("second"), MOCK_CONNECTOR("target")};

static int mock_open(
    struct session **out, const struct endpoint *at, const struct connect_env *env, struct err *e)
{
	struct mock_server *server = NULL;
	struct mock_session *s;

	for (size_t i = 0; i < installed_count; i++)
		if (!strcmp(installed[i]->scheme, at->scheme))
			server = installed[i];
	assert(server);
	mock_clock_pass(1);
	mock_arrive(server);
	if (mock_chance(&server->random, server->faults.open))
		return err_set(e, CAUSE_CONNECT, ERR_LINK, "the mock does not answer");
	server->sessions++;
	s = NEW(struct mock_session);
	s->server = server;
	s->flags = env->flags;
	s->session.connector = connector_find(at->scheme);
	s->session.caps = (struct session_caps){.ids_told = server->manners.ids_told == 1000,
	    .batches = server->manners.batches,
	    .streams = true,
	    .max_size = server->manners.max_size,
	    .names = {.delimiter = '/'},
	    .software = "mock"};
	*out = &s->session;
	return 0;
}

void mock_install(struct mock_server *const *servers, size_t count)
{
	installed = servers;
	installed_count = count;
}

const struct connector *connector_find(const char *scheme)
{
	for (size_t i = 0; i < COUNT_OF(connectors); i++)
		if (!strcmp(connectors[i].scheme, scheme))
			return &connectors[i];
	return NULL;
}
