/* lane.h - what the rooms of the engine share: the lane with its two sessions, and the job, one
 * folder on its way. Nobody outside flow/ includes it.
 *
 *   copy.c     the way of one folder, top to bottom: READ FIRST
 *   flow.c     the pass: connect, folders, one job after the other, mending of lost links
 *   folders.c  which folder goes where      plan.c     what is to be done in one folder
 *   window.c   items into windows           resolve.c  what became of intents in doubt
 *   check.c    is it all there?             mark.c     flags that changed at the source
 *   reconcile.c  ids that lost their meaning  move.c   what moved from folder to folder
 *   gone.c     what went at the source      follow.c   folders that were renamed
 *   suspect.c  items at which a link dies   remedy.c   refused, and put in other bytes
 *   lanes.c    several lanes at once         lane.c     what is told to the controller
 *   early.c    several folders in one look   ahead.c    the next folder, begun meanwhile
 *   links.c    the two sessions              pace.c     how much may be under way */
#pragma once

#include "flow/flow.h"
#include "flow/pace.h"
#include "net/wait.h"

#define WINDOW_ITEMS 128u       /* most items of one window, but of a large folder ... */
#define WINDOW_ITEMS_LARGE 512u /* ... so many: Dovecot looks at all of it for each APPEND */
#define LARGE_FOLDER (1u << 16)
#define WINDOW_BYTES (1u << 20) /* bytes it is filled to ... */
#define WINDOW_FIRST                                                                               \
	(1u << 16) /* ... by and by: a new connection is slow, and the other side waits */
#define WINDOW_MAX (4u << 20)   /* ceiling of its buffer */
#define STREAM_FROM (3u << 20)  /* items of this size travel alone, as a stream */
#define WANTED_AHEAD 8u         /* windows announced at the source, at most */
#define WANTED_BYTES (4u << 20) /* ... or as much, or what pace.h tells */
#define PUT_AHEAD 8u            /* windows outstanding at the destination, at most */
#define PUT_PAIR 2u             /* ... and this many, where they are larger than ... */
#define PUT_BYTES (4u << 20)    /* ... this, or what pace.h tells */
#define PACE_LEAST (1u << 19)
#define NEAR_MS 10        /* a listing that takes less comes from nearby */
#define CHECK_EVERY 8192u /* items stored between two checks: bounds their memory */

struct lane {
	const struct flow_options *options;
	const struct flow_context *context;
	const struct connector *from, *to;
	struct connect_env env;
	struct flags_table *flags;
	struct ledger *ledger;
	struct session *source, *destination;
	int64_t connected_at;
	bool connected_once;
	unsigned sessions; /* how often it was connected */
	struct pace reading, writing;
	uint64_t
	    window_bytes; /* the last window was filled to; twice as many each time, as the pace allows */
	uint64_t settled; /* items stored or refused: a link that brings any gets on */
	struct folder_list source_folders, target_folders;
	struct name_map map;
	struct copy_summary *summary;
	struct copy_progress progress;
	/* The folder whose making was under way when the link was lost, and how often in a row. */
	struct view suspect;
	unsigned suspicions;
	uint64_t ahead_items;    /* in folders not looked at yet: an estimate */
	struct folder_job *jobs; /* one a folder of the map, in its order */
	struct flight *flight;   /* what was asked early, and nobody has taken yet */
	bool early_failed;       /* not again in this pass */
	struct crew *crew;       /* of the first lane: its helpers; NULL = none yet */
	struct seat *seat;       /* while it takes folders off the list */
	struct folder_job *next; /* begun at the source while the one before it is finished */
	size_t job_count;
	uint64_t pretended;  /* of a dry run: moves out of folders that went */
	bool near;           /* both servers told their folders at once */
	bool throttled;      /* a server asked for patience in this pass */
	bool hold_deletions; /* more has gone than the limit allows: nothing is removed */
};

/* An item to be fetched and put. */
struct todo {
	struct view id;
	uint64_t size;
	uint64_t object; /* hash of fact.object, 0 = none */
	struct date date;
	uint32_t flags;
	uint8_t was; /* enum row_state of an older row, 0 = none */
	uint8_t tries;
	uint8_t rung;     /* enum repair_rung: in what bytes it is put */
	bool alone;       /* as a stream, or because it failed among others */
	bool clamp_date;  /* its date was refused: the nearest that is taken */
	bool cut_flags;   /* its keywords were refused */
	uint32_t refusal; /* with rung: among those of the job */
};

