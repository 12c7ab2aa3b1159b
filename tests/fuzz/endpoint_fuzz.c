/* endpoint_fuzz.c - what a user may write as a URL. What is accepted can be written out in one plain
 * way and is then the same mailbox; a password in a URL is refused, and not repeated. */
#include "fuzz.h"
#include "model/endpoint.h"

enum { TEXT_MAX = 1 << 14 };

/* Each byte that could mean something, percent-encoded. */
static void add_encoded(struct buf *out, const char *text)
{
	for (; *text; text++)
		if ((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		    *text == '/')
			buf_add_char(out, *text);
		else
			buf_printf(out, "%%%02x", (unsigned char)*text);
}

static void add_parameter(struct buf *out, char *separator, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(out, "%c%s=", *separator, name);
	add_encoded(out, value);
	*separator = '&';
}

static void print(struct buf *out, const struct endpoint *at)
{
	static const char *const layouts[] = {NULL, "maildir++", "fs"};
	char separator = '?';

	if (at->path) {
		buf_add_text(out, at->path[0] == '/' ? "maildir://" : "maildir:");
		add_encoded(out, at->path);
		if (at->layout)
			buf_printf(out, "?layout=%s", layouts[at->layout]);
		separator = at->layout ? '&' : '?';
	} else {
		buf_add_text(out, at->tls == ENDPOINT_TLS ? "imaps://" : "imap://");
		add_encoded(out, at->user);
		buf_printf(
		    out, strchr(at->host, ':') ? "@[%s]:%u/" : "@%s:%u/", at->host, at->port);
		if (at->tls == ENDPOINT_CLEAR)
			buf_add_text(out, "?tls=none");
		separator = at->tls == ENDPOINT_CLEAR ? '&' : '?';
		if (at->auth)
			buf_printf(out, "%cauth=%s", separator, at->auth);
		separator = at->auth ? '&' : separator;
		add_parameter(out, &separator, "authzid", at->authzid);
	}
	add_parameter(out, &separator, "id", at->identity_given ? at->identity : NULL);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void check_accepted(const struct endpoint *at, struct arena *a)
{
	AUTO(buf_free) struct buf text = BUF_INIT(TEXT_MAX);
	struct endpoint again;
	struct err e;

	must(at->identity && *at->identity, "whose mailbox it is, is known");
	must(
	    at->path ? !at->host && !at->user : at->host && at->user && at->port, "it is complete");
	print(&text, at);
	if (text.len > 4096)
		return; /* grown too long by encoding */
	must(!endpoint_parse(&again, a, text.data, at->side, &e), "what was printed is accepted");
	must(same_text(again.scheme, at->scheme) && same_text(again.user, at->user) &&
		 same_text(again.host, at->host) && same_text(again.path, at->path) &&
		 again.port == at->port && again.tls == at->tls && again.layout == at->layout &&
		 same_text(again.auth, at->auth) && same_text(again.authzid, at->authzid) &&
		 same_text(again.identity, at->identity) &&
		 again.identity_given == at->identity_given,
	    "and is the same");
}

/* PASSWORD where people write it. */
static void check_password(const char *password, struct arena *a)
{
	char *text = arena_printf(a, "imaps://anna:%s@mail.example.org/", password);
	struct endpoint at;
	struct err told = {0}, usual = {0};

	endpoint_parse(&at, a, "imaps://anna:x@mail.example.org/", ERR_SOURCE, &usual);
	must(endpoint_parse(&at, a, text, ERR_SOURCE, &told) < 0, "a password is refused");
	must(told.cause == CAUSE_USAGE && *told.text, "and it is said how to do it");
	must(!strcmp(told.text, usual.text) || !strstr(told.text, password) || strlen(password) < 6,
	    "no error repeats a password");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	const char *text = arena_text(&a, view_make(data, size));
	struct endpoint at;
	struct err e = {0};

	if (!endpoint_parse(&at, &a, text, ERR_DESTINATION, &e))
		check_accepted(&at, &a);
	else
		must(e.cause == CAUSE_USAGE && e.scope == ERR_RUN && e.side == ERR_DESTINATION &&
			 *e.text,
		    "what is wrong is said");
	check_password(text, &a);
	return 0;
}
