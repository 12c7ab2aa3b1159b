/* command.c - one command at a time over an IMAP connection: events of the server, literals that must
 * be asked for, tagged answers, refusals into errors. Lowest room of the connector, above net/conn
 * and wire/imap_reader. Promises: every wait has its deadline; what is secret is neither logged nor
 * recorded, and all else is (connect/record.h).
 * Does not: know what a command means. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"
#include "net/wait.h"

#define PACE_LEAST 50 /* milliseconds between commands that a server asked to slow down */
#define PACE_MOST 16000

/* ---- events ---- */

bool imap_has(const struct imap *im, enum imap_capability cap)
{
	return (im->caps & (unsigned)cap) != 0;
}

int imap_broken(struct imap *im, struct err *e, const char *what)
{
	err_set(e, CAUSE_PROTOCOL, ERR_LINK, "%s does not answer as an IMAP server should: %s",
	    im->at->host, what);
	if (e)
		e->side = im->at->side;
	return -1;
}

int imap_answers_nothing(struct imap *im, struct err *e)
{
	char what[sizeof(im->refusal) + 80];

	if (!im->refusal[0] || im->reader.response.status != IMAP_BAD)
		return imap_broken(im, e, "an answer to no command");
	snprintf(what, sizeof(what),
	    "it said \"%s\" to a message, and takes its lines for commands", im->refusal);
	return imap_broken(im, e, what);
}

const char *imap_words(struct imap *im, struct arena *a)
{
	const struct imap_response *r = &im->reader.response;
	char text[300], safe[300];

	if (im->clear)
		return "(said before TLS by who knows whom, so it is not shown)";
	snprintf(text, sizeof(text), "%s%.*s%s%.*s", r->code.len ? "[" : "",
	    (int)(r->code.len < 60 ? r->code.len : 60), r->code.data, r->code.len ? "] " : "",
	    (int)(r->text.len < 200 ? r->text.len : 200), r->text.data);
	text_printable(safe, sizeof(safe), text, strlen(text));
	return arena_strdup(a, safe);
}

static bool words_say(const struct imap_response *r, const char *code, const char *text)
{
	return (code && view_is_nocase(r->code, code)) ||
	       (text && view_find_nocase(r->text, text) >= 0);
}

/* Milliseconds behind "Backoff Time: " (Microsoft) as seconds; at most ten minutes. */
static int backoff_seconds(struct view text, size_t at)
{
	uint64_t ms = 0;

	for (; at < text.len && ms < 600000 && text.data[at] >= '0' && text.data[at] <= '9'; at++)
		ms = ms * 10 + (uint64_t)(text.data[at] - '0');
	return ms > 600000 ? 600 : (int)((ms + 999) / 1000);
}

/* Causes that a server's words give away whatever was asked, the first that fits: codes of RFC 5530
 * and RFC 9208, and what Google, Microsoft, Yahoo, GroupWise and Dovecot say instead. */
static const struct {
	const char *code, *text;
	enum cause cause;
} general_causes[] = {
    {NULL, "bandwidth limit", CAUSE_THROTTLED}, /* Gmail says [OVERQUOTA] to that */
    {"OVERQUOTA", "over quota", CAUSE_QUOTA},
    {NULL, "quota exceeded", CAUSE_QUOTA},
    {NULL, "quota limit", CAUSE_QUOTA},
    {NULL, "storage limit", CAUSE_QUOTA},
    {NULL, "mailbox full", CAUSE_QUOTA},
    {NULL, "mailbox is full", CAUSE_QUOTA},
    {NULL, "flag", CAUSE_NONE}, /* "[LIMIT] Too many flags in mailbox" is no matter of time */
    {NULL, "keyword", CAUSE_NONE},
    {"UNAVAILABLE", "too many simultaneous", CAUSE_THROTTLED},
    {"LIMIT", "rate limit", CAUSE_THROTTLED},
    {"INUSE", "is throttled", CAUSE_THROTTLED},
    {"THROTTLED", "[THROTTLED]", CAUSE_THROTTLED},
    {NULL, "server unavailable", CAUSE_THROTTLED},
    {NULL, "too many connections", CAUSE_THROTTLED},
    {NULL, "maximum number of connections", CAUSE_THROTTLED},
};

