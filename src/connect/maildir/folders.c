/* folders.c - the folders of a Maildir: list and make. Two layouts (quoted names are directories):
 *
 *   maildir++   ".A.B" beside the inbox's cur, new and tmp, with an empty file maildirfolder in it
 *   fs          "A/B" below the inbox's; where that has no cur, the inbox may be "INBOX" (mbsync)
 *
 * Names are modified UTF-7 (RFC 3501 §5.1.3) as Dovecot and Courier have them; what is not that is
 * shown as the UTF-8 that it is. A folder is a directory with a "cur" in it. A folder that may not be
 * opened is listed all the same, so that its job says so. Does not: guess roles. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"
#include "wire/imap_text.h"

#define RAW_MAX 4000u

/* Names found below a directory, in byte order. */
struct names {
	char **names;
	size_t count, size;
	struct arena arena;
};

static void names_free(struct names *n)
{
	free(n->names);
	arena_free(&n->arena);
}

static void names_add(struct names *n, char *name)
{
	if (n->count == n->size) {
		n->size = n->size * 2 + 16;
		n->names = mem_grow(n->names, n->size, sizeof(*n->names));
	}
	n->names[n->count++] = name;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_reserved(const char *name)
{
	return !strcmp(name, "cur") || !strcmp(name, "new") || !strcmp(name, "tmp") ||
	       !strcmp(name, ".") || !strcmp(name, "..");
}

/* Names of files that servers, and we, keep beside the folders of LAYOUT=fs. */
static bool is_file_of_servers(const char *name)
{
	static const char *const names[] = {"subscriptions", "maildirfolder"};
	static const char *const heads[] = {"dovecot", "courierimap"};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	for (size_t i = 0; i < COUNT_OF(heads); i++)
		if (!strncmp(name, heads[i], strlen(heads[i])))
			return true;
	return false;
}

/* Directories below FD that may be folders, in byte order. -1 = errno. */
static int read_names(int fd, struct names *n)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	struct stat st;

	if (!dir)
		return -1;
	for (errno = 0; (d = readdir(dir)); errno = 0) {
		if (is_reserved(d->d_name) || fstatat(fd, d->d_name, &st, 0) ||
		    !S_ISDIR(st.st_mode))
			continue;
		names_add(n, arena_strdup(&n->arena, d->d_name));
	}
	copy = errno;
	closedir(dir);
	errno = copy;
	if (n->count)
		qsort(n->names, n->count, sizeof(*n->names), by_text);
	return copy ? -1 : 0;
}

/* Is the directory of that path a folder? Yes too, where it may not be looked at. */
static bool is_folder(int dir, const char *path)
{
	char cur[RAW_MAX + 8];
	struct stat st;

	snprintf(cur, sizeof(cur), "%s/cur", path);
	if (fstatat(dir, cur, &st, AT_SYMLINK_NOFOLLOW))
		return errno == EACCES;
	return S_ISDIR(st.st_mode);
}

/* Links to folders are folders, but nobody follows them further: they may go round in circles. */
static bool is_link(int dir, const char *path)
{
	struct stat st;

	return !fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode);
}

static bool exists(int dir, const char *path)
{
	struct stat st;

	return !fstatat(dir, path, &st, 0);
}

/* ---- layouts ---- */

/* Paths of all directories that may be folders, the root's first ones with DOTS or without. -1: one
 * cannot be read. */
