/* session.c - an IMAP session: connect, log in, run commands. Below the connector's slots, above
 * net/conn and wire/imap_reader. Promises: TLS policy is kept (nothing of the clear-text phase
 * survives STARTTLS; PREAUTH there is fatal), every wait has its deadline, secrets are wiped.
 * Does not: know folders or messages. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"
#include "wire/sasl.h"

#define SECRET_MAX 65536u

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

const char *imap_words(struct imap *im, struct arena *a)
{
	const struct imap_response *r = &im->reader.response;
	char text[300], safe[300];

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

/* Causes that a server's words give away whatever was asked (quirks: throttling, quota). */
enum cause imap_general_cause(const struct imap_response *r, int *wait_s)
{
	ptrdiff_t at = view_find_nocase(r->text, "Backoff Time: ");

	*wait_s = 0;
	if (words_say(r, "OVERQUOTA", "over quota") || words_say(r, NULL, "quota exceeded"))
		return CAUSE_QUOTA;
	if (at >= 0) {
		unsigned long ms = strtoul(r->text.data + at + 14, NULL, 10);
		*wait_s = ms > 600000 ? 600 : (int)((ms + 999) / 1000);
		return CAUSE_THROTTLED;
	}
	if (words_say(r, "UNAVAILABLE", "too many simultaneous") || words_say(r, "LIMIT", NULL) ||
	    words_say(r, "INUSE", "is throttled") || words_say(r, "THROTTLED", NULL))
		return CAUSE_THROTTLED;
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

static void note_exists(struct imap *im, const struct imap_response *r)
{
	if (r->has_number && view_is_nocase(r->name, "EXISTS"))
		im->exists = r->number;
	else if (r->has_number && view_is_nocase(r->name, "EXPUNGE") && im->exists)
		im->exists--;
}

static int give_back(struct imap *im, struct err *e)
{
	size_t taken = im->taken;

	im->taken = 0;
	conn_take(im->conn, taken);
	(void)e;
	return 0;
}

int imap_next_event(struct imap *im, enum imap_event *event, struct err *e)
{
	struct err trouble;

	for (;;) {
		struct view bytes;

		give_back(im, e);
		bytes = conn_peek(im->conn);
		if (bytes.len) {
			*event = imap_reader_feed(&im->reader, bytes, &im->taken);
			if (*event == IMAP_EVENT_BAD)
				return imap_broken(im, e, im->reader.problem);
			if (*event == IMAP_EVENT_RESPONSE) {
				note_exists(im, &im->reader.response);
				if (im->reader.response.status == IMAP_BYE)
					note_bye(im);
			}
			if (*event != IMAP_EVENT_MORE)
				return 0;
			give_back(im, e);
		}
		if (conn_need(im->conn, &trouble)) {
			if (e)
				*e = im->bye && trouble.next != ERR_STOPPED ? im->bye_err : trouble;
			return -1;
		}
	}
}

int imap_next_response(struct imap *im, struct err *e)
{
	enum imap_event event;

	do {
		if (imap_next_event(im, &event, e))
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

/* Login commands hold secrets. */
static void log_command(const struct imap *im, const struct imap_command *c)
{
	struct view verb = {c->text.data + strlen(c->tag) + 1, c->text.len - strlen(c->tag) - 1};

	if (!view_starts_nocase(verb, "LOGIN") && !view_starts_nocase(verb, "AUTHENTICATE"))
		log_debug(
		    "%s: %.*s", im->at->host, (int)(verb.len < 200 ? verb.len : 200), verb.data);
}

int imap_command_send(struct imap *im, struct imap_command *c, struct err *e)
{
	size_t sent = 0;

	log_command(im, c);
	buf_add_text(&c->text, "\r\n");
	for (unsigned i = 0; i < c->asks; i++) {
		struct view part = {c->text.data + sent, c->ask_at[i] - sent};

		if (conn_write(im->conn, part, e) || await_continue(im, c->tag, e))
			return -1;
		sent = c->ask_at[i];
	}
	return conn_write(im->conn, view_make(c->text.data + sent, c->text.len - sent), e);
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
		else if (event == IMAP_EVENT_DATA && taker && taker->data)
			failed = taker->data(taker->arg, im->reader.data, e);
		else if (event == IMAP_EVENT_RESPONSE && r->kind == IMAP_TAGGED)
			return view_is(r->tag, tag) ? 0
						    : imap_broken(im, e, "an answer to no command");
		else if (event == IMAP_EVENT_RESPONSE && taker && taker->response)
			failed = taker->response(taker->arg, r, e);
		if (failed)
			return -1;
	}
}

int imap_run(struct imap *im, struct imap_command *c, const struct imap_taker *taker, struct err *e)
{
	char what[80];
	int failed;

	snprintf(what, sizeof(what), "%.*s was refused",
	    (int)strcspn(c->text.data + strlen(c->tag) + 1, " \r\""),
	    c->text.data + strlen(c->tag) + 1);
	failed = imap_command_send(im, c, e) || imap_await(im, c->tag, taker, e);
	imap_command_free(c);
	if (failed)
		return -1;
	if (im->reader.response.status == IMAP_OK)
		return 0;
	return imap_refused(im, CAUSE_PROTOCOL, ERR_FOLDER, what, e);
}

/* ---- capabilities ---- */

static const struct {
	const char *name;
	unsigned bits;
} capability_names[] = {
    {"STARTTLS", CAP_STARTTLS},
    {"LOGINDISABLED", CAP_LOGINDISABLED},
    {"SASL-IR", CAP_SASL_IR},
    {"ID", CAP_ID},
    {"NAMESPACE", CAP_NAMESPACE},
    {"UIDPLUS", CAP_UIDPLUS},
    {"MULTIAPPEND", CAP_MULTIAPPEND},
    {"LITERAL+", CAP_LITERAL_PLUS},
    {"LITERAL-", CAP_LITERAL_MINUS},
    {"CONDSTORE", CAP_CONDSTORE},
    {"QRESYNC", CAP_CONDSTORE},
    {"LIST-EXTENDED", CAP_LIST_EXTENDED},
    {"LIST-STATUS", CAP_LIST_STATUS},
    {"SPECIAL-USE", CAP_SPECIAL_USE},
    {"CREATE-SPECIAL-USE", CAP_CREATE_SPECIAL_USE},
    {"UNSELECT", CAP_UNSELECT},
    {"APPENDLIMIT", CAP_APPENDLIMIT},
    {"IMAP4rev2", CAP_IMAP4REV2 | CAP_NAMESPACE | CAP_UIDPLUS | CAP_UNSELECT | CAP_LIST_EXTENDED |
		      CAP_LIST_STATUS | CAP_SPECIAL_USE | CAP_LITERAL_MINUS | CAP_SASL_IR},
};

static void note_mechanism(struct imap *im, struct view name)
{
	char *upper;

	if (im->mechanism_count == COUNT_OF(im->mechanisms))
		return;
	upper = arena_text(&im->arena, name);
	for (char *c = upper; *c; c++)
		*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
	im->mechanisms[im->mechanism_count++] = upper;
}

static void note_capability(struct imap *im, struct view word)
{
	uint64_t limit;

	for (size_t i = 0; i < COUNT_OF(capability_names); i++)
		if (view_is_nocase(word, capability_names[i].name))
			im->caps |= capability_names[i].bits;
	if (view_starts_nocase(word, "AUTH="))
		note_mechanism(im, view_make(word.data + 5, word.len - 5));
	if (view_starts_nocase(word, "APPENDLIMIT=") &&
	    !view_number(view_make(word.data + 12, word.len - 12), &limit))
		im->session.caps.max_size = limit;
}

static void note_capabilities(struct imap *im, const struct imap_node *words)
{
	im->caps = 0;
	im->mechanism_count = 0;
	for (; words; words = words->next)
		note_capability(im, imap_node_text(words));
}

static int take_capability(void *arg, const struct imap_response *r, struct err *e)
{
	(void)e;
	if (r->kind == IMAP_UNTAGGED && view_is_nocase(r->name, "CAPABILITY"))
		note_capabilities(arg, r->args);
	return 0;
}

static int ask_capabilities(struct imap *im, struct err *e)
{
	struct imap_command c;

	imap_command_start(im, &c, "CAPABILITY");
	return imap_run(im, &c, &(struct imap_taker){.response = take_capability, .arg = im}, e);
}

/* ---- greeting and STARTTLS ---- */

static int fatal(struct imap *im, struct err *e, enum cause cause, const char *text)
{
	err_set(e, cause, ERR_MAILBOX, "%s: %s", im->at->host, text);
	if (e)
		e->side = im->at->side;
	return -1;
}

static int greet(struct imap *im, char *greeting, size_t size, bool *preauth, struct err *e)
{
	const struct imap_response *r = &im->reader.response;

	if (imap_next_response(im, e))
		return -1;
	if (r->kind != IMAP_UNTAGGED ||
	    (r->status != IMAP_OK && r->status != IMAP_PREAUTH && r->status != IMAP_BYE))
		return fatal(im, e, CAUSE_PROTOCOL,
		    "what answers there is not an IMAP server; check host and port");
	if (r->status == IMAP_BYE) {
		*e = im->bye_err;
		return -1;
	}
	*preauth = r->status == IMAP_PREAUTH;
	text_printable(greeting, size, r->text.data, r->text.len);
	if (view_is_nocase(r->code, "CAPABILITY"))
		note_capabilities(im, r->code_args);
	return 0;
}

static int start_tls(struct imap *im, bool preauth, struct err *e)
{
	struct imap_command c;

	if (im->at->tls != ENDPOINT_STARTTLS)
		return 0;
	if (preauth)
		return fatal(im, e, CAUSE_TLS,
		    "the server claims a login before TLS (PREAUTH); that is how attackers keep a "
		    "connection in clear text, so nothing was sent");
	if (!im->caps && ask_capabilities(im, e))
		return -1;
	if (!imap_has(im, CAP_STARTTLS))
		return fatal(im, e, CAUSE_TLS,
		    "the server offers no STARTTLS, so nothing was sent; try imaps://, or ask for "
		    "a "
		    "clear-text connection with ?tls=none");
	imap_command_start(im, &c, "STARTTLS");
	if (imap_run(im, &c, NULL, e))
		return e ? (e->scope = ERR_MAILBOX, e->cause = CAUSE_TLS, -1) : -1;
	give_back(im, e);
	if (conn_starttls(im->conn, e))
		return -1;
	imap_reader_free(&im->reader);
	imap_reader_init(&im->reader, IMAP_LINE_MAX);
	im->session.caps.max_size = 0;
	return ask_capabilities(im, e);
}

/* ---- login ---- */

static void wipe(struct buf *secret)
{
	if (secret->data)
		explicit_bzero(secret->data, secret->size);
	buf_free(secret);
}

static int login_refused(struct imap *im, struct err *e)
{
	imap_refused(im, CAUSE_LOGIN, ERR_MAILBOX, "login was refused", e);
	if (e && e->cause == CAUSE_LOGIN) {
		struct arena scratch AUTO(arena_free) = ARENA_INIT;

		err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "%s refused the login of %s: \"%s\"",
		    im->at->host, im->at->user, imap_words(im, &scratch));
		e->side = im->at->side;
	}
	return -1;
}

static int login_plain(struct imap *im, const struct buf *secret, struct err *e)
{
	struct imap_command c;

	imap_command_start(im, &c, "LOGIN");
	imap_command_add_string(im, &c, view_of(im->at->user));
	imap_command_add_string(im, &c, buf_view(secret));
	if (!imap_run(im, &c, &(struct imap_taker){.response = take_capability, .arg = im}, e))
		return 0;
	return e->scope == ERR_FOLDER || e->next == ERR_WAIT ? login_refused(im, e) : -1;
}

/* Answer one challenge; the empty answer is an empty line. */
static int sasl_answer(struct imap *im, struct sasl *sasl, struct view challenge, struct err *e)
{
	struct buf line = BUF_INIT(SECRET_MAX * 2);
	int failed = sasl_step(sasl, challenge, &line, e);

	failed = failed || buf_add_text(&line, "\r\n") || conn_write(im->conn, buf_view(&line), e);
	wipe(&line);
	return failed ? -1 : 0;
}

static int sasl_first(struct imap *im, struct sasl *sasl, struct imap_command *c, struct err *e)
{
	struct buf first = BUF_INIT(SECRET_MAX * 2);
	int failed = 0;

	if (imap_has(im, CAP_SASL_IR) && sasl_client_first(sasl)) {
		failed = sasl_step(sasl, (struct view){0}, &first, e);
		buf_printf(&c->text, " %s", first.len ? first.data : "=");
	}
	wipe(&first);
	return failed || imap_command_send(im, c, e) ? -1 : 0;
}

static int login_sasl(
    struct imap *im, const char *mechanism, const struct buf *password, struct err *e)
{
	struct sasl_secret secret = {im->at->user, im->at->authzid, password->data, im->at->host};
	struct sasl *sasl AUTO(sasl_free) = NULL;
	const struct imap_response *r = &im->reader.response;
	struct imap_command c AUTO(imap_command_free) = {0};
	char verb[64];