enum cause imap_general_cause(const struct imap_response *r, int *wait_s)
{
	ptrdiff_t at = view_find_nocase(r->text, "Backoff Time: ");

	*wait_s = 0;
	if (at >= 0) {
		*wait_s = backoff_seconds(r->text, (size_t)at + strlen("Backoff Time: "));
		return CAUSE_THROTTLED;
	}
	for (size_t i = 0; i < COUNT_OF(general_causes); i++)
		if (words_say(r, general_causes[i].code, general_causes[i].text))
			return general_causes[i].cause;
	return CAUSE_NONE;
}

int imap_refused(
    struct imap *im, enum cause cause, enum err_scope scope, const char *what, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	int wait_s;
	enum cause general = imap_general_cause(&im->reader.response, &wait_s);

	err_set(e, general ? general : cause, scope, "%s: %s answered \"%s\"", what, im->at->host,
	    imap_words(im, &scratch));
	if (!e)
		return -1;
	e->side = im->at->side;
	if (general == CAUSE_THROTTLED) {
		e->next = ERR_WAIT;
		e->wait_s = wait_s;
		e->scope = ERR_LINK; /* at login too: later it may be let in */
	} else if (general == CAUSE_QUOTA) {
		e->scope = ERR_MAILBOX;
	} else if (scope < ERR_LINK && words_say(&im->reader.response, NULL, "not connected")) {
		e->scope = ERR_LINK; /* Exchange: another login tells whether it is for good */
		e->next = ERR_WAIT;
	}
	return -1;
}

/* A BYE that nobody asked for: the words are kept for the end of the connection. */
static void note_bye(struct imap *im)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	int wait_s;
	enum cause cause = imap_general_cause(&im->reader.response, &wait_s);

	im->bye = true;
	err_set(&im->bye_err, cause ? cause : CAUSE_CONNECT, ERR_LINK,
	    "%s closed the connection, saying \"%s\"", im->at->host, imap_words(im, &scratch));
	im->bye_err.side = im->at->side;
	im->bye_err.next = cause ? ERR_WAIT : ERR_RETRY;
	im->bye_err.wait_s = wait_s;
}

/* VANISHED without (EARLIER): they went just now (RFC 7162 §3.2.10.2). What came since the folder was
 * selected never counted. */
static void note_vanished(struct imap *im, const struct imap_response *r)
{
	struct imap_set_walk walk;
	uint32_t from, to;

	if (!r->args || r->args->kind == IMAP_NODE_LIST)
		return;
	walk = imap_set_walk(imap_node_text(r->args));
	while (imap_set_range(&walk, &from, &to) == 1) {
		uint64_t low = from < to ? from : to, end = (uint64_t)(from < to ? to : from) + 1;
		uint64_t gone;

		end = im->uidnext && end > im->uidnext ? im->uidnext : end;
		gone = low < end ? end - low : 0;
		im->lasting -= gone < im->lasting ? gone : im->lasting;
	}
}

static void note_exists(struct imap *im, const struct imap_response *r)
{
	if (r->has_number && !r->odd_number && view_is_nocase(r->name, "EXISTS")) {
		im->exists = r->number;
		im->exists_told = true;
	} else if (r->has_number && view_is_nocase(r->name, "EXPUNGE") && r->number &&
		   r->number <= im->exists && im->lasting) {
		im->lasting--;
	} else if (view_is_nocase(r->name, "VANISHED")) {
		note_vanished(im, r);
	}
}

/* Gmail says OK and [THROTTLED] behind it: the next commands come slower, and faster again when it has
 * stopped saying so. */
