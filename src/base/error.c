/* error.c - errors and their causes. The table below is the one place where a cause gets its name,
 * its exit code and its remedy. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int exit;
	const char *remedy;
} causes[CAUSE_COUNT] = {
    [CAUSE_NONE] = {"none", 0, ""},
    [CAUSE_USAGE] = {"usage", 2, "See godwit --help."},
    [CAUSE_CONNECT] = {"connect", 10,
	"Check host, port and network, then run the same command again; it goes on where it "
	"stopped."},
    [CAUSE_TLS] = {"tls", 11,
	"Trust the server's CA with --ca-file, or have its certificate mended."},
    [CAUSE_LOGIN] = {"login", 12, "Check user name, password and ?auth=, then run it again."},
    [CAUSE_PROTOCOL] = {"protocol", 10, "Check that host and port are those of an IMAP server."},
    [CAUSE_THROTTLED] = {"throttled", 20, "Wait, then run the same command again."},
    [CAUSE_QUOTA] = {"quota", 20,
	"Have the quota raised or make room at the destination, then run the same command again."},
    [CAUSE_STATE] = {"state", 30, "Mend the state directory, or name another with --state."},
    [CAUSE_LOCKED] = {"locked", 30, "Wait for the other godwit to end, or stop it."},
    [CAUSE_BUG] = {"bug", 70, "This is a fault of godwit: please report it."},
    [CAUSE_STOPPED] = {"stopped", 130, "Run the same command again; it goes on where it stopped."},
    [CAUSE_FOLDER_REFUSED] = {"folder-refused", 1,
	"Make the folder at the destination by hand under a name it takes, then run it again."},
    [CAUSE_FOLDER_GONE] = {"folder-gone", 1,
	"Look at the folder with a mail program; run it again when it can be opened."},
    [CAUSE_FOLDER_RESET] = {"folder-reset", 1,
	"The folder was rebuilt by its server while it was worked on, again and again; run it "
	"again "
	"when the server has come to rest."},
    [CAUSE_FOLDER_RENAMED] = {"folder-renamed", 0, "Nothing to do; the new name is remembered."},
    [CAUSE_TOO_BIG] = {"too-big", 1,
	"Raise the destination's message size limit (or --max-size), then run it with "
	"--retry-refused."},
    [CAUSE_REFUSED] = {"refused", 1,
	"Look at the reason; when it is gone, run it with --retry-refused."},
    [CAUSE_NUL] = {"nul", 1,
	"The message holds NUL bytes, which this destination does not take; --repair stores it in "
	"other bytes."},
    [CAUSE_8BIT_HEADER] = {"8bit-header", 1,
	"The header has raw 8-bit bytes, which this destination does not take; --repair stores it "
	"in other bytes."},
    [CAUSE_BARE_NEWLINE] = {"bare-newline", 1,
	"The message has bare line feeds, or does not end in one, which this destination does not "
	"take; --repair stores it in other bytes."},
    [CAUSE_BAD_HEADER] = {"bad-header", 1,
	"The message has no valid header, which this destination does not take; --repair stores it "
	"in other bytes."},
    [CAUSE_EMPTY] = {"empty", 1, "The message has no content to copy."},
    [CAUSE_VIRUS] = {"virus", 1, "The destination's scanner found something; look at the message."},
    [CAUSE_DATE] = {"date", 0,
	"The destination does not take the message's arrival date; it was stored with another."},
    [CAUSE_FLAGS] = {"flags", 0,
	"The destination does not keep these flags or keywords; the message is there without "
	"them."},
    [CAUSE_ALTERED] = {"altered", 0,
	"The destination's server changed the message while storing it."},
    [CAUSE_UNREADABLE] = {"unreadable", 1,
	"Open the message at the source with a mail program; run it again."},
    [CAUSE_GONE] = {"gone", 0, "Nothing to do."},
    [CAUSE_IN_DOUBT] = {"in-doubt", 1, "Look whether the destination has it twice."},
    [CAUSE_MISSING] = {"missing", 1,
	"Somebody may have deleted or moved it at the destination; look there."},
    [CAUSE_FOLDER_LOST] = {"folder-lost", 1,
	"If it was deleted on purpose, nothing is to be done; --recreate makes it again and copies "
	"into it what is missing there."},
    [CAUSE_DELETIONS] = {"deletions", 1,
	"Look at the source; if the deletions are meant, run it again with a higher "
	"--deletions-limit."},
    [CAUSE_NOT_REMOVED] = {"not-removed", 0,
	"It was changed at the destination, or was there before; delete it by hand if it shall "
	"go."},
    [CAUSE_EXTRA] = {"extra", 0, "Nothing to do, unless it should not be there."},
    [CAUSE_FLAGS_DIFFER] = {"flags-differ", 1,
	"Somebody may have changed them on either side; copying again brings the source's "
	"changes."},
    [CAUSE_DATE_DIFFERS] = {"date-differs", 1,
	"The message is there; its arrival date cannot be changed any more."},
    [CAUSE_SIZE_DIFFERS] = {"size-differs", 1,
	"Compare again with --digest, which reads both; then look at the message."},
    [CAUSE_BYTES_DIFFER] = {"bytes-differ", 1,
	"Look at the message at both ends; save the source's by hand where it is the right one."},
    [CAUSE_DAMAGED] = {"damaged", 30,
	"Put back a sound copy, or let godwit ledger rebuild SOURCE DESTINATION make it anew from "
	"both mailboxes; nothing is doubled by that."},
    [CAUSE_LONG_LINE] = {"long-line", 1,
	"The message has a line longer than this destination takes; --repair stores it in other "
	"bytes."},
    [CAUSE_MEMORY] = {"memory", 70,
	"Give the machine more memory or end what else uses it, then run it again; it goes on "
	"where it stopped."},
    [CAUSE_REPAIRED] = {"repaired", 0,
	"The destination does not take the message as it is; it was stored in other bytes, as "
	"--repair asks."},
};

const char *cause_name(enum cause cause)
{
	assert(cause < CAUSE_COUNT && causes[cause].name);
	return causes[cause].name;
}

const char *cause_remedy(enum cause cause)
{
	assert(cause < CAUSE_COUNT);
	return causes[cause].remedy;
}

int cause_exit(enum cause cause)
{
	assert(cause < CAUSE_COUNT);
	return causes[cause].exit;
}

int cause_by_name(const char *name)
{
	for (int i = 0; i < CAUSE_COUNT; i++)
		if (!strcmp(causes[i].name, name))
			return i;
	return -1;
}

const char *err_scope_name(enum err_scope scope)
{
	static const char *const names[] = {"item", "window", "folder", "link", "mailbox", "run"};

	return names[scope];
}

void text_format(char *out, size_t size, const char *fmt, va_list args)
{
	char raw[1024];
	int len = vsnprintf(raw, sizeof(raw), fmt, args);

	if (len < 0)
		len = 0;
	text_printable(out, size, raw, (size_t)len < sizeof(raw) ? (size_t)len : sizeof(raw) - 1);
}

int err_set(struct err *e, enum cause cause, enum err_scope scope, const char *fmt, ...)
{
	va_list args;

	if (!e)
		return -1;
	*e = (struct err){.cause = cause, .scope = scope};
	e->next = scope == ERR_LINK ? ERR_RETRY : ERR_GIVE_UP;
	va_start(args, fmt);
	text_format(e->text, sizeof(e->text), fmt, args);
	va_end(args);
	return -1;
}

void err_detail(struct err *e, const char *fmt, ...)
{
	va_list args;

	if (!e)
		return;
	va_start(args, fmt);
	text_format(e->detail, sizeof(e->detail), fmt, args);
	va_end(args);
}

int err_stopped(struct err *e)
{
	err_set(e, CAUSE_STOPPED, ERR_RUN, "stopped");
	if (e)
		e->next = ERR_STOPPED;
	return -1;
}

/* Length of the valid UTF-8 sequence at text, 0 = none (RFC 3629, without overlong forms). C1
 * controls (U+0080..9F) count as invalid: terminals obey them. */
