/* subscriptions.c - the file "subscriptions" in the Maildir as Dovecot keeps it: a folder a line, in
 * version 2 ("V 2" and an empty line at its head) with tabs between the levels, before that with the
 * delimiter. Courier's courierimapsubscribed is read as well ("INBOX.Sent" for ".Sent"). Where a source
 * has neither, all its folders count as subscribed: it was used by programs that show every folder.
 * Names are those of the directories. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"

#define SUBSCRIPTIONS "subscriptions"
#define LOCK SUBSCRIPTIONS ".lock"
#define COURIER "courierimapsubscribed"
#define VERSION_2 "V\t2\n\n"
#define FILE_MAX (16u << 20)

static struct view next_line(struct view *text)
{
	const char *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
	struct view line = {text->data, end ? (size_t)(end - text->data) : text->len};

	*text =
	    view_make(text->data + line.len + (end != NULL), text->len - line.len - (end != NULL));
	return line;
}

static bool is_version_2(struct view text)
{
	return text.len >= strlen(VERSION_2) && !memcmp(text.data, VERSION_2, strlen(VERSION_2));
}

/* A folder as the file calls it: the inbox by its name, no dot before the others. */
static const char *name_of(const struct maildir *m, const char *raw)
{
	if (!strcmp(raw, MAILDIR_ROOT))
		return "INBOX";
	return m->layout == LAYOUT_MAILDIRPP && raw[0] == '.' ? raw + 1 : raw;
}

static bool same_name(const struct maildir *m, struct view line, const char *name)
{
	if (line.len != strlen(name))
		return false;
	for (size_t i = 0; i < line.len; i++)
		if (line.data[i] != name[i] && !(line.data[i] == '\t' && name[i] == m->delimiter))
			return false;
	return true;
}

static void subscribe(
    const struct maildir *m, struct folder_list *out, struct view line, bool courier)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	if (courier && line.len > 6 && view_starts_nocase(line, "INBOX."))
		line = view_make(line.data + 6, line.len - 6);
	for (size_t i = 0; i < out->count; i++) {
		struct folder *f = &out->folders[i];

		if (same_name(m, line, name_of(m, arena_text(&scratch, f->raw))))
			f->subscribed = true;
	}
}

/* 0, 1 = there is no such file, -1. */
static int read_file(
    struct maildir *m, struct folder_list *out, const char *name, bool courier, struct err *e)
{
	struct buf text AUTO(buf_free) = BUF_INIT(FILE_MAX);
	struct view rest;
	int got = maildir_slurp(m, m->root, name, &text, e);

	rest = buf_view(&text);
	while (!got && rest.len) {
		struct view line = next_line(&rest);

		if (line.len)
			subscribe(m, out, line, courier);
	}
	return got;
}

int maildir_subscriptions_read(struct maildir *m, struct folder_list *out, struct err *e)
{
	int dovecot = read_file(m, out, SUBSCRIPTIONS, false, e);
	int courier = dovecot < 0 ? -1 : read_file(m, out, COURIER, true, e);

	if (dovecot < 0 || courier < 0)
		return -1;
	for (size_t i = 0; dovecot && courier && m->at->side == ERR_SOURCE && i < out->count; i++)
		out->folders[i].subscribed = true;
	return 0;
}

/* NAME as a line of the file. */
static int add_line(const struct maildir *m, struct buf *text, const char *name, bool version_2)
{
	for (; *name; name++)
		if (buf_add_char(text, version_2 && *name == m->delimiter ? '\t' : *name))
			return -1;
	return buf_add_char(text, '\n');
}

static int too_long(const struct maildir *m, struct err *e)
{
	errno = EFBIG;
	return maildir_failed(m, CAUSE_FOLDER_REFUSED, "cannot write", SUBSCRIPTIONS, e);
}

static int add(struct maildir *m, const char *raw, struct err *e)
{
	struct buf text AUTO(buf_free) = BUF_INIT(FILE_MAX);
	const char *name = name_of(m, raw);
	struct view rest;

	if (maildir_slurp(m, m->root, SUBSCRIPTIONS, &text, e) < 0)
		return -1;
	for (rest = buf_view(&text); rest.len;)
		if (same_name(m, next_line(&rest), name))
			return 0;
	if (!text.len)
		buf_add_text(&text, VERSION_2);
	if (text.data[text.len - 1] != '\n')
		buf_add_char(&text, '\n');
	if (add_line(m, &text, name, is_version_2(buf_view(&text))))
		return too_long(m, e);
	return maildir_replace(m, m->root, SUBSCRIPTIONS, buf_view(&text), e);
}

/* LINE is FROM or lies below it: how long that part is; 0 = neither. */
static size_t below(const struct maildir *m, struct view line, const char *from)
{
	size_t len = strlen(from);

	if (line.len < len || !same_name(m, view_make(line.data, len), from))
		return 0;
	return line.len == len || line.data[len] == '\t' || line.data[len] == m->delimiter ? len
											   : 0;
}

static int rename_lines(struct maildir *m, const char *from, const char *to, struct err *e)
{
	struct buf text AUTO(buf_free) = BUF_INIT(FILE_MAX),
			out AUTO(buf_free) = BUF_INIT(FILE_MAX);
	int got = maildir_slurp(m, m->root, SUBSCRIPTIONS, &text, e);
	bool version_2 = is_version_2(buf_view(&text)), changed = false;
	struct view rest = buf_view(&text);

	while (!got && rest.len) {
		struct view line = next_line(&rest);
		size_t len = below(m, line, name_of(m, from));

		changed = changed || len;
		if (len) {
			add_line(m, &out, name_of(m, to), version_2);
			out.len--; /* the rest of the line comes first */
		}
		if (buf_add(&out, line.data + len, line.len - len) || buf_add_char(&out, '\n'))
			return too_long(m, e);
	}
	if (got || !changed)
		return got < 0 ? -1 : 0;
	return maildir_replace(m, m->root, SUBSCRIPTIONS, buf_view(&out), e);
}

int maildir_subscriptions_add(struct maildir *m, const char *raw, struct err *e)
{
	int failed;

	if (maildir_lock(m, m->root, LOCK, e))
		return -1;
	failed = add(m, raw, e);
	unlinkat(m->root, LOCK, 0);
	return failed;
}

int maildir_subscriptions_rename(struct maildir *m, const char *from, const char *to, struct err *e)
{
	int failed;

	if (maildir_lock(m, m->root, LOCK, e))
		return -1;
	failed = rename_lines(m, from, to, e);
	unlinkat(m->root, LOCK, 0);
	return failed;
}