/* Why an item is put in other bytes than the source's. */
struct refusal {
	enum cause cause;
	const char *text; /* the words of the destination */
};

/* What the destination should show for an item stored in this pass. */
struct expectation {
	struct view source_id, target_id;
	struct identity identity;
	struct date date, date_told;
	uint32_t flags, flags_told;
	const char *msgid;
	bool uncounted; /* an earlier pass counted it */
	bool earlier;   /* stored by an interrupted run: only id and flags are known */
	bool found;     /* the destination shows it */
	bool read;      /* its bytes were read back */
};

/* An item whose flags changed at the source. */
struct change {
	struct ledger_row row;
	uint32_t flags; /* now */
};

/* One folder on its way. */
struct folder_job {
	bool usable;  /* it has a destination folder, and did not fail yet */
	bool looked;  /* look_folder is done: what follows is known */
	bool begun;   /* ... while another was finished, and windows may be announced */
	bool unlucky; /* was begun while another was finished, and failed: not again */
	const struct folder *source;
	struct folder target;           /* raw and parts */
	const char *name, *target_name; /* for people */
	struct ledger_folder *memory;
	struct cursor floor; /* the destination's now() before anything of this job was put */
	struct early *early; /* what its source told with others, and nobody has taken yet */
	struct changes_told told;
	bool cursor_stays; /* the next pass must be told again what this one was */
	uint64_t unlisted; /* messages that the source counts and does not list */
	struct todo *todo;
	size_t todo_count, todo_size, todo_next;
	struct window *retry; /* put again with the bytes in hand */
	struct expectation *stored;
	size_t stored_count, stored_size;
	struct arena stored_arena; /* their text */
	struct change *changes;
	size_t change_count, change_size;
	struct ledger_row *vanished; /* rows of items that are not at the source any more */
	size_t vanished_count, vanished_size;
	struct window_item *gone; /* perhaps; ids and nothing else that points */
	size_t gone_count, gone_size;
	struct todo *facts; /* what the sweep told of the doubted ones */
	size_t fact_count, fact_size;
	struct view *placed; /* moved here in this pass, and the new id was not told */
	size_t placed_count, placed_size;
	struct view *doubted; /* source ids kept for the end, sorted */
	size_t doubted_count;
	struct refusal *refusals;
	size_t refusal_count, refusal_size;
	size_t wanted;         /* windows announced and not read, ... */
	uint64_t wanted_bytes; /* and what is in them */
	size_t put;            /* windows outstanding at the destination, ... */
	uint64_t put_bytes;    /* and what is in them */
	uint64_t stored_now, bytes_now;
	uint64_t found_now;                   /* recognised at the destination */
	uint64_t planned, planned_bytes;      /* at the last planning: to do */
	uint64_t stored_before, bytes_before; /* and done before it */
	unsigned floor_session; /* the lane's session in which now() was asked; 0 = none */
	bool recalled;
	bool source_reset, target_reset; /* ids there mean other items than the ledger's */
	unsigned resets;
	bool glanced;   /* the listing's glance was looked at: it is older than what we know now */
	unsigned holds; /* how often in a row the destination asked for patience */
	unsigned source_holds;
	unsigned accidents; /* refused in a row by accidents of the destination */
	bool careful;       /* the window under way is one that is put again, or a suspect */
	bool lonely; /* the window announced last is a suspect: nothing is announced behind it */
	struct suspect *suspects; /* suspect.c */
	size_t suspect_count, suspect_size;
	bool undecided; /* the destination never came to rest after a lost link */
	struct arena arena;
};

/* ---- copy.c ---- */
/* What is to be done in the folder; nothing is sent yet. Again like copy_folder. */
int look_folder(struct lane *l, struct folder_job *job, struct err *e);
/* Where in the destination folder nothing of ours can be below: asked once a session. */
int copy_floor(struct lane *l, struct folder_job *job, struct err *e);
/* One folder, from its doubts to its cursor. Idempotent: after an error of scope link it is called
 * again with fresh sessions and a restarted job. */
