#!/usr/bin/python3
"""The fault walks, by hand.

    run.py                      what every test run walks
    run.py --all                every kill, every variant, both passes; cuts at every byte for two variants, at
                                every 7th for the others
    run.py --variant bare --kills worker,controller,commands --cuts --every 5
    run.py --point "full: kill worker:17"      one point again (as its failure named it)

Exit 0 when every point ended as it must.  GODWIT names the program, GODWIT_FAULT_JOBS how many at once.
"""

import argparse
import sys
import time
import unittest

from stage import GODWIT, VARIANTS, tiny_mailbox
from walks import Report, Scenario, command_kills, controller_kills, cuts, record, walk, worker_kills


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), default=[])
    parser.add_argument("--kills", default="", help="worker, controller, commands; with commas")
    parser.add_argument("--cuts", action="store_true")
    parser.add_argument("--pass", dest="passes", type=int, action="append", choices=(1, 2), default=[])
    parser.add_argument("--every", type=int, default=1, help="only every Nth point")
    parser.add_argument("--point", help="walk the points of this name")
    return parser.parse_args()


def sets(wanted):
    """(name, points or a walk of its own) of everything that is wanted."""
    kills = "worker,controller,commands" if wanted.all else wanted.kills
    for variant in wanted.variant or VARIANTS:
        for second in [number == 2 for number in wanted.passes or (1, 2)]:
            scenario = Scenario(variant, second)
            told = record(scenario)
            if "worker" in kills:
                yield "%s: kill the worker" % scenario, worker_kills(scenario, told, wanted.every), None
            if "controller" in kills:
                yield "%s: kill the controller" % scenario, scenario, None
            if "commands" in kills:
                yield "%s: kill at commands" % scenario, command_kills(scenario, told, wanted.every), None
            if wanted.cuts or wanted.all:
                small = Scenario(variant, second, mailbox=tiny_mailbox)
                every = wanted.every * (7 if wanted.all and (second or variant not in ("full", "bare")) else 1)
                yield "%s: cut the lines" % small, cuts(small, record(small), every=every), 40
                yield "%s: cut the streams" % scenario, cuts(
                    scenario, told, literal_step=20011, step=53, every=every), None


def run(wanted):
    total, begun = Report(), time.monotonic()
    for name, points, at_once in sets(wanted):
        if isinstance(points, Scenario):
            report = controller_kills(points, wanted.every)
        else:
            if wanted.point:
                points = [point for point in points if str(point) == wanted.point]
            report = walk(points, at_once)
        print("%-44s %s" % (name, report), flush=True)
        total.walked += report.walked
        total.passed_by += report.passed_by
        total.failures += report.failures
    total.seconds = time.monotonic() - begun
    print("%-44s %s" % ("all", str(total).splitlines()[0]))
    return 1 if total.failures or not total.walked else 0


def main():
    wanted = parse()
    print("walking with", GODWIT, flush=True)
    if wanted.all or wanted.kills or wanted.cuts:
        return run(wanted)
    return 0 if unittest.main("test_walk", argv=["run.py"], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
