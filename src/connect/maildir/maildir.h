/* maildir.h - the rooms of the Maildir connector share this; nobody else includes it.
 *
 *   session.c   open, close, the folder in hand   folders.c   list, make
 *   name.c      file names (pure)                  lines.c     line ends (pure)
 *   scan.c      what lies in new/ and cur/         keywords.c  dovecot-keywords, dot locks
 *   facts.c     now, changes                       change.c    mark, place, remove
 *   read.c      want, next, streams                store.c     put, settle
 *   subscriptions.c
 *
 * What a file on disk means (https://cr.yp.to/proto/maildir.html, Maildir++, and what Dovecot adds):
 * each LF without a CR before it is a line end of the message, CR LF on the wire. Only files that
 * godwit itself has marked (name.c: raw) are the message byte for byte.
 *
 * Ids are the unique parts of file names: they survive renames, and are never given out twice. */
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include "connect/connector.h"
#include "net/wait.h"

#define MAILDIR_PIECE (64u << 10) /* bytes read at once */
#define MAILDIR_KEYWORDS 26
#define MAILDIR_KEY 16           /* bytes of the key of what godwit stores */
#define MAILDIR_NAME 256         /* a file name with its NUL */
#define MAILDIR_ID (3 * 255 + 1) /* an id: each byte may need three */
#define MAILDIR_SECOND INT64_C(1000000000)
#define MAILDIR_ROOT "." /* raw name of the inbox */

/* ---- name.c ---- */

/* A file name taken apart; views into it. */
struct maildir_name {
	struct view unique;       /* the id before escaping: without flags and sizes */
	struct view letters;      /* of the flags behind ":2,"; empty = none */
	uint64_t seconds, micros; /* it was named at; 0 = not told */
	bool has_size, has_wire_size;
	uint64_t size, wire_size;       /* S= bytes on disk, W= with CR LF */
	bool ours, raw;                 /* godwit stored it, byte for byte */
	unsigned char key[MAILDIR_KEY]; /* ours: of which item */
};

void maildir_name_parse(struct maildir_name *n, const char *name);
/* Printable; OUT holds MAILDIR_ID. */
void maildir_name_id(char *out, struct view unique);
/* The name of what godwit stores, up to the flags. OUT holds MAILDIR_NAME. */
void maildir_name_print(char *out, uint64_t seconds, uint64_t micros,
    const unsigned char key[MAILDIR_KEY], bool raw, uint64_t size, uint64_t wire_size);
/* NAME with other flag letters; -1 = it would be too long. OUT holds MAILDIR_NAME. */
int maildir_name_relabel(char *out, const char *name, const char *letters);

/* ---- lines.c ---- */

/* What line ends a message has, counted piece by piece. */
struct maildir_lines {
	uint64_t bytes, line_feeds, bare; /* BARE: LF without CR before it */
	bool doubled;                     /* CR CR LF: dropping a CR would lose one */
	bool cr, cr_cr;                   /* how the last piece ended */
};

void maildir_lines_feed(struct maildir_lines *l, struct view piece);
/* Can it lie on disk with LF alone, and come back byte for byte? */
bool maildir_lines_plain(const struct maildir_lines *l);
/* The CR of each CR LF is dropped. *CR: one is held back, which may have its LF in the next piece.
 * -1: OUT is full. */
int maildir_lines_to_disk(struct buf *out, struct view piece, bool *cr);
/* Each LF without CR before it gets one. *CR: the last piece ended with one. -1: OUT is full. */
int maildir_lines_to_wire(struct buf *out, struct view piece, bool *cr);

/* ---- session.c ---- */

/* One file of a folder. */
struct maildir_entry {
	const char *name; /* in the index's arena, as id */
	const char *id;
	uint64_t seconds, micros; /* in its name: the order of the folder */
	uint64_t inode;
	bool in_new;
	uint8_t round; /* of the scan that saw it last */
};

/* One that godwit stored, by its key. */
struct maildir_stored {
	unsigned char key[MAILDIR_KEY];
	const char *id;
};

