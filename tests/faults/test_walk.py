#!/usr/bin/python3
"""The part of the walks that runs in every test run; run.py --all walks everything."""

import unittest

from stage import VARIANTS, tiny_mailbox
from walks import (Scenario, command_kills, controller_kills, cuts, record, walk, worker_kills)


class Walk(unittest.TestCase):
    maxDiff = None

    def check(self, report, least):
        self.assertFalse(report.failures, str(report))
        self.assertGreaterEqual(report.walked, least, "the walk was short: %s" % report)


class Kills(Walk):
    def scenarios(self):
        return [Scenario(variant, second) for variant in VARIANTS for second in (False, True)]

    def test_every_worker_step(self):
        """All of the full variant, and a third of the others, each another third."""
        for number, scenario in enumerate(self.scenarios()):
            with self.subTest(scenario=str(scenario)):
                full = scenario.variant == "full"
                told = record(scenario)
                for role in ("worker", "durable"):
                    points = worker_kills(scenario, told, 1 if full else 3, 1 if full else 1 + number % 3, [role])
                    self.check(walk(points), 30 if full else 10)

    def test_controller_frames(self):
        for scenario in (Scenario("full"), Scenario("bare"), Scenario("no-uidplus", True)):
            with self.subTest(scenario=str(scenario)):
                self.check(controller_kills(scenario, 2), 10)

    def test_commands(self):
        """Before, between and behind the commands and answers of both sides."""
        for number, scenario in enumerate(self.scenarios()):
            with self.subTest(scenario=str(scenario)):
                self.check(walk(command_kills(scenario, record(scenario), 17, number)), 10)


class Cuts(Walk):
    def test_cuts(self):
        """Either side's connection, after so many bytes in either direction."""
        for number, variant in enumerate(VARIANTS):
            with self.subTest(variant=variant):
                scenario = Scenario(variant, mailbox=tiny_mailbox)
                points = cuts(scenario, record(scenario))
                self.check(walk(points[3 * number::len(points) // 80], at_once=32), 50)

    def test_cuts_in_a_stream(self):
        """In the literals of a message of more than a megabyte, going in and out."""
        for variant in ("full", "sync-literals"):
            with self.subTest(variant=variant):
                scenario = Scenario(variant)
                points = cuts(scenario, record(scenario), literal_step=50000, step=101)
                self.check(walk(points[::5]), 20)


if __name__ == "__main__":
    unittest.main()
