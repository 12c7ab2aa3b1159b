#!/usr/bin/env python3
"""What people and servers do between passes, at real servers.

Each story begins with a copied mailbox. Then somebody with another mail program (imaplib) works at
the source, at the destination, or at both; or a server is put back to an older state, or numbers a
folder anew. A pass later both ends are looked at message by message, and what the destination was
given is counted in its own log: that alone shows that nothing was sent twice. Each story ends with
a pass that does nothing.
"""

import contextlib
import glob
import hashlib
import os
import re
import signal
import sqlite3
import unittest

import case
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

    def again(self, path, names, times):
        """Those of these names, which came in this order, copied within their folder; the copies' names."""
        uids = f"{self.find(path, names[0])}:{self.find(path, names[-1])}"
        for _ in range(times):
            ok(self.connection.uid("COPY", uids, self.name(path)))
        return names * times

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


def messages(end, path):
    """How many there are in a Dovecot's folder, without asking it."""
    directory = glob.escape(os.path.join(end.server.maildir(end.name), path.replace("INBOX", "")))
    return len(glob.glob(directory + "/new/*") + glob.glob(directory + "/cur/*"))


def facts(end):
    """All that a pass without work must not change."""
    snapshot = end.read()
    return ({path: (folder.attributes & {"\\noselect"}, folder.subscribed) for path, folder in snapshot.folders.items()},
            {path: [(mail.uid, mail.digest, mail.flags, mail.keywords, mail.date) for mail in mails]
             for path, mails in snapshot.mail.items()})


class Delta(case.ServerCase):
    """Passes, and what is found after each."""

    def go(self, source, destination, *options, uploads=0, expect=0, state=None, **done):
        """One pass: so many messages were sent, these counts are so, the source is as it was."""
        before, given = facts(source), destination.appends()
        outcome = self.copy(source, destination, *options, expect=expect, state=state)
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
        self.assertEqual(outcome.of("note"), [], "it took something for new")
        return outcome

    def memory(self):
        """All that is remembered, but for the number and the time of the pass (keys that begin with p)."""
        found = []
        for path in glob.glob(os.path.join(self.states, "**", "ledger.db"), recursive=True):
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                found += (row for row in database.execute("SELECT * FROM record") if not row[0].startswith(b"p"))
        return sorted(found)

    def plan(self, source, destination, *options, expect=0, **done):
        """What a dry run says; it changes nothing at either end, nor what is remembered."""
        before, memory = facts(destination), self.memory()
        outcome = self.go(source, destination, "--dry-run", *options, expect=expect, **done)
        self.assertEqual(facts(destination), before, "a dry run changed something")
        self.assertEqual(self.memory(), memory, "a dry run remembered something")
        return outcome.result["plan"]

    @staticmethod
    def done(outcome):
        """The same of what was done."""
        return {key: outcome.summary[count] for key, count in (
            ("items", "items_stored"), ("bytes", "bytes_stored"), ("marks", "items_marked"), ("moves", "items_moved"),
            ("removals", "items_removed"), ("folders", "folders_made"))}

    def is_like(self, end, expected):
        """Exactly these messages with these flags: {folder: "name name+flag+flag"}."""
        wanted = {path: sorted(word.replace("+", " ") for word in words.split()) for path, words in expected.items()}
        found = {path: mails for path, mails in look(end).items() if mails or path in wanted}
        self.assertEqual(found, wanted)