/* What makes a folder what it is, and whether something changed in it. */
struct maildir_state {
	uint64_t inode, born;  /* of cur/; BORN in nanoseconds, 0 = the file system does not tell */
	int64_t cur, new;      /* mtimes in nanoseconds; 0 = there is none */
	int64_t words, length; /* of dovecot-keywords */
};

struct maildir_keywords {
	char *names[MAILDIR_KEYWORDS]; /* NULL = free */
	int64_t mtime;
	int64_t length;
	bool loaded;
	struct arena arena;
};

/* The folder in hand. */
struct maildir_box {
	struct buf raw;                /* empty = none */
	int dir, cur, new, tmp;        /* descriptors; new and tmp may be -1 */
	struct stat owner;             /* of the folder, for what is made in it */
	struct maildir_entry *entries; /* in the order shown */
	struct maildir_entry **by_id;
	size_t count, size;
	uint64_t clashes;            /* files that share their id with another */
	bool scanned, torn;          /* TORN: it never held still while it was read */
	struct maildir_state scan;   /* as it was before the scan */
	bool swept;                  /* our own leavings in tmp/ are gone */
	bool keyed;                  /* the keys were read */
	struct maildir_stored *keys; /* sorted; what was there before the first put */
	size_t key_count;
	struct arena key_arena;
	struct arena arena; /* of the entries */
	struct maildir_keywords keywords;
};

struct maildir_reader;

/* Windows lent to us. */
struct maildir_queue {
	struct window *first, **last;
};

struct maildir {
	struct session session; /* first: this is a struct session */
	const struct endpoint *at;
	struct connect_env env;
	int root;                    /* -1 = not made yet */
	bool unmade;                 /* no folder is there yet */
	enum endpoint_layout layout; /* never DETECT once it is open */
	char delimiter;
	char software[40];
	struct maildir_box box;
	struct maildir_queue wanted, put;
	struct maildir_reader *stream;        /* handed over, not at its end maybe */
	uint64_t named_seconds, named_micros; /* of the last name given */
	struct arena answers;                 /* reasons and ids, until the next call */
	struct session_stats stats;
};

#define MAILDIR(s) ((struct maildir *)(s))

void maildir_queue_add(struct maildir_queue *q, struct window *w);
struct window *maildir_queue_pop(struct maildir_queue *q);

int maildir_open(
    struct session **s, const struct endpoint *at, const struct connect_env *env, struct err *e);
void maildir_close(struct session **s, struct session_stats *out);
/* Take the folder in hand, opened anew where it is not the same any more. Scope folder when it
 * cannot be. */
int maildir_enter(struct maildir *m, struct view raw, struct err *e);
void maildir_leave(struct maildir *m);
/* An error out of errno, naming the path. Disk full is of scope mailbox (cause quota), the rest of
 * scope folder. NAME may be "". Returns -1. */
int maildir_failed(
    const struct maildir *m, enum cause cause, const char *what, const char *name, struct err *e);
/* Disk full, over quota? */
bool maildir_is_full(int error);
/* Write it all. -1 = errno. */
int maildir_write(int fd, struct view bytes);
/* A new file belongs to whom the folder belongs, where we may give it away, and has its mode. */
void maildir_give_away(int fd, const struct stat *owner);

/* ---- scan.c ---- */

int maildir_state(struct maildir *m, struct maildir_state *out, struct err *e);
bool maildir_state_same(const struct maildir_state *a, const struct maildir_state *b);
/* Read the folder in hand: box.entries. */
int maildir_scan(struct maildir *m, struct err *e);
/* How many files there are, without keeping their names. */
int maildir_count(struct maildir *m, uint64_t *out, struct err *e);
/* Out of the last scan; NULL = not there. */
struct maildir_entry *maildir_find(struct maildir *m, struct view id);
/* The same, with another scan when it is not there and the folder changed since. *OUT may be NULL. */
int maildir_look(struct maildir *m, struct view id, struct maildir_entry **out, struct err *e);
int maildir_dir_of(const struct maildir *m, const struct maildir_entry *entry);

/* ---- keywords.c ---- */

