/* ledger.c - the command `godwit ledger`: what the state directory holds, told, renamed, carried out
 * and in. Works on records (ledger/inspect.h) and on no server.
 * Promises: whatever changes a pair's records holds the lock of its destination, so that no pass runs
 * on it meanwhile; a rename or an import is done wholly or not at all. Does not: rebuild (copy.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/ledger_line.h"
#include "cli/offline.h"
#include "cli/output.h"
#include "cli/show.h"
#include "fleet/lock.h"

/* ---- pairs ---- */

struct pair {
	struct inspect_pair names;
	uint32_t pass;
	int64_t begun;
	/* of its folders */
	uint64_t folders, stored, found, refused, owed, left, gone;
};

struct pairs {
	struct pair *list;
	size_t count;
	struct arena arena;
};

static int take_pair(void *arg, const struct inspect_record *r, struct err *e)
{
	struct pairs *p = arg;

	(void)e;
	p->list = mem_grow(p->list, p->count + 1, sizeof(*p->list));
	p->list[p->count++] =
	    (struct pair){.names = {arena_text(&p->arena, inspect_bytes(r, "source")),
			      arena_text(&p->arena, inspect_bytes(r, "destination"))},
		.pass = (uint32_t)inspect_number(r, "pass"),
		.begun = (int64_t)inspect_number(r, "begun")};
	return 0;
}

static int list_pairs(struct inspect *i, struct pairs *p, struct err *e)
{
	return inspect_each(i, NULL, INSPECT_PAIR, 0, take_pair, p, e);
}

static void pairs_free(struct pairs *p)
{
	free(p->list);
	arena_free(&p->arena);
}

/* In a dry run all was tried, and is dropped when the ledger is closed. */
static int commit(const struct offline *o, struct inspect *i, struct err *e)
{
	struct buf text AUTO(buf_free) = BUF_INIT(200);

	if (!o->dry_run)
		return inspect_commit(i, e);
	buf_add_text(&text, "This was a dry run: it can be done, and nothing was changed.\n");
	offline_print(&text);
	return 0;
}

/* ---- locks ---- */

struct locks {
	struct {
		struct lock *lock;
		const char *identity;
	} * held;
	size_t count;
	struct arena arena;
};

/* Each once: a second lock of ours would meet the first. */
static int hold(struct locks *l, const struct offline *o, const char *identity, struct err *e)
{
	char self[100];

	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->held[i].identity, identity))
			return 0;
	snprintf(self, sizeof(self), "process %d, godwit ledger", (int)getpid());
	l->held = mem_grow(l->held, l->count + 1, sizeof(*l->held));
	if (lock_take(&l->held[l->count].lock, o->dir, identity, self, e))
		return -1;
	l->held[l->count++].identity = arena_strdup(&l->arena, identity);
	return 0;
}

static void locks_free(struct locks *l)
{
	for (size_t i = 0; i < l->count; i++)
		lock_release(&l->held[i].lock);
	free(l->held);
	arena_free(&l->arena);
}

/* ---- list ---- */

static int add_folder(void *arg, const struct inspect_record *r, struct err *e)
{
	struct pair *p = arg;

	(void)e;
	p->folders++;
	p->stored += inspect_number(r, "stored");
	p->found += inspect_number(r, "found");
	p->refused += inspect_number(r, "refused");
	p->owed += inspect_number(r, "owed");
	p->left += inspect_number(r, "left");
	p->gone += inspect_number(r, "gone");
	return 0;
}

static void print_pair_json(struct buf *out, const struct pair *p)
{
	json_t *o = json_object();

	jsonline_set(o, "source", jsonline_text(p->names.source));
	jsonline_set(o, "destination", jsonline_text(p->names.destination));
	jsonline_set(o, "passes", jsonline_number(p->pass));
	jsonline_set(o, "begun", json_integer((json_int_t)p->begun));
	jsonline_set(o, "folders", jsonline_number(p->folders));
	jsonline_set(o, "stored", jsonline_number(p->stored));
	jsonline_set(o, "found", jsonline_number(p->found));
	jsonline_set(o, "refused", jsonline_number(p->refused));
	jsonline_set(o, "owed", jsonline_number(p->owed));
	jsonline_set(o, "left", jsonline_number(p->left));
	jsonline_set(o, "gone", jsonline_number(p->gone));
	jsonline_add(out, o);
}

