/* facts.c - what an IMAP folder holds and what changed: now, changes, mark. Cursors are
 * "uidvalidity uidnext modseq"; item ids are UIDs in decimal. CONDSTORE (RFC 7162) where offered,
 * else everything is told anew and the engine compares. What has gone is told by QRESYNC (RFC 7162).
 * Bodies are only digested, never kept. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"
#include "model/identity.h"

/* ---- cursors ---- */

void imap_cursor_print(struct cursor *out, uint64_t uidvalidity, uint64_t uidnext, uint64_t modseq)
{
	snprintf(out->text, sizeof(out->text), "%" PRIu64 " %" PRIu64 " %" PRIu64, uidvalidity,
	    uidnext, modseq);
}

int imap_cursor_parse(
    const struct cursor *c, uint64_t *uidvalidity, uint64_t *uidnext, uint64_t *modseq)
{
	uint64_t *const out[] = {uidvalidity, uidnext, modseq};
	const char *at = c->text;

	for (size_t i = 0; i < COUNT_OF(out); i++) {
		size_t len = strcspn(at, " ");

		if (view_number(view_make(at, len), out[i]))
			return -1;
		at += len + (at[len] == ' ' && i + 1 < COUNT_OF(out));
	}
	return *at ? -1 : 0;
}

struct status {
	struct view raw; /* of this folder */
	uint64_t uidvalidity, uidnext, modseq;
	bool by_name; /* told of just that name */
};

static int take_status(void *arg, const struct imap_response *r, struct err *e)
{
	struct status *st = arg;
	const struct imap_node *list = imap_node_at(r->args, 1);
	bool by_name = view_eq(imap_node_text(imap_node_at(r->args, 0)), st->raw);

	(void)e;
	if (!view_is_nocase(r->name, "STATUS") || !list || list->kind != IMAP_NODE_LIST ||
	    (st->by_name && !by_name))
		return 0;
	if (by_name && !st->by_name) /* what came before was of another folder */
		st->uidvalidity = st->uidnext = st->modseq = 0;
	st->by_name = by_name;
	imap_node_number(imap_node_value(list->child, "UIDVALIDITY"), &st->uidvalidity);
	imap_node_number(imap_node_value(list->child, "UIDNEXT"), &st->uidnext);
	imap_node_number(imap_node_value(list->child, "HIGHESTMODSEQ"), &st->modseq);
	return 0;
}

static int take_uid(void *arg, const struct imap_response *r, struct err *e)
{
	uint64_t *highest = arg, uid;

	(void)e;
	if (view_is_nocase(r->name, "FETCH") &&
	    !imap_node_number(imap_node_value(r->args ? r->args->child : NULL, "UID"), &uid) &&
	    uid <= UINT32_MAX && uid > *highest)
		*highest = uid;
	return 0;
}

/* For servers whose STATUS does not tell enough (Courier of old, and liars): what SELECT says, and
 * else the highest UID there is. */
static int learn_by_opening(struct imap *im, struct status *st, struct err *e)
{
	struct imap_command c;
	uint64_t highest = 0;

	if (imap_select(im, st->raw, false, true, e))
		return -1;
	st->uidvalidity = im->uidvalidity;
	st->modseq = im->modseq;
	st->uidnext = im->uidnext;
	if (st->uidnext)
		return 0;
	if (im->exists) {
		imap_command_start(im, &c, "UID FETCH * (UID)");
		if (imap_run(
			im, &c, &(struct imap_taker){.response = take_uid, .arg = &highest}, e))
			return -1;
	}
	if (im->exists && !highest)
		return imap_broken(im, e, "it tells no UID of a message it counts");
	st->uidnext = highest + 1;
	return 0;
}

