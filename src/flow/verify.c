/* verify.c - compares a source with a destination. Beside copy.c, over the same connectors, but
 * without the ledger: what it says does not lean on what a pass remembers.
 *
 * A folder: sweep both sides (facts and headers), read in whole what was asked for, pair what belongs
 * together (match.c), tell what differs. A lost link costs what was under way; what was swept and
 * read stays. Does not: look twice, so mail that is delivered meanwhile shows as a difference. */
#include "flow/verify.h"

#include <stdlib.h>
#include <string.h>

#include "flow/match.h"
#include "flow/pair.h"

#define READ_ITEMS 256u       /* messages of one request for bodies */
#define READ_BYTES (8u << 20) /* and their size */

struct side {
	const struct connector *connector;
	struct session *session;
	const struct folder *folder;
	struct match_item *items; /* sorted by id once swept */
	size_t count, size;
	struct cursor cursor; /* of the sweep: ids mean something in its incarnation only */
	size_t read_to;       /* items before this one were read, where wanted */
	bool swept;
	bool headers; /* sweep with them; else they come with the bodies */
	struct arena arena;
};

struct verify {
	struct pair pair;
	struct verify_summary *summary;
	/* the folder under way */
	struct side source, target;
	struct pair_names names;
	struct verdict verdict;
	bool chosen;
};

/* ---- facts ---- */

static void take_identity(struct match_item *item, const struct fact *fact, bool whole)
{
	const struct identity *i = &fact->identity;

	item->unread = !fact->has_identity;
	if (item->unread)
		return;
	memcpy(item->header, i->header, sizeof(item->header));
	memcpy(item->msgid, i->msgid, sizeof(item->msgid));
	if (!whole)
		return;
	item->whole = true;
	memcpy(item->body, i->body, sizeof(item->body));
	memcpy(item->exact, i->exact, sizeof(item->exact));
	item->carried = i->size;
	item->size = i->canonical_size;
}

static int take_fact(void *arg, const struct fact *fact, struct err *e)
{
	struct side *s = arg;
	struct match_item *item;

	(void)e;
	if (fact->gone)
		return 0;
	if (s->count == s->size) {
		s->size = s->size + s->size / 4 + 64;
		s->items = mem_grow(s->items, s->size, sizeof(*s->items));
	}
	item = &s->items[s->count];
	*item = (struct match_item){.id = arena_text(&s->arena, fact->id),
	    .size = fact->size,
	    .flags = fact->flags,
	    .instant = fact->date.instant,
	    .dated = fact->date.known,
	    .order = (uint32_t)s->count++};
	take_identity(item, fact, false);
	return 0;
}

/* Shorter first: numbers stand in their order. */
static int compare_ids(const char *a, const char *b)
{
	size_t x = strlen(a), y = strlen(b);

	return x != y ? (x > y) - (x < y) : strcmp(a, b);
}

static int by_id(const void *a, const void *b)
{
	const struct match_item *x = a, *y = b;
	int order = compare_ids(x->id, y->id);

	return order ? order : (x->order > y->order) - (x->order < y->order);
}

/* A message told twice is one; what was told last counts. */
static void sort_items(struct side *s)
{
	size_t kept = 0;

	if (s->count)
		qsort(s->items, s->count, sizeof(*s->items), by_id);
	for (size_t i = 0; i < s->count; i++) {
		if (i + 1 < s->count && !strcmp(s->items[i].id, s->items[i + 1].id))
			continue;
		s->items[kept] = s->items[i];
		s->items[kept].order = (uint32_t)kept;
		kept++;
	}
	s->count = kept;
}

static void forget_items(struct side *s)
{
	s->count = 0;
	s->read_to = 0;
	s->swept = false;
	arena_free(&s->arena);
}

