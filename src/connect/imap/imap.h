/* imap.h - the rooms of the IMAP connector share this; nobody else includes it.
 *
 *   command.c  run one command                         login.c    greeting, TLS, login
 *   session.c  open, close, the selected folder        folders.c  list
 *   facts.c    now, changes                            fetch.c    want, next, streams
 *   search.c   changes that tell nothing but ids       append.c   put, settle
 *   move.c     place, remove                           quirks.c   what odd servers need
 *   account.c  quota and keywords                      mark.c     flags
 *   make.c     make, make_all
 *
 * Only UID commands are used, so untagged data never depends on message numbers. */
#pragma once

#include "connect/connector.h"
#include "connect/imap/quirks.h"
#include "connect/record.h"
#include "net/conn.h"
#include "wire/imap_reader.h"
#include "wire/imap_text.h"

#define IMAP_LINE_MAX (1u << 20)   /* one response without bodies */
#define IMAP_SET_MAX 900u          /* bytes of one UID set (RFC 2683 §3.2.1.5) */
#define IMAP_HEADER_MAX (4u << 20) /* one header read for identification */
#define IMAP_FOLDERS_MAX 50000u
#define IMAP_NAMES_MAX (4u << 20) /* bytes of all their names */
#define IMAP_MECHANISM_SIZE 32u   /* of a SASL mechanism's name (RFC 4422 §3.1: 20 characters) */

enum imap_capability {
	CAP_STARTTLS = 1 << 0,
	CAP_LOGINDISABLED = 1 << 1,
	CAP_SASL_IR = 1 << 2,
	CAP_ID = 1 << 3,
	CAP_NAMESPACE = 1 << 4,
	CAP_UIDPLUS = 1 << 5,
	CAP_MULTIAPPEND = 1 << 6,
	CAP_LITERAL_PLUS = 1 << 7,
	CAP_LITERAL_MINUS = 1 << 8,
	CAP_CONDSTORE = 1 << 9,
	CAP_LIST_EXTENDED = 1 << 10,
	CAP_LIST_STATUS = 1 << 11,
	CAP_SPECIAL_USE = 1 << 12,
	CAP_CREATE_SPECIAL_USE = 1 << 13,
	CAP_UNSELECT = 1 << 14,
	CAP_APPENDLIMIT = 1 << 15,
	CAP_IMAP4REV2 = 1 << 16,
	CAP_ENABLE = 1 << 17,
	CAP_QRESYNC = 1 << 18,
	CAP_ESEARCH = 1 << 19,
	CAP_MOVE = 1 << 20,
	CAP_OBJECTID = 1 << 21,
	CAP_GMAIL = 1 << 22, /* X-GM-EXT-1 */
};

/* A command under construction: text, with places where the server must be asked before going on
 * (synchronizing literals). */
struct imap_command {
	struct buf text;
	size_t ask_at[4];
	unsigned asks;
	char tag[16];
	size_t open_len; /* bytes of it that may be told: what follows is secret; 0 = all */
};

/* One namespace of RFC 2342. */
#define IMAP_NAMESPACES 32u
#define IMAP_PREFIX_SIZE 512u

struct imap_namespace {
	char prefix[IMAP_PREFIX_SIZE];
	char delimiter; /* 0 = NIL */
	enum folder_space space;
};

/* The body that flows by (fetch.c). */
struct imap_body {
	struct window *window; /* whose buffer takes it in; NULL = none */
	size_t at;             /* where in that buffer */
	uint64_t real;         /* its length as announced */
	bool skip;             /* its bytes are not wanted, or there was no room */
};

struct imap_fetch;  /* fetch.c: a wanted window */
struct imap_append; /* append.c: a put window */