class Stories(Delta):
    """Between two servers of the kinds that a subclass names."""

    kinds = None
    keeps_validity = True       # a folder that is renamed keeps its UIDVALIDITY

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
    def work_at_destination(destination, rename):
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
            if rename:
                mail.rename("Plans", "Schemes")

    def test_every_kind_of_edit(self):
        """One long story."""
        source, destination = self.prepared()
        self.work_at_source(source)
        self.work_at_destination(destination, self.keeps_validity)
        told = self.keeps_validity
        self.go(source, destination, uploads=3, items_left=1, items_gone=2, items_moved=6 if told else 9,
                folders_renamed=1 if told else 0, folders_made=1 if told else 3)
        schemes = "Schemes" if told else "Plans"
        emptied = {} if told else {"Old": "", "Old/Deep": ""}       # its messages moved into a new one
        self.is_like(destination, {
            "INBOX": "b+\\answered+\\flagged d+work e h n1+\\seen own", "Work": "a f n2 w1+\\flagged w2",
            "Attic": "o1 o2 w3", "Attic/Deep": "deep", "New": "g", "Quiet": "q1+\\answered twin twin",
            "Mine": "i mine q2", schemes: "p1 p2 p3", "Drop": "x1 x2", **emptied})
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
            "Mine": "i mine q2", schemes: "p1+\\seen p2 p3", "Drop": "x1 x2", **emptied})
        self.rest(source, destination)

    def test_folder_emptied_and_deleted(self):
        """What was moved out of it moves; what went with it stays."""
        source, destination = self.prepared()
        with Program(source) as mail:
            mail.make("New")
            mail.move("Drop", "New", "x1")
            mail.move("Old/Deep", "Work", "deep", by_copy=True)
            mail.drop("Drop")
            mail.drop("Old/Deep")
        self.go(source, destination, items_moved=2)
        self.is_like(destination, {
            "INBOX": "a b c d+\\seen e+\\seen+urgent f g h i twin twin", "Work": "deep w1 w2 w3", "Old": "o1 o2", "Old/Deep": "",
            "Drop": "x2", "Plans": "p1 p2", "Quiet": "q1 q2", "New": "x1"})
        self.rest(source, destination)

    def test_folder_lost_at_destination(self):
        """Its user deleted it: it is not made again unasked."""
        source, destination = self.prepared()
        with Program(destination) as mail:
            mail.drop("Plans")
        with Program(source) as mail:
            mail.add("Plans", "p3")
            mail.move("INBOX", "Plans", "a")
        for _ in range(2):
            outcome = self.go(source, destination, expect=1)
            self.assertEqual([(entry["folder"], entry["cause"]) for entry in outcome.exceptions()], [("Plans", "folder-lost")])
        expected = {
            "INBOX": "a b c d+\\seen e+\\seen+urgent f g h i twin twin", "Work": "w1 w2 w3", "Old": "o1 o2", "Old/Deep": "deep",
            "Drop": "x1 x2", "Quiet": "q1 q2"}
        self.is_like(destination, expected)
        self.go(source, destination, "--recreate", uploads=4)
        self.is_like(destination, {**expected, "Plans": "a p1 p2 p3"})
        self.rest(source, destination)

    def test_destination_numbered_anew(self):
        """And meanwhile something moved out of that folder: UIDs that mean others now move nobody's mail."""
        if self.kinds[1] == "cyrus":
            self.skipTest("there is no simple way to make it do so")
        source, destination = self.prepared()
        with Program(destination) as mail:
            mail.remove("INBOX", "a")
        destination.server.renumber(destination.name)
        with Program(source) as mail:
            mail.move("INBOX", "Work", "d", "twin")
            mail.flag("INBOX", "f", "+\\Flagged")
        # a: deleted by its user or lost by the server? Nobody can tell, so it is copied again
        self.go(source, destination, uploads=1, items_moved=3, items_marked=1)
        expected = {
            "INBOX": "a b c e+\\seen+urgent f+\\flagged g h i", "Work": "d+\\seen w1 w2 w3 twin twin", "Old": "o1 o2", "Old/Deep": "deep",
            "Drop": "x1 x2", "Plans": "p1 p2", "Quiet": "q1 q2"}
        self.is_like(destination, expected)
        self.rest(source, destination)

    def test_too_many_deletions(self):
        """More than the limit allows: nothing is removed until it is raised."""
        source, destination = self.prepared()
        with Program(source) as mail:
            mail.remove("INBOX", "a", "b", "c", "d", "e", "f", "g", "h", "i", "twin")
            mail.remove("Work", "w1")
            mail.add("Work", "w4")
        plan = self.plan(source, destination, "--deletions", "mirror", expect=1)
        self.assertEqual((plan["items"], plan["removals"]), (1, 0))
        expected = {
            "INBOX": "a b c d+\\seen e+\\seen+urgent f g h i twin twin", "Work": "w1 w2 w3 w4", "Old": "o1 o2", "Old/Deep": "deep",
            "Drop": "x1 x2", "Plans": "p1 p2", "Quiet": "q1 q2"}
        for uploads in (1, 0):
            outcome = self.go(source, destination, "--deletions", "mirror", uploads=uploads, expect=1, items_removed=0)
            self.assertEqual([entry["cause"] for entry in outcome.exceptions()], ["deletions"])
            self.is_like(destination, expected)
        loud = ("--deletions", "mirror", "--deletions-limit", "60")
        self.go(source, destination, *loud, items_removed=12)
        self.is_like(destination, {**expected, "INBOX": "", "Work": "w2 w3 w4"})
        self.rest(source, destination, *loud)

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
        mirror = ("--deletions", "mirror", "--deletions-limit", "50")
        plan = self.plan(source, destination, *mirror)
        outcome = self.go(source, destination, *mirror, uploads=1, items_moved=1, items_marked=1, items_gone=6, folders_made=1)
        self.is_like(destination, {
            "INBOX": "b+\\flagged e+\\seen+urgent f g h i own", "Work": "w2+\\seen w3 w4", "Old": "o1 o2",
            "Old/Deep": "deep", "Drop": "x1 x2", "Plans": "p1 p2", "Quiet": "d+\\seen q1 q2", "New": ""})
        self.assertEqual([entry["cause"] for entry in outcome.exceptions()], ["not-removed"])
        self.assertEqual(plan, self.done(outcome))
        self.rest(source, destination, *mirror)


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
    """Neither CONDSTORE nor MOVE, and what is renamed gets another UIDVALIDITY."""

    kinds = ("courier", "courier")
    keeps_validity = False