int imap_now(struct session *s, const struct folder *f, struct cursor *out, struct err *e)
{
	struct imap *im = IMAP(s);
	struct status st = {.raw = f->raw};
	struct imap_command c;

	/* Courier: a fresh INBOX has another UIDVALIDITY each time it is asked, until it is selected */
	if ((im->quirks & QUIRK_SELECT_TO_READ) && imap_select(im, f->raw, true, false, e))
		return -1;
	imap_command_start(im, &c, "STATUS");
	imap_command_add_string(im, &c, f->raw);
	imap_command_add(
	    &c, "(UIDNEXT UIDVALIDITY%s)", imap_has(im, CAP_CONDSTORE) ? " HIGHESTMODSEQ" : "");
	if (imap_run(im, &c, &(struct imap_taker){.response = take_status, .arg = &st}, e))
		return -1;
	if ((!st.uidvalidity || !st.uidnext) && learn_by_opening(im, &st, e))
		return -1;
	imap_cursor_print(out, st.uidvalidity, st.uidnext, st.modseq);
	buf_clear(&im->now_raw);
	if (!buf_add_view(&im->now_raw, f->raw)) {
		im->now_uidvalidity = st.uidvalidity;
		im->now_uidnext = st.uidnext;
	}
	return 0;
}

/* ---- facts ---- */

#define SWEEP_MODIFIER 80u       /* bytes: (CHANGEDSINCE n VANISHED) */
#define GONE_MAX 200000u         /* ids told as gone in one sweep */
#define KEYWORDS_MAX (32u << 20) /* bytes of all sets of keywords of an account */

struct sweep {
	struct imap *im;
	const struct fact_sink *sink;
	uint64_t least_uid;   /* "n:*" also tells the last one below n: left out */
	uint64_t brief_below; /* of UIDs below this, FLAGS are enough; 0 = not of any */
	uint64_t told;
	char modifier[SWEEP_MODIFIER];
	bool vanished; /* what has gone is asked for */
	bool unclear;  /* and was told in a way that cannot be used */
	uint64_t gone; /* ids told as gone */
	/* a FETCH that went out together with the EXAMINE; "" = none */
	struct imap_command ahead;
	char ahead_set[IMAP_SET_MAX + 40], ahead_modifier[SWEEP_MODIFIER];
	/* the body that flows by, digested for identification */
	struct identity_reader *reader;
	bool header_only, has_body;
};

static uint32_t node_flags(struct imap *im, const struct imap_node *list)
{
	struct buf text AUTO(buf_free) = BUF_INIT(IMAP_LINE_MAX);

	for (const struct imap_node *n = list ? list->child : NULL; n; n = n->next) {
		buf_add_view(&text, imap_node_text(n));
		buf_add_char(&text, ' ');
	}
	return flags_intern(im->env.flags, buf_view(&text));
}

static void start_reader(struct sweep *w)
{
	identity_free(&w->reader);
	identity_start(&w->reader);
	w->has_body = true;
}

static void fact_body(struct sweep *w, const struct imap_node *first, struct fact *fact)
{
	const struct imap_node *body =
	    imap_node_value(first, w->header_only ? "BODY[HEADER]" : "BODY[]");

	if (!body)
		return;
	if (body->kind == IMAP_NODE_STRING) { /* short ones may come quoted */
		start_reader(w);
		identity_feed(w->reader, body->text);
	}
	if (w->has_body) {
		identity_finish(w->reader, w->header_only, &fact->identity);
		fact->has_identity = true;
	}
}

/* What names a message wherever it lies: a FETCH item, "" = none. */
static const char *object_item(const struct imap *im)
{
	return im->no_objects               ? ""
	       : imap_has(im, CAP_OBJECTID) ? "EMAILID"
	       : imap_has(im, CAP_GMAIL)    ? "X-GM-MSGID"
	       : im->quirks & QUIRK_X_GUID  ? "X-GUID"
					    : "";
}

/* EMAILID (RFC 8474) has its value in parentheses, the others have not. */
static struct view fact_object(const struct imap *im, const struct imap_node *first)
{
	const struct imap_node *n = imap_node_value(first, object_item(im));

	return imap_node_text(n && n->kind == IMAP_NODE_LIST ? n->child : n);
}

