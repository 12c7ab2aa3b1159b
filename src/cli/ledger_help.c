/* ledger_help.c - the help of `godwit explain` and `godwit ledger`, 80 columns. */
#include "cli/commands.h"

#define OPTIONS                                                                                    \
	"\n"                                                                                       \
	"  --state DIR          godwit's memory of what was copied\n"                              \
	"                       ($XDG_STATE_HOME/godwit or ~/.local/state/godwit)\n"               \
	"  --output text|json   json: one object a line\n"                                         \
	"  -h, --help           this\n"

const char *const explain_help[] = {
    "godwit explain SOURCE DESTINATION [FOLDER [MESSAGE]]\n"
    "\n"
    "Say what godwit remembers, and why: of a mailbox, of a folder (what was refused,\n"
    "owed, left alone, or is in doubt there), or of one message. No server is asked.\n"
    "\n"
    "  godwit explain imaps://anna@old.example imaps://anna@new.example INBOX 17\n"
    "\n"
    "SOURCE and DESTINATION are the URLs of the copy, or names as godwit ledger list\n"
    "shows them. FOLDER is its name as reports tell it, or at the destination\n"
    "(Archive/2019). MESSAGE is its UID at the source or the destination.\n",
    OPTIONS,
    "\n"
    "Exit code: 0 said, 2 usage or nothing known of it, 30 state directory unusable.\n",
    NULL,
};

const char *const ledger_help[] = {
    "godwit ledger list\n"
    "godwit ledger rename OLD NEW\n"
    "godwit ledger export\n"
    "godwit ledger import [FILE]\n"
    "godwit ledger rebuild SOURCE DESTINATION [options of godwit copy]\n"
    "\n"
    "Look after the state directory. No server is asked, but by rebuild.\n"
    "\n"
    "  list      the pairs of mailboxes it knows, with passes and counts\n"
    "  rename    a mailbox is called otherwise now (another user or host): all pairs\n"
    "            that have it go on under the new name. OLD and NEW are names as list\n"
    "            shows them, or URLs\n"
    "  export    everything as JSON lines on standard output, for a backup or\n"
    "            another machine (docs/ledger-format.md tells the form)\n"
    "  import    what export wrote, from FILE or standard input; pairs that are\n"
    "            known here already are not overwritten, and then nothing is done\n"
    "  rebuild   the memory of one mailbox is lost or damaged: recognise what is at\n"
    "            both ends, and copy nothing. A damaged file is kept under another\n"
    "            name. (A copy recognises by itself; rebuild does nothing else.)\n"
    "\n"
    "With -n, --dry-run, rename, import and rebuild only try, and change nothing.\n"
    "Rename, export and import refuse to work on a pair while a copy runs to its\n"
    "destination.\n",
    OPTIONS,
    "\n"
    "Exit code: 0 done, 2 usage, 30 state directory unusable, or a copy runs.\n",
    NULL,
};
