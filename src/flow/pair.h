/* pair.h - two sessions and their folders for those who only look (verify.c, survey.c): no ledger, and
 * nothing is made or put. Nobody outside flow/ includes it. */
#pragma once

#include "flow/flow.h"
#include "model/job.h"

struct pair {
	const struct flow_options *options;
	const struct flow_context *context;
	const struct connector *from, *to;
	struct connect_env env;
	struct session *source, *destination;
	struct folder_list source_folders, target_folders;
	struct name_map map;
	struct copy_progress progress;
	uint64_t reconnects;
	bool connected_once;
	unsigned tries; /* links lost in a row; whoever gets on sets it to 0 */
	/* where the summary keeps what the servers call themselves; of 100 bytes */
	char *source_software, *destination_software;
	bool measure; /* ask the destination for quota and keywords as well */
};

/* Errors: cause usage. Owns nothing yet; pair_close is due all the same. */
int pair_open(struct pair *p, const struct flow_options *options,
    const struct flow_context *context, struct err *e);
void pair_close(struct pair *p);
/* Both sessions, opened where they are not. */
int pair_connect(struct pair *p, struct err *e);
/* After an error of scope link: 0 = close both, wait as is due, try again; -1 = give up, with *e. */
int pair_mend(struct pair *p, struct err *e);
/* Connect, list both sides and map source folders as a pass without memory would. */
int pair_prepare(struct pair *p, struct err *e);
/* Folders that are not there under their first name: look for the forms that a refusal would have led
 * to. One that is there under none keeps its first name. */
void pair_try_forms(struct pair *p);
/* The folder that ENTRY goes to, NULL = it is not there. */
const struct folder *pair_target(const struct pair *p, const struct name_map_entry *entry);
/* Does a source folder go there? */
bool pair_is_mapped(const struct pair *p, const struct folder *target);

/* What is told. FOLDER and TARGET for people; ID may be empty. */
struct pair_names {
	const char *folder, *target;
};
void pair_exception(struct pair *p, const struct pair_names *names, enum cause cause,
    const char *id, const char *fmt, ...) PRINTF_LIKE(5, 6);
void pair_note(struct pair *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pair_progress(struct pair *p, enum copy_phase phase);
