/* login.c - from the greeting to a proven login: STARTTLS, capabilities, SASL, ID, NAMESPACE. Between
 * command.c and session.c. Promises: the TLS policy is kept (nothing of the clear-text phase survives
 * STARTTLS; PREAUTH there is fatal), secrets are wiped. Does not: know folders or messages. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"
#include "wire/sasl.h"

#define SECRET_MAX 65536u
#define CHALLENGES_MAX 16u /* of one login; SCRAM has three */

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
    {"QRESYNC", CAP_CONDSTORE | CAP_QRESYNC},
    {"ENABLE", CAP_ENABLE},
    {"ESEARCH", CAP_ESEARCH},
    {"MOVE", CAP_MOVE},
    {"OBJECTID", CAP_OBJECTID},
    {"X-GM-EXT-1", CAP_GMAIL},
    {"LIST-EXTENDED", CAP_LIST_EXTENDED},
    {"LIST-STATUS", CAP_LIST_STATUS},
    {"SPECIAL-USE", CAP_SPECIAL_USE},
    {"CREATE-SPECIAL-USE", CAP_CREATE_SPECIAL_USE},
    {"UNSELECT", CAP_UNSELECT},
    {"APPENDLIMIT", CAP_APPENDLIMIT},
    {"IMAP4rev2", CAP_IMAP4REV2 | CAP_NAMESPACE | CAP_UIDPLUS | CAP_UNSELECT | CAP_LIST_EXTENDED |
		      CAP_LIST_STATUS | CAP_SPECIAL_USE | CAP_LITERAL_MINUS | CAP_SASL_IR |
		      CAP_ENABLE | CAP_ESEARCH | CAP_MOVE},
};

static void note_mechanism(struct imap *im, struct view name)
{
	char *upper;

	if (im->mechanism_count == COUNT_OF(im->mechanisms) || name.len >= IMAP_MECHANISM_SIZE)
		return;
	upper = im->mechanisms[im->mechanism_count++];
	memset(upper, 0, IMAP_MECHANISM_SIZE);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];

		upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
	}
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

static void forget_capabilities(struct imap *im)
{
	im->caps = 0;
	im->mechanism_count = 0;
	buf_clear(&im->capability);
}

static void note_capabilities(struct imap *im, const struct imap_node *words)
{
	forget_capabilities(im);
	for (; words; words = words->next) {
		note_capability(im, imap_node_text(words));
		buf_add_char(&im->capability, ' ');
		buf_add_view(&im->capability, imap_node_text(words));
	}
	buf_add_char(&im->capability, ' ');
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

static int greet(struct imap *im, bool *preauth, struct err *e)
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
	text_printable(im->greeting, sizeof(im->greeting), r->text.data, r->text.len);
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
	imap_release_event(im);
	record_add(im->record, conn_peek(im->conn)); /* nothing, unless somebody injected it */
	record_received(im->record, RECORD_STRANGE, 0);
	record_tls(im->record);
	if (conn_starttls(im->conn, e))
		return -1;
	imap_reader_free(&im->reader);
	imap_reader_init(&im->reader, IMAP_LINE_MAX);
	im->session.caps.max_size = 0;
	im->bye = im->clear = false;
	im->greeting[0] = '\0';
	forget_capabilities(im);
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
	imap_command_secret(&c);
	imap_command_add_string(im, &c, view_of(im->at->user));
	imap_command_add_string(im, &c, buf_view(secret));
	if (!imap_run(im, &c, &(struct imap_taker){.response = take_capability, .arg = im}, e))
		return 0;
	return e->scope == ERR_FOLDER || e->next == ERR_WAIT ? login_refused(im, e) : -1;
}