class Times(Delta):
    """Servers that go back in time, or number their folders anew."""

    def prepared(self, source="dovecot", destination="dovecot", **options):
        """A few folders at both ends."""
        source, destination = self.ends(source, destination, **options)
        with Program(source) as mail:
            mail.make("Work", "Other")
            mail.add("INBOX", "a", "b", "c", "twin", "twin")
            mail.add("Work", "w1", "w2", "w3", flags="\\Seen work")
            mail.add("Other", "x")
        self.go(source, destination, uploads=9)
        return source, destination

    LATER = {"INBOX": "a b c twin twin d1 d2", "Work": "w1+\\seen+work w2+\\seen+work w3+\\seen+work w4", "Other": "x"}

    @staticmethod
    def later(end):
        """What the next pass brings."""
        with Program(end) as mail:
            mail.add("INBOX", "d1", "d2")
            mail.add("Work", "w4")

    def source_goes_back(self, kind):
        """What it lost stays at the destination; what has its UIDs now is another's, and is copied."""
        source, destination = self.prepared(kind)
        source.server.back_up()
        self.later(source)
        self.go(source, destination, uploads=3)
        source.server.go_back()
        with Program(source) as mail:       # some of the lost come again, in another order
            mail.add("INBOX", "n1", "d2", "n2")
            mail.add("Work", "n3", "n4")
            mail.flag("INBOX", "a", "+\\Flagged")
        self.go(source, destination, uploads=4, items_marked=1)
        self.is_like(destination, {
            "INBOX": "a+\\flagged b c twin twin d1 d2 n1 n2", "Other": "x",
            "Work": "w1+\\seen+work w2+\\seen+work w3+\\seen+work w4 n3 n4"})
        self.rest(source, destination)

    def test_source_goes_back(self):
        """A Dovecot restored from a backup."""
        self.source_goes_back("dovecot")

    def test_source_goes_back_unseen(self):
        """With as many new messages as it lost all its numbers are as they were; the next one tells."""
        source, destination = self.prepared()
        source.server.back_up()
        self.later(source)
        self.go(source, destination, uploads=3)
        source.server.go_back()
        with Program(source) as mail:
            mail.add("INBOX", "n1", "n2")
            mail.add("Work", "n3")
        self.copy(source, destination)
        with Program(source) as mail:
            mail.add("INBOX", "n4")
            mail.add("Work", "n5")
        self.copy(source, destination)
        self.is_like(destination, {
            "INBOX": "a b c twin twin d1 d2 n1 n2 n4", "Other": "x",
            "Work": "w1+\\seen+work w2+\\seen+work w3+\\seen+work w4 n3 n5"})
        self.rest(source, destination)

    def test_cyrus_source_goes_back(self):
        """A Cyrus restored from a backup."""
        self.source_goes_back("cyrus")

    def destination_goes_back(self, kind):
        """What it lost is copied again, once; what its user got meanwhile stays."""
        source, destination = self.prepared(destination=kind)
        destination.server.back_up()
        self.later(source)
        self.go(source, destination, uploads=3)
        destination.server.go_back()
        with Program(destination) as mail:
            mail.add("INBOX", "own")
            mail.flag("INBOX", "b", "+\\Answered")
        with Program(source) as mail:
            mail.add("INBOX", "n1")
        self.go(source, destination, uploads=4)
        self.is_like(destination, {**self.LATER, "INBOX": "a b+\\answered c twin twin d1 d2 own n1"})
        self.rest(source, destination)

    def test_destination_goes_back(self):
        """A Dovecot restored from a backup."""
        self.destination_goes_back("dovecot")

    def test_cyrus_destination_goes_back(self):
        """A Cyrus restored from a backup."""
        self.destination_goes_back("cyrus")

    def test_numbered_anew(self):
        """First at the source, then at the destination, then at both."""
        source, destination = self.prepared()
        source.server.renumber(source.name)
        with Program(source) as mail:
            mail.add("INBOX", "n1")
            mail.flag("INBOX", "a", "+\\Seen")
        plan = self.plan(source, destination)
        outcome = self.go(source, destination, uploads=1, items_marked=1)
        self.assertEqual(plan, self.done(outcome))
        self.rest(source, destination)
        destination.server.renumber(destination.name)
        with Program(source) as mail:
            mail.flag("INBOX", "b", "+\\Seen")
            mail.remove("INBOX", "c")
        self.go(source, destination, items_marked=1, items_gone=1)
        self.rest(source, destination)
        source.server.renumber(source.name)
        destination.server.renumber(destination.name)
        with Program(source) as mail:
            mail.add("INBOX", "n2")
        self.go(source, destination, uploads=1)
        self.is_like(destination, {"INBOX": "a+\\seen b+\\seen c twin twin n1 n2", "Other": "x",
                                   "Work": "w1+\\seen+work w2+\\seen+work w3+\\seen+work"})
        self.rest(source, destination)

    def test_made_anew_by_hand(self):
        """A folder deleted and filled again with the same messages, at either end."""
        source, destination = self.prepared()
        for end in (source, destination):
            with Program(end) as mail:
                mail.drop("Work")
                mail.make("Work")
                mail.add("Work", "w3", "w1", "w2", flags="\\Seen work")
            self.go(source, destination)
            self.rest(source, destination)
        self.is_like(destination, {"INBOX": "a b c twin twin", "Other": "x",
                                   "Work": "w1+\\seen+work w2+\\seen+work w3+\\seen+work"})

    def in_the_midst(self, which):
        """While another folder is being copied, one that was looked at already is made anew; with one lane, for
        with more its turn may have come in the same moment."""
        source, destination = self.prepared()
        order = ["/".join(case.levels_of(event["folder"])) for event in self.rest(source, destination).of("folder")]
        bulky, victim = order[0], [path for path in order if path != "INBOX"][-1]
        self.assertNotEqual(bulky, victim)
        old = look(source)[victim]
        for attempt in range(5):    # it may be through with it before it can be stopped
            new, bulk = f"new{attempt}", [f"bulk{attempt}.{number}" for number in range(500)]
            with Program(source) as mail:
                mail.add(bulky, *bulk)
                bulk += mail.again(bulky, bulk, 2)      # more than is read ahead
                mail.add(victim, new)
            process = self.start(source, destination, "--lanes", "1")
            there = messages(destination, bulky)
            arrived = case.wait_until(lambda before=there: messages(destination, bulky) > before or process.poll() is not None)
            workers = case.children(process.pid)
            for pid in workers:
                case.kill(pid, signal.SIGSTOP)
            if messages(destination, victim) == len(old):
                break
            for pid in workers:
                case.kill(pid, signal.SIGCONT)
            self.finish(process)
            old = look(source)[victim]
        self.assertTrue(arrived and process.poll() is None and workers and messages(destination, victim) == len(old))
        with Program(source if which == "source" else destination) as mail:
            mail.drop(victim)
            mail.make(victim)
            for name, *flags in map(str.split, [*reversed(old), *([new] if which == "source" else [])]):
                mail.add(victim, name, flags=" ".join(flags))
        for pid in workers:
            case.kill(pid, signal.SIGCONT)
        outcome = self.finish(process)
        self.assertEqual((outcome.exit, outcome.summary["items_stored"]), (0, len(bulk) + 1), outcome)
        seen = look(destination)
        self.assertEqual(seen[victim], sorted([*old, new]))
        self.assertEqual(seen, look(source))
        self.rest(source, destination)

    def test_source_in_the_midst(self):
        """UIDVALIDITY changes at the source."""
        self.in_the_midst("source")

    def test_destination_in_the_midst(self):
        """UIDVALIDITY changes at the destination."""
        self.in_the_midst("destination")


