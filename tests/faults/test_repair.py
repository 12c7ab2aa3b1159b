#!/usr/bin/python3
"""--repair: what a destination refuses is there once, in other bytes, whatever dies meanwhile."""

import collections
import email
import hashlib
import os
import pathlib
import re
import signal
import stat
import unittest

from case import Case, EPOCH, KILLED, Mail, STOPPED, VARIANTS, caps, mails, text
from stage import Stage
from walks import walk

ALL = ["nul", "bare-lf", "8bit-header", "no-blank-line", "no-final-crlf", "long-line"]
SIGNED = ("From: a@b.example\r\nSubject: signed\r\nMessage-ID: <signed@b.example>\r\nMIME-Version: 1.0\r\n"
          "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\na\0b\r\n--b\r\n"
          "Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n").encode()


def oddities():
    """name → (bytes, the word that tells what became of it)"""
    return {
        "nul": (text("nul").encode() + b"a\0b\r\n", "mended: parts encoded"),
        "subject": (text("subject", extra="X-Name: M\u00fcller\r\n").encode("latin-1"), "mended: header encoded"),
        "lf": (text("lf").encode() + b"one\ntwo\r\n", "mended: line ends made CRLF"),
        "end": (text("end").encode() + b"no end", "mended: last line ended"),
        "line": (text("line").encode() + b"x" * 12000 + b"\r\n", "mended: parts encoded"),
        "header": (b"Subject: header only\r\n", "mended: empty line put behind the header"),
        "signed": (SIGNED, "wrapped"),
        "garbled": (b"Subject: a\r\nHTTP/1.1 200 OK\r\nX-A: b\0\r\n\r\ntext\r\n", "wrapped"),
        "large": (text("large", 1500000).encode() + b"a\0b\r\n", "mended: parts encoded"),
    }


def mailbox(names=None, twins=True):
    """Sound messages with the odd ones between them, each twice."""
    box = mails(9)
    for n, (name, (body, _)) in enumerate(oddities().items()):
        if names is None or name in names:
            for _ in range(2 if twins else 1):
                box.insert(2 * n + 1, Mail("INBOX", body, ["\\Seen"], EPOCH + 7000 + n))
    return box


def is_odd(body):
    return any(body == odd for odd, _ in oddities().values())


def original_of(body):
    """The message in a letter, None: it is no letter."""
    parsed = email.message_from_bytes(body)
    if not re.fullmatch("[0-9a-f]{32}", parsed.get_boundary() or ""):
        return None
    return parsed.get_payload()[1].get_payload(decode=True)


class Repaired(Case):
    def check_repaired(self, stage, run, code=0, told=True, wrapped_all=False):
        """Sound messages as they were; for each odd one just one repaired, with its flags and date."""
        source = [m for m in stage.source.messages("INBOX")]
        odd = collections.Counter()
        sound = collections.Counter()
        for m in source:
            body = stage.source.body("INBOX", m["uid"])
            (odd if is_odd(body) else sound)[(m["epoch"], " ".join(m["flags"])) if is_odd(body) else
                                             (m["sha256"], m["epoch"], " ".join(m["flags"]))] += 1
        there, repaired = collections.Counter(), collections.Counter()
        for m in stage.destination.messages("INBOX"):
            key = (m["sha256"], m["epoch"], " ".join(m["flags"]))
            if key in sound:
                there[key] += 1
                continue
            repaired[(m["epoch"], " ".join(m["flags"]))] += 1
            body = stage.destination.body("INBOX", m["uid"])
            original = original_of(body)
            self.assertTrue(original is None or is_odd(original), "not what was refused: %r" % original)
            self.assertTrue(original is not None or not wrapped_all, "not wrapped")
        self.assertEqual(there, sound, str(run))
        self.assertEqual(repaired, odd, str(run))
        self.assertEqual(run.code, code, str(run))
        self.assertTrue(run.result.get("checked"), str(run))
        self.assertEqual(run.summary["items_stored"] + run.summary["items_before"], len(source), str(run))
        if told:
            self.assertEqual(run.causes(), {"repaired": sum(odd.values())}, str(run))
            self.assertEqual(run.summary["items_repaired"], sum(odd.values()), str(run))

    def check_silent(self, stage, *options):
        """One pass more uploads nothing, says nothing, and asks the source for no body."""
        uploads, reads = stage.destination.count("APPEND"), stage.source.count("FETCH-BODY")
        run = stage.copy(*options)
        self.assertEqual((run.code, dict(run.causes())), (0, {}), str(run))
        self.assertEqual(stage.destination.count("APPEND"), uploads, "uploaded again")
        self.assertEqual(stage.source.count("FETCH-BODY"), reads, "read again")

    def odd_stage(self, variant, box=None, **given):
        given.setdefault("refuse", ALL)
        return self.stage(box or mailbox(), destination=dict(caps(variant), **given))


