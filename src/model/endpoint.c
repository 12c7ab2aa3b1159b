/* endpoint.c - SOURCE and DESTINATION as the user writes them.
 *
 * On the data's way: the first thing that happens; the command line hands its URLs in, connectors
 * and the ledger take what comes out.
 * Promises: what is accepted is unambiguous (one mailbox has one identity, however its URL was
 * written); no error repeats any part of a URL that could be a password.
 * Does not: resolve names, ask for passwords, or know which mechanisms a server offers. */
#include "model/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#define URL_MAX 4096u
#define HOST_MAX 253u
#define IMAP_EXAMPLE "imaps://anna%40example.org@mail.example.org/"
#define MAILDIR_EXAMPLE "maildir:/home/anna/Maildir"
#define CAN_DO "imaps://, imap:// and maildir:"
#define MAILDIR "maildir"

static const struct scheme {
	const char *name, *service;
	uint16_t port;
	enum endpoint_tls tls;
} schemes[] = {
    {"imaps", "imap", 993, ENDPOINT_TLS},
    {"imap", "imap", 143, ENDPOINT_STARTTLS},
    {MAILDIR, MAILDIR, 0, ENDPOINT_CLEAR},
};

/* What is planned: said as such, so that nobody searches for a typing mistake. */
static const char *const later_schemes[] = {"mbox", "pop3", "pop3s", "gmail", "jmap", "ews",
    "graph", "dav", "davs", "caldav", "caldavs", "carddav", "carddavs", "sieve", "sieves", "pst",
    "eml", "mh", "http", "https"};

static const char *const mechanisms[] = {
    "PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2"};

static const char *const secret_parameters[] = {
    "password", "passwd", "pass", "pwd", "token", "secret"};

struct parser {
	struct arena *a;
	struct err *e;
	enum err_side side;
	bool local; /* a path, no host */
	struct endpoint out;
};

/* The URL cut into its parts, nothing decoded; data NULL = that part is not there. */
struct url {
	struct view scheme, user, host, port, path, query;
};

/* ---- refusing ---- */

static const char *side_name(const struct parser *p)
{
	return p->side == ERR_SOURCE        ? "source"
	       : p->side == ERR_DESTINATION ? "destination"
					    : "URL";
}

static int finish_error(struct parser *p)
{
	if (p->e)
		p->e->side = p->side;
	return -1;
}

static int refuse(struct parser *p, const char *what)
{
	err_set(p->e, CAUSE_USAGE, ERR_RUN, "%s: %s; write it like %s", side_name(p), what,
	    p->local ? MAILDIR_EXAMPLE : IMAP_EXAMPLE);
	return finish_error(p);
}

static int refuse_password(struct parser *p)
{
	const char *side = p->side == ERR_DESTINATION ? "destination" : "source";

	err_set(p->e, CAUSE_USAGE, ERR_RUN,
	    "%s: a password in a URL can be seen by others, so it is refused; leave it out, as in "
	    "imaps://anna@mail.example.org/, and use --%s-password-file FILE, --%s-password-env "
	    "NAME or --%s-password-command COMMAND (a ':' in a user name is written %%3A)",
	    side_name(p), side, side, side);
	return finish_error(p);
}

/* ---- text ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char *lower_text(struct arena *a, struct view v)
{
	char *text = arena_text(a, v);

	for (char *c = text; *c; c++)
		*c = (char)ascii_lower(*c);
	return text;
}

static int hex_value(char c)
{
	int lower = ascii_lower(c);

	return is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* UTF-8 without control characters (C0, DEL, C1)? */
static bool is_clean(struct view v)
{
	for (size_t at = 0; at < v.len;) {
		utf8proc_int32_t c;
		utf8proc_ssize_t n = utf8proc_iterate(
		    (const utf8proc_uint8_t *)v.data + at, (utf8proc_ssize_t)(v.len - at), &c);
		if (n < 1 || c < 0x20 || (c >= 0x7f && c < 0xa0))
			return false;
		at += (size_t)n;
	}
	return true;
}