/* Was that asked for? What comes unasked (flags of others' changes) lacks the UID or the rest. */
static bool is_wanted(const struct sweep *w, const struct imap_node *first, uint64_t *uid)
{
	if (imap_node_number(imap_node_value(first, "UID"), uid) || !*uid || *uid > UINT32_MAX)
		return false;
	if (w->brief_below)
		return *uid < w->brief_below && imap_node_value(first, "FLAGS");
	return *uid >= w->least_uid &&
	       (imap_node_value(first, "RFC822.SIZE") || imap_node_value(first, "INTERNALDATE"));
}

static int too_many_keywords(struct imap *im, struct err *e)
{
	err_set(e, CAUSE_PROTOCOL, ERR_MAILBOX,
	    "%s invents keywords without end; no more than %u MiB of them are carried",
	    im->at->host, KEYWORDS_MAX >> 20);
	if (e)
		e->side = im->at->side;
	return -1;
}

static int tell_fact(struct sweep *w, const struct imap_node *first, uint64_t uid, struct err *e)
{
	struct fact fact = {.partial = w->brief_below > 0};
	char id[24];

	if (w->told++ > w->im->exists + IMAP_FLOOD)
		return imap_broken(w->im, e, "it tells far more messages than it counts");
	snprintf(id, sizeof(id), "%" PRIu64, uid);
	fact.id = view_of(id);
	imap_node_number(imap_node_value(first, "RFC822.SIZE"), &fact.size);
	fact.date.known = !imap_date_parse(imap_node_text(imap_node_value(first, "INTERNALDATE")),
	    &fact.date.instant, &fact.date.zone);
	if (flags_table_size(w->im->env.flags) > KEYWORDS_MAX)
		return too_many_keywords(w->im, e);
	fact.flags = node_flags(w->im, imap_node_value(first, "FLAGS"));
	fact.object = fact_object(w->im, first);
	fact_body(w, first, &fact);
	return w->sink->take(w->sink->arg, &fact, e);
}

/* Those of LOW to HIGH that may have been. A set can name UIDs without end: not believed then. */
static int tell_gone(struct sweep *w, uint64_t low, uint64_t high, struct err *e)
{
	if (high >= w->im->uidnext)
		high = w->im->uidnext ? w->im->uidnext - 1 : 0;
	if (low > high)
		return 0;
	if (high - low >= GONE_MAX - w->gone) {
		w->unclear = true;
		return 0;
	}
	for (; low <= high; low++, w->gone++) {
		struct fact fact = {.gone = true};
		char id[24];

		snprintf(id, sizeof(id), "%" PRIu64, low);
		fact.id = view_of(id);
		if (w->sink->take(w->sink->arg, &fact, e))
			return -1;
	}
	return 0;
}

/* "(EARLIER) 41,43:116". Without EARLIER they go just now, after the instant of the cursor. */
static int take_vanished(struct sweep *w, const struct imap_response *r, struct err *e)
{
	const struct imap_node *earlier = imap_node_at(r->args, 0), *set = imap_node_at(r->args, 1);
	struct imap_set_walk walk = imap_set_walk(imap_node_text(set));
	uint32_t from, to;
	int found;

	if (!w->vanished || !earlier || earlier->kind != IMAP_NODE_LIST)
		return 0;
	while ((found = imap_set_range(&walk, &from, &to)) == 1)
		if (tell_gone(w, from < to ? from : to, from < to ? to : from, e))
			return -1;
	w->unclear = w->unclear || found < 0 || !set;
	return 0;
}

static int take_fact(void *arg, const struct imap_response *r, struct err *e)
{
	struct sweep *w = arg;
	const struct imap_node *first = r->args ? r->args->child : NULL;
	uint64_t uid;
	int result = 0;

	if (view_is_nocase(r->name, "VANISHED"))
		return take_vanished(w, r, e);
	if (!view_is_nocase(r->name, "FETCH") && !view_is_nocase(r->name, "UIDFETCH"))
		return 0;
	if (is_wanted(w, first, &uid))
		result = tell_fact(w, first, uid, e);
	identity_free(&w->reader);
	w->has_body = false;
	return result;
}