	snprintf(verb, sizeof(verb), "AUTHENTICATE %s", mechanism);
	imap_command_start(im, &c, verb);
	if (sasl_start(&sasl, mechanism, &secret, e) || sasl_first(im, sasl, &c, e))
		return -1;
	for (;;) {
		if (imap_next_response(im, e))
			return -1;
		take_capability(im, r, e);
		if (r->kind == IMAP_CONTINUE && sasl_answer(im, sasl, r->text, e))
			return -1;
		if (r->kind == IMAP_TAGGED)
			break;
	}
	if (r->status != IMAP_OK)
		return login_refused(im, e);
	return sasl_finish(sasl, e);
}

static int login_with(struct imap *im, const struct buf *password, struct err *e)
{
	const char *mechanism = sasl_choose((const char *const *)im->mechanisms,
	    im->mechanism_count, im->at->auth, im->at->authzid != NULL);

	if (mechanism) {
		log_debug("%s: AUTHENTICATE %s", im->at->host, mechanism);
		return login_sasl(im, mechanism, password, e);
	}
	if (!im->at->auth && !im->at->authzid && !imap_has(im, CAP_LOGINDISABLED))
		return login_plain(im, password, e);
	return fatal(im, e, CAUSE_LOGIN,
	    im->at->auth ? "the server does not offer the login mechanism asked for with ?auth="
			 : "the server offers no login mechanism that godwit knows");
}

static int login(struct imap *im, struct err *e)
{
	struct buf password = BUF_INIT(SECRET_MAX);
	int failed = im->env.secret(im->env.secret_arg, im->at->side, SECRET_FIRST, &password, e) ||
		     login_with(im, &password, e);

	/* A token may have run out since it was given: ask once more (OAuth). */
	if (failed && e->cause == CAUSE_LOGIN && im->at->auth && !strcmp(im->at->auth, "XOAUTH2")) {
		struct err again;

		wipe(&password);
		if (!im->env.secret(
			im->env.secret_arg, im->at->side, SECRET_WAS_REFUSED, &password, &again))
			failed = login_with(im, &password, e);
	}
	wipe(&password);
	return failed ? -1 : 0;
}

/* ---- after login ---- */

/* The value behind a quoted NAME (RFC 2971). */
static struct view id_field(const struct imap_node *n, const char *name)
{
	for (; n && n->next; n = n->next->next)
		if (view_is_nocase(imap_node_text(n), name))
			return imap_node_text(n->next);
	return (struct view){0};
}

static int take_id(void *arg, const struct imap_response *r, struct err *e)
{
	struct imap *im = arg;
	const struct imap_node *list;
	struct view name, version;
	char said[100];

	(void)e;

	if (view_is_nocase(r->name, "NAMESPACE"))
		return imap_take_namespace(im, r);
	if (!view_is_nocase(r->name, "ID") || !r->args || r->args->kind != IMAP_NODE_LIST)
		return 0;
	list = r->args->child;
	name = id_field(list, "name");
	version = id_field(list, "version");
	snprintf(said, sizeof(said), "%.*s%s%.*s", (int)(name.len < 60 ? name.len : 60), name.data,
	    version.len ? " " : "", (int)(version.len < 30 ? version.len : 30), version.data);
	text_printable(im->software, sizeof(im->software), said, strlen(said));
	return 0;
}

/* ID and NAMESPACE in one round trip. NAMESPACE, or LIST, is the proof of the login: Exchange says
 * OK to a login and "not connected" to what follows. */
static int introduce(struct imap *im, struct err *e)
{
	struct imap_taker taker = {.response = take_id, .arg = im};
	struct imap_command id = {0}, space = {0};
	int failed = 0;

	if (imap_has(im, CAP_ID)) {
		imap_command_start(im, &id, "ID");
		imap_command_add(&id, "(\"name\" \"godwit\" \"version\" \"%s\")", GODWIT_VERSION);
		failed = imap_command_send(im, &id, e);
	}
	imap_command_start(
	    im, &space, imap_has(im, CAP_NAMESPACE) ? "NAMESPACE" : "LIST \"\" \"\"");
	failed = failed || imap_command_send(im, &space, e) ||
		 (id.tag[0] && imap_await(im, id.tag, &taker, e)) ||
		 imap_await(im, space.tag, &taker, e);
	if (!failed && view_find_nocase(im->reader.response.text, "not connected") >= 0)
		failed = login_refused(im, e);
	imap_command_free(&id);
	imap_command_free(&space);
	return failed ? -1 : imap_namespace(im, e);
}

static int set_up(struct imap *im, struct err *e)
{
	char greeting[200];
	bool preauth = false;

	if (greet(im, greeting, sizeof(greeting), &preauth, e) || start_tls(im, preauth, e))
		return -1;
	if (!im->caps && ask_capabilities(im, e))
		return -1;
	if (!preauth && login(im, e))
		return -1;
	if (ask_capabilities(im, e) || introduce(im, e))
		return -1;
	im->quirks = imap_quirks_find(view_of(greeting), view_of(im->software));
	if (!im->software[0])
		snprintf(im->software, sizeof(im->software), "%.90s", greeting);
	im->session.caps.ids_told = imap_has(im, CAP_UIDPLUS);
	im->session.caps.batches = imap_has(im, CAP_MULTIAPPEND);
	im->session.caps.streams = imap_has(im, CAP_LITERAL_PLUS);
	im->session.caps.names.delimiter = im->delimiter;
	im->session.caps.software = im->software;
	return 0;
}

int imap_open(
    struct session **s, const struct endpoint *at, const struct connect_env *env, struct err *e)
{
	struct conn_target target = {.host = at->host,
	    .port = at->port,
	    .tls = at->tls == ENDPOINT_TLS        ? CONN_TLS_IMPLICIT
		   : at->tls == ENDPOINT_STARTTLS ? CONN_TLS_START
						  : CONN_TLS_NONE,
	    .ca_file = at->ca_file,
	    .insecure = at->insecure,
	    .timeout_ms = at->timeout_ms,
	    .side = at->side};
	struct imap *im = NEW(struct imap);
	struct session *session = &im->session;

