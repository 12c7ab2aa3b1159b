/* connector.h - what the engine sees of a service. One service = one file behind this header.
 *
 * The engine knows no UID, no APPEND, no modseq: ids and cursors are opaque printable text that
 * lives in the ledger. All calls block in the lane's wait set, and end by deadline or stop.
 * An absent slot = cannot do.
 *
 * Errors: scope item/window/folder: the session is fine; scope link: this session is dead, close it
 * and open another; wider: as it says. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/endpoint.h"
#include "model/flags.h"
#include "model/folder.h"
#include "model/item.h"
#include "model/names.h"

struct waitset;
struct session;
struct record;

#define CURSOR_SIZE 96

/* An instant of a folder. Its first word names the folder's incarnation: where that is another, ids
 * mean other items (IMAP: UIDVALIDITY). The second, where it is a number, tells how far ids have come
 * and never descends while time goes on (UIDNEXT); 0 = not known. */
struct cursor {
	char text[CURSOR_SIZE]; /* "" = none */
};

/* ---- what travels ---- */

enum item_state {
	ITEM_WANTED, /* announced, not read yet */
	/* after next(): */
	ITEM_READ,       /* body at offset/len of the window's bytes */
	ITEM_STREAM,     /* its body comes from window->stream; alone in its window */
	ITEM_GONE,       /* not at the source any more */
	ITEM_UNREADABLE, /* the source would not give it: cause and reason */
	/* after next(), want it again alone (size is now known better); after settle(): not stored,
	 * and not its own fault: may be put again */
	ITEM_AGAIN,
	/* after settle(): */
	ITEM_STORED,  /* stored_id where the destination told it, else empty */
	ITEM_REFUSED, /* for good: cause and reason */
	ITEM_UNKNOWN, /* the session died: stored or not, nobody knows */
};

struct window_item {
	struct view id; /* at the source */
	uint64_t size;  /* as declared by the source: an estimate; the body's length is the truth */
	struct date date;
	uint32_t flags; /* flags to store */
	enum item_state state;
	size_t offset, len; /* READ: where its body lies in window->body */
	struct view stored_id;
	enum cause cause;
	bool for_now; /* REFUSED by an accident of the destination: it may take it another day */
	const char *reason; /* static, or in the window's arena */
	/* for the engine alone */
	struct identity identity;
	uint64_t object; /* hash of fact.object, 0 = none */
	const char *msgid;
	/* as they are at the source, where what is sent differs */
	uint32_t flags_told;
	struct date date_told;
	unsigned was;   /* enum row_state of an older row that this one replaces, 0 = none */
	unsigned tries; /* how often it was put or wanted again */
	/* Refused, so that other bytes are put for it: */
	unsigned rung;       /* enum repair_rung */
	const char *refusal; /* the words of the destination; NULL: it was not refused */
	enum cause refused;
	bool climbs; /* wanted again for its next rung */
	const char
	    *repair; /* what was done to the bytes that are here; NULL: they are the source's */
	unsigned char header_told[16]; /* with repair: digest of the source's header */
};

/* Pulled by whoever puts it. Size is exact and known from the start (a service that cannot know it
 * spools first). */
struct item_stream {
	uint64_t size;
	/* 1 = *out has the next bytes (valid until the next call), 0 = size bytes were given,
	 * -1 = the source failed: the item must not be finished at the destination. */
	int (*read)(struct item_stream *s, struct view *out, struct err *e);
};

/* The unit that travels (DESIGN §6): some items of one folder with their bodies in one buffer, or
 * one item as a stream. Bodies stay until it is settled. Owned by the engine; between want and next
 * it is lent to the source's session, between put and settle to the destination's. */
struct window {
	const struct folder *folder; /* at the source */
	struct window_item *items;
	size_t count;
	struct buf body; /* ceiling set by the engine */
	struct item_stream *stream;
	struct arena arena;  /* ids, reasons, msgids */
	struct window *next; /* whoever has it queues it with this */
	uint64_t ticket;     /* engine: durability of its intent */
	uint64_t bytes;      /* engine: what it will hold, as announced */
	int64_t asked;       /* engine: when it was announced, or put (ms) */
	/* into want: of the incarnation at that instant are its ids; NULL or "" = not known */
	const struct cursor *known;
	bool alone; /* into want: one item, to be handed over as a stream */
	/* out of settle, for items AGAIN: */
	bool split; /* because one of many was refused: put the halves */
	/* and out of next: wait before more is asked for */
	enum cause hold; /* throttled, quota, folder-gone: going on at once is no use; else none */
	int wait_s;      /* throttled: as long as was asked for, 0 = not said */
};

/* ---- facts ---- */