class Ladder(Repaired):
    def test_each_rung(self):
        def one(variant):
            stage = self.odd_stage(variant)
            run = stage.copy("--repair")
            self.check_repaired(stage, run)
            self.check_source(stage)
            told = collections.Counter(x["reason"].split(";")[0] for x in run.of("exception"))
            expected = collections.Counter()
            for _, word in oddities().values():
                expected[word] += 2
            self.assertEqual(collections.Counter(
                {word: sum(n for reason, n in told.items() if reason.startswith(word)) for word in expected}), expected)
            self.assertTrue(all("the destination answered \"Message" in x["reason"] or "Command Argument" in x["reason"]
                                for x in run.of("exception")))
            self.check_silent(stage, "--repair")
            self.check_silent(stage)
        self.each(one, variant=VARIANTS)

    def test_not_without_being_asked(self):
        stage = self.odd_stage("full")
        run = stage.copy()
        self.assertEqual(run.code, 1)
        self.assertNotIn("repaired", run.causes())
        self.assertEqual(sum(run.causes().values()), 18, str(run))
        self.assertEqual(len(stage.destination.messages("INBOX")), 9)

    def test_refused_in_an_earlier_pass(self):
        def one(variant):
            stage = self.odd_stage(variant)
            self.assertEqual(stage.copy().code, 1)
            self.check_repaired(stage, stage.copy("--repair"))
            self.check_silent(stage)
        self.each(one, variant=("full", "no-uidplus", "bare"))

    def test_mended_is_refused_too(self):
        """Refused without a reason until nothing of it is seen any more: then it is wrapped."""
        stage = self.odd_stage("full", refuse=ALL + ["re:(?s)quoted-printable|=\\?|Subject: header only"])
        run = stage.copy("--repair")
        self.assertEqual(run.code, 1, str(run))     # a wrapped one has its Subject: refused for good
        self.assertEqual(set(run.causes()), {"repaired", "refused"}, str(run))
        self.assertEqual(run.causes()["refused"], 2)
        self.assertTrue(all("answer to the repaired one" in x["reason"] for x in run.of("exception")
                            if x["cause"] == "refused"))
        self.assertTrue(any("and then" in x["reason"] for x in run.of("exception") if x["cause"] == "repaired"))
        again = stage.copy()
        self.assertEqual((again.code, dict(again.causes())), (1, {"refused": 2}), str(again))

    def test_everything_is_refused(self):
        """It comes to an end."""
        stage = self.odd_stage("bare", mailbox(["nul"]), refuse=["re:(?s)."])
        run = stage.copy("--repair")
        self.assertEqual(run.code, 1, str(run))
        self.assertEqual(stage.destination.messages("INBOX"), [])
        self.assertLess(stage.destination.count("APPEND"), 11 * 4)

    def test_too_large_to_be_repaired(self):
        stage = self.odd_stage("full", [Mail("INBOX", text("huge", 9 << 20) + "\0", [], EPOCH)])
        run = stage.copy("--repair")
        self.assertEqual((run.code, dict(run.causes())), (1, {"nul": 1}), str(run))
        self.assertIn("larger than 8 MiB it is not repaired", run.of("exception")[0]["reason"])

    def test_other_refusals_stay(self):
        stage = self.stage(mails(6), destination=dict(
            caps("full"), refuse=["re:<INBOX-3@ => Message refused because it contains a virus"]))
        run = stage.copy("--repair")
        self.assertEqual((run.code, dict(run.causes())), (1, {"virus": 2}), str(run))
        self.assertEqual(run.summary["items_repaired"], 0)

    def test_originals_are_kept(self):
        def one(variant):
            stage = self.odd_stage(variant)
            directory = pathlib.Path(stage.directory, "originals")
            run = stage.copy("--repair", "--keep-originals", str(directory))
            self.check_repaired(stage, run)
            self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
            kept = {path.name: path.read_bytes() for path in directory.iterdir()}
            self.assertEqual(sorted(kept.values()), sorted(body for body, _ in oddities().values()))
            for name, body in kept.items():
                self.assertEqual(name, hashlib.blake2b(body, digest_size=16).hexdigest() + ".eml")
                self.assertEqual(stat.S_IMODE((directory / name).stat().st_mode), 0o600)
                self.assertEqual(sum("kept as " + name in x["reason"] for x in run.of("exception")), 2)
        self.each(one, variant=("full", "bare"))

    def test_originals_cannot_be_kept(self):
        """Then nothing is repaired; the rest of the mailbox is copied."""
        stage = self.odd_stage("full")
        directory = pathlib.Path(stage.directory, "originals")
        directory.mkdir()
        for body, _ in oddities().values():         # what stands there is not ours
            (directory / (hashlib.blake2b(body, digest_size=16).hexdigest() + ".eml")).mkdir()
        run = stage.copy("--repair", "--keep-originals", str(directory))
        self.assertEqual(run.code, 1, str(run))
        self.assertEqual(run.summary["items_repaired"], 0)
        self.assertTrue(all("could not be kept" in x["reason"] for x in run.of("exception")), str(run))
        self.assertEqual(len(stage.destination.messages("INBOX")), 9)

    def test_a_directory_that_is_none(self):
        stage = self.stage(mails(1))
        file = pathlib.Path(stage.directory, "file")
        file.write_text("", encoding="ascii")
        for words in (("--repair", "--keep-originals", str(file)), ("--keep-originals", str(file))):
            run = stage.copy(*words)
            self.check_error(run, 2, "keep-originals")
        self.assertEqual(stage.destination.count("APPEND"), 0)