static int sweep(struct side *s, struct err *e)
{
	const struct changes_ask ask = {.identity = s->headers};
	const struct fact_sink sink = {take_fact, s};
	struct changes_told told;

	if (s->swept)
		return 0;
	forget_items(s);
	if (s->connector->changes(s->session, s->folder, &ask, &sink, &told, e))
		return -1;
	s->cursor = told.cursor;
	sort_items(s);
	s->swept = true;
	return 0;
}

/* ---- which are read whole ---- */

/* The generator of Steele, Lea and Flood (splitmix64): the same seed chooses the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Every message of a folder has the same chance; other folders get other numbers. */
static void choose_sample(struct verify *v)
{
	const struct verify_options *o = &v->pair.options->verify;
	uint64_t state = o->seed, left = o->sample;
	struct side *s = &v->source;

	for (const char *c = v->names.folder; *c; c++)
		state = (state ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < s->count && left; i++)
		if (random_next(&state) % (s->count - i) < left) {
			s->items[i].wanted = true;
			left--;
		}
}

static int by_header(const void *a, const void *b)
{
	const struct match_item *const *x = a, *const *y = b;

	return memcmp((*x)->header, (*y)->header, sizeof((*x)->header));
}

/* Messages with one header are told apart by their bodies: all of them are read, or none. */
static void choose_twins(struct side *s, struct match_item **chosen, size_t count)
{
	for (size_t i = 0; i < s->count && count; i++) {
		const struct match_item *key = &s->items[i];

		if (bsearch(&key, chosen, count, sizeof(*chosen), by_header))
			s->items[i].wanted = true;
	}
}

static void choose(struct verify *v)
{
	const struct verify_options *o = &v->pair.options->verify;
	struct match_item **chosen;
	size_t count = 0;

	if (v->chosen)
		return;
	v->chosen = true;
	if (o->digest) {
		for (size_t i = 0; i < v->source.count; i++)
			v->source.items[i].wanted = true;
		for (size_t i = 0; i < v->target.count; i++)
			v->target.items[i].wanted = true;
		return;
	}
	choose_sample(v);
	chosen = mem_new(v->source.count + 1, sizeof(struct match_item *));
	for (size_t i = 0; i < v->source.count; i++)
		if (v->source.items[i].wanted)
			chosen[count++] = &v->source.items[i];
	if (count)
		qsort(chosen, count, sizeof(struct match_item *), by_header);
	choose_twins(&v->source, chosen, count);
	choose_twins(&v->target, chosen, count);
	free(chosen);
}

/* ---- reading ---- */

static struct match_item *find_item(struct side *s, struct view id)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *text = arena_text(&scratch, id);
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_ids(s->items[middle].id, text);

		if (!order)
			return &s->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int take_whole(void *arg, const struct fact *fact, struct err *e)
{
	struct match_item *item = find_item(arg, fact->id);

	(void)e;
	if (item && !fact->gone)
		take_identity(item, fact, true);
	return 0;
}

/* One request; what it does not tell of is gone meanwhile or cannot be read. */
static int read_some(struct side *s, struct err *e)
{
	struct view ids[READ_ITEMS];
	struct changes_ask ask = {.digest = true, .ids = ids};
	const struct fact_sink sink = {take_whole, s};
	struct changes_told told;
	uint64_t bytes = 0;
	size_t to = s->read_to;

	for (; to < s->count && ask.count < READ_ITEMS && bytes < READ_BYTES; to++)
		if (s->items[to].wanted) {
			bytes += s->items[to].size;
			ids[ask.count++] = view_of(s->items[to].id);
		}
	if (ask.count && s->connector->changes(s->session, s->folder, &ask, &sink, &told, e))
		return -1;
	if (ask.count && !cursor_same(&s->cursor, &told.cursor))
		return err_set(e, CAUSE_FOLDER_RESET, ERR_FOLDER,
		    "it was rebuilt by its server while it was read");
	for (; s->read_to < to; s->read_to++)
		s->items[s->read_to].unread |=
		    s->items[s->read_to].wanted && !s->items[s->read_to].whole;
	return 0;
}