static int take_body(void *arg, uint32_t uid, uint64_t len, struct err *e)
{
	struct sweep *w = arg;

	(void)uid;
	(void)len;
	(void)e;
	start_reader(w);
	return 0;
}

static int take_data(void *arg, struct view piece, struct err *e)
{
	struct sweep *w = arg;

	(void)e;
	identity_feed(w->reader, piece);
	return 0;
}

static void fetch_command(struct sweep *w, struct imap_command *c, const struct changes_ask *ask,
    const char *set, const char *modifier)
{
	const char *object = object_item(w->im);

	imap_command_start(w->im, c, "UID FETCH");
	imap_command_add(c, "%s (UID FLAGS INTERNALDATE RFC822.SIZE%s%s%s)%s", set,
	    *object ? " " : "", object,
	    ask->digest     ? " BODY.PEEK[]"
	    : ask->identity ? " BODY.PEEK[HEADER]"
			    : "",
	    modifier);
}

/* Take the answer to a FETCH that is under way. */
static int fetch_answer(
    struct sweep *w, const struct changes_ask *ask, const struct imap_command *c, struct err *e)
{
	struct imap_taker taker = {take_fact, NULL, NULL, w};
	int failed;

	w->header_only = !ask->digest;
	if (ask->identity || ask->digest) {
		taker.body = take_body;
		taker.data = take_data;
	}
	failed = imap_finish(w->im, c, &taker, e);
	identity_free(&w->reader);
	return failed;
}

static bool is_ahead(const struct sweep *w)
{
	return w->ahead_set[0] != '\0';
}

/* The FETCH that went ahead is not what is wanted after all: nothing of its answer counts. */
static int drop_ahead(struct sweep *w, struct err *e)
{
	if (!is_ahead(w))
		return 0;
	w->ahead_set[0] = '\0';
	return imap_await(w->im, w->ahead.tag, NULL, e);
}

static int fetch_once(
    struct sweep *w, const struct changes_ask *ask, const char *set, struct err *e)
{
	struct imap_command c;
	int failed;

	if (is_ahead(w) && !strcmp(w->ahead_set, set) && !strcmp(w->ahead_modifier, w->modifier)) {
		w->ahead_set[0] = '\0';
		if (!fetch_answer(w, ask, &w->ahead, e))
			return 0;
		if (e->scope != ERR_FOLDER || w->told)
			return -1; /* else it may not take two commands at once: alone */
	} else if (drop_ahead(w, e)) {
		return -1;
	}
	fetch_command(w, &c, ask, set, w->modifier);
	failed = imap_command_send(w->im, &c, e) || fetch_answer(w, ask, &c, e);
	imap_command_free(&c);
	return failed;
}

/* BAD may be said of the objects' names: then without them. */
static int fetch(struct sweep *w, const struct changes_ask *ask, const char *set, struct err *e)
{
	struct err refusal;

	if (!fetch_once(w, ask, set, &refusal))
		return 0;
	if (refusal.scope != ERR_FOLDER || w->im->reader.response.status != IMAP_BAD ||
	    !*object_item(w->im)) {
		*e = refusal;
		return -1;
	}
	w->im->no_objects = true;
	return fetch_once(w, ask, set, e);
}

/* QQ and PMDF refuse 1:1. */
static void write_range(char *out, size_t size, uint64_t low, uint64_t high)
{
	if (low == high)
		snprintf(out, size, "%" PRIu64, low);
	else
		snprintf(out, size, "%" PRIu64 ":%" PRIu64, low, high);
}

/* The answer in hand is only for the UIDs below *BELOW down to this one, which takes the place of
 * *BELOW (RFC 9738 §3). False = it is whole, or does not get on. */
static bool is_partial(const struct imap *im, uint64_t *below)
{
	const struct imap_response *r = &im->reader.response;
	uint64_t uid;

	if (!view_is_nocase(r->code, "MESSAGELIMIT") ||
	    imap_node_number(imap_node_at(r->code_args, 1), &uid) || uid >= *below)
		return false;
	*below = uid;
	return true;
}

