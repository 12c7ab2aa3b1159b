/* append.c - messages into an IMAP folder. A window becomes one MULTIAPPEND command (RFC 3502) where
 * the server can, else a train of APPENDs; literals go without asking where LITERAL+ or LITERAL-
 * (RFC 7888) permit. Streams are always asked for first: an early NO saves the upload. The folder is
 * never selected here. Receipts are handed over in the order put. Does not: retry or split. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect/imap/imap.h"

struct append_command {
	char tag[16];
	size_t first, count; /* the window's items it carries */
	bool answered;
};

struct imap_append {
	struct imap_append *next;
	struct window *window;
	struct append_command *commands;
	size_t count, answered, sent;
	bool known;           /* the folder's UIDVALIDITY is known */
	uint64_t uidvalidity; /* receipts of another one are not believed */
	uint64_t uidnext;     /* nor UIDs below this */
};

static struct imap_append *pop(struct imap *im)
{
	struct imap_append *a = im->append_first;

	if (a && !(im->append_first = a->next))
		im->append_last = &im->append_first;
	return a;
}

static void append_free(struct imap_append *a)
{
	free(a->commands);
	free(a);
}

/* ---- receipts ---- */

static const struct {
	const char *code, *text;
	enum cause cause;
} refusals[] = {
    {"TOOBIG", NULL, CAUSE_TOO_BIG},
    {NULL, "too large", CAUSE_TOO_BIG},
    {NULL, "too big", CAUSE_TOO_BIG},
    {NULL, "maximum size", CAUSE_TOO_BIG},
    {NULL, "maximum message size", CAUSE_TOO_BIG},
    {NULL, "message size exceed", CAUSE_TOO_BIG},
    {NULL, "NUL ", CAUSE_NUL},
    {NULL, "bare newline", CAUSE_BARE_NEWLINE},
    {NULL, "bare LF", CAUSE_BARE_NEWLINE},
    {NULL, "end in a newline", CAUSE_BARE_NEWLINE},
    {NULL, "line too long", CAUSE_LONG_LINE},
    {NULL, "lines too long", CAUSE_LONG_LINE},
    {NULL, "line length", CAUSE_LONG_LINE},
    {NULL, "non-ASCII", CAUSE_8BIT_HEADER},
    {NULL, "8bit", CAUSE_8BIT_HEADER},
    {NULL, "8-bit", CAUSE_8BIT_HEADER},
    {NULL, "invalid header", CAUSE_BAD_HEADER},
    {NULL, "header limit", CAUSE_BAD_HEADER},
    {NULL, "header/body separator", CAUSE_BAD_HEADER},
    {NULL, "zero-length", CAUSE_EMPTY},
    {NULL, "empty message", CAUSE_EMPTY},
    {NULL, "virus", CAUSE_VIRUS},
    {NULL, "malware", CAUSE_VIRUS},
    {NULL, "date", CAUSE_DATE},
    {NULL, "flag", CAUSE_FLAGS},
    {NULL, "keyword", CAUSE_FLAGS},
};

static size_t longest_line(struct view body)
{
	size_t longest = 0, start = 0;

	for (size_t i = 0; i <= body.len; i++) {
		if (i < body.len && body.data[i] != '\n')
			continue;
		longest = i - start > longest ? i - start : longest;
		start = i + 1;
	}
	return longest;
}

/* Words that mean several things; what is known of the message tells which. Exchange's "Command
 * Argument Error. 11" is a line of more than 10,239 bytes or a message beyond its limit of 10 MB or more;
 * Yahoo's "Additional arguments" a message that does not end in CRLF. */
static enum cause classify_by_body(const struct imap_response *r, struct view body)
{
	bool ended = body.len >= 2 && !memcmp(body.data + body.len - 2, "\r\n", 2);

	if (view_find_nocase(r->text, "Argument Error. 11") >= 0)
		return longest_line(body) > 10000          ? CAUSE_LONG_LINE
		       : !body.len || body.len > 10u << 20 ? CAUSE_TOO_BIG
							   : CAUSE_REFUSED;
	if (view_find_nocase(r->text, "additional arguments") >= 0 && body.len && !ended)
		return CAUSE_BARE_NEWLINE;
	return CAUSE_REFUSED;
}

