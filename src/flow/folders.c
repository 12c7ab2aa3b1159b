/* folders.c - which source folder goes where, and making what is missing. Before the jobs.
 * model/names decides; what the destination then says decides over that: a refused name is tried in
 * a plainer form, and a folder counts as made only when the destination lists it under that very
 * name. Mappings are remembered in the ledger before anything is put. */
#include "flow/lane.h"

#include <string.h>

#include "base/log.h"
#include "flow/mapping.h"

#define ATTEMPTS MAPPING_ATTEMPTS
#define SUSPICIONS 2 /* a folder that costs two connections in a row is given up */

static int list_target(struct lane *l, struct err *e)
{
	if (l->to->list(l->destination, &l->target_folders, e))
		return -1;
	folder_list_guess_roles(&l->target_folders);
	return 0;
}

static int list_source(struct lane *l, struct err *e)
{
	if (l->from->list(l->source, &l->source_folders, e))
		return -1;
	folder_list_guess_roles(&l->source_folders);
	return 0;
}

static void tell_too_long(struct lane *l, const struct folder *f)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *name = folder_display(&scratch, f->parts, f->depth);
	struct folder_job job = {.name = name, .target_name = name};

	l->summary->folders_failed++;
	lane_exception(l, &job, CAUSE_FOLDER_REFUSED, (struct view){0}, "",
	    "its name is too long to be carried (%zu bytes in %zu levels)", f->raw.len, f->depth);
}

static void tell_left_out(struct lane *l)
{
	for (size_t i = 0; i < l->source_folders.count; i++) {
		const struct folder *f = &l->source_folders.folders[i];
		struct arena scratch AUTO(arena_free) = ARENA_INIT;

		if (f->selectable && mapping_is_too_long(f))
			tell_too_long(l, f);
		else if (f->selectable && !mapping_is_carried(f, l->options->all_namespaces))
			lane_note(l,
			    "the folder %s is shared or another user's: left out "
			    "(--namespace all carries it)",
			    folder_display(&scratch, f->parts, f->depth));
	}
}

static void start_map(struct lane *l)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const struct folder **sources =
	    arena_new(&scratch, l->source_folders.count, sizeof(*sources));
	size_t count = 0;

	for (size_t i = 0; i < l->source_folders.count; i++)
		if (mapping_is_carried(&l->source_folders.folders[i], l->options->all_namespaces))
			sources[count++] = &l->source_folders.folders[i];
	name_map_init(&l->map, sources, count);
	for (size_t i = 0; i < count; i++) {
		const struct ledger_folder *m = ledger_folder(l->ledger, sources[i]->raw);

		l->map.entries[i].remembered =
		    m->target_depth && !m->renamed ? m->target_parts : NULL;
		l->map.entries[i].remembered_depth = m->target_depth;
		if (l->suspicions >= SUSPICIONS && view_eq(l->suspect, m->source_raw))
			l->map.entries[i].attempt = ATTEMPTS;
	}
}

/* The old name stays where the new one is taken or refused. */
static void keep_name(struct lane *l, struct name_map_entry *entry, struct ledger_folder *m)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	lane_note(l, "the folder %s was renamed at the source; at the destination it stays %s",
	    folder_display(&scratch, entry->source->parts, entry->source->depth),
	    folder_display(&scratch, m->target_parts, m->target_depth));
	entry->parts = m->target_parts;
	entry->depth = m->target_depth;
}

/* Renamed at the source: so it is here, unless the destination has both names or none. */
static int rename_target(
    struct lane *l, struct name_map_entry *entry, struct ledger_folder *m, struct err *e)
{
	const struct folder *old = folder_list_find(&l->target_folders, m->target_raw);
	const struct folder *there =
	    mapping_find_path(&l->target_folders, entry->parts, entry->depth);
	struct err refusal;
	struct view raw;

