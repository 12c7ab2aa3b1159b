#!/usr/bin/python3
"""Several lanes on one mailbox, between real servers: the same result, in the same order, with fewer connections
than wished where a server allows no more, and after kills."""

import os
import random
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import case
import compare
import mailbox

LANES = ("--lanes", "4")
AGAIN = (compare.Allowance("order", "what was under way is requeued at the folder's end"),)


def boxes(folders=9, messages=30):
    """Folders of unlike sizes, with twins among their messages."""
    writer = mailbox.Writer("lanes")
    made = []
    for number in range(folders):
        sizes = [None] * (messages * (1 + number % 3)) + [40000] * 3
        box = mailbox.Box(("INBOX",) if not number else ("Work", f"Folder {number}"))
        box.messages = [writer.message(size=size, flags=("\\Seen", f"k{(number + at) % 7}") if at % 2 else ())
                        for at, size in enumerate(sizes)]
        box.messages += box.messages[:2]
        made.append(box)
    return made


def subjects(snapshot):
    """{folder: subjects in the order of the UIDs}"""
    return {levels: [mail.subject for mail in sorted(mails, key=lambda mail: mail.uid)]
            for levels, mails in snapshot.mail.items() if mails}


class Lanes(case.ServerCase):
    """More than one connection to each side."""

    def connections(self, end):
        """Logins of the account, by Dovecot's log."""
        with open(end.server.log_path, encoding="utf-8") as log:
            return len(re.findall(rf"Login: user=<{re.escape(end.name)}>", log.read()))

    def copied(self, source, destination, *options, **how):
        """A first pass, an idle one, and one with changes in all folders; exact each time."""
        kinds = source.server.kind, destination.server.kind
        for _ in range(2):
            outcome = self.copy(source, destination, *options, **how)
            self.check_same(source, destination, outcome, allow=case.allowances(*kinds))
        self.assertEqual(outcome.summary["items_stored"], 0, outcome)
        mailbox.fill(source.account, boxes(messages=2))
        outcome = self.copy(source, destination, *options, **how)
        self.check_same(source, destination, outcome, allow=case.allowances(*kinds))
        self.assertGreater(outcome.summary["items_stored"], 0, outcome)

    def test_dovecot_to_cyrus(self):
        """All passes; the order of each folder is the source's, and the lanes are really there."""
        source, destination = self.ends("dovecot", "cyrus")
        mailbox.fill(source.account, boxes())
        before = self.connections(source)
        outcome = self.copy(source, destination, *LANES)
        self.assertEqual(self.connections(source) - before, 4, outcome)
        self.assertEqual(subjects(destination.read()), subjects(source.read()))
        self.copied(source, destination, *LANES)

    def test_ceiling(self):
        """A server whose URL says how many connections it bears gets no more; nor does the other."""
        source, destination = self.ends("dovecot", "dovecot")
        mailbox.fill(source.account, boxes(folders=5, messages=8))
        before = self.connections(source), self.connections(destination)
        outcome = self.copy(source, destination, *LANES,
                            urls=(source.url(), destination.url(query="?connections=2")))
        after = self.connections(source), self.connections(destination)
        self.assertEqual([there - here for here, there in zip(before, after)], [2, 2], outcome)
        self.check_same(source, destination, outcome, allow=case.allowances("dovecot", "dovecot"))

    def test_back(self):
        """From Cyrus to Dovecot, and from Courier."""
        for kind in ("cyrus", "courier"):
            with self.subTest(kind):
                source, destination = self.ends(kind, "dovecot")
                mailbox.fill(source.account, boxes(folders=5, messages=8))
                self.copied(source, destination, *LANES, state=f"{self.states}-{kind}")

    def test_one_lane_knows_what_four_did(self):
        """Flags that several lanes numbered at once, read by one."""
        source, destination = self.ends("dovecot", "dovecot")
        mailbox.fill(source.account, boxes())
        self.copy(source, destination, *LANES)
        outcome = self.copy(source, destination, "--lanes", "1")
        self.check_same(source, destination, outcome, allow=case.allowances("dovecot", "dovecot"))
        self.assertEqual((outcome.summary["items_stored"], outcome.summary["items_marked"]), (0, 0), outcome)

    def test_fewer_allowed(self):
        """A server that lets in one connection of a user at most: the first lane does the work, and it is said."""
        for side in ("source", "destination"):
            with self.subTest(side):
                few = {"extra": "mail_max_userip_connections = 1"}
                source, destination = self.ends("dovecot", "dovecot", few if side == "source" else None,
                                                few if side == "destination" else None)
                mailbox.fill(source.account, boxes())
                outcome = self.copy(source, destination, *LANES, state=f"{self.states}-{side}")
                self.check_same(source, destination, outcome, allow=case.allowances("dovecot", "dovecot"))
                self.assertTrue(any("one connection fewer" in note["text"] for note in outcome.of("note")), outcome)

    def test_kills(self):
        """kill -9 at random moments while four lanes work; then again, and exact."""
        source, server = self.end(self.server("dovecot")), self.server("cyrus")
        mailbox.fill(source.account, boxes())
        before, chance = source.read(), random.Random()
        began = time.monotonic()
        self.copy(source, self.end(server), *LANES)
        duration = time.monotonic() - began
        for number in range(case.ROUNDS):
            target, state = self.end(server), f"{self.states}-{number}"
            moment, whom = chance.random() * duration, chance.choice(("controller", "worker"))
            process = self.start(source, target, *LANES, state=state)
            time.sleep(moment)
            workers = case.children(process.pid)
            for pid in workers if whom == "worker" else [process.pid]:
                case.kill(pid)
            self.finish(process, killed=whom == "controller")
            with self.subTest(moment=moment, whom=whom):
                outcome = self.copy(source, target, *LANES, state=state)
                self.check_same(before, target, outcome, allow=[*case.allowances("dovecot", "cyrus"), *AGAIN])
                self.assertEqual(self.copy(source, target, *LANES, state=state).summary["items_stored"], 0)

    def test_stop(self):
        """SIGTERM while four lanes work: exit 130, and the next run goes on."""
        source, destination = self.ends("dovecot", "cyrus")
        mailbox.fill(source.account, boxes(messages=60))
        process = self.start(source, destination, *LANES)
        time.sleep(0.25)
        process.terminate()
        outcome = self.finish(process)
        self.assertIn(outcome.exit, (0, 130), outcome)
        self.check_same(source, destination, self.copy(source, destination, *LANES),
                        allow=[*case.allowances("dovecot", "cyrus"), *AGAIN])


if __name__ == "__main__":
    unittest.main(verbosity=2)