static int fetch_flags(struct sweep *w, uint64_t high, struct err *e)
{
	struct imap_command c;
	char set[60];

	write_range(set, sizeof(set), 1, high);
	imap_command_start(w->im, &c, "UID FETCH");
	imap_command_add(&c, "%s (UID FLAGS)", set);
	return imap_run(w->im, &c, &(struct imap_taker){.response = take_fact, .arg = w}, e);
}

/* Of the messages before the cursor nothing but the flags; the others follow as a whole. */
static int fetch_brief(struct sweep *w, struct err *e)
{
	uint64_t below = w->brief_below;

	do {
		if (fetch_flags(w, below - 1, e))
			return -1;
	} while (is_partial(w->im, &below) && below > 1);
	w->least_uid = w->brief_below;
	w->brief_below = 0;
	return 0;
}

static int compare_uids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The UIDs of the ids, ascending (some servers refuse other sets), in A. */
static size_t uids_of(const struct changes_ask *ask, uint32_t **out, struct arena *a)
{
	uint32_t *uids = arena_new(a, ask->count, sizeof(*uids));
	size_t count = 0;
	uint64_t uid;

	for (size_t i = 0; i < ask->count; i++)
		if (!view_number(ask->ids[i], &uid) && uid && uid <= UINT32_MAX)
			uids[count++] = (uint32_t)uid;
	qsort(uids, count, sizeof(*uids), compare_uids);
	*out = uids;
	return count;
}

size_t imap_next_set(const uint32_t *uids, size_t count, struct buf *text)
{
	struct imap_set set;
	size_t i = 0;

	buf_clear(text);
	imap_set_start(&set, text);
	for (; i < count && text->len < IMAP_SET_MAX - 40; i++)
		imap_set_add(&set, uids[i]);
	imap_set_finish(&set);
	return i;
}

/* Send the FETCH of SET together with what opens the folder. */
static int select_ahead(struct sweep *w, const struct folder *f, const struct changes_ask *ask,
    const char *set, const char *modifier, struct err *e)
{
	int failed;

	fetch_command(w, &w->ahead, ask, set, modifier);
	failed = imap_select_with(w->im, f->raw, ask->marks_follow, &w->ahead, e);
	if (!failed) {
		snprintf(w->ahead_set, sizeof(w->ahead_set), "%s", set);
		snprintf(w->ahead_modifier, sizeof(w->ahead_modifier), "%s", modifier);
	}
	return failed;
}

/* A server restored from a backup gives UIDs out a second time. */
static bool went_back(const struct imap *im, uint64_t uidnext, uint64_t modseq)
{
	return im->uidnext < uidnext || (im->modseq && im->modseq < modseq);
}

static void since_modifier(char *out, size_t size, uint64_t modseq, bool vanished)
{
	snprintf(out, size, " (CHANGEDSINCE %" PRIu64 "%s)", modseq, vanished ? " VANISHED" : "");
}

/* What a sweep since UIDNEXT and MODSEQ must ask for. Returns false when nothing can have changed. */
static bool plan_since(struct sweep *w, const struct changes_ask *ask, struct changes_told *told,
    uint64_t uidnext, uint64_t modseq)
{
	const struct imap *im = w->im;

	if (ask->only_new) {
		told->complete = false;
		w->least_uid = uidnext;
	} else if (modseq && im->modseq) {
		told->complete = false;
		w->vanished = told->gone_told = ask->gone && im->qresync;
		if (modseq == im->modseq && uidnext == im->uidnext)
			return false;
		since_modifier(w->modifier, sizeof(w->modifier), modseq, w->vanished);
	} else if (ask->partial && !ask->identity && !ask->digest && uidnext > 1) {
		w->brief_below = uidnext;
	}
	return true;
}