	m->renamed = false;
	if (!old && there) /* it went with its parent */
		return ledger_set_target(l->ledger, m, entry->parts, entry->depth, there->raw, e);
	if (!old || mapping_same_path(m->target_parts, m->target_depth, entry->parts, entry->depth))
		return ledger_save_folder(l->ledger, m, e);
	if (there || old->role != ROLE_NONE) {
		keep_name(l, entry, m);
		return ledger_save_folder(l->ledger, m, e);
	}
	if (!l->to->make(l->destination, old->raw, entry->parts, entry->depth, entry->source->role,
		old->subscribed, &l->map.arena, &raw, &refusal)) {
		l->summary->folders_renamed++;
		return ledger_set_target(l->ledger, m, entry->parts, entry->depth, raw, e) ||
			       list_target(l, e)
			   ? -1
			   : 0;
	}
	if (refusal.scope == ERR_FOLDER) {
		keep_name(l, entry, m);
		return ledger_save_folder(l->ledger, m, e);
	}
	*e = refusal;
	return -1;
}

static bool is_subscribed_now(const struct name_map_entry *entry, const struct ledger_folder *m)
{
	return entry->source->subscribed && !m->subscribed;
}

/* Nothing is to be done but to make it, or to subscribe it where it is. */
static bool is_plain(struct lane *l, const struct name_map_entry *entry, struct making *out)
{
	const struct ledger_folder *m = ledger_folder(l->ledger, entry->source->raw);
	const struct folder *there =
	    mapping_find_path(&l->target_folders, entry->parts, entry->depth);

	if (entry->attempt || m->renamed || m->lost || (there && !there->selectable))
		return false;
	*out = (struct making){.parts = entry->parts,
	    .depth = entry->depth,
	    .role = entry->source->role,
	    .subscribe = is_subscribed_now(entry, m) && !(there && there->subscribed),
	    .there = there != NULL,
	    .raw = there ? there->raw : (struct view){0}};
	return !there || out->subscribe;
}

static int remember_made(
    struct lane *l, const struct name_map_entry *entry, const struct making *made, struct err *e)
{
	struct ledger_folder *m = ledger_folder(l->ledger, entry->source->raw);

	l->summary->folders_made += !made->there;
	m->subscribed = m->subscribed || made->subscribe;
	return ledger_set_target(l->ledger, m, entry->parts, entry->depth, made->raw, e);
}

/* All that can be made in one flight, parents before children: MADE of the map's entries. What is not made so,
 * for whatever reason, is made by itself. */
static int make_flight(struct lane *l, size_t deepest, bool *made, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct making *folders = arena_new(&scratch, l->map.count + 1, sizeof(*folders));
	size_t *which = arena_new(&scratch, l->map.count + 1, sizeof(*which)), count = 0;

	if (!l->to->make_all || l->sessions > 1 || l->options->dry_run || l->options->rebuild)
		return 0;                         /* some name may have cost the link */
	for (size_t i = 0; i < l->map.count; i++) /* a child would make the name it shall get */
		if (ledger_folder(l->ledger, l->map.entries[i].source->raw)->renamed &&
		    l->map.entries[i].depth < deepest)
			deepest = l->map.entries[i].depth;
	for (size_t depth = 1; depth <= deepest; depth++)
		for (size_t i = 0; i < l->map.count; i++)
			if (l->map.entries[i].depth == depth &&
			    is_plain(l, &l->map.entries[i], &folders[count]))
				which[count++] = i;
	if (count && l->to->make_all(l->destination, folders, count, &l->map.arena, e))
		return -1;
	for (size_t i = 0; i < count; i++) {
		made[which[i]] = folders[i].done;
		if (folders[i].done && remember_made(l, &l->map.entries[which[i]], &folders[i], e))
			return -1;
	}
	return 0;
}