	im->at = at;
	im->env = *env;
	im->fetch_last = &im->fetch_first;
	im->append_last = &im->append_first;
	buf_init(&im->selected, 4096);
	buf_init(&im->now_raw, 4096);
	imap_reader_init(&im->reader, IMAP_LINE_MAX);
	if (conn_open(&im->conn, env->waits, &target, e) || set_up(im, e)) {
		imap_close(&session);
		return -1;
	}
	log_debug("%s: logged in (%s)", at->host, im->software);
	*s = session;
	return 0;
}

/* LOGOUT is sent but not waited for: all that matters was confirmed before. */
void imap_close(struct session **s)
{
	struct imap *im = IMAP(*s);

	*s = NULL;
	if (!im)
		return;
	assert(
	    !imap_abandon_fetch(im) && !im->append_first); /* nothing lent; streams may be left */
	if (im->conn && !im->bye && !im->half_sent && !conn_check(im->conn, NULL)) {
		conn_write(im->conn, view_of("gz LOGOUT\r\n"), NULL);
		conn_flush(im->conn, NULL);
	}
	conn_close(&im->conn);
	imap_reader_free(&im->reader);
	buf_free(&im->selected);
	buf_free(&im->now_raw);
	arena_free(&im->mark_arena);
	arena_free(&im->arena);
	free(im);
}

void imap_stats(const struct session *s, struct session_stats *out)
{
	const struct imap *im = (const struct imap *)s;
	struct conn_stats stats = conn_stats(im->conn);

	*out = (struct session_stats){stats.bytes_in, stats.bytes_out, stats.waits, im->commands};
}

/* ---- the selected folder ---- */

static int take_select(void *arg, const struct imap_response *r, struct err *e)
{
	struct imap *im = arg;
	uint64_t n;

	(void)e;
	if (r->status != IMAP_OK || imap_node_number(r->code_args, &n))
		return 0;
	if (view_is_nocase(r->code, "UIDVALIDITY"))
		im->uidvalidity = n;
	else if (view_is_nocase(r->code, "UIDNEXT"))
		im->uidnext = n;
	else if (view_is_nocase(r->code, "HIGHESTMODSEQ"))
		im->modseq = n;
	return 0;
}

int imap_select(struct imap *im, struct view raw, bool write, bool fresh, struct err *e)
{
	struct imap_command c;

	if (im->selected.len && view_eq(buf_view(&im->selected), raw) && !fresh &&
	    im->selected_write >= write)
		return 0;
	write = write || (im->quirks & QUIRK_SELECT_TO_READ);
	buf_clear(&im->selected);
	im->exists = im->uidvalidity = im->uidnext = im->modseq = 0;
	imap_command_start(im, &c, write ? "SELECT" : "EXAMINE");
	imap_command_add_string(im, &c, raw);
	if (imap_has(im, CAP_CONDSTORE))
		imap_command_add(&c, "(CONDSTORE)");
	if (imap_run(im, &c, &(struct imap_taker){.response = take_select, .arg = im}, e)) {
		if (e && e->scope == ERR_FOLDER)
			e->cause = CAUSE_FOLDER_GONE;
		return -1;
	}
	im->selected_write = write;
	return buf_add_view(&im->selected, raw) ? imap_broken(im, e, "a folder name too long") : 0;
}

/* Without UNSELECT: EXAMINE of a name that cannot be leaves no folder selected (RFC 3501 §6.3.1);
 * CLOSE would expunge. */
int imap_unselect(struct imap *im, struct err *e)
{
	struct imap_command c;
	bool has = imap_has(im, CAP_UNSELECT);

	if (!im->selected.len)
		return 0;
	buf_clear(&im->selected);
	imap_command_start(im, &c, has ? "UNSELECT" : "EXAMINE \"\"");
	if (!imap_run(im, &c, NULL, e))
		return 0;
	return e->scope == ERR_FOLDER ? 0 : -1;
}
