/* session.c - opening, closing and the selected folder of an IMAP session. Above login.c and
 * command.c, below the connector's other rooms. Promises: the source's folders are opened read-only
 * (but see quirks.h), and none is ever closed in a way that expunges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connect/imap/imap.h"

/* No UIDVALIDITY of RFC 3501 (32 bits), and never twice the same. */
static uint64_t new_incarnation(void)
{
	return UINT64_C(1) << 62 | ((uint64_t)clock_wall() << 24 ^ (uint64_t)clock_ms());
}

static enum record_end end_of(const struct imap *im)
{
	static const enum record_end ends[] = {[CONN_OPEN] = RECORD_LEFT,
	    [CONN_HUNG_UP] = RECORD_CLOSED,
	    [CONN_SILENT] = RECORD_SILENT,
	    [CONN_BROKEN] = RECORD_RESET};

	return ends[conn_end(im->conn)];
}

static int connect_once(struct imap *im, const struct conn_target *target, struct err *e)
{
	if (im->conn)
		record_link_end(&im->record, end_of(im));
	conn_close(&im->conn);
	imap_reader_free(&im->reader);
	imap_reader_init(&im->reader, IMAP_LINE_MAX);
	im->taken = 0;
	im->bye = im->introducing = false;
	record_link_new(
	    &im->record, im->env.record, im->at->side, im->at->user, im->at->authzid, im->at->host);
	if (conn_open(&im->conn, im->env.waits, target, e)) {
		record_link_end(
		    &im->record, e->cause == CAUSE_TLS ? RECORD_UNTRUSTED : RECORD_REFUSED);
		return -1;
	}
	return imap_log_in(im, e);
}

/* Some servers hang up, or fall silent, on NAMESPACE (Exchange 2003) or ID: then without. */
static int connect_somehow(struct imap *im, const struct conn_target *target, struct err *e)
{
	if (!connect_once(im, target, e))
		return 0;
	if (!im->introducing || e->scope != ERR_LINK || e->next != ERR_RETRY)
		return -1;
	log_debug("%s: lost while it was asked who it is; once more with less", im->at->host);
	im->brief = true;
	return connect_once(im, target, e);
}

int imap_open(
    struct session **s, const struct endpoint *at, const struct connect_env *env, struct err *e)
{
	struct conn_target target = {.host = at->host,
	    .port = at->port,
	    .tls = at->tls == ENDPOINT_TLS        ? CONN_TLS_IMPLICIT
		   : at->tls == ENDPOINT_STARTTLS ? CONN_TLS_START
						  : CONN_TLS_NONE,
	    .ca_file = at->ca_file,
	    .insecure = at->insecure,
	    .timeout_ms = at->timeout_ms,
	    .side = at->side};
	struct imap *im = NEW(struct imap);
	struct session *session = &im->session;

	im->at = at;
	im->env = *env;
	im->incarnation = new_incarnation();
	im->fetch_last = &im->fetch_first;
	im->append_last = &im->append_first;
	buf_init(&im->selected, 4096);
	buf_init(&im->capability, IMAP_LINE_MAX);
	buf_init(&im->now_raw, 4096);
	if (connect_somehow(im, &target, e)) {
		imap_close(&session, NULL);
		return -1;
	}
	log_debug("%s: logged in (%s)", at->host, im->software);
	*s = session;
	return 0;
}

void imap_adopt(struct session *s, const struct connect_env *env)
{
	struct imap *im = IMAP(s);

	im->env = *env;
	conn_move(im->conn, env->waits);
}

/* LOGOUT is sent but not waited for: all that matters was confirmed before. */
void imap_close(struct session **s, struct session_stats *out)
{
	struct imap *im = IMAP(*s);
	struct conn_stats stats;

	*s = NULL;
	if (!im)
		return;
	assert(
	    !imap_abandon_fetch(im) && !im->append_first); /* nothing lent; streams may be left */
	if (im->conn && !im->bye && !im->half_sent && !conn_check(im->conn, NULL)) {
		imap_send(im, view_of("gz LOGOUT\r\n"), NULL);
		conn_flush(im->conn, NULL);
	}
	if (out && im->conn) {
		stats = conn_stats(im->conn);
		*out = (struct session_stats){
		    stats.bytes_in, stats.bytes_out, stats.waits, im->commands};
	}
	if (im->conn)
		record_link_end(&im->record, end_of(im));
	conn_close(&im->conn);
	imap_reader_free(&im->reader);
	buf_free(&im->selected);
	buf_free(&im->capability);
	buf_free(&im->now_raw);
	arena_free(&im->mark_arena);
	free(im);
}