/* Both sides in turn, so that neither session falls asleep. */
static int read_wanted(struct verify *v, struct err *e)
{
	while (v->source.read_to < v->source.count || v->target.read_to < v->target.count) {
		if (read_some(&v->source, e) || read_some(&v->target, e))
			return -1;
		v->pair.tries = 0;
	}
	return 0;
}

/* ---- what differs ---- */

static void tell(struct verify *v, enum cause cause, const struct match_item *source,
    const struct match_item *target, const char *what)
{
	pair_exception(&v->pair, &v->names, cause, source->id, "%s (at the destination: uid %s)",
	    what, target->id);
}

static void tell_flags(
    struct verify *v, const struct match_item *source, const struct match_item *target)
{
	const char *ours = flags_text(v->pair.env.flags, source->flags);
	const char *theirs = flags_text(v->pair.env.flags, target->flags);

	v->verdict.flags++;
	pair_exception(&v->pair, &v->names, CAUSE_FLAGS_DIFFER, source->id,
	    "the source has \"%.100s\", the destination \"%.100s\" (uid %s there)", ours, theirs,
	    target->id);
}

static void tell_date(
    struct verify *v, const struct match_item *source, const struct match_item *target)
{
	v->verdict.dates++;
	if (!source->dated || !target->dated)
		tell(v, CAUSE_DATE_DIFFERS, source, target,
		    source->dated ? "the destination shows no arrival date that can be read"
				  : "the source shows no arrival date that can be read");
	else
		pair_exception(&v->pair, &v->names, CAUSE_DATE_DIFFERS, source->id,
		    "its arrival date is %lld seconds off at the destination (uid %s there)",
		    (long long)(target->instant - source->instant), target->id);
}

static void tell_bytes(struct verify *v, const struct match_item *source,
    const struct match_item *target, unsigned differs)
{
	v->verdict.sizes += (differs & MATCH_SIZE) != 0;
	v->verdict.bytes += (differs & (MATCH_HEADER | MATCH_BODY)) != 0;
	v->verdict.altered += (differs & MATCH_ALTERED) != 0;
	v->verdict.unread += (differs & MATCH_UNREAD) != 0;
	if (differs & MATCH_SIZE)
		pair_exception(&v->pair, &v->names, CAUSE_SIZE_DIFFERS, source->id,
		    "%llu bytes at the source, %llu at the destination (uid %s there)",
		    (unsigned long long)source->size, (unsigned long long)target->size, target->id);
	if (differs & MATCH_HEADER)
		tell(v, CAUSE_BYTES_DIFFER, source, target,
		    "a message of the same Message-ID has another header there");
	if (differs & MATCH_BODY)
		tell(v, CAUSE_BYTES_DIFFER, source, target, "its header is the same, its body not");
	if (differs & MATCH_ALTERED)
		tell(v, CAUSE_ALTERED, source, target,
		    "bytes differ where servers are known to change them (8-bit header, NUL, line "
		    "ends, fields such as Status)");
	if (differs & MATCH_UNREAD)
		tell(v, CAUSE_UNREADABLE, source, target,
		    source->unread ? "the source would not give it; size and date are compared only"
				   : "the destination would not give it; size and date are "
				     "compared only");
}

static void on_pair(
    void *arg, const struct match_item *source, const struct match_item *target, unsigned differs)
{
	struct verify *v = arg;

	v->verdict.same += !differs;
	v->verdict.read_whole += source->whole && target->whole;
	if (differs & MATCH_FLAGS)
		tell_flags(v, source, target);
	if (differs & MATCH_DATE)
		tell_date(v, source, target);
	tell_bytes(v, source, target, differs);
}

