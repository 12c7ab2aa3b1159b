/* mark.c - flags of messages in an IMAP folder: one UID STORE for all marks that want the same, many of
 * them in one flight. Beside facts.c. Promises: flags are added and taken away, never set; a refusal is
 * told to its marks and to no others. Does not: decide which flags travel. */
#include "connect/imap/imap.h"

#define STORES_AHEAD 32u /* commands under way */

/* One UID STORE: of which marks. */
struct store {
	struct imap_command command;
	size_t first, end;
};

/* A flight of them. */
struct stores {
	struct imap *im;
	struct mark *marks;
	struct store list[STORES_AHEAD];
	size_t count;
};

static void forget_stores(struct stores *s)
{
	for (size_t i = 0; i < s->count; i++)
		imap_command_free(&s->list[i].command);
	s->count = 0;
}

static void refuse_marks(struct stores *s, const struct store *st, const struct err *refusal)
{
	for (size_t i = st->first; i < st->end; i++) {
		s->marks[i].done = false;
		s->marks[i].reason = arena_strdup(&s->im->mark_arena, refusal->text);
	}
}

/* The answers of those under way; a refusal is its marks' own. */
static int await_stores(struct stores *s, struct err *e)
{
	for (size_t i = 0; i < s->count; i++) {
		struct err trouble;

		if (!imap_finish(s->im, &s->list[i].command, NULL, &trouble))
			continue;
		if (trouble.scope != ERR_FOLDER) {
			*e = trouble;
			return -1;
		}
		refuse_marks(s, &s->list[i], &trouble);
	}
	forget_stores(s);
	return 0;
}

static int send_store(struct stores *s, const char *set, const char *sign, uint32_t flags,
    size_t first, size_t end, struct err *e)
{
	struct store *st = &s->list[s->count];
	struct buf text AUTO(buf_free) = BUF_INIT(IMAP_LINE_MAX);

	if (!flags || !imap_add_flags(s->im, &text, flags))
		return 0; /* none that can travel */
	*st = (struct store){.first = first, .end = end};
	s->count++;
	imap_command_start(s->im, &st->command, "UID STORE");
	imap_command_add(&st->command, "%s %sFLAGS.SILENT", set, sign);
	buf_add_view(&st->command.text, buf_view(&text));
	if (imap_command_send(s->im, &st->command, e))
		return -1;
	return s->count == STORES_AHEAD ? await_stores(s, e) : 0;
}

/* Marks from FIRST on that want the same change, as one set; *end is the first that does not. */
static void same_marks(
    const struct mark *marks, size_t first, size_t count, struct buf *text, size_t *end)
{
	struct imap_set set;
	size_t i = first;

	buf_clear(text);
	imap_set_start(&set, text);
	for (; i < count && text->len < IMAP_SET_MAX - 40; i++) {
		uint64_t uid;

		if (marks[i].add != marks[first].add || marks[i].remove != marks[first].remove)
			break;
		if (!view_number(marks[i].id, &uid) && uid <= UINT32_MAX)
			imap_set_add(&set, (uint32_t)uid);
	}
	imap_set_finish(&set);
	*end = i;
}

static int send_stores(struct stores *s, size_t count, struct err *e)
{
	struct buf text AUTO(buf_free) = BUF_INIT(IMAP_SET_MAX + 40);

	for (size_t first = 0, end; first < count; first = end) {
		const struct mark *m = &s->marks[first];

		same_marks(s->marks, first, count, &text, &end);
		if (text.len && (send_store(s, text.data, "+", m->add, first, end, e) ||
				    send_store(s, text.data, "-", m->remove, first, end, e)))
			return -1;
	}
	return 0;
}

/* The folder stays open, for put closes it where it must. */
int imap_mark(
    struct session *s, const struct folder *f, struct mark *marks, size_t count, struct err *e)
{
	struct stores stores = {.im = IMAP(s), .marks = marks};
	int failed;

	arena_clear(&stores.im->mark_arena);
	if (imap_select(stores.im, f->raw, true, false, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		marks[i].done = true;
		marks[i].reason = NULL;
	}
	failed = send_stores(&stores, count, e) || await_stores(&stores, e);
	forget_stores(&stores);
	return failed ? -1 : 0;
}
