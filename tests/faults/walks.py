"""The walks: a scenario, disturbed at every point that matters, resumed, and compared with its undisturbed run.

A point is one such accident.  Its scenario runs on ends of its own, several at a time in processes of their
own.  After the accident the same command must bring destination and ledger to what they would have been
without it: the same multiset of (folder, bytes, flags, date), the same words about each item; and then once
more, with nothing to upload.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time

import trouble
from scenarios import Failure, Scenario, demand
from stage import KILLED, STOPPED, scratch_root

AT_ONCE = int(os.environ.get("GODWIT_FAULT_JOBS", "0")) or 2 * (os.cpu_count() or 2)
PHASES = ("before", "after-literal", "after", "replied")


def resume_and_check(scenario, stage, what="the resumed pass"):
    """After the accident: the same command, then once more."""
    scenario.check(stage, stage.copy(*stage.options), what)
    uploads = stage.destination.uploads()
    again = stage.copy(*stage.options)
    scenario.check(stage, again, "one pass more")
    demand(stage.destination.uploads() == uploads, "one pass more uploaded again", again)


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
            run = stage.copy(*stage.options, stop="%s:%d" % (self.role, self.step))
            if run.code not in (STOPPED, KILLED):
                self.scenario.check(stage, run, "the run that was not stopped")
                return False
            resume_and_check(self.scenario, stage)
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
        with self.scenario.stage(**{self.side: rule}) as stage:
            started, process, fired = threading.Event(), [], threading.Event()

            def kill(session, command):
                fired.set()
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

            getattr(stage, self.side).calls["kill"] = kill
            begun = time.monotonic()
            process.append(stage.begin(*stage.options))
            started.set()
            run = stage.finish(process[0], begun)
            if not fired.is_set():
                return False
            demand(run.code in (STOPPED, KILLED, 0, 1), "was not killed:", run)
            resume_and_check(self.scenario, stage)
            return True


# --- cuts ------------------------------------------------------------------------------------------------------


class Cut:
    """One side's connection breaks after N bytes; the same run mends it and ends well."""

    def __init__(self, scenario, side, direction, offset):
        self.scenario, self.side, self.direction, self.offset = scenario, side, direction, offset

    def __str__(self):
        return "%s: %s cut after %d bytes %s" % (self.scenario, self.side, self.offset, self.direction)

    def walk(self):
        rule = "on CONNECT: close-after %d %s" % (self.offset, self.direction)
        with self.scenario.stage(**{self.side: rule}) as stage:
            server = getattr(stage, self.side)
            connections, uploads = server.sessions_seen, stage.destination.uploads()
            run = stage.copy(*stage.options)
            demand(rule not in server.unfired(), "the rule did not fire")
            if run.code == 10:      # a first connection that never stood is not tried again
                demand(stage.destination.uploads() == uploads, "gave up in the middle:", run)
                resume_and_check(self.scenario, stage)
                return True
            self.scenario.check(stage, run, "the run that was cut")
            if server.sessions_seen == connections + 1:
                return False        # cut behind its last word
            uploads = stage.destination.uploads()
            again = stage.copy(*stage.options)
            self.scenario.check(stage, again, "one pass more")
            demand(stage.destination.uploads() == uploads, "one pass more uploaded again", again)
            return True


# --- the system's calls ------------------------------------------------------------------------------------------


class DiskKill:
    """SIGKILL in place of, or behind, the Nth change (write, sync, rename ...) of what lies in a directory."""

    def __init__(self, scenario, where, number, how):
        self.scenario, self.where, self.number, self.how = scenario, where, number, how

    def __str__(self):
        return "%s: %s at change %d of the %s" % (self.scenario, self.how, self.number, self.where)

    def walk(self):
        with self.scenario.stage() as stage:
            directory = stage.state_dir if self.where == "store" else stage.destination.path
            run, struck = trouble.run(stage, "disk", self.number, self.how, directory)
            if not struck:
                self.scenario.check(stage, run, "the run that nothing stopped")
                return False
            demand(run.code in (STOPPED, KILLED), "was not killed:", run)
            resume_and_check(self.scenario, stage)
            return True


def check_troubled(scenario, stage, run, codes):
    """It ended with a sentence; or it went on, and named the folders that it could not do; or nothing was amiss."""
    if run.code == 1 and run.summary.get("folders_failed"):
        demand(set(run.causes()) - {"nul"}, "a folder failed and was not named:", run)
    elif run.code in (0, 1):
        scenario.check(stage, run, "the run that went on")
    else:
        trouble.check_end(run, codes)


class DiskError:
    """The Nth change in a directory fails, that one alone ("once") or all behind it too ("on")."""

    def __init__(self, scenario, where, number, how, error):
        self.scenario, self.where, self.number, self.how, self.error = scenario, where, number, how, error

    def __str__(self):
        return "%s: %s %s at change %d of the %s" % (self.scenario, os.strerror(self.error), self.how, self.number,
                                                     self.where)

    def walk(self):
        with self.scenario.stage() as stage:
            directory = stage.state_dir if self.where == "store" else stage.destination.path
            run, struck = trouble.run(stage, "disk", self.number, self.how, directory, self.error)
            check_troubled(self.scenario, stage, run, (30,) if self.where == "store" else (20,))
            if struck:
                resume_and_check(self.scenario, stage)
            return struck


