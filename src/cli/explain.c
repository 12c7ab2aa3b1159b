/* explain.c - the command `godwit explain`: what the ledger knows of a mailbox, a folder or a message,
 * in sentences, or as the records themselves. Reads the state directory and asks no server.
 * Promises: says only what stands there, and that nothing stands there where it is so. Does not: keep
 * passes away; while one runs it may be ahead of what is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/ledger_line.h"
#include "cli/offline.h"
#include "cli/show.h"
#include "cli/suggest.h"
#include "wire/imap_text.h"

#define TEXT_MAX (1u << 20)

struct folder {
	const char *name; /* suggest_name looks here: the destination's, or the source's raw one */
	uint32_t number;
	const char *raw, *target;
	const char *shown; /* raw, decoded */
	const char *plain; /* with '/': what a report calls it, but for a prefix */
};

struct explain {
	struct offline *o;
	struct inspect *i;
	struct inspect_pair pair;
	struct folder *folders;
	size_t folder_count;
	const char **flags; /* by number */
	size_t flag_count;
	const struct folder *folder; /* at work */
	struct view wanted;          /* MESSAGE */
	uint64_t told;               /* sentences about messages */
	struct buf out;
};

/* ---- printing ---- */

/* What was gathered goes out; in JSON as the record, with its sentence. */
static void say(struct explain *x, const struct inspect_record *r, const char *sentence)
{
	json_t *o;

	if (x->o->output == OUTPUT_JSON) {
		o = ledger_line_object(r);
		jsonline_set(o, "text", jsonline_text(sentence));
		jsonline_add(&x->out, o);
	} else {
		show_clean(&x->out, sentence);
		buf_add_char(&x->out, '\n');
	}
	offline_print(&x->out);
	buf_clear(&x->out);
}

static void add_count(struct buf *out, uint64_t n, const char *what)
{
	char text[SHOW_MAX];

	show_count(text, n);
	if (n)
		buf_printf(out, ", %s %s", text, what);
}

/* ---- mailbox and folders ---- */

static int take_pair(void *arg, const struct inspect_record *r, struct err *e)
{
	struct explain *x = arg;
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char when[40];

	(void)e;
	offline_time(when, (int64_t)inspect_number(r, "begun"));
	say(x, r,
	    arena_printf(&scratch, "%s to %s: %llu passes were begun, the last one %s.",
		x->pair.source, x->pair.destination, (unsigned long long)inspect_number(r, "pass"),
		when));
	return 0;
}

/* Names stand in the ledger as the source wrote them (IMAP: modified UTF-7). */
static char *decoded_name(struct view raw, struct arena *a)
{
	char *text;

	if (imap_utf7_decode(&text, a, raw))
		return offline_text(raw, a);
	return offline_text(view_of(text), a);
}

static char *plain_name(struct view raw, struct arena *a)
{
	char *text = decoded_name(raw, a);

	for (char *c = text; *c; c++)
		if (*c == '.')
			*c = '/';
	return text;
}

static int collect_folder(void *arg, const struct inspect_record *r, struct err *e)
{
	struct explain *x = arg;
	struct arena *a = &x->o->arena;
	struct folder *f;

	(void)e;
	x->folders = mem_grow(x->folders, x->folder_count + 1, sizeof(*x->folders));
	f = &x->folders[x->folder_count++];
	*f = (struct folder){.number = r->number,
	    .raw = offline_text(inspect_bytes(r, "source_name"), a),
	    .target = offline_path(r, a)};
	f->name = *f->target ? f->target : f->raw;
	f->shown = decoded_name(inspect_bytes(r, "source_name"), a);
	f->plain = plain_name(inspect_bytes(r, "source_name"), a);
	return 0;
}

