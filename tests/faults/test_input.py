#!/usr/bin/python3
"""Bad input: each gives one clear sentence, the right exit code, and a state from which the next run goes on."""

import base64
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
import unittest

from case import Case, EPOCH, FULL, Mail, STOPPED, caps, mails, text
from stage import BARE, GODWIT, PASSWORD, Run, Stage, certs, scratch, without

LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def small_disk(path, size="256k"):
    """A file system of that size at path; for root only."""
    os.makedirs(path, exist_ok=True)
    if os.geteuid() or LIBC.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, ("size=" + size).encode()):
        raise unittest.SkipTest("cannot mount a file system here")
    try:
        yield path
    finally:
        LIBC.umount2(os.fsencode(path), 2)


@contextlib.contextmanager
def listener(talk):
    """A port where `talk(socket)` answers each connection."""
    sock = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                peer = sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=talk, args=(peer,), daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield sock.getsockname()[1]
    finally:
        sock.close()


class Ends(Case):
    """Both ends, one after the other: where the trouble is must not matter."""

    SIDES = ("source", "destination")

    def then(self, stage):
        """The trouble is over: the next run copies all."""
        stage.source.rules = []
        stage.destination.rules = []
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def host(self, stage, side):
        return "127.0.0.1" if side == "source" else "localhost"


class Login(Ends):
    def test_wrong_password(self):
        def one(side, variant):
            stage = self.stage(mails(3), source=caps(variant), destination=caps(variant))
            server = getattr(stage, side)
            server.world.account().password = "another"
            run = stage.copy()
            self.check_error(run, 12, self.host(stage, side), stage.user)
            self.assertNotIn(PASSWORD, run.err + run.out)
            self.assertLessEqual(server.count("AUTHENTICATE") + server.count("LOGIN"), 1, "tried again: accounts get locked")
            self.assertEqual(stage.destination.count("CREATE") + stage.destination.count("APPEND"), 0)
            server.world.account().password = PASSWORD
            self.then(stage)
        self.each(one, side=self.SIDES, variant=("full", "bare"))

    def test_wrong_password_later(self):
        """It was changed between two connections of one run."""
        for side in self.SIDES:
            with self.subTest(side=side):
                stage = self.stage(mails(3), source={"script": "on FETCH-BODY 1: drop"},
                                   destination={"script": "on APPEND 1: drop"})
                other = getattr(stage, side)
                other.script("on AUTHENTICATE 2: reply NO [AUTHENTICATIONFAILED] Wrong")
                run = stage.copy()
                self.assertEqual(run.code, 12, str(run))
                self.then(stage)

    def test_logged_in_and_not_connected(self):
        """Exchange says OK to a login and refuses all that follows: an account failure, no loop."""
        def one(side):
            stage = self.stage(mails(3))
            server = getattr(stage, side)
            server.script("on NAMESPACE *: reply BAD User is authenticated but not connected.")
            run = stage.copy()
            self.check_error(run, 12, "not connected")
            self.assertLessEqual(server.count("NAMESPACE"), 3, "a loop")
            self.then(stage)
        self.each(one, side=self.SIDES)

    def test_no_mechanism(self):
        def one(side):
            stage = self.stage(mails(2), **{side: {"caps": "IMAP4rev1 LOGINDISABLED AUTH=KERBEROS_V4"}})
            run = stage.copy()
            self.check_error(run, 12, "mechanism|login")
        self.each(one, side=self.SIDES)

    def test_password_sources(self):
        stage = self.stage(mails(1))
        good = stage.words
        empty = os.path.join(stage.directory, "empty")
        pathlib.Path(empty).write_text("", encoding="ascii")
        for words, code in (
                (["--source-password-file", "/nonexistent/file", *good[2:]], 2),
                (["--source-password-file", empty, *good[2:]], 2),
                (["--source-password-env", "NO_SUCH_VARIABLE", *good[2:]], 2),
                (["--source-password-command", "exit 3", *good[2:]], 2),
                (["--source-password-command", "true", *good[2:]], 2),
                (good[2:], 2)):
            with self.subTest(words=words):
                stage.words = words
                run = stage.copy()
                self.assertIn(run.code, (code, 12), str(run))
                self.assertEqual(len([l for l in run.err.splitlines() if l.startswith("godwit: ") and "warning" not in l]), 1, run.err)
                self.assertEqual(stage.source.count("AUTHENTICATE"), 0)
        stage.words = good
        self.then(stage)