/* Undo percent-encoding; what comes out is clean UTF-8 and not empty. WHAT names it in errors. */
static int decode(struct parser *p, struct view v, const char *what, const char **out)
{
	char *text = arena_new(p->a, v.len + 1, 1), *to = text;
	char message[120];

	for (size_t i = 0; i < v.len; i++) {
		int high = -1, low = -1;
		if (v.data[i] != '%') {
			*to++ = v.data[i];
			continue;
		}
		if (i + 2 < v.len) {
			high = hex_value(v.data[i + 1]);
			low = hex_value(v.data[i + 2]);
		}
		if (high < 0 || low < 0) {
			snprintf(message, sizeof(message),
			    "in the %s a '%%' must be written %%25, or stand before two "
			    "hexadecimal "
			    "digits",
			    what);
			return refuse(p, message);
		}
		*to++ = (char)(unsigned char)(high << 4 | low);
		i += 2;
	}
	if (to == text || !is_clean(view_make(text, (size_t)(to - text)))) {
		snprintf(message, sizeof(message), "the %s %s", what,
		    to == text ? "is empty" : "holds control characters or is not UTF-8");
		return refuse(p, message);
	}
	*out = text;
	return 0;
}

/* ---- cutting ---- */

static struct view scheme_of(struct view text)
{
	size_t len = 0;

	while (len < text.len && (is_letter(text.data[len]) || is_digit(text.data[len]) ||
				     memchr("+.-", text.data[len], 3)))
		len++;
	if (!len || !is_letter(text.data[0]) || len == text.len || text.data[len] != ':')
		return (struct view){0};
	return view_make(text.data, len);
}

/* "host", "host:port", "[::1]:port" */
static int cut_host(struct parser *p, struct view rest, struct url *url)
{
	const char *end = rest.data + rest.len, *stop;

	if (rest.len && rest.data[0] == '[') {
		stop = memchr(rest.data, ']', rest.len);
		if (!stop)
			return refuse(p, "the ']' that ends an IPv6 address is missing");
		stop++;
	} else {
		stop = rest.len ? memchr(rest.data, ':', rest.len) : NULL;
		stop = stop ? stop : end;
	}
	url->host = view_make(rest.data, (size_t)(stop - rest.data));
	if (stop == end)
		return 0;
	if (*stop != ':')
		return refuse(p, "after an IPv6 address only ':' and a port may stand");
	url->port = view_make(stop + 1, (size_t)(end - stop - 1));
	if (url->host.data[0] != '[' && memchr(url->port.data, ':', url->port.len))
		return refuse(p, "an IPv6 address is written in brackets, as in [2001:db8::1]");
	return 0;
}

static int cut_authority(struct parser *p, struct view rest, struct url *url)
{
	const char *at = rest.len ? memrchr(rest.data, '@', rest.len) : NULL;

	if (!at)
		return refuse(p, "it names no user");
	url->user = view_make(rest.data, (size_t)(at - rest.data));
	if (url->user.len && memchr(url->user.data, ':', url->user.len))
		return refuse_password(p);
	return cut_host(p, view_make(at + 1, rest.len - url->user.len - 1), url);
}

/* TEXT begins behind "://". */
static int cut(struct parser *p, const char *text, struct url *url)
{
	size_t authority = strcspn(text, "/?#");
	const char *path = text + authority;
	size_t path_len = strcspn(path, "?#");

	if (memchr(text, ':', authority) && !memchr(text, '@', authority) && strchr(path, '@'))
		return refuse_password(p); /* user:pass/word@host */
	if (strchr(path, '#'))
		return refuse(p, "it holds a '#', which is written %23 in a user name and has no "
				 "meaning elsewhere");
	if (cut_authority(p, view_make(text, authority), url) < 0)
		return -1;
	url->path = view_make(path, path_len);
	if (path[path_len] == '?')
		url->query = view_of(path + path_len + 1);
	return 0;
}

/* ---- host and port ---- */

static int take_address(struct parser *p, struct view v)
{
	char text[INET6_ADDRSTRLEN] = "", printed[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (v.len < sizeof(text))
		memcpy(text, v.data, v.len);
	if (inet_pton(AF_INET6, text, &address) != 1)
		return refuse(p, "what stands in brackets is not an IPv6 address");
	inet_ntop(AF_INET6, &address, printed, sizeof(printed)); /* one spelling for one address */
	p->out.host = arena_strdup(p->a, printed);
	return 0;
}

static bool is_host_name(struct view v)
{
	char before = '.';

	if (!v.len || v.len > HOST_MAX)
		return false;
	for (size_t i = 0; i < v.len; before = v.data[i++]) {
		char c = v.data[i];
		if (!is_letter(c) && !is_digit(c) && !memchr("-_.", c, 3))
			return false;
		if (c == '.' && before == '.')
			return false;
	}
	return before != '.';
}

static int take_host(struct parser *p, struct view v)
{
	if (v.len >= 2 && v.data[0] == '[')
		return take_address(p, view_make(v.data + 1, v.len - 2));
	if (v.len > 1 && v.data[v.len - 1] == '.')
		v.len--; /* "host." is the same host */
	if (!v.len)
		return refuse(p, "it names no host");
	if (!is_host_name(v))
		return refuse(p, "the host may have letters, digits, '.', '-' and '_' only (a name "
				 "in another script is written in its xn-- form)");
	p->out.host = lower_text(p->a, v);
	return 0;
}

static int take_port(struct parser *p, struct view v, uint16_t usual)
{
	uint64_t port = usual;

	if (v.data && (view_number(v, &port) < 0 || port < 1 || port > 65535))
		return refuse(p, "the port must be a number from 1 to 65535");
	p->out.port = (uint16_t)port;
	return 0;
}

/* ---- parameters ---- */

static bool is_listed(struct view name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view_is_nocase(name, list[i]))
			return true;
	return false;
}