static int collect_flags(void *arg, const struct inspect_record *r, struct err *e)
{
	struct explain *x = arg;

	(void)e;
	if (r->number >= 1u << 20)
		return 0;
	for (; x->flag_count <= r->number; x->flag_count++) {
		x->flags = mem_grow(x->flags, x->flag_count + 1, sizeof(*x->flags));
		x->flags[x->flag_count] = "";
	}
	x->flags[r->number] = offline_text(inspect_bytes(r, "flags"), &x->o->arena);
	return 0;
}

static const char *flags_of(const struct explain *x, uint64_t number)
{
	const char *text = number < x->flag_count ? x->flags[number] : "";

	return *text ? text : "none";
}

static const struct folder *folder_by_number(const struct explain *x, uint32_t number)
{
	for (size_t i = 0; i < x->folder_count; i++)
		if (x->folders[i].number == number)
			return &x->folders[i];
	return NULL;
}

static void add_folder_counts(struct buf *text, const struct inspect_record *r)
{
	char number[SHOW_MAX];

	show_count(number, inspect_number(r, "stored"));
	buf_printf(text, "%s copied", number);
	add_count(text, inspect_number(r, "found"), "were there before and recognised");
	add_count(text, inspect_number(r, "refused"), "refused by the destination");
	add_count(text, inspect_number(r, "owed"), "owed by the source");
	add_count(text, inspect_number(r, "left"), "left alone");
	add_count(text, inspect_number(r, "gone"), "of all these gone at the source");
}

static int take_folder(void *arg, const struct inspect_record *r, struct err *e)
{
	struct explain *x = arg;
	AUTO(buf_free) struct buf text = BUF_INIT(TEXT_MAX);
	const struct folder *f = folder_by_number(x, r->number);
	uint64_t finished = inspect_number(r, "finished");

	(void)e;
	if (!f || (x->folder && f != x->folder))
		return 0;
	if (*f->target)
		buf_printf(&text, "Folder %s goes to %s: ", f->shown, f->target);
	else
		buf_printf(&text, "Folder %s has no place at the destination yet: ", f->shown);
	add_folder_counts(&text, r);
	if (finished)
		buf_printf(&text, ". Pass %llu was the last to come to its end there",
		    (unsigned long long)finished);
	else
		buf_add_text(&text, ". No pass came to its end there yet");
	if (inspect_bytes(r, "tail").len)
		buf_add_text(&text, "; something is still to be looked for at the destination");
	buf_add_text(&text, ".");
	say(x, r, text.data);
	return 0;
}

/* ---- messages ---- */

/* "Message 17 of INBOX" */
static void add_subject(struct buf *text, const struct explain *x, const struct inspect_record *r)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const struct folder *f = folder_by_number(x, r->number);

	buf_printf(text, "Message %s of %s ", offline_text(r->id, &scratch), f ? f->shown : "?");
}

static void add_place(struct buf *text, const struct explain *x, const struct inspect_record *r)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const struct folder *f = folder_by_number(x, r->number);
	struct view id = inspect_bytes(r, "target_id");

	if (id.len)
		buf_printf(text, "; at the destination it is %s of %s", offline_text(id, &scratch),
		    f ? f->target : "?");
	else
		buf_add_text(text, "; which one it is at the destination was never told or found");
}

/* What a state means. THERE: it has a place at the destination. */
static const struct state {
	const char *name, *text;
	bool there, has_cause;
} states[] = {
    {"stored", "was copied", true, false},
    {"adopted",
	"was sent, and its receipt lost; it was found at the destination afterwards and adopted",
	true, false},
    {"found",
	"was at the destination before godwit copied it: it was recognised, not copied, and will "
	"never be removed",
	true, false},
    {"refused",
	"was not copied: the destination refused it; it is tried again with --retry-refused, or "
	"when "
	"the limit that refused it was raised",
	false, true},
    {"owed", "was not copied: the source would not give it, and it is tried again in each pass",
	false, true},
    {"left",
	"is left alone: its copy was moved or deleted at the destination before it moved at the "
	"source",
	false, false},
};

