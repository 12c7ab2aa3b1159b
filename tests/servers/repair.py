#!/usr/bin/env python3
"""--repair against real servers: what they refuse of a Maildir of odd messages is there afterwards, once.

Python's email package (tests/repair/judge.py) says whether a mended message is the same message; a wrapped
one holds its original byte for byte.
"""

import email
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

import case
import imap
from maildir import MaildirCase

sys.path.insert(0, os.path.join(case.ROOT, "tests", "repair"))
import judge  # noqa: E402  pylint: disable=wrong-import-position

ODD = [body for body, _ in judge.MENDED.values()] + [body for body in judge.NOT_MENDED.values() if body]
DATE = 1700000000


def original_of(body):
    """The original in a letter, None: it is no letter."""
    parsed = email.message_from_bytes(body)
    if not re.fullmatch("[0-9a-f]{32}", parsed.get_boundary() or ""):
        return None
    attached = parsed.get_payload()[1]
    if attached.get_content_type() == "message/rfc822":
        return body.split(b"Transfer-Encoding: 8bit\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
    return attached.get_payload(decode=True)


class Repaired(MaildirCase):
    """From a Maildir."""

    def odd(self):
        """All samples, each with a date of its own, by which it is known again."""
        box = self.maildir("odd")
        for name in ("cur", "new", "tmp"):
            os.makedirs(f"{box.path}/{name}")
        for number, body in enumerate(ODD):
            path = f"{box.path}/cur/{DATE + number}.M{number:06d}Q{number:032x}.godwit-raw,S={len(body)}:2,S"
            with open(path, "wb") as out:
                out.write(body)
            os.utime(path, (DATE + number, DATE + number))
        return box

    @staticmethod
    def stored(end):
        """Every message of INBOX, with its number, by the date."""
        connection = end.account.connect()
        connection.select("INBOX", readonly=True)
        answer = connection.fetch("1:*", "(INTERNALDATE BODY.PEEK[])")[1]
        found = []
        for part in answer:
            if isinstance(part, tuple):
                head, body = part
                when = re.search(rb'INTERNALDATE "([^"]*)"', head).group(1).decode()
                found.append((imap.instant(when) - DATE, body))
        connection.logout()
        return found

    def journey(self, source, bodies):
        """To Cyrus; what is there afterwards is the same mail. BODIES: by number."""
        target = self.end(self.server("cyrus", extra="reject8bit: 1\n"))
        first = self.copy(source, target, expect=1)
        refused = {entry["uid"] for entry in first.exceptions() if not entry["copied"]}
        self.assertTrue(refused, "this server takes everything")
        keep = os.path.join(self.work, "originals")
        second = self.copy(source, target, "--repair", "--keep-originals", keep)
        self.assertEqual(second.summary["items_repaired"], len(refused), second)
        self.assertEqual({entry["uid"] for entry in second.exceptions("repaired")}, refused)
        there = self.stored(target)
        self.assertEqual(sorted(number for number, _ in there), sorted(bodies), "doubled or lost")
        kinds = self.check_content(there, bodies)
        with os.scandir(keep) as kept:
            originals = {pathlib.Path(entry.path).read_bytes() for entry in kept}
        self.assertLessEqual(originals, set(bodies.values()))
        self.assertEqual(len(originals), len(refused))
        appends = target.appends()
        for options in (("--repair",), ()):
            again = self.copy(source, target, *options)
            self.assertEqual(again.exceptions(), [], again)
        self.assertEqual(target.appends(), appends)
        self.check_tools(source, target, second)
        return kinds

    def check_content(self, there, bodies):
        """{what became of it: how many}"""
        kinds = {"as it was": 0, "mended": 0, "wrapped": 0}
        for number, body in there:
            original = bodies[number]
            with self.subTest(number=number):
                if original_of(body) is not None:
                    self.assertEqual(original_of(body), original)
                    kinds["wrapped"] += 1
                elif body == original:
                    kinds["as it was"] += 1
                else:
                    unix = judge.is_unix(original)
                    self.assertEqual(judge.parts(judge.read(body), unix), judge.parts(judge.read(original), unix))
                    kinds["mended"] += 1
        return kinds

    def check_tools(self, source, target, outcome):
        """explain remembers it; verify, which remembers nothing, names it as what it is."""
        uid = outcome.exceptions("repaired")[0]["uid"]
        told = subprocess.run([case.GODWIT, "explain", "--state", self.states, source.url(), target.url(), "INBOX", str(uid)],
                              capture_output=True, text=True, check=True).stdout
        self.assertRegex(told, "mended|wrapped")
        verdict = self.copy(source, target, verb="verify", expect=1)
        named = {entry["cause"] for entry in verdict.exceptions()}
        self.assertTrue(named & {"bytes-differ", "missing"}, verdict)

    def test_from_a_maildir(self):
        """Cyrus refuses NUL, bare LF, 8-bit headers, and headers that are none."""
        source = self.odd()
        files = source.files()
        kinds = self.journey(source, dict(enumerate(ODD)))
        self.assertEqual(source.files(), files, "the source was changed")
        self.assertGreater(kinds["mended"], 20, kinds)
        self.assertGreater(kinds["wrapped"], 8, kinds)

    def test_from_dovecot(self):
        """Which has made CRLF of LF and 0x80 of NUL already."""
        source = self.end(self.server("dovecot"))
        connection = source.account.connect()
        for number, body in enumerate(ODD):
            imap.append(connection, "INBOX", body, date=time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(DATE + number)))
        connection.logout()
        kinds = self.journey(source, dict(self.stored(source)))
        self.assertGreater(kinds["mended"], 5, kinds)

    def test_to_dovecot(self):
        """Which takes them all: then nothing is repaired."""
        source, target = self.odd(), self.end(self.server("dovecot"))
        outcome = self.copy(source, target, "--repair")
        self.assertEqual((outcome.summary["items_stored"], outcome.summary["items_repaired"]), (len(ODD), 0), outcome)


if __name__ == "__main__":
    unittest.main(verbosity=2)