static int take_auth(struct parser *p, struct view value)
{
	if (p->out.auth)
		return refuse(p, "?auth= is there twice");
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (view_is_nocase(value, mechanisms[i]))
			p->out.auth = mechanisms[i];
	if (!p->out.auth)
		return refuse(
		    p, "?auth= takes plain, login, scram-sha-1, scram-sha-256 or xoauth2");
	return 0;
}

static int take_authzid(struct parser *p, struct view value)
{
	if (p->out.authzid)
		return refuse(p, "?authzid= is there twice");
	return decode(p, value, "value of ?authzid=", &p->out.authzid);
}

static int take_connections(struct parser *p, struct view value)
{
	uint64_t n;

	if (p->out.connections)
		return refuse(p, "?connections= is there twice");
	if (view_number(value, &n) < 0 || n < 1 || n > 1000)
		return refuse(p, "?connections= takes a number from 1 to 1000");
	p->out.connections = (int)n;
	return 0;
}

static int take_id(struct parser *p, struct view value)
{
	if (p->out.identity)
		return refuse(p, "?id= is there twice");
	if (!value.len)
		return refuse(p, "?id= needs a name");
	return decode(p, value, "value of ?id=", &p->out.identity);
}

static int take_tls(struct parser *p, struct view value)
{
	if (!view_is_nocase(value, "none"))
		return refuse(p, "?tls= takes only none; without it TLS is required");
	if (p->out.tls == ENDPOINT_TLS)
		return refuse(p, "imaps:// always has TLS; ?tls=none goes with imap:// only");
	p->out.tls = ENDPOINT_CLEAR;
	return 0;
}

static int take_layout(struct parser *p, struct view value)
{
	if (p->out.layout)
		return refuse(p, "?layout= is there twice");
	p->out.layout = view_is_nocase(value, "fs")          ? LAYOUT_FS
			: view_is_nocase(value, "maildir++") ? LAYOUT_MAILDIRPP
							     : LAYOUT_DETECT;
	return p->out.layout ? 0 : refuse(p, "?layout= takes maildir++ or fs");
}

static int refuse_parameter(struct parser *p, struct view name)
{
	char shown[33], message[160];

	if (is_listed(name, secret_parameters, COUNT_OF(secret_parameters)))
		return refuse_password(p);
	text_printable(shown, sizeof(shown), name.data, name.len);
	snprintf(message, sizeof(message),
	    p->local
		? "it has no parameter '%s'; there are ?layout= and ?id="
		: "it has no parameter '%s'; there are ?auth=, ?authzid=, ?connections=, ?id= and "
		  "?tls=none",
	    shown);
	return refuse(p, message);
}

static int take_parameter(struct parser *p, struct view pair)
{
	const char *equals = memchr(pair.data, '=', pair.len);
	struct view name, value;

	if (!equals) /* not repeated: who knows what it is */
		return refuse(p, "a parameter is written ?NAME=VALUE");
	name = view_make(pair.data, (size_t)(equals - pair.data));
	value = view_make(equals + 1, pair.len - name.len - 1);
	if (view_is_nocase(name, "id"))
		return take_id(p, value);
	if (p->local && view_is_nocase(name, "layout"))
		return take_layout(p, value);
	if (p->local)
		return refuse_parameter(p, name);
	if (view_is_nocase(name, "auth"))
		return take_auth(p, value);
	if (view_is_nocase(name, "authzid"))
		return take_authzid(p, value);
	if (view_is_nocase(name, "connections"))
		return take_connections(p, value);
	if (view_is_nocase(name, "tls"))
		return take_tls(p, value);
	return refuse_parameter(p, name);
}

