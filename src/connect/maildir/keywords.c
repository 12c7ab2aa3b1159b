/* keywords.c - flags as letters. System flags are the capitals of the Maildir standard; keywords are
 * a to z, and what each means stands in the folder's dovecot-keywords ("0 name" a line), which only
 * its writer's lock protects: dovecot-uidlist.lock, as Dovecot itself has it. P (passed) counts as
 * $Forwarded, and is written only where no letter is left for it, since Dovecot does not know it.
 *
 * Promises: letters once given keep their meaning; the file is replaced in one step. A lock is taken
 * over only from the dead: its process is gone, or it is older than Dovecot believes them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"

#define KEYWORDS "dovecot-keywords"
#define UIDLIST_LOCK "dovecot-uidlist.lock"
#define FILE_MAX (4u << 20)
#define OWN_LOCK "godwit.lock" /* becomes the lock */
#define LOCK_STALE_S 120       /* Dovecot's own */
#define LOCK_POLL_MS 50
#define LOCK_PATIENCE_MS 150000
#define FORWARDED "$Forwarded"

static const struct {
	char letter;
	const char *name;
} capitals[] = {
    {'D', "\\Draft"}, {'F', "\\Flagged"}, {'R', "\\Answered"}, {'S', "\\Seen"}, {'T', "\\Deleted"}};

/* ---- small files ---- */

int maildir_slurp(struct maildir *m, int dir, const char *name, struct buf *out, struct err *e)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *room;
	ssize_t n = 0;

	if (fd < 0)
		return errno == ENOENT
			   ? 1
			   : maildir_failed(m, CAUSE_FOLDER_GONE, "cannot read", name, e);
	while ((room = buf_room(out, 4096)) && (n = read(fd, room, 4096)) > 0)
		buf_grown(out, (size_t)n);
	if (!room)
		errno = EFBIG;
	if (n < 0 || !room)
		maildir_failed(m, CAUSE_FOLDER_GONE, "cannot read", name, e);
	close(fd);
	return n < 0 || !room ? -1 : 0;
}

/* ---- locks ---- */

/* "pid:host" of a process of this machine that is no more? */
static bool is_of_the_dead(const char *text)
{
	char host[256] = "";
	char *end;
	long pid = strtol(text, &end, 10);

	if (pid <= 0 || *end != ':' || gethostname(host, sizeof(host) - 1))
		return false;
	end[1 + strcspn(end + 1, "\n")] = '\0';
	return !strcmp(end + 1, host) && kill((pid_t)pid, 0) && errno == ESRCH;
}

/* Away with a lock that nobody holds any more. */
static void break_stale(int dir, const char *name)
{
	char text[300] = "";
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	if (!fstat(fd, &st) &&
	    (is_of_the_dead(text) || clock_wall() - (int64_t)st.st_mtim.tv_sec > LOCK_STALE_S))
		unlinkat(dir, name, 0);
	close(fd);
}

/* A file of ours in DIR with that text; what an earlier run left there is no more. */
static int write_new(int dir, const char *name, struct view text, bool durable)
{
	struct stat owner;
	int fd, failed;

	unlinkat(dir, name, 0);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	if (!fstat(dir, &owner))
		maildir_give_away(fd, &owner);
	failed = maildir_write(fd, text) || (durable && fsync(fd));
	failed = close(fd) || failed;
	return failed ? -1 : 0;
}

/* 0, 1 = somebody has it, -1 = errno. A lock that has its holder's name from the first instant on,
 * so that nobody waits long for the dead. */
static int try_lock(int dir, const char *name, struct view holder)
{
	int fd, error;

	if (write_new(dir, OWN_LOCK, holder, false))
		return -1;
	fd = linkat(dir, OWN_LOCK, dir, name, 0);
	error = errno;
	unlinkat(dir, OWN_LOCK, 0);
	if (!fd || error == EEXIST)
		return fd ? 1 : 0;
	/* a file system without links */
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == EEXIST ? 1 : -1;
	error = maildir_write(fd, holder);
	close(fd);
	if (error)
		unlinkat(dir, name, 0);
	return error;
}