struct imap {
	struct session session; /* first: this is a struct session */
	const struct endpoint *at;
	struct connect_env env;
	struct conn *conn;
	struct record_link *record;
	struct imap_reader reader;
	size_t taken; /* bytes of the last event, given back before the next */
	unsigned caps;
	char mechanisms[16][IMAP_MECHANISM_SIZE];
	size_t mechanism_count;
	unsigned quirks; /* bits of enum imap_quirk */
	unsigned long tags;
	uint64_t commands;
	char software[100];
	char greeting[200];    /* "" after STARTTLS: what was said in clear text does not count */
	struct buf capability; /* the words of the last list, spaces around each */
	bool clear;       /* before STARTTLS: what is said now may be anybody's, and is not shown */
	bool brief;       /* introduced with the least that will do: it hung up on more */
	bool introducing; /* logged in, and being asked the first questions */
	uint64_t chatter; /* bytes said since the last tagged answer, bodies not counted */
	struct imap_namespace namespaces[IMAP_NAMESPACES];
	size_t namespace_count;
	char delimiter; /* of the personal namespace */
	const char *prefix;
	bool qresync;    /* enabled: what goes is told as VANISHED (RFC 7162) */
	bool no_objects; /* it refused to name messages or folders, though it should know how */
	bool loose_sets; /* its ESEARCH names UIDs that are not there, or none of those that are */
	bool bye;        /* the server said goodbye: what follows is an end, not an accident */
	struct err bye_err;
	/* the selected folder */
	struct buf selected; /* raw name; empty = none */
	bool selected_write;
	bool exists_told; /* since it was selected */
	/* Stands for a UIDVALIDITY that is not told: then UIDs mean nothing to another session. */
	uint64_t incarnation;
	uint64_t exists, uidvalidity, uidnext, modseq;
	uint64_t
	    lasting; /* messages that were there when it was selected and are not expunged since */
	/* the folder last asked for its now: new UIDs there are of this UIDVALIDITY, from this one on */
	struct buf now_raw;
	uint64_t now_uidvalidity, now_uidnext;
	int pace_ms; /* to wait before each command, because it asked to go slower */
	bool pace_told;
	bool half_sent; /* a command was broken off: nothing can follow it on this connection */
	/* pipelines */
	struct imap_body body;
	struct imap_fetch *fetch_first, **fetch_last;
	struct imap_append *append_first, **append_last;
	char refusal[200];       /* of the last message put, as imap_words; "" = it was taken */
	struct arena mark_arena; /* what mark and place said, until the next of them */
};

#define IMAP(s) ((struct imap *)(s))

/* ---- command.c ---- */

/* The next event of the server; waits. RESPONSE: BYE has been noted. Never MORE or BAD: those are
 * waited for, or become errors (scope link). */
int imap_next_event(struct imap *im, enum imap_event *event, struct err *e);
/* Give the bytes of the last event back to the connection (the next event does so by itself). */
void imap_release_event(struct imap *im);
/* The next whole response; bodies in between are skipped. */
int imap_next_response(struct imap *im, struct err *e);

