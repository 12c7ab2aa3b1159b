#!/usr/bin/python3
"""The flight recorder: what --record leaves can be played again, and gives nothing away."""

import base64
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

from case import Case, FULL, KILLED, Mail, VARIANTS, mails
from stage import GODWIT, PASSWORD, Stage, small_mailbox, text, tiny_mailbox, without

import fakeimap
import player
import replay

SCRIPTS = pathlib.Path(fakeimap.__file__).parent / "scripts"
SLOW = {"network-dribble", "server-slow"}
#: Scripts for what only later passes ask.
LATER = {"qresync-lies", "folder-restored-backup"}


class RecordCase(Case):
    """A run of godwit that leaves a record, and its replay."""

    def recorded(self, stage, *options, expect=(0, 1), **given):
        """(run, path of its record)."""
        path = os.path.join(stage.directory, "record%d" % len(os.listdir(stage.directory)))
        run = stage.copy("--record", path, *options, **given)
        self.assertIn(run.code, expect, str(run))
        return run, path

    def check_replay(self, path):
        again = replay.Replay(path, GODWIT)
        problems = again.run()
        self.assertEqual(problems, [], again.err)
        return again


class Replays(RecordCase):
    """Recorded, and played: godwit ends the same."""

    def scripted(self, name, side):
        script = (SCRIPTS / (name + ".txt")).read_text(encoding="utf-8")
        with Stage(**{side: {"caps": FULL, "script": script}}) as stage:
            stage.fill(tiny_mailbox() if name in SLOW else small_mailbox())
            _, path = self.recorded(stage, "--timeout", "2", expect=range(256))
            self.check_replay(path)

    def test_scripts(self):
        """Each misbehaviour that the kit knows, at either side."""
        names = sorted(path.stem for path in SCRIPTS.glob("*.txt"))
        self.assertGreater(len(names), 40)
        self.each(self.scripted, at_once=8, name=[name for name in names if name not in LATER],
                  side=("source", "destination"))

    def test_destinations(self):
        """What a destination can do decides what is said to it."""
        def one(variant):
            with Stage(destination={"caps": VARIANTS[variant]}) as stage:
                stage.fill(small_mailbox())
                _, path = self.recorded(stage)
                self.check_replay(path)
        self.each(one, at_once=4, variant=VARIANTS)

    def test_names(self):
        """Names that must be changed, that are literals, that differ in case only, not ASCII, or mean a role."""
        names = ["Kunden.alt/Maier", "Kunden/alt.Maier", "box", "Box", "Entw&APw-rfe", "&BB8EQAQ4BDIENQRC-/x&-y",
                 "Gesendet", "2019/Rechnung 4711", "q\"uote\\d", "&bad", "caf\u00e9"]
        def one(delimiter):
            with Stage(destination={"caps": FULL, "delimiter": delimiter}) as stage:
                for name in names:
                    stage.fill([Mail(name, text(name.encode("ascii", "replace").decode()), ["Werk", "$Forwarded"])])
                _, path = self.recorded(stage)
                found = pathlib.Path(path).read_text(encoding="utf-8")
                for word in ("Kunden", "Maier", "Rechnung", "BB8EQAQ4BDIENQRC", "Werk", "quote"):
                    self.assertNotIn(word, found)
                self.assertIn("Gesendet", found)
                self.check_replay(path)
        self.each(one, delimiter=("/", "."))

    def test_looking(self):
        """verify and check leave records too."""
        def one(command):
            with Stage() as stage:
                stage.fill(small_mailbox())
                stage.copy()
                path = os.path.join(stage.directory, "looked")
                done = subprocess.run([GODWIT, *command, "--record", path, *stage.words, *stage.urls()], timeout=60,
                                      stdin=subprocess.DEVNULL, capture_output=True, check=False)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                self.check_replay(path)
        self.each(one, command=(["check"], ["verify"], ["verify", "--digest"]))

    def test_one_side(self):
        """By hand: fakeimap.py --transcript FILE --side SIDE. The client's tags are its own; nonsense is told."""
        with Stage(source={"caps": FULL}) as stage:
            stage.fill(mails(2))
            _, path = self.recorded(stage)
            playing = subprocess.Popen([sys.executable, fakeimap.__file__, "--transcript", path, "--side", "source"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            port = json.loads(playing.stdout.readline())["port"]
            with socket.create_connection(("127.0.0.1", port), 10) as sock:
                lines = sock.makefile("rb")
                self.assertTrue(lines.readline().startswith(b"* OK"))
                sock.sendall(b"mine CAPABILITY\r\n")
                self.assertIn(b"IMAP4rev1", lines.readline())
                self.assertTrue(lines.readline().startswith(b"mine OK"))
                sock.sendall(b"mine2 NONSENSE\r\n")
                self.assertEqual(lines.read(), b"")
            out, _ = playing.communicate("", timeout=20)
            self.assertEqual(playing.returncode, 1)
            self.assertIn("NONSENSE", json.loads(out)["problem"])

    def test_difference_is_found(self):
        """A record that says something else than what happens."""
        with Stage() as stage:
            stage.fill(mails(4))
            _, path = self.recorded(stage)
            told = pathlib.Path(path).read_text(encoding="utf-8")
        changes = {"not recorded": ("C: g8 EXAMINE", "C: g8 SELECT"), "exit: 0 now, 3 then": ('{"exit":0', '{"exit":3'),
                   "not made": ('result {', 'connection source 2\nS: * OK again\nleave\nresult {'),
                   "items_stored": ('"items_stored":4', '"items_stored":5')}
        for word, (old, new) in changes.items():
            with self.subTest(word):
                self.assertIn(old, told)
                other = pathlib.Path(self.stage().directory, "changed")
                other.write_text(told.replace(old, new), encoding="utf-8")
                self.assertIn(word, "\n".join(replay.Replay(str(other), GODWIT).run()))


class Files(RecordCase):
    """The file itself."""

    def test_private_and_new(self):
        """Its owner's alone; what is there is not touched, and nothing is copied."""
        stage = self.stage(mails(2))
        _, path = self.recorded(stage)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        before = pathlib.Path(path).read_bytes()
        run = stage.copy("--record", path)
        self.check_error(run, 2, "is there already")
        self.assertEqual(pathlib.Path(path).read_bytes(), before)
        self.check_error(stage.copy("--record", os.path.join(stage.directory, "no", "where")), 2, "cannot write")

    def test_killed(self):
        """What was recorded until then is a record."""
        stage = self.stage(mails(30), destination={"script": "on APPEND 1: silent"})
        path = os.path.join(stage.directory, "killed")
        process = stage.begin("--record", path)
        self.assertTrue(stage.destination.wait("APPEND", 1, 20))
        time.sleep(0.5)                 # it waits for the answer
        process.send_signal(signal.SIGKILL)
        self.assertEqual(stage.finish(process, time.monotonic()).code, KILLED)
        record = player.Record(path)
        self.assertIsNone(record.result)
        words = [unit.words for unit in record.sides["destination"][0].units]
        self.assertTrue(any(word.startswith("APPEND") for word in words), words)

    def test_stopped(self):
        """Ctrl-C: the record ends as the run does."""
        stage = self.stage(mails(30), destination={"script": "on APPEND 1: silent"})
        path = os.path.join(stage.directory, "stopped")
        process = stage.begin("--record", path)
        self.assertTrue(stage.destination.wait("APPEND", 1, 20))
        process.send_signal(signal.SIGINT)
        stage.finish(process, time.monotonic())
        self.assertIn('"exit":130', player.Record(path).result)


def forms(secret):
    """How a secret might show: as it is, in parts, hexadecimal, in base64 at any offset."""
    data = secret.encode()
    found = {data, data.hex().encode(), data.hex().upper().encode(), data[::-1]}
    found |= {data[at:at + 6] for at in range(len(data) - 5)}
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + data)
        found |= {coded[at:at + 6] for at in range(lead + 2, len(coded) - 8)}
    return {form.lower() for form in found}


class Leaks(RecordCase):
    """Nothing of what is secret or private is in the file, whatever the server says."""

    #: an OAuth token is of such letters too
    WORD = "Zq7-Kw5_Vx9.Jh3~Gp8"
    USER = "zwetschge.quitte"

    def look(self, path, *private):
        found = pathlib.Path(path).read_bytes().lower()
        for secret in (self.WORD, self.USER, *private):
            for form in forms(secret):
                self.assertNotIn(form, found, secret)
        for part in self.USER.split("."):
            self.assertNotIn(part.encode(), found)
        logins = re.findall(rb"(?m)^c: \S+ (?:login|authenticate).*\n.*", found)
        self.assertTrue(logins)
        for login in logins:            # its head, and then the server speaks, or nobody
            self.assertRegex(login, rb"^c: g\d+ (login|authenticate [a-z0-9-]+) \*\n(s: (g\d+|\*) |connection |close|leave)")

    def run_with(self, caps, login="", script="", options=()):
        users = {self.USER: self.WORD}
        stage = Stage(source={"caps": caps, "users": users, "script": script}, destination={"users": users})
        self.stages.append(stage)
        stage.user = self.USER
        pathlib.Path(stage.directory, "password").write_text(self.WORD + "\n", encoding="ascii")
        stage.fill([Mail("Pflaumenmus/Rezept", text("Geheimrezept", extra="X-Zutat: Zimtstange\r\n"), ["Nachtisch"])])
        path = os.path.join(stage.directory, "leak")
        urls = [url.replace("/?", "/?id=%s-%d&" % (os.path.basename(stage.directory), n)) for n, url in enumerate(stage.urls())]
        urls[0] += login
        stage.urls = lambda: urls
        stage.copy("--record", path, *options)
        self.assertGreater(os.path.getsize(path), 500)
        self.look(path, "Pflaumenmus", "Geheimrezept", "Zimtstange", "Nachtisch")
        return stage

    def test_mechanisms(self):
        """Each way to log in, with and without an initial response, let in and refused."""
        bare = without(FULL, "SASL-IR", "AUTH=PLAIN")
        for words in ("AUTH=PLAIN", "AUTH=LOGIN", "AUTH=XOAUTH2", "SASL-IR AUTH=PLAIN", "SASL-IR AUTH=XOAUTH2", ""):
            verb = "AUTHENTICATE" if words else "LOGIN"
            for script in ("", "on %s *: reply NO [AUTHENTICATIONFAILED] no" % verb):
                with self.subTest(words, script=script):
                    mechanism = words.rpartition("=")[2].lower()
                    stage = self.run_with(bare + " " + words, "&auth=" + mechanism if mechanism else "", script)
                    self.assertGreater(stage.source.count(verb), 0)

    def test_talkative_server(self):
        """It names the user wherever it can."""
        said = "[ALERT] user %s <%s@example.org> is welcome" % (self.USER, self.USER)
        self.run_with(FULL, script="on ANY *: extra \"* OK %s\"\non NAMESPACE: reply NO %s\non EXAMINE: extra "
                                   "\"* X-OWNER %s (%s \\\"%s\\\")\"" % (said, said, self.USER, self.USER, self.USER))

    def test_mail_in_the_wrong_place(self):
        """What is behind a literal that was announced too short is mail, not the server's words."""
        self.run_with(FULL, script="on FETCH-BODY *: announce-literal 40")

    def test_debug(self):
        """Nor is it in the log."""
        stage = self.stage(mails(1))
        run = stage.copy("--record", os.path.join(stage.directory, "debug"), "--debug")
        for form in forms(PASSWORD):
            self.assertNotIn(form, run.err.encode().lower())


if __name__ == "__main__":
    unittest.main()