class Strangers(Delta):
    """Mail that is at the destination already, without or against the memory."""

    def prepared(self):
        """A source."""
        source, destination = self.ends("dovecot", "dovecot")
        with Program(source) as mail:
            mail.make("Work")
            mail.add("INBOX", "a", "b", flags="\\Seen")
            mail.add("INBOX", "c", flags="\\Flagged work")
            mail.add("INBOX", "twin", "twin", "twin")
            mail.add("Work", "w1", "w2")
        return source, destination

    WHOLE = {"INBOX": "a+\\seen b+\\seen c+\\flagged+work twin twin twin", "Work": "w1 w2"}

    def test_filled_before(self):
        """By another program, with wrong dates and no flags: recognised, flags added."""
        source, destination = self.prepared()
        with Program(destination) as mail:
            mail.add("INBOX", "a", "c", "twin", date="01-Feb-2022 10:00:00 +0000")
            mail.add("INBOX", "own")
            mail.flag("INBOX", "a", "+\\Answered")
        plan = self.plan(source, destination, items_found=3)
        outcome = self.go(source, destination, uploads=5, items_found=3, items_stored=5)
        self.assertEqual(plan, self.done(outcome))
        found = {"/".join(path): sorted(f"{mail.subject} {' '.join(sorted(mail.flags | mail.keywords))}".strip() for mail in mails)
                 for path, mails in destination.read().mail.items()}
        self.assertEqual(found, {"INBOX": ["a \\answered \\seen", "b \\seen", "c \\flagged work", "own", "twin", "twin", "twin"],
                                 "Work": ["w1", "w2"]})
        self.rest(source, destination)
        with Program(source) as mail:       # found ones are removed by nobody
            mail.remove("INBOX", "a")
            mail.remove("Work", "w1")
        mirror = ("--deletions", "mirror")
        self.go(source, destination, *mirror, items_gone=2, items_removed=1)
        self.assertIn("a", [mail.subject for mail in destination.read().mail["INBOX",]])
        self.rest(source, destination, *mirror)

    def test_state_lost(self):
        """Another state directory knows nothing, and nothing is doubled."""
        source, destination = self.prepared()
        self.go(source, destination, uploads=8)
        with Program(source) as mail:
            mail.add("INBOX", "new")
        with Program(destination) as mail:
            mail.flag("INBOX", "a", "+\\Flagged")
        fresh = os.path.join(self.work, "fresh")
        self.go(source, destination, uploads=1, items_found=8, state=fresh)
        self.is_like(destination, {**self.WHOLE, "INBOX": "a+\\flagged+\\seen b+\\seen c+\\flagged+work new twin twin twin"})
        self.rest(source, destination, state=fresh)

    def spoil(self, spoiler):
        """A spoilt ledger is refused with the way out; taking it, nothing is doubled."""
        source, destination = self.prepared()
        self.go(source, destination, uploads=8)
        ledgers = glob.glob(os.path.join(self.states, "**", "ledger.db"), recursive=True)
        self.assertTrue(ledgers)
        for path in ledgers:
            spoiler(path)
        before, given = facts(destination), destination.appends()
        outcome = self.copy(source, destination, expect=30)
        self.check_error(outcome, 30, "damaged", None, ["ledger.db", "rebuild"])
        self.assertEqual((facts(destination), destination.appends()), (before, given), "it worked with a spoilt memory")
        fresh = os.path.join(self.work, "fresh")
        self.go(source, destination, items_found=8, state=fresh)
        self.is_like(destination, self.WHOLE)
        self.rest(source, destination, state=fresh)

    def test_ledger_truncated(self):
        """Half of it, as after a full disk."""
        def halve(path):
            os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)
        self.spoil(halve)

    def test_ledger_corrupted(self):
        """Garbage over all pages but the first."""
        def scramble(path):
            size = os.path.getsize(path)
            with open(path, "r+b") as out:
                for place in range(4096, size, 512):
                    out.seek(place)
                    out.write(os.urandom(256))
        self.spoil(scramble)

    def test_ledger_overwritten(self):
        """Not a database at all."""
        def replace(path):
            with open(path, "wb") as out:
                out.write(b"not a database, and long enough to look like one\n" * 200)
        self.spoil(replace)