class Unreachable(Ends):
    def test_nobody_listens(self):
        def one(side):
            stage = self.stage(mails(3))
            sock = socket.create_server(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            sock.close()
            urls = stage.urls()
            at = self.SIDES.index(side)
            urls[at] = urls[at].replace(str(getattr(stage, side).port), str(port))
            stage.urls = lambda: urls
            self.check_error(stage.copy(), 10, str(port), "refuse")
            del stage.urls
            self.then(stage)
        self.each(one, side=self.SIDES)

    def test_no_such_host(self):
        def one(side):
            stage = self.stage(mails(3))
            urls, at = stage.urls(), self.SIDES.index(side)
            urls[at] = urls[at].replace("@127.0.0.1", "@nowhere.invalid").replace("@localhost", "@nowhere.invalid")
            stage.urls = lambda: urls
            self.check_error(stage.copy("--timeout", "5"), 10, "nowhere.invalid")
            del stage.urls
            self.then(stage)
        self.each(one, side=self.SIDES)

    def test_hangs_up_at_once(self):
        def one(side, how):
            stage = self.stage(mails(3))
            getattr(stage, side).script("on CONNECT *: %s" % how)
            self.check_error(stage.copy(), 10, self.host(stage, side))
            self.then(stage)
        self.each(one, side=self.SIDES, how=("drop", "bye Go away", "reset"))

    def test_never_speaks(self):
        def one(side):
            stage = self.stage(mails(3))
            getattr(stage, side).script("on CONNECT 1: silent")
            self.check_error(stage.copy("--timeout", "1"), 10, self.host(stage, side), "1 second")
            self.then(stage)
        self.each(one, side=self.SIDES)

    def test_one_refuses_one_never_speaks(self):
        """Who cannot log in at one side is told so at once, whatever the other one does meanwhile."""
        stage = self.stage(mails(3))
        stage.source.script("on CONNECT 1: silent")
        stage.destination.world.account().password = "another"
        run = stage.copy("--timeout", "20")
        self.check_error(run, 12, self.host(stage, "destination"), stage.user)
        self.assertLess(run.seconds, 10, "it waited for the other one")

    def test_not_imap(self):
        """Another service, or noise."""
        greetings = (b"220 mail.example.org ESMTP\r\n", b"+OK POP3 ready\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n",
                     b"\x00\xff\x13\x37" * 500, b"SSH-2.0-OpenSSH\r\n", b"\x1b[2J\x1b[31mpwned\x07\r\n",
                     b"a" * 3000000, b"* " + b"(" * 100000 + b"\r\n", b"\r\n" * 5, b"* OK \x1b]0;title\x07 hi\r\nnoise\r\n")

        def one(side, number):
            def talk(peer):
                with contextlib.suppress(OSError):
                    peer.sendall(greetings[number])
                    peer.recv(1000)
                    peer.sendall(greetings[number])
                    peer.settimeout(3)
                    peer.recv(1000)
                peer.close()
            with listener(talk) as port:
                stage = self.stage(mails(3))
                urls, at = stage.urls(), self.SIDES.index(side)
                urls[at] = urls[at].replace(str(getattr(stage, side).port), str(port))
                stage.urls = lambda: urls
                self.check_error(stage.copy("--timeout", "2"), 10, self.host(stage, side))
                del stage.urls
                self.then(stage)
        self.each(one, side=self.SIDES, number=range(len(greetings)))

    def test_garbage_later(self):
        """Garbage in the middle of the work: the link is given up, and the work goes on over another."""
        def one(side, event, junk):
            stage = self.stage(mails(6), destination={"caps": without(FULL, "LIST-STATUS")})    # STATUS is asked then
            getattr(stage, side).script('on %s 1: garbage "%s"' % (event, junk))
            self.check_exact(stage, stage.copy("--timeout", "1"))
            self.check_idle(stage)
        self.each(one, side=("source",), event=("LIST", "EXAMINE", "FETCH-META", "FETCH-BODY"),
                  junk=("\\x00\\x01\\xff\\r\\n", "* 1 FETCH (UID 1 BODY[] {5}\\r\\nabcdeXX\\r\\n", "<html>\\r\\n", "* (((((\\r\\n"))
        self.each(one, side=("destination",), event=("LIST", "APPEND", "STATUS", "EXAMINE"),
                  junk=("\\x00\\x01\\xff\\r\\n", "<html>\\r\\n", "* (((((\\r\\n", "+ go on\\r\\n"))

    def test_endless_line(self):
        """A server that never ends its line does not eat our memory."""
        def one(side):
            sent = []

            def talk(peer):
                with contextlib.suppress(OSError):
                    peer.sendall(b"* OK hello")
                    while True:
                        peer.sendall(b"x" * 100000)
                        sent.append(100000)
            with listener(talk) as port:
                stage = self.stage(mails(1))
                urls, at = stage.urls(), self.SIDES.index(side)
                urls[at] = urls[at].replace(str(getattr(stage, side).port), str(port))
                stage.urls = lambda: urls
                self.check_error(stage.copy("--timeout", "3"), 10)
                self.assertLess(sum(sent), 50000000)
        self.each(one, side=self.SIDES)


class Tls(Ends):
    @classmethod
    def setUpClass(cls):
        cls.directory = scratch()
        cls.authority = certs.Authority(cls.directory)
        cls.trust = ["--ca-file", cls.authority.ca_file]

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["rm", "-rf", cls.directory], check=True)

    def tls_stage(self, side, tls="implicit", flaw="good", **given):
        def server(flawed):
            certificate = self.authority.flawed(flawed)
            return {"tls": tls, "cert": certificate.chain, "key": certificate.key}
        ends = {end: dict(server(flaw if end == side else "good"), **(given if end == side else {})) for end in self.SIDES}
        return self.stage(mails(3), **ends)

    def copy(self, stage, *words):
        return stage.copy(*self.trust, *words, env={"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""})

    def test_good(self):
        for tls in ("implicit", "starttls"):
            with self.subTest(tls=tls):
                stage = self.tls_stage("source", tls)
                self.check_exact(stage, self.copy(stage))

    def test_flaws(self):
        def one(side, tls, flaw):
            stage = self.tls_stage(side, tls, flaw)
            run = self.copy(stage)
            self.check_error(run, 11, "certificate")
            self.assertEqual(getattr(stage, side).count("AUTHENTICATE") + getattr(stage, side).count("LOGIN"), 0,
                             "credentials were sent")
            self.assertEqual(stage.destination.count("APPEND"), 0)
            run = self.copy(stage, "--insecure")
            self.assertEqual((run.code, stage.difference()), (0, ""), str(run))
        self.each(one, side=self.SIDES, tls=("implicit", "starttls"), flaw=sorted(certs.FLAWS))

    def test_not_trusted(self):
        """Without --ca-file the system's authorities count, and they do not know ours."""
        stage = self.tls_stage("source")
        self.check_error(stage.copy(), 11, "certificate")

    def test_plain_port(self):
        """TLS where no TLS is spoken, and the reverse."""
        stage = self.stage(mails(1))
        urls = [url.replace("imap://", "imaps://").replace("?tls=none", "") for url in stage.urls()]
        stage.urls = lambda: urls
        run = stage.copy("--timeout", "3")
        self.assertIn(run.code, (10, 11), str(run))
        stage = self.tls_stage("source")
        urls = [url.replace("imaps://", "imap://") for url in stage.urls()]
        stage.urls = lambda: urls
        run = stage.copy("--timeout", "1", *self.trust)
        self.assertIn(run.code, (10, 11), str(run))

    def test_starttls_missing(self):
        def one(side, allow):
            stage = self.tls_stage(side, "starttls")
            getattr(stage, side).script('on CAPABILITY *: replace " STARTTLS" ""; replace " LOGINDISABLED" " AUTH=PLAIN"')
            getattr(stage, side).options.allow_clear = allow
            self.check_error(self.copy(stage), 11, "STARTTLS")
            self.assertEqual(getattr(stage, side).clear_logins, 0, "credentials were sent in clear text")
        self.each(one, side=self.SIDES, allow=(False, True))

    def test_starttls_refused(self):
        def one(side, answer):
            stage = self.tls_stage(side, "starttls", allow_clear=True)
            getattr(stage, side).script("on STARTTLS *: " + answer)
            run = self.copy(stage, "--timeout", "1")
            self.assertIn(run.code, (10, 11), str(run))
            self.assertEqual(getattr(stage, side).clear_logins, 0, "credentials were sent in clear text")
        self.each(one, side=self.SIDES, answer=("reply NO Not now", "reply BAD What", "bye Go", "drop", "silent",
                                                'garbage "* OK hi\\r\\n"'))

    def test_injection(self):
        """Bytes in the packet of STARTTLS's OK are an attack."""
        def one(side, line):
            stage = self.tls_stage(side, "starttls", allow_clear=True)
            getattr(stage, side).script('on STARTTLS 1: inject-after-starttls "%s"' % line)
            self.check_error(self.copy(stage), 11, "clear text|TLS")
            self.assertEqual(getattr(stage, side).clear_logins, 0)
            self.assertEqual(getattr(stage, side).count("AUTHENTICATE"), 0)
        self.each(one, side=self.SIDES, line=("* CAPABILITY IMAP4rev1 AUTH=PLAIN", "* BYE x", "g2 OK done", "x"))

    def test_preauth(self):
        """PREAUTH before TLS: how attackers keep a connection in clear text."""
        def one(side):
            stage = self.tls_stage(side, "starttls", allow_clear=True)
            getattr(stage, side).script("on CONNECT *: preauth-greeting")
            self.check_error(self.copy(stage), 11, "PREAUTH")
            self.assertEqual(getattr(stage, side).count() - getattr(stage, side).count("LOGOUT"), 0, "something was sent")
            self.assertEqual(getattr(stage, side).clear_logins, 0)
        self.each(one, side=self.SIDES)

    def test_preauth_is_welcome_inside_tls(self):
        stage = self.tls_stage("source", "implicit")
        stage.source.script("on CONNECT *: preauth-greeting")
        run = self.copy(stage)
        self.assertEqual(run.code, 0, str(run))

    def test_words_before_tls(self):
        """What is said before TLS is not shown, and not believed after it."""
        stage = self.tls_stage("source", "starttls", caps=FULL)
        stage.source.options.greeting = "[ALERT] call +1-555-SCAM now"
        run = self.copy(stage, "--debug")
        self.assertEqual(run.code, 0, str(run))
        self.assertNotIn("SCAM", run.out)

    def test_cut_in_tls(self):
        """A link that is cut inside TLS is mended as any other."""
        def one(side, tls):
            stage = self.tls_stage(side, tls)
            getattr(stage, side).script("on %s 1: drop" % ("FETCH-BODY" if side == "source" else "APPEND"))
            self.check_exact(stage, self.copy(stage))
        self.each(one, side=self.SIDES, tls=("implicit", "starttls"))


class Names(Case):
    """Folder names from everywhere: all arrive somewhere, none is lost, the second pass finds them again."""

    STRANGE = ("a.b", "a\\b", 'quo"te', "100%", "st*r", "{5}", "~home", "..", "../../etc/passwd", "sp ace", " lead",
               "trail ", "tab\there", "bell\x07", "esc\x1b[31m", "new\x85line", "(par)", "INBOX2", "inbox/sub",
               "&AOQ-rger", "&broken", "&!!!-", "&AOQ", "&&&-", "raw\xe9", "&-", "x" * 200, "#news", "[Gmail]",
               "&MAA-", "con", "a/b/c", "CaSe", "case")

    def copy(self, names, source=None, destination=None):
        box = [Mail(name, text("in-%d" % n, 300), [], EPOCH + n) for n, name in enumerate(names)]
        stage = self.stage(box, source=source, destination=destination)
        run = stage.copy()
        self.assertIn(run.code, (0, 1), str(run))
        refused = {x["folder"] for x in run.of("exception") if x["cause"] in ("folder-refused", "folder-gone")}
        arrived = {key[1] for key in stage.at_destination()}
        for name in names:
            for m in stage.source.messages(name):
                if m["sha256"] not in arrived:
                    self.assertTrue(refused, "%r was lost without a word: %s" % (name, run))
        self.assertEqual(len(arrived) + len(refused), len(names), "%s %s" % (refused, run))
        self.assertEqual(sum(stage.at_destination().values()), len(arrived), "doubled")
        self.assertFalse(any(ord(c) < 32 for line in run.out.splitlines() for c in line), "control characters in the events")
        uploads, before = stage.destination.count("APPEND"), sorted(stage.destination.state()["folders"])
        again = stage.copy()
        self.assertEqual(again.code, run.code, str(again))
        self.assertEqual(stage.destination.count("APPEND"), uploads, "uploaded again")
        self.assertEqual(sorted(stage.destination.state()["folders"]), before, "other folders the second time")
        return stage, run

    def test_strange(self):
        def one(source, destination):
            stage, run = self.copy(self.STRANGE, {"delimiter": source[0], "prefix": source[1]},
                                   {"delimiter": destination[0], "prefix": destination[1]})
            self.assertEqual(run.code, 0, str(run))
        ends = (("/", ""), (".", "INBOX."), ("\\", ""), ("", ""))
        self.each(one, at_once=4, source=ends, destination=ends)

    def test_one_by_one(self):
        """Each alone, so that none hides behind another."""
        def one(name, delimiter):
            stage, run = self.copy((name,), None, {"delimiter": delimiter})
            self.assertEqual(run.code, 0, str(run))
        self.each(one, name=self.STRANGE, delimiter=("/", "."))

    def test_literal_names(self):
        for side in ("source", "destination"):
            for form in ("literal", "atom"):
                with self.subTest(side=side, form=form):
                    self.copy(("Plain", 'quo"te', "back\\slash", "sp ace"), **{side: {"list_names": form}})

    def test_names_refused(self):
        """The destination refuses some: other names are tried, and what is refused for good is named."""
        self.copy(("Good", "Bad1", "Bad2"), None, {"refuse_name": ["^Bad => [CANNOT] Not that"]})
        stage, run = self.copy(("Good", "Bad"), None, {"refuse_name": ["^(?!INBOX|Good) => [CANNOT] Nothing new"]})
        self.assertEqual((run.code, dict(run.causes())), (1, {"folder-refused": 1}), str(run))

    def test_case_insensitive_destination(self):
        stage, run = self.copy(("Case", "case", "CASE"), None, {"case_insensitive": True})
        self.assertEqual(run.code, 0, str(run))
        self.assertTrue(run.causes().get("folder-renamed"), str(run))

    def test_subscribed_where_they_are(self):
        """Folders that the destination has are subscribed, over the one link."""
        def one(variant):
            names = ("Plain", "quo\"te", "Zed")
            stage = self.stage(mails(2), destination=dict(caps(variant), folder=list(names)))
            for name in names:
                stage.source.add(name, text(name), [], EPOCH)
            stage.source.world.account().subscribed.update(names)
            self.check_exact(stage, stage.copy("--lanes", "1"))
            self.assertEqual(stage.destination.world.account().subscribed, set(names))
            self.assertEqual(stage.destination.count("LOGIN") + stage.destination.count("AUTHENTICATE"), 1, "the link was lost")
        self.each(one, variant=("full", "bare"))

    def test_no_inferiors(self):
        self.copy(("Up", "Up/Down", "Up/Down/Deep"), None, {"no_inferiors": True})

    def test_too_long(self):
        self.copy(("x" * 90, "x" * 91, "short"), None, {"max_name": 60})

    def test_list_extended_lies(self):
        """LIST-EXTENDED is advertised, and fails, or answers nothing."""
        def one(side, answer):
            box = [Mail("Box", text("a"), [], EPOCH), Mail("INBOX", text("b"), [], EPOCH)]
            stage = self.stage(box, **{side: {"script": 'on LIST * line "RETURN": %s' % answer}})
            run = stage.copy()
            self.check_exact(stage, run)
            self.check_idle(stage)
        self.each(one, side=("source", "destination"),
                  answer=("reply BAD Unknown", "reply NO [CANNOT] No", 'omit "^\\\\* LIST"', "reply OK nothing"))

    def test_list_fails(self):
        """No listing at all is an error, never an empty mailbox."""
        def one(side, answer):
            stage = self.stage(mails(2), **{side: {"script": "on LIST *: %s\non LSUB *: %s" % (answer, answer)}})
            stage_run = stage.copy()
            self.assertNotEqual(stage_run.code, 0, str(stage_run))
            stage.source.rules, stage.destination.rules = [], []
            self.check_exact(stage, stage.copy())
        self.each(one, side=("source", "destination"), answer=("reply NO [SERVERBUG] broken",))

    def test_status_lies(self):
        """LIST-STATUS tells nothing or nonsense."""
        def one(edit):
            stage = self.stage(mails(3) + mails(2, "Box"), source={"script": "on LIST *: %s" % edit})
            self.check_exact(stage, stage.copy())
            self.assertIn(stage.copy().code, (0, 1))
            stage.source.rules = []
            self.check_idle(stage)
        self.each(one, edit=('omit "STATUS"', 'replace "MESSAGES \\d+" "MESSAGES 0"', 'replace "UIDNEXT \\d+" "UIDNEXT 1"',
                             'replace "HIGHESTMODSEQ \\d+" "HIGHESTMODSEQ 0"'))

    def test_status_lies_always(self):
        """A glance that always says the same must not hide new mail for ever where SELECT would tell."""
        stage = self.stage(mails(3))
        self.check_exact(stage, stage.copy())
        stage.fill(mails(2, size=900, twins=False))
        stage.source.script('on LIST *: omit "STATUS"')
        self.check_exact(stage, stage.copy())


class State(Case):
    """The state directory."""

    def begin(self):
        stage = self.stage(mails(3))
        self.check_exact(stage, stage.copy())
        return stage

    def database(self, stage):
        return os.path.join(stage.state_dir, "ledger.db")

    def test_another_version(self):
        stage = self.begin()
        with contextlib.closing(sqlite3.connect(self.database(stage))) as db:
            db.execute("PRAGMA user_version=77")
            db.commit()
        self.check_error(stage.copy(), 30, "version 77", "version 2")
        self.assertEqual(stage.destination.count("APPEND"), 1)
        with contextlib.closing(sqlite3.connect(self.database(stage))) as db:
            db.execute("PRAGMA user_version=2")
            db.commit()
        self.check_idle(stage)

    def test_rebuild(self):
        """A damaged ledger is made anew from both ends; a dry run leaves it alone."""
        stage = self.begin()
        path = self.database(stage)
        with open(path, "r+b") as file:
            file.write(b"x" * 8192)
        self.check_error(stage.copy(), 30, "damaged")
        words = stage.command()
        words[1:2] = ["ledger", "rebuild"]
        for option, code in ("--dry-run", 30), ("--quiet", 0):
            done = subprocess.run([*words[:3], option, *words[3:]], capture_output=True, check=False)
            self.assertEqual(done.returncode, code, done)
            self.assertEqual(os.path.exists(path + ".damaged-1"), code == 0)
        self.check_idle(stage)
        self.assertEqual(stage.destination.count("APPEND"), 1)

    def test_not_a_database(self):
        stage = self.stage(mails(1))
        os.makedirs(stage.state_dir)
        pathlib.Path(self.database(stage)).write_bytes(b"this is no database " * 100)
        self.check_error(stage.copy(), 30, "not a godwit ledger")
        self.assertEqual(pathlib.Path(self.database(stage)).read_bytes(), b"this is no database " * 100, "it was overwritten")
        os.remove(self.database(stage))
        self.check_exact(stage, stage.copy())

    def test_another_programs_database(self):
        stage = self.stage(mails(1))
        os.makedirs(stage.state_dir)
        with contextlib.closing(sqlite3.connect(self.database(stage))) as db:
            db.execute("CREATE TABLE cookies(x)")
            db.commit()
        self.check_error(stage.copy(), 30, "another program")

    def test_damaged(self):
        stage = self.begin()
        size = os.path.getsize(self.database(stage))
        for suffix in ("-wal", "-shm"):
            if os.path.exists(self.database(stage) + suffix):
                os.remove(self.database(stage) + suffix)
        with open(self.database(stage), "r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (size - 100))
        self.check_error(stage.copy(), 30, "damaged|not a godwit ledger")
        self.assertEqual(stage.destination.count("APPEND"), 1, "uploaded again")

    def test_damaged_records(self):
        """A sound file with records that make no sense."""
        for kind in "pfins":
            with self.subTest(kind=kind):
                stage = self.begin()
                with contextlib.closing(sqlite3.connect(self.database(stage))) as db:
                    db.execute("UPDATE record SET value = x'ffffffffffff' WHERE substr(key, 1, 1) = ?", (kind.encode(),))
                    db.commit()
                stage.fill(mails(1, size=999))
                run = stage.copy()
                self.assertIn(run.code, (0, 30), str(run))
                if run.code == 30:
                    self.check_error(run, 30, "damaged")

    def test_a_file_in_its_place(self):
        stage = self.stage(mails(1))
        pathlib.Path(stage.state_dir).write_text("x", encoding="ascii")
        self.check_error(stage.copy(), 30, "not a directory")
        stage.state_dir += "/below/it"
        self.check_error(stage.copy(), 30, "not a directory")

    def test_read_only(self):
        if os.geteuid():
            self.skipTest("needs root")
        stage = self.stage(mails(1))
        with small_disk(stage.state_dir, "4m"):
            if LIBC.mount(None, os.fsencode(stage.state_dir), None, 32 | 1, None):       # MS_REMOUNT | MS_RDONLY
                self.skipTest("cannot remount")
            self.check_error(stage.copy(), 30, "read-only|may not be written|cannot")
        self.check_exact(stage, stage.copy())

    def test_unwritable(self):
        stage = self.stage(mails(1))
        stage.state_dir = "/proc/nothing/here"
        self.check_error(stage.copy(), 30, "/proc")

    def test_full_disk(self):
        """It fills up while we write, wherever that is: a sentence, and the next run goes on."""
        def one(size):
            stage = self.stage(mails(250, size=200, twins=False))
            with small_disk(stage.state_dir, size):
                run = stage.copy()
                if run.code == 0:
                    return                          # it was enough
                self.check_error(run, 30, "full disk|No space left")
                self.check_no_half(stage)
                self.assertFalse(stage.at_destination() - stage.at_source(), "doubled")
                LIBC.mount(None, os.fsencode(stage.state_dir), None, 32, b"size=64m")
                self.check_exact(stage, stage.copy())
                self.check_idle(stage)
        self.each(one, size=["%dk" % k for k in (4, 16, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128)])

    def test_rights(self):
        """Nobody else may read what godwit remembers."""
        stage = self.begin()
        self.assertEqual(stat.S_IMODE(os.stat(stage.state_dir).st_mode), 0o700)
        for name in os.listdir(stage.state_dir):
            mode = stat.S_IMODE(os.stat(os.path.join(stage.state_dir, name)).st_mode)
            self.assertEqual(mode & 0o077, 0, name)

    def test_report_cannot_be_written(self):
        stage = self.stage(mails(1))
        run = stage.copy("--report", "/nonexistent/report")
        self.assertIn(run.code, (2, 30), str(run))
        self.assertIn("/nonexistent", run.err)
        with small_disk(os.path.join(stage.directory, "small"), "4k") as small:
            pathlib.Path(small, "filler").write_bytes(b"x" * 4096) if os.statvfs(small).f_bavail else None
            run = stage.copy("--report", os.path.join(small, "report"))
            self.assertIn(run.code, (0, 2, 30), str(run))
        self.check_exact(stage, stage.copy())


class Two(Case):
    """Two godwits on one destination account."""

    def hold(self, stage):
        """A run that waits in the middle of its first APPEND."""
        stage.destination.script("on APPEND 1: delay 3")
        begun = time.monotonic()
        process = stage.begin()
        self.assertTrue(stage.destination.wait("APPEND"))
        return process, begun

    def second(self, stage, state_dir):
        other = Stage.__new__(Stage)
        other.__dict__.update(stage.__dict__, state_dir=state_dir)
        begun = time.monotonic()
        process = other.begin()
        out, err = process.communicate(timeout=20)
        return Run(process.returncode, out.decode(), err.decode(), time.monotonic() - begun)

    def test_second_refuses(self):
        for same in (True, False):
            with self.subTest(same_state=same):
                stage = self.stage(mails(3))
                process, begun = self.hold(stage)
                run = self.second(stage, stage.state_dir if same else stage.state_dir + "-other")
                self.check_error(run, 30, "another godwit", str(process.pid))
                self.check_exact(stage, stage.finish(process, begun))
                self.check_idle(stage)

    def test_lock_dies_with_its_holder(self):
        for both in (True, False):
            stage = self.stage(mails(3))
            process, begun = self.hold(stage)
            (os.killpg if both else os.kill)(process.pid, signal.SIGKILL)
            stage.finish(process, begun)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)


class Signals(Case):
    """Ctrl-C, SIGTERM, a closed terminal."""

    EVENTS = ("CONNECT 1", "LIST 1", "APPEND 1", "APPEND 1 after", "APPEND 1 replied")

    def test_signals(self):
        def one(number, variant, event):
            stage = self.stage(mails(9) + [Mail("INBOX", text("big", 1500000), [], EPOCH)],
                               destination=dict(caps(variant), script="on %s: call signal; delay 0.05" % event))
            stage.destination.calls["signal"] = lambda session, command: (
                time.sleep(0.01), os.kill(stage.process.pid, number))
            run = stage.copy("--settle", "0.1")
            self.check_error(run, STOPPED)
            self.assertLess(run.seconds, 5)
            self.assertTrue(any("stopping" in note for note in run.notes), run.notes)
            self.check_no_half(stage)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, number=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP), variant=("full", "bare"), event=self.EVENTS)

    def test_whole_group(self):
        """The terminal signals the worker as well."""
        def one(number):
            stage = self.stage(mails(9), destination={"script": "on APPEND 1: call signal; delay 0.05"})
            stage.destination.calls["signal"] = lambda session, command: os.killpg(stage.process.pid, number)
            self.check_error(stage.copy(), STOPPED)
            self.check_exact(stage, stage.copy())
        self.each(one, number=(signal.SIGINT, signal.SIGHUP))

    def test_silent_server_and_ctrl_c(self):
        """A server that does not answer does not hold us."""
        stage = self.stage(mails(3), destination={"script": "on APPEND 1: call signal; silent"})
        stage.destination.calls["signal"] = lambda session, command: os.kill(stage.process.pid, signal.SIGINT)
        run = stage.copy()
        self.check_error(run, STOPPED)
        self.assertLess(run.seconds, 4, "it waited for the server")
        self.check_exact(stage, stage.copy())

    def test_twice(self):
        """The second Ctrl-C quits at once."""
        stage = self.stage(mails(3), destination={"script": "on APPEND 1: call signal; silent"})

        def twice(session, command):
            os.kill(stage.process.pid, signal.SIGINT)
            time.sleep(0.4)
            with contextlib.suppress(ProcessLookupError):
                os.kill(stage.process.pid, signal.SIGINT)
        stage.destination.calls["signal"] = twice
        self.assertEqual(stage.copy().code, STOPPED)
        self.check_exact(stage, stage.copy())

    def test_while_waiting(self):
        """While it waits for a throttled server, and while it waits to connect again."""
        def one(event):
            stage = self.stage(mails(3), destination={"script": event})
            for server in (stage.destination,):
                server.calls["signal"] = lambda session, command: threading.Timer(
                    0.3, os.kill, (stage.process.pid, signal.SIGINT)).start()
            run = stage.copy()
            self.check_error(run, STOPPED)
            self.assertLess(run.seconds, 5)
            stage.destination.rules = []
            self.check_exact(stage, stage.copy())
        self.each(one, event=("on APPEND 1: call signal; reply NO [THROTTLED] Suggested Backoff Time: 60000 milliseconds",
                              "on APPEND 1: call signal; drop\non CONNECT 2+: drop"))

    def test_stdout_closed(self):
        """Nobody reads the events any more: the pass ends in order, and can be resumed."""
        for reader in ("closed at once", "closed later"):
            with self.subTest(reader=reader):
                stage = self.stage(mails(300, size=200, twins=False) + mails(30, "Box"))
                read, write = os.pipe()
                if reader == "closed at once":
                    os.close(read)
                process = stage.begin(stdout=write)
                os.close(write)
                begun = time.monotonic()
                if reader == "closed later":
                    os.read(read, 10)
                    os.close(read)
                run = stage.finish(process, begun)
                self.assertIn(run.code, (0, STOPPED), str(run))
                self.assertNotIn("Traceback", run.err)
                self.check_exact(stage, stage.copy())
                self.check_idle(stage)

    def test_closed_from_the_start(self):
        """Without standard error, output or input: what would be written there must not go into our own files."""
        def one(closed, output):
            stage = self.stage(mails(5))
            words = [output if word == "json" else word for word in stage.command("--debug")]
            process = subprocess.Popen(["sh", "-c", 'exec "$@" ' + closed, "sh", *words], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            self.assertEqual(process.wait(30), 0)
            self.assertTrue(stage.source.quiet() and stage.destination.quiet())
            lock, = [name for name in os.listdir(stage.state_dir) if name.startswith("lock-")]
            self.assertNotIn("debug", pathlib.Path(stage.state_dir, lock).read_text(encoding="utf-8"))
            self.check_idle(stage)
        self.each(one, closed=("2>&-", ">&-", "2>&- >&-", "<&- 2>&- >&-"), output=("text", "json"))

    def test_worker_killed(self):
        """Somebody kills the worker: said in one sentence, and the next run goes on."""
        for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGTERM):   # SIGSEGV is the sanitizers'
            with self.subTest(number=number):
                stage = self.stage(mails(5), destination={"script": "on APPEND 1: call kill; delay 0.1"})

                def kill(session, command):
                    pid = stage.process.pid
                    child = open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii").read().split()[0]
                    os.kill(int(child), number)
                stage.destination.calls["kill"] = kill
                run = stage.copy()
                self.check_error(run, 70 if number == signal.SIGABRT else STOPPED)
                self.check_exact(stage, stage.copy())