static void tell_alone(struct verify *v)
{
	for (size_t i = 0; i < v->source.count; i++)
		if (!v->source.items[i].paired) {
			v->verdict.missing++;
			pair_exception(&v->pair, &v->names, CAUSE_MISSING, v->source.items[i].id,
			    "it is not at the destination (%llu bytes)",
			    (unsigned long long)v->source.items[i].size);
		}
	for (size_t i = 0; i < v->target.count; i++)
		if (!v->target.items[i].paired) {
			v->verdict.extra++;
			pair_exception(&v->pair, &v->names, CAUSE_EXTRA, "",
			    "a message is only at the destination: uid %s there (%llu bytes)",
			    v->target.items[i].id, (unsigned long long)v->target.items[i].size);
		}
}

static void compare_folder(struct verify *v)
{
	const struct match_sink sink = {on_pair, v};

	v->verdict =
	    (struct verdict){.source_items = v->source.count, .target_items = v->target.count};
	match_run(v->source.items, v->source.count, v->target.items, v->target.count, &sink);
	tell_alone(v);
}

/* ---- folders ---- */

static void add_verdict(struct verdict *all, const struct verdict *one)
{
	all->source_items += one->source_items;
	all->target_items += one->target_items;
	all->same += one->same;
	all->missing += one->missing;
	all->extra += one->extra;
	all->flags += one->flags;
	all->dates += one->dates;
	all->sizes += one->sizes;
	all->bytes += one->bytes;
	all->altered += one->altered;
	all->unread += one->unread;
	all->read_whole += one->read_whole;
}

static void report_folder(struct verify *v)
{
	const struct flow_watch *watch = v->pair.context->watch;
	struct folder_report r = {.kind = JOB_VERIFY, .verdict = v->verdict};

	add_verdict(&v->summary->all, &v->verdict);
	v->summary->folders++;
	watch->report(watch->arg, v->names.folder, v->names.target, &r);
}

static void start_side(struct side *s, const struct pair *p, enum err_side which)
{
	bool source = which == ERR_SOURCE;

	s->connector = source ? p->from : p->to;
	s->session = source ? p->source : p->destination;
	s->headers = !p->options->verify.digest;
}

/* How many messages a folder has, at the cost of a glance. */
static int count_items(struct side *s, uint64_t *count, struct err *e)
{
	struct cursor now;
	const struct changes_ask ask = {.since = &now, .only_new = true};
	const struct fact_sink sink = {take_fact, s};
	struct changes_told told;

	if (s->connector->now(s->session, s->folder, &now, e) ||
	    s->connector->changes(s->session, s->folder, &ask, &sink, &told, e))
		return -1;
	*count = told.total;
	return 0;
}

static int miss_folder(struct verify *v, struct err *e)
{
	uint64_t count;

	if (count_items(&v->source, &count, e))
		return -1;
	v->verdict = (struct verdict){.source_items = count, .missing = count};
	v->summary->folders_missing++;
	pair_exception(&v->pair, &v->names, CAUSE_MISSING, "",
	    "the folder is not at the destination, nor are its %llu messages",
	    (unsigned long long)count);
	return 0;
}

static int look_at_folder(struct verify *v, struct err *e)
{
	start_side(&v->source, &v->pair, ERR_SOURCE);
	start_side(&v->target, &v->pair, ERR_DESTINATION);
	if (!v->target.folder)
		return miss_folder(v, e);
	if (sweep(&v->source, e) || sweep(&v->target, e))
		return -1;
	v->pair.tries = 0;
	choose(v);
	if (read_wanted(v, e))
		return -1;
	compare_folder(v);
	return 0;
}

static int fail_folder(struct verify *v, const struct err *e)
{
	enum cause cause = e->cause < CAUSE_FOLDER_REFUSED ? CAUSE_FOLDER_GONE : e->cause;

	v->summary->folders_failed++;
	pair_exception(&v->pair, &v->names, cause, "", "it was not compared: %s", e->text);
	return 0;
}

