#!/usr/bin/env python3
"""Each of three servers as source and as destination of a difficult mailbox.

A first pass copies it. An independent comparison of both ends finds nothing but what the
destination is known not to hold (ALLOWED in compare.py), and all of that is in godwit's own
report, by folder and UID; the report has nothing that is not so. A second pass moves nothing. After
changes at the source a third one moves just these. The source stays as it was.
"""

import collections
import unittest

import case
import mailbox

#: The cause under which the report must have a kind of difference.
CAUSES = {"bytes": {"altered"}, "date": {"date"}, "flags": {"flags"}, "keywords": {"flags"}}
ITEM_NOTES = {"altered", "date", "flags"}


def facts(snapshot):
    """What a look at the source must not change."""
    return {levels: [(mail.uid, mail.digest, mail.flags, mail.keywords) for mail in mails]
            for levels, mails in snapshot.mail.items()}


class Matrix:
    """One source; a subclass is a test case."""

    kind = None

    def test_to_dovecot(self):
        """Difficult mailbox to Dovecot."""
        self.journey("dovecot")

    def test_to_cyrus(self):
        """Difficult mailbox to Cyrus."""
        self.journey("cyrus")

    def test_to_courier(self):
        """Difficult mailbox to Courier."""
        self.journey("courier")

    def journey(self, other, source_options=None, destination_options=None):
        """Three passes."""
        source, destination = self.ends(self.kind, other, source_options, destination_options)
        mailbox.fill(source.account, "difficult", 1)
        before = source.read()
        first = self.copy(source, destination, expect=(0, 1))
        self.check_pass(other, source, destination, first)
        self.assertEqual(facts(source.read()), facts(before), "the source was changed")

        stored = destination.appends()
        second = self.copy(source, destination, expect=first.exit)
        self.assertEqual(destination.appends(), stored, f"a pass without changes stored messages\n{second}")
        self.assertEqual(second.summary["items_stored"], 0)
        self.assertEqual(second.summary["not_copied"], first.summary["not_copied"])
        self.assertEqual(second.summary["items_marked"], 0, second)

        changes = mailbox.mutate(source.account, seed=2, add=10, change=10)
        third = self.copy(source, destination, expect=first.exit)
        self.assertEqual(destination.appends() - stored, len(changes["added"]), third)
        self.assertEqual(third.summary["items_stored"], len(changes["added"]))
        self.check_pass(other, source, destination, first, third)

    def check_pass(self, other, source, destination, *outcomes):
        """What differs now is allowed, and in the report."""
        allow = case.allowances(self.kind, other)
        unsure = case.doubtful(self.kind)
        found = self.differences(source, destination, *outcomes)
        exceptions = [entry for outcome in outcomes for entry in outcome.exceptions()]
        disturbed = {"/".join(case.levels_of(entry["folder"])) for entry in exceptions if entry["cause"] in ("date", "flags")}
        unexplained, expected = [], collections.defaultdict(set)
        for difference in found:
            if difference["kind"] == "order":   # a message that was refused is sent again behind others
                if difference["folder"] not in disturbed:
                    unexplained.append(difference)
            elif not any(entry.covers(difference) for entry in allow):
                unexplained.append(difference)
            elif "uid" in difference and not any(entry.covers(difference) for entry in unsure):
                expected[difference["kind"]].add((difference["folder"], difference["uid"]))
        self.assertEqual(unexplained, [], "".join(f"\n{entry}" for entry in unexplained[:20]))
        self.check_report(expected, exceptions, found)

    def check_report(self, expected, exceptions, found):
        """The report has each loss and each change, and only these."""
        items = [("/".join(case.levels_of(entry["folder"])), entry["uid"], entry["cause"], entry["copied"])
                 for entry in exceptions if entry["uid"] is not None]
        left = {(folder, uid) for folder, uid, _, copied in items if not copied}
        self.assertEqual(left, expected["lost"], "left behind, by the report and by the comparison")
        real = collections.defaultdict(set)
        for difference in found:
            if difference["kind"] in CAUSES:
                for cause in CAUSES[difference["kind"]]:
                    real[cause].add((difference["folder"], difference["uid"]))
        for kind, causes in CAUSES.items():
            told = {(folder, uid) for folder, uid, cause, copied in items if copied and cause in causes}
            self.assertEqual(expected[kind] - told, set(), f"{kind} differ and the report does not say so")
        for cause in ITEM_NOTES:
            told = {(folder, uid) for folder, uid, noted, copied in items if copied and noted == cause}
            self.assertEqual(told - real[cause], set(), f"reported as {cause}, but it is not so")


class FromDovecot(Matrix, case.ServerCase):
    """Dovecot as the source."""

    kind = "dovecot"


class FromCyrus(Matrix, case.ServerCase):
    """Cyrus as the source."""

    kind = "cyrus"


class FromCourier(Matrix, case.ServerCase):
    """Courier as the source."""

    kind = "courier"


if __name__ == "__main__":
    unittest.main(verbosity=2)
