#!/usr/bin/env python3
"""Maildirs as source and as destination, held against real servers.

What godwit writes is read by Dovecot itself, and what Dovecot wrote is read by godwit: both must show
the same mailbox. A mailbox that goes through a Maildir on its way to another server comes out as it
went in.
"""

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import time
import unittest

import case
import compare
import mailbox
from stops import AGAIN, alive, boxes


#: One letter a keyword.
KEYWORDS = compare.Allowance("keywords", "a folder has 26 keywords at most", lambda difference: len(difference["source"]) > 26)


class Maildir:
    """A Maildir as godwit sees it; `served` is the End of a Dovecot that shows the same files."""

    password = case.PASSWORD

    def __init__(self, path, query="", served=None):
        self.path, self.query, self.served = path, query, served
        self.name = path

    def url(self, query=None):
        """The URL for godwit."""
        return f"maildir:{self.path}{self.query if query is None else query}"

    def read(self):
        """A Snapshot, by Dovecot."""
        return self.served.read()

    def files(self):
        """All files with what may not change of them."""
        found = {}
        for directory, _, names in os.walk(self.path):
            for name in names:
                path = os.path.join(directory, name)
                status = os.lstat(path)
                found[os.path.relpath(path, self.path)] = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode)
        return found

    def messages(self, visible=True):
        """Paths of the messages, or of what lies in tmp/."""
        wanted = ("cur", "new") if visible else ("tmp",)
        return sorted(path for path in self.files() if os.path.basename(os.path.dirname(path)) in wanted)


#: Messages with all sorts of line ends.
STRANGE = (b"no end", b"a: b\n\nbare\nlines\n", b"a: b\r\n\r\nbare\nand\r\n", b"a: b\r\n\r\ncr\rinside\r\n",
           b"a: b\r\n\r\ntwo\r\r\n", b"\r\n", b"a: b\r\n\r\nend\r", b"a: b\r\n\r\nnul\0\xff\r\n")


class MaildirCase(case.ServerCase):
    """Beside servers there are Maildirs."""

    def strange(self):
        """A Maildir with the strange messages, byte for byte."""
        box = self.maildir("strange")
        for name in ("cur", "new", "tmp"):
            os.makedirs(f"{box.path}/{name}")
        for number, data in enumerate(STRANGE):
            path = f"{box.path}/cur/170000000{number}.M000000Q{number:032x}.godwit-raw,S={len(data)}:2,"
            with open(path, "wb") as out:
                out.write(data)
        return box

    def maildir(self, name="Maildir", query=""):
        """One that only godwit sees."""
        return Maildir(os.path.join(self.work, name), query)

    def served(self, store="maildir++", server=None):
        """One that Dovecot shows too; not there yet."""
        server = server or self.server("dovecot", store=store)
        end = self.end(server)
        return Maildir(server.maildir(end.name), "?layout=fs" if store == "maildir" else "", end)

    def nothing_new(self, source, destination):
        """Another pass moves nothing."""
        outcome = self.copy(source, destination, expect=(0, 1))
        self.assertEqual(outcome.summary["items_stored"], 0, outcome)
        self.assertEqual(outcome.summary["items_marked"], 0, outcome)


class Journeys(MaildirCase):
    """From Dovecot through a Maildir to another server."""

    def journey(self, kind, query=""):
        """Three passes on both ways."""
        source, middle = self.end(self.server("dovecot")), self.maildir(query=query)
        target = self.end(self.server(kind))
        mailbox.fill(source.account, "difficult", 1)
        allow = [*case.allowances("dovecot", kind), KEYWORDS]
        ways = [(source, middle), (middle, target)]
        outcomes = [[self.copy(*way, expect=(0, 1))] for way in ways]
        self.check_through(source, target, outcomes, allow)
        lying = middle.files()
        for way in ways:
            self.nothing_new(*way)
        self.assertEqual(middle.files(), lying, "a source was changed, or a destination without a reason")
        changes = mailbox.mutate(source.account, seed=2, add=10, change=10)
        for way, told in zip(ways, outcomes):
            told.append(self.copy(*way, expect=(0, 1)))
            self.assertEqual(told[-1].summary["items_stored"], len(changes["added"]), told[-1])
        self.check_through(source, target, outcomes, allow)

    def check_through(self, source, target, outcomes, allow):
        """The far end shows the near end's mailbox."""
        disturbed = {"/".join(case.levels_of(entry["folder"])) for told in outcomes for outcome in told
                     for entry in outcome.exceptions() if entry["cause"] in ("date", "flags")}
        order = compare.Allowance("order", "what was refused is sent again behind others",
                                  lambda difference: difference["folder"] in disturbed)
        back = self.renamed(target.read(), *outcomes[1])
        self.check_same(source, back, *outcomes[0], allow=[*allow, order])

    def test_to_dovecot(self):
        """And back to Dovecot."""
        self.journey("dovecot")

    def test_to_dovecot_nested(self):
        """With the other layout on disk."""
        self.journey("dovecot", "?layout=fs")

    def test_to_cyrus(self):
        """On to Cyrus."""
        self.journey("cyrus")

    def test_to_courier(self):
        """On to Courier."""
        self.journey("courier")