static void add_part(struct buf *out, uint64_t n, const char *what)
{
	char text[SHOW_MAX];

	show_count(text, n);
	if (n)
		buf_printf(out, ", %s %s", text, what);
}

static void print_pair_text(struct buf *out, const struct pair *p)
{
	char text[SHOW_MAX], when[40];

	show_clean(out, p->names.source);
	buf_add_text(out, " to ");
	show_clean(out, p->names.destination);
	offline_time(when, p->begun);
	buf_printf(
	    out, "\n  %u pass%s, the last begun %s\n", p->pass, p->pass == 1 ? "" : "es", when);
	show_count(text, p->folders);
	buf_printf(out, "  %s folder%s; messages: ", text, p->folders == 1 ? "" : "s");
	show_count(text, p->stored);
	buf_printf(out, "%s copied", text);
	add_part(out, p->found, "recognised");
	add_part(out, p->refused, "refused");
	add_part(out, p->owed, "owed");
	add_part(out, p->left, "left alone");
	add_part(out, p->gone, "of all these gone at the source");
	buf_add_text(out, "\n");
}

static int print_list(struct offline *o, struct inspect *i, struct pairs *pairs, struct err *e)
{
	for (size_t n = 0; n < pairs->count; n++) {
		AUTO(buf_free) struct buf out = BUF_INIT(JSONLINE_MAX);
		struct pair *p = &pairs->list[n];

		if (inspect_each(i, &p->names, INSPECT_FOLDER, 0, add_folder, p, e))
			return -1;
		if (o->output == OUTPUT_JSON)
			print_pair_json(&out, p);
		else
			print_pair_text(&out, p);
		offline_print(&out);
	}
	return 0;
}

static int run_list(struct offline *o, struct inspect *i, struct err *e)
{
	struct pairs pairs AUTO(pairs_free) = {0};

	if (list_pairs(i, &pairs, e) || print_list(o, i, &pairs, e))
		return -1;
	if (!pairs.count && o->output == OUTPUT_TEXT)
		output_write(STDOUT_FILENO, view_of("Nothing was copied with this state yet.\n"));
	return 0;
}

/* ---- rename ---- */

static struct inspect_pair renamed(
    const struct inspect_pair *pair, const char *old, const char *new)
{
	return (struct inspect_pair){strcmp(pair->source, old) ? pair->source : new,
	    strcmp(pair->destination, old) ? pair->destination : new};
}

static bool concerns(const struct pair *p, const char *identity)
{
	return !strcmp(p->names.source, identity) || !strcmp(p->names.destination, identity);
}

static int check_renamed(struct inspect *i, const struct inspect_pair *to, struct err *e)
{
	bool known;

	if (!strcmp(to->source, to->destination))
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "source and destination would both be %s; nothing was changed", to->source);
	if (inspect_is_known(i, to, &known, e))
		return -1;
	return !known ? 0
		      : err_set(e, CAUSE_USAGE, ERR_RUN,
			    "%s to %s is known already; nothing was changed", to->source,
			    to->destination);
}

static int rename_pairs(struct offline *o, struct inspect *i, struct pairs *pairs, const char *old,
    const char *new, struct err *e)
{
	struct locks locks AUTO(locks_free) = {0};
	size_t count = 0;

	for (size_t n = 0; n < pairs->count; n++) {
		const struct pair *p = &pairs->list[n];
		struct inspect_pair to = renamed(&p->names, old, new);

		if (!concerns(p, old))
			continue;
		count++;
		if (hold(&locks, o, p->names.destination, e) ||
		    hold(&locks, o, to.destination, e) || check_renamed(i, &to, e))
			return -1;
	}
	if (!count)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "nothing is known of %s; godwit ledger list shows what is", old);
	if (inspect_begin(i, e))
		return -1;
	for (size_t n = 0; n < pairs->count; n++) {
		struct inspect_pair to = renamed(&pairs->list[n].names, old, new);

		if (concerns(&pairs->list[n], old) &&
		    inspect_rename(i, &pairs->list[n].names, &to, e))
			return -1;
	}
	return commit(o, i, e);
}