class Kill:
    """Kills at one step of a copy with repairs; then the next run ends it."""
    def __init__(self, variant, role, step):
        self.variant, self.role, self.step = variant, role, step

    def __str__(self):
        return "%s %s:%d" % (self.variant, self.role, self.step)

    def walk(self):
        outer = Accidents()
        with Stage(destination={"caps": VARIANTS[self.variant], "refuse": ALL}) as stage:
            stage.fill(mailbox(["nul", "signed", "end", "large"]))
            stage.before = stage.at_source()
            directory = os.path.join(stage.directory, "originals")
            options = ("--repair", "--keep-originals", directory)
            run = stage.copy(*options, stop="%s:%d" % (self.role, self.step))
            reached = run.code in (STOPPED, KILLED)
            if reached:
                run = stage.copy(*options)
            outer.check_repaired(stage, run, told=not reached)
            outer.assertEqual(len(os.listdir(directory)), 4)
            outer.check_silent(stage, *options)
            outer.check_source(stage)
            return reached


class Accidents(Repaired):
    def test_lost_replies(self):
        """Each upload in turn loses its reply: those of the exact, the mended and the wrapped bytes."""
        box = mailbox(["nul", "signed", "lf"])

        def one(variant, event, action):
            stage = self.odd_stage(variant, box, script="on APPEND %d: %s" % (event, action))
            run = stage.copy("--repair")
            if stage.destination.unfired():
                stage.destination.rules = []
                return
            self.check_repaired(stage, run)
            self.check_silent(stage, "--repair")
        self.each(one, variant=("full", "no-uidplus", "bare"), event=range(1, 31),
                  action=("store-then-drop", "drop"))

    def test_lost_and_killed(self):
        """The reply to a repaired message is lost, and then godwit; a pass without --repair settles it."""
        def one(variant, event, options):
            stage = self.odd_stage(variant, mailbox(["nul"], twins=False), script=(
                "on APPEND %d: store-then-drop\non CONNECT 2: call kill" % event))
            stage.destination.calls["kill"] = lambda session, command: os.killpg(stage.process.pid, signal.SIGKILL)
            run = stage.copy("--repair")
            if stage.destination.unfired():
                stage.destination.rules = []
                return
            self.assertEqual(run.code, KILLED, str(run))
            run = stage.copy(*options)
            if not options and "nul" in run.causes():   # it was not stored, and nobody asks for repairs now
                run = stage.copy("--repair")
            self.check_repaired(stage, run, told=False)
            self.check_silent(stage)
        self.each(one, variant=("full", "no-uidplus", "bare"), event=range(1, 14), options=((), ("--repair",)))

    def test_killed_at_each_step(self):
        """Of the worker, what it wrote lost or durable; of the controller."""
        for variant in ("full", "no-uidplus", "bare"):
            for role in ("worker", "durable", "controller"):
                with self.subTest(variant=variant, role=role):
                    report = walk([Kill(variant, role, step) for step in range(2, 120, 5 if variant == "full" else 9)])
                    self.assertFalse(report.failures, str(report))
                    self.assertGreater(report.walked, 5, str(report))

    def test_moved_at_the_source(self):
        """A repaired message is one message all the same: moved, it moves; deleted, it goes."""
        def one(variant):
            stage = self.odd_stage(variant, mailbox(["nul", "signed"], twins=False) + [Mail("Box", text("x"), [], EPOCH)])
            self.assertEqual(stage.copy("--repair").code, 0)
            odd = [m["uid"] for m in stage.source.messages("INBOX") if is_odd(stage.source.body("INBOX", m["uid"]))]
            bodies = {stage.source.body("INBOX", uid): m for uid in odd for m in stage.source.messages("INBOX")
                      if m["uid"] == uid}
            uploads = stage.destination.count("APPEND")
            for body, m in bodies.items():
                stage.source.add("Box", body, m["flags"], m["epoch"])
            stage.source.expunge("INBOX", ",".join(map(str, odd)))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(run.summary["items_moved"], 2, str(run))
            self.assertEqual(stage.destination.count("APPEND"), uploads, "sent again")
            self.assertEqual(len(stage.destination.messages("Box")), 3)
            self.check_silent(stage)
            stage.source.expunge("Box", "1:*")
            run = stage.copy("--deletions", "mirror", "--deletions-limit", "100")
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(stage.destination.messages("Box"), [])
        self.each(one, variant=("full", "no-multiappend"))

    def test_new_ids(self):
        """Either folder gets another UIDVALIDITY: repaired messages are known again by the header that was sent."""
        def one(variant, side):
            stage = self.odd_stage(variant, mailbox(twins=False))
            self.assertEqual(stage.copy("--repair").code, 0)
            before = len(stage.destination.messages("INBOX"))
            getattr(stage, side).uidvalidity("INBOX")
            run = stage.copy("--repair")
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(len(stage.destination.messages("INBOX")), before, "doubled: %s" % run)
            self.check_silent(stage)
        self.each(one, variant=("full", "bare"), side=("source", "destination"))


if __name__ == "__main__":
    unittest.main()