static void note_pace(struct imap *im, const struct imap_response *r)
{
	char text[300];

	if (r->kind != IMAP_TAGGED || r->status != IMAP_OK)
		return;
	if (!words_say(r, "THROTTLED", "[THROTTLED]")) {
		im->pace_ms = im->pace_ms * 3 / 4 < PACE_LEAST ? 0 : im->pace_ms * 3 / 4;
		return;
	}
	if (!im->pace_told && im->env.note) {
		snprintf(text, sizeof(text), "%.250s asks to go slower", im->at->host);
		im->env.note(im->env.note_arg, text);
	}
	im->pace_told = true;
	im->pace_ms = im->pace_ms ? im->pace_ms * 2 : PACE_LEAST;
	im->pace_ms = im->pace_ms > PACE_MOST ? PACE_MOST : im->pace_ms;
}

int imap_pace(struct imap *im, struct err *e)
{
	return im->pace_ms ? waitset_sleep(im->env.waits, im->pace_ms, e) : 0;
}

/* What is no IMAP response; its line, where it has one, tells more than we could. */
static int not_imap(struct imap *im, struct err *e)
{
	const struct imap_response *r = &im->reader.response;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	int wait_s;

	imap_broken(im, e, im->reader.problem);
	if (!e || !r->text.len)
		return -1;
	err_detail(e, "%s", imap_words(im, &scratch));
	if (imap_general_cause(r, &wait_s) ==
	    CAUSE_THROTTLED) { /* Exchange: "Server Unavailable. 15" */
		err_set(e, CAUSE_THROTTLED, ERR_LINK, "%s answers nothing but \"%s\"", im->at->host,
		    imap_words(im, &scratch));
		e->side = im->at->side;
		e->next = ERR_WAIT;
	}
	return -1;
}

#define MESSAGES_MAX 20000000u  /* in one folder */
#define CHATTER_MAX (64u << 20) /* bytes of answers, without bodies, before a command is done ... */
#define CHATTER_EACH 1024u      /* ... and as many more a message */
#define UNASKED_MAX (16u << 20) /* bytes of a body that nobody asked for */

/* A response has come: may it go on? Nobody can make us listen for ever, or count beyond reason. */
static int note_response(struct imap *im, struct err *e)
{
	const struct imap_response *r = &im->reader.response;
	bool was_bye = im->bye;

	note_exists(im, r);
	note_pace(im, r);
	if (im->exists > MESSAGES_MAX)
		return imap_broken(im, e, "the number of messages it counts cannot be meant");
	if (r->kind == IMAP_TAGGED)
		im->chatter = 0;
	if (r->status == IMAP_BYE)
		note_bye(im);
	if (!was_bye || r->status != IMAP_BYE)
		return 0;
	if (e) /* Yandex: "* BYE" without end */
		*e = im->bye_err;
	return -1;
}

void imap_release_event(struct imap *im)
{
	size_t taken = im->taken;

	im->taken = 0;
	conn_take(im->conn, taken);
}

/* ---- the flight recorder ---- */

static enum record_kind kind_of(const struct imap_response *r)
{
	if (r->kind != IMAP_UNTAGGED)
		return r->kind == IMAP_TAGGED ? RECORD_TAGGED : RECORD_CONTINUE;
	if (r->status != IMAP_NONE)
		return RECORD_STATUS;
	if (view_is_nocase(r->name, "CAPABILITY") || view_is_nocase(r->name, "ENABLED"))
		return RECORD_PLAIN;
	return view_is_nocase(r->name, "ID") ? RECORD_SOFTWARE : RECORD_DATA;
}

static void record_event(struct imap *im, enum imap_event event, struct view bytes)
{
	const struct imap_response *r = &im->reader.response;

	if (event == IMAP_EVENT_DATA) {
		record_body(im->record, im->reader.data);
		return;
	}
	record_add(im->record, bytes);
	if (event == IMAP_EVENT_LITERAL)
		record_body_begin(im->record);
	else if (event == IMAP_EVENT_RESPONSE)
		record_received(im->record, kind_of(r), r->text.len);
	else if (event == IMAP_EVENT_BAD)
		record_received(im->record, RECORD_STRANGE, 0);
}