static int run_rename(struct offline *o, struct inspect *i, struct err *e)
{
	struct pairs pairs AUTO(pairs_free) = {0};
	const char *old, *new;

	if (offline_identity(o, o->operands[1], ERR_HERE, &old, e) ||
	    offline_identity(o, o->operands[2], ERR_HERE, &new, e) || list_pairs(i, &pairs, e))
		return -1;
	if (!strcmp(old, new))
		return err_set(e, CAUSE_USAGE, ERR_RUN, "both names are %s", old);
	return rename_pairs(o, i, &pairs, old, new, e);
}

/* ---- export ---- */

struct exporting {
	uint64_t lines;
	bool broken;
};

static int write_line(struct exporting *x, json_t *o, struct err *e)
{
	AUTO(buf_free) struct buf line = BUF_INIT(JSONLINE_MAX);

	jsonline_add(&line, o);
	x->lines++;
	if (output_write(STDOUT_FILENO, buf_view(&line)) < 0)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "the export could not be written: %s",
		    strerror(errno));
	return 0;
}

static int export_record(void *arg, const struct inspect_record *r, struct err *e)
{
	return write_line(arg, ledger_line_object(r), e);
}

static int export_pair(struct exporting *x, struct offline *o, struct inspect *i,
    const struct inspect_pair *pair, struct err *e)
{
	struct locks locks AUTO(locks_free) = {0};

	if (hold(&locks, o, pair->destination, e))
		return -1;
	for (size_t kind = 0; kind < INSPECT_KINDS; kind++)
		if (inspect_each(i, pair, (enum inspect_kind)kind, 0, export_record, x, e))
			return -1;
	return 0;
}

static json_t *head_line(void)
{
	json_t *o = json_object();

	jsonline_set(o, "kind", json_string("ledger"));
	jsonline_set(o, "version", jsonline_number(LEDGER_LINE_VERSION));
	jsonline_set(o, "godwit", json_string(GODWIT_VERSION));
	return o;
}

static int run_export(struct offline *o, struct inspect *i, struct err *e)
{
	struct pairs pairs AUTO(pairs_free) = {0};
	struct exporting x = {0};
	json_t *end;

	if (list_pairs(i, &pairs, e) || write_line(&x, head_line(), e))
		return -1;
	for (size_t n = 0; n < pairs.count; n++)
		if (export_pair(&x, o, i, &pairs.list[n].names, e))
			return -1;
	end = json_object();
	jsonline_set(end, "kind", json_string("end"));
	jsonline_set(end, "lines", jsonline_number(x.lines));
	return write_line(&x, end, e);
}

/* ---- import ---- */

struct importing {
	struct offline *o;
	struct inspect *i;
	struct locks locks;
	uint64_t lines;
	struct inspect_pair pair; /* whose records follow */
	bool ended;
	struct arena arena;
};

static void importing_free(struct importing *m)
{
	locks_free(&m->locks);
	arena_free(&m->arena);
}

/* What is wrong stands in a line of the file. */
static int at_line(const struct importing *m, struct err *e)
{
	char text[sizeof(e->text)];

	if (e->cause != CAUSE_USAGE)
		return -1;
	snprintf(text, sizeof(text), "%s", e->text);
	return err_set(e, CAUSE_USAGE, ERR_RUN, "line %llu: %.300s; nothing was imported",
	    (unsigned long long)m->lines + 1, text);
}

static int begin_pair(struct importing *m, const struct inspect_record *r, struct err *e)
{
	bool known;

	m->pair = (struct inspect_pair){arena_text(&m->arena, inspect_bytes(r, "source")),
	    arena_text(&m->arena, inspect_bytes(r, "destination"))};
	if (!*m->pair.source || !*m->pair.destination)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "a pair has no names");
	if (hold(&m->locks, m->o, m->pair.destination, e) ||
	    inspect_is_known(m->i, &m->pair, &known, e))
		return -1;
	if (known)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "%s to %s is known here already",
		    m->pair.source, m->pair.destination);
	return 0;
}

static int check_head(const struct importing *m, const json_t *o, const char *kind, struct err *e)
{
	json_int_t version = json_integer_value(json_object_get(o, "version"));

	if (m->lines)
		return 0;
	if (strcmp(kind, "ledger") != 0)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "this is no export of a ledger");
	if (version != LEDGER_LINE_VERSION)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "it is an export of version %lld, and this godwit reads version %d",
		    (long long)version, LEDGER_LINE_VERSION);
	return 0;
}