static bool plan_sweep(struct sweep *w, const struct changes_ask *ask, struct changes_told *told)
{
	const struct imap *im = w->im;
	uint64_t uidvalidity = 0, uidnext = 0, modseq = 0;
	bool since = ask->since && ask->since->text[0];

	w->least_uid = 1;
	told->complete = true;
	if (since) {
		bool valid = !imap_cursor_parse(ask->since, &uidvalidity, &uidnext, &modseq) &&
			     uidvalidity == im->uidvalidity;

		told->back = valid && went_back(im, uidnext, modseq);
		told->reset = !valid || told->back;
	}
	if (!im->exists) /* that tells of everything that it has gone */
		return false;
	return !since || told->reset || plan_since(w, ask, told, uidnext, modseq);
}

#define SWEEP_SET 60u /* bytes: two numbers */

/* "*" is the last one that is there: Cyrus does not tell what has gone behind it. */
static void sweep_set(char out[SWEEP_SET], uint64_t least_uid, bool vanished)
{
	snprintf(out, SWEEP_SET, vanished ? "%" PRIu64 ":4294967295" : "%" PRIu64 ":*", least_uid);
}

/* All from the least UID on; what a limited answer left out is asked for in turn. */
static int sweep(
    struct sweep *w, const struct changes_ask *ask, struct changes_told *told, struct err *e)
{
	uint64_t below = UINT64_MAX;
	char set[SWEEP_SET];

	if (w->brief_below && (drop_ahead(w, e) || fetch_brief(w, e)))
		return -1;
	sweep_set(set, w->least_uid, w->vanished);
	if (fetch(w, ask, set, e))
		return -1;
	while (is_partial(w->im, &below) && below > w->least_uid) {
		write_range(set, sizeof(set), w->least_uid, below - 1);
		if (fetch(w, ask, set, e))
			return -1;
	}
	told->gone_told = w->vanished && !w->unclear;
	return 0;
}

/* Old servers do not say UIDNEXT at SELECT. */
static int learn_uidnext(struct imap *im, const struct folder *f, struct err *e)
{
	uint64_t ignored;
	struct cursor cursor;

	if (im->uidnext)
		return 0;
	return imap_now(&im->session, f, &cursor, e) ||
		       imap_cursor_parse(&cursor, &ignored, &im->uidnext, &ignored)
		   ? -1
		   : 0;
}

/* What is not shown cannot be copied; nobody but the user can tell whether there is more. */
static void tell_if_capped(const struct imap *im, const struct folder *f)
{
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	char text[400];

	if (!(im->quirks & QUIRK_SHOWS_NEWEST) || !imap_looks_capped(im->exists) || !im->env.note ||
	    im->at->side != ERR_SOURCE)
		return;
	snprintf(text, sizeof(text),
	    "%s shows just %" PRIu64
	    " messages of %.200s: if there are more, lift its limit (Gmail: IMAP settings; Yahoo: "
	    "use export.imap.mail.yahoo.com)",
	    im->at->host, im->exists, folder_display(&scratch, f->parts, f->depth));
	im->env.note(im->env.note_arg, text);
}

/* What a sweep will ask for when the cursor holds, as it most likely does; without a cursor everything, of a
 * folder in which a listing counted messages. False = that must be seen first. */
static bool foresee(const struct imap *im, const struct folder *f, const struct changes_ask *ask,
    char set[SWEEP_SET], char modifier[SWEEP_MODIFIER])
{
	uint64_t uidvalidity, uidnext, modseq;
	bool gone = ask->gone && im->qresync;
	bool whole = !ask->since || !ask->since->text[0];

	if (ask->only_ids || (whole && !f->messages) ||
	    (!whole && imap_cursor_parse(ask->since, &uidvalidity, &uidnext, &modseq)))
		return false;
	modifier[0] = '\0';
	if (whole) {
		sweep_set(set, 1, false);
	} else if (ask->only_new) {
		sweep_set(set, uidnext, false);
	} else if (modseq && imap_has(im, CAP_CONDSTORE)) {
		sweep_set(set, 1, gone);
		since_modifier(modifier, SWEEP_MODIFIER, modseq, gone);
	} else {
		return false;
	}
	return true;
}

