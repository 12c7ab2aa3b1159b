/* events.c - writes what happens as JSON lines, one event each, to standard output.
 * Promises: each line is whole and written at once; the last one is a result, whatever happened,
 * as long as somebody reads. Names and meanings are a contract (docs/events.md): fields are added,
 * never renamed. Does not: decide anything. */
#include "cli/events.h"

#include <time.h>

#include "cli/output.h"

#define PROGRESS_MS 1000

static json_t *event_new(const char *name)
{
	json_t *o = json_object();
	time_t now = (time_t)clock_wall();
	char text[40] = "";
	struct tm utc;

	if (gmtime_r(&now, &utc))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	jsonline_set(o, "event", jsonline_text(name));
	jsonline_set(o, "time", jsonline_text(text));
	return o;
}

static void set_number(json_t *o, const char *key, uint64_t n)
{
	jsonline_set(o, key, jsonline_number(n));
}

static void set_text(json_t *o, const char *key, const char *text)
{
	jsonline_set(o, key, jsonline_text(text));
}

static void event_write(struct events *ev, json_t *o)
{
	AUTO(buf_free) struct buf line = BUF_INIT(JSONLINE_MAX);

	jsonline_add(&line, o);
	if (!ev->broken)
		ev->broken = output_write(ev->fd, buf_view(&line)) < 0;
}

void events_start(
    struct events *ev, const char *command, const struct copy_options *options, bool insecure)
{
	json_t *o = event_new("start");

	set_text(o, "command", command);
	set_text(o, "version", GODWIT_VERSION);
	set_text(o, "source", options->source.url);
	set_text(o, "destination", options->destination.url);
	set_text(o, "state", options->state_dir);
	jsonline_set(o, "insecure", json_boolean(insecure));
	event_write(ev, o);
}

void events_folder(
    struct events *ev, const char *source, const char *target, uint64_t items, uint64_t stored)
{
	json_t *o = event_new("folder");

	set_text(o, "folder", source);
	set_text(o, "target", target);
	set_number(o, "items", items);
	set_number(o, "stored", stored);
	event_write(ev, o);
}

void events_exception(struct events *ev, const struct exception *x)
{
	json_t *o = event_new("exception");

	set_text(o, "folder", x->folder);
	jsonline_set(o, "target", jsonline_text_or_null(x->target));
	jsonline_set(o, "uid", jsonline_id(x->id));
	jsonline_set(o, "msgid", jsonline_text_or_null(x->msgid));
	set_text(o, "cause", cause_name(x->cause));
	jsonline_set(o, "copied", json_boolean(cause_exit(x->cause) == 0));
	set_text(o, "reason", x->reason);
	set_text(o, "remedy", cause_remedy(x->cause));
	event_write(ev, o);
}

void events_note(struct events *ev, const char *text)
{
	json_t *o = event_new("note");

	set_text(o, "text", text);
	event_write(ev, o);
}

static const char *phase_name(enum copy_phase phase)
{
	static const char *const names[] = {"connecting", "listing", "copying", "checking", "done"};

	return names[phase];
}

bool events_progress(struct events *ev, const struct copy_progress *now, const struct pace *pace)
{
	int64_t ms = clock_ms(), left = pace_left_s(pace, now);
	json_t *o;

	if (ev->progress_ms && ms - ev->progress_ms < PROGRESS_MS)
		return false;
	ev->progress_ms = ms;
	o = event_new("progress");
	set_text(o, "phase", phase_name(now->phase));
	jsonline_set(o, "folder", jsonline_text_or_null(now->folder));
	set_number(o, "folders_done", now->folders_done);
	set_number(o, "folders_total", now->folders_total);
	set_number(o, "items_done", now->items_done);
	set_number(o, "items_total", now->items_total);
	set_number(o, "bytes_done", now->bytes_done);
	set_number(o, "bytes_total", now->bytes_total);
	set_number(o, "bytes_per_second", pace_rate(pace));
	jsonline_set(o, "seconds_left", left < 0 ? json_null() : jsonline_number((uint64_t)left));
	event_write(ev, o);
	return true;
}