int maildir_lock(struct maildir *m, int dir, const char *name, struct err *e)
{
	int64_t deadline = clock_ms() + LOCK_PATIENCE_MS;
	char text[300], host[256] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(text, sizeof(text), "%ld:%s", (long)getpid(), host);
	for (;;) {
		int got = try_lock(dir, name, view_of(text));

		if (!got)
			return 0;
		if (got < 0)
			return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot lock", name, e);
		if (clock_ms() > deadline) {
			errno = EDEADLK;
			return maildir_failed(
			    m, CAUSE_FOLDER_GONE, "somebody keeps the lock", name, e);
		}
		break_stale(dir, name);
		if (waitset_sleep(m->env.waits, LOCK_POLL_MS, e))
			return -1;
	}
}

int maildir_replace(struct maildir *m, int dir, const char *name, struct view text, struct err *e)
{
	char fresh[MAILDIR_NAME];

	snprintf(fresh, sizeof(fresh), "%s.godwit", name);
	if (!write_new(dir, fresh, text, true) && !renameat(dir, fresh, dir, name))
		return 0;
	maildir_failed(m, CAUSE_FOLDER_GONE, "cannot write", name, e);
	unlinkat(dir, fresh, 0);
	return -1;
}

/* ---- the table ---- */

static void take_line(struct maildir_keywords *k, struct view line)
{
	const char *space = memchr(line.data, ' ', line.len);
	uint64_t number;

	if (!space || view_number(view_make(line.data, (size_t)(space - line.data)), &number) ||
	    number >= MAILDIR_KEYWORDS || space + 1 == line.data + line.len)
		return;
	line = view_make(space + 1, (size_t)(line.data + line.len - space - 1));
	if (!memchr(line.data, ' ', line.len) && !memchr(line.data, '\0', line.len) &&
	    line.data[0] != '\\')
		k->names[number] = arena_text(&k->arena, line);
}

static void parse(struct maildir_keywords *k, struct view text)
{
	arena_clear(&k->arena);
	memset(k->names, 0, sizeof(k->names));
	while (text.len) {
		const char *end = memchr(text.data, '\n', text.len);
		size_t len = end ? (size_t)(end - text.data) : text.len;

		take_line(k, view_make(text.data, len));
		len += end != NULL;
		text = view_make(text.data + len, text.len - len);
	}
}

int maildir_keywords_load(struct maildir *m, struct err *e)
{
	struct maildir_keywords *k = &m->box.keywords;
	struct buf text AUTO(buf_free) = BUF_INIT(FILE_MAX);
	struct maildir_state now;
	int got;

	if (maildir_state(m, &now, e))
		return -1;
	if (k->loaded && k->mtime == now.words && k->length == now.length)
		return 0;
	got = now.words || now.length ? maildir_slurp(m, m->box.dir, KEYWORDS, &text, e) : 1;
	if (got < 0)
		return -1;
	parse(k, buf_view(&text));
	k->loaded = true;
	k->mtime = now.words;
	k->length = now.length;
	return 0;
}

static int find_word(const struct maildir_keywords *k, struct view word)
{
	for (int i = 0; i < MAILDIR_KEYWORDS; i++)
		if (k->names[i] && view_is_nocase(word, k->names[i]))
			return i;
	return -1;
}

static int free_letter(const struct maildir_keywords *k)
{
	for (int i = 0; i < MAILDIR_KEYWORDS; i++)
		if (!k->names[i])
			return i;
	return -1;
}

/* The next name of a set's text; empty = none left. */
static struct view next_word(const char **at)
{
	struct view word = {*at, strcspn(*at, " ")};

	*at += word.len + ((*at)[word.len] == ' ');
	return word;
}

/* Give letters to the keywords of a set; true = some were new. */
static bool give_letters(struct maildir_keywords *k, const char *text)
{
	struct view word;
	bool any = false;

	while ((word = next_word(&text)).len) {
		int letter;

		if (word.data[0] == '\\' || find_word(k, word) >= 0 ||
		    (letter = free_letter(k)) < 0)
			continue;
		k->names[letter] = arena_text(&k->arena, word);
		any = true;
	}
	return any;
}