static int import_record(struct importing *m, const json_t *o, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct inspect_record r;

	if (ledger_line_read(o, &r, &scratch, e) ||
	    (r.kind == INSPECT_PAIR && begin_pair(m, &r, e)))
		return -1;
	if (!m->pair.source)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "it belongs to no pair");
	return inspect_put(m->i, &m->pair, &r, e);
}

static int import_object(struct importing *m, const json_t *o, struct err *e)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	json_int_t lines = json_integer_value(json_object_get(o, "lines"));

	if (!kind || m->ended)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    kind ? "something stands behind the end" : "this is no export of a ledger");
	if (check_head(m, o, kind, e))
		return -1;
	if (!m->lines)
		return 0;
	if (strcmp(kind, "end") != 0)
		return import_record(m, o, e);
	if (lines < 0 || (uint64_t)lines != m->lines)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "lines are missing before the end");
	m->ended = true;
	return 0;
}

static int import_line(struct importing *m, const char *line, size_t len, struct err *e)
{
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	int failed;

	if (!json_is_object(o)) {
		json_decref(o);
		err_set(e, CAUSE_USAGE, ERR_RUN, "this is no JSON object");
		return at_line(m, e);
	}
	failed = import_object(m, o, e);
	json_decref(o);
	if (failed)
		return at_line(m, e);
	m->lines++;
	return 0;
}

static int import_lines(struct importing *m, FILE *in, struct err *e)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int failed = 0;

	while (!failed && (len = getline(&line, &size, in)) >= 0)
		failed = import_line(m, line, (size_t)len, e);
	if (!failed && ferror(in))
		failed = err_set(
		    e, CAUSE_USAGE, ERR_RUN, "the export cannot be read: %s", strerror(errno));
	free(line);
	if (!failed && !m->ended)
		failed = err_set(e, CAUSE_USAGE, ERR_RUN,
		    "the export is cut off: its end is missing; nothing was imported");
	return failed;
}

static int run_import(struct offline *o, struct inspect *i, struct err *e)
{
	struct importing m AUTO(importing_free) = {.o = o, .i = i};
	const char *path = o->count > 1 ? o->operands[1] : NULL;
	FILE *in = path ? fopen(path, "re") : stdin;
	int failed;

	if (!in)
		return err_set(
		    e, CAUSE_USAGE, ERR_RUN, "cannot read %s: %s", path, strerror(errno));
	failed = inspect_begin(i, e) || import_lines(&m, in, e) || commit(o, i, e);
	if (path)
		fclose(in);
	return failed ? -1 : 0;
}

/* ---- the command ---- */

static const struct task {
	const char *name;
	int (*run)(struct offline *o, struct inspect *i, struct err *e);
	int least, most; /* operands behind the name */
	const char *wants;
	bool makes; /* the state directory, where there is none */
} tasks[] = {
    {"list", run_list, 0, 0, "nothing more", false},
    {"rename", run_rename, 2, 2, "two mailboxes, OLD and NEW", false},
    {"export", run_export, 0, 0, "nothing more", false},
    {"import", run_import, 0, 1, "at most one file", true},
};

static const struct task *find_task(const struct offline *o, struct err *e)
{
	for (size_t i = 0; o->count && i < COUNT_OF(tasks); i++) {
		const struct task *t = &tasks[i];

		if (strcmp(o->operands[0], t->name) != 0)
			continue;
		if (o->count - 1 >= t->least && o->count - 1 <= t->most)
			return t;
		err_set(e, CAUSE_USAGE, ERR_RUN, "ledger %s wants %s", t->name, t->wants);
		return NULL;
	}
	err_set(e, CAUSE_USAGE, ERR_RUN,
	    "say what to do with the ledger: list, rename, export, import or rebuild");
	return NULL;
}

static void free_inspect(struct inspect **i)
{
	inspect_close(i);
}

int ledger_command(int count, char **words)
{
	AUTO(offline_free) struct offline o = {0};
	AUTO(free_inspect) struct inspect *i = NULL;
	const struct task *task;
	struct err e;

	if (count && !strcmp(words[0], "rebuild"))
		return rebuild_command(count - 1, words + 1);
	if (offline_parse(&o, "ledger", count, words, &e))
		return offline_fail(&e);
	if (o.help) {
		commands_print(STDOUT_FILENO, ledger_help);
		return 0;
	}
	task = find_task(&o, &e);
	if (!task || inspect_open(&i, o.dir, task->makes, &e) || task->run(&o, i, &e))
		return offline_fail(&e);
	return 0;
}