static json_t *error_object(const struct err *e)
{
	static const char *const sides[] = {NULL, "source", "destination"};
	json_t *o;

	if (!e)
		return json_null();
	o = json_object();
	set_text(o, "cause", cause_name(e->cause));
	set_text(o, "side", sides[e->side]);
	set_text(o, "text", e->text);
	jsonline_set(o, "detail", jsonline_text_or_null(e->detail));
	set_text(o, "remedy", cause_remedy(e->cause));
	return o;
}

json_t *events_copy_summary(const struct copy_summary *s)
{
	json_t *o = json_object();

	set_number(o, "folders", s->folders);
	set_number(o, "folders_made", s->folders_made);
	set_number(o, "folders_failed", s->folders_failed);
	set_number(o, "items_at_source", s->items_at_source);
	set_number(o, "items_stored", s->items_stored);
	set_number(o, "bytes_stored", s->bytes_stored);
	set_number(o, "items_before", s->items_before);
	set_number(o, "items_resolved", s->items_resolved);
	set_number(o, "items_repaired", s->items_repaired);
	set_number(o, "items_marked", s->marks);
	set_number(o, "items_found", s->items_found);
	set_number(o, "items_moved", s->items_moved);
	set_number(o, "items_gone", s->items_gone);
	set_number(o, "items_removed", s->items_removed);
	set_number(o, "items_left", s->items_left);
	set_number(o, "folders_renamed", s->folders_renamed);
	set_number(o, "items_checked", s->items_checked);
	set_number(o, "not_copied", s->not_copied);
	set_number(o, "notes", s->notes);
	set_number(o, "reconnects", s->reconnects);
	set_number(o, "elapsed_ms", s->elapsed_ms);
	set_number(o, "source_bytes_in", s->source_bytes_in);
	set_number(o, "source_waits", s->source_waits);
	set_number(o, "destination_bytes_out", s->destination_bytes_out);
	set_number(o, "destination_waits", s->destination_waits);
	set_text(o, "source_software", s->source_software);
	set_text(o, "destination_software", s->destination_software);
	return o;
}

/* Of a dry run. */
static json_t *plan_object(const struct copy_summary *s)
{
	json_t *o = json_object();

	set_number(o, "items", s->planned_items);
	set_number(o, "bytes", s->planned_bytes);
	set_number(o, "marks", s->planned_marks);
	set_number(o, "moves", s->planned_moves);
	set_number(o, "removals", s->planned_removals);
	set_number(o, "folders", s->planned_folders);
	return o;
}

/* ---- verify and check ---- */

static void set_verdict(json_t *o, const struct verdict *v)
{
	set_number(o, "source_items", v->source_items);
	set_number(o, "target_items", v->target_items);
	set_number(o, "same", v->same);
	set_number(o, "missing", v->missing);
	set_number(o, "extra", v->extra);
	set_number(o, "flags", v->flags);
	set_number(o, "dates", v->dates);
	set_number(o, "sizes", v->sizes);
	set_number(o, "bytes", v->bytes);
	set_number(o, "altered", v->altered);
	set_number(o, "unread", v->unread);
	set_number(o, "read_whole", v->read_whole);
}

json_t *events_verify_summary(const struct verify_summary *s)
{
	json_t *o = json_object();

	set_number(o, "folders", s->folders);
	set_number(o, "folders_missing", s->folders_missing);
	set_number(o, "folders_extra", s->folders_extra);
	set_number(o, "folders_failed", s->folders_failed);
	set_verdict(o, &s->all);
	jsonline_set(o, "seed", s->seed ? jsonline_number(s->seed) : json_null());
	set_number(o, "reconnects", s->reconnects);
	set_number(o, "elapsed_ms", s->elapsed_ms);
	set_text(o, "source_software", s->source_software);
	set_text(o, "destination_software", s->destination_software);
	return o;
}