static int try_folder(struct verify *v, struct err *e)
{
	while (pair_connect(&v->pair, e) || look_at_folder(v, e)) {
		if (e->scope <= ERR_FOLDER)
			return fail_folder(v, e);
		if (pair_mend(&v->pair, e))
			return -1;
	}
	report_folder(v);
	return 0;
}

static void end_side(struct side *s)
{
	forget_items(s);
	free(s->items);
	*s = (struct side){0};
}

static int verify_folder(struct verify *v, const struct name_map_entry *entry, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	struct copy_progress *progress = &v->pair.progress;
	int failed;

	v->names.folder = folder_display(&scratch, entry->source->parts, entry->source->depth);
	v->names.target = folder_display(&scratch, entry->parts, entry->depth);
	text_printable(
	    progress->folder, sizeof(progress->folder), v->names.folder, strlen(v->names.folder));
	pair_progress(&v->pair, COPY_CHECKING);
	v->source.folder = entry->source;
	v->target.folder = pair_target(&v->pair, entry);
	v->chosen = false;
	v->pair.tries = 0;
	failed = try_folder(v, e);
	end_side(&v->source);
	end_side(&v->target);
	progress->folders_done++;
	return failed;
}

/* ---- folders that are only at the destination ---- */

static int look_at_extra(struct verify *v, const struct folder *f, uint64_t *count, struct err *e)
{
	struct side s = {.folder = f};
	int failed;

	start_side(&s, &v->pair, ERR_DESTINATION);
	failed = count_items(&s, count, e);
	end_side(&s);
	return failed;
}

/* Empty ones are most often the server's own. */
static int tell_extra(struct verify *v, const struct folder *f, struct err *e)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	const char *name = folder_display(&scratch, f->parts, f->depth);
	struct pair_names names = {"", name};
	uint64_t count = f->messages;

	while (pair_connect(&v->pair, e) || (!f->has_glance && look_at_extra(v, f, &count, e))) {
		if (e->scope <= ERR_FOLDER)
			return 0; /* it is nobody's loss */
		if (pair_mend(&v->pair, e))
			return -1;
	}
	if (!count)
		return 0;
	v->summary->folders_extra++;
	v->summary->all.extra += count;
	v->summary->all.target_items += count;
	pair_exception(&v->pair, &names, CAUSE_EXTRA, "",
	    "the folder is only at the destination, with %llu messages", (unsigned long long)count);
	return 0;
}

static int tell_extras(struct verify *v, struct err *e)
{
	const struct folder_list *list = &v->pair.target_folders;

	for (size_t i = 0; i < list->count; i++) {
		const struct folder *f = &list->folders[i];

		if (f->selectable && f->space == SPACE_PERSONAL && !pair_is_mapped(&v->pair, f) &&
		    tell_extra(v, f, e))
			return -1;
	}
	return 0;
}

static int run(struct verify *v, struct err *e)
{
	if (pair_prepare(&v->pair, e))
		return -1;
	pair_try_forms(&v->pair);
	for (size_t i = 0; i < v->pair.map.count; i++)
		if (verify_folder(v, &v->pair.map.entries[i], e))
			return -1;
	if (tell_extras(v, e))
		return -1;
	pair_progress(&v->pair, COPY_DONE);
	return 0;
}

int flow_verify(struct verify_summary *summary, const struct flow_options *options,
    const struct flow_context *context, struct err *e)
{
	struct verify v = {.summary = summary,
	    .pair = {.source_software = summary->source_software,
		.destination_software = summary->destination_software}};
	int64_t started = clock_ms();
	int failed = pair_open(&v.pair, options, context, e) || run(&v, e);

	pair_close(&v.pair);
	summary->seed = options->verify.sample ? options->verify.seed : 0;
	summary->reconnects = v.pair.reconnects;
	summary->elapsed_ms = (uint64_t)(clock_ms() - started);
	return failed ? -1 : 0;
}