struct fact {
	struct view id; /* valid during take only */
	bool gone;      /* not there any more (with ask.gone); nothing else is told of it */
	bool partial; /* only id and flags are told (ask.partial), or the id alone (ask.only_ids) */
	uint64_t size;
	struct date date;
	uint32_t flags;
	/* Names the message wherever it lies in the account (EMAILID, X-GM-MSGID); empty = not told. */
	struct view object;
	/* with ask.identity: */
	bool has_identity;
	struct identity identity;
};

struct fact_sink {
	/* Takes one fact, in any order; -1 stops the sweep with its error. It may use the ledger, not
	 * the session. */
	int (*take)(void *arg, const struct fact *fact, struct err *e);
	void *arg;
};

/* Do both speak of the same incarnation of a folder, so that ids of the one mean the same items in
 * the other? False where one of them is none. */
bool cursor_same(const struct cursor *a, const struct cursor *b);
/* The second word; 0 = it is not known, or no number. */
uint64_t cursor_next_id(const struct cursor *c);
/* Have ids of THEN been taken back, within one incarnation? Then the server was restored from a backup,
 * and gives ids out a second time. */
bool cursor_went_back(const struct cursor *now, const struct cursor *then);
/* The instant of a folder (NULL allowed) that its listing told; false = it told none, *out is none. */
bool cursor_glance(const struct folder *f, struct cursor *out);

/* What changes() shall tell. */
struct changes_ask {
	const struct cursor *since; /* NULL or "" = everything */
	/* Only items that appeared since the cursor, each once, whatever else changed. */
	bool only_new;
	/* Header digest and Message-ID too (body digest stays unknown): costs a header an item. */
	bool identity;
	/* Whole message read and digested too: for ties. */
	bool digest;
	/* Of all items their ids and nothing else, as compact as the service can; since does not count. */
	bool only_ids;
	/* What has gone since the cursor too, as facts, where the service remembers. */
	bool gone;
	/* Of items that the cursor passed their ids and flags are enough: where the service cannot tell
	 * what changed, it need not tell all of everything. */
	bool partial;
	/* When count > 0: the present facts of just these ids; ids without a fact are gone. */
	const struct view *ids;
	size_t count;
	bool marks_follow; /* with ids: some of them will be marked next */
};

struct changes_told {
	struct cursor cursor; /* a lower bound of the instant before the sweep began */
	bool reset;           /* since was no longer valid; everything was reported anew */
	bool back;            /* reset, because its counters are below the cursor's: it was restored
	                       * from a backup, and ids may have been given out twice */
	bool complete;        /* everything was reported (bare server): what is absent is gone */
	/* all that has gone since the cursor was told, among it perhaps ids that never were */
	bool gone_told;
	uint64_t total; /* items in the folder, that at least a complete sweep must have told */
};

struct mark {
	struct view id;
	uint32_t add, remove; /* flags */
	bool done;            /* out */
	bool gone;            /* out: no such item any more */
	const char *reason;   /* out: refused, why; in the session, until its next call */
};

/* An item to be moved within the account. */
struct placement {
	struct view id;
	bool done; /* out: it is in its new folder */
	bool gone; /* out: no such item any more; nothing was done */
	/* out: in its new folder, empty = not told: look for it; in the session, until its next call */
	struct view new_id;
	/* out: refused, why; with done: only copied, the original is there still. As new_id */
	const char *reason;
};

/* One of several folders to be made. */
struct making {
	char *const *parts;
	size_t depth;
	enum folder_role role;
	bool subscribe;
	bool there;      /* it need only be subscribed; raw is what to call it */
	bool done;       /* out: it is there, and its subscription was asked for */
	struct view raw; /* out, with done: what to call it; in the arena given */
};

/* One of several folders that are asked what changed. */
struct asking {
	const struct folder *folder;
	const struct changes_ask *ask;
	const struct fact_sink *sink;
	struct changes_told told; /* out, with done */
	bool done;                /* out: else nothing that was told counts */
};

/* ---- the session ---- */

struct session_caps {
	bool ids_told;     /* receipts carry ids (UIDPLUS) */
	bool batches;      /* several items go in one atomic command */
	bool streams;      /* a window's literal is accepted without asking */
	bool moves;        /* place() is atomic: an item is never in both folders or none */
	bool guesses;      /* sizes that it tells may be off by half */
	uint64_t max_size; /* of one item, bytes; 0 = not told */
	struct name_rules names;
	/* with env.measure, where told: */
	bool quota_told;
	uint64_t quota_free; /* bytes that the account may still take; UINT64_MAX = no limit */
	enum { KEYWORDS_UNKNOWN, KEYWORDS_TAKEN, KEYWORDS_REFUSED } keywords; /* new ones */
	const char *software; /* what it calls itself, for the report; may be "" */
};