class Served(MaildirCase):
    """Dovecot shows what godwit wrote, and writes what godwit reads."""

    def shows(self, store):
        """What godwit wrote, Dovecot shows; what people do there, godwit does not undo."""
        source, target = self.end(self.server("dovecot")), self.served(store)
        mailbox.fill(source.account, "difficult", 1)
        first = self.copy(source, target, expect=(0, 1))
        allow = [*case.allowances("dovecot", "dovecot"), KEYWORDS]
        self.check_same(source, target, first, allow=allow)
        self.nothing_new(source, target)
        mailbox.mutate(target.served.account, seed=3, add=3, change=6)
        before = target.read()
        self.nothing_new(source, target)
        self.assertEqual(compare.compare(before, target.read()), [], "the user's hand was overruled")
        mailbox.mutate(source.account, seed=2, add=10, change=10)
        third = self.copy(source, target, expect=(0, 1))
        self.assertGreater(third.summary["items_stored"], 5)
        again = [difference for difference in self.differences(source, target, first, third)
                 if difference["kind"] in ("lost", "doubled", "bytes") and not any(entry.covers(difference) for entry in allow)]
        self.assertEqual(again, [])
        log = target.served.server.log_tail(2000)
        for word in ("Error", "Panic", "Warning", "size"):
            self.assertNotIn(f"{word}:", log)

    def test_shows(self):
        """Maildir++."""
        self.shows("maildir++")

    def test_shows_nested(self):
        """LAYOUT=fs."""
        self.shows("maildir")

    def reads(self, store, kind):
        """What Dovecot wrote, godwit carries on, also while Dovecot goes on with it."""
        source, target = self.served(store), self.end(self.server(kind))
        mailbox.fill(source.served.account, "difficult", 1)
        allow = [*case.allowances("dovecot", kind), KEYWORDS]
        if kind == "cyrus":
            allow.append(compare.Allowance("lost", "Dovecot shows a NUL in a file as 0x80", lambda difference:
                                           difference["folder"] == "Odd" and "8bit" in difference["traits"]))
        source.read()       # what Dovecot changes by looking it has changed
        lying = source.files()
        first = self.copy(source, target, expect=(0, 1))
        self.assertEqual(source.files(), lying, "the source was changed")
        self.check_same(source, target, first, allow=[*allow, *AGAIN])
        self.nothing_new(source, target)
        changes = mailbox.mutate(source.served.account, seed=2, add=10, change=10)
        third = self.copy(source, target, expect=(0, 1))
        self.assertEqual(third.summary["items_stored"], len(changes["added"]), third)
        self.assertGreater(third.summary["items_marked"], 0, third)
        self.check_same(source, target, first, third, allow=[*allow, *AGAIN])

    def test_reads(self):
        """Maildir++ to Cyrus."""
        self.reads("maildir++", "cyrus")

    def test_reads_nested(self):
        """LAYOUT=fs to Dovecot."""
        self.reads("maildir", "dovecot")

    def test_alive(self):
        """Dovecot's users work on, in the Maildir that is the source and in the one that is the destination."""
        server = self.server("dovecot", store="maildir++")
        source, target = self.served(server=server), self.served(server=server)
        mailbox.fill(source.served.account, boxes(400))
        self.copy(source, target)
        for seed in range(6):
            process = self.start(source, target)
            mailbox.mutate(source.served.account, seed=seed, add=8, change=30)
            before = target.read()
            self.assertEqual(self.finish(process).exit, 0)
            self.assertLessEqual(len(before.folders), len(target.read().folders))
        last = self.copy(source, target)
        self.check_same(source, target, last, allow=AGAIN)
        self.nothing_new(source, target)

    def test_strange(self):
        """What is kept raw Dovecot shows with CR LF for each line end, at the size that stands in the name."""
        target = self.served()
        self.copy(self.strange(), target)
        shown = [(mail.size, mail.digest) for mail in target.read().mail["INBOX",]]
        wire = [re.sub(rb"(?<!\r)\n", b"\r\n", data) for data in STRANGE]
        lying = [f",W={len(data)}:2," in path for data, path in zip(wire, target.messages())]
        self.assertEqual(lying, [True] * len(STRANGE))
        expected = [(len(data), hashlib.sha256(data.replace(b"\0", b"\x80")).hexdigest()) for data in wire]
        self.assertEqual(shown, expected)
        with target.served.account.connect() as connection:
            connection.select("INBOX", readonly=True)
            sizes = [int(re.search(rb"RFC822.SIZE (\d+)", line)[1]) for line in connection.fetch("1:*", "(RFC822.SIZE)")[1]]
        self.assertEqual(sizes, [len(data) for data in wire])
        self.assertNotIn("Error:", target.served.server.log_tail(200))

    def test_order(self):
        """Many messages of one second are shown in the order of the source."""
        source, target = self.end(self.server("dovecot")), self.served()
        mailbox.fill(source.account, [mailbox.Box(("INBOX",), boxes(400)[0].messages)])
        self.check_same(source, target, self.copy(source, target))