static const struct state *state_of(const struct inspect_record *r)
{
	for (size_t i = 0; i < COUNT_OF(states); i++)
		if (view_is(inspect_bytes(r, "state"), states[i].name))
			return &states[i];
	return NULL;
}

static void add_cause(struct buf *text, const struct inspect_record *r)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *cause = arena_text(&scratch, inspect_bytes(r, "cause"));
	const char *reason = offline_text(inspect_bytes(r, "reason"), &scratch);
	int n = cause_by_name(cause);

	buf_printf(text, ". The cause is %s", cause);
	if (*reason)
		buf_printf(text, ": %s", reason);
	if (n > 0 && *cause_remedy((enum cause)n))
		buf_printf(text, ". %s", cause_remedy((enum cause)n));
}

static bool is_repaired(const struct inspect_record *r)
{
	return view_is(inspect_bytes(r, "cause"), cause_name(CAUSE_REPAIRED));
}

static void tell_item(struct explain *x, const struct inspect_record *r)
{
	AUTO(buf_free) struct buf text = BUF_INIT(TEXT_MAX);
	const struct state *s = state_of(r);

	add_subject(&text, x, r);
	buf_printf(&text, "%s (pass %llu)", s ? s->text : "is in a state that is not known",
	    (unsigned long long)inspect_number(r, "pass"));
	if (s && s->there) {
		add_place(&text, x, r);
		buf_printf(&text,
		    ". Flags at the source when last seen: %s; at the destination%s: %s",
		    flags_of(x, inspect_number(r, "source_flags")),
		    inspect_number(r, "target_assumed") ? " (assumed)" : "",
		    flags_of(x, inspect_number(r, "target_flags")));
	}
	if (is_repaired(r) || (s && s->has_cause))
		add_cause(&text, r);
	if (inspect_number(r, "gone"))
		buf_add_text(&text, ". It is not at the source any more");
	if (text.data[text.len - 1] != '.')
		buf_add_text(&text, ".");
	x->told++;
	say(x, r, text.data);
}

static int take_intent(void *arg, const struct inspect_record *r, struct err *e)
{
	static const struct {
		const char *name, *text;
	} kinds[] = {
	    {"open", "was to be sent, and no receipt came yet: the next pass asks the destination "
		     "whether it has it, before anything is sent again"},
	    {"unlocated", "is stored, but the destination did not tell where: it takes part in the "
			  "next look at the destination"},
	    {"doubted", "was sent over a connection that broke, and was not seen at the "
			"destination at first: it is looked for once more, then sent again"},
	    {"placed", "was to be moved within the destination: that was done or not, the next "
		       "pass looks"},
	};
	struct explain *x = arg;
	AUTO(buf_free) struct buf text = BUF_INIT(TEXT_MAX);

	(void)e;
	add_subject(&text, x, r);
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (view_is(inspect_bytes(r, "state"), kinds[i].name))
			buf_add_text(&text, kinds[i].text);
	buf_add_text(&text, ".");
	x->told++;
	say(x, r, text.data);
	return 0;
}

/* With a MESSAGE those that are it, at the source or the destination; else what is not simply
 * copied. */
static int take_item(void *arg, const struct inspect_record *r, struct err *e)
{
	struct explain *x = arg;
	const struct state *s = state_of(r);

	(void)e;
	if (x->wanted.len
		? view_eq(r->id, x->wanted) || view_eq(inspect_bytes(r, "target_id"), x->wanted)
		: !s || !s->there || is_repaired(r))
		tell_item(x, r);
	return 0;
}

static int take_wanted_intent(void *arg, const struct inspect_record *r, struct err *e)
{
	struct explain *x = arg;

	return x->wanted.len && !view_eq(r->id, x->wanted) ? 0 : take_intent(arg, r, e);
}