int imap_send(struct imap *im, struct view lines, struct err *e)
{
	record_sent(im->record, lines);
	return conn_write(im->conn, lines, e);
}

/* ---- events, one after the other ---- */

/* What is at hand. 1 = *event, 0 = more is needed, -1. */
static int feed(struct imap *im, enum imap_event *event, struct err *e)
{
	struct view bytes = conn_peek(im->conn);

	if (!bytes.len)
		return 0;
	*event = imap_reader_feed(&im->reader, bytes, &im->taken);
	record_event(im, *event, view_make(bytes.data, im->taken));
	if (*event == IMAP_EVENT_BAD)
		return not_imap(im, e);
	im->chatter += *event == IMAP_EVENT_DATA ? 0 : im->taken;
	if (im->chatter > CHATTER_MAX + CHATTER_EACH * im->exists)
		return imap_broken(im, e, "it talks without end and answers nothing");
	if (*event == IMAP_EVENT_RESPONSE && note_response(im, e))
		return -1;
	return *event != IMAP_EVENT_MORE;
}

/* Behind a BYE nothing is waited for: some servers never close, so that we must. */
static int await_bytes(struct imap *im, struct err *e)
{
	record_flush(im->record);
	if (!im->bye)
		return conn_need(im->conn, e);
	if (e)
		*e = im->bye_err;
	return -1;
}

int imap_next_event(struct imap *im, enum imap_event *event, struct err *e)
{
	int got;

	for (;;) {
		imap_release_event(im);
		got = feed(im, event, e);
		if (got)
			return got < 0 ? -1 : 0;
		imap_release_event(im);
		if (await_bytes(im, e))
			return -1;
	}
}

static int body_is_too_much(struct imap *im, struct err *e)
{
	if (im->reader.literal_len <= UNASKED_MAX)
		return 0;
	return imap_broken(im, e, "it sends a large message that nobody asked for");
}

int imap_next_response(struct imap *im, struct err *e)
{
	enum imap_event event;

	do {
		if (imap_next_event(im, &event, e))
			return -1;
		if (event == IMAP_EVENT_LITERAL && body_is_too_much(im, e))
			return -1;
	} while (event != IMAP_EVENT_RESPONSE);
	return 0;
}

/* ---- commands ---- */

void imap_command_start(struct imap *im, struct imap_command *c, const char *verb)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->text, 1u << 20);
	snprintf(c->tag, sizeof(c->tag), "g%lu", ++im->tags);
	buf_printf(&c->text, "%s %s", c->tag, verb);
	im->commands++;
}

void imap_command_free(struct imap_command *c)
{
	if (c->text.data)
		explicit_bzero(c->text.data, c->text.len);
	buf_free(&c->text);
}

void imap_command_add(struct imap_command *c, const char *fmt, ...)
{
	char word[IMAP_SET_MAX + 200];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(word, sizeof(word), fmt, args);
	va_end(args);
	assert(len >= 0 && (size_t)len < sizeof(word));
	buf_printf(&c->text, " %s", word);
}

void imap_command_add_string(struct imap *im, struct imap_command *c, struct view v)
{
	bool plus =
	    imap_has(im, CAP_LITERAL_PLUS) || (imap_has(im, CAP_LITERAL_MINUS) && v.len <= 4096);

	buf_add_char(&c->text, ' ');
	if (!imap_needs_literal(v)) {
		imap_add_quoted(&c->text, v);
		return;
	}
	buf_printf(&c->text, "{%zu%s}\r\n", v.len, plus ? "+" : "");
	if (!plus) {
		assert(c->asks < COUNT_OF(c->ask_at));
		c->ask_at[c->asks++] = c->text.len;
	}
	buf_add_view(&c->text, v);
}

