/* look_help.c - the help of `godwit verify` and `godwit check`, 80 columns. docs/godwit.1.scd tells the
 * same at length; a test sees to it that both name every option. */
#include "cli/commands.h"

#define SECRETS                                                                                    \
	"Passwords, tokens and trust, as with copy (godwit help copy):\n"                          \
	"  --source-password-file, --source-password-env, --source-password-command,\n"            \
	"  --destination-password-file, --destination-password-env,\n"                             \
	"  --destination-password-command,\n"                                                      \
	"  --ca-file, --source-ca-file, --destination-ca-file, --insecure\n"                       \
	"\n"
#define SHOWN                                                                                      \
	"  --namespace personal|all     all: shared and other users' folders too\n"                \
	"  --timeout SECONDS            longest silence of a server (60)\n"                        \
	"  --report FILE                every exception as a JSON line\n"                          \
	"  --record FILE                a transcript to send to godwit's makers, without\n"        \
	"                               secrets and content (see RECORDS in the manual)\n"         \
	"  --output text|json           json: events, one a line, on standard output\n"            \
	"  -q, --quiet                  nothing but errors, and the report if exit is 1\n"         \
	"  --debug                      a log of decisions on standard error\n"                    \
	"  -h, --help                   this\n"

const char *const verify_help[] = {
    "godwit verify SOURCE DESTINATION [options]\n"
    "\n"
    "Compare two mailboxes, folder by folder, without godwit's memory: folders are\n"
    "mapped as copy maps them, messages are matched by header, size and bytes, and\n"
    "duplicates count. Nothing is changed at either side. Compare mailboxes at\n"
    "rest: mail that comes meanwhile shows as a difference.\n"
    "\n"
    "  godwit verify imaps://anna@old.example imaps://anna@new.example\n"
    "\n"
    "Compared are sizes, arrival dates, flags, and digests of the headers. Besides:\n"
    "  --digest                     every byte: all messages are read at both sides\n"
    "  --sample N                   every byte of N messages a folder, by chance\n"
    "  --seed NUMBER                the same sample again, as the report named it\n"
    "  --exact                      what is only at the destination, or was altered\n"
    "                               by its server, makes the exit code 1 as well\n"
    "\n",
    SECRETS,
    SHOWN,
    "\n"
    "Exit code: 0 the same, 1 something is missing or different (see the report),\n"
    "2 usage, 10 cannot connect, 11 TLS, 12 login refused, 20 throttled, 70 fault of\n"
    "godwit, 130 stopped.\n",
    NULL,
};

const char *const check_help[] = {
    "godwit check SOURCE DESTINATION [options]\n"
    "\n"
    "Look at both sides before copying: what there is, where it would go, what would\n"
    "be refused, how long it will take at least. Nothing is moved or changed. What\n"
    "it says comes from what the servers declare or show; what they do not tell, it\n"
    "says it does not know.\n"
    "\n"
    "  godwit check imaps://anna@old.example imaps://anna@new.example\n"
    "\n"
    "  --max-size SIZE              count larger messages as left out (50M), if the\n"
    "                               destination's own limit is not lower\n",
    SHOWN,
    "\n",
    SECRETS,
    "Exit code: 0 nothing would be refused, 1 something would (see the report),\n"
    "2 usage, 10 cannot connect, 11 TLS, 12 login refused, 20 throttled, 70 fault of\n"
    "godwit, 130 stopped.\n",
    NULL,
};