class Secrets(Case):
    """A password, or what it is made of on the wire, appears nowhere."""

    def needles(self, stage):
        plain = ("\0%s\0%s" % (stage.user, PASSWORD)).encode()
        for body in (PASSWORD.encode(), plain, base64.b64encode(plain), base64.b64encode(PASSWORD.encode())):
            yield body

    def check_clean(self, stage, where, data):
        for needle in self.needles(stage):
            self.assertNotIn(needle, data, "a secret in " + where)

    def looks(self, stage):
        """What any user of the machine can see of the two processes."""
        seen = {}

        def look(session, command):
            while not stage.process:        # it may be here before we have heard that it was started
                time.sleep(0.001)
            pid = stage.process.pid
            children = open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii").read().split()
            for each in [str(pid)] + children:
                for name in ("cmdline", "environ", "comm", "maps"):
                    with open("/proc/%s/%s" % (each, name), "rb") as file:
                        seen[(each, name)] = file.read()
            seen["processes"] = 1 + len(children)
        return seen, look

    def run_all(self, stage, *words, env=None, code=0):
        report = os.path.join(stage.directory, "report")
        seen, look = self.looks(stage)
        stage.destination.calls["look"] = look
        run = stage.copy("--debug", "--report", report, *words, env=env)
        self.assertEqual(run.code, code, str(run))
        self.check_clean(stage, "standard output", run.out.encode())
        self.check_clean(stage, "standard error", run.err.encode())
        for name in [report] + [os.path.join(stage.state_dir, name) for name in os.listdir(stage.state_dir)]:
            if os.path.exists(name):
                self.check_clean(stage, name, pathlib.Path(name).read_bytes())
        self.assertEqual(seen.pop("processes", 2), 2)
        for (pid, name), data in seen.items():
            if name == "environ" and env and pid == str(stage.process.pid):
                continue            # the kernel shows what a process was started with; we can only forget it
            self.check_clean(stage, "/proc/%s/%s" % (pid, name), data)
        return run, seen

    def test_everywhere(self):
        def one(capabilities):
            stage = self.stage(mails(3), source={"caps": capabilities},
                               destination={"caps": capabilities, "script": "on APPEND 1: call look"})
            run, seen = self.run_all(stage)
            self.assertTrue(seen)
        self.each(one, capabilities=(FULL, BARE, "IMAP4rev1", "IMAP4rev1 LITERAL+", without(FULL, "SASL-IR"),
                                     FULL.replace("AUTH=PLAIN", "AUTH=LOGIN"), FULL.replace("AUTH=PLAIN", "AUTH=XOAUTH2")))

    def test_from_the_environment(self):
        stage = self.stage(mails(3), destination={"script": "on APPEND 1: call look"})
        stage.words = ["--source-password-env", "PW_A", "--destination-password-env", "PW_B"]
        run, seen = self.run_all(stage, env={"PW_A": PASSWORD, "PW_B": PASSWORD})
        self.assertTrue(seen)

    def test_from_a_command(self):
        stage = self.stage(mails(3), destination={"script": "on APPEND 1: call look"})
        secret = os.path.join(stage.directory, "password")
        stage.words = ["--source-password-command", "cat " + secret, "--destination-password-command", "cat " + secret]
        self.run_all(stage)

    def test_refused(self):
        """A server that repeats what it heard."""
        stage = self.stage(mails(1), source={"script": "on AUTHENTICATE *: reply NO [AUTHENTICATIONFAILED] no %s"
                                                       % PASSWORD})
        run = stage.copy("--debug")
        self.assertEqual(run.code, 12)

    def test_core_dumps(self):
        """Passwords pass through both processes: none of them leaves a core."""
        stage = self.stage(mails(1), destination={"script": "on APPEND 1: call look"})
        seen = {}

        def look(session, command):
            pid = stage.process.pid
            for each in [str(pid)] + open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii").read().split():
                limits = pathlib.Path("/proc/%s/limits" % each).read_text(encoding="ascii")
                seen[each] = [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")][0]
        stage.destination.calls["look"] = look
        self.check_exact(stage, stage.copy())
        self.assertEqual(len(seen), 2)
        self.assertEqual(set(seen.values()), {"0"}, "a crash would write passwords to the disk")

    def test_in_arguments(self):
        """A password in a URL or option is refused and not repeated."""
        stage = self.stage(mails(1))
        urls = stage.urls()
        for words in ([urls[0].replace("@", ":%s@" % PASSWORD), urls[1]],
                      ["--source-password", PASSWORD, *urls], ["--password=%s" % PASSWORD, *urls],
                      [urls[0] + "&password=" + PASSWORD, urls[1]]):
            with self.subTest(words=[word.replace(PASSWORD, "...") for word in words]):
                done = subprocess.run([GODWIT, "copy", "--state", stage.state_dir, *words], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertNotIn(PASSWORD.encode(), done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