/* Wait for "+"; a tagged refusal of TAG comes instead when the server will not have it. */
static int await_continue(struct imap *im, const char *tag, struct err *e)
{
	for (;;) {
		const struct imap_response *r = &im->reader.response;

		if (imap_next_response(im, e))
			return -1;
		if (r->kind == IMAP_CONTINUE)
			return 0;
		if (r->kind == IMAP_TAGGED && view_is(r->tag, tag))
			return imap_refused(
			    im, CAUSE_PROTOCOL, ERR_FOLDER, "a name was refused", e);
	}
}

void imap_command_secret(struct imap_command *c)
{
	c->open_len = c->text.len;
}

static void log_command(const struct imap *im, const struct imap_command *c)
{
	struct view verb = {c->text.data + strlen(c->tag) + 1, c->text.len - strlen(c->tag) - 1};

	if (!c->open_len)
		log_debug(
		    "%s: %.*s", im->at->host, (int)(verb.len < 200 ? verb.len : 200), verb.data);
}

static int send_part(struct imap *im, const struct imap_command *c, struct view part, struct err *e)
{
	if (!c->open_len)
		return imap_send(im, part, e);
	if (part.data == c->text.data)
		record_sent_secret(im->record, view_make(part.data, c->open_len));
	return conn_write(im->conn, part, e);
}

int imap_command_send(struct imap *im, struct imap_command *c, struct err *e)
{
	size_t sent = 0;

	if (imap_pace(im, e))
		return -1;
	log_command(im, c);
	buf_add_text(&c->text, "\r\n");
	for (unsigned i = 0; i < c->asks; i++) {
		struct view part = {c->text.data + sent, c->ask_at[i] - sent};

		if (send_part(im, c, part, e) || await_continue(im, c->tag, e))
			return -1;
		sent = c->ask_at[i];
	}
	return send_part(im, c, view_make(c->text.data + sent, c->text.len - sent), e);
}

int imap_await(struct imap *im, const char *tag, const struct imap_taker *taker, struct err *e)
{
	const struct imap_response *r = &im->reader.response;
	enum imap_event event;

	for (;;) {
		int failed = 0;

		if (imap_next_event(im, &event, e))
			return -1;
		if (event == IMAP_EVENT_LITERAL && taker && taker->body)
			failed = taker->body(
			    taker->arg, im->reader.literal_uid, im->reader.literal_len, e);
		else if (event == IMAP_EVENT_LITERAL)
			failed = body_is_too_much(im, e);
		else if (event == IMAP_EVENT_DATA && taker && taker->data)
			failed = taker->data(taker->arg, im->reader.data, e);
		else if (event == IMAP_EVENT_RESPONSE && r->kind == IMAP_TAGGED)
			return view_is(r->tag, tag) ? 0 : imap_answers_nothing(im, e);
		else if (event == IMAP_EVENT_RESPONSE && taker && taker->response)
			failed = taker->response(taker->arg, r, e);
		if (failed)
			return -1;
	}
}

int imap_finish(
    struct imap *im, const struct imap_command *c, const struct imap_taker *taker, struct err *e)
{
	char what[80];

	if (imap_await(im, c->tag, taker, e))
		return -1;
	if (im->reader.response.status == IMAP_OK)
		return 0;
	snprintf(what, sizeof(what), "%.*s was refused",
	    (int)strcspn(c->text.data + strlen(c->tag) + 1, " \r\""),
	    c->text.data + strlen(c->tag) + 1);
	return imap_refused(im, CAUSE_PROTOCOL, ERR_FOLDER, what, e);
}

int imap_run(struct imap *im, struct imap_command *c, const struct imap_taker *taker, struct err *e)
{
	int failed = imap_command_send(im, c, e) || imap_finish(im, c, taker, e);

	imap_command_free(c);
	return failed ? -1 : 0;
}
