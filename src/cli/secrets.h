/* secrets.h - where the passwords and tokens of both sides come from (DESIGN §10). */
#pragma once

#include "cli/vault.h"
#include "model/endpoint.h"

/* What the user named; at most one is set, none = ask on the terminal. */
struct secret_origin {
	const char *file, *env, *command;
};

struct secret {
	struct secret_origin origin;
	enum err_side side;
	struct vault vault; /* holds the secret from the start, but for commands */
};

struct secrets {
	struct secret source, destination;
	int stop_fd;
	int command_ms; /* time limit of a command */
};

/* Told sentences the user should see; may be NULL. */
struct secrets_listener {
	void (*note)(void *arg, const char *text);
	void *arg;
};

/* Read files and variables, and ask for what nobody named; commands are run when a secret is
 * needed. The variables are wiped and removed from our environment. Errors: cause usage, side
 * set; cause stopped. */
int secrets_open(struct secrets *s, const struct secret_origin *source,
    const struct secret_origin *destination, const struct endpoint *from, const struct endpoint *to,
    int stop_fd, const struct secrets_listener *listener, struct err *e);
/* As struct secret_source wants it: adds the secret of SIDE to OUT, or fails with cause login.
 * WAS_REFUSED: commands are asked again; the others have nothing else to give and fail. */
int secrets_get(
    struct secrets *s, enum err_side side, bool was_refused, struct buf *out, struct err *e);
/* Wipes everything. */
void secrets_free(struct secrets *s);
