/* error.h - what went wrong, how far the damage reaches, what to do next (DESIGN §6).
 *
 * A function that can fail returns -1 and fills its last argument; on success that argument is
 * untouched. The first error is kept: whoever passes one up may widen its scope, not its cause. */
#pragma once

#include <stdarg.h>

#include "base/base.h"

/* How far the damage reaches. Each loop handles its own scope and passes wider ones up. */
enum err_scope {
	ERR_ITEM,
	ERR_WINDOW,
	ERR_FOLDER,
	ERR_LINK,    /* this connection; the lane mends it by connecting again */
	ERR_MAILBOX, /* this account at all */
	ERR_RUN,
};

enum err_next {
	ERR_RETRY,
	ERR_WAIT, /* for wait_s seconds, then retry */
	ERR_GIVE_UP,
	ERR_STOPPED, /* the user or the controller said stop */
};

enum err_side { ERR_HERE, ERR_SOURCE, ERR_DESTINATION };

/* Stable causes. Exit code, JSON name and remedy hang on them (cause_*). Their numbers are on disk:
 * new ones go at the very end. Names are a contract with scripts and never change. */
enum cause {
	CAUSE_NONE,
	/* the whole run */
	CAUSE_USAGE,     /* "usage"       2 */
	CAUSE_CONNECT,   /* "connect"    10: no address, refused, timed out, hung up for good */
	CAUSE_TLS,       /* "tls"        11 */
	CAUSE_LOGIN,     /* "login"      12 */
	CAUSE_PROTOCOL,  /* "protocol"   10: the other side does not speak the protocol */
	CAUSE_THROTTLED, /* "throttled"  20 */
	CAUSE_QUOTA,     /* "quota"      20 */
	CAUSE_STATE,     /* "state"      30: state directory unusable, of another version, full */
	CAUSE_LOCKED,    /* "locked"     30: another godwit works on this destination */
	CAUSE_BUG,       /* "bug"        70 */
	CAUSE_STOPPED,   /* "stopped"   130 */
	/* one folder: exit 1 */
	CAUSE_FOLDER_REFUSED, /* "folder-refused": the destination will not have it */
	CAUSE_FOLDER_GONE,    /* "folder-gone": listed but cannot be opened */
	CAUSE_FOLDER_RESET,   /* "folder-reset": UIDVALIDITY changed, the memory does not fit */
	CAUSE_FOLDER_RENAMED, /* "folder-renamed": a note, exit 0 */
	/* one item: exit 1 unless said */
	CAUSE_TOO_BIG,      /* "too-big" */
	CAUSE_REFUSED,      /* "refused": for a reason we could not classify; see the reason text */
	CAUSE_NUL,          /* "nul" */
	CAUSE_8BIT_HEADER,  /* "8bit-header" */
	CAUSE_BARE_NEWLINE, /* "bare-newline" */
	CAUSE_BAD_HEADER,   /* "bad-header" */
	CAUSE_EMPTY,        /* "empty": the source gave no bytes, or the destination wants some */
	CAUSE_VIRUS,        /* "virus" */
	CAUSE_DATE,         /* "date": stored, with another date; a note, exit 0 */
	CAUSE_FLAGS,      /* "flags": stored, some flags or keywords could not be; a note, exit 0 */
	CAUSE_ALTERED,    /* "altered": the server changed the bytes while storing; exit 0 */
	CAUSE_UNREADABLE, /* "unreadable": the source would not give it */
	CAUSE_GONE,       /* "gone": deleted at the source before it was read; a note, exit 0 */
	CAUSE_IN_DOUBT,   /* "in-doubt": may be at the destination twice, or not at all */
	CAUSE_MISSING,    /* "missing": stored, but not there when it was checked */
	/* later ones */
	CAUSE_FOLDER_LOST, /* "folder-lost": a folder of ours is missing at the destination; exit 1 */
	CAUSE_DELETIONS,   /* "deletions": more went at the source than the limit allows; exit 1 */
	CAUSE_NOT_REMOVED, /* "not-removed": gone at the source, kept at the destination; exit 0 */
	/* found by verify, which compares both ends without the ledger */
	CAUSE_EXTRA,        /* "extra": only at the destination; a note, exit 0 */
	CAUSE_FLAGS_DIFFER, /* "flags-differ" */
	CAUSE_DATE_DIFFERS, /* "date-differs" */
	CAUSE_SIZE_DIFFERS, /* "size-differs" */
	CAUSE_BYTES_DIFFER, /* "bytes-differ" */
	CAUSE_DAMAGED,   /* "damaged"  30: the ledger's file or a record of it; it can be rebuilt */
	CAUSE_LONG_LINE, /* "long-line": longer than the destination takes */
	CAUSE_MEMORY,    /* "memory"   70: the worker could not get any more */
	CAUSE_REPAIRED, /* "repaired": stored in other bytes, as the user asked for; a note, exit 0 */
	CAUSE_COUNT
};

struct err {
	enum cause cause;
	enum err_scope scope;
	enum err_next next;
	enum err_side side;
	int wait_s;       /* with ERR_WAIT: how long the other side asked for, 0 = not said */
	char text[400];   /* one sentence for the user: what happened and what to do */
	char detail[400]; /* for the operator: the server's words, errno; may be empty */
};

/* Fill *e (NULL allowed) and return -1, so that callers can write: return err_set(...).
 * next is ERR_RETRY for scope ERR_LINK, else ERR_GIVE_UP; change it afterwards where it differs.
 * Control characters in the finished text are replaced (a server cannot write to the terminal). */
int err_set(struct err *e, enum cause cause, enum err_scope scope, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void err_detail(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* err_set with cause stopped, scope run, next stopped. */
int err_stopped(struct err *e);

/* "too-big"; never NULL. */
const char *cause_name(enum cause cause);
/* What the user can do about it, one sentence; "" where nothing is to be done. */
const char *cause_remedy(enum cause cause);
/* The exit code it leads to (DESIGN §10): 0 for notes, 1 for items and folders. */
int cause_exit(enum cause cause);
/* The cause with that name, -1 = none. */
int cause_by_name(const char *name);

const char *err_scope_name(enum err_scope scope);

/* Copy text to out (size bytes, always terminated), replacing control characters and bytes that
 * are not UTF-8 with '?', so that it is safe on a terminal. Longer text ends in "...". */
void text_printable(char *out, size_t size, const char *text, size_t len);
/* The same for a format. */
void text_format(char *out, size_t size, const char *fmt, va_list args) PRINTF_LIKE(3, 0);