class Accidents(MaildirCase):
    """Bad Maildirs, and bad luck."""

    def setUp(self):
        super().setUp()
        self.other = self.end(self.server("dovecot"))

    def refused(self, source, destination, cause, side, *words, exit_code=2):
        """It ends at once and says why."""
        self.check_error(self.copy(source, destination, expect=exit_code), exit_code, cause, side, words)

    def test_not_there(self):
        """No such directory."""
        self.refused(self.maildir("none"), self.other, "usage", "source", "none", "No such file")
        self.refused(self.other, self.maildir("no/where"), "usage", "destination", "no/where", "No such file")

    def test_no_maildir(self):
        """A directory, and a file, that are something else."""
        home = self.maildir("home")
        os.makedirs(home.path + "/Documents")
        self.refused(home, self.other, "usage", "source", "is no Maildir", home.path)
        self.refused(Maildir(home.path, "?layout=fs"), self.other, "usage", "source", "is no Maildir", home.path)
        self.refused(self.other, home, "usage", "destination", "is no Maildir", "not empty")
        self.file("file", "text")
        self.refused(self.maildir("file"), self.other, "usage", "source", "is no directory")

    def test_both_layouts(self):
        """Nobody guesses."""
        both = self.maildir("both")
        for name in ("cur", "new", "tmp", ".A/cur", "B/cur"):
            os.makedirs(f"{both.path}/{name}")
        self.refused(both, self.other, "usage", "source", "?layout=")
        outcome = self.copy(both, self.other, urls=(both.url("?layout=fs"), self.other.url()))
        self.assertEqual({event["folder"] for event in outcome.of("folder")}, {"INBOX", ".A", "B"})

    def test_same(self):
        """Under another name it is the same Maildir."""
        box = self.maildir("box")
        os.makedirs(box.path + "/cur")
        os.symlink(box.path, box.path + "-link")
        self.refused(box, self.maildir("box-link"), "usage", None, "the same mailbox")

    def test_odd_files(self):
        """Links, pipes and empty files are named; nothing waits for them."""
        box = self.maildir("odd")
        for name in ("cur", "new", "tmp"):
            os.makedirs(f"{box.path}/{name}")
        inside = f"{box.path}/cur"
        self.file("odd/cur/1.good:2,S", "Subject: x\n\ny\n")
        self.file("odd/cur/2.empty:2,S", "")
        self.file("odd/cur/.hidden", "not a message")
        self.file("odd/new/3.new", "Subject: n\n\ny\n")
        os.mkfifo(f"{inside}/4.fifo:2,")
        os.symlink(f"{inside}/1.good:2,S", f"{inside}/5.link:2,")
        os.makedirs(f"{inside}/6.directory")
        outcome = self.copy(box, self.other, expect=1)
        self.assertEqual(outcome.summary["items_stored"], 2, outcome)
        named = {entry["uid"]: entry["cause"] for entry in outcome.exceptions()}
        self.assertEqual(named, {"2.empty": "empty", "4.fifo": "unreadable", "5.link": "unreadable"}, outcome)
        os.unlink(f"{inside}/5.link:2,")
        self.file("odd/cur/5.link:2,", "Subject: now a file\n\ny\n")
        again = self.copy(box, self.other, expect=1)
        self.assertEqual(again.summary["items_stored"], 1, again)

    def test_two_of_one_name(self):
        """Two files with one id: neither is dropped in silence."""
        box = self.maildir("two")
        os.makedirs(f"{box.path}/cur")
        self.file("two/cur/1.x:2,S", "Subject: one\n\ny\n")
        self.file("two/cur/1.x:2,", "Subject: other\n\ny\n")
        outcome = self.copy(box, self.other, expect=1)
        self.assertEqual([entry["cause"] for entry in outcome.exceptions()], ["unreadable"], outcome)

    def test_made_anew(self):
        """A folder that was deleted at the destination is not made again unasked."""
        source = self.end(self.server("dovecot"))
        box = self.maildir()
        mailbox.fill(source.account, "small", 1)
        self.copy(source, box)
        shutil.rmtree(box.path + "/.Sent")
        mailbox.mutate(source.account, seed=2, add=30, change=0)
        outcome = self.copy(source, box, expect=1)
        self.assertEqual([(entry["folder"], entry["cause"]) for entry in outcome.exceptions()], [("Sent", "folder-lost")], outcome)

    def test_state_lost(self):
        """Without a memory, what lies there is recognised."""
        source = self.end(self.server("dovecot"))
        box = self.maildir()
        mailbox.fill(source.account, boxes())
        self.copy(source, box)
        lying = box.messages()
        again = self.copy(source, box, state=self.states + "-new")
        self.assertGreater(again.summary["items_found"], 80)
        self.assertEqual(again.summary["items_stored"], 0)
        self.assertEqual(box.messages(), lying)

    def test_raw(self):
        """Whatever bytes a message has, they come back; only what must be is kept raw."""
        first, middle, last = self.strange(), self.maildir("middle"), self.maildir("last")
        self.copy(first, middle)
        self.copy(middle, last)
        for box in (middle, last):
            lying = [open(f"{box.path}/{path}", "rb").read() for path in sorted(box.messages())]     # pylint: disable=consider-using-with
            raw = ["godwit-raw" in path for path in sorted(box.messages())]
            self.assertEqual(raw, [False, True, True, False, True, False, False, False])
            self.assertEqual(lying, [data if kept else data.replace(b"\r\n", b"\n") for data, kept in zip(STRANGE, raw)])

    def test_interrupt(self):
        """Ctrl-C is heard between two messages, also where no server takes part; then it goes on."""
        box, target = self.maildir("many"), self.maildir("target")
        os.makedirs(box.path + "/cur")
        for number in range(4000):
            self.file(f"many/cur/{number}.x:2,", f"Subject: {number}\n\ny\n")
        process = self.start(box, target)
        self.assertTrue(case.wait_until(lambda: os.path.isdir(target.path + "/cur") and len(os.listdir(target.path + "/cur")) > 100))
        case.kill(process.pid, signal.SIGINT)
        began = time.monotonic()
        outcome = self.finish(process)
        self.assertEqual(outcome.exit, 130, outcome)
        self.assertLess(time.monotonic() - began, 10)
        self.assertLess(len(target.messages()), 4000)
        self.copy(box, target)
        self.assertEqual(len(target.messages()), 4000)

    def test_disk_full(self):
        """Nothing is half there; with room it goes on. The small disk is seen by godwit's own processes only."""
        source = self.end(self.server("dovecot"))
        mailbox.fill(source.account, [mailbox.Box(("INBOX",), [message for box in mailbox.sample(300, 3) for message in box.messages]
                                                  + [mailbox.Message(b"a: b\r\n\r\n" + b"x" * 70 * 1000 + b"\r\n")] * 40)])
        small, copied = self.maildir("small/Maildir"), self.maildir("copied")
        os.makedirs(os.path.dirname(small.path))
        runs = [" ".join(f"'{word}'" for word in self.command(source, small)) for _ in range(2)]
        script = (f"mount -t tmpfs -o size=2m none {self.work}/small && ( {runs[0]} >{self.work}/full.json; echo $? >{self.work}/code; "
                  f"cp -a {small.path} {self.work}/half; mount -o remount,size=200m {self.work}/small; {runs[1]} >{self.work}/room.json; "
                  f"cp -a {small.path} {copied.path} )")
        subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True, stderr=subprocess.PIPE)
        with open(self.work + "/code", encoding="ascii") as code:
            self.assertEqual(code.read().strip(), "20")
        half = self.maildir("half")
        self.assertEqual(half.messages(visible=False), [])
        self.assertGreater(len(half.messages()), 0)
        for path, (size, *_) in half.files().items():
            if "/cur/" in "/" + path:
                self.assertIn(f",S={size},", path)
        target = self.end(self.server("dovecot"))
        self.check_same(source, target, self.copy(copied, target), allow=AGAIN)

    def test_not_writable(self):
        """As an ordinary user: a folder that cannot be written is named, the others are copied."""
        source = self.end(self.server("dovecot"))
        mailbox.fill(source.account, "small", 1)
        box = self.maildir()
        self.copy(source, box, state=self.states + "-other")
        for path in box.messages():
            os.unlink(f"{box.path}/{path}")
        os.chmod(self.work, 0o755)
        for directory, _, names in os.walk(box.path):
            os.chown(directory, 65534, 65534)
            for name in names:
                os.chown(os.path.join(directory, name), 65534, 65534)
        os.chmod(f"{box.path}/.Sent/tmp", 0o500)
        state = self.states + "-nobody"
        command = self.command(source, box, state=state)
        for path in [word for word in command if word.endswith(".pw")]:
            os.chown(path, 65534, 65534)
        os.makedirs(state)
        os.chown(state, 65534, 65534)
        command[command.index(self.report_path)] = state + "/report"
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command], capture_output=True,
                              text=True, check=False)
        outcome = case.Outcome(done.returncode, done.stdout, done.stderr, "")
        self.assertEqual(outcome.exit, 1, outcome)
        self.assertEqual([entry["folder"] for entry in outcome.exceptions()], ["Sent"], outcome)
        self.assertIn(".Sent/tmp", outcome.exceptions()[0]["reason"])
        self.assertGreater(len(box.messages()), 5)
        self.assertTrue(all(os.stat(f"{box.path}/{path}").st_uid == 65534 for path in box.messages()))

    def test_owner(self):
        """What root makes belongs to whom the Maildir belongs."""
        source = self.end(self.server("dovecot"))
        mailbox.fill(source.account, "small", 1)
        box = self.maildir("owned/Maildir")
        os.makedirs(os.path.dirname(box.path))
        os.chown(os.path.dirname(box.path), 1234, 1234)
        self.copy(source, box)
        for directory, _, names in os.walk(box.path):
            for path in (directory, *(os.path.join(directory, name) for name in names)):
                status = os.stat(path)
                self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode) & 0o77), (1234, 0), path)


    def test_owner_of_half_made(self):
        """What a run killed in the middle of making a folder left with root becomes the owner's as well."""
        source = self.end(self.server("dovecot"))
        mailbox.fill(source.account, "small", 1)
        for half in (["tmp", "new", "tmp/cur.godwit"], ["tmp", "new", "cur", ".Sent", ".Sent/tmp", ".Sent/tmp/cur.godwit"]):
            box = self.maildir(f"half-owned{len(half)}/Maildir")
            os.makedirs(box.path)
            for directory in half:
                os.mkdir(f"{box.path}/{directory}", mode=0o700)
            os.chown(box.path, 1234, 1234)
            with self.subTest(half=half):
                self.copy(source, box, state=f"{self.states}-{len(half)}")
                for directory, below, names in os.walk(box.path):
                    self.assertNotIn("cur.godwit", below)
                    if directory != box.path + "/cur":
                        for path in (directory, *(os.path.join(directory, name) for name in names)):
                            self.assertEqual(os.stat(path).st_uid, 1234, path)