static bool lacks_letters(const struct maildir_keywords *k, const char *text)
{
	struct view word;

	while ((word = next_word(&text)).len)
		if (word.data[0] != '\\' && find_word(k, word) < 0)
			return free_letter(k) >= 0;
	return false;
}

static int write_table(struct maildir *m, struct err *e)
{
	const struct maildir_keywords *k = &m->box.keywords;
	struct buf text AUTO(buf_free) = BUF_INIT(FILE_MAX);

	for (int i = 0; i < MAILDIR_KEYWORDS; i++)
		if (k->names[i] && buf_printf(&text, "%d %s\n", i, k->names[i])) {
			errno = EFBIG;
			return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot write", KEYWORDS, e);
		}
	return maildir_replace(m, m->box.dir, KEYWORDS, buf_view(&text), e);
}

/* Under the lock: read once more, then add. */
static int add_locked(struct maildir *m, const uint32_t *flags, size_t count, struct err *e)
{
	struct maildir_keywords *k = &m->box.keywords;
	bool any = false;

	k->loaded = false;
	if (maildir_keywords_load(m, e))
		return -1;
	for (size_t i = 0; i < count; i++)
		any = give_letters(k, flags_text(m->env.flags, flags[i])) || any;
	k->loaded = !any;
	return any ? write_table(m, e) || maildir_keywords_load(m, e) : 0;
}

int maildir_keywords_add(struct maildir *m, const uint32_t *flags, size_t count, struct err *e)
{
	bool lacks = false;
	int failed;

	if (maildir_keywords_load(m, e))
		return -1;
	for (size_t i = 0; i < count && !lacks; i++)
		lacks = lacks_letters(&m->box.keywords, flags_text(m->env.flags, flags[i]));
	if (!lacks)
		return 0;
	if (maildir_lock(m, m->box.dir, UIDLIST_LOCK, e))
		return -1;
	failed = add_locked(m, flags, count, e);
	unlinkat(m->box.dir, UIDLIST_LOCK, 0);
	return failed ? -1 : 0;
}

/* ---- letters and sets ---- */

static const char *letter_name(const struct maildir *m, char letter)
{
	for (size_t i = 0; i < COUNT_OF(capitals); i++)
		if (capitals[i].letter == letter)
			return capitals[i].name;
	if (letter == 'P')
		return FORWARDED;
	return letter >= 'a' && letter <= 'z' ? m->box.keywords.names[letter - 'a'] : NULL;
}

uint32_t maildir_flags_of(struct maildir *m, struct view letters)
{
	struct buf text AUTO(buf_free) = BUF_INIT(FILE_MAX);

	for (size_t i = 0; i < letters.len; i++) {
		const char *name = letter_name(m, letters.data[i]);

		if (name) {
			buf_add_text(&text, name);
			buf_add_char(&text, ' ');
		}
	}
	return flags_intern(m->env.flags, buf_view(&text));
}

static char letter_of(const struct maildir *m, struct view word)
{
	int letter;

	for (size_t i = 0; i < COUNT_OF(capitals); i++)
		if (view_is_nocase(word, capitals[i].name))
			return capitals[i].letter;
	letter = find_word(&m->box.keywords, word);
	return letter >= 0 ? (char)('a' + letter) : view_is_nocase(word, FORWARDED) ? 'P' : '\0';
}

bool maildir_flags_letters(struct maildir *m, uint32_t flags, struct view before, char *out)
{
	const char *text = flags_text(m->env.flags, flags);
	bool set[128] = {false}, all = true;
	struct view word;

	while ((word = next_word(&text)).len) {
		char letter = letter_of(m, word);

		all = all && letter;
		set[(unsigned char)letter] = true;
	}
	for (size_t i = 0; i < before.len; i++) {
		unsigned char c = (unsigned char)before.data[i];

		if (((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) && !letter_name(m, (char)c))
			set[c] = true;
	}
	for (int c = 'A'; c <= 'z'; c++)
		if (set[c])
			*out++ = (char)c;
	*out = '\0';
	return all;
}
