"""The walks: one scenario, stopped or cut at every point that matters, resumed, and compared with its source.

A point is one such accident.  Its scenario runs on servers of its own, several at a time, because most of a
point is waiting.  After the accident the same command must bring the destination to what it would have been
without: the same multiset of (folder, bytes, flags, date); and then once more, with nothing to upload.
"""

import collections
import concurrent.futures
import os
import signal
import sqlite3
import sys
import threading
import time

from stage import BARE, EPOCH, FULL, KILLED, STOPPED, VARIANTS, Mail, Stage, small_mailbox, text, tiny_mailbox

AT_ONCE = int(os.environ.get("GODWIT_FAULT_JOBS", "0")) or 2 * (os.cpu_count() or 2)
PHASES = ("before", "after-literal", "after", "replied")


class Failure(AssertionError):
    """This point did not end as it must."""


def demand(condition, *words):
    if not condition:
        raise Failure(" ".join(str(word) for word in words))


# --- scenarios -------------------------------------------------------------------------------------------------


class Scenario:
    """A mailbox and two servers.  `second` walks a second pass: new mail and changed flags."""

    def __init__(self, variant="full", second=False, mailbox=small_mailbox):
        self.variant, self.second, self.mailbox = variant, second, mailbox

    def __str__(self):
        return self.variant + (", second pass" if self.second else "")

    def stage(self, script_source="", script_destination="", tape=False):
        caps = VARIANTS[self.variant]
        stage = Stage(source={"caps": BARE if self.variant == "bare" else FULL},
                      destination={"caps": caps, "refuse": ["nul"]}, tape=tape)
        try:
            stage.fill(self.mailbox())
            if self.second:
                self.make_second(stage)
            stage.source.script(script_source)
            stage.destination.script(script_destination)
        except BaseException:
            stage.__exit__()
            raise
        return stage

    @staticmethod
    def make_second(stage):
        run = stage.copy()
        demand(run.code in (0, 1), "the first pass:", run)
        stage.fill([Mail("INBOX", text("new", 2000), ["\\Seen"], EPOCH + 5),
                    Mail("INBOX", text("twin", 360000), [], EPOCH + 86400),     # one more of the twins
                    Mail("Sent", text("new", 2000), ["Later"], EPOCH + 6),
                    Mail("Fresh", text("bare", msgid=False), [], EPOCH + 7),
                    Mail("Fresh", text("bare", msgid=False), [], EPOCH + 7)])
        stage.source.flag("INBOX", "1:3", "+\\Flagged")
        stage.source.flag("INBOX", "1", "-\\Seen")
        stage.source.flag("INBOX", "5", "-Work")
        stage.source.flag("Sent", "1", "+Work")

    # -- what must hold --

    def check(self, stage, run, what):
        lost = stage.difference(missing_allowed=poisoned(stage))
        demand(not lost, "%s:\n%s%s" % (what, lost, run))
        expected = collections.Counter({"nul": 1} if poisoned(stage) else {})
        demand(run.causes() == expected, what, "named", dict(run.causes()), "instead of", dict(expected), run)
        demand(run.code == (1 if expected else 0), what, "ended with", run)
        demand(run.result.get("checked"), what, "was not checked:", run)
        there = sum(stage.at_source().values()) - sum(poisoned(stage).values())
        told = run.summary["items_stored"] + run.summary["items_before"]
        demand(told == there, what, "counts", told, "messages copied instead of", there)
        check_ledger(stage, what)


def poisoned(stage):
    """The source's messages with a NUL, as content keys."""
    keys = collections.Counter()
    for name, folder in stage.source.state()["folders"].items():
        for m in folder["messages"]:
            if b"\0" in stage.source.body(name, m["uid"]):
                keys[(name, m["sha256"], " ".join(m["flags"]), m["epoch"])] += 1
    return keys