class NoMemory:
    """The Nth allocation of the worker fails, that one alone or all behind it too."""

    def __init__(self, scenario, number, how):
        self.scenario, self.number, self.how = scenario, number, how

    def __str__(self):
        return "%s: no memory %s at allocation %d" % (self.scenario, self.how, self.number)

    def walk(self):
        with self.scenario.stage() as stage:
            run, struck = trouble.run(stage, "memory", self.number, self.how)
            check_troubled(self.scenario, stage, run, (70,))
            if struck:
                resume_and_check(self.scenario, stage)
            return struck


def record(scenario):
    """An undisturbed run: its tapes, and how many commands each side heard in it."""
    with scenario.stage(tape=True) as stage:
        first = {side: (len(getattr(stage, side).tapes), getattr(stage, side).count()) for side in scenario.served}
        run = stage.copy("--debug", *stage.options)
        scenario.check(stage, run, "the undisturbed run")
        demand(not stage.unfired(), "this never happened in the undisturbed run:", stage.unfired())
        demand(run.summary["reconnects"] == 0 or stage.destination.rules, "the undisturbed run lost its links:", run)
        told = {"steps": run.steps()}
        for side, (tapes, count) in first.items():
            server = getattr(stage, side)
            told[side] = {"tape": server.tapes[tapes], "commands": server.count() - count}
        return told


# --- walking ---------------------------------------------------------------------------------------------------


class Report:
    """What a walk found."""

    def __init__(self):
        self.walked, self.passed_by, self.failures, self.seconds = 0, 0, [], 0.0
        self.kinds = collections.Counter()

    def add(self, other):
        self.walked += other.walked
        self.passed_by += other.passed_by
        self.failures += other.failures
        self.kinds += other.kinds

    def __str__(self):
        text = "%d points walked, %d not reached, %d failed, %.1f s, %.0f ms a point" % (
            self.walked, self.passed_by, len(self.failures), self.seconds, self.seconds * 1000 / max(1, self.walked))
        return "\n".join([text] + ["FAILED %s\n    %s" % (point, str(error).replace("\n", "\n    "))
                                   for point, error in self.failures[:5]])


def one(point):
    try:
        return point.walk(), None
    except Exception as error:      # whatever it is, the point failed
        return True, str(error) if isinstance(error, Failure) else "%s: %s" % (type(error).__name__, error)


def walk(points, at_once=None, report=None, most_failures=20):
    """Walks all points, several at once, in processes: a scripted server is slow, and Python does one thing at a time."""
    report, begun = report or Report(), time.monotonic()
    scratch_root()                  # the processes share it, and this one takes it away
    trouble.library()
    with concurrent.futures.ProcessPoolExecutor(at_once or AT_ONCE, multiprocessing.get_context("fork")) as pool:
        waiting = [(point, pool.submit(one, point)) for point in points]
        for point, future in waiting:
            if len(report.failures) >= most_failures:
                future.cancel()
                continue
            reached, error = future.result()
            report.walked += reached
            report.passed_by += not reached
            report.kinds[type(point).__name__] += reached
            if error:
                report.failures.append((point, error))
    report.seconds += time.monotonic() - begun
    return report


def worker_kills(scenario, told, every=1, start=1, roles=("worker", "durable")):
    return [StepKill(scenario, role, step) for role in roles for step in range(start, told["steps"] + 2, every)]


def until_passed(point, every=1, start=1, most=4000):
    """point(N) for N from START on, until a run goes through: how many there are depends a little on time."""
    report, number = Report(), start
    while number < most and not report.passed_by and not report.failures:
        walk([point(n) for n in range(number, number + AT_ONCE * 3 * every, every)], report=report)
        number += AT_ONCE * 3 * every
    return report


def controller_kills(scenario, every=1, start=1):
    return until_passed(lambda n: StepKill(scenario, "controller", n), every, start)


def disk_kills(scenario, where, how, every=1, start=1):
    return until_passed(lambda n: DiskKill(scenario, where, n, how), every, start)


def disk_errors(scenario, where, how, error, every=1, start=1):
    return until_passed(lambda n: DiskError(scenario, where, n, how, error), every, start)


def memory_failures(scenario, how, every=1, start=1):
    return until_passed(lambda n: NoMemory(scenario, n, how), every, start)


def command_kills(scenario, told, every=1, start=0, who=("worker", "controller", "both", "stalled")):
    points = [CommandKill(scenario, side, command, phase, role)
              for side in scenario.served for command in range(1, told[side]["commands"] + 1)
              for phase in PHASES for role in who if role != "stalled" or phase in ("before", "after")]
    return points[start::every]


def cuts(scenario, told, literal_step=97, step=1, every=1, start=0):
    points = [Cut(scenario, side, direction, offset)
              for side in scenario.served for direction in ("sent", "received")
              for offset in told[side]["tape"][direction].points(literal_step, step)]
    return points[start::every]
