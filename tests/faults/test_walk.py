#!/usr/bin/python3
"""The part of the walks that runs in every test run; run.py --all walks everything. GODWIT_BRIEF: a third of it,
for a program that is slow because it checks itself."""

import errno
import os
import unittest

from scenarios import PLOTS, Scenario
from stage import EPOCH, GODWIT, VARIANTS, Mail, text, tiny_mailbox
from walks import (command_kills, controller_kills, cuts, disk_errors, disk_kills, memory_failures, record, walk,
                   worker_kills)

with open(GODWIT, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()
SPARSER = 3 if os.environ.get("GODWIT_BRIEF") else 1


def some(points, count, start=0):
    """About that many of them, from all parts of the list."""
    step = max(1, len(points) * SPARSER // count)
    return points[start % step::step]


def no_inbox():
    """A mailbox in which the inbox is not the first folder that is made: there is none."""
    return [Mail(folder, text(folder, 300), [], EPOCH) for folder in ("Sent", "Sent/Old")]


class Walk(unittest.TestCase):
    maxDiff = None

    def check(self, report, least):
        self.assertFalse(report.failures, str(report))
        self.assertGreaterEqual(report.walked, least // SPARSER, "the walk was short: %s" % report)


class Kills(Walk):
    def scenarios(self):
        return [Scenario(variant, plot) for variant in VARIANTS for plot in ("first pass", "second pass")]

    def test_every_worker_step(self):
        """All of the full variant, and some of the others, each some others."""
        for number, scenario in enumerate(self.scenarios()):
            with self.subTest(scenario=str(scenario)):
                full = scenario.variant == "full"
                points = worker_kills(scenario, record(scenario))
                self.check(walk(points[::SPARSER] if full else some(points, 18, number)), 15)

    def test_controller_frames(self):
        for scenario in (Scenario("full"), Scenario("bare"), Scenario("no-uidplus", "second pass")):
            with self.subTest(scenario=str(scenario)):
                self.check(controller_kills(scenario, 3 * SPARSER), 10)

    def test_commands(self):
        """Before, between and behind the commands and answers of both sides."""
        for number, scenario in enumerate(self.scenarios()):
            with self.subTest(scenario=str(scenario)):
                self.check(walk(some(command_kills(scenario, record(scenario)), 24, 7 * number)), 15)


class Plots(Walk):
    """What happens besides: lost and late replies, other people's mail, what people do between two passes."""

    def test_life(self):
        """Every second step of it, and some commands: moves, removals, marks."""
        for number, variant in enumerate(("full", "no-multiappend", "bare")):
            with self.subTest(variant=variant):
                scenario = Scenario(variant, "life")
                told = record(scenario)
                self.check(walk(some(worker_kills(scenario, told), 70, number) +
                                some(command_kills(scenario, told), 30, 5 * number)), 60)

    def test_troubled_links(self):
        for number, plot in enumerate(name for name in PLOTS if PLOTS[name].script):
            scenario = Scenario(("full", "no-uidplus", "bare", "no-multiappend")[number % 4], plot)
            with self.subTest(scenario=str(scenario)):
                told = record(scenario)
                self.check(walk(some(worker_kills(scenario, told), 12, number) +
                                some(command_kills(scenario, told), 12, 3 * number), at_once=12), 18)


class Maildirs(Walk):
    def test_kills(self):
        """At either end, or both."""
        for number, (variant, source) in enumerate((("maildir", "imap"), ("full", "maildir"), ("maildir", "maildir"))):
            for plot in ("first pass", "life"):
                scenario = Scenario(variant, plot, source=source)
                with self.subTest(scenario=str(scenario)):
                    told = record(scenario)
                    self.check(walk(some(worker_kills(scenario, told), 24, number) +
                                    some(command_kills(scenario, told), 12, number)), 20)

    def test_every_change(self):
        """Killed at each write, sync, rename ... in the Maildir that is written to."""
        scenario = Scenario("maildir", mailbox=tiny_mailbox)
        record(scenario)
        for how in ("kill", "killed"):
            self.check(disk_kills(scenario, "Maildir", how, 2 * SPARSER), 20)

    def test_every_change_without_inbox(self):
        """What was begun is known as a Maildir again, whichever folder comes first."""
        scenario = Scenario("maildir", source="maildir", mailbox=no_inbox)
        record(scenario)
        self.check(disk_kills(scenario, "Maildir", "kill"), 30)

    def test_disk_errors(self):
        scenario = Scenario("maildir", mailbox=tiny_mailbox)
        record(scenario)
        for start, error in enumerate((errno.ENOSPC, errno.EIO), 1):
            self.check(disk_errors(scenario, "Maildir", "on", error, 5 * SPARSER, start), 8)


class Machine(Walk):
    """The store's disk, and memory."""

    def scenario(self):
        scenario = Scenario("no-uidplus", mailbox=tiny_mailbox)
        record(scenario)
        return scenario

    def test_kill_at_every_change(self):
        """Of the store: each write, sync, truncation and file made."""
        for start, how in enumerate(("kill", "killed"), 1):
            self.check(disk_kills(self.scenario(), "store", how, 2 * SPARSER, start), 20)

    def test_disk_errors(self):
        """From then on, as on a full disk, or once."""
        for start, (error, how) in enumerate(((errno.ENOSPC, "on"), (errno.EIO, "on"), (errno.EIO, "once")), 1):
            with self.subTest(error=error, how=how):
                self.check(disk_errors(self.scenario(), "store", how, error, 3 * SPARSER, start), 15)

    @unittest.skipIf(SANITIZED, "a sanitizer allocates by itself")
    def test_no_memory(self):
        for start, how in enumerate(("on", "once"), 1):
            with self.subTest(how=how):
                self.check(memory_failures(self.scenario(), how, 13, start), 15)


class Cuts(Walk):
    def test_cuts(self):
        """Either side's connection, after so many bytes in either direction."""
        for number, variant in enumerate(VARIANTS):
            with self.subTest(variant=variant):
                scenario = Scenario(variant, mailbox=tiny_mailbox)
                self.check(walk(some(cuts(scenario, record(scenario)), 70, 3 * number), at_once=12), 50)

    def test_cuts_in_a_stream(self):
        """In the literals of a message of more than a megabyte, going in and out."""
        for variant in ("full", "sync-literals"):
            with self.subTest(variant=variant):
                scenario = Scenario(variant)
                points = cuts(scenario, record(scenario), literal_step=50000, step=101)
                self.check(walk(points[::5 * SPARSER], at_once=8), 20)

    def test_cuts_in_life(self):
        """While it moves, removes and marks."""
        scenario = Scenario("full", "life")
        self.check(walk(some(cuts(scenario, record(scenario), literal_step=100000, step=31), 40), at_once=12), 25)


if __name__ == "__main__":
    unittest.main()
