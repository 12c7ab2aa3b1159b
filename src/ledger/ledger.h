/* ledger.h - the memory of a migration: what was intended, what was confirmed (DESIGN §7).
 * The invariants stand at the head of ledger.c. One struct ledger serves one mailbox pair, in one
 * lane; the controller's lock keeps others away. Nothing here touches a mail server. */
#pragma once

#include "connect/connector.h"
#include "ledger/store.h"

enum row_state {
	ROW_STORED = 1,
	ROW_ADOPTED, /* found at the destination after a doubt */
	ROW_REFUSED, /* final until --retry-refused */
	ROW_OWED,    /* not given, or not taken for now: tried again each pass */
	ROW_FOUND,   /* was at the destination before us: recognised, not copied, never removed */
	ROW_LEFT, /* its copy was moved or deleted by the destination's user before it moved at the
	           * source: left alone */
};

/* One item of a source folder that a cursor has passed. */
struct ledger_row {
	struct view source_id;
	enum row_state state;
	struct view target_id;    /* empty = not told and not located yet (or never stored) */
	unsigned char digest[16]; /* of the header (identity.h); zero = never read */
	uint64_t size;            /* as the source tells it, bytes; 0 = not known */
	uint64_t object;          /* hash of what names it in the whole account; 0 = not told */
	bool gone;                /* not at the source any more */
	uint32_t pass;
	/* The two bases of the three-way rule: the source's flags at the last sync, and what the
	 * destination showed after our write (ASSUMED until read back). */
	uint32_t source_base, target_base;
	bool target_assumed;
	/* REFUSED, OWED: why. STORED, ADOPTED: repaired, where its bytes at the destination are not the
	 * source's; else none. */
	enum cause cause;
	const char *reason;     /* may be "" */
	unsigned char sent[16]; /* of a repaired one: digest of its header as it was sent */
};

/* What a destination folder was seen to do to the first messages that were stored there. */
enum fidelity {
	FIDELITY_SEEN = 1, /* they were read back */
	FIDELITY_REWRITES =
	    2,              /* their bytes come back changed: Message-IDs tell more than digests */
	FIDELITY_DATES = 4, /* arrival dates are its own */
	FIDELITY_KEYWORDS = 8, /* keywords are dropped */
};

enum intent_state {
	INTENT_OPEN = 1,  /* may be stored or not */
	INTENT_UNLOCATED, /* surely stored, its id not told: a row without target_id exists too */
	INTENT_DOUBTED, /* looked for once after a lost link, not seen; looked for again at the end */
	INTENT_PLACED, /* as OPEN, but moved within the destination: done or not done at all */
};

struct ledger_intent {
	struct view source_id;
	enum intent_state state;
	struct identity identity;
	struct date date; /* as sent */
	struct date date_told;
	uint32_t flags; /* as sent */
	uint32_t flags_told;
	const char *msgid;
	uint64_t size; /* as the source tells it */
	uint64_t object;
	const char *repair; /* what was done to the bytes that IDENTITY is of; NULL: nothing */
	unsigned char header_told[16]; /* with repair: digest of the source's header */
};

#define TOPS 3

/* One folder pair. Filled by ledger_open, lives as long as the ledger. */
struct ledger_folder {
	uint32_t number;
	struct view source_raw;
	char **target_parts; /* remembered destination path; depth 0 = none yet */
	size_t target_depth;
	struct view target_raw;
	struct view source_object,
	    target_object;    /* what names them whatever they are called; may be
	                                           * empty */
	struct cursor cursor; /* of the source, "" = never finished a pass */
	struct cursor tail; /* of the destination: a lower bound of where open and unlocated intents
	                       * can be; "" = none is open */
	/* Source and destination folder when last seen, to know that they are still the same. */
	struct cursor source, target;
	struct cursor
	    floor;         /* the destination's now before the first put since finished; "" = none:
	                      * rows of later passes than finished are not checked yet */
	uint32_t finished; /* the last pass that came to its end here */
	uint64_t limit;    /* size limit in force then, 0 = none known */
	/* rows, those of items gone among them */
	uint64_t stored; /* stored or adopted */
	uint64_t refused, owed, found, left;
	uint64_t gone;     /* rows of items that are not at the source any more */
	bool subscribed;   /* subscription was carried over */
	unsigned fidelity; /* bits of enum fidelity */
	/* The highest source ids with a digest, for proof that ids still mean what they meant; "" = none. */
	struct cursor top[TOPS];
	uint64_t open; /* intents on record, of whatever state */
	/* of this run alone: */
	bool renamed; /* at the source, since the last pass */
	bool lost;    /* missing at the destination, without a trace */
	struct ledger_folder *next;
};

