#!/usr/bin/env python3
"""What people and servers do between passes, at real servers.

Each story begins with a copied mailbox. Then somebody with another mail program (imaplib) works at
the source, at the destination, or at both; or a server is put back to an older state, or numbers a
folder anew. A pass later both ends are looked at message by message, and what the destination was
given is counted in its own log: that alone shows that nothing was sent twice. Each story ends with
a pass that does nothing.
"""

import glob
import hashlib
import os
import re
import shutil
import signal
import unittest

import case
import compare
from imap import append, command, folders, instant, namespace, ok, quoted

#: Counts of a summary that say something was done.
DONE = ("items_stored", "items_marked", "items_moved", "items_gone", "items_removed", "items_left", "items_found",
        "folders_made", "folders_renamed")
WHEN = "06-Jan-2021 10:00:00 +0100"


def letter(name):
    """A message that its name tells all of; two of one name are twins."""
    lines = ("From: Somebody <somebody@example.org>", "To: Me <me@example.net>", f"Subject: {name}",
             f"Message-ID: <{name}@delta.example>", "Date: Wed, 06 Jan 2021 10:00:00 +0100", "", f"This is {name}.")
    return "".join(line + "\r\n" for line in lines).encode()


def levels(path):
    """"Work/Sub" as the kit has it."""
    return tuple(path.split("/"))