static int walk(struct maildir *m, bool dots, struct names *all, struct err *e)
{
	names_add(all, arena_strdup(&all->arena, ""));
	for (size_t i = 0; i < all->count; i++) {
		const char *path = all->names[i];
		struct names n AUTO(names_free) = {0};
		int fd, failed;

		if (*path && is_link(m->root, path))
			continue;
		fd = openat(m->root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		failed = fd < 0 || read_names(fd, &n);
		if (failed)
			maildir_failed(m, CAUSE_FOLDER_GONE, "cannot read", path, e);
		if (fd >= 0)
			close(fd);
		if (failed)
			return -1;
		for (size_t k = 0; k < n.count; k++)
			if ((*path || dots || n.names[k][0] != '.') &&
			    strlen(path) + strlen(n.names[k]) < RAW_MAX)
				names_add(all, arena_printf(&all->arena, "%s%s%s", path,
						   *path ? "/" : "", n.names[k]));
	}
	qsort(all->names, all->count, sizeof(*all->names), by_text);
	return 0;
}

static bool has_nested(struct maildir *m)
{
	struct names all AUTO(names_free) = {0};
	bool found = false;

	walk(m, false, &all, NULL); /* what cannot be read is told when it is listed */
	for (size_t i = 0; i < all.count && !found; i++)
		found = *all.names[i] && is_folder(m->root, all.names[i]);
	return found;
}

int maildir_detect(struct maildir *m, enum endpoint_layout *out, struct err *e)
{
	struct names n AUTO(names_free) = {0};
	bool dots = false, plain;

	if (read_names(m->root, &n))
		return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot read", "", e);
	for (size_t i = 0; i < n.count && !dots; i++)
		dots = n.names[i][0] == '.' && is_folder(m->root, n.names[i]);
	plain = has_nested(m);
	if (m->at->layout != LAYOUT_DETECT) {
		*out = dots || plain ? m->at->layout : LAYOUT_DETECT;
		return 0;
	}
	if (dots && plain) {
		err_set(e, CAUSE_USAGE, ERR_RUN,
		    "the Maildir %s has folders of both layouts (\".A.B\" and \"A/B\"); say which "
		    "they are with ?layout=maildir++ or ?layout=fs",
		    m->at->path);
		if (e)
			e->side = m->at->side;
		return -1;
	}
	*out = dots ? LAYOUT_MAILDIRPP : plain ? LAYOUT_FS : LAYOUT_DETECT;
	return 0;
}

/* What the inbox is called: its directory. */
static const char *inbox_raw(const struct maildir *m)
{
	static const char *const spellings[] = {"INBOX", "Inbox", "inbox"};

	if (m->layout == LAYOUT_FS && m->root >= 0 && !is_folder(m->root, MAILDIR_ROOT))
		for (size_t i = 0; i < COUNT_OF(spellings); i++)
			if (is_folder(m->root, spellings[i]))
				return spellings[i];
	return MAILDIR_ROOT;
}

/* ---- listing ---- */

static char *shown_part(struct arena *a, struct view part, bool *broken)
{
	char *text, *ignored;
	size_t size = 3 * part.len + 8;

	if (!imap_utf7_decode(&text, a, part))
		return text;
	text = arena_text(a, part);
	if (!imap_utf7_encode(&ignored, a, text))
		return text; /* UTF-8 as it is */
	*broken = true;
	text = arena_new(a, size, 1);
	text_printable(text, size, part.data, part.len);
	return text;
}

/* The parts of a directory's path; false = one of them is empty. */
static bool split(struct maildir *m, struct arena *a, struct view path, struct folder *f)
{
	f->parts = arena_new(a, path.len + 1, sizeof(*f->parts));
	for (;;) {
		const char *end = memchr(path.data, m->delimiter, path.len);
		size_t len = end ? (size_t)(end - path.data) : path.len;

		if (!len)
			return false;
		f->parts[f->depth++] = shown_part(a, view_make(path.data, len), &f->name_broken);
		if (!end)
			return true;
		path = view_make(end + 1, path.len - len - 1);
	}
}

/* What a finished pass would say of it, and how much it holds: spares a look inside. */
static int add_glance(struct maildir *m, struct folder_list *out, struct folder *f, struct err *e)
{
	struct maildir_state st;
	struct cursor now;
	struct err ignored;

	if (m->at->side != ERR_SOURCE)
		return 0;
	if (waitset_pump(m->env.waits, e) < 0)
		return -1;
	if (maildir_enter(m, f->raw, &ignored) || maildir_state(m, &st, &ignored) ||
	    maildir_count(m, &f->messages, &ignored))
		return 0; /* its job will tell */
	maildir_cursor_print(&now, &st, true);
	f->has_glance = true;
	if (now.text[strlen(now.text) - 1] != '-')
		f->glance_cursor = arena_strdup(&out->arena, now.text);
	return 0;
}

static int add_folder(struct maildir *m, struct folder_list *out, const char *raw, struct err *e)
{
	struct folder *f = folder_list_add(out);
	struct arena *a = &out->arena;
	const char *inbox = inbox_raw(m);
	struct view path = view_of(raw + (m->layout == LAYOUT_MAILDIRPP));

	f->raw = arena_copy(a, view_of(raw));
	f->selectable = true;
	if (!strcmp(raw, inbox)) {
		f->parts = arena_new(a, 1, sizeof(*f->parts));
		f->parts[f->depth++] = arena_strdup(a, "INBOX");
	} else if (!split(m, a, path, f)) {
		f->name_broken = true;
		f->depth = 1;
		f->parts[0] = arena_text(a, path);
	} else if (f->depth == 1 && !ascii_cmp_nocase(f->parts[0], "INBOX")) {
		f->name_broken = true; /* there is one already */
		f->parts[0] = arena_printf(a, "%s_", f->parts[0]);
	}
	return add_glance(m, out, f, e);
}

static int list_dots(struct maildir *m, struct folder_list *out, struct err *e)
{
	struct names n AUTO(names_free) = {0};

	if (read_names(m->root, &n))
		return maildir_failed(m, CAUSE_FOLDER_GONE, "cannot read", "", e);
	for (size_t i = 0; i < n.count; i++)
		if (n.names[i][0] == '.' && is_folder(m->root, n.names[i]) &&
		    add_folder(m, out, n.names[i], e))
			return -1;
	return 0;
}

static int list_nested(struct maildir *m, struct folder_list *out, struct err *e)
{
	struct names all AUTO(names_free) = {0};

	if (walk(m, true, &all, e))
		return -1;
	for (size_t i = 0; i < all.count; i++)
		if (*all.names[i] && is_folder(m->root, all.names[i]) &&
		    add_folder(m, out, all.names[i], e))
			return -1;
	return 0;
}

int maildir_list(struct session *s, struct folder_list *out, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	int failed = 0;

	folder_list_free(out);
	maildir_leave(m);
	if (m->root < 0)
		return 0; /* a new one: nothing yet */
	if (is_folder(m->root, MAILDIR_ROOT))
		failed = add_folder(m, out, MAILDIR_ROOT, e);
	maildir_leave(m);
	if (!failed)
		failed = m->layout == LAYOUT_FS ? list_nested(m, out, e) : list_dots(m, out, e);
	maildir_leave(m);
	return failed || maildir_subscriptions_read(m, out, e) ? -1 : 0;
}

/* ---- making ---- */

static int refuse(struct maildir *m, const char *why, struct err *e)
{
	err_set(e, CAUSE_FOLDER_REFUSED, ERR_FOLDER, "%s", why);
	if (e)
		e->side = m->at->side;
	return -1;
}

static int add_part(struct maildir *m, struct buf *raw, const char *part, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char *encoded;

	if (!*part || strchr(part, '/') || (m->layout == LAYOUT_MAILDIRPP && strchr(part, '.')))
		return refuse(m,
		    m->layout == LAYOUT_FS
			? "in a Maildir no part of a folder's name may be empty or have a '/'"
			: "in a Maildir no part of a folder's name may be empty or have a '/' or "
			  "'.'",
		    e);
	if (m->layout == LAYOUT_FS && is_reserved(part))
		return refuse(m, "cur, new, tmp, . and .. mean other things in a Maildir", e);
	if (m->layout == LAYOUT_FS && is_file_of_servers(part))
		return refuse(m, "servers keep a file of that name in a Maildir", e);
	if (imap_utf7_encode(&encoded, &scratch, part) || buf_add_text(raw, encoded))
		return refuse(m, "the name cannot be written in modified UTF-7, or is too long", e);
	return 0;
}

static int raw_of(
    struct maildir *m, struct buf *raw, char *const *parts, size_t depth, struct err *e)
{
	if (depth == 1 && !ascii_cmp_nocase(parts[0], "INBOX"))
		return buf_add_text(raw, inbox_raw(m));
	if (m->layout == LAYOUT_MAILDIRPP)
		buf_add_char(raw, '.');
	for (size_t i = 0; i < depth; i++)
		if ((i && buf_add_char(raw, m->delimiter)) || add_part(m, raw, parts[i], e))
			return -1;
	return 0;
}

/* One that is there but not the owner's is what a killed run had just made. */
static int make_dir(int dir, const char *path, const struct stat *owner)
{
	bool made = !mkdirat(dir, path, 0700);
	struct stat st;
	int fd;

	if (!made && errno != EEXIST)
		return -1;
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return made ? -1 : 0;
	if (made || (!fstat(fd, &st) && !st.st_uid && owner->st_uid))
		maildir_give_away(fd, owner);
	close(fd);
	return 0;
}

/* A directory that means something once it is there: given to its owner before it has its name. */
static int make_whole(int dir, const char *path, const char *before, const struct stat *owner)
{
	if (make_dir(dir, before, owner))
		return -1;
	if (renameat(dir, before, dir, path)) {
		int error = errno;

		unlinkat(dir, before, AT_REMOVEDIR);
		errno = error;
		return error == EEXIST || error == ENOTEMPTY ? 0 : -1;
	}
	return 0;
}

/* The Maildir itself, where it is not there yet. */
static int make_root(struct maildir *m)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char *path = arena_strdup(&scratch, m->at->path), *above, *slash;
	struct stat owner;

	if (m->root >= 0)
		return 0;
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	above = arena_strdup(&scratch, path);
	slash = strrchr(above, '/');
	if (slash)
		slash[slash == above] = '\0';
	if (stat(slash ? above : ".", &owner))
		return -1;
	owner.st_mode = 0700;
	if (make_whole(AT_FDCWD, path, arena_printf(&scratch, "%s.godwit", path), &owner))
		return -1;
	m->root = open(m->at->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return m->root < 0 ? -1 : 0;
}

/* All directories on the way to it, where parts lie in one another. */
static int make_way(struct maildir *m, const char *raw, const struct stat *owner)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char *path = arena_strdup(&scratch, raw);

	if (!strcmp(raw, MAILDIR_ROOT))
		return 0;
	for (char *at = path; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		if (make_dir(m->root, path, owner))
			return -1;
	}
	return make_dir(m->root, path, owner);
}

