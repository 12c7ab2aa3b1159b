/* survey.c - looks at a source and a destination before anything is copied. Beside verify.c, over the
 * same pair of sessions. A folder: sweep the source's facts (sizes, dates, flags) and the
 * destination's where it is there. At the end some messages of the source are read to see how fast it
 * gives them. Does not: know what earlier passes copied (it reads no ledger), or how fast the
 * destination takes mail (that cannot be seen without writing there). */
#include "flow/survey.h"

#include <stdio.h>
#include <string.h>

#include "flow/mapping.h"
#include "flow/pair.h"

#define PROBE_BYTES (2u << 20) /* of messages read */
#define PROBE_SLICE (256u << 10)
#define PROBE_MS 2000
#define PROBE_ITEMS 256u
#define ROUNDS 3 /* round trips measured */

/* Messages worth reading, of the folder with most bytes so far. */
struct probe {
	const struct folder *folder;
	struct view ids[PROBE_ITEMS];
	uint64_t sizes[PROBE_ITEMS];
	size_t count;
	uint64_t bytes, folder_bytes;
	struct arena arena;
};

struct survey {
	struct pair pair;
	struct survey_summary *summary;
	uint64_t max_size;
	/* the folder under way */
	struct pair_names names;
	struct survey_folder found;
	uint64_t bad_dates, with_keywords;
	uint64_t coming; /* bytes of what is not too big */
	bool telling;    /* the sweep tells of what it meets: the source's first one */
	struct probe candidate, probe;
};

/* ---- the source ---- */

static void probe_clear(struct probe *p)
{
	arena_free(&p->arena);
	*p = (struct probe){0};
}

static void probe_offer(struct probe *p, const struct fact *fact)
{
	p->folder_bytes += fact->size;
	if (p->count == PROBE_ITEMS || p->bytes + fact->size > PROBE_BYTES)
		return;
	p->sizes[p->count] = fact->size;
	p->ids[p->count++] = arena_copy(&p->arena, fact->id);
	p->bytes += fact->size;
}

static void tell_item(struct survey *s, const struct fact *fact)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *id = arena_text(&scratch, fact->id);

	if (s->max_size && fact->size > s->max_size)
		pair_exception(&s->pair, &s->names, CAUSE_TOO_BIG, id,
		    "%llu bytes, and the limit is %llu", (unsigned long long)fact->size,
		    (unsigned long long)s->max_size);
	if (!fact->date.known)
		pair_exception(&s->pair, &s->names, CAUSE_DATE, id,
		    "the source shows no arrival date that can be read");
}

static int take_source(void *arg, const struct fact *fact, struct err *e)
{
	struct survey *s = arg;

	(void)e;
	if (fact->gone)
		return 0;
	s->found.items++;
	s->found.bytes += fact->size;
	if (s->max_size && fact->size > s->max_size)
		s->found.too_big++;
	else
		s->coming += fact->size;
	s->bad_dates += !fact->date.known;
	s->with_keywords += flags_has_keywords(s->pair.env.flags, fact->flags);
	tell_item(s, fact);
	probe_offer(&s->candidate, fact);
	return 0;
}

static int take_target(void *arg, const struct fact *fact, struct err *e)
{
	struct survey *s = arg;

	(void)e;
	s->found.target_items += !fact->gone;
	s->found.target_bytes += fact->gone ? 0 : fact->size;
	return 0;
}

static int sweep(struct survey *s, const struct connector *c, struct session *session,
    const struct folder *f, int (*take)(void *, const struct fact *, struct err *), struct err *e)
{
	const struct changes_ask ask = {0};
	const struct fact_sink sink = {take, s};
	struct changes_told told;

	return c->changes(session, f, &ask, &sink, &told, e);
}

/* ---- one folder ---- */

static void add_folder(struct survey *s)
{
	struct survey_summary *sum = s->summary;
	const struct survey_folder *f = &s->found;
	uint64_t least = s->coming > f->target_bytes ? s->coming - f->target_bytes : 0;

	sum->folders++;
	sum->folders_there += f->there;
	sum->items += f->items;
	sum->bytes += f->bytes;
	sum->target_items += f->target_items;
	sum->target_bytes += f->target_bytes;
	sum->too_big += f->too_big;
	sum->bad_dates += s->bad_dates;
	sum->with_keywords += s->with_keywords;
	sum->needed += least;
	sum->needed_at_most += s->coming;
}

