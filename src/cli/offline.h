/* offline.h - what the commands share that look into the state directory and at no server. */
#pragma once

#include "cli/arguments.h"
#include "ledger/inspect.h"

struct offline {
	/* options */
	const char *state;
	int output; /* enum output_form */
	bool help, dry_run;
	/* made of them */
	const char *dir;
	const char *operands[4];
	int count; /* of operands, also beyond room */
	struct arena arena;
};

/* Read the words behind COMMAND. -1: cause usage. */
int offline_parse(
    struct offline *o, const char *command, int count, char *const *words, struct err *e);
void offline_free(struct offline *o);
/* Tell an error; returns its exit code. */
int offline_fail(const struct err *e);
/* Print to standard output. */
void offline_print(const struct buf *text);
/* Whose mailbox: TEXT as a URL, or an identity as `ledger list` shows it; in the arena. */
int offline_identity(
    struct offline *o, const char *text, enum err_side side, const char **out, struct err *e);
/* The path of a folder's destination for people, in A. */
char *offline_path(const struct inspect_record *folder, struct arena *a);
/* Bytes as text without control characters, in A. */
char *offline_text(struct view bytes, struct arena *a);
/* "2026-11-22 01:30:00 UTC"; OUT holds 40. */
void offline_time(char out[40], int64_t seconds);
