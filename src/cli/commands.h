/* commands.h - what godwit can be told to do. */
#pragma once

#include "base/base.h"

struct command {
	const char *name;                    /* first, for suggest_name */
	int (*run)(int count, char **words); /* the words behind the name; returns the exit code */
	const char *needs;                   /* its operands, for the usage line */
	const char *help;                    /* one line: what it does */
	const char *const *text;             /* its whole help, in parts, NULL at the end */
};

/* The exit code of `godwit WORDS...`. */
int commands_run(int argc, char **argv);
/* The Nth command, NULL beyond the last. */
const struct command *commands_at(size_t n);
/* Print parts to FD. */
void commands_print(int fd, const char *const *parts);

/* copy.c */
int copy_command(int count, char **words);
int rebuild_command(int count, char **words); /* behind "ledger rebuild" */
/* look.c */
int verify_command(int count, char **words);
int check_command(int count, char **words);
/* look_help.c */
extern const char *const verify_help[], *const check_help[];
/* explain.c */
int explain_command(int count, char **words);
/* ledger.c */
int ledger_command(int count, char **words);
/* ledger_help.c */
extern const char *const explain_help[], *const ledger_help[];
/* copy_help.c */
extern const char *const copy_help[];