struct ledger;

/* Steps are announced to HOOK (may be NULL): tests stop the program there. */
struct ledger_hook {
	void (*step)(void *arg, const char *name);
	void *arg;
};

/* Loads the folders of the pair and begins a new pass. The store is borrowed. */
int ledger_open(struct ledger **out, struct store *store, const char *source_identity,
    const char *destination_identity, struct flags_table *flags, const struct ledger_hook *hook,
    struct err *e);
/* Several lanes, a folder each: LANES ledgers in one pass, each with a store of its own over the same
 * records. share() on the first, then join() for each of the others, PLACE 1 and on; from the thread of the
 * lane, for it reads of the first only what does not change any more. */
int ledger_share(struct ledger *l, unsigned lanes, struct err *e);
int ledger_join(struct ledger **out, const struct ledger *with, unsigned place, struct store *store,
    struct flags_table *flags, const struct ledger_hook *hook, struct err *e);
/* Everything is durable: another lane may go on with it, ... */
int ledger_sync(struct ledger *l, struct err *e);
/* ... which reads anew what the folder's record and its intents say. */
int ledger_reload(struct ledger *l, struct ledger_folder *f, struct err *e);
/* What was not written is lost, harmlessly. */
void ledger_close(struct ledger **l);
uint32_t ledger_pass(const struct ledger *l);

struct ledger_folder *ledger_folders(struct ledger *l); /* list */
/* The record for that source folder, made when missing (not yet written). */
struct ledger_folder *ledger_folder(struct ledger *l, struct view source_raw);
/* Was its header ever read? */
bool ledger_has_digest(const struct ledger_row *row);
/* Were other bytes than the source's stored for it? */
bool ledger_is_repaired(const struct ledger_row *row);
/* The digest of its header as it should be at the destination. */
const unsigned char *ledger_sent_digest(const struct ledger_row *row);
/* Rows of items that should be at the source: all but those known to be gone. */
uint64_t ledger_alive(const struct ledger_folder *f);
/* The source folder is called so from now on; written with the next change. */
void ledger_rename_folder(struct ledger *l, struct ledger_folder *f, struct view source_raw);
/* Remember the mapping. */
int ledger_set_target(struct ledger *l, struct ledger_folder *f, char *const *parts, size_t depth,
    struct view raw, struct err *e);
/* What names the folder at both ends whatever it is called; written with the next change. */
void ledger_set_objects(
    struct ledger *l, struct ledger_folder *f, struct view source, struct view target);
/* Write the folder record as it stands (subscribed, target cursor). */
int ledger_save_folder(struct ledger *l, struct ledger_folder *f, struct err *e);

/* Rows of COUNT source ids; found[i] tells which exist. Texts live in A. */
int ledger_find(struct ledger *l, const struct ledger_folder *f, const struct view *ids,
    size_t count, struct ledger_row *rows, bool *found, struct arena *a, struct err *e);
/* Rows of the highest items on record that have not gone, and whose header is known. Texts live in A. */
int ledger_tops(struct ledger *l, const struct ledger_folder *f,
    struct ledger_row rows[static TOPS], size_t *count, struct arena *a, struct err *e);
/* All rows of the folder, in no useful order; the row's views live during the call. TAKE must not
 * call the ledger. */
int ledger_each_row(struct ledger *l, const struct ledger_folder *f,
    int (*take)(void *arg, const struct ledger_row *row, struct err *e), void *arg, struct err *e);
