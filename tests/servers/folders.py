#!/usr/bin/env python3
"""Layouts of folders beyond the usual: prefixes, delimiters, stores, shared namespaces.

Each with the difficult mailbox, whose names tell at once what a layout cannot hold.
"""

import unittest

import case
import compare
import mailbox
from imap import append, command, ok, quoted
from matrix import Matrix


class Layouts(Matrix, case.ServerCase):
    """The journey of matrix.py with servers that are set up otherwise."""

    test_to_dovecot = test_to_cyrus = test_to_courier = None

    def through(self, one, other, source_options=None, destination_options=None):
        """Three passes between servers with these options."""
        self.kind = one
        self.journey(other, source_options, destination_options)

    def test_old_style_cyrus_as_source(self):
        """INBOX. prefix and "." as delimiter, to "/" and none."""
        self.through("cyrus", "dovecot", {"old_style": True})

    def test_old_style_cyrus_as_destination(self):
        """The other way round; "/" in names is refused."""
        self.through("dovecot", "cyrus", None, {"old_style": True})

    def test_courier_to_old_style_cyrus(self):
        """The same prefix at both ends."""
        self.through("courier", "cyrus", None, {"old_style": True})

    def test_sdbox(self):
        """Dovecot's other store, at both ends."""
        self.through("dovecot", "dovecot", {"store": "sdbox"}, {"store": "sdbox"})

    def test_dots_at_the_source(self):
        """Dovecot with "." as delimiter: "/" in names."""
        self.through("dovecot", "cyrus", {"separator": ".", "store": "sdbox"})

    def test_dots_and_prefix_at_the_destination(self):
        """Dovecot with an "INBOX." prefix, as many hosters have it."""
        self.through("dovecot", "dovecot", None, {"separator": ".", "prefix": "INBOX."})

    def test_no_condstore(self):
        """Flag changes found by comparison, without CONDSTORE and QRESYNC."""
        self.through("cyrus", "cyrus", {"suppress": "CONDSTORE QRESYNC"}, {"suppress": "CONDSTORE QRESYNC"})


class Shared(case.ServerCase):
    """What is not the user's own."""

    def test_public_namespace(self):
        """Left out and said so, or copied with --namespace all."""
        source, destination = self.ends("dovecot", "dovecot", {"public": True})
        mailbox.fill(source.account, "small")
        with source.account.connect() as connection:
            command(connection, "CREATE", quoted("Public/news"))
            for number in range(3):
                append(connection, "Public/news", b"Subject: news %d\r\nMessage-ID: <%d@public>\r\n\r\nnews\r\n" % (number, number))
            wanted = self.digests(connection, "Public/news")
        own = self.copy(source, destination)
        self.assertFalse([event for event in own.of("folder") if "news" in event["folder"]], own)
        stored = destination.appends()
        everything = self.copy(source, destination, "--namespace", "all")
        self.assertEqual(destination.appends() - stored, 3, everything)
        target = [event["target"] for event in everything.of("folder") if event["folder"] == "Public/news"]
        self.assertEqual(len(target), 1, everything)
        with destination.account.connect() as connection:
            self.assertEqual(self.digests(connection, target[0]), wanted)

    @staticmethod
    def digests(connection, name):
        """What the messages of a folder are."""
        return [(mail.digest, mail.flags, mail.date) for mail in compare._read_folder(connection, name)]    # pylint: disable=protected-access

    def test_subscriptions_later(self):
        """A folder made and subscribed to between two passes."""
        source, destination = self.ends("dovecot", "cyrus")
        mailbox.fill(source.account, "small")
        first = self.copy(source, destination)
        with source.account.connect() as connection:
            for name in ("later", "later/still"):
                command(connection, "CREATE", quoted(name))
            command(connection, "SUBSCRIBE", quoted("later/still"))
            ok(connection.select(quoted("later"), readonly=True))
        second = self.copy(source, destination)
        self.check_same(source, destination, first, second, allow=case.allowances("dovecot", "cyrus"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