static size_t utf8_length(const unsigned char *t, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = t[0] >= 0xf0 && t[0] < 0xf5 ? 4 : t[0] >= 0xe0 ? 3 : t[0] >= 0xc2 ? 2 : 0;
	uint32_t c;

	if (t[0] < 0x80)
		return 1;
	if (!n || n > len || t[0] >= 0xf5)
		return 0;
	c = t[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((t[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (t[i] & 0x3f);
	}
	if (c < least[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff || c < 0xa0)
		return 0;
	return n;
}

void text_printable(char *out, size_t size, const char *text, size_t len)
{
	const unsigned char *t = (const unsigned char *)text;
	size_t at = 0, to = 0, cut = 0; /* CUT: the last place where "..." fits */

	assert(size >= 8);
	while (at < len) {
		size_t n = utf8_length(t + at, len - at);
		bool good = n && t[at] >= 0x20 && t[at] != 0x7f;
		size_t step = good ? n : 1;
		if (to + step >= size) {
			memcpy(out + cut, "...", 3);
			to = cut + 3;
			break;
		}
		if (good)
			memcpy(out + to, t + at, n);
		else
			out[to] = '?';
		to += step;
		cut = to <= size - 4 ? to : cut;
		at += n ? n : 1;
	}
	out[to] = '\0';
}