int copy_folder(struct lane *l, struct folder_job *job, struct err *e);
/* Record what is known of windows still lent to the sessions, and free them. True: there were some,
 * so that answers are still to come and the sessions are of no more use. ACCIDENT: how the link was
 * lost; NULL = in order. */
bool copy_abandon(struct lane *l, struct folder_job *job, const struct err *accident);

/* Announce windows until enough are on their way. */
int copy_want(struct lane *l, struct folder_job *job, struct err *e);

/* ---- ahead.c ---- */
/* Is nothing of it asked of the source any more, unless receipts bring surprises? */
bool ahead_may_begin(const struct lane *l, const struct folder_job *job);
/* JOB has been read: begin the folder behind it, if that can be. -1: of JOB, or of the links. */
int ahead_begin(struct lane *l, const struct folder_job *job, struct err *e);
/* The source is needed by the folder at work once more: what was begun is put aside, and begun anew at its turn. */
int ahead_leave(struct lane *l, struct err *e);

/* ---- flow.c ---- */
/* A lane without sessions and ledger yet. */
int flow_open_lane(struct lane *l, const struct flow_options *options,
    const struct flow_context *context, struct err *e);
void flow_close_lane(struct lane *l);
/* One folder to its end, through all troubles that are its own. -1 = the lane cannot go on. */
int flow_job(struct lane *l, struct folder_job *job, struct err *e);
/* The folder is done again from the top; what was stored and not checked yet stays to be checked. */
void flow_restart(struct lane *l, struct folder_job *job);
/* Another lane has begun it: what follows starts from what that one has left. */
int flow_resume(struct lane *l, struct folder_job *job, struct err *e);

/* ---- early.c ---- */
/* The map is known: which of its folders can be asked in one flight. */
void early_choose(struct lane *l);
/* Ask them: uses the source alone, and no ledger, so that it may be done in another thread. */
int early_ask(struct lane *l, struct err *e);
/* What JOB's has told goes to it; the rest is forgotten at the end. */
void early_take(struct lane *l, struct folder_job *job);
void early_end(struct lane *l);
/* JOB's, taken as changes() tells it, in L's flags, whichever lane has asked; only where job->early is. */
int early_tell(struct lane *l, struct folder_job *job, const struct fact_sink *sink,
    struct changes_told *told, struct err *e);
void early_free(struct early **y);

/* ---- links.c ---- */
/* Open what is not open. */
int flow_connect(struct lane *l, struct err *e);
typedef int flow_part(struct lane *l, struct err *e);
/* Both at once where that can be: each uses one session, and nothing that the other changes. */
int flow_both(struct lane *l, flow_part *at_source, flow_part *at_destination, struct err *e);
/* JOB (may be NULL) gives up what it has lent. */
void flow_disconnect(struct lane *l, struct folder_job *job);

/* ---- lanes.c ---- */
/* The map is known: as many helpers as what is new pays for connect while the account is prepared. */
void lanes_expect(struct lane *l);
/* What this lane does next, so that it may be begun; NULL = nothing. */
int lanes_next(struct lane *l, struct folder_job **out, struct err *e);
/* Of a lane at work. */
bool lanes_are_several(const struct lane *l);
/* All jobs, by as many lanes as pay. */
int lanes_run(struct lane *l, struct err *e);
/* Helpers that have no work yet go. */
void lanes_release(struct lane *l);
void lanes_end(struct lane *l);

/* ---- lane.c ---- */
void lane_exception(struct lane *l, const struct folder_job *job, enum cause cause, struct view id,
    const char *msgid, const char *fmt, ...) PRINTF_LIKE(6, 7);
