/* inspect.h - the ledger's records one by one, for those who look at them, carry them elsewhere or
 * rename their mailboxes: no pass is begun. What a record holds is told as named values
 * (docs/ledger-format.md), so that nobody above needs to know the ledger's structs. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum inspect_kind { INSPECT_PAIR, INSPECT_FLAGS, INSPECT_FOLDER, INSPECT_ITEM, INSPECT_INTENT };
#define INSPECT_KINDS 5u

enum inspect_type {
	INSPECT_NUMBER, /* number */
	INSPECT_SIGNED, /* number, as int64_t */
	INSPECT_TRUTH,  /* number: 0, 1 */
	INSPECT_BYTES,  /* bytes: ids and names as the servers gave them */
	INSPECT_DIGEST, /* bytes: binary; put takes hexadecimal text as well */
	INSPECT_WORD,   /* bytes: one of some names */
	INSPECT_LIST,   /* list: a path */
};

struct inspect_value {
	const char *name;
	enum inspect_type type;
	uint64_t number;
	struct view bytes;
	const struct view *list;
	size_t count;
};

#define INSPECT_VALUES 24u

struct inspect_record {
	enum inspect_kind kind;
	uint32_t number; /* of the folder (FOLDER, ITEM, INTENT) or the flag set (FLAGS) */
	struct view id;  /* ITEM, INTENT: the source's; else empty */
	struct inspect_value values[INSPECT_VALUES];
	size_t count;
};

/* Whose records: both identities. */
struct inspect_pair {
	const char *source, *destination;
};

struct inspect;

/* The ledger in DIR, which must be there unless MAKE. Errors: cause state. */
int inspect_open(struct inspect **out, const char *dir, bool make, struct err *e);
/* What was not committed is lost. Takes NULL inside. */
void inspect_close(struct inspect **i);

/* Called in the order of the keys; all that the record points to is valid during the call. 0 = go on,
 * 1 = enough, -1 = with its error. It must not call the same inspect. */
typedef int inspect_take(void *arg, const struct inspect_record *r, struct err *e);

/* All pair records (PAIR NULL, KIND INSPECT_PAIR), or the records of one pair: NUMBER not 0 = of that
 * folder alone. */
int inspect_each(struct inspect *i, const struct inspect_pair *pair, enum inspect_kind kind,
    uint32_t number, inspect_take *take, void *arg, struct err *e);
/* Is there such a record? TAKE is called with it. */
int inspect_get(struct inspect *i, const struct inspect_pair *pair, enum inspect_kind kind,
    uint32_t number, struct view id, inspect_take *take, void *arg, bool *found, struct err *e);

/* Is there any record of the pair? */
int inspect_is_known(
    struct inspect *i, const struct inspect_pair *pair, bool *known, struct err *e);

/* From here to inspect_commit all is done or nothing; others wait so long. */
int inspect_begin(struct inspect *i, struct err *e);
/* -1 with cause usage: a value is missing or of another type, a word unknown. */
int inspect_put(struct inspect *i, const struct inspect_pair *pair, const struct inspect_record *r,
    struct err *e);
/* All records of a pair become those of another, which must have none. */
int inspect_rename(struct inspect *i, const struct inspect_pair *from,
    const struct inspect_pair *to, struct err *e);
int inspect_commit(struct inspect *i, struct err *e);

/* "pair"; and back, -1 = none. */
const char *inspect_kind_name(enum inspect_kind kind);
int inspect_kind_by_name(struct view name);
/* The value of that name; NULL = the record has none. */
const struct inspect_value *inspect_find(const struct inspect_record *r, const char *name);
/* Its number, 0 where there is none. */
uint64_t inspect_number(const struct inspect_record *r, const char *name);
/* Its bytes, empty where there are none. */
struct view inspect_bytes(const struct inspect_record *r, const char *name);
