/* pair.c - two sessions, both lists of folders, and which goes with which. Below verify.c and survey.c,
 * above the connectors. Promises: nothing is made, put or marked at either side. A name that the
 * destination took only in a plainer form is looked for in the forms that a pass tries. */
#include "flow/pair.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/mapping.h"
#include "flow/mend.h"
#include "net/wait.h"

/* ---- telling ---- */

void pair_exception(struct pair *p, const struct pair_names *names, enum cause cause,
    const char *id, const char *fmt, ...)
{
	const struct flow_watch *watch = p->context->watch;
	char reason[400];
	struct exception x = {.cause = cause,
	    .folder = names->folder,
	    .target = strcmp(names->folder, names->target) ? names->target : "",
	    .id = id,
	    .msgid = "",
	    .reason = reason};
	va_list args;

	va_start(args, fmt);
	text_format(reason, sizeof(reason), fmt, args);
	va_end(args);
	watch->exception(watch->arg, &x);
}

void pair_note(struct pair *p, const char *fmt, ...)
{
	const struct flow_watch *watch = p->context->watch;
	char text[500];
	va_list args;

	va_start(args, fmt);
	text_format(text, sizeof(text), fmt, args);
	va_end(args);
	watch->note(watch->arg, text);
}

void pair_progress(struct pair *p, enum copy_phase phase)
{
	p->progress.phase = phase;
	p->context->watch->progress(p->context->watch->arg, &p->progress);
}

/* ---- sessions ---- */

int pair_open(struct pair *p, const struct flow_options *options,
    const struct flow_context *context, struct err *e)
{
	p->options = options;
	p->context = context;
	p->from = connector_find(options->source->scheme);
	p->to = connector_find(options->destination->scheme);
	if (!p->from || !p->to)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "there is no connector for %s",
		    p->from ? options->destination->scheme : options->source->scheme);
	p->env = (struct connect_env){.origin = options->source->identity,
	    .waits = context->waits,
	    .secret = context->secret,
	    .secret_arg = context->secret_arg,
	    .note = context->watch->note,
	    .note_arg = context->watch->arg,
	    .record = context->record};
	flags_table_new(&p->env.flags);
	return 0;
}

static void disconnect(struct pair *p)
{
	if (p->source)
		p->from->close(&p->source, NULL);
	if (p->destination)
		p->to->close(&p->destination, NULL);
}

void pair_close(struct pair *p)
{
	disconnect(p);
	name_map_free(&p->map);
	folder_list_free(&p->source_folders);
	folder_list_free(&p->target_folders);
	flags_table_free(&p->env.flags);
}

static int open_one(struct pair *p, const struct connector *c, struct session **s,
    const struct endpoint *at, char *software, struct err *e)
{
	if (*s)
		return 0;
	p->env.measure = p->measure && c == p->to && s == &p->destination;
	if (c->open(s, at, &p->env, e))
		return -1;
	snprintf(software, 100, "%s", (*s)->caps.software);
	return 0;
}

int pair_connect(struct pair *p, struct err *e)
{
	if (p->source && p->destination)
		return 0;
	if (!p->connected_once)
		pair_progress(p, COPY_CONNECTING);
	if (open_one(
		p, p->to, &p->destination, p->options->destination, p->destination_software, e) ||
	    open_one(p, p->from, &p->source, p->options->source, p->source_software, e))
		return -1;
	p->reconnects += p->connected_once;
	p->connected_once = true;
	return 0;
}

int pair_mend(struct pair *p, struct err *e)
{
	char note[MEND_NOTE_SIZE];
	int delay_s = mend_delay(e, p->connected_once, &p->tries);

	if (e->scope == ERR_LINK)
		disconnect(p);
	if (delay_s < 0)
		return -1;
	mend_note(note, e, delay_s);
	pair_note(p, "%s", note);
	return waitset_sleep(p->context->waits, (int64_t)delay_s * 1000, e);
}