static void sync_all(int fd)
{
	fsync(fd);
	close(fd);
}

/* cur comes last: it makes the directory a folder. */
static int make_folder(struct maildir *m, const char *raw)
{
	static const char *const inside[] = {"tmp", "new"};
	struct stat owner;
	int fd, file;

	if (fstat(m->root, &owner) || make_way(m, raw, &owner))
		return -1;
	fd = openat(m->root, raw, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (m->layout == LAYOUT_MAILDIRPP && strcmp(raw, MAILDIR_ROOT) != 0) {
		file =
		    openat(fd, "maildirfolder", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (file >= 0)
			maildir_give_away(file, &owner);
		if (file >= 0)
			close(file);
	}
	for (size_t i = 0; i < COUNT_OF(inside); i++)
		if (make_dir(fd, inside[i], &owner))
			return close(fd), -1;
	if (make_whole(fd, "cur", "tmp/cur.godwit", &owner))
		return close(fd), -1;
	sync_all(fd);
	fsync(m->root);
	return 0;
}

/* One directory holds all levels below it. */
static int rename_nested(struct maildir *m, const char *from, const char *to)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char *above = arena_strdup(&scratch, to), *slash = strrchr(above, '/');
	struct stat owner;

	if (slash)
		*slash = '\0';
	if (fstat(m->root, &owner) || (slash && make_way(m, above, &owner)))
		return -1;
	return exists(m->root, from) ? maildir_rename(m->root, from, m->root, to) : 0;
}

/* Each level is a directory beside the others. Begun again after an accident, it goes on. */
static int rename_dots(struct maildir *m, const char *from, const char *to)
{
	struct names n AUTO(names_free) = {0};
	size_t len = strlen(from);

	if (read_names(m->root, &n))
		return -1;
	for (size_t i = 0; i < n.count; i++) {
		const char *rest = n.names[i] + len;

		if (strncmp(n.names[i], from, len) != 0 || (*rest && *rest != '.'))
			continue;
		if (maildir_rename(
			m->root, n.names[i], m->root, arena_printf(&n.arena, "%s%s", to, rest)))
			return -1;
	}
	return 0;
}

static int rename_folder(struct maildir *m, struct view from, const char *to, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *raw = arena_text(&scratch, from);

	if (!strcmp(raw, inbox_raw(m)) || !strcmp(to, inbox_raw(m)))
		return refuse(m, "the inbox of a Maildir cannot be renamed", e);
	if (m->layout == LAYOUT_FS ? rename_nested(m, raw, to) : rename_dots(m, raw, to))
		return maildir_failed(m, CAUSE_FOLDER_REFUSED, "cannot rename to", to, e);
	fsync(m->root);
	return maildir_subscriptions_rename(m, raw, to, e);
}

/* The inbox comes first, whatever folder is wanted: killed from here on, the next run sees a Maildir. */
static int make_maildir(struct maildir *m)
{
	if (!m->unmade)
		return 0;
	if (make_root(m) || make_folder(m, MAILDIR_ROOT))
		return -1;
	m->unmade = false;
	return 0;
}

int maildir_make(struct session *s, struct view from, char *const *parts, size_t depth,
    enum folder_role role, bool subscribe, struct arena *a, struct view *out_raw, struct err *e)
{
	struct maildir *m = MAILDIR(s);
	struct buf raw AUTO(buf_free) = BUF_INIT(RAW_MAX);

	(void)role;
	maildir_leave(m);
	if (raw_of(m, &raw, parts, depth, e))
		return -1;
	if (make_maildir(m))
		return maildir_failed(m, CAUSE_FOLDER_REFUSED, "cannot make", "", e);
	if (from.len && rename_folder(m, from, raw.data, e))
		return -1;
	if (make_folder(m, raw.data))
		return maildir_failed(m, CAUSE_FOLDER_REFUSED, "cannot make", raw.data, e);
	if (subscribe && maildir_subscriptions_add(m, raw.data, e))
		return -1;
	*out_raw = arena_copy(a, buf_view(&raw));
	return 0;
}