class Kills(MaildirCase):
    """kill -9 at random moments; a subclass says where the Maildir is."""

    def rounds(self, source, before, target, compared):
        """Kill, perhaps again, complete, compare; with a new target() each time."""
        chance = random.Random()
        began = time.monotonic()
        self.copy(source, target())
        duration = time.monotonic() - began
        for number in range(case.ROUNDS):
            end, moments = target(), []
            state = os.path.join(self.work, f"state{number}")
            for _ in range(chance.choice((1, 1, 2, 3))):
                moments.append((round(chance.random() * duration, 4), chance.choice(("controller", "worker"))))
                self.kill_once(source, end, state, *moments[-1])
            with self.subTest(moments=moments):
                outcome = self.copy(source, end, state=state)
                compared(before, end, outcome)
                again = self.copy(source, end, state=state)
                self.assertEqual(again.summary["items_stored"], 0, again)

    def kill_once(self, source, end, state, moment, whom):
        """A run that is killed after `moment` seconds, whatever it is at then."""
        process = self.start(source, end, state=state)
        time.sleep(moment)
        workers = case.children(process.pid)
        for pid in workers if whom == "worker" else [process.pid]:
            case.kill(pid)
        self.finish(process, killed=whom == "controller")
        self.assertTrue(case.wait_until(lambda: not any(map(alive, workers)), 10), "the worker lives on")