static int take_query(struct parser *p, struct view query)
{
	while (query.len) {
		const char *amp = memchr(query.data, '&', query.len);
		size_t len = amp ? (size_t)(amp - query.data) : query.len;
		if (len && take_parameter(p, view_make(query.data, len)) < 0)
			return -1;
		len += amp != NULL;
		query = view_make(query.data + len, query.len - len);
	}
	return 0;
}

/* ---- the whole ---- */

static int refuse_scheme(struct parser *p, struct view name, bool is_url)
{
	bool later = is_listed(name, later_schemes, COUNT_OF(later_schemes));
	char shown[24], message[160];

	if (!name.len || (!is_url && !later))
		return refuse(p, "this is not a URL");
	text_printable(shown, sizeof(shown), name.data, name.len);
	snprintf(message, sizeof(message), "%s: is %s; this version can do " CAN_DO, shown,
	    later ? "not supported yet" : "not known");
	return refuse(p, message);
}

static const struct scheme *scheme_find(struct view name)
{
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (view_is_nocase(name, schemes[i].name))
			return &schemes[i];
	return NULL;
}

/* Whose mailbox it is: domains know no case, the local part may. */
static const char *identity_text(const struct parser *p)
{
	const char *account = p->out.authzid ? p->out.authzid : p->out.user;
	char *text, *domain;

	if (p->out.identity)
		return p->out.identity;
	text = arena_printf(p->a, "%s@%s", account, p->out.host);
	domain = memrchr(text, '@', strlen(account));
	for (char *c = domain ? domain : text + strlen(text); *c; c++)
		*c = (char)ascii_lower(*c);
	return text;
}

static int take_url(struct parser *p, const struct url *url, const struct scheme *scheme)
{
	p->out.scheme = scheme->service;
	p->out.tls = scheme->tls;
	if (decode(p, url->user, "user name", &p->out.user) < 0 || take_host(p, url->host) < 0 ||
	    take_port(p, url->port, scheme->port) < 0)
		return -1;
	if (url->path.len > 1)
		return refuse(p, "behind the host only '/' may stand: all folders are copied, so "
				 "none is named here");
	if (take_query(p, url->query) < 0)
		return -1;
	p->out.identity_given = p->out.identity != NULL;
	p->out.identity = identity_text(p);
	return 0;
}

/* "/path", "path", "///path" as in other URLs of files. '#' is a letter like others in it. */
static int take_local(struct parser *p, const char *text, const struct scheme *scheme)
{
	size_t len = strcspn(text, "?");
	struct view path = {text, len};

	p->out.scheme = scheme->service;
	p->out.tls = scheme->tls;
	if (view_starts_nocase(path, "//")) {
		path = view_make(path.data + 2, path.len - 2);
		if (!path.len || path.data[0] != '/')
			return refuse(p,
			    "behind maildir:// the path begins with a third '/', since a "
			    "Maildir is always on this machine");
	}
	if (!path.len)
		return refuse(p, "it names no path");
	if (decode(p, path, "path", &p->out.path) < 0 ||
	    (text[len] && take_query(p, view_of(text + len + 1)) < 0))
		return -1;
	p->out.identity_given = p->out.identity != NULL;
	if (!p->out.identity)
		p->out.identity = arena_printf(p->a, MAILDIR ":%s", p->out.path);
	return 0;
}

int endpoint_parse(
    struct endpoint *out, struct arena *a, const char *text, enum err_side side, struct err *e)
{
	struct parser p = {.a = a, .e = e, .side = side, .out = {.side = side}};
	struct view name = scheme_of(view_of(text));
	const struct scheme *scheme = scheme_find(name);
	struct url url = {0};
	bool is_url = name.len && !strncmp(text + name.len, "://", 3);

	p.local = scheme && !strcmp(scheme->service, MAILDIR);
	if (strlen(text) > URL_MAX || !is_clean(view_of(text)))
		return refuse(&p, "this is too long, holds control characters or is not UTF-8");
	if (!scheme || (!is_url && !p.local))
		return refuse_scheme(&p, name, is_url);
	if (p.local && take_local(&p, text + name.len + 1, scheme) < 0)
		return -1;
	if (!p.local && (cut(&p, text + name.len + 3, &url) < 0 || take_url(&p, &url, scheme) < 0))
		return -1;
	p.out.url = arena_strdup(a, text);
	*out = p.out;
	return 0;
}