void lane_note(struct lane *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
void lane_progress(struct lane *l);
/* The largest item that can travel; 0 = no limit known. */
uint64_t lane_max_size(const struct lane *l);
/* What is done must not depend on the clock: it is being recorded, and shall be played again. */
bool lane_is_steady(const struct lane *l);
/* Bytes that may be under way from the source, and to the destination. */
uint64_t lane_reading_ahead(const struct lane *l);
uint64_t lane_writing_ahead(const struct lane *l);
/* Items of this many bytes travel alone. */
uint64_t lane_stream_from(const struct lane *l);
/* Refused for such a cause, would an item be put in other bytes? */
bool lane_may_repair(const struct lane *l, enum cause cause);
/* It was stored in other bytes than the source's: what was done to it. */
void lane_repaired(struct lane *l, const struct folder_job *job, struct view id, const char *msgid,
    const char *repair);

/* ---- folders.c ---- */
/* List both sides, map and make what is missing. Folders refused are told as exceptions, and have
 * no target_raw in memory. */
int folders_prepare(struct lane *l, struct err *e);
/* Ready for look_folder; not usable = this folder is not copied (said already). */
void folders_job(struct lane *l, size_t index, struct folder_job *job);
void folders_job_free(struct folder_job *job);

/* ---- follow.c ---- */
/* Folders that were renamed since the last pass, at either end: their memory goes with them, and says
 * so (renamed, lost). Between listing and mapping. */
int follow_folders(struct lane *l, struct err *e);

/* ---- reconcile.c ---- */
/* Does the listing alone show that the destination folder is not the one we left, or an older one? */
bool reconcile_is_due(const struct lane *l, const struct folder_job *job);
/* Would reconcile_folder do anything? */
bool reconcile_is_needed(const struct lane *l, const struct folder_job *job);
/* Recognise what is at both ends already, where ids do not tell. Does nothing where they do. */
int reconcile_folder(struct lane *l, struct folder_job *job, struct err *e);

/* ---- plan.c ---- */
/* Is it certain from the listing alone that there is nothing to do? */
bool plan_is_idle(const struct lane *l, const struct folder_job *job);
/* What the source is asked, since the cursor. */
struct changes_ask plan_ask(const struct folder_job *job);
/* Sweep the source since the cursor: fills todo, changes, told. */
int plan_folder(struct lane *l, struct folder_job *job, struct err *e);
/* -1: its ids do not mean what they meant (scope folder). */
int plan_is_other(struct folder_job *job, struct err *e);
/* Present facts of these source ids, to the end of todo. */
int plan_ids(
    struct lane *l, struct folder_job *job, const struct view *ids, size_t count, struct err *e);
/* An item in doubt was adopted: what the sweep told of it meanwhile counts now. */
int plan_adopted(struct lane *l, struct folder_job *job, struct view id, struct err *e);
void plan_add(struct folder_job *job, const struct todo *t);
/* What the ledger's row of an item and its flags now ask for, where they differ. */
void plan_change(struct folder_job *job, const struct ledger_row *row, uint32_t flags);
/* A fact of an item in doubt, for plan_adopted. */
void plan_keep_fact(struct folder_job *job, const struct todo *t);
/* Its item is not at the source any more: to the end of vanished. */
void plan_vanish(struct folder_job *job, const struct ledger_row *row);
/* Into the progress: what todo holds now. */
void plan_count(struct lane *l, struct folder_job *job);
/* What the source did not list: once, when nothing of the folder is done again any more. */
void plan_tell_unlisted(struct lane *l, const struct folder_job *job);

/* ---- move.c ---- */
/* Has anything gone from where it was, perhaps with its folder? */
bool move_is_possible(struct lane *l);
/* What went from one folder and is new in another moves at the destination too. All jobs that can be
 * concerned have been looked at; what moved leaves their todo and vanished. Folder-reset: a job was
 * found to be reset; look at all of them again. */
int move_items(struct lane *l, struct err *e);

/* Was it moved into the folder in this pass, without its new id being told? Then nothing was stored for it. */
bool move_was_placed(const struct folder_job *job, struct view id);

/* A finished folder that is not at the source any more, and whose items are not known to have gone. */
bool move_is_deserted(const struct lane *l, const struct ledger_folder *m);
/* For each of them a job (in A; to be freed one by one) that can do nothing but lose its items. */
int move_deserted(
    struct lane *l, struct folder_job **out, size_t *found, struct arena *a, struct err *e);

/* ---- gone.c ---- */
/* The same for folders that are not at the source any more: what is in them has gone with them. */
int gone_deserted(struct lane *l, struct err *e);
/* Rows of items that went: remembered as gone, or (deletions mirrored) removed at the destination
 * where they are ours and untouched. */
int gone_folder(struct lane *l, struct folder_job *job, struct err *e);
/* In a dry run: how many it would remove. */
int gone_plan(struct lane *l, struct folder_job *job, struct err *e);
/* Before any is removed: is it more than the limit allows? */
void gone_guard(struct lane *l);

/* ---- window.c ---- */
/* The next window of todo, NULL = none left. Items too big are refused on the way. */
int window_fill(struct lane *l, struct folder_job *job, struct window **out, struct err *e);
void window_free(struct window **w);
/* After next(): identities, and what could not be read goes to todo, ledger or report.
 * *w = NULL when nothing of it is left to put. */
int window_inspect(struct lane *l, struct folder_job *job, struct window **w, struct err *e);
/* Receipts of a window to the ledger, the expectations and the report. */
int window_receive(struct lane *l, struct folder_job *job, struct window *w, struct err *e);
/* After settle(): its receipts, and what may be put again joins job->retry or todo. Frees w. */
int window_settle(struct lane *l, struct folder_job *job, struct window **w, struct err *e);

/* ---- suspect.c ---- */
/* The link to SIDE was lost with the unanswered items of W under way; when all of its windows are
 * noted: judge. */
void suspect_note(struct folder_job *job, const struct window *w, enum err_side side);
void suspect_judge(struct folder_job *job);
/* It must travel with nothing else under way. */
bool suspect_is(const struct folder_job *job, struct view id);
/* 1 = it has cost links enough: owed, and named as an exception; 0 = it may be tried; -1. */
int suspect_give_up(
    struct lane *l, struct folder_job *job, struct window_item *item, struct err *e);

/* ---- remedy.c ---- */
/* Refused: shall it be wanted again, to be put in other bytes? Then it is AGAIN and climbs. */
bool remedy_climb(
    struct lane *l, struct folder_job *job, const struct window *w, struct window_item *item);
/* Refused for good: what more is to be said of it than the destination's words; may be "". */
const char *remedy_hindrance(
    const struct lane *l, const struct window *w, const struct window_item *item);
/* After next(): W's only item, which climbed, is put in the bytes of its rung. What cannot be is
 * REFUSED, on record and told. */
int remedy_item(struct lane *l, struct folder_job *job, struct window *w, struct err *e);

/* ---- resolve.c ---- */
/* Find out what became of the intents on record. Not FINAL: those not found are kept for the end
 * (job->doubted); FINAL: they are released and go to todo. */
int resolve_folder(struct lane *l, struct folder_job *job, bool final, struct err *e);
/* Give the destination folder time to come to rest. */
int resolve_rest(struct lane *l, struct folder_job *job, struct err *e);

/* ---- check.c ---- */
/* Is the destination folder, seen at NOW, the one that the ledger's ids speak of? Remembers it the
 * first time; -1: it was made anew (scope folder). */
int check_same_target(
    struct lane *l, struct folder_job *job, const struct cursor *now, struct err *e);
/* Compare what was stored with what the destination shows. Nothing may be outstanding. */
int check_stored(struct lane *l, struct folder_job *job, struct err *e);
/* Expect what an interrupted run stored and could not check. */
int check_recall(struct lane *l, struct folder_job *job, struct err *e);
/* After a lost link: are ids of what this pass has stored still behind NOW? Else the destination was restored
 * from a backup meanwhile, and would give them out again (-1, scope folder). */
int check_still_ahead(struct folder_job *job, const struct cursor *now, struct err *e);
void check_expect(struct folder_job *job, const struct expectation *x);
void check_forget(struct folder_job *job);
/* The source did not give an item and said nothing: gone, perhaps. */
void check_doubt_gone(struct folder_job *job, const struct window_item *item);
/* Ask the source whether those are gone indeed; those that are not are owed. */
int check_gone(struct lane *l, struct folder_job *job, struct err *e);
/* Tell again of what earlier passes could not copy. */
int check_standing(struct lane *l, struct folder_job *job, struct err *e);

/* ---- mark.c ---- */
/* In a dry run it counts what would travel. */
int mark_folder(struct lane *l, struct folder_job *job, struct err *e);