/* Answer one challenge; the empty answer is an empty line. Goes past the record. */
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
	unsigned challenges = 0;
	char verb[64];

	snprintf(verb, sizeof(verb), "AUTHENTICATE %s", mechanism);
	imap_command_start(im, &c, verb);
	imap_command_secret(&c);
	if (sasl_start(&sasl, mechanism, &secret, e) || sasl_first(im, sasl, &c, e))
		return -1;
	for (;;) {
		if (imap_next_response(im, e))
			return -1;
		take_capability(im, r, e);
		if (r->kind == IMAP_CONTINUE && ++challenges > CHALLENGES_MAX)
			return imap_broken(im, e, "its login asks without end");
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
	const char *offered[COUNT_OF(im->mechanisms)], *mechanism;

	for (size_t i = 0; i < im->mechanism_count; i++)
		offered[i] = im->mechanisms[i];
	mechanism =
	    sasl_choose(offered, im->mechanism_count, im->at->auth, im->at->authzid != NULL);
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
	if (view_is_nocase(r->name, "ENABLED"))
		for (const struct imap_node *n = r->args; n; n = n->next)
			im->qresync = im->qresync || view_is_nocase(imap_node_text(n), "QRESYNC");
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

static void find_quirks(struct imap *im)
{
	struct imap_clues clues = {view_of(im->at->host), view_of(im->greeting),
	    view_of(im->software), buf_view(&im->capability)};

	im->quirks = imap_quirks_find(&clues);
	im->session.caps.guesses = (im->quirks & QUIRK_SIZES_GUESSED) != 0;
}

/* The questions that come first. Returns how many; C has room for three. */
static size_t questions(struct imap *im, struct imap_command *c)
{
	bool all = !im->brief;
	size_t count = 0;

	if (all && imap_has(im, CAP_ID)) {
		imap_command_start(im, &c[count], "ID");
		imap_command_add(
		    &c[count++], "(\"name\" \"godwit\" \"version\" \"%s\")", GODWIT_VERSION);
	}
	if (all && imap_has(im, CAP_QRESYNC) && imap_has(im, CAP_ENABLE) &&
	    !(im->quirks & QUIRK_NO_QRESYNC))
		imap_command_start(im, &c[count++], "ENABLE QRESYNC");
	imap_command_start(
	    im, &c[count++], all && imap_has(im, CAP_NAMESPACE) ? "NAMESPACE" : "LIST \"\" \"\"");
	return count;
}

/* ID, ENABLE and NAMESPACE in one round trip. ID comes before any SELECT, because NetEase wants to
 * know who reads; its strings are quoted, because Yahoo takes no atoms. NAMESPACE, or LIST, is the
 * proof of the login: Exchange says OK to a login and "not connected" to what follows. ENABLE must
 * come before any SELECT (RFC 5161 §3.1); whether it was granted is told by ENABLED. */
static int introduce(struct imap *im, struct err *e)
{
	struct imap_taker taker = {.response = take_id, .arg = im};
	struct imap_command c[3] = {0};
	size_t count;
	int failed = 0;

	find_quirks(im);
	im->introducing = true;
	count = questions(im, c);
	for (size_t i = 0; i < count && !failed; i++)
		failed = imap_command_send(im, &c[i], e);
	for (size_t i = 0; i < count && !failed; i++)
		failed = imap_await(im, c[i].tag, &taker, e);
	if (!failed && view_find_nocase(im->reader.response.text, "not connected") >= 0)
		failed = login_refused(im, e);
	for (size_t i = 0; i < count; i++)
		imap_command_free(&c[i]);
	if (failed || imap_namespace(im, e))
		return -1;
	im->introducing = false;
	find_quirks(im); /* now with what it calls itself */
	return 0;
}

/* Who tells in the OK of the login what may be done from now on need not be asked (RFC 3501 §7.2.1). */
static bool told_with_login(struct imap *im)
{
	const struct imap_response *r = &im->reader.response;

	if (r->kind != IMAP_TAGGED || r->status != IMAP_OK ||
	    !view_is_nocase(r->code, "CAPABILITY"))
		return false;
	note_capabilities(im, r->code_args);
	return im->caps || im->mechanism_count;
}

int imap_log_in(struct imap *im, struct err *e)
{
	bool preauth = false;

	forget_capabilities(im);
	im->clear = im->at->tls == ENDPOINT_STARTTLS;
	if (greet(im, &preauth, e) || start_tls(im, preauth, e))
		return -1;
	if (!im->caps && ask_capabilities(im, e))
		return -1;
	if (!preauth && login(im, e))
		return -1;
	if ((!told_with_login(im) && ask_capabilities(im, e)) || introduce(im, e))
		return -1;
	if (!im->software[0])
		snprintf(im->software, sizeof(im->software), "%.90s", im->greeting);
	im->session.caps.ids_told = imap_has(im, CAP_UIDPLUS);
	im->session.caps.batches = imap_has(im, CAP_MULTIAPPEND);
	im->session.caps.moves = imap_has(im, CAP_MOVE);
	im->session.caps.streams = imap_has(im, CAP_LITERAL_PLUS);
	im->session.caps.names.delimiter = im->delimiter;
	im->session.caps.software = im->software;
	return im->env.measure ? imap_measure(im, e) : 0;
}