def check_ledger(stage, what):
    """One row for each message, and no intent left."""
    kinds = collections.Counter()
    with sqlite3.connect(os.path.join(stage.state_dir, "ledger.db")) as db:
        for key, in db.execute("SELECT key FROM record"):
            kinds[chr(key[0])] += 1
    db.close()
    messages = sum(stage.at_source().values())
    demand(kinds["n"] == 0, what, "left intents in the ledger:", dict(kinds))
    demand(kinds["i"] == messages, what, "left", kinds["i"], "rows for", messages, "messages")


def resume_and_check(scenario, stage, before):
    """After the accident: the same command, then once more."""
    run = stage.copy()
    scenario.check(stage, run, "the resumed pass")
    uploads = stage.destination.appended
    commands = stage.destination.count("APPEND")
    again = stage.copy()
    scenario.check(stage, again, "one pass more")
    demand(stage.destination.appended == uploads and stage.destination.count("APPEND") == commands,
           "one pass more uploaded again", again)
    demand(stage.at_source() == before, "the source was changed")


# --- kills -----------------------------------------------------------------------------------------------------


class StepKill:
    """SIGKILL at the Nth step: of the worker (ledger steps) or the controller (frames it takes).

    `worker` loses what has not left it yet; `durable`, also a ledger step, makes all durable first."""

    def __init__(self, scenario, role, step):
        self.scenario, self.role, self.step = scenario, role, step

    def __str__(self):
        return "%s: kill %s:%d" % (self.scenario, self.role, self.step)

    def walk(self):
        """True if the run came that far."""
        with self.scenario.stage() as stage:
            before = stage.at_source()
            run = stage.copy(stop="%s:%d" % (self.role, self.step))
            if run.code not in (STOPPED, KILLED):
                self.scenario.check(stage, run, "the run that was not stopped")
                return False
            resume_and_check(self.scenario, stage, before)
            return True


def child_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        children = file.read().split()
    return int(children[0]) if children else None


class CommandKill:
    """SIGKILL when the Nth command reaches a server, in one of its phases.

    `stalled` kills both, but stops the controller a while before: what the worker does meanwhile it does
    without the store, so this shows what it dares to do before its records are durable."""

    def __init__(self, scenario, side, command, phase, who):
        self.scenario, self.side, self.command, self.phase, self.who = scenario, side, command, phase, who

    def __str__(self):
        return "%s: kill %s at command %d of the %s, %s" % (
            self.scenario, self.who, self.command, self.side, self.phase)

    def walk(self):
        rule = "on ANY %d %s: call kill" % (self.command, self.phase)
        with self.scenario.stage() as stage:
            server, started, process = getattr(stage, self.side), threading.Event(), []
            server.script(rule)

            def kill(session, command):
                started.wait(5)
                pid = process[0].pid
                try:
                    if self.who == "stalled":
                        os.kill(pid, signal.SIGSTOP)
                        stage.later(0.12, lambda: os.killpg(pid, signal.SIGKILL))
                    elif self.who == "both":
                        os.killpg(pid, signal.SIGKILL)
                    else:
                        os.kill(pid if self.who == "controller" else child_of(pid), signal.SIGKILL)
                except (ProcessLookupError, FileNotFoundError, TypeError):
                    pass                    # it had ended by then

            server.calls["kill"] = kill
            before, begun = stage.at_source(), time.monotonic()
            process.append(stage.begin())
            started.set()
            run = stage.finish(process[0], begun)
            if server.unfired():
                return False
            demand(run.code in (STOPPED, KILLED, 0, 1), "was not killed:", run)
            resume_and_check(self.scenario, stage, before)
            return True


# --- cuts ------------------------------------------------------------------------------------------------------