static void report_folder(struct survey *s)
{
	const struct flow_watch *watch = s->pair.context->watch;
	struct folder_report r = {.kind = JOB_CHECK, .survey = s->found};

	add_folder(s);
	watch->report(watch->arg, s->names.folder, s->names.target, &r);
	if (s->candidate.count && s->candidate.folder_bytes > s->probe.folder_bytes) {
		probe_clear(&s->probe);
		s->probe = s->candidate;
		s->candidate = (struct probe){0};
	}
}

static int look_at_folder(
    struct survey *s, const struct folder *source, const struct folder *target, struct err *e)
{
	s->found = (struct survey_folder){.there = target != NULL};
	s->bad_dates = s->with_keywords = s->coming = 0;
	probe_clear(&s->candidate);
	s->candidate.folder = source;
	if (target && sweep(s, s->pair.to, s->pair.destination, target, take_target, e))
		return -1;
	return sweep(s, s->pair.from, s->pair.source, source, take_source, e);
}

static int try_folder(struct survey *s, const struct name_map_entry *entry, struct err *e)
{
	const struct folder *target = pair_target(&s->pair, entry);

	s->pair.tries = 0;
	while (pair_connect(&s->pair, e) || look_at_folder(s, entry->source, target, e)) {
		if (e->scope <= ERR_FOLDER) {
			enum cause cause =
			    e->cause < CAUSE_FOLDER_REFUSED ? CAUSE_FOLDER_GONE : e->cause;

			s->summary->folders_failed++;
			pair_exception(&s->pair, &s->names, cause, "", "%s", e->text);
			return 0;
		}
		if (pair_mend(&s->pair, e))
			return -1;
	}
	report_folder(s);
	return 0;
}

static void tell_name(struct survey *s, const struct name_map_entry *entry)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;

	if (!(entry->change & ~(unsigned)NAME_ROLE))
		return;
	s->summary->renamed++;
	pair_exception(&s->pair, &s->names, CAUSE_FOLDER_RENAMED, "", "%s",
	    name_change_reason(&scratch, entry->change));
}

static int look_at_entry(struct survey *s, const struct name_map_entry *entry, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct copy_progress *progress = &s->pair.progress;
	int failed;

	s->names.folder = folder_display(&scratch, entry->source->parts, entry->source->depth);
	s->names.target = folder_display(&scratch, entry->parts, entry->depth);
	text_printable(
	    progress->folder, sizeof(progress->folder), s->names.folder, strlen(s->names.folder));
	pair_progress(&s->pair, COPY_LISTING);
	tell_name(s, entry);
	failed = try_folder(s, entry, e);
	progress->folders_done++;
	return failed;
}

static void tell_too_long(struct survey *s)
{
	for (size_t i = 0; i < s->pair.source_folders.count; i++) {
		const struct folder *f = &s->pair.source_folders.folders[i];
		struct arena scratch AUTO(arena_free) = ARENA_INIT;

		if (!f->selectable || !mapping_is_too_long(f))
			continue;
		s->names.folder = s->names.target = folder_display(&scratch, f->parts, f->depth);
		s->summary->folders_refused++;
		pair_exception(&s->pair, &s->names, CAUSE_FOLDER_REFUSED, "",
		    "its name is too long to be carried (%zu bytes in %zu levels)", f->raw.len,
		    f->depth);
	}
}

/* ---- the account ---- */

static void tell_size(char out[40], uint64_t bytes)
{
	snprintf(out, 40, "%.1f MiB", (double)bytes / (1u << 20));
}

static void judge_quota(struct survey *s)
{
	struct survey_summary *sum = s->summary;
	const struct session_caps *caps = &s->pair.destination->caps;
	struct pair_names nowhere = {"", ""};
	char least[40], most[40], room[40];

	sum->quota_told = caps->quota_told && caps->quota_free != UINT64_MAX;
	sum->quota_free = sum->quota_told ? caps->quota_free : 0;
	if (!sum->quota_told || sum->needed_at_most <= sum->quota_free)
		return;
	sum->quota_short = sum->needed > sum->quota_free;
	tell_size(least, sum->needed);
	tell_size(most, sum->needed_at_most);
	tell_size(room, sum->quota_free);
	if (sum->quota_short)
		pair_exception(&s->pair, &nowhere, CAUSE_QUOTA, "",
		    "at least %s are to come, and its quota leaves room for %s", least, room);
	else
		pair_note(&s->pair,
		    "the destination's quota leaves room for %s; %s to %s are to come, by what is "
		    "there of it already",
		    room, least, most);
}

