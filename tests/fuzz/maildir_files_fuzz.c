/* maildir_files_fuzz.c - the small files of a Maildir that others write: dovecot-keywords and
 * subscriptions. Whatever is in them, keywords that got letters come back from their letters, letters
 * once given keep their meaning, and what was subscribed is subscribed.
 *
 * The input: flags and keywords up to a line end, then a folder's name up to the next, then the file. */
#include <fcntl.h>
#include <unistd.h>

#include "connect/maildir/maildir.h"
#include "fuzz.h"

static int scratch = -1; /* a directory, in memory where there is such a place */
static char scratch_name[40];

static void close_scratch(void)
{
	unlinkat(scratch, "dovecot-keywords", 0);
	unlinkat(scratch, "subscriptions", 0);
	rmdir(scratch_name);
}

static void open_scratch(void)
{
	bool memory = !access("/dev/shm", W_OK);

	snprintf(scratch_name, sizeof(scratch_name), "%s/godwit-fuzz-XXXXXX",
	    memory ? "/dev/shm" : "/tmp");
	must(mkdtemp(scratch_name), "there is a directory to work in");
	scratch = open(scratch_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(close_scratch);
}

static void write_file(const char *name, struct view text)
{
	int fd = openat(scratch, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && !maildir_write(fd, text) && !close(fd), "the file is written");
}

static bool is_full(const struct maildir_keywords *k)
{
	for (int i = 0; i < MAILDIR_KEYWORDS; i++)
		if (!k->names[i])
			return false;
	return true;
}

static void check_keywords(struct maildir *m, struct view words)
{
	uint32_t flags = flags_intern(m->env.flags, words), back;
	char *before[MAILDIR_KEYWORDS], letters[64];
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct err e;
	bool all;

	must(!maildir_keywords_load(m, &e), "any file can be read");
	for (int i = 0; i < MAILDIR_KEYWORDS; i++)
		before[i] =
		    m->box.keywords.names[i] ? arena_strdup(&a, m->box.keywords.names[i]) : NULL;
	must(!maildir_keywords_add(m, &flags, 1, &e), "keywords can be added");
	for (int i = 0; i < MAILDIR_KEYWORDS; i++)
		must(!before[i] ||
			 (m->box.keywords.names[i] && !strcmp(m->box.keywords.names[i], before[i])),
		    "letters keep their meaning");
	all = maildir_flags_letters(m, flags, view_of("FzQ"), letters);
	for (const char *c = letters; *c && c[1]; c++)
		must(c[0] < c[1], "letters are in order");
	back = flags_minus(m->env.flags, flags, maildir_flags_of(m, view_of(letters)));
	must(!all || back == FLAGS_NONE, "keywords come back from their letters");
	must(all || is_full(&m->box.keywords) || flags_text(m->env.flags, back)[0] == '\\',
	    "or no letter was left");
}

static void check_subscriptions(struct maildir *m, struct view name)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct folder_list list = {0};
	char *raw = arena_printf(&a, ".%s", arena_text(&a, name));
	struct folder *f;
	struct err e;

	if (!maildir_subscriptions_add(m, raw, &e)) {
		f = folder_list_add(&list);
		f->raw = view_of(raw);
		must(!maildir_subscriptions_read(m, &list, &e) && f->subscribed,
		    "what was subscribed is subscribed");
		must(!maildir_subscriptions_rename(m, raw, ".Other", &e), "it can be renamed");
		f->raw = view_of(".Other");
		f->subscribed = false;
		must(!maildir_subscriptions_read(m, &list, &e) && f->subscribed,
		    "and is subscribed under its new name");
	}
	folder_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct endpoint at = {.path = "Maildir", .side = ERR_DESTINATION};
	struct maildir m = {.at = &at, .layout = LAYOUT_MAILDIRPP, .delimiter = '.'};
	struct view file = view_make(data, size), words = cut_at(&file, '\n'),
		    name = cut_at(&file, '\n');

	if (scratch < 0)
		open_scratch();
	waitset_new(&m.env.waits, -1);
	flags_table_new(&m.env.flags);
	m.root = m.box.dir = m.box.cur = scratch;
	m.box.new = m.box.tmp = -1;
	buf_init(&m.box.raw, 100);
	write_file("dovecot-keywords", file);
	write_file("subscriptions", file);
	check_keywords(&m, words);
	check_subscriptions(&m, name);
	arena_free(&m.box.keywords.arena);
	buf_free(&m.box.raw);
	flags_table_free(&m.env.flags);
	waitset_free(&m.env.waits);
	return 0;
}
