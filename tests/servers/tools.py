#!/usr/bin/env python3
"""verify and check: what they find, and that they change nothing.

What verify says is held against an independent comparison. What check predicts is held against what
a copy then meets.
"""

import collections
import itertools
import json
import os
import re
import signal
import subprocess
import unittest

import case
import mailbox
from fakeimap import FakeImap
from imap import append, command, ok, quoted

KINDS = {"lost": "missing", "date": "date-differs", "flags": "flags-differ", "keywords": "flags-differ"}


class Tools(case.ServerCase):
    """Runs of the commands beside copy."""

    def look(self, verb, source, destination, *options, expect=0, **how):
        """Run it to its end; nothing may have changed at either side."""
        before = source.read(), destination.read()
        outcome = self.copy(source, destination, *options, verb=verb, expect=expect, **how)
        self.assertEqual([self.content(side) for side in (source.read(), destination.read())],
                         [self.content(side) for side in before], "something was changed")
        return outcome

    @staticmethod
    def content(snapshot):
        if isinstance(snapshot, dict):      # of a scripted server
            return snapshot
        return {levels: [(mail.uid, mail.digest, mail.flags, mail.keywords) for mail in mails]
                for levels, mails in snapshot.mail.items()}

    @staticmethod
    def found(outcome):
        """{cause: {(folder, uid)}}."""
        told = collections.defaultdict(set)
        for entry in outcome.exceptions():
            told[entry["cause"]].add(("/".join(case.levels_of(entry["folder"])), entry["uid"]))
        return told


