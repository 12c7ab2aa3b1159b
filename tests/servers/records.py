#!/usr/bin/env python3
"""The flight recorder at real servers: what was recorded is played again, without the servers.

A difficult mailbox goes from one server to another; the record of it must make godwit end in the same
way, and must hold neither the account's password nor its name, nor what the mail says.
"""

import base64
import os
import sys
import unittest

import case
import mailbox
import replay

#: What the difficult mailbox says here and there: names of folders and words of messages.
WORDS = (b"Projekte", b"Work", b"Subject: ", b"example.org", b"From:")


class Records(case.ServerCase):
    """Recorded copies and their replays."""

    def journey(self, kinds, queries=("", ""), scheme="imaps", spec="difficult"):
        source, destination = self.ends(*kinds)
        mailbox.fill(source.account, spec, 1)
        path = os.path.join(self.work, "record")
        urls = [end.url(scheme=scheme, query=query) for end, query in zip((source, destination), queries)]
        self.copy(source, destination, "--record", path, urls=urls, expect=(0, 1))
        self.look(path, source, destination)
        again = replay.Replay(path, case.GODWIT)
        problems = again.run()
        if problems and os.environ.get("GODWIT_KEEP"):
            print(path, file=sys.stderr)
        self.assertEqual(problems, [], again.err[-2000:])

    def look(self, path, *ends):
        """Nothing of it is in the file."""
        with open(path, "rb") as file:
            found = file.read()
        for end in ends:
            for secret in (end.password, end.name):
                for form in (secret.encode(), secret.encode().hex().encode(), base64.b64encode(secret.encode())[:-4]):
                    self.assertNotIn(form.lower(), found.lower())
        for word in WORDS:
            self.assertNotIn(word, found)

    def test_dovecot_to_cyrus(self):
        """TLS from the first byte, SCRAM on both sides."""
        self.journey(("dovecot", "cyrus"), ("?auth=scram-sha-256", "?auth=scram-sha-1"))

    def test_courier_to_dovecot(self):
        """STARTTLS."""
        self.journey(("courier", "dovecot"), scheme="imap")

    def test_cyrus_to_courier(self):
        """PLAIN; a destination that takes one message at a time."""
        self.journey(("cyrus", "courier"), ("?auth=plain", ""))


if __name__ == "__main__":
    unittest.main()