/* Read dovecot-keywords of the folder in hand, when it changed. */
int maildir_keywords_load(struct maildir *m, struct err *e);
/* Make sure that all keywords of these sets have a letter, as far as there are letters. */
int maildir_keywords_add(struct maildir *m, const uint32_t *flags, size_t count, struct err *e);
uint32_t maildir_flags_of(struct maildir *m, struct view letters);
/* Flag letters in order, those of NAME that mean nothing to us kept. OUT holds 64. False: some have
 * no letter. */
bool maildir_flags_letters(struct maildir *m, uint32_t flags, struct view before, char *out);
/* A lock as Dovecot has it: the file NAME in DIR, until it is unlinked. Waits for it. */
int maildir_lock(struct maildir *m, int dir, const char *name, struct err *e);
/* All of a small file; 0, 1 = there is none, -1. */
int maildir_slurp(struct maildir *m, int dir, const char *name, struct buf *out, struct err *e);
/* Put TEXT into the file of that name, in one step. Whoever calls holds its lock. */
int maildir_replace(struct maildir *m, int dir, const char *name, struct view text, struct err *e);

/* ---- folders.c ---- */

int maildir_list(struct session *s, struct folder_list *out, struct err *e);
int maildir_make(struct session *s, struct view from, char *const *parts, size_t depth,
    enum folder_role role, bool subscribe, struct arena *a, struct view *out_raw, struct err *e);
/* Which layout is there, or was asked for? LAYOUT_DETECT = there are no folders (besides the inbox).
 * -1: both, or it cannot be read. */
int maildir_detect(struct maildir *m, enum endpoint_layout *out, struct err *e);

/* ---- subscriptions.c ---- */

/* Mark the folders that are subscribed. */
int maildir_subscriptions_read(struct maildir *m, struct folder_list *out, struct err *e);
int maildir_subscriptions_add(struct maildir *m, const char *raw, struct err *e);
/* Of a folder and all below it. */
int maildir_subscriptions_rename(
    struct maildir *m, const char *from, const char *to, struct err *e);

/* ---- facts.c ---- */

void maildir_cursor_print(struct cursor *out, const struct maildir_state *st, bool glance);
int maildir_now(struct session *s, const struct folder *f, struct cursor *out, struct err *e);
int maildir_changes(struct session *s, const struct folder *f, const struct changes_ask *ask,
    const struct fact_sink *sink, struct changes_told *told, struct err *e);

/* ---- change.c ---- */

int maildir_mark(
    struct session *s, const struct folder *f, struct mark *marks, size_t count, struct err *e);
int maildir_place(struct session *s, const struct folder *from, const struct folder *to,
    struct placement *items, size_t count, struct err *e);
int maildir_remove(
    struct session *s, const struct folder *f, const struct view *ids, size_t count, struct err *e);
/* Rename without ever replacing another file. */
int maildir_rename(int from_dir, const char *from, int to_dir, const char *to);

/* ---- read.c ---- */

/* Reads one file as the message that it is. */
struct maildir_reader {
	struct item_stream stream;
	struct maildir *m;
	int fd;
	bool raw, cr;
	uint64_t left; /* of a stream, bytes on the wire */
	struct stat st;
	struct buf wire;
	char piece[MAILDIR_PIECE];
};

/* Open what lies under ENTRY. 0; 1 = it is not there (any more), or is no file to be read (errno
 * ELOOP: a link; EISDIR and others). */
int maildir_reader_open(
    struct maildir_reader **out, struct maildir *m, const struct maildir_entry *entry);
void maildir_reader_close(struct maildir_reader **r);
/* The next bytes on the wire; 0 = the end, -1 = errno. Valid until the next call. */
int maildir_reader_next(struct maildir_reader *r, struct view *out);
/* Read it through and go back to its beginning: its exact size on the wire. -1 = errno. */
int maildir_reader_measure(struct maildir_reader *r, uint64_t *size);
int maildir_want(struct session *s, struct window *w, struct err *e);
int maildir_next(struct session *s, struct window **out, struct err *e);

/* ---- store.c ---- */

int maildir_put(struct session *s, const struct folder *f, struct window *w, struct err *e);
int maildir_settle(struct session *s, size_t max, struct window **w, struct err *e);