/* BODY is empty for a stream, of which nothing is known but that it is large. */
static enum cause classify(const struct imap_response *r, struct view body)
{
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		if (refusals[i].code && view_is_nocase(r->code, refusals[i].code))
			return refusals[i].cause;
		if (refusals[i].text && view_find_nocase(r->text, refusals[i].text) >= 0)
			return refusals[i].cause;
	}
	return classify_by_body(r, body);
}

/* Not the message is at fault, but the server, today (RFC 5530; Dovecot, Cyrus). */
static bool is_accident(const struct imap_response *r)
{
	return view_is_nocase(r->code, "SERVERBUG") || view_is_nocase(r->code, "CORRUPTION") ||
	       view_find_nocase(r->text, "internal error") >= 0 ||
	       view_find_nocase(r->text, "internal server error") >= 0 ||
	       view_find_nocase(r->text, "system i/o error") >= 0;
}

/* Ids out of [APPENDUID uidvalidity set] (RFC 4315), believed only when they fit. */
static void take_ids(
    struct imap_append *a, const struct append_command *c, const struct imap_response *r)
{
	struct window *w = a->window;
	struct imap_set_walk walk;
	uint64_t uidvalidity;
	uint32_t uids[1024], uid;
	size_t count = 0;

	if (!view_is_nocase(r->code, "APPENDUID") || c->count > COUNT_OF(uids) ||
	    imap_node_number(r->code_args, &uidvalidity) ||
	    (a->known && uidvalidity != a->uidvalidity))
		return;
	walk = imap_set_walk(imap_node_text(imap_node_at(r->code_args, 1)));
	while (count < c->count && imap_set_next(&walk, &uid) == 1) {
		if (!uid || (a->known && uid < a->uidnext))
			return;
		uids[count++] = uid;
	}
	if (count != c->count || imap_set_next(&walk, &uid) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		w->items[c->first + i].stored_id =
		    view_of(arena_printf(&w->arena, "%" PRIu32, uids[i]));
}

/* Empty for a stream. */
static struct view body_of(const struct window *w, const struct window_item *item)
{
	if (w->stream)
		return view_make(NULL, 0);
	return view_make(w->body.data + item->offset, item->len);
}

static void take_refusal(struct imap *im, struct imap_append *a, const struct append_command *c)
{
	const struct imap_response *r = &im->reader.response;
	struct window *w = a->window;
	int wait_s;
	enum cause hold = imap_general_cause(r, &wait_s);

	w->wait_s = wait_s > w->wait_s ? wait_s : w->wait_s;

	if (view_is_nocase(r->code, "TRYCREATE") || view_is_nocase(r->code, "NONEXISTENT"))
		hold = CAUSE_FOLDER_GONE;
	for (size_t i = c->first; i < c->first + c->count; i++) {
		struct window_item *item = &w->items[i];
		struct view body = body_of(w, item);

		item->state = hold || c->count > 1 ? ITEM_AGAIN : ITEM_REFUSED;
		/* of many, nobody knows which it was */
		item->cause = hold ? hold : c->count > 1 ? CAUSE_NONE : classify(r, body);
		item->for_now = item->state == ITEM_REFUSED && is_accident(r);
		item->reason = imap_words(im, &w->arena);
	}
	w->hold = hold ? hold : w->hold;
	w->split = w->split || (!hold && c->count > 1);
	snprintf(im->refusal, sizeof(im->refusal), "%s", w->items[c->first].reason);
}

static void take_answer(struct imap *im, struct imap_append *a, struct append_command *c)
{
	const struct imap_response *r = &im->reader.response;

	c->answered = true;
	a->answered++;
	if (r->status != IMAP_OK) {
		take_refusal(im, a, c);
		return;
	}
	im->refusal[0] = '\0';
	for (size_t i = c->first; i < c->first + c->count; i++)
		a->window->items[i].state = ITEM_STORED;
	take_ids(a, c, r);
}

/* The tagged response in hand belongs to one of the commands under way. */
static int take_tagged(struct imap *im, struct err *e)
{
	const struct imap_response *r = &im->reader.response;

	for (struct imap_append *a = im->append_first; a; a = a->next)
		for (size_t i = 0; i < a->sent; i++)
			if (!a->commands[i].answered && view_is(r->tag, a->commands[i].tag)) {
				take_answer(im, a, &a->commands[i]);
				return 0;
			}
	return imap_answers_nothing(im, e);
}

/* ---- sending ---- */

static bool flag_can_travel(struct view name)
{
	static const char *const system[] = {
	    "\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"};

	if (name.data[0] != '\\')
		return true;
	for (size_t i = 0; i < COUNT_OF(system); i++)
		if (view_is_nocase(name, system[i]))
			return true;
	return false;
}

bool imap_add_flags(struct imap *im, struct buf *text, uint32_t flags)
{
	const char *at = flags_text(im->env.flags, flags);
	bool any = false;

	while (*at) {
		struct view name = {at, strcspn(at, " ")};

		at += name.len + (at[name.len] == ' ');
		if (!flag_can_travel(name))
			continue;
		buf_add_text(text, any ? " " : " (");
		buf_add_view(text, name);
		any = true;
	}
	if (any)
		buf_add_char(text, ')');
	return any;
}

static void unknown_again(struct imap_append *a, const struct append_command *c)
{
	for (size_t i = c->first; i < c->first + c->count; i++)
		a->window->items[i].state = ITEM_UNKNOWN;
}

/* Wait for "+" before a literal; earlier commands may be answered meanwhile. 1 = go on, 0 = this
 * command was refused instead, -1. */
static int await_plus(
    struct imap *im, struct imap_append *a, const struct append_command *c, struct err *e)
{
	const struct imap_response *r = &im->reader.response;