static int tell_messages(struct explain *x, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	if (inspect_each(x->i, &x->pair, INSPECT_ITEM, x->folder->number, take_item, x, e) ||
	    inspect_each(
		x->i, &x->pair, INSPECT_INTENT, x->folder->number, take_wanted_intent, x, e))
		return -1;
	if (x->told || !x->wanted.len)
		return 0;
	return err_set(e, CAUSE_USAGE, ERR_RUN,
	    "the ledger knows no message %s in %s: it came after the last pass, or was never there",
	    offline_text(x->wanted, &scratch), x->folder->shown);
}

/* ---- the command ---- */

/* As a report calls it: without the source's prefix, with '/' between its parts. Where two could be
 * meant none is. */
static const struct folder *find_plain(const struct explain *x, const char *name)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *wanted = plain_name(view_of(name), &scratch);
	const struct folder *found = NULL;

	for (size_t i = 0; i < x->folder_count; i++) {
		const char *plain = x->folders[i].plain;

		if (strcmp(plain, wanted) &&
		    (strncmp(plain, "INBOX/", 6) || strcmp(plain + 6, wanted)))
			continue;
		if (found)
			return NULL;
		found = &x->folders[i];
	}
	return found;
}

static int find_folder(struct explain *x, const char *name, struct err *e)
{
	const char *near;

	for (size_t i = 0; i < x->folder_count && !x->folder; i++)
		if (!strcmp(x->folders[i].raw, name))
			x->folder = &x->folders[i];
	for (size_t i = 0; i < x->folder_count && !x->folder; i++)
		if (!strcmp(x->folders[i].target, name))
			x->folder = &x->folders[i];
	if (!x->folder)
		x->folder = find_plain(x, name);
	if (x->folder)
		return 0;
	near = suggest_name(name, x->folders, x->folder_count, sizeof(*x->folders));
	return err_set(e, CAUSE_USAGE, ERR_RUN,
	    "the ledger knows no folder %s%s%s; without a folder, explain lists all", name,
	    near ? ", but " : "", near ? near : "");
}

static int explain(struct explain *x, struct err *e)
{
	struct offline *o = x->o;
	bool found;

	if (offline_identity(o, o->operands[0], ERR_SOURCE, &x->pair.source, e) ||
	    offline_identity(o, o->operands[1], ERR_DESTINATION, &x->pair.destination, e) ||
	    inspect_open(&x->i, o->dir, false, e) ||
	    inspect_each(x->i, &x->pair, INSPECT_FOLDER, 0, collect_folder, x, e) ||
	    inspect_each(x->i, &x->pair, INSPECT_FLAGS, 0, collect_flags, x, e) ||
	    (o->count > 2 && find_folder(x, o->operands[2], e)))
		return -1;
	if (o->count > 3)
		x->wanted = view_of(o->operands[3]);
	if (o->count < 4 &&
	    inspect_get(x->i, &x->pair, INSPECT_PAIR, 0, (struct view){0}, take_pair, x, &found, e))
		return -1;
	if (o->count < 4 && !found)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "nothing is known of %s to %s; godwit ledger list shows what is",
		    x->pair.source, x->pair.destination);
	if (o->count < 4 && inspect_each(x->i, &x->pair, INSPECT_FOLDER, 0, take_folder, x, e))
		return -1;
	return x->folder ? tell_messages(x, e) : 0;
}

int explain_command(int count, char **words)
{
	AUTO(offline_free) struct offline o = {0};
	struct explain x = {.o = &o, .out = BUF_INIT(JSONLINE_MAX)};
	struct err e;
	int failed = offline_parse(&o, "explain", count, words, &e);

	if (!failed && o.help) {
		commands_print(STDOUT_FILENO, explain_help);
		return 0;
	}
	if (!failed && (o.count < 2 || o.count > 4))
		failed = err_set(&e, CAUSE_USAGE, ERR_RUN,
		    "explain wants SOURCE, DESTINATION and perhaps a folder and a message; %d "
		    "words were given",
		    o.count);
	failed = failed || explain(&x, &e);
	inspect_close(&x.i);
	buf_free(&x.out);
	free(x.folders);
	free(x.flags);
	return failed ? offline_fail(&e) : 0;
}