class Cut:
    """One side's connection breaks after N bytes; the same run mends it and ends well."""

    def __init__(self, scenario, side, direction, offset):
        self.scenario, self.side, self.direction, self.offset = scenario, side, direction, offset

    def __str__(self):
        return "%s: %s cut after %d bytes %s" % (self.scenario, self.side, self.offset, self.direction)

    def walk(self):
        with self.scenario.stage() as stage:
            server, before = getattr(stage, self.side), stage.at_source()
            server.script("on CONNECT: close-after %d %s" % (self.offset, self.direction))
            connections, uploads = server.sessions_seen, stage.destination.count("APPEND")
            run = stage.copy()
            demand(not server.unfired(), "the rule did not fire")
            if run.code == 10:      # a first connection that never stood is not tried again
                demand(stage.destination.count("APPEND") == uploads, "gave up in the middle:", run)
                resume_and_check(self.scenario, stage, before)
                return True
            self.scenario.check(stage, run, "the run that was cut")
            if server.sessions_seen == connections + 1:
                return False        # cut behind its last word
            uploads = stage.destination.count("APPEND")
            again = stage.copy()
            self.scenario.check(stage, again, "one pass more")
            demand(stage.destination.count("APPEND") == uploads, "one pass more uploaded again", again)
            demand(stage.at_source() == before, "the source was changed")
            return True


def record(scenario):
    """An undisturbed run: its tapes, and how many commands each side heard in it."""
    with scenario.stage(tape=True) as stage:
        first = {side: (len(getattr(stage, side).tapes), getattr(stage, side).count())
                 for side in ("source", "destination")}
        run = stage.copy("--debug")
        scenario.check(stage, run, "the undisturbed run")
        demand(run.summary["reconnects"] == 0, "the undisturbed run lost its links:", run)
        told = {"steps": run.steps()}
        for side, (tapes, count) in first.items():
            server = getattr(stage, side)
            told[side] = {"tape": server.tapes[tapes], "commands": server.count() - count, "skip": count}
        return told


# --- walking ---------------------------------------------------------------------------------------------------


class Report:
    """What a walk found."""

    def __init__(self):
        self.walked, self.passed_by, self.failures, self.seconds = 0, 0, [], 0.0
        self.kinds = collections.Counter()

    def __str__(self):
        text = "%d points walked, %d not reached, %d failed, %.1f s" % (
            self.walked, self.passed_by, len(self.failures), self.seconds)
        return "\n".join([text] + ["FAILED %s\n    %s" % (point, str(error).replace("\n", "\n    "))
                                   for point, error in self.failures[:5]])


def walk(points, at_once=None, report=None, most_failures=20):
    """Walks all points, several at once."""
    report, begun = report or Report(), time.monotonic()

    def one(point):
        if len(report.failures) >= most_failures:
            return point, None, None
        try:
            return point, point.walk(), None
        except Exception as error:      # whatever it is, the point failed
            return point, True, error if isinstance(error, Failure) else "%s: %s" % (type(error).__name__, error)

    with concurrent.futures.ThreadPoolExecutor(at_once or AT_ONCE) as pool:
        for point, reached, error in pool.map(one, points):
            if reached is None:
                continue
            report.walked += reached
            report.passed_by += not reached
            report.kinds[type(point).__name__] += reached
            if error:
                report.failures.append((point, error))
    report.seconds += time.monotonic() - begun
    return report


def worker_kills(scenario, told, every=1, start=1, roles=("worker", "durable")):
    return [StepKill(scenario, role, step) for role in roles for step in range(start, told["steps"] + 2, every)]


def controller_kills(scenario, every=1, start=1, most=400):
    """How many frames there are depends a little on time: walk on until a run goes through."""
    report, step = Report(), start
    while step < most and not report.passed_by and not report.failures:
        walk([StepKill(scenario, "controller", n) for n in range(step, step + AT_ONCE * 2 * every, every)], report=report)
        step += AT_ONCE * 2 * every
    return report


def command_kills(scenario, told, every=1, start=0, who=("worker", "controller", "both", "stalled")):
    points = [CommandKill(scenario, side, command, phase, role)
              for side in ("source", "destination") for command in range(1, told[side]["commands"] + 1)
              for phase in PHASES for role in who if role != "stalled" or phase in ("before", "after")]
    return points[start::every]


def cuts(scenario, told, literal_step=97, step=1, every=1, start=0):
    points = [Cut(scenario, side, direction, offset)
              for side in ("source", "destination") for direction in ("sent", "received")
              for offset in told[side]["tape"][direction].points(literal_step, step)]
    return points[start::every]