/* ---- the selected folder ---- */

/* Of a folder open for writing: "\*" means that new keywords can be made (RFC 3501 §7.1). */
static void note_permanent(struct imap *im, const struct imap_node *list)
{
	if (!im->selected_write || !list || list->kind != IMAP_NODE_LIST)
		return;
	im->session.caps.keywords = KEYWORDS_REFUSED;
	for (const struct imap_node *n = list->child; n; n = n->next)
		if (view_is(imap_node_text(n), "\\*"))
			im->session.caps.keywords = KEYWORDS_TAKEN;
}

static int take_select(void *arg, const struct imap_response *r, struct err *e)
{
	struct imap *im = arg;
	uint64_t n;

	(void)e;
	if (r->status == IMAP_OK && view_is_nocase(r->code, "PERMANENTFLAGS"))
		note_permanent(im, r->code_args);
	if (r->status != IMAP_OK || imap_node_number(r->code_args, &n))
		return 0;
	if (view_is_nocase(r->code, "UIDVALIDITY"))
		im->uidvalidity = n;
	else if (view_is_nocase(r->code, "UIDNEXT"))
		im->uidnext = n;
	else if (view_is_nocase(r->code, "HIGHESTMODSEQ"))
		im->modseq = n;
	return 0;
}

bool imap_is_selected(const struct imap *im, struct view raw, bool write)
{
	return im->selected.len && view_eq(buf_view(&im->selected), raw) &&
	       im->selected_write >= write;
}

static bool opens_for_writing(const struct imap *im, bool write)
{
	return write || (im->quirks & QUIRK_SELECT_TO_READ);
}

void imap_select_command(struct imap *im, struct imap_command *c, struct view raw, bool write)
{
	imap_command_start(im, c, opens_for_writing(im, write) ? "SELECT" : "EXAMINE");
	imap_command_add_string(im, c, raw);
	if (imap_has(im, CAP_CONDSTORE))
		imap_command_add(c, "(CONDSTORE)");
}

static void forget_selected(struct imap *im, bool write)
{
	buf_clear(&im->selected);
	im->selected_write = opens_for_writing(im, write);
	im->exists = im->lasting = im->uidvalidity = im->uidnext = im->modseq = 0;
	im->exists_told = false;
}

int imap_select_answer(struct imap *im, const struct imap_command *c, struct view raw, bool write,
    const struct imap_command *then, struct err *e)
{
	struct imap_taker taker = {.response = take_select, .arg = im};
	struct err trouble;

	forget_selected(im, write);
	if (imap_finish(im, c, &taker, &trouble)) {
		if (then && trouble.scope == ERR_FOLDER && imap_await(im, then->tag, NULL, e))
			return -1;
		if (trouble.scope == ERR_FOLDER)
			trouble.cause = CAUSE_FOLDER_GONE;
		if (e)
			*e = trouble;
		return -1;
	}
	if (!im->exists_told) /* it must (RFC 3501 §6.3.1), and is not taken for empty */
		return imap_broken(im, e, "it does not tell how many messages a folder has");
	im->lasting = im->exists;
	im->uidvalidity = im->uidvalidity ? im->uidvalidity : im->incarnation;
	return buf_add_view(&im->selected, raw) ? imap_broken(im, e, "a folder name too long") : 0;
}

int imap_select_with(
    struct imap *im, struct view raw, bool write, struct imap_command *then, struct err *e)
{
	struct imap_command c;
	int failed;

	buf_clear(&im->selected);
	imap_select_command(im, &c, raw, write);
	failed = imap_command_send(im, &c, e) || (then && imap_command_send(im, then, e)) ||
		 imap_select_answer(im, &c, raw, write, then, e);
	imap_command_free(&c);
	return failed ? -1 : 0;
}

int imap_select(struct imap *im, struct view raw, bool write, bool fresh, struct err *e)
{
	return !fresh && imap_is_selected(im, raw, write)
		   ? 0
		   : imap_select_with(im, raw, write, NULL, e);
}

/* Without UNSELECT: EXAMINE of a name that cannot be leaves no folder selected (RFC 3501 §6.3.1);
 * CLOSE would expunge. */
int imap_unselect(struct imap *im, struct err *e)
{
	struct imap_command c;
	bool has = imap_has(im, CAP_UNSELECT);

	if (!im->selected.len)
		return 0;
	buf_clear(&im->selected);
	imap_command_start(im, &c, has ? "UNSELECT" : "EXAMINE \"\"");
	if (!imap_run(im, &c, NULL, e))
		return 0;
	return e->scope == ERR_FOLDER ? 0 : -1;
}