/* ---- folders ---- */

const struct folder *pair_target(const struct pair *p, const struct name_map_entry *entry)
{
	const struct folder *f = mapping_find_path(&p->target_folders, entry->parts, entry->depth);

	return f && f->selectable ? f : NULL;
}

bool pair_is_mapped(const struct pair *p, const struct folder *target)
{
	for (size_t i = 0; i < p->map.count; i++)
		if (pair_target(p, &p->map.entries[i]) == target)
			return true;
	return false;
}

static int list_folders(struct pair *p, struct err *e)
{
	if (p->from->list(p->source, &p->source_folders, e) ||
	    p->to->list(p->destination, &p->target_folders, e))
		return -1;
	folder_list_guess_roles(&p->source_folders);
	folder_list_guess_roles(&p->target_folders);
	return 0;
}

static void tell_left_out(struct pair *p)
{
	for (size_t i = 0; i < p->source_folders.count; i++) {
		const struct folder *f = &p->source_folders.folders[i];
		struct arena scratch AUTO(arena_free) = ARENA_INIT;

		if (f->selectable && !mapping_is_too_long(f) &&
		    !mapping_is_carried(f, p->options->all_namespaces))
			pair_note(p,
			    "the folder %s is shared or another user's: left out "
			    "(--namespace all looks at it too)",
			    folder_display(&scratch, f->parts, f->depth));
	}
}

static void start_map(struct pair *p)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const struct folder **sources =
	    arena_new(&scratch, p->source_folders.count, sizeof(*sources));
	size_t count = 0;

	for (size_t i = 0; i < p->source_folders.count; i++)
		if (mapping_is_carried(&p->source_folders.folders[i], p->options->all_namespaces))
			sources[count++] = &p->source_folders.folders[i];
	name_map_free(&p->map);
	name_map_init(&p->map, sources, count);
}

/* Is it there in another case only? */
static bool is_there_folded(const struct pair *p, const struct name_map_entry *entry)
{
	size_t last = entry->depth - 1;

	for (size_t k = 0; k < p->target_folders.count; k++) {
		const struct folder *f = &p->target_folders.folders[k];

		if (f->depth == entry->depth &&
		    mapping_same_path(f->parts, last, entry->parts, last) &&
		    !ascii_cmp_nocase(f->parts[last], entry->parts[last]))
			return true;
	}
	return false;
}

/* That is how a destination shows that it takes both names for one (folders.c learns it so too). */
static bool find_folding(struct pair *p)
{
	bool *fold = &p->destination->caps.names.fold_case;

	for (size_t i = 0; i < p->map.count && !*fold; i++)
		if (!pair_target(p, &p->map.entries[i]) && is_there_folded(p, &p->map.entries[i]))
			return *fold = true;
	return false;
}

static void solve(struct pair *p)
{
	name_map_solve(&p->map, &p->target_folders, &p->destination->caps.names);
}

/* Those that are not there get this form of their names. */
static void try_form(struct pair *p, unsigned attempt)
{
	for (size_t i = 0; i < p->map.count; i++)
		if (!pair_target(p, &p->map.entries[i]))
			p->map.entries[i].attempt = attempt;
	solve(p);
}

void pair_try_forms(struct pair *p)
{
	for (unsigned attempt = 1; attempt < MAPPING_ATTEMPTS; attempt++)
		try_form(p, attempt);
	try_form(p, 0);
}

int pair_prepare(struct pair *p, struct err *e)
{
	while (pair_connect(p, e) || list_folders(p, e))
		if (pair_mend(p, e))
			return -1;
	pair_progress(p, COPY_LISTING);
	p->tries = 0;
	tell_left_out(p);
	start_map(p);
	solve(p);
	if (find_folding(p)) {
		start_map(p);
		solve(p);
	}
	p->progress.folders_total = p->map.count;
	return 0;
}
