#!/usr/bin/env python3
"""The IMAP connector against its contract (connector.h), on real servers and on the one that lies.

A small program (connector_probe.c, named by PROBE) opens a session and obeys; Python's imaplib, not
godwit, is the other hand that changes the mailbox and looks at what became of it.
"""

import json
import os
import subprocess
import sys
import unittest

import case
import imap
from imap import Account

sys.path.insert(0, os.path.join(case.ROOT, "tests", "kit"))
# pylint: disable=wrong-import-position
from fakeimap import DEFAULT_CAPS, FakeImap

PROBE = os.path.abspath(os.environ.get("PROBE") or os.path.join(case.ROOT, "build", "tests", "servers", "connector_probe"))
OLD = 'Mon, 03 Feb 2020 10:00:00 +0000'


class Answer:
    """What the probe said to one order."""

    def __init__(self, lines):
        self.error = lines.pop() if "error" in lines[-1] else None
        if not self.error:
            lines.pop()
        self.told = lines.pop() if lines and "complete" in lines[-1] else {}
        self.lines = lines

    def ids(self, **want):
        """The ids of facts with these properties."""
        return [int(line["id"]) for line in self.lines if all(line[key] == value for key, value in want.items())]

    def by_id(self):
        """{id: line}"""
        return {int(line["id"]): line for line in self.lines}