static void set_known(json_t *o, const char *key, bool known, uint64_t n)
{
	jsonline_set(o, key, known ? jsonline_number(n) : json_null());
}

json_t *events_survey_summary(const struct survey_summary *s)
{
	static const char *const keywords[] = {NULL, "taken", "refused"};
	json_t *o = json_object();

	set_number(o, "folders", s->folders);
	set_number(o, "folders_there", s->folders_there);
	set_number(o, "folders_renamed", s->renamed);
	set_number(o, "folders_refused", s->folders_refused);
	set_number(o, "folders_failed", s->folders_failed);
	set_number(o, "items", s->items);
	set_number(o, "bytes", s->bytes);
	set_number(o, "target_items", s->target_items);
	set_number(o, "target_bytes", s->target_bytes);
	set_number(o, "too_big", s->too_big);
	set_number(o, "bad_dates", s->bad_dates);
	set_number(o, "with_keywords", s->with_keywords);
	set_known(o, "max_size", s->max_size != 0, s->max_size);
	set_known(o, "quota_free", s->quota_told, s->quota_free);
	set_number(o, "bytes_needed", s->needed);
	set_number(o, "bytes_needed_at_most", s->needed_at_most);
	set_text(o, "keywords", keywords[s->keywords <= SURVEY_KEYWORDS_REFUSED ? s->keywords : 0]);
	set_known(o, "probe_bytes", s->probe_bytes != 0, s->probe_bytes);
	set_known(o, "probe_ms", s->probe_bytes != 0, s->probe_ms);
	set_number(o, "source_round_ms", s->source_round_ms);
	set_number(o, "destination_round_ms", s->destination_round_ms);
	set_number(o, "reconnects", s->reconnects);
	set_number(o, "elapsed_ms", s->elapsed_ms);
	set_text(o, "source_software", s->source_software);
	set_text(o, "destination_software", s->destination_software);
	return o;
}

void events_report(
    struct events *ev, const char *source, const char *target, const struct folder_report *r)
{
	json_t *o = event_new(r->kind == JOB_VERIFY ? "compared" : "surveyed");

	set_text(o, "folder", source);
	set_text(o, "target", target);
	if (r->kind == JOB_VERIFY) {
		set_verdict(o, &r->verdict);
	} else {
		set_number(o, "items", r->survey.items);
		set_number(o, "bytes", r->survey.bytes);
		set_number(o, "target_items", r->survey.target_items);
		set_number(o, "target_bytes", r->survey.target_bytes);
		jsonline_set(o, "there", json_boolean(r->survey.there));
		set_number(o, "too_big", r->survey.too_big);
	}
	event_write(ev, o);
}

/* ---- the end ---- */

json_t *events_causes(const struct tally *t)
{
	json_t *o = json_object();

	for (int i = 0; t && i < CAUSE_COUNT; i++)
		if (t->groups[i].count)
			set_number(o, cause_name((enum cause)i), t->groups[i].count);
	return o;
}

void events_result(struct events *ev, int code, const struct copy_summary *summary,
    const struct tally *tally, const struct err *e)
{
	json_t *object = summary ? events_copy_summary(summary) : NULL;
	json_t *plan = summary && summary->dry_run ? plan_object(summary) : NULL;

	events_end(ev, code, summary && summary->checked, object, plan, tally, e);
}

void events_end(struct events *ev, int code, bool checked, json_t *summary, json_t *plan,
    const struct tally *tally, const struct err *e)
{
	json_t *o = event_new("result");

	set_number(o, "exit", (uint64_t)code);
	jsonline_set(o, "checked", json_boolean(summary && !e && checked));
	jsonline_set(o, "error", error_object(e));
	jsonline_set(o, "summary", summary ? summary : json_null());
	jsonline_set(o, "plan", plan ? plan : json_null());
	jsonline_set(o, "causes", events_causes(tally));
	event_write(ev, o);
}
