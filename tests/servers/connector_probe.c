/* connector_probe.c - one connector, driven by hand: what contract.py holds against real servers.
 *
 *     PROBE_PASSWORD=secret connector_probe URL CA-FILE
 *
 * Takes orders on standard input, one a line, its words separated by TAB; answers each with lines of
 * JSON, the last one with "done": true, or "error". Knows nothing but connector.h, so that every
 * service can be held against the same questions.
 *
 *     caps    list    now FOLDER    changes FOLDER [since=C gone partial only_new only_ids id=I ...]
 *     place FROM TO ID...    remove FOLDER ID...    make PATH [from=RAW] [subscribe]
 *
 * FOLDER is a raw name, PATH has its parts between "/". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect/connector.h"
#include "net/wait.h"

enum { WORDS_MAX = 5000, LINE_SIZE = 1 << 20 };

struct probe {
	const struct connector *connector;
	struct session *session;
	struct flags_table *flags;
	struct folder_list folders;
	char *words[WORDS_MAX];
	size_t count;
};

/* ---- JSON ---- */

static void print_text(const char *name, struct view v)
{
	printf(", \"%s\": \"", name);
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.data[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_bool(const char *name, bool value)
{
	printf(", \"%s\": %s", name, value ? "true" : "false");
}

static void print_error(const struct err *e)
{
	printf("{\"error\": \"%s\"", cause_name(e->cause));
	print_text("scope", view_of(err_scope_name(e->scope)));
	print_text("text", view_of(e->text));
	puts("}");
}

static void print_done(void)
{
	puts("{\"done\": true}");
}

/* ---- orders ---- */

/* The word "KEY=value" among the order's, without its key; NULL = none. */
static const char *option(const struct probe *p, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 1; i < p->count; i++)
		if (!strncmp(p->words[i], key, len))
			return p->words[i] + len;
	return NULL;
}

static bool has_word(const struct probe *p, const char *word)
{
	for (size_t i = 1; i < p->count; i++)
		if (!strcmp(p->words[i], word))
			return true;
	return false;
}

static int find_folder(struct probe *p, size_t word, const struct folder **out, struct err *e)
{
	if (p->count <= word)
		return err_set(e, CAUSE_USAGE, ERR_FOLDER, "which folder?");
	if (p->connector->list(p->session, &p->folders, e))
		return -1;
	*out = folder_list_find(&p->folders, view_of(p->words[word]));
	return *out ? 0 : err_set(e, CAUSE_FOLDER_GONE, ERR_FOLDER, "no such folder");
}

static int do_caps(struct probe *p, struct err *e)
{
	const struct session_caps *caps = &p->session->caps;

	(void)e;
	printf("{\"caps\": true");
	print_bool("ids_told", caps->ids_told);
	print_bool("moves", caps->moves);
	print_text("software", view_of(caps->software));
	puts("}");
	return 0;
}

static int do_list(struct probe *p, struct err *e)
{
	if (p->connector->list(p->session, &p->folders, e))
		return -1;
	for (size_t i = 0; i < p->folders.count; i++) {
		const struct folder *f = &p->folders.folders[i];

		printf("{\"messages\": %" PRIu64, f->messages);
		print_text("raw", f->raw);
		print_text("object", f->object);
		print_bool("subscribed", f->subscribed);
		print_bool("selectable", f->selectable);
		puts("}");
	}
	return 0;
}

static int do_now(struct probe *p, struct err *e)
{
	const struct folder *f;
	struct cursor cursor;

	if (find_folder(p, 1, &f, e) || p->connector->now(p->session, f, &cursor, e))
		return -1;
	printf("{\"now\": true");
	print_text("cursor", view_of(cursor.text));
	puts("}");
	return 0;
}

static int print_fact(void *arg, const struct fact *fact, struct err *e)
{
	const struct probe *p = arg;

	(void)e;
	printf("{\"size\": %" PRIu64 ", \"date\": %" PRId64, fact->size,
	    fact->date.known ? fact->date.instant : -1);
	print_text("id", fact->id);
	print_text("flags", view_of(flags_text(p->flags, fact->flags)));
	print_text("object", fact->object);
	print_bool("gone", fact->gone);
	print_bool("partial", fact->partial);
	puts("}");
	return 0;
}

static int do_changes(struct probe *p, struct err *e)
{
	struct fact_sink sink = {print_fact, p};
	struct changes_ask ask = {.only_new = has_word(p, "only_new"),
	    .only_ids = has_word(p, "only_ids"),
	    .gone = has_word(p, "gone"),
	    .partial = has_word(p, "partial")};
	struct view ids[WORDS_MAX];
	struct changes_told told;
	struct cursor since = {""};
	const struct folder *f;

	if (option(p, "since="))
		snprintf(since.text, sizeof(since.text), "%s", option(p, "since="));
	ask.since = &since;
	for (size_t i = 1; i < p->count; i++)
		if (!strncmp(p->words[i], "id=", 3))
			ids[ask.count++] = view_of(p->words[i] + 3);
	ask.ids = ids;
	if (find_folder(p, 1, &f, e) || p->connector->changes(p->session, f, &ask, &sink, &told, e))
		return -1;
	printf("{\"total\": %" PRIu64, told.total);
	print_text("cursor", view_of(told.cursor.text));
	print_bool("reset", told.reset);
	print_bool("back", told.back);
	print_bool("complete", told.complete);
	print_bool("gone_told", told.gone_told);
	puts("}");
	return 0;
}

static int do_place(struct probe *p, struct err *e)
{
	struct placement items[WORDS_MAX] = {0};
	const struct folder *from, *to;
	size_t count = 0;

	if (find_folder(p, 1, &from, e) || find_folder(p, 2, &to, e))
		return -1;
	from = folder_list_find(&p->folders, view_of(p->words[1]));
	for (size_t i = 3; i < p->count; i++)
		items[count++].id = view_of(p->words[i]);
	if (p->connector->place(p->session, from, to, items, count, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		printf("{\"placed\": true");
		print_text("id", items[i].id);
		print_text("new_id", items[i].new_id);
		print_text("reason", view_of(items[i].reason));
		print_bool("moved", items[i].done);
		print_bool("gone", items[i].gone);
		puts("}");
	}
	return 0;
}

static int do_remove(struct probe *p, struct err *e)
{
	struct view ids[WORDS_MAX];
	const struct folder *f;
	size_t count = 0;

	for (size_t i = 2; i < p->count; i++)
		ids[count++] = view_of(p->words[i]);
	return find_folder(p, 1, &f, e) || p->connector->remove(p->session, f, ids, count, e) ? -1
											      : 0;
}

static int do_make(struct probe *p, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char *parts[64], *at = p->count > 1 ? p->words[1] : NULL, *part;
	const char *from = option(p, "from=");
	struct view raw;
	size_t depth = 0;

	while ((part = strsep(&at, "/")) && depth < COUNT_OF(parts))
		parts[depth++] = part;
	if (p->connector->make(p->session, view_of(from), parts, depth, ROLE_NONE,
		has_word(p, "subscribe"), &scratch, &raw, e))
		return -1;
	printf("{\"made\": true");
	print_text("raw", raw);
	puts("}");
	return 0;
}

static int obey(struct probe *p, struct err *e)
{
	static const struct {
		const char *name;
		int (*run)(struct probe *p, struct err *e);
	} orders[] = {{"caps", do_caps}, {"list", do_list}, {"now", do_now},
	    {"changes", do_changes}, {"place", do_place}, {"remove", do_remove}, {"make", do_make}};

	for (size_t i = 0; p->count && i < COUNT_OF(orders); i++)
		if (!strcmp(p->words[0], orders[i].name))
			return orders[i].run(p, e);
	return err_set(e, CAUSE_USAGE, ERR_RUN, "no such order");
}

static void split(struct probe *p, char *line)
{
	char *word;

	line[strcspn(line, "\n")] = '\0';
	for (p->count = 0; p->count < WORDS_MAX && (word = strsep(&line, "\t"));)
		p->words[p->count++] = word;
}

/* ---- the session ---- */

static int give_password(
    void *arg, enum err_side side, enum secret_need need, struct buf *out, struct err *e)
{
	const char *password = getenv("PROBE_PASSWORD");

	(void)arg;
	(void)side;
	if (!password || need != SECRET_FIRST)
		return err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "PROBE_PASSWORD has no password");
	return buf_add_text(out, password);
}

static void serve(struct probe *p)
{
	static char line[LINE_SIZE];

	while (fgets(line, sizeof(line), stdin)) {
		struct err e;

		split(p, line);
		if (obey(p, &e))
			print_error(&e);
		else
			print_done();
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static struct probe p;
	struct arena arena = ARENA_INIT;
	struct endpoint at;
	struct connect_env env = {.secret = give_password};
	struct err e;

	if (argc != 3) {
		fprintf(stderr, "usage: connector_probe URL CA-FILE\n");
		return 2;
	}
	waitset_new(&env.waits, -1);
	flags_table_new(&p.flags);
	env.flags = p.flags;
	if (endpoint_parse(&at, &arena, argv[1], ERR_DESTINATION, &e)) {
		print_error(&e);
		return 1;
	}
	at.ca_file = argv[2][0] ? argv[2] : NULL;
	at.timeout_ms = 60000;
	p.connector = connector_find(at.scheme);
	if (p.connector->open(&p.session, &at, &env, &e)) {
		print_error(&e);
		return 1;
	}
	serve(&p);
	p.connector->close(&p.session, NULL);
	folder_list_free(&p.folders);
	flags_table_free(&p.flags);
	waitset_free(&env.waits);
	arena_free(&arena);
	return 0;
}