class Probe:
    """A connector's session in a process of its own."""

    def __init__(self, url, password, ca_file=""):
        self.process = subprocess.Popen([PROBE, url, ca_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "PROBE_PASSWORD": password})

    def ask(self, *words):
        """One order; its Answer, whatever it is."""
        self.process.stdin.write("\t".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        lines = []
        while not lines or not {"done", "error"} & set(lines[-1]):
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the probe ended: {self.process.wait()}")
            lines.append(json.loads(line))
        return Answer(lines)

    def close(self):
        """Says goodbye; its exit code, which a sanitizer would change."""
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(30)


class Asking(unittest.TestCase):
    """A test with a probe."""

    def probe(self, *args):
        """Open a session that must end well."""
        probe = Probe(*args)
        self.addCleanup(lambda: self.assertEqual(probe.close(), 0))
        return probe

    def ok(self, probe, *words):
        """An order that is obeyed."""
        answer = probe.ask(*words)
        self.assertIsNone(answer.error)
        return answer

    def refused(self, probe, *words, scope="folder", says=""):
        """An order that is not; its words."""
        answer = probe.ask(*words)
        self.assertIsNotNone(answer.error)
        self.assertEqual(answer.error["scope"], scope, answer.error)
        self.assertIn(says, answer.error["text"])
        return answer


class Contract(Asking, case.ServerCase):
    """What every server must let the connector do."""

    kind = None
    remembers = True        # QRESYNC
    moves = True

    def setUp(self):
        super().setUp()
        self.end_ = self.end(self.server(self.kind))
        self.hand = self.end_.account.connect()
        self.addCleanup(self.hand.shutdown)
        self.asked = self.probe(self.end_.url(), self.end_.password, self.authority.ca_file)

    def name(self, *levels):
        """A folder's name on the wire."""
        return self.end_.server.prefix + self.end_.server.separator.join(levels)

    def fill(self, count, folder="INBOX"):
        """Messages that say which they are."""
        for number in range(1, count + 1):
            imap.append(self.hand, folder, f"Date: {OLD}\r\nSubject: {folder} {number}\r\n\r\nthe {number}th\r\n".encode(),
                        date="03-Feb-2020 10:00:00 +0000")

    def select(self, folder="INBOX"):
        """By hand."""
        imap.ok(self.hand.select(imap.quoted(folder)))

    def expunge(self, uids, folder="INBOX"):
        """Somebody else deletes."""
        self.select(folder)
        imap.ok(self.hand.uid("STORE", uids, "+FLAGS.SILENT", "(\\Deleted)"))
        imap.ok(self.hand.uid("EXPUNGE", uids))

    def there(self, folder="INBOX"):
        """{uid: (subject, flags)} by hand."""
        self.select(folder)
        found = {}
        for _, items in imap.responses(imap.ok(self.hand.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))):
            values = dict(zip([bytes(key).upper() for key in items[::2]], items[1::2]))
            body = next(value for key, value in values.items() if key.startswith(b"BODY["))
            flags = {flag.decode() for flag in values[b"FLAGS"]} - {"\\Recent"}
            found[int(values[b"UID"])] = (body.decode().strip().removeprefix("Subject: "), flags)
        return found

    # -- changes --

    def test_only_ids(self):
        """The UIDs that are there, none of those that are not."""
        self.assertEqual(self.ok(self.asked, "changes", "INBOX", "only_ids").lines, [])
        self.fill(9)
        self.expunge("3,5:6")
        answer = self.ok(self.asked, "changes", "INBOX", "only_ids")
        self.assertEqual(sorted(answer.ids()), [1, 2, 4, 7, 8, 9])
        self.assertTrue(answer.told["complete"] and answer.told["total"] == 6, answer.told)

    def test_gone(self):
        """What has gone since a cursor, also at the end of the folder."""
        self.fill(8)
        first = self.ok(self.asked, "changes", "INBOX", "gone")
        self.assertEqual((first.ids(), first.told["complete"]), (list(range(1, 9)), True))
        since = f"since={first.told['cursor']}"
        still = self.ok(self.asked, "changes", "INBOX", "gone", since)
        self.assertEqual(still.told["gone_told"], self.remembers)
        if self.remembers:
            self.assertEqual(still.lines, [])
        self.expunge("2,7:8")
        imap.ok(self.hand.uid("STORE", "4", "+FLAGS", "(\\Flagged)"))
        self.fill(1)
        answer = self.ok(self.asked, "changes", "INBOX", "gone", since)
        self.assertFalse(answer.told["reset"] or answer.told["back"])
        self.assertEqual(answer.by_id()[4]["flags"].split()[0], "\\Flagged")
        if self.remembers:
            self.assertTrue(answer.told["gone_told"] and not answer.told["complete"], answer.told)
            self.assertEqual((answer.ids(gone=True), answer.ids(gone=False)), ([2, 7, 8], [4, 9]))
        else:
            self.assertTrue(answer.told["complete"] and not answer.told["gone_told"], answer.told)
            self.assertEqual(answer.ids(), [1, 3, 4, 5, 6, 9])
        self.expunge("9")       # the last one: "*" is another now
        ended = self.ok(self.asked, "changes", "INBOX", "gone", f"since={answer.told['cursor']}")
        self.assertEqual(ended.ids(gone=True) or sorted({1, 3, 4, 5, 6, 9} - set(ended.ids())), [9])
        self.expunge("1:*")
        empty = self.ok(self.asked, "changes", "INBOX", "gone", since)
        self.assertEqual((empty.lines, empty.told["complete"]), ([], True))

    def test_partial(self):
        """Where the server cannot tell what changed, old items need not be told whole."""
        self.fill(4)
        since = f"since={self.ok(self.asked, 'changes', 'INBOX').told['cursor']}"
        self.select()
        imap.ok(self.hand.uid("STORE", "2", "+FLAGS", "(\\Seen)"))
        self.fill(2)
        answer = self.ok(self.asked, "changes", "INBOX", "partial", since)
        facts = answer.by_id()
        self.assertIn("\\Seen", facts[2]["flags"])
        self.assertTrue(facts[5]["size"] and facts[6]["date"] == 1580724000, facts)
        self.assertEqual(sorted(facts), [2, 5, 6] if self.remembers else [1, 2, 3, 4, 5, 6])
        self.assertEqual(answer.ids(partial=True), [] if self.remembers else [1, 2, 3, 4])
        self.assertTrue(all(facts[uid]["size"] == 0 and facts[uid]["date"] == -1 for uid in answer.ids(partial=True)))

    # -- place and remove --

    def test_place(self):
        """Just these move, their new ids are right, and what is deleted but not gone stays."""
        self.assertEqual(self.ok(self.asked, "caps").lines[0]["moves"], self.moves)
        other = self.ok(self.asked, "make", "Other").lines[0]["raw"]
        self.fill(6)
        self.fill(2, other)
        self.select()
        imap.ok(self.hand.uid("STORE", "2,5", "+FLAGS", "(\\Deleted)"))
        imap.ok(self.hand.uid("STORE", "3", "+FLAGS", "(\\Seen)"))
        before = self.there()
        answer = self.ok(self.asked, "place", "INBOX", other, 99, 3, 1, 5, "strange")
        self.assertEqual([line["gone"] for line in answer.lines], [True, False, False, False, True])
        self.assertEqual([line["moved"] for line in answer.lines], [False, True, True, True, False])
        self.assertEqual({uid for uid in before if uid not in self.there()}, {1, 3, 5})
        self.assertIn("\\Deleted", self.there()[2][1])
        placed = self.there(other)
        for uid in (1, 3, 5):
            self.assertEqual(placed[int({line["id"]: line["new_id"] for line in answer.lines}[str(uid)])], before[uid])
        self.assertEqual(len(placed), 5)

    def test_place_many(self):
        """More than one command can name, with gaps."""
        other = self.ok(self.asked, "make", "Other").lines[0]["raw"]
        self.fill(420)
        before = self.there()
        wanted = range(420, 0, -2)
        answer = self.ok(self.asked, "place", "INBOX", other, *wanted)
        self.assertTrue(all(line["moved"] and line["new_id"] for line in answer.lines), answer.lines)
        self.assertEqual(sorted(self.there()), list(range(1, 420, 2)))
        placed = self.there(other)
        self.assertEqual(len(placed), 210)
        for line in answer.lines:
            self.assertEqual(placed[int(line["new_id"])][0], before[int(line["id"])][0])

    def test_place_nowhere(self):
        """A folder that is not there: nothing happens, and each item says why."""
        other = self.ok(self.asked, "make", "Other").lines[0]["raw"]
        self.fill(2)
        before = self.there()
        self.assertEqual(self.ok(self.asked, "changes", other).lines, [])
        moved = self.ok(self.asked, "place", "INBOX", other, 1)     # lists before it places
        self.assertTrue(moved.lines[0]["moved"])
        self.refused(self.asked, "place", "INBOX", self.name("Nowhere"), 2)
        self.assertEqual(self.there(), {2: before[2]})

    def test_remove(self):
        """Just these go, whatever others are marked."""
        self.fill(6)
        self.select()
        imap.ok(self.hand.uid("STORE", "2", "+FLAGS", "(\\Deleted)"))
        self.ok(self.asked, "remove", "INBOX", 4, 99, 1)
        self.assertEqual(sorted(self.there()), [2, 3, 5, 6])
        self.assertEqual([uid for uid, (_, flags) in self.there().items() if "\\Deleted" in flags], [2])
        self.ok(self.asked, "remove", "INBOX", 4, 2)
        self.assertEqual(sorted(self.there()), [3, 5, 6])

    # -- renaming --

    def subscribed(self):
        """Names, by hand."""
        return {name.decode() for attributes, _, name in imap.responses(imap.ok(self.hand.lsub('""', "*")))
                if b"\\Noselect" not in attributes}

    def test_rename(self):
        """With its mail, its children and their subscriptions."""
        for path in ("Old", "Old/Child", "Older"):
            self.ok(self.asked, "make", path, "subscribe")
        self.ok(self.asked, "make", "Old/Quiet")
        self.fill(2, self.name("Old"))
        self.fill(1, self.name("Old", "Child"))
        answer = self.ok(self.asked, "make", "New", f"from={self.name('Old')}", "subscribe")
        self.assertEqual(answer.lines[0]["raw"], self.name("New"))
        listed = {line["raw"]: line for line in self.ok(self.asked, "list").lines if line["selectable"]}
        self.assertEqual(set(listed) - {"INBOX"}, {self.name("New"), self.name("New", "Child"), self.name("New", "Quiet"),
                                                   self.name("Older")})
        self.assertEqual(self.subscribed() - {"INBOX"}, {self.name("New"), self.name("New", "Child"), self.name("Older")})
        self.assertEqual((len(self.there(self.name("New"))), len(self.there(self.name("New", "Child")))), (2, 1))
        self.ok(self.asked, "make", "New", f"from={self.name('Old')}")        # as after a crash
        self.ok(self.asked, "make", "New", f"from={self.name('New')}")

    def test_rename_deeper(self):
        """Into a folder, and a case of its own: not subscribed."""
        for path in ("Top", "Leaf"):
            self.ok(self.asked, "make", path)
        self.fill(1, self.name("Leaf"))
        self.ok(self.asked, "make", "Top/Leaf", f"from={self.name('Leaf')}")
        self.assertEqual(len(self.there(self.name("Top", "Leaf"))), 1)
        self.assertEqual(self.subscribed() - {"INBOX"}, set())

    def test_rename_not(self):
        """Never INBOX, and never onto another folder."""
        self.fill(1)
        self.refused(self.asked, "make", "New", "from=INBOX", says="INBOX")
        self.refused(self.asked, "make", "New", "from=inbox", says="INBOX")
        for path in ("One", "Two"):
            self.ok(self.asked, "make", path)
        self.refused(self.asked, "make", "Two", f"from={self.name('One')}")
        self.refused(self.asked, "make", "Four", f"from={self.name('Three')}")
        names = {line["raw"] for line in self.ok(self.asked, "list").lines}
        self.assertLessEqual({"INBOX", self.name("One"), self.name("Two")}, names)
        self.assertNotIn(self.name("New"), names)
        self.assertEqual(len(self.there()), 1)