class KillsIntoMaildir(Kills):
    """The destination is a Maildir."""

    def test_from_dovecot(self):
        """Compared as Dovecot shows it; nothing is left in tmp/."""
        source = self.end(self.server("dovecot"))
        mailbox.fill(source.account, boxes())
        server = self.server("dovecot", store="maildir++")

        def compared(before, end, outcome):
            self.check_same(before, end, outcome, allow=[*case.allowances("dovecot", "dovecot"), *AGAIN])
            self.assertEqual(end.messages(visible=False), [])
        self.rounds(source, source.read(), lambda: self.served(server=server), compared)

    def test_forgetful(self):
        """Killed, and the memory lost as well: the keys alone keep twins apart and double nothing."""
        source, server = self.end(self.server("dovecot")), self.server("dovecot", store="maildir++")
        mailbox.fill(source.account, boxes())
        chance = random.Random()
        for number in range(case.ROUNDS):
            target, moment = self.served(server=server), chance.random() / 2
            self.kill_once(source, target, f"{self.states}-lost{number}", moment, "controller")
            with self.subTest(moment=moment):
                outcome = self.copy(source, target, state=f"{self.states}-new{number}")
                self.check_same(source, target, outcome, allow=[*case.allowances("dovecot", "dovecot"), *AGAIN])