/* Open the folder for a sweep; what it will ask for goes out in the same flight. Where the cursor does not
 * hold after all, that answer is dropped. */
static int open_for_sweep(
    struct sweep *w, const struct folder *f, const struct changes_ask *ask, struct err *e)
{
	char set[SWEEP_SET], modifier[SWEEP_MODIFIER];

	if (!foresee(w->im, f, ask, set, modifier))
		return imap_select(w->im, f->raw, false, true, e);
	return select_ahead(w, f, ask, set, modifier, e);
}

/* The instant of the folder as it was opened. */
static int tell_state(
    struct sweep *w, const struct folder *f, struct changes_told *told, struct err *e)
{
	struct imap *im = w->im;

	if (!im->uidnext && (drop_ahead(w, e) || learn_uidnext(im, f, e)))
		return -1;
	imap_cursor_print(&told->cursor, im->uidvalidity, im->uidnext, im->modseq);
	told->total = im->exists;
	tell_if_capped(im, f);
	return 0;
}

static int changes_of_all(struct sweep *w, const struct folder *f, const struct changes_ask *ask,
    const struct fact_sink *sink, struct changes_told *told, struct err *e)
{
	if (open_for_sweep(w, f, ask, e) || tell_state(w, f, told, e))
		return -1;
	if (ask->only_ids) {
		told->complete = true;
		if (imap_tell_ids(w->im, sink, e))
			return -1;
	} else if (plan_sweep(w, ask, told) && sweep(w, ask, told, e)) {
		return -1;
	}
	if (drop_ahead(w, e))
		return -1;
	told->total = w->im->lasting; /* mail may have come or gone meanwhile */
	return 0;
}

/* The present facts of given ids, in sets of bounded length. */
static int changes_of_ids(struct sweep *w, const struct folder *f, const struct changes_ask *ask,
    struct changes_told *told, struct err *e)
{
	struct buf text AUTO(buf_free) = BUF_INIT(IMAP_SET_MAX + 40);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	uint32_t *uids;
	size_t count = uids_of(ask, &uids, &scratch);

	if (!count && imap_select(w->im, f->raw, ask->marks_follow, true, e))
		return -1;
	for (size_t at = 0, taken; at < count; at += taken) {
		taken = imap_next_set(uids + at, count - at, &text);
		if (!at && (select_ahead(w, f, ask, text.data, "", e) || tell_state(w, f, told, e)))
			return -1;
		if (fetch(w, ask, text.data, e))
			return -1;
	}
	return count ? 0 : tell_state(w, f, told, e);
}

int imap_changes(struct session *s, const struct folder *f, const struct changes_ask *ask,
    const struct fact_sink *sink, struct changes_told *told, struct err *e)
{
	struct sweep w = {.im = IMAP(s), .sink = sink};
	int failed;

	*told = (struct changes_told){0};
	if (ask->count)
		failed = changes_of_ids(&w, f, ask, told, e);
	else
		failed = changes_of_all(&w, f, ask, sink, told, e);
	imap_command_free(&w.ahead);
	return failed;
}

/* ---- several at once ---- */

#define FLIGHT 16u

/* A folder whose EXAMINE and FETCH are under way. Each has its EXAMINE, also where two ask one folder: of two FETCHes
 * with nothing between them Dovecot answers the first when the second is done. */
struct flown {
	struct asking *asking;
	struct imap_command examine;
	struct sweep sweep;
};

/* One set must hold all ids. */
static bool foresee_ids(const struct changes_ask *ask, char *set, size_t size)
{
	struct buf text AUTO(buf_free) = BUF_INIT(IMAP_SET_MAX + 40);
	struct arena scratch AUTO(arena_free) = ARENA_INIT;
	uint32_t *uids;
	size_t count = uids_of(ask, &uids, &scratch);

	return count && imap_next_set(uids, count, &text) == count &&
	       (size_t)snprintf(set, size, "%s", text.data) < size;
}