/* Every connector's session begins with this. */
struct session {
	const struct connector *connector;
	struct session_caps caps;
};

enum secret_need { SECRET_FIRST, SECRET_WAS_REFUSED };

struct connect_env {
	struct waitset *waits;
	struct flags_table *flags; /* shared by both sessions of a lane */
	const char *origin;        /* identity of the source: keyed destinations put it into keys */
	uint64_t max_item;         /* --max-size: larger literals end the connection; 0 = none */
	bool measure;              /* ask what the account may hold as well: caps.quota, keywords */
	/* Ask for the password or token. Adds it to OUT, which the caller wipes. */
	int (*secret)(
	    void *arg, enum err_side side, enum secret_need need, struct buf *out, struct err *e);
	void *secret_arg;
	/* Optional: a sentence for the progress ("HOST asks to go slower"). */
	void (*note)(void *arg, const char *text);
	void *note_arg;
	struct record *record; /* what passes is told there (record.h); NULL = nowhere */
};

struct session_stats {
	uint64_t bytes_in, bytes_out, waits, commands;
};

struct connector {
	const char *scheme;
	/* A session on one account, login proven by a command that needs it. */
	int (*open)(struct session **s, const struct endpoint *at, const struct connect_env *env,
	    struct err *e);
	/* The session, opened by another thread that is done with it, lives on in this environment. NULL: to
	 * open one takes no time, so that no thread does. */
	void (*adopt)(struct session *s, const struct connect_env *env);
	/* Says goodbye if that is quick. NULL inside is fine. OUT (may be NULL): what it cost in all. */
	void (*close)(struct session **s, struct session_stats *out);
	/* All folders, with roles by attribute only. */
	int (*list)(struct session *s, struct folder_list *out, struct err *e);
	/* Make sure a folder with that path is there; idempotent; subscribes when asked. FROM not empty:
	 * by renaming that folder, whose children go with it. *OUT_RAW (in A) is what to call it from
	 * now on. Errors: folder-refused with the server's words. */
	int (*make)(struct session *s, struct view from, char *const *parts, size_t depth,
	    enum folder_role role, bool subscribe, struct arena *a, struct view *out_raw,
	    struct err *e);
	/* Try to make folders in one flight, parents before children. Those that are not done are left to make(). */
	int (*make_all)(struct session *s, struct making *folders, size_t count, struct arena *a,
	    struct err *e);
	/* A lower bound of this instant of the folder. */
	int (*now)(struct session *s, const struct folder *f, struct cursor *out, struct err *e);
	int (*changes)(struct session *s, const struct folder *f, const struct changes_ask *ask,
	    const struct fact_sink *sink, struct changes_told *told, struct err *e);
	/* Try to ask several in one flight. Those that are not done are left to changes(). */
	int (*changes_all)(struct session *s, struct asking *folders, size_t count, struct err *e);
	/* Announce; never waits beyond a full out buffer, or for the folder to be opened. Windows come back in
	 * the order wanted; until they have, nothing else is asked of the session. -1 with folder-reset: the
	 * folder is not the one that w->known tells of. */
	int (*want)(struct session *s, struct window *w, struct err *e);
	/* The oldest wanted window, its items READ, STREAM, GONE or UNREADABLE. NULL = none wanted. */
	int (*next)(struct session *s, struct window **w, struct err *e);
	/* Returns when queued; no command is left half-sent. The stream, if any, is drained. */
	int (*put)(struct session *s, const struct folder *f, struct window *w, struct err *e);
	/* The oldest put window, when more than MAX are outstanding or it is answered already, else
	 * *w = NULL. Its items are
	 * STORED, REFUSED, AGAIN. On -1 the windows still inside come back by abandon. */
	int (*settle)(struct session *s, size_t max, struct window **w, struct err *e);
	int (*mark)(struct session *s, const struct folder *f, struct mark *marks, size_t count,
	    struct err *e);
	/* Move items to another folder of the account. After an error of scope link each is in the one
	 * folder or the other, or (unless caps.moves) in both. */
	int (*place)(struct session *s, const struct folder *from, const struct folder *to,
	    struct placement *items, size_t count, struct err *e);
	/* Remove just these items for good, never another, whatever its flags. What is not there any
	 * more counts as removed. -1 of scope folder: it cannot, or was refused. */
	int (*remove)(struct session *s, const struct folder *f, const struct view *ids,
	    size_t count, struct err *e);
	/* After an error: hand back every window still lent, one a call, items UNKNOWN (put) or
	 * WANTED (wanted); NULL = no more. */
	struct window *(*abandon)(struct session *s);
};

/* The connector for a URL scheme, NULL = there is none. */
const struct connector *connector_find(const char *scheme);