class Verify(Tools):
    """Two real servers."""

    def filled(self, spec="small", to="cyrus"):
        source, destination = self.ends("dovecot", to)
        mailbox.fill(source.account, spec, 1)
        with source.account.connect() as connection:
            command(connection, "CREATE", quoted("Plain"))
            for number in range(8):
                append(connection, "Plain", b"Subject: %d\r\nMessage-ID: <%d@plain>\r\n\r\n" % (number, number) + b"text\r\n" * 50)
        return source, destination, self.copy(source, destination, expect=(0, 1))

    def test_same_after_a_copy(self):
        """Nothing to tell, whichever way it is compared."""
        source, destination, copied = self.filled(to="dovecot")
        for options in ((), ("--digest",), ("--sample", "2"), ("--digest", "--exact")):
            with self.subTest(options):
                outcome = self.look("verify", source, destination, *options)
                self.assertEqual(outcome.exceptions(), [])
                summary = outcome.summary
                self.assertEqual(summary["same"], copied.summary["items_stored"])
                self.assertEqual(summary["source_items"], summary["target_items"])
                self.assertEqual(summary["read_whole"] == summary["same"], "--digest" in options)
                self.assertEqual(summary["seed"] is not None, "--sample" in options)
                self.assertTrue(outcome.result["checked"])

    def test_difficult_mailbox(self):
        """What an independent comparison finds, verify finds, and nothing else."""
        source, destination, copied = self.filled("difficult")
        outcome = self.look("verify", source, destination, "--digest", expect=1)
        told = self.found(outcome)
        wanted = collections.defaultdict(set)
        unsure = case.doubtful("dovecot")
        skip = set()
        for entry in self.differences(source, destination, copied):
            if any(allowance.covers(entry) for allowance in unsure) and "uid" in entry:
                skip.add((entry["folder"], entry["uid"]))
            elif entry["kind"] in KINDS:
                wanted[KINDS[entry["kind"]]].add((entry["folder"], entry["uid"]))
            elif entry["kind"] == "bytes":
                wanted["altered"].add((entry["folder"], entry["uid"]))
        for cause in {*KINDS.values(), "altered", "size-differs", "bytes-differ", "extra", "unreadable"}:
            self.assertEqual(told[cause] - skip, wanted[cause] - skip, cause)

    def test_maildir(self):
        """A Maildir at the destination, before and after the copy."""
        source = self.end(self.server("dovecot"))
        destination = Maildir(self.work + "/Maildir")
        mailbox.fill(source.account, "small")
        self.look("check", source, destination)
        self.assertFalse(os.path.exists(destination.path), "a look made it")
        copied = self.copy(source, destination)
        outcome = self.look("verify", source, destination, "--digest")
        self.assertEqual(outcome.summary["source_items"], copied.summary["items_stored"])
        self.assertEqual(outcome.exceptions(), [])
        victim = next(path for path in destination.read() if "/cur/" in path or "/new/" in path)
        os.remove(victim)
        self.assertEqual(self.look("verify", source, destination, expect=1).summary["missing"], 1)

    def test_what_cyrus_alters(self):
        """Listed as altered; a difference with --exact only."""
        source, destination, _ = self.filled()
        outcome = self.look("verify", source, destination, "--digest")
        self.assertEqual(outcome.result["causes"], {"altered": 1}, outcome)
        self.look("verify", source, destination, "--digest", "--exact", expect=1)

    def change(self, destination, box="Plain"):
        """A byte of the body of one message; the message is appended anew and the old one removed."""
        with destination.account.connect() as connection:
            ok(connection.select(quoted(box)))
            _, data = connection.uid("FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
            message = next(part for part in data if isinstance(part, tuple) and len(part[1]) > 200)
            uid = message[0].split(b"UID ")[1].split()[0].decode()
            date = message[0].split(b'INTERNALDATE "')[1].split(b'"')[0].decode()
            flags = [flag for flag in message[0].split(b"FLAGS (")[1].split(b")")[0].decode().split() if flag != "\\Recent"]
            body = bytearray(message[1])
            place = max(index for index, byte in enumerate(body) if chr(byte).isalpha())
            self.assertGreater(place, bytes(body).index(b"\r\n\r\n"))
            body[place] ^= 1
            append(connection, box, bytes(body), flags, date)
            ok(connection.uid("STORE", uid, "+FLAGS", r"(\Deleted)"))
            ok(connection.uid("EXPUNGE", uid))

    def test_changes_are_found(self):
        """A message gone, a flag, a byte, a message more, a folder gone: each by its name."""
        source, destination, _ = self.filled(to="dovecot")
        with destination.account.connect() as connection:
            ok(connection.select("Plain"))
            uids = connection.uid("SEARCH", "ALL")[1][0].decode().split()
            ok(connection.uid("STORE", uids[-1], "+FLAGS", r"(\Deleted)"))
            ok(connection.uid("EXPUNGE", uids[-1]))
            ok(connection.uid("STORE", uids[-2], "+FLAGS", r"(\Answered \Flagged \Draft)"))
        outcome = self.look("verify", source, destination, expect=1)
        self.assertEqual(outcome.result["causes"], {"missing": 1, "flags-differ": 1}, outcome)
        self.change(destination)
        quick = self.look("verify", source, destination, expect=1)
        self.assertEqual(quick.result["causes"], {"missing": 1, "flags-differ": 1}, "the same size, the same header")
        whole = self.look("verify", source, destination, "--digest", expect=1)
        self.assertEqual(whole.result["causes"], {"missing": 1, "flags-differ": 1, "bytes-differ": 1}, whole)
        self.assertIn("NOT THE SAME", self.text(source, destination, "--digest", expect=1))

    def text(self, source, destination, *options, expect):
        process = self.start(source, destination, *options, verb="verify", output="text")
        stdout, stderr = process.communicate(timeout=case.PATIENCE)
        self.assertEqual(process.returncode, expect, stderr)
        return stdout

    def test_what_is_only_there(self):
        """Listed, and no failure without --exact."""
        source, destination, _ = self.filled()
        with destination.account.connect() as connection:
            append(connection, "INBOX", b"Subject: mine\r\nMessage-ID: <mine@there>\r\n\r\nmine\r\n")
            command(connection, "CREATE", quoted("Mine"))
            append(connection, "Mine", b"Subject: more\r\n\r\nof mine\r\n")
        outcome = self.look("verify", source, destination)
        self.assertEqual(outcome.result["causes"], {"extra": 2}, outcome)
        self.assertEqual((outcome.summary["extra"], outcome.summary["folders_extra"]), (2, 1))
        self.look("verify", source, destination, "--exact", expect=1)
        self.assertIn("The same", self.text(source, destination, expect=0))

    def test_a_folder_gone(self):
        """One exception for it, and its messages counted."""
        source, destination, copied = self.filled()
        gone = next(event for event in copied.of("folder") if event["target"] == "Plain")
        with destination.account.connect() as connection:
            command(connection, "DELETE", "Plain")
        outcome = self.look("verify", source, destination, expect=1)
        self.assertEqual(outcome.summary["folders_missing"], 1, outcome)
        self.assertEqual(outcome.summary["missing"], gone["items"], outcome)
        self.assertEqual({entry["cause"] for entry in outcome.exceptions()}, {"missing"})

    def test_a_sample_again(self):
        """The same seed compares the same."""
        source, destination, _ = self.filled()
        first = self.look("verify", source, destination, "--sample", "1")
        seed = first.summary["seed"]
        again = self.look("verify", source, destination, "--sample", "1", "--seed", str(seed))
        self.assertEqual(again.summary["read_whole"], first.summary["read_whole"])
        self.assertEqual(again.summary["seed"], seed)


class Maildir:
    """A Maildir, as case.End."""

    name = password = ""

    def __init__(self, path):
        self.path = path

    def url(self):
        """The URL for godwit."""
        return "maildir:" + self.path

    def read(self):
        """{path below: (length, when changed)}, as Tools.content takes it."""
        return {os.path.join(where, name): (os.stat(os.path.join(where, name)).st_size, os.stat(os.path.join(where, name)).st_mtime_ns)
                for where, _, names in os.walk(self.path) for name in names}


class Scripted:
    """An account at a scripted server, as case.End."""

    numbers = itertools.count(1)
    password = "s3cret"

    def __init__(self, test, host="127.0.0.1", **options):
        self.name, self.host = f"u{next(self.numbers)}", host
        self.fake = FakeImap(users={self.name: self.password}, **options).start()
        self.port, self.up = self.fake.port, True
        test.addCleanup(self.stop)

    def stop(self):
        """Nobody is there any more."""
        if self.up:
            self.fake.stop()
        self.up = False

    def url(self):
        """The URL for godwit."""
        return f"imap://{self.name}@{self.host}:{self.port}/?tls=none"

    def read(self):
        return self.fake.state(self.name)["folders"]

    def add(self, folder, subject, size=0, flags=(), date=None):
        text = f"Subject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\n" + "x" * max(0, size - 60) + "\r\n"
        self.fake.add(folder, text.encode(), list(flags), date)


class Check(Tools):
    """What it predicts happens."""

    CAPS = "IMAP4rev1 LITERAL+ UIDPLUS CONDSTORE NAMESPACE SPECIAL-USE LIST-EXTENDED UNSELECT AUTH=PLAIN"

    def scripted(self, caps="", **options):
        source = Scripted(self, caps=self.CAPS)
        return source, Scripted(self, "localhost", caps=f"{self.CAPS} {caps}", **options)

    def test_nothing_in_the_way(self):
        """Two real servers: all counted, nothing predicted, and the copy agrees."""
        source, destination = self.ends("dovecot", "cyrus")
        mailbox.fill(source.account, "small")
        outcome = self.look("check", source, destination)
        self.assertEqual([entry for entry in outcome.exceptions() if not entry["copied"]], [])
        self.assertGreater(outcome.summary["probe_bytes"], 0)
        self.assertEqual(outcome.summary["keywords"], "taken")
        copied = self.copy(source, destination)
        self.assertEqual(outcome.summary["items"], copied.summary["items_stored"])
        told = {event["folder"]: event["target"] for event in copied.of("folder")}
        self.assertEqual({event["folder"]: event["target"] for event in outcome.of("surveyed")}, told)
        again = self.look("check", source, destination)
        self.assertEqual(again.summary["target_items"], copied.summary["items_stored"])
        self.assertEqual(again.summary["folders_there"], again.summary["folders"])

    def test_quota_of_real_servers(self):
        """Dovecot and Cyrus tell theirs; too little is told beforehand."""
        for kind, little, much in (("dovecot", "100K", "10M"), ("cyrus", 100, 10000)):
            for quota, short in ((little, True), (much, False)):
                with self.subTest(kind=kind, quota=quota):
                    source, destination = self.ends("dovecot", kind, None, {"quota": quota})
                    with source.account.connect() as connection:
                        for number in range(5):
                            append(connection, "INBOX", b"Subject: %d\r\n\r\n" % number + b"%076d\r\n" % number * 500)
                    outcome = self.look("check", source, destination, expect=1 if short else 0)
                    self.assertEqual(outcome.result["causes"], {"quota": 1} if short else {}, outcome)
                    free = outcome.summary["quota_free"]
                    self.assertTrue(60 << 10 < free <= 100 << 10 if short else 5 << 20 < free <= 10 << 20, free)

    def test_too_big(self):
        """APPENDLIMIT, and --max-size where it is lower; the copy refuses the same."""
        source, destination = self.scripted("APPENDLIMIT=5000")
        source.add("INBOX", "little")
        source.add("INBOX", "middle", 3000)
        source.add("INBOX", "large", 6000)
        outcome = self.look("check", source, destination, expect=1)
        self.assertEqual(self.found(outcome), {"too-big": {("INBOX", 3)}})
        self.assertEqual((outcome.summary["max_size"], outcome.summary["too_big"]), (5000, 1))
        lower = self.look("check", source, destination, "--max-size", "2000", expect=1)
        self.assertEqual(self.found(lower), {"too-big": {("INBOX", 2), ("INBOX", 3)}})
        copied = self.copy(source, destination, expect=1)
        self.assertEqual(self.found(copied), self.found(outcome))

    def test_clashes(self):
        """Names that fall together: the same new names as the copy gives."""
        source = Scripted(self, caps=self.CAPS, delimiter=".")
        destination = self.end(self.server("cyrus"))
        for name in ("a", "a.b", "a/b", "a_b", "a_b (2)"):
            source.add(name, name)
        outcome = self.look("check", source, destination)
        copied = self.copy(source, destination)
        renamed = {(entry["folder"], entry["target"]) for entry in copied.exceptions("folder-renamed")}
        self.assertEqual(renamed, {("a\\/b", "a_b (3)")}, outcome)
        self.assertEqual({(entry["folder"], entry["target"]) for entry in outcome.exceptions("folder-renamed")}, renamed)
        self.look("verify", source, destination)

    def test_keywords(self):
        """A destination without \\*: told once, with how many messages it concerns."""
        for options, said, causes in (({"permanent_flags": r"\Answered \Flagged \Deleted \Seen \Draft"}, "refused", {"flags": 1}), ({}, "taken", {})):
            with self.subTest(said):
                source, destination = self.scripted(**options)
                source.add("INBOX", "one", flags=["Work"])
                source.add("INBOX", "two")
                outcome = self.look("check", source, destination)
                self.assertEqual(outcome.summary["keywords"], said)
                self.assertEqual(outcome.summary["with_keywords"], 1)
                self.assertEqual(outcome.result["causes"], causes)

    def test_dates(self):
        """An arrival date that cannot be read."""
        source, destination = self.scripted()
        source.add("INBOX", "odd", date="some day")
        outcome = self.look("check", source, destination)
        self.assertEqual(self.found(outcome), {"date": {("INBOX", 1)}})

    def test_what_is_not_told(self):
        """Says so, in JSON by null and in text by words."""
        source, destination = self.scripted()
        outcome = self.look("check", source, destination)
        for field in ("max_size", "quota_free", "probe_bytes"):
            self.assertIsNone(outcome.summary[field])
        process = self.start(source, destination, verb="check", output="text")
        stdout, _ = process.communicate(timeout=case.PATIENCE)
        self.assertEqual(stdout.count("not known"), 3, stdout)


class Trouble(Tools):
    """One clear sentence, and the right exit code."""

    def test_bad_words(self):
        """What contradicts itself or belongs to another command."""
        source, destination = (Scripted(self, host) for host in ("127.0.0.1", "localhost"))
        for verb, options, word in (("verify", ["--digest", "--sample", "3"], "--sample"), ("verify", ["--seed", "3"], "--seed"),
                                    ("verify", ["--retry-refused"], "--retry-refused"), ("verify", ["--sample", "some"], "--sample"),
                                    ("check", ["--digest"], "--digest"), ("check", ["--state", "x"], "--state"),
                                    ("check", ["another"], "two URLs")):
            with self.subTest(verb=verb, options=options):
                outcome = self.copy(source, destination, *options, verb=verb, expect=2)
                self.check_error(outcome, 2, "usage", None, [word])
                self.assertEqual(outcome.stderr.count("godwit: "), 1, outcome.stderr)

    def test_password_and_server(self):
        """A wrong password; nobody there."""
        source, destination = (Scripted(self, host) for host in ("127.0.0.1", "localhost"))
        for verb in ("verify", "check"):
            outcome = self.copy(source, destination, verb=verb, passwords=("wrong", destination.password), expect=12)
            self.check_error(outcome, 12, "login", "source", ["refused"])
        destination.stop()
        for verb in ("verify", "check"):
            outcome = self.copy(source, destination, verb=verb, expect=10)
            self.check_error(outcome, 10, "connect", "destination", ["connect"])

    def test_a_folder_that_cannot_be_opened(self):
        """It is named, the others are looked at, and the exit code is 1."""
        source = Scripted(self, script="on EXAMINE * folder Shut: reply NO it is shut\non STATUS * folder Shut: reply NO it is shut")
        destination = Scripted(self, "localhost")
        for end in (source, destination):
            end.add("Shut", "in")
            end.add("INBOX", "in")
        for verb, of in (("verify", "compared"), ("check", "surveyed")):
            outcome = self.look(verb, source, destination, expect=1)
            self.assertEqual(self.found(outcome), {"folder-gone": {("Shut", None)}}, outcome)
            self.assertEqual([event["folder"] for event in outcome.of(of)], ["INBOX"])
            self.assertFalse(outcome.result["checked"])

    def test_stopped(self):
        """SIGTERM ends it in order."""
        for verb in ("verify", "check"):
            source, destination = Scripted(self, script="on FETCH *: silent"), Scripted(self, "localhost")
            for end in (source, destination):
                end.add("INBOX", "one")
            process = self.start(source, destination, verb=verb)
            self.assertTrue(case.wait_until(lambda at=source: at.fake.count("FETCH")))
            case.kill(process.pid, signal.SIGTERM)
            outcome = self.finish(process)
            self.check_error(outcome, 130, "stopped", None, ["stopped"])
            self.assertFalse(outcome.result["checked"])

    def test_lost_links(self):
        """Connections that break are opened again; nothing of the result changes."""
        for verb in ("verify", "check"):
            for where in ("on FETCH 1: drop", "on FETCH 1 after: drop", "on EXAMINE 1: reset"):
                with self.subTest(verb=verb, where=where):
                    source, destination = Scripted(self, script=where), Scripted(self, "localhost", script=where)
                    for number in range(20):
                        source.add("INBOX", f"n{number}")
                        destination.add("INBOX", f"n{number}")
                    outcome = self.look(verb, source, destination, *(["--digest"] if verb == "verify" else []))
                    self.assertEqual(outcome.exceptions(), [])
                    self.assertGreater(outcome.summary["reconnects"], 0)


class Memory(Tools):
    """explain and ledger: what the state directory holds, after real passes between scripted servers."""

    def godwit(self, *words, expect=0, state=None, stdin=None):
        """Run an offline command; its standard output, or its one sentence where it fails."""
        result = subprocess.run([case.GODWIT, *words, "--state", state or self.states], input=stdin, capture_output=True,
                                text=True, timeout=case.PATIENCE, check=False)
        self.assertEqual(result.returncode, expect, result)
        if not expect:
            self.assertEqual(result.stderr, "")
            return result.stdout
        self.assertEqual(len(re.findall("^godwit: ", result.stderr, re.M)), 1, result.stderr)
        return result.stderr

    def copied(self):
        """A mailbox of which one message is too large."""
        source = Scripted(self)
        destination = Scripted(self, "localhost", caps=Check.CAPS + " APPENDLIMIT=5000")
        for number in range(4):
            source.add("INBOX", f"n{number}", flags=["Work"])
        source.add("INBOX", "large", 6000)
        source.add("Old/Mail", "more")
        self.copy(source, destination, expect=1)
        return source, destination

    @staticmethod
    def names(*ends):
        return [f"{end.name}@{end.host}" for end in ends]

    def again(self, source, destination):
        """A further pass finds its memory: it copies nothing."""
        outcome = self.copy(source, destination, expect=1)
        self.assertEqual((outcome.summary["items_stored"], outcome.summary["items_before"]), (0, 5), outcome)

    def test_explain(self):
        """Mailbox, folder, message; by URLs and by names; what is not known is said to be so."""
        source, destination = self.copied()
        self.assertIn("INBOX", self.godwit("explain", source.url(), destination.url()))
        names = self.names(source, destination)
        self.assertIn("Folder Old/Mail goes to Old/Mail: 1 copied.", self.godwit("explain", *names))
        folder = self.godwit("explain", *names, "INBOX")
        self.assertIn("4 copied, 1 refused", folder)
        self.assertIn("Message 5 of INBOX was not copied", folder)
        self.assertNotIn("Old/Mail", folder)
        message = self.godwit("explain", *names, "INBOX", "2")
        self.assertIn("was copied (pass 1); at the destination it is 2 of INBOX", message)
        self.assertIn("Work", message)
        record = json.loads(self.godwit("explain", *names, "INBOX", "5", "--output", "json"))
        self.assertEqual((record["state"], record["cause"]), ("refused", "too-big"))
        self.assertIn("5000", record["text"])
        self.assertIn("no message 77", self.godwit("explain", *names, "INBOX", "77", expect=2))
        self.assertIn("no folder INBOY, but INBOX", self.godwit("explain", *names, "INBOY", expect=2))
        self.assertIn("nothing is known", self.godwit("explain", names[1], names[0], expect=2))
        self.assertIn("no ledger", self.godwit("explain", *names, state=self.work + "/none", expect=30))
        self.assertFalse(os.path.exists(self.work + "/none"), "asking made a state directory")

    def test_names_of_folders(self):
        """By what the source shows, what it says, and what the destination calls it."""
        source = Scripted(self, delimiter=".", prefix="INBOX.")
        destination = Scripted(self, "localhost")
        raw = "INBOX.Entw&APw-rfe.2019"
        source.add(raw, "one")
        copied = self.copy(source, destination)
        event = next(event for event in copied.of("folder") if event["items"])
        for name in (raw, event["folder"], event["target"]):
            with self.subTest(name):
                said = self.godwit("explain", *self.names(source, destination), name, "1")
                self.assertIn("Message 1 of INBOX.Entw\u00fcrfe.2019 was copied", said)

    def test_explain_after_an_accident(self):
        """A note without receipt is told as such."""
        source, destination = Scripted(self), Scripted(self, "localhost", script="on APPEND *: silent")
        source.add("INBOX", "one")
        copying = self.start(source, destination)
        self.assertTrue(case.wait_until(lambda: destination.fake.count("APPEND")))
        case.kill(copying.pid)
        self.finish(copying, killed=True)
        said = self.godwit("explain", *self.names(source, destination), "INBOX")
        self.assertIn("no receipt came yet", said)

    def test_list(self):
        """Each pair with its counts."""
        source, destination = self.copied()
        pair = json.loads(self.godwit("ledger", "list", "--output", "json"))
        self.assertEqual([pair["source"], pair["destination"]], self.names(source, destination))
        self.assertEqual((pair["passes"], pair["folders"], pair["stored"], pair["refused"]), (1, 2, 5, 1))
        self.assertIn("2 folders; messages: 5 copied, 1 refused", self.godwit("ledger", "list"))

    def test_rename(self):
        """The destination is called otherwise now: the next pass goes on there."""
        source, destination = self.copied()
        old = self.names(destination)[0]
        self.godwit("ledger", "rename", old, "anna@elsewhere")
        self.assertIn("to anna@elsewhere", self.godwit("ledger", "list"))
        self.assertIn("nothing is known", self.godwit("ledger", "rename", old, "x@y", expect=2))
        self.assertIn("would both be", self.godwit("ledger", "rename", "anna@elsewhere", *self.names(source), expect=2))
        self.godwit("ledger", "rename", "anna@elsewhere", destination.url())
        self.again(source, destination)
        self.copy(source, Scripted(self, "localhost", caps=Check.CAPS), expect=0)
        other = json.loads(self.godwit("ledger", "list", "--output", "json").splitlines()[-1])
        names = {line["destination"] for line in map(json.loads, self.godwit("ledger", "list", "--output", "json").splitlines())}
        self.assertEqual(len(names), 2)
        self.assertIn("is known already", self.godwit("ledger", "rename", *names, expect=2), other)

    def test_export_and_import(self):
        """All of it, into another state, where a pass goes on; never over what is there."""
        source, destination = self.copied()
        text = self.godwit("ledger", "export")
        kinds = collections.Counter(json.loads(line)["kind"] for line in text.splitlines())
        self.assertEqual(kinds, {"ledger": 1, "pair": 1, "flags": 1, "folder": 2, "item": 6, "end": 1})
        elsewhere = self.work + "/elsewhere"
        self.godwit("ledger", "import", state=elsewhere, stdin=text)
        self.assertEqual(self.godwit("ledger", "export", state=elsewhere), text)
        self.assertIn("known here already", self.godwit("ledger", "import", state=elsewhere, stdin=text, expect=2))
        self.godwit("ledger", "import", self.file("export.jsonl", text), state=self.work + "/third")
        self.states = elsewhere
        self.again(source, destination)

    def test_bad_imports(self):
        """Cut anywhere, or with a line that is wrong: nothing is imported."""
        self.copied()
        lines = self.godwit("ledger", "export").splitlines(keepends=True)
        elsewhere = self.work + "/elsewhere"
        bad = ["".join(lines[:count]) for count in range(len(lines))]
        bad += ["".join(lines[:3] + [wrong] + lines[3:]) for wrong in ("\n", "[]\n", '{"kind":"item"}\n', '{"kind":"what"}\n', lines[1])]
        bad += [lines[0].replace('"version":1', '"version":2') + "".join(lines[1:]), "".join(lines) + lines[3], "PK\x03\x04"]
        for number, text in enumerate(bad):
            with self.subTest(number):
                self.godwit("ledger", "import", state=elsewhere, stdin=text, expect=2)
        self.assertIn("Nothing was copied", self.godwit("ledger", "list", state=elsewhere))
        self.godwit("ledger", "import", "/nowhere/at/all", state=elsewhere, expect=2)

    def test_killed_import(self):
        """A kill in its midst: nothing was imported, and the next one does it all."""
        self.copied()
        lines = self.godwit("ledger", "export").splitlines(keepends=True)
        text = "".join(lines[:-1] + [lines[-2].replace('"id":"', f'"id":"{number}x') for number in range(20000)])
        elsewhere = self.work + "/elsewhere"
        with subprocess.Popen([case.GODWIT, "ledger", "import", "--state", elsewhere], stdin=subprocess.PIPE) as importing:
            importing.stdin.write(text.encode())
            importing.stdin.flush()
            self.assertTrue(case.wait_until(lambda: os.path.exists(elsewhere + "/ledger.db-wal")))
            self.assertIn("Nothing was copied", self.godwit("ledger", "list", state=elsewhere))
            importing.kill()
        self.assertIn("Nothing was copied", self.godwit("ledger", "list", state=elsewhere))
        self.godwit("ledger", "import", state=elsewhere, stdin="".join(lines))
        self.assertEqual(self.godwit("ledger", "export", state=elsewhere), "".join(lines))

    def test_while_a_copy_runs(self):
        """Its lock is respected; what only looks is not kept out."""
        source, destination = self.copied()
        text = self.godwit("ledger", "export")
        source.add("INBOX", "new")
        destination.fake.script("on APPEND *: silent")
        copying = self.start(source, destination)
        self.assertTrue(case.wait_until(lambda: destination.fake.count("APPEND") > 2))
        self.godwit("ledger", "list")
        self.godwit("explain", *self.names(source, destination))
        for words, stdin in ((("rename", *self.names(destination), "a@b"), None), (("export",), None), (("import",), text)):
            with self.subTest(words):
                self.assertIn("another godwit", self.godwit("ledger", *words, stdin=stdin, expect=30))
        case.kill(copying.pid)
        self.finish(copying, killed=True)

    def test_words(self):
        """What is not understood is said in one sentence."""
        for words in (["ledger"], ["ledger", "burn"], ["ledger", "rename", "a@b"], ["ledger", "list", "more"],
                      ["explain", "a@b"], ["explain", *"abcde"], ["ledger", "list", "--nonsense"],
                      ["explain", "imap://a:pw@b/", "c@d"]):
            with self.subTest(words):
                said = self.godwit(*words, expect=2)
                self.assertNotIn(":pw@", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