/* False: it cannot go in a flight. */
static int take_off(
    struct imap *im, struct flown *x, struct asking *a, bool *under_way, struct err *e)
{
	struct sweep *w = &x->sweep;

	*x = (struct flown){.asking = a, .sweep = {.im = im, .sink = a->sink}};
	*under_way = a->ask->count
			 ? foresee_ids(a->ask, w->ahead_set, sizeof(w->ahead_set))
			 : foresee(im, a->folder, a->ask, w->ahead_set, w->ahead_modifier);
	if (!*under_way)
		return 0;
	imap_select_command(im, &x->examine, a->folder->raw, a->ask->marks_follow);
	if (x->examine.asks) { /* a literal that must be asked for cannot wait in line */
		*under_way = false;
		imap_command_free(&x->examine);
		return 0;
	}
	fetch_command(w, &w->ahead, a->ask, w->ahead_set, w->ahead_modifier);
	return imap_command_send(im, &x->examine, e) || imap_command_send(im, &w->ahead, e) ? -1
											    : 0;
}

/* Is that what went out the whole of what is to be asked? */
static bool is_foreseen(const struct sweep *w, const struct changes_told *told)
{
	char set[SWEEP_SET];

	sweep_set(set, w->least_uid, w->vanished);
	return !told->reset && !w->brief_below && !strcmp(set, w->ahead_set) &&
	       !strcmp(w->modifier, w->ahead_modifier);
}

/* Its EXAMINE's answer. WANTED: the FETCH that went with it asks for what is to be asked. */
static int look_at_state(struct imap *im, struct flown *x, bool *wanted, struct err *e)
{
	struct asking *a = x->asking;
	struct sweep *w = &x->sweep;

	*wanted = false;
	if (imap_select_answer(im, &x->examine, a->folder->raw, a->ask->marks_follow, &w->ahead, e))
		return -1;
	if (!im->uidnext)
		return 0;
	if (tell_state(w, a->folder, &a->told, e))
		return -1;
	if (a->ask->count)
		*wanted = true;
	else if (plan_sweep(w, a->ask, &a->told))
		*wanted = is_foreseen(w, &a->told);
	else
		a->done = true; /* the state says it all */
	return 0;
}

static int land(struct imap *im, struct flown *x, bool *wanted, struct err *e)
{
	struct asking *a = x->asking;
	struct sweep *w = &x->sweep;

	if (look_at_state(im, x, wanted, e))
		return -1;
	return *wanted ? fetch_answer(w, a->ask, &w->ahead, e) : drop_ahead(w, e);
}

/* Its answers. What is not as foreseen, or refused, is not done. */
static int take_answers(struct imap *im, struct flown *x, struct err *e)
{
	struct asking *a = x->asking;
	uint64_t below = UINT64_MAX;
	struct err trouble;
	bool wanted, failed = land(im, x, &wanted, &trouble) != 0;

	a->done = !failed && (a->done || (wanted && !is_partial(im, &below)));
	a->told.gone_told = a->told.gone_told && !x->sweep.unclear;
	a->told.total = im->lasting;
	if (!failed || trouble.scope == ERR_FOLDER)
		return 0;
	*e = trouble;
	return -1;
}

int imap_changes_all(struct session *s, struct asking *folders, size_t count, struct err *e)
{
	struct flown *flown = mem_new(FLIGHT, sizeof(*flown));
	int failed = 0;

	for (size_t at = 0; at < count && !failed;) {
		size_t up = 0;

		for (; at < count && up < FLIGHT && !failed; at++) {
			bool under_way;

			folders[at].done = false;
			folders[at].told = (struct changes_told){0};
			failed = take_off(IMAP(s), &flown[up], &folders[at], &under_way, e);
			up += under_way;
		}
		for (size_t i = 0; i < up; i++) {
			failed = failed || take_answers(IMAP(s), &flown[i], e);
			imap_command_free(&flown[i].examine);
			imap_command_free(&flown[i].sweep.ahead);
		}
	}
	free(flown);
	return failed ? -1 : 0;
}