static void judge_keywords(struct survey *s)
{
	struct survey_summary *sum = s->summary;
	struct pair_names nowhere = {"", ""};
	static const enum survey_keywords told[] = {
	    [KEYWORDS_UNKNOWN] = SURVEY_KEYWORDS_UNKNOWN,
	    [KEYWORDS_TAKEN] = SURVEY_KEYWORDS_TAKEN,
	    [KEYWORDS_REFUSED] = SURVEY_KEYWORDS_REFUSED,
	};

	sum->keywords = told[s->pair.destination->caps.keywords];
	if (sum->keywords == SURVEY_KEYWORDS_REFUSED && sum->with_keywords)
		pair_exception(&s->pair, &nowhere, CAUSE_FLAGS, "",
		    "%llu messages have keywords, and the destination lets no new ones be made; "
		    "they would be copied without those it does not know",
		    (unsigned long long)sum->with_keywords);
}

static void judge_limit(struct survey *s)
{
	uint64_t told = s->pair.destination->caps.max_size, asked = s->pair.options->max_size;

	s->summary->limit_told = told != 0;
	s->max_size = !told ? asked : !asked || told < asked ? told : asked;
	s->summary->max_size = s->max_size;
}

/* ---- how fast ---- */

/* The shortest of some: what else goes on makes them longer, nothing makes them shorter. */
static int measure_round(struct session *session, const struct connector *c, const struct folder *f,
    uint64_t *out, struct err *e)
{
	struct cursor ignored;
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t from = clock_ms();
		uint64_t ms;

		if (c->now(session, f, &ignored, e))
			return -1;
		ms = (uint64_t)(clock_ms() - from);
		least = ms < least ? ms : least;
	}
	*out = least;
	return 0;
}

static int take_probed(void *arg, const struct fact *fact, struct err *e)
{
	uint64_t *bytes = arg;

	(void)e;
	*bytes += fact->has_identity ? fact->identity.size : 0;
	return 0;
}

static int read_slice(struct survey *s, size_t *at, struct err *e)
{
	const struct probe *p = &s->probe;
	struct changes_ask ask = {.digest = true, .ids = p->ids + *at};
	const struct fact_sink sink = {take_probed, &s->summary->probe_bytes};
	struct changes_told told;
	uint64_t bytes = 0;

	for (; *at < p->count && bytes < PROBE_SLICE; (*at)++, ask.count++)
		bytes += p->sizes[*at];
	return s->pair.from->changes(s->pair.source, p->folder, &ask, &sink, &told, e);
}

static int measure(struct survey *s, struct err *e)
{
	struct survey_summary *sum = s->summary;
	const struct folder *inbox = folder_list_role(&s->pair.target_folders, ROLE_INBOX);
	int64_t from;
	size_t at = 0;

	if (inbox &&
	    measure_round(s->pair.destination, s->pair.to, inbox, &sum->destination_round_ms, e))
		return -1;
	if (!s->probe.folder)
		return 0;
	if (measure_round(s->pair.source, s->pair.from, s->probe.folder, &sum->source_round_ms, e))
		return -1;
	from = clock_ms();
	while (at < s->probe.count && clock_ms() - from < PROBE_MS)
		if (read_slice(s, &at, e))
			return -1;
	sum->probe_ms = (uint64_t)(clock_ms() - from);
	return 0;
}

/* An estimate is not worth a failure. */
static int try_measure(struct survey *s, struct err *e)
{
	if (!measure(s, e))
		return 0;
	if (e->scope > ERR_LINK || e->next == ERR_STOPPED)
		return -1;
	pair_note(&s->pair, "how long it will take was not measured: %s", e->text);
	s->summary->probe_bytes = s->summary->probe_ms = 0;
	return 0;
}

static int run(struct survey *s, struct err *e)
{
	if (pair_prepare(&s->pair, e))
		return -1;
	judge_limit(s);
	tell_too_long(s);
	for (size_t i = 0; i < s->pair.map.count; i++)
		if (look_at_entry(s, &s->pair.map.entries[i], e))
			return -1;
	if (s->pair.destination) {
		judge_quota(s);
		judge_keywords(s);
	}
	if (s->pair.source && s->pair.destination && try_measure(s, e))
		return -1;
	pair_progress(&s->pair, COPY_DONE);
	return 0;
}

int flow_survey(struct survey_summary *summary, const struct flow_options *options,
    const struct flow_context *context, struct err *e)
{
	struct survey s = {.summary = summary,
	    .pair = {.measure = true,
		.source_software = summary->source_software,
		.destination_software = summary->destination_software}};
	int64_t started = clock_ms();
	int failed = pair_open(&s.pair, options, context, e) || run(&s, e);

	pair_close(&s.pair);
	probe_clear(&s.candidate);
	probe_clear(&s.probe);
	summary->reconnects = s.pair.reconnects;
	summary->elapsed_ms = (uint64_t)(clock_ms() - started);
	return failed ? -1 : 0;
}