class Program:
    """Somebody's mail program, at work at one end."""

    def __init__(self, end):
        self.connection = end.account.connect()
        self.space = namespace(self.connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.logout()

    def name(self, path):
        """A folder's name on the wire, quoted."""
        return quoted(self.space.name(levels(path)))

    def make(self, *paths):
        """New folders."""
        for path in paths:
            command(self.connection, "CREATE", self.name(path))
            command(self.connection, "SUBSCRIBE", self.name(path))

    def rename(self, old, new):
        """With all that is below it."""
        self.connection.select("INBOX")     # some servers do not rename what is open
        command(self.connection, "RENAME", self.name(old), self.name(new))

    def drop(self, path):
        """A folder deleted."""
        self.connection.select("INBOX")
        command(self.connection, "DELETE", self.name(path))

    def add(self, path, *names, flags="", date=WHEN):
        """New messages."""
        for name in names:
            append(self.connection, self.space.name(levels(path)), letter(name), tuple(flags.split()), date)

    def find(self, path, name):
        """Select the folder; the UIDs of all messages of that name, for a command."""
        ok(self.connection.select(self.name(path)))
        found = ok(self.connection.uid("SEARCH", "HEADER", "MESSAGE-ID", f'"<{name}@delta.example>"'))[0].split()
        if not found:
            raise AssertionError(f"there is no {name} in {path}")
        return b",".join(found).decode()

    def flag(self, path, name, *changes):
        """Such as "+\\Seen" or "-work"."""
        uids = self.find(path, name)
        for change in changes:
            ok(self.connection.uid("STORE", uids, f"{change[0]}FLAGS.SILENT", f"({change[1:]})"))

    def remove(self, path, *names):
        """Deleted and expunged."""
        for name in names:
            self.flag(path, name, "+\\Deleted")
            ok(self.connection.expunge())

    def move(self, path, to, *names, by_copy=False):
        """By MOVE where there is one, else as programs did before."""
        for name in names:
            if "MOVE" in self.connection.capabilities and not by_copy:
                command(self.connection, "UID", "MOVE", self.find(path, name), self.name(to))
            else:
                ok(self.connection.uid("COPY", self.find(path, name), self.name(to)))
                self.remove(path, name)


def look(end):
    """{folder: ["name flag flag", ...]}, sorted; each message whole and of its date."""
    snapshot, seen = end.read(), {}
    for path, mails in snapshot.mail.items():
        seen["/".join(path)] = sorted(" ".join((mail.subject, *sorted(mail.flags | mail.keywords))) for mail in mails)
        for mail in mails:
            assert mail.digest == hashlib.sha256(letter(mail.subject)).hexdigest(), f"{mail.subject} is not what it was"
            assert mail.date == instant(WHEN), f"{mail.subject} in {path} has another date"
    return seen


def facts(end):
    """All that a pass without work must not change."""
    snapshot = end.read()
    return ({path: (folder.attributes & {"\\noselect"}, folder.subscribed) for path, folder in snapshot.folders.items()},
            {path: [(mail.uid, mail.digest, mail.flags, mail.keywords, mail.date) for mail in mails]
             for path, mails in snapshot.mail.items()})


class Delta(case.ServerCase):
    """Passes, and what is found after each."""

    def go(self, source, destination, *options, uploads=0, expect=0, **done):
        """One pass: so many messages were sent, these counts are so, the source is as it was."""
        before, given = facts(source), destination.appends()
        outcome = self.copy(source, destination, *options, expect=expect, **({"state": done.pop("state")} if "state" in done else {}))
        self.assertEqual(facts(source), before, "the source was changed")
        sent = destination.appends() - given
        if destination.server.kind == "cyrus":      # its log calls what is moved an append too
            sent -= done.get("items_moved", 0)
        self.assertEqual(sent, uploads, f"messages sent\n{outcome}\n{outcome.of('note')}")
        for count, expected in done.items():
            self.assertEqual(outcome.summary[count], expected, f"{count}\n{outcome}\n{outcome.of('note')}")
        return outcome

    def rest(self, source, destination, *options, expect=0, **how):
        """One more pass, and it does nothing."""
        before = facts(destination)
        outcome = self.go(source, destination, *options, expect=expect, **dict.fromkeys(DONE, 0), **how)
        self.assertEqual(facts(destination), before, f"a pass without work changed something\n{outcome}")
        return outcome

    def is_like(self, end, expected):
        """Exactly these messages with these flags: {folder: "name name+flag+flag"}."""
        wanted = {path: sorted(word.replace("+", " ") for word in words.split()) for path, words in expected.items()}
        found = {path: mails for path, mails in look(end).items() if mails or path in wanted}
        self.assertEqual(found, wanted)


class Stories(Delta):
    """Between two servers of the kinds that a subclass names."""

    kinds = None

    def setUp(self):
        if self.kinds is None:
            self.skipTest("a base")
        super().setUp()

    def prepared(self):
        """A mailbox at both ends."""
        source, destination = self.ends(*self.kinds)
        with Program(source) as mail:
            mail.add("INBOX", "a", "b", "c", "h", "i", "f", "g")
            mail.add("INBOX", "d", flags="\\Seen")
            mail.add("INBOX", "e", flags="urgent \\Seen")
            mail.add("INBOX", "twin", "twin")
            mail.make("Work", "Old", "Old/Deep", "Drop", "Plans", "Quiet")
            mail.add("Work", "w1", "w2", "w3")
            mail.add("Old", "o1", "o2")
            mail.add("Old/Deep", "deep")
            mail.add("Drop", "x1", "x2")
            mail.add("Plans", "p1", "p2")
            mail.add("Quiet", "q1", "q2")
        self.go(source, destination, uploads=23, items_stored=23)
        self.rest(source, destination)
        return source, destination

    @staticmethod
    def work_at_source(source):
        """Every kind of edit."""
        with Program(source) as mail:
            mail.make("New")
            mail.rename("Old", "Attic")
            mail.drop("Drop")
            mail.add("INBOX", "n1", flags="\\Seen")
            mail.add("Work", "n2")
            mail.add("Plans", "p3")
            mail.flag("INBOX", "b", "+\\Flagged")
            mail.flag("INBOX", "d", "+work")
            mail.flag("INBOX", "e", "-urgent", "-\\Seen")
            mail.flag("INBOX", "c", "+\\Answered")
            mail.flag("Quiet", "q1", "+\\Answered")
            mail.move("INBOX", "Work", "a")
            mail.move("INBOX", "Work", "f", by_copy=True)
            mail.move("INBOX", "Quiet", "twin")
            mail.move("INBOX", "New", "g")
            mail.move("Work", "Attic", "w3")
            mail.move("INBOX", "Work", "i")
            mail.remove("INBOX", "h")
            mail.remove("Work", "w2")

    @staticmethod
    def work_at_destination(destination):
        """And its user's."""
        with Program(destination) as mail:
            mail.make("Mine")
            mail.add("Mine", "mine")
            mail.add("INBOX", "own")
            mail.flag("Work", "w1", "+\\Flagged")
            mail.flag("INBOX", "d", "-\\Seen")
            mail.flag("INBOX", "b", "+\\Answered")
            mail.move("Quiet", "Mine", "q2")
            mail.move("INBOX", "Mine", "i")
            mail.remove("INBOX", "c")
            mail.rename("Plans", "Schemes")

    def test_every_kind_of_edit(self):
        """One long story."""
        source, destination = self.prepared()
        self.work_at_source(source)
        self.work_at_destination(destination)
        self.go(source, destination, uploads=3, items_moved=6, items_left=1, folders_renamed=1, folders_made=1, items_gone=2)
        self.is_like(destination, {
            "INBOX": "b+\\answered+\\flagged d+work e h n1+\\seen own", "Work": "a f n2 w1+\\flagged w2",
            "Attic": "o1 o2 w3", "Attic/Deep": "deep", "New": "g", "Quiet": "q1+\\answered twin twin",
            "Mine": "i mine q2", "Schemes": "p1 p2 p3", "Drop": "x1 x2"})
        self.rest(source, destination)
        with Program(source) as mail:       # what was moved and renamed is still known
            mail.flag("Work", "a", "+\\Seen")
            mail.flag("Quiet", "twin", "+\\Flagged")
            mail.flag("Attic", "w3", "+work")
            mail.flag("Attic/Deep", "deep", "+\\Seen")
            mail.flag("Plans", "p1", "+\\Seen")
            mail.flag("Work", "i", "+\\Seen")
            mail.move("New", "INBOX", "g")
        self.go(source, destination, items_moved=1, items_marked=6)
        self.is_like(destination, {
            "INBOX": "b+\\answered+\\flagged d+work e g h n1+\\seen own", "Work": "a+\\seen f n2 w1+\\flagged w2",
            "Attic": "o1 o2 w3+work", "Attic/Deep": "deep+\\seen", "New": "",
            "Quiet": "q1+\\answered twin+\\flagged twin+\\flagged",
            "Mine": "i mine q2", "Schemes": "p1+\\seen p2 p3", "Drop": "x1 x2"})
        self.rest(source, destination)

    def test_mirrored_deletions(self):
        """Removed is what is ours and nobody touched; first in a dry run."""
        source, destination = self.prepared()
        with Program(source) as mail:
            mail.remove("INBOX", "a", "b", "c", "twin")
            mail.remove("Work", "w1")
            mail.add("Work", "w4")
            mail.flag("Work", "w2", "+\\Seen")
            mail.move("INBOX", "Quiet", "d")
            mail.make("New")
        with Program(destination) as mail:
            mail.flag("INBOX", "b", "+\\Flagged")
            mail.remove("INBOX", "c")
            mail.add("INBOX", "own")
        before, given = facts(destination), destination.appends()
        mirror = ("--deletions", "mirror", "--deletions-limit", "50")
        plan = self.copy(source, destination, *mirror, "--dry-run").result["plan"]
        self.assertEqual((facts(destination), destination.appends()), (before, given), "a dry run changed something")
        outcome = self.go(source, destination, *mirror, uploads=1, items_moved=1, items_marked=1, items_gone=6, folders_made=1)
        self.is_like(destination, {
            "INBOX": "b+\\flagged e+\\seen+urgent f g h i own", "Work": "w2+\\seen w3 w4", "Old": "o1 o2",
            "Old/Deep": "deep", "Drop": "x1 x2", "Plans": "p1 p2", "Quiet": "d+\\seen q1 q2", "New": ""})
        self.assertEqual([entry["cause"] for entry in outcome.exceptions()], ["not-removed"])
        self.rest(source, destination, *mirror)
        return plan, outcome


class DovecotToDovecot(Stories):
    """Both with CONDSTORE, QRESYNC and MOVE."""

    kinds = ("dovecot", "dovecot")


class DovecotToCyrus(Stories):
    """Two servers that both can do all of it, each in its way."""

    kinds = ("dovecot", "cyrus")


class CyrusToDovecot(Stories):
    """The other way round."""

    kinds = ("cyrus", "dovecot")


class CourierToCourier(Stories):
    """Neither CONDSTORE nor MOVE; several folders of one UIDVALIDITY."""

    kinds = ("courier", "courier")


if __name__ == "__main__":
    unittest.main(verbosity=2)