void imap_command_start(struct imap *im, struct imap_command *c, const char *verb);
void imap_command_free(struct imap_command *c);
/* " word" as it stands. */
void imap_command_add(struct imap_command *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* " name" as quoted string or, where it must be, as literal. */
void imap_command_add_string(struct imap *im, struct imap_command *c, struct view v);
/* What is added from here on is secret: it is neither logged nor recorded. */
void imap_command_secret(struct imap_command *c);
/* Send it without waiting for the answer (except where literals must be asked for). */
int imap_command_send(struct imap *im, struct imap_command *c, struct err *e);
/* Before a command goes out: wait as long as the server's [THROTTLED] made it. */
int imap_pace(struct imap *im, struct err *e);
/* Take untagged data while waiting for a command's end; NULL = nothing but bookkeeping. */
struct imap_taker {
	int (*response)(void *arg, const struct imap_response *r, struct err *e);
	/* A body begins / a piece of it. Both NULL: bodies are skipped. */
	int (*body)(void *arg, uint32_t uid, uint64_t len, struct err *e);
	int (*data)(void *arg, struct view piece, struct err *e);
	void *arg;
};
/* Wait for the tagged answer to TAG; it stays in im->reader.response. 0 = it came, whatever it
 * says; -1 = it will not come. */
int imap_await(struct imap *im, const char *tag, const struct imap_taker *taker, struct err *e);
/* await a command that was sent. 0 = OK; -1 with scope FOLDER and the server's words for NO and BAD. */
int imap_finish(
    struct imap *im, const struct imap_command *c, const struct imap_taker *taker, struct err *e);
/* send, finish, free. 0 = OK; -1 with scope FOLDER and the server's words for NO and BAD. */
int imap_run(
    struct imap *im, struct imap_command *c, const struct imap_taker *taker, struct err *e);
/* Fill *e from a NO or BAD in the reader; scope and cause as given unless the text says otherwise
 * (throttled, over quota ...). Returns -1. */
int imap_refused(
    struct imap *im, enum cause cause, enum err_scope scope, const char *what, struct err *e);
/* The server's words of the response in hand, printable, in A. */
const char *imap_words(struct imap *im, struct arena *a);
/* Scope link, for answers that break the protocol. */
int imap_broken(struct imap *im, struct err *e, const char *what);
/* The same: the tagged response in hand answers no command. Cyrus says NO to a message before the message has come,
 * where it has no room for it, and BAD to lines of it. */
int imap_answers_nothing(struct imap *im, struct err *e);
/* Throttled or over quota, from the words of the response in hand; CAUSE_NONE = neither. */
enum cause imap_general_cause(const struct imap_response *r, int *wait_s);
/* Whole lines to the server, and to the record. */
int imap_send(struct imap *im, struct view lines, struct err *e);
bool imap_has(const struct imap *im, enum imap_capability cap);

/* ---- login.c ---- */

/* From the greeting to a session that may work: fills caps, software, namespaces, quirks. */
int imap_log_in(struct imap *im, struct err *e);

/* ---- session.c ---- */

int imap_open(
    struct session **s, const struct endpoint *at, const struct connect_env *env, struct err *e);
void imap_adopt(struct session *s, const struct connect_env *env);
void imap_close(struct session **s, struct session_stats *out);

/* Open a folder for reading (EXAMINE) or writing (SELECT), unless it is open so already.
 * FRESH: even then, for numbers as of now. */
int imap_select(struct imap *im, struct view raw, bool write, bool fresh, struct err *e);
bool imap_is_selected(const struct imap *im, struct view raw, bool write);
/* Open it anew, and send THEN (NULL = none; no literals that must be asked for) in the same flight: its
 * answer is still to be awaited when this returns 0, and only then. */
int imap_select_with(
    struct imap *im, struct view raw, bool write, struct imap_command *then, struct err *e);
/* The two halves of it, for several in one flight: the command, and its answer. */
void imap_select_command(struct imap *im, struct imap_command *c, struct view raw, bool write);
int imap_select_answer(struct imap *im, const struct imap_command *c, struct view raw, bool write,
    const struct imap_command *then, struct err *e);
/* Leave the selected folder without expunging anything. */
int imap_unselect(struct imap *im, struct err *e);

/* ---- account.c ---- */

/* Fill what caps tell with env.measure. */
int imap_measure(struct imap *im, struct err *e);

/* ---- folders.c ---- */

int imap_namespace(struct imap *im, struct err *e);
int imap_take_namespace(struct imap *im, const struct imap_response *r);
int imap_list(struct session *s, struct folder_list *out, struct err *e);
/* In the answers of LIST and LSUB: one of the attributes; the name, as the server wrote it. */
bool imap_has_attribute(const struct imap_node *list, const char *name);
struct view imap_listed_name(const struct imap_reader *reader, const struct imap_node *name);

/* ---- make.c ---- */

int imap_make(struct session *s, struct view from, char *const *parts, size_t depth,
    enum folder_role role, bool subscribe, struct arena *a, struct view *out_raw, struct err *e);
int imap_make_all(
    struct session *s, struct making *folders, size_t count, struct arena *a, struct err *e);

/* ---- facts.c ---- */

int imap_now(struct session *s, const struct folder *f, struct cursor *out, struct err *e);
int imap_changes(struct session *s, const struct folder *f, const struct changes_ask *ask,
    const struct fact_sink *sink, struct changes_told *told, struct err *e);
int imap_changes_all(struct session *s, struct asking *folders, size_t count, struct err *e);
/* A set of the first of these, ascending, of about IMAP_SET_MAX bytes; how many it holds. */
size_t imap_next_set(const uint32_t *uids, size_t count, struct buf *text);
/* "uidvalidity uidnext modseq"; -1 = not such a text. */
void imap_cursor_print(struct cursor *out, uint64_t uidvalidity, uint64_t uidnext, uint64_t modseq);
int imap_cursor_parse(
    const struct cursor *c, uint64_t *uidvalidity, uint64_t *uidnext, uint64_t *modseq);

/* A sweep was told far more messages than are counted: no memory or ledger shall follow. */
#define IMAP_FLOOD 100000u

/* ---- mark.c ---- */

int imap_mark(
    struct session *s, const struct folder *f, struct mark *marks, size_t count, struct err *e);

/* ---- search.c ---- */

/* The UIDs of all messages of the selected folder as facts with nothing else. */
int imap_tell_ids(struct imap *im, const struct fact_sink *sink, struct err *e);

/* ---- move.c ---- */

int imap_place(struct session *s, const struct folder *from, const struct folder *to,
    struct placement *items, size_t count, struct err *e);
int imap_remove(
    struct session *s, const struct folder *f, const struct view *ids, size_t count, struct err *e);

/* ---- fetch.c ---- */

int imap_want(struct session *s, struct window *w, struct err *e);
int imap_next(struct session *s, struct window **w, struct err *e);
struct window *imap_abandon_fetch(struct imap *im);

/* ---- append.c ---- */

int imap_put(struct session *s, const struct folder *f, struct window *w, struct err *e);
int imap_settle(struct session *s, size_t max, struct window **w, struct err *e);
struct window *imap_abandon_append(struct imap *im);
/* " (\\Seen work)": the five system flags and keywords of the set; false = there is none. */
bool imap_add_flags(struct imap *im, struct buf *text, uint32_t flags);