	for (;;) {
		if (imap_next_response(im, e))
			return -1;
		if (r->kind == IMAP_CONTINUE)
			return 1;
		if (r->kind == IMAP_TAGGED && take_tagged(im, e))
			return -1;
		if (c->answered && a->window->items[c->first].state == ITEM_STORED) {
			unknown_again(a, c);
			return imap_broken(im, e, "it took a message that was not sent yet");
		}
		if (c->answered)
			return 0;
	}
}

static int send_stream(struct imap *im, struct item_stream *stream, struct err *e)
{
	struct view piece;
	int more;

	im->half_sent = true;
	while ((more = stream->read(stream, &piece, e)) == 1)
		if (conn_write(im->conn, piece, e))
			return -1;
	im->half_sent = more != 0;
	return more;
}

/* " (flags) "date" {n+}" and the body. 1 = sent, 0 = refused before its body, -1. */
static int send_item(struct imap *im, struct imap_append *a, const struct append_command *c,
    size_t index, struct buf *text, struct err *e)
{
	struct window_item *item = &a->window->items[index];
	bool stream = item->state == ITEM_STREAM;
	uint64_t len = stream ? a->window->stream->size : item->len;
	bool plus = !stream && (imap_has(im, CAP_LITERAL_PLUS) ||
				   (imap_has(im, CAP_LITERAL_MINUS) && len <= 4096));
	char date[IMAP_DATE_SIZE];
	int go = 1;

	imap_add_flags(im, text, item->flags);
	if (item->date.known && !imap_date_format(date, item->date.instant, item->date.zone))
		buf_printf(text, " %s", date);
	buf_printf(text, " {%" PRIu64 "%s}\r\n", len, plus ? "+" : "");
	if (imap_send(im, buf_view(text), e))
		return -1;
	buf_clear(text);
	if (!plus && (go = await_plus(im, a, c, e)) != 1)
		return go;
	record_sent_body(im->record, len);
	if (stream)
		return send_stream(im, a->window->stream, e) ? -1 : 1;
	return conn_write(im->conn, view_make(a->window->body.data + item->offset, item->len), e)
		   ? -1
		   : 1;
}

static int send_command(struct imap *im, struct imap_append *a, struct append_command *c,
    struct view raw, struct err *e)
{
	struct imap_command start AUTO(imap_command_free) = {0};
	struct buf text AUTO(buf_free) = BUF_INIT(IMAP_LINE_MAX);
	int go = 1;