class Cost(Delta):
    """What a pass costs when nothing has changed."""

    @staticmethod
    def said(end):
        """What its last connection asked for, and was answered where the server keeps that too."""
        if end.server.kind == "dovecot":
            return end.server.rawlog(end.name)[-1]
        return end.server.telemetry(end.name)[-1].split(b"\n---------- ")[-1]      # of one process that served several

    def idle(self, source, destination, most):
        """A dozen folders: some round trips in all, and no folder is opened."""
        log = {"dovecot": {"rawlog": True}, "cyrus": {"telemetry": True}}
        source, destination = self.ends(source, destination, log[source], log[destination])
        with Program(source) as mail:
            for number in range(11):
                mail.make(f"Folder {number}")
                mail.add(f"Folder {number}", f"m{number}", f"n{number}")
        self.go(source, destination, uploads=22)
        outcome = self.copy(source, destination)
        self.assertLessEqual(max(outcome.summary["source_waits"], outcome.summary["destination_waits"]), most, outcome)
        for end in (source, destination):
            text = self.said(end)
            self.assertIn(b"LIST", text)
            self.assertEqual(re.findall(rb"(?m)^(?:[\d.]+ |<\d+<)?g\d+ (?:UID )?(?:FETCH|SELECT|EXAMINE|STORE|APPEND)", text), [])
        with Program(source) as mail:
            mail.add("Folder 5", "new")
        outcome = self.copy(source, destination)
        self.assertEqual(len(re.findall(rb"(?m)^(?:[\d.]+ |<\d+<)?g\d+ (?:SELECT|EXAMINE)", self.said(destination))), 1, outcome)

    def test_dovecot(self):
        """Both Dovecot."""
        self.idle("dovecot", "dovecot", 10)

    def test_cyrus(self):
        """Both Cyrus, which tells the folders' object ids one by one, though to one question."""
        self.idle("cyrus", "cyrus", 10 + 12)


if __name__ == "__main__":
    unittest.main(verbosity=2)