static int make_folder(struct lane *l, struct name_map_entry *entry, struct err *e)
{
	struct ledger_folder *m = ledger_folder(l->ledger, entry->source->raw);
	bool subscribe = is_subscribed_now(entry, m);
	bool looks = l->options->dry_run || l->options->rebuild; /* nothing is made */
	const struct folder *there;
	struct view raw;

	if (m->renamed && !looks && rename_target(l, entry, m, e))
		return -1;
	there = mapping_find_path(&l->target_folders, entry->parts, entry->depth);
	if (l->options->dry_run) {
		l->summary->planned_folders += !there && !m->renamed;
		return 0;
	}
	if (looks && (!there || !there->selectable))
		return 0;
	if (there && there->selectable && (looks || !subscribe || there->subscribed))
		raw = there->raw;
	else if (l->to->make(l->destination, (struct view){0}, entry->parts, entry->depth,
		     entry->source->role, subscribe, &l->map.arena, &raw, e))
		return -1;
	l->summary->folders_made += !there;
	m->subscribed = m->subscribed || (subscribe && !looks);
	return ledger_set_target(l->ledger, m, entry->parts, entry->depth, raw, e);
}

/* Some names make some servers hang up. */
static void suspect(struct lane *l, const struct name_map_entry *entry)
{
	const struct ledger_folder *m = ledger_folder(l->ledger, entry->source->raw);

	l->suspicions = view_eq(l->suspect, m->source_raw) ? l->suspicions + 1 : 1;
	l->suspect = m->source_raw;
}

static bool is_lost(const struct lane *l, const struct name_map_entry *entry)
{
	return ledger_folder(l->ledger, entry->source->raw)->lost;
}

/* What is not MADE yet of one depth. */
static int make_level(struct lane *l, size_t depth, const bool *made, bool *again, struct err *e)
{
	for (size_t i = 0; i < l->map.count; i++) {
		struct name_map_entry *entry = &l->map.entries[i];

		if (entry->depth != depth || entry->attempt >= ATTEMPTS || is_lost(l, entry) ||
		    made[i] || !make_folder(l, entry, e))
			continue;
		if (e->scope != ERR_FOLDER) {
			suspect(l, entry);
			return -1;
		}
		log_debug("refused (attempt %u): %s", entry->attempt, e->text);
		entry->attempt++;
		entry->remembered = NULL;
		*again = *again || entry->attempt < ATTEMPTS;
	}
	return 0;
}

static bool same_nocase(struct view a, struct view b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++)
		if (ascii_lower((unsigned char)a.data[i]) != ascii_lower((unsigned char)b.data[i]))
			return false;
	return a.len == b.len;
}

/* Listed in another case only: that is how a destination shows that it takes both for one. */
static void note_folding(struct lane *l, struct view raw)
{
	for (size_t i = 0; i < l->target_folders.count; i++) {
		struct view other = l->target_folders.folders[i].raw;

		if (same_nocase(other, raw))
			l->destination->caps.names.fold_case = true;
	}
}

/* A folder is there when it is listed under the name it was made with. */
static int verify_made(struct lane *l, bool *again, struct err *e)
{
	if (list_target(l, e))
		return -1;
	for (size_t i = 0; i < l->map.count; i++) {
		struct name_map_entry *entry = &l->map.entries[i];
		const struct ledger_folder *m = ledger_folder(l->ledger, entry->source->raw);

		if (entry->attempt >= ATTEMPTS || m->lost ||
		    !mapping_same_path(
			m->target_parts, m->target_depth, entry->parts, entry->depth) ||
		    folder_list_find(&l->target_folders, m->target_raw))
			continue; /* refused, or there */
		note_folding(l, m->target_raw);
		log_debug("made but not listed: %.*s", (int)m->target_raw.len, m->target_raw.data);
		entry->attempt++;
		entry->remembered = NULL;
		*again = *again || entry->attempt < ATTEMPTS;
	}
	return 0;
}