	if (imap_pace(im, e))
		return -1;
	imap_command_start(im, &start, "APPEND");
	memcpy(c->tag, start.tag, sizeof(c->tag));
	imap_command_add_string(im, &start, raw);
	a->sent++;
	if (start.asks) /* only a name that needs asking for: never ours, we made it */
		return imap_broken(im, e, "a folder name that cannot be sent");
	buf_add_view(&text, buf_view(&start.text));
	for (size_t i = 0; go == 1 && i < c->count; i++)
		go = send_item(im, a, c, c->first + i, &text, e);
	if (go != 1)
		return go;
	return imap_send(im, view_of("\r\n"), e);
}

static bool can_put(const struct window_item *item)
{
	return item->state == ITEM_READ || item->state == ITEM_STREAM;
}

/* Lay out the commands: all items in one, or one each. Items that cannot be put are left out. */
static void plan_commands(struct imap *im, struct imap_append *a)
{
	struct window *w = a->window;
	bool batch = imap_has(im, CAP_MULTIAPPEND);
	struct append_command *last = NULL;

	a->commands = mem_new(w->count, sizeof(*a->commands));
	for (size_t i = 0; i < w->count; i++) {
		if (!can_put(&w->items[i]))
			continue;
		if (batch && last && last->first + last->count == i) {
			last->count++;
			continue;
		}
		last = &a->commands[a->count++];
		*last = (struct append_command){.first = i, .count = 1};
	}
}

/* From which UID on new messages of the folder are: as asked last, or as its listing told. */
static void know_folder(struct imap *im, struct imap_append *a, const struct folder *f)
{
	struct cursor listed;
	uint64_t modseq;

	a->known = view_eq(buf_view(&im->now_raw), f->raw);
	a->uidvalidity = im->now_uidvalidity;
	a->uidnext = im->now_uidnext;
	if (!a->known && cursor_glance(f, &listed))
		a->known = !imap_cursor_parse(&listed, &a->uidvalidity, &a->uidnext, &modseq);
}

int imap_put(struct session *s, const struct folder *f, struct window *w, struct err *e)
{
	struct imap *im = IMAP(s);
	struct imap_append *a = NEW(struct imap_append);

	a->window = w;
	know_folder(im, a, f);
	plan_commands(im, a);
	w->hold = CAUSE_NONE;
	w->split = false;
	w->wait_s = 0;
	*im->append_last = a;
	im->append_last = &a->next;
	/* Dovecot syncs a selected folder at each APPEND; Courier refuses where it is read-only */
	if (view_eq(buf_view(&im->selected), f->raw) && imap_unselect(im, e))
		return -1;
	for (size_t i = 0; i < a->count; i++)
		if (send_command(im, a, &a->commands[i], f->raw, e))
			return -1;
	return 0;
}

static size_t outstanding(const struct imap *im)
{
	size_t n = 0;

	for (const struct imap_append *a = im->append_first; a; a = a->next)
		n++;
	return n;
}

int imap_settle(struct session *s, size_t max, struct window **w, struct err *e)
{
	struct imap *im = IMAP(s);
	struct imap_append *a = im->append_first;

	*w = NULL;
	if (!a || (outstanding(im) <= max && a->answered < a->count))
		return 0;
	while (a->answered < a->count) {
		if (imap_next_response(im, e))
			return -1;
		if (im->reader.response.kind == IMAP_TAGGED && take_tagged(im, e))
			return -1;
	}
	*w = a->window;
	append_free(pop(im));
	return 0;
}

struct window *imap_abandon_append(struct imap *im)
{
	struct imap_append *a = pop(im);
	struct window *w;

	if (!a)
		return NULL;
	w = a->window;
	for (size_t i = 0; i < a->count; i++)
		for (size_t k = 0; !a->commands[i].answered && k < a->commands[i].count; k++)
			w->items[a->commands[i].first + k].state = ITEM_UNKNOWN;
	append_free(a);
	return w;
}