class KillsOutOfMaildir(Kills):
    """The source is a Maildir."""

    def out_of(self, kind):
        """A Maildir that Dovecot wrote."""
        source, server = self.served(), self.server(kind)
        mailbox.fill(source.served.account, boxes())

        def compared(before, end, outcome):
            self.check_same(before, end, outcome, allow=[*case.allowances("dovecot", kind), *AGAIN])
        self.rounds(source, source.read(), lambda: self.end(server), compared)

    def test_to_dovecot(self):
        """To Dovecot."""
        self.out_of("dovecot")

    def test_to_cyrus(self):
        """To Cyrus."""
        self.out_of("cyrus")


class Steps(MaildirCase):
    """Killed at each step of the ledger in turn, between two Maildirs: no server, so that all steps can be tried."""

    def prepared(self):
        """A source with twins in three folders."""
        box = self.maildir("source")
        for folder in (".", ".A", ".A.B"):
            os.makedirs(f"{box.path}/{folder}/cur")
            for number in range(5):
                self.file(f"source/{folder}/cur/{number}.x:2,S", f"Subject: {number // 2}\n\nthe same\n")
        return box

    @staticmethod
    def content(box):
        """What lies where, whatever it is called."""
        found = []
        for path in box.messages():
            with open(f"{box.path}/{path}", "rb") as text:
                found.append((os.path.dirname(path), text.read()))
        return sorted(found)

    def walk(self, role):
        """Kill at the first step, the second ... until it comes to its end before it."""
        source = self.prepared()
        for step in range(1, 1000):
            target, state = self.maildir(f"{role}{step}"), f"{self.states}-{role}{step}"
            stopped = subprocess.run(self.command(source, target, "--settle", "0", state=state), capture_output=True, check=False,
                                     env={**os.environ, "GODWIT_TEST_STOP": f"{role}:{step}"})
            if stopped.returncode == 0:
                self.assertGreater(step, 10)
                return
            with self.subTest(step=step):
                outcome = self.copy(source, target, "--settle", "0", state=state)
                self.assertEqual(self.content(target), self.content(source), outcome)
                self.assertEqual(target.messages(visible=False), [])
        self.fail("it never came to its end")

    def test_worker(self):
        """The worker."""
        self.walk("worker")

    def test_worker_durable(self):
        """The worker, once all that it said is on the disk."""
        self.walk("durable")

    def test_controller(self):
        """The controller."""
        self.walk("controller")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        unittest.main(verbosity=2)