class Named(Contract):
    """Messages and folders have names that outlive their way."""

    def test_objects(self):
        """A message and a folder keep their names where they go."""
        other = self.ok(self.asked, "make", "Other").lines[0]["raw"]
        self.fill(3)
        facts = self.ok(self.asked, "changes", "INBOX").by_id()
        self.assertEqual(len({fact["object"] for fact in facts.values()} - {""}), 3, facts)
        folders = {line["raw"]: line["object"] for line in self.ok(self.asked, "list").lines}
        self.assertEqual(len(set(folders.values()) - {""}), 2, folders)
        self.assertTrue(all(32 < ord(c) < 127 for name in folders.values() for c in name), folders)
        moved = self.ok(self.asked, "place", "INBOX", other, 2).lines[0]
        placed = self.ok(self.asked, "changes", other).by_id()
        self.assertEqual(placed[int(moved["new_id"])]["object"], facts[2]["object"])
        new = self.ok(self.asked, "make", "New", f"from={other}").lines[0]["raw"]
        self.assertEqual({line["raw"]: line["object"] for line in self.ok(self.asked, "list").lines}[new], folders[other])


class OfDovecot(Named):
    """CONDSTORE, QRESYNC, MOVE; X-GUID."""

    kind = "dovecot"


class OfCyrus(Named):
    """The same; OBJECTID."""

    kind = "cyrus"