static void tell_renamed(struct lane *l, const struct name_map_entry *entry, bool known)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *source = folder_display(&scratch, entry->source->parts, entry->source->depth);
	const char *target = folder_display(&scratch, entry->parts, entry->depth);
	struct folder_job job = {.name = source, .target_name = target};

	if (entry->attempt >= ATTEMPTS)
		lane_exception(l, &job, CAUSE_FOLDER_REFUSED, (struct view){0}, "",
		    "the destination takes it under no name that was tried; its messages were not "
		    "copied");
	else if ((entry->change & ~(unsigned)NAME_ROLE) && !known)
		lane_exception(l, &job, CAUSE_FOLDER_RENAMED, (struct view){0}, "", "%s",
		    name_change_reason(&scratch, entry->change));
}

static int make_all(struct lane *l, struct err *e)
{
	uint64_t made = l->summary->folders_made;
	bool again = true;

	for (int round = 0; again && round < ATTEMPTS; round++) {
		struct arena scratch AUTO(arena_free) = ARENA_INIT;
		bool *flown = arena_new(&scratch, l->map.count + 1, sizeof(*flown));
		size_t deepest = 0;

		again = false;
		name_map_solve(&l->map, &l->target_folders, &l->destination->caps.names);
		for (size_t i = 0; i < l->map.count; i++)
			if (l->map.entries[i].depth > deepest)
				deepest = l->map.entries[i].depth;
		if (make_flight(l, deepest, flown, e))
			return -1;
		for (size_t depth = 1; depth <= deepest; depth++)
			if (make_level(l, depth, flown, &again, e))
				return -1;
		if (l->summary->folders_made != made && verify_made(l, &again, e))
			return -1;
	}
	return 0;
}

int folders_prepare(struct lane *l, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	int64_t begun = clock_ms();
	bool *known;

	l->progress.phase = COPY_LISTING;
	lane_progress(l);
	name_map_free(&l->map);
	if (flow_both(l, list_source, list_target, e))
		return -1;
	l->near = clock_ms() - begun < NEAR_MS;
	if (follow_folders(l, e))
		return -1;
	tell_left_out(l);
	start_map(l);
	lanes_expect(l);
	known = arena_new(&scratch, l->map.count, sizeof(*known));
	for (size_t i = 0; i < l->map.count; i++)
		known[i] = l->map.entries[i].remembered != NULL;
	early_choose(l);
	if (flow_both(l, early_ask, make_all, e))
		return -1;
	for (size_t i = 0; i < l->map.count; i++)
		tell_renamed(l, &l->map.entries[i], known[i]);
	return 0;
}

void folders_job(struct lane *l, size_t index, struct folder_job *job)
{
	const struct name_map_entry *entry = &l->map.entries[index];
	struct ledger_folder *m = ledger_folder(l->ledger, entry->source->raw);
	const struct folder *there;

	*job = (struct folder_job){.source = entry->source, .memory = m};
	job->target =
	    (struct folder){.raw = m->target_raw, .parts = entry->parts, .depth = entry->depth};
	job->name = folder_display(&job->arena, entry->source->parts, entry->source->depth);
	job->target_name = folder_display(&job->arena, entry->parts, entry->depth);
	job->usable = entry->attempt < ATTEMPTS && !m->lost;
	if (m->lost)
		lane_exception(l, job, CAUSE_FOLDER_LOST, (struct view){0}, "",
		    "it was deleted at the destination, or renamed so that it cannot be told");
	there = folder_list_find(&l->target_folders, m->target_raw);
	ledger_set_objects(
	    l->ledger, m, entry->source->object, there ? there->object : (struct view){0});
	if (!there && l->options->dry_run) /* it would be the one of that name */
		there = mapping_find_path(&l->target_folders, entry->parts, entry->depth);
	if (there)
		job->target.raw = there->raw;
	job->usable = job->usable && (there || !l->options->rebuild);
	early_take(l, job);
}
