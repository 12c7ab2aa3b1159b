#!/usr/bin/python3
"""The fault walks, by hand.

    run.py                      what every test run walks
    run.py --all                every kill, in every variant and plot; cuts at every byte for two variants, at every
                                7th for the others; every change of a disk and every allocation that fails
    run.py --variant bare --plot life --kills worker,controller,commands --cuts --machine --every 5
    run.py --point "full: kill worker:17"      one point again (as its failure named it; with the sets it is of)

Exit 0 when every point ended as it must.  GODWIT names the program, GODWIT_FAULT_JOBS how many at once.
"""

import argparse
import errno
import sys
import time
import unittest

from scenarios import PLOTS, Scenario
from stage import GODWIT, VARIANTS, tiny_mailbox
from walks import (Report, command_kills, controller_kills, cuts, disk_errors, disk_kills, memory_failures, record, walk,
                   worker_kills)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--variant", action="append", choices=[*VARIANTS, "maildir"], default=[])
    parser.add_argument("--plot", action="append", choices=list(PLOTS), default=[])
    parser.add_argument("--source", action="append", choices=("imap", "maildir"), default=[])
    parser.add_argument("--kills", default="", help="worker, controller, commands; with commas")
    parser.add_argument("--cuts", action="store_true")
    parser.add_argument("--machine", action="store_true", help="disks that fail or are killed at, and no memory")
    parser.add_argument("--every", type=int, default=1, help="only every Nth point")
    parser.add_argument("--point", help="walk the points of this name")
    return parser.parse_args()


def thinned(wanted, scenario, first, others):
    """What servers and people do is walked whole; what happens besides, and Maildirs, in part."""
    plain = scenario.source == "imap" and not PLOTS[scenario.plot].script
    return wanted.every * (first if plain or not wanted.all else others)


def scenarios(wanted):
    """All that make sense: servers lose replies, Maildirs do not."""
    for variant in wanted.variant or [*VARIANTS, "maildir"]:
        for source in wanted.source or ("imap", "maildir"):
            for plot in wanted.plot or PLOTS:
                if not (variant == "maildir" and PLOTS[plot].script):
                    yield Scenario(variant, plot, source=source)


def machine(wanted):
    """(name, walk) of what disks and memory can do."""
    tiny = {variant: Scenario(variant, mailbox=tiny_mailbox) for variant in ("full", "no-uidplus", "maildir")}
    for scenario in tiny.values():
        record(scenario)
        for where in ("store", "Maildir") if scenario.variant == "maildir" else ("store",):
            for how in ("kill", "killed"):
                yield "%s: %s at the %s" % (scenario, how, where), lambda: disk_kills(scenario, where, how, wanted.every)
            for error in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
                for how in ("on", "once"):
                    yield "%s: %s %s at the %s" % (scenario, errno.errorcode[error], how, where), (
                        lambda: disk_errors(scenario, where, how, error, wanted.every))
        for how in ("on", "once"):
            yield "%s: no memory, %s" % (scenario, how), lambda: memory_failures(scenario, how, wanted.every)


def sets(wanted):
    """(name, walk) of everything that is wanted."""
    kills = "worker,controller,commands" if wanted.all else wanted.kills

    def some(points):
        return [point for point in points if wanted.point in (None, str(point))]

    for scenario in scenarios(wanted) if kills or wanted.cuts or wanted.all else ():
        told, patient = record(scenario), 16 if PLOTS[scenario.plot].script else None
        every = thinned(wanted, scenario, 1, 5)
        if "worker" in kills:
            yield "%s: kill the worker" % scenario, lambda: walk(some(worker_kills(scenario, told, every)), patient)
        if "controller" in kills:
            yield "%s: kill the controller" % scenario, lambda: controller_kills(scenario, every)
        if "commands" in kills and scenario.served:
            yield "%s: kill at commands" % scenario, lambda: walk(some(command_kills(scenario, told, every)), patient)
        if (wanted.cuts or wanted.all) and scenario.served:
            small = Scenario(scenario.variant, scenario.plot, tiny_mailbox, scenario.source)
            whole = not wanted.all or (scenario.plot == "first pass" and scenario.variant in ("full", "bare"))
            dense = thinned(wanted, scenario, 1 if whole else 7, 49)
            if scenario.plot != "life":         # which wants more than the tiny mailbox has
                yield "%s: cut the lines" % small, lambda: walk(some(cuts(small, record(small), every=dense)), 16)
            yield "%s: cut the streams" % scenario, lambda: walk(
                some(cuts(scenario, told, literal_step=20011, step=53, every=every)), 8)
    if wanted.machine or wanted.all:
        yield from machine(wanted)


def run(wanted):
    total, begun = Report(), time.monotonic()
    for name, walked in sets(wanted):
        report = walked()
        print("%-60s %s" % (name, report), flush=True)
        total.add(report)
    total.seconds = time.monotonic() - begun
    print("%-60s %s" % ("all", str(total).splitlines()[0]))
    print("%-60s %s" % ("", ", ".join("%s %d" % pair for pair in total.kinds.items())))
    return 1 if total.failures or not total.walked else 0


def main():
    wanted = parse()
    print("walking with", GODWIT, flush=True)
    if wanted.all or wanted.kills or wanted.cuts or wanted.machine:
        return run(wanted)
    return 0 if unittest.main("test_walk", argv=["run.py"], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