/* The same for all rows, of every source, that lie in one destination folder. */
int ledger_each_owner(struct ledger *l, struct view target_raw,
    int (*take)(void *arg, const struct ledger_row *row, struct err *e), void *arg, struct err *e);

/* The items of other sources that surely lie in F's destination folder, but where is not known: what
 * looks like one of them may be theirs. */
int ledger_each_claim(struct ledger *l, const struct ledger_folder *f,
    int (*take)(void *arg, const struct identity *identity, struct err *e), void *arg,
    struct err *e);

/* ---- a folder whose ids have lost their meaning ---- */

/* A record for the same folder pair with no rows, invisible to all but its holder until it takes the
 * place of F; cleans up what an interrupted attempt left. Lives as long as the ledger. */
int ledger_successor(
    struct ledger *l, const struct ledger_folder *f, struct ledger_folder **out, struct err *e);
/* Write one row and count it; WAS: the state of the row it replaces, 0 = none. */
int ledger_put(struct ledger *l, struct ledger_folder *f, const struct ledger_row *row,
    unsigned was, struct err *e);
/* F becomes what NEXT is, at one instant and durably; its old rows and intents are dropped. */
int ledger_succeed(
    struct ledger *l, struct ledger_folder *f, struct ledger_folder *next, struct err *e);

/* ---- the way of one window ---- */

/* One durable intent for every item of the window that is READ or STREAM, before anything is put.
 * STATE: INTENT_OPEN, or INTENT_PLACED.
 * NOW is the destination folder's now() and becomes the tail if there is none (needed only then).
 * w->ticket names the instant when all of it is durable. */
int ledger_intend(struct ledger *l, struct ledger_folder *f, struct window *w,
    enum intent_state state, const struct cursor *now, struct err *e);
/* Wait until that is so. */
int ledger_durable(struct ledger *l, uint64_t ticket, struct err *e);
/* Record what settle() told of each item: STORED → row (without id: unlocated), REFUSED → row,
 * AGAIN → the intent is closed, UNKNOWN → it stays open. Not awaited: losing it is safe. */
int ledger_receive(
    struct ledger *l, struct ledger_folder *f, const struct window *w, struct err *e);
/* A row for an item that was never put: REFUSED, OWED or LEFT. */
int ledger_refuse(struct ledger *l, struct ledger_folder *f, const struct window_item *item,
    enum row_state state, struct err *e);
/* Forget a row (an owed or refused item that is tried again, or has gone). */
int ledger_forget(
    struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, struct err *e);

/* All intents on record, texts in A. */
int ledger_intents(struct ledger *l, const struct ledger_folder *f, struct ledger_intent **out,
    size_t *count, struct arena *a, struct err *e);
/* The intent's item was found at the destination: row adopted (or located), intent closed. WAS:
 * the state of an older row it replaces, 0 = none. */
int ledger_adopt(struct ledger *l, struct ledger_folder *f, const struct ledger_intent *i,
    struct view target_id, uint32_t target_flags, unsigned was, struct err *e);
/* It was not found: look again later (DOUBTED), or it surely is not there: intent closed. For an
 * UNLOCATED one closing means: stored once, cannot be found any more; its row stays. */
int ledger_doubt(
    struct ledger *l, struct ledger_folder *f, const struct ledger_intent *i, struct err *e);
int ledger_release(
    struct ledger *l, struct ledger_folder *f, const struct ledger_intent *i, struct err *e);

/* The item has gone at the source, or is back. */
int ledger_gone(struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, bool gone,
    struct err *e);
/* New bases of an item after its flags were looked at or changed. */
int ledger_rebase(
    struct ledger *l, struct ledger_folder *f, const struct ledger_row *row, struct err *e);
/* The folder is done: cursor after its rows. No intent may be open. LIMIT: the size limit in force.
 * Durable soon, and before what is written next; not awaited: ledger_sync does that at the end. */
int ledger_finish(struct ledger *l, struct ledger_folder *f, const struct cursor *cursor,
    uint64_t limit, struct err *e);