class OfCourier(Contract):
    """Neither; UIDPLUS only."""

    kind = "courier"
    remembers = moves = False


BARE = "IMAP4rev1 UIDPLUS"


def without(*names):
    """All capabilities of the fake but these."""
    return " ".join(cap for cap in DEFAULT_CAPS.split() if cap not in names)


class OfFake(Asking):
    """Ladders, lies and accidents that no real server shows on demand."""

    def fake(self, script="", count=0, **options):
        """A server with that many messages, and a session on it."""
        server = FakeImap(script=script, **options).start()
        self.addCleanup(server.stop)
        server.fill("INBOX", count)
        server.create("Other")
        return server, self.probe(f"imap://anna@127.0.0.1:{server.port}/?tls=none", "pw")

    @staticmethod
    def uids(server, folder="INBOX"):
        """Those that are there."""
        return [message["uid"] for message in server.messages(folder)]

    def since(self, probe):
        """A cursor of now."""
        return f"since={self.ok(probe, 'changes', 'INBOX').told['cursor']}"

    def fired(self, server):
        """Every rule of the script was met."""
        self.assertEqual(server.unfired(), [])

    # -- ids --

    def test_ids_of_liars(self):
        """Ranges over what is gone, endless or unreadable ones, or no answer at all: plain SEARCH is asked then."""
        for line in ("ALL 1:9", "ALL 1:4294967295", "ALL 1:x", "ALL 0", "ALL", "MIN 1", "ALL 1,3:2,9:7,5:8"):
            with self.subTest(line):
                server, probe = self.fake(f'on SEARCH line "RETURN": replace "ALL .*" "{line}"', 9)
                server.expunge("INBOX", "2:3,6")
                answer = self.ok(probe, "changes", "INBOX", "only_ids")
                self.assertEqual(sorted(answer.ids()), [1, 4, 5, 7, 8, 9])
                self.fired(server)
                self.ok(probe, "changes", "INBOX", "only_ids")
                self.assertEqual(server.count("SEARCH"), 3)      # it is not asked for again

    def test_ids_of_the_bare(self):
        """No ESEARCH, or refused; SEARCH in several lines, in disorder, twice."""
        for options in ({"caps": BARE}, {"script": 'on SEARCH: reply BAD what'},
                        {"caps": BARE, "script": 'on SEARCH: extra "* SEARCH 4 1 (MODSEQ 7)"'}):
            server, probe = self.fake(count=5, **options)
            server.expunge("INBOX", "2")
            self.assertEqual(sorted(self.ok(probe, "changes", "INBOX", "only_ids").ids()), [1, 3, 4, 5])

    def test_ids_flood(self):
        """Far more than there are."""
        numbers = " ".join(str(number) for number in range(1, 110000))
        _, probe = self.fake(f'on SEARCH: extra "* SEARCH {numbers}"', 3, caps=BARE)
        self.refused(probe, "changes", "INBOX", "only_ids", scope="link", says="far more")

    def test_ids_in_portions(self):
        """More than a line may hold; mail goes and comes between the portions."""
        for caps in (DEFAULT_CAPS, BARE):
            server, probe = self.fake('on SEARCH 1: expunge "1:10,60000"; deliver 2\non SEARCH 2: expunge "11:20"', caps=caps)
            with server.world.lock:
                folder = server.world.account().make("INBOX")
                for _ in range(120000):
                    folder.add(b"x", date="03-Feb-2020 10:00:00 +0000")
                for uid in range(3, 120000, 3):
                    folder.expunge(uid)
            were = set(self.uids(server))
            ids = self.ok(probe, "changes", "INBOX", "only_ids").ids()
            self.assertEqual(len(ids), len(set(ids)))
            self.assertLessEqual(were - set(range(1, 21)) - {60000}, set(ids))
            self.assertLessEqual(set(ids), were)
            self.assertEqual(server.count("SEARCH"), 2)

    # -- what has gone --

    def test_vanished(self):
        """Each form of VANISHED (EARLIER), and what may be believed of it."""
        table = (("41", [], True), ("2", [2], True), ("3:2", [2, 3], True), ("7:4000000000", [7, 8], True),
                 ("2,x", [2], False), ("0", [], False), ("*", [], False), ("", [], False))
        for text, gone, told in table:
            with self.subTest(text):
                server, probe = self.fake(f'on FETCH 2: extra "* VANISHED (EARLIER) {text}"', 8)
                since = self.since(probe)
                server.flag("INBOX", "1", "+\\Seen")
                answer = self.ok(probe, "changes", "INBOX", "gone", since)
                self.assertEqual((sorted(set(answer.ids(gone=True))), answer.told["gone_told"]), (gone, told))
                self.assertEqual(answer.ids(gone=False), [1])
                self.fired(server)

    def test_vanished_without_end(self):
        """More ids than anybody keeps are not told at all."""
        server, probe = self.fake('on FETCH 2: extra "* VANISHED (EARLIER) 1:4294967295"', 3)
        with server.world.lock:
            server.world.account().make("INBOX").uidnext = 3000000000
        since = self.since(probe)
        server.flag("INBOX", "1", "+\\Seen")
        answer = self.ok(probe, "changes", "INBOX", "gone", since)
        self.assertEqual((answer.ids(gone=True), answer.told["gone_told"], answer.ids()), ([], False, [1]))

    def test_gone_is_not_known(self):
        """No QRESYNC, not enabled, no cursor's modseq, or nobody asked."""
        for options, words in (({"caps": without("QRESYNC")}, ["gone"]), ({"caps": without("ENABLE")}, ["gone"]),
                               ({"script": 'on ENABLE: omit "ENABLED"'}, ["gone"]), ({}, []), ({}, ["gone", "only_new"])):
            server, probe = self.fake(count=4, **options)
            since = self.since(probe)
            server.expunge("INBOX", "2")
            answer = self.ok(probe, "changes", "INBOX", since, *words)
            self.assertEqual((answer.ids(gone=True), answer.told["gone_told"], answer.told["complete"]), ([], False, False))

    def test_gone_meanwhile(self):
        """What goes during a sweep does not count as left out."""
        for caps in (DEFAULT_CAPS, without("QRESYNC")):
            server, probe = self.fake('on FETCH: expunge "2:3"; deliver 1', 5, caps=caps)
            answer = self.ok(probe, "changes", "INBOX")
            self.assertEqual((answer.told["total"], len(set(answer.ids()) - {6})), (3, 3), answer.told)

    def test_set_back(self):
        """Restored from a backup is another thing than made anew."""
        server, probe = self.fake(count=3)
        server.snapshot()
        server.fill("INBOX", 2)
        since = self.since(probe)
        server.restore()
        server, probe = server, self.probe(f"imap://anna@127.0.0.1:{server.port}/?tls=none", "pw")
        answer = self.ok(probe, "changes", "INBOX", since)
        self.assertTrue(answer.told["reset"] and answer.told["back"] and answer.told["complete"], answer.told)
        self.assertEqual(answer.ids(), [1, 2, 3])
        since = self.since(probe)
        with server.world.lock:
            server.world.account().make("INBOX").modseq -= 1
        self.assertTrue(self.ok(probe, "changes", "INBOX", since).told["back"])
        server.uidvalidity("INBOX")
        answer = self.ok(probe, "changes", "INBOX", since)
        self.assertTrue(answer.told["reset"] and not answer.told["back"], answer.told)
        server.expunge("INBOX", "1:*")
        self.assertTrue(self.ok(probe, "changes", "INBOX", since).told["reset"])

    def test_partial(self):
        """Only when asked, and not of new ones; unasked flags of others are no facts."""
        server, probe = self.fake('on FETCH 4 line "4:": extra "* 1 FETCH (UID 1 FLAGS (junk))"', 3, caps=BARE)
        since = self.since(probe)
        server.fill("INBOX", 1)
        self.assertEqual(self.ok(probe, "changes", "INBOX", since).ids(partial=True), [])
        answer = self.ok(probe, "changes", "INBOX", since, "partial")
        self.assertEqual((answer.ids(partial=True), answer.ids(partial=False)), ([1, 2, 3], [4]))

    # -- moving --

    def test_copyuid(self):
        """Only what fits is believed; moved they are all the same."""
        table = (("1004 1:3 9:11", ["9", "10", "11"]), ("1004 3,1:2 9:11", ["10", "11", "9"]), ("1004 1:3 9,11:10", None),
                 ("1004 1:3 9:10", None), ("1004 1:2 9:11", None), ("1004 3:1 9:11", None), ("1004 1:3 9,9,10", None),
                 ("1004 1:4 9:12", None), ("1004 1,1,2 9:11", None), ("1004 1:3 9:x", None), ("x 1:3 9:11", None),
                 ("1004 1:3 1:4294967295", None), ("1004", None), ("1004 1:3 0:2", None))
        for text, new in table:
            with self.subTest(text):
                server, probe = self.fake(rf'on MOVE: replace "COPYUID [^]]*" "COPYUID {text}"', 4)
                answer = self.ok(probe, "place", "INBOX", "Other", 1, 2, 3)
                if text == "1004":      # nothing was moved, it says, but they are gone
                    self.assertEqual([line["gone"] for line in answer.lines], [True] * 3)
                    continue
                self.assertEqual([line["moved"] for line in answer.lines], [True] * 3)
                self.assertEqual([line["new_id"] for line in answer.lines], new or [""] * 3)
                self.fired(server)

    def test_copyuid_of_another_folder(self):
        """Of another UIDVALIDITY than the target was known to have."""
        _, probe = self.fake('on MOVE: replace "COPYUID [0-9]+" "COPYUID 7"', 2)
        self.ok(probe, "now", "Other")
        self.assertEqual(self.ok(probe, "place", "INBOX", "Other", 1).lines[0]["new_id"], "")

    def test_move_untold(self):
        """Without COPYUID it still shows what was there."""
        server, probe = self.fake(count=3, caps=without("UIDPLUS"))
        answer = self.ok(probe, "place", "INBOX", "Other", 1, 7, 3)
        self.assertEqual([(line["moved"], line["gone"], line["new_id"]) for line in answer.lines],
                         [(True, False, ""), (False, True, ""), (True, False, "")])
        self.assertEqual((self.uids(server), len(self.uids(server, "Other"))), ([2], 2))

    def test_move_refused(self):
        """Nothing moved, and why; or moved nevertheless; or said to be and not."""
        for script, moved, says in (('on MOVE: reply NO [NOPERM] no right', False, "no right"),
                                    ('on MOVE: reply OK as you like', False, "did not move"),
                                    ('on MOVE after: reply NO half of it', True, "")):
            server, probe = self.fake(script, 3)
            answer = self.ok(probe, "place", "INBOX", "Other", 1, 2)
            self.assertEqual([line["moved"] for line in answer.lines], [moved] * 2)
            self.assertTrue(all(says in line["reason"] for line in answer.lines), answer.lines)
            self.assertEqual(len(self.uids(server)), 1 if moved else 3)

    def test_move_of_what_goes(self):
        """Somebody else was faster."""
        _, probe = self.fake('on MOVE: expunge 2', 3)
        answer = self.ok(probe, "place", "INBOX", "Other", 1, 2, 3)
        self.assertEqual([(line["moved"], line["gone"]) for line in answer.lines], [(True, False), (False, True), (True, False)])

    def test_copy(self):
        """Without MOVE: each step that can fail, and what is left then."""
        table = (("", [True] * 3, [2], ""), ("on COPY: reply NO [OVERQUOTA]", None, [1, 2, 3, 4], ""),
                 ("on COPY: reply NO [TRYCREATE] no", [False] * 3, [1, 2, 3, 4], "no"),
                 ("on EXPUNGE: reply NO [NOPERM] no", [True] * 3, [1, 2, 3, 4], "could not be removed"),
                 ("on EXPUNGE: reply OK done", [True] * 3, [1, 2, 3, 4], "could not be removed"),
                 ("on STORE: reply NO [NOPERM] no", [True] * 3, [1, 2, 3, 4], "could not be removed"),
                 ('on COPY: replace "COPYUID [^]]*" "COPYUID 1004 1 1"', [True, False, False], [2, 3, 4], "did not copy"))
        for script, moved, left, says in table:
            with self.subTest(script):
                server, probe = self.fake(script, 4, caps=without("MOVE"))
                server.flag("INBOX", "2:3", "+\\Deleted")
                if moved is None:
                    self.refused(probe, "place", "INBOX", "Other", 1, 3, 4, scope="mailbox")
                else:
                    answer = self.ok(probe, "place", "INBOX", "Other", 1, 3, 4)
                    self.assertEqual([line["moved"] for line in answer.lines], moved)
                    self.assertTrue(all(says in line["reason"] for line in answer.lines
                                        if not line["moved"] or int(line["id"]) in left), answer.lines)
                self.assertEqual(self.uids(server), left)
                deleted = [m["uid"] for m in server.messages("INBOX") if "\\Deleted" in m["flags"]]
                self.assertEqual(deleted, [uid for uid in (2, 3) if uid in left])
                self.fired(server)

    def test_cannot(self):
        """Without the means nothing is tried."""
        server, probe = self.fake(count=2, caps="IMAP4rev1")
        self.assertFalse(self.ok(probe, "caps").lines[0]["moves"])
        self.refused(probe, "place", "INBOX", "Other", 1, says="without MOVE or UIDPLUS")
        self.refused(probe, "remove", "INBOX", 1, says="without UIDPLUS")
        self.assertEqual((self.uids(server), server.count("SELECT")), ([1, 2], 0))

    def test_remove(self):
        """Refused, or said to be done and not: nothing is left marked that was not."""
        for script in ("on EXPUNGE: reply NO [NOPERM] no", "on EXPUNGE: reply OK done", "on STORE: reply NO [NOPERM] no"):
            with self.subTest(script):
                server, probe = self.fake(script, 4)
                server.flag("INBOX", "2:3", "+\\Deleted")
                self.refused(probe, "remove", "INBOX", 1, 3)
                self.assertEqual([m["uid"] for m in server.messages("INBOX") if "\\Deleted" in m["flags"]], [2, 3])
                self.ok(probe, "remove", "INBOX", 1, 3)
                self.assertEqual(self.uids(server), [2, 4])
                self.fired(server)

    def test_another_folder_by_now(self):
        """Ids of an older UIDVALIDITY are never used."""
        server, probe = self.fake(count=3)
        self.ok(probe, "now", "INBOX")
        server.uidvalidity("INBOX")
        self.refused(probe, "remove", "INBOX", 1, says="UIDVALIDITY")
        self.refused(probe, "place", "INBOX", "Other", 1, says="UIDVALIDITY")
        self.assertEqual(self.uids(server), [1, 2, 3])

    # -- names of messages and folders --

    def test_objects(self):
        """By whichever way the server has."""
        for options, message, folder in (({"caps": DEFAULT_CAPS + " OBJECTID"}, "M", "F"),
                                         ({"caps": without("LIST-STATUS") + " OBJECTID"}, "M", "F"),
                                         ({"caps": DEFAULT_CAPS + " OBJECTID", "server_id": "name Cyrus"}, "M", "F"),
                                         ({"caps": DEFAULT_CAPS + " X-GM-EXT-1"}, "1", None),
                                         ({"server_id": "name Dovecot"}, "0000", "0000"), ({}, None, None)):
            with self.subTest(**options):
                server, probe = self.fake(count=2, **options)
                for found, start in ((self.ok(probe, "changes", "INBOX").lines, message), (self.ok(probe, "list").lines, folder)):
                    objects = {line["object"] for line in found}
                    self.assertEqual(len(objects), 2 if start else 1)
                    self.assertTrue(all(name.startswith(start) if start else not name for name in objects), objects)
                self.fired(server)

    def test_objects_refused(self):
        """A server that is called Dovecot and knows no X-GUID: done without."""
        server, probe = self.fake('on FETCH * line "X-GUID": reply BAD what', 2, server_id="name Dovecot")
        self.assertEqual(self.ok(probe, "changes", "INBOX").ids(object=""), [1, 2])
        self.assertEqual(server.count("FETCH"), 3, "behind EXAMINE, alone, without")
        server, probe = self.fake('on LIST * line "X-GUID": reply BAD what', 2, server_id="name Dovecot")
        self.assertEqual([line["messages"] for line in self.ok(probe, "list").lines], [2, 0])
        self.assertEqual(server.count("LIST"), 2)


del Contract, Named


if __name__ == "__main__":
    unittest.main()
