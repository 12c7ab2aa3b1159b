/* mock_connector.h - mail servers in memory behind connector.h, with every bad manner that the engine
 * must live with. A server outlives the sessions on it, and the processes.
 *
 * Time is the test's own (mock_clock); it moves by a millisecond with each call to a server and by
 * more whenever the engine sleeps (mock_waiter). All accidents come from the server's own generator,
 * so that a seed is a story. */
#pragma once

#include "connect/connector.h"
#include "net/wait.h"

struct mock_random {
	uint64_t state;
};

/* 0..N-1 */
unsigned mock_below(struct mock_random *r, unsigned n);
/* True PER_MILLE times in a thousand. */
bool mock_chance(struct mock_random *r, unsigned per_mille);

struct mock_message {
	uint32_t uid;
	uint64_t modseq;
	struct view bytes;
	uint64_t declared; /* the size it claims to have */
	struct date date;
	const char *flags; /* canonical text */
	bool deleted;
	uint64_t deleted_at; /* modseq */
	bool poisoned;       /* at the source: it can never be read */
	int64_t due;         /* delivered late: not here before */
	int group;           /* of twins, from X-Group; -1 = a foreign delivery */
	unsigned reads;      /* how often its body was handed over */
	unsigned changes;    /* how often its flags were changed */
};

struct mock_folder {
	const char *name; /* raw name and path */
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;
	struct mock_message *messages; /* in the order of their uids; late ones are put in later */
	size_t count, size;
	uint64_t hidden; /* so many more are counted than are listed */
	struct mock_message *late;
	size_t late_count, late_size;
};

/* Chances per mille. Zeroed = a good server. */
struct mock_faults {
	unsigned link;        /* of each call: the connection breaks */
	unsigned open;        /* logging in fails */
	unsigned sweep;       /* of each fact: it breaks in the midst of a sweep */
	unsigned twice;       /* of each fact: it is told a second time */
	unsigned twice_new;   /* the same where the contract says "each once" */
	unsigned stream;      /* of each piece of a stream */
	unsigned late;        /* what was stored when a link broke shows only after a while */
	unsigned unreadable;  /* of each read: not this time */
	unsigned again;       /* of each read: the body is missing, ask again alone */
	unsigned bad_batch;   /* of each batch: refused as a whole for no item's fault */
	unsigned throttle;    /* of each window: AGAIN, wait */
	unsigned quota;       /* of each window: AGAIN, over quota (ends the pass) */
	unsigned folder_gone; /* of each window: AGAIN, no such folder (ends the folder) */
	unsigned foreign;     /* of each call: somebody else delivers */
	unsigned deletion;    /* of each call: somebody deletes a message (source) */
};

/* What kind of server it is. */
struct mock_manners {
	bool condstore;      /* cursors tell changes; else every sweep tells all */
	bool qresync;        /* tells what has gone */
	bool moves;          /* a move is one act; else copies first, and removes then */
	unsigned ids_told;   /* per mille of commands whose receipts carry ids */
	bool batches;        /* a window is one atomic command, else a train of commands */
	bool drops_keywords; /* stores system flags alone, without a word */
	bool drops_dates;    /* stores its own time, without a word */
	bool refuses_keywords, refuses_dates, says_why;
	bool munges;      /* 8-bit header bytes become 'X' */
	bool mends_ends;  /* bare LF becomes CRLF */
	bool rewrites;    /* adds a header */
	bool refuses_odd; /* 8-bit headers, bare LF, and a header field X-Strange */
	uint64_t max_size;
	unsigned late_ms; /* how late at most */
};

struct mock_server {
	const char *scheme;
	struct mock_random random;
	struct mock_faults faults;
	struct mock_manners manners;
	struct mock_folder folders[4];
	size_t folder_count;
	struct arena arena;
	uint64_t break_at; /* the link breaks at this call (1 = the first); 0 = at none */
	/* counts of what was asked for */
	uint64_t calls;
	uint64_t told;     /* facts */
	uint64_t puts;     /* items put */
	uint64_t sessions; /* opened */
	uint64_t breaks;   /* links broken */
	const char *fault; /* the engine broke the contract: how */
};

void mock_server_free(struct mock_server *s);
struct mock_folder *mock_folder_add(struct mock_server *s, const char *name);
struct mock_folder *mock_folder_find(struct mock_server *s, struct view name);
/* Copies all it is given. Returns the message until the next add. */
struct mock_message *mock_deliver(struct mock_server *s, struct mock_folder *f, struct view bytes,
    const char *flags, struct date date);
void mock_delete(struct mock_folder *f, size_t index);
/* The folder as it was: what came since is no more, its numbers go back. */
void mock_restore(struct mock_folder *f, uint32_t uidnext, uint64_t modseq);
/* New ids for all. */
void mock_renumber(struct mock_folder *f);
/* Flags changed by its user. */
void mock_set_flags(struct mock_server *s, struct mock_folder *f, size_t index, const char *flags);
/* What S would store for these bytes, in A. */
struct view mock_altered(const struct mock_manners *m, struct view bytes, struct arena *a);
/* Would S refuse it for good? */
bool mock_refuses(const struct mock_manners *m, struct view bytes);
/* Would it refuse those bytes, where it refuses odd ones? */
enum cause mock_odd(struct view bytes);
/* Bring in what is due. */
void mock_arrive(struct mock_server *s);

/* Which servers connector_find finds, by scheme; they are borrowed. */
void mock_install(struct mock_server *const *servers, size_t count);

/* ---- time ---- */

int64_t mock_clock(void); /* for clock_fake */
void mock_clock_pass(int64_t ms);
/* Belongs into the wait set: makes time pass instead of waiting. */
struct waiter *mock_waiter(void);
