#!/usr/bin/python3
"""Strange servers, and hostile ones: logins, folders and selecting.  What is shown here stands in
docs/strange-servers.md, whose check demands that these names exist."""

import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

import stage as stages
from case import Case, EPOCH, FULL, Mail, STOPPED, mails, text
from stage import BARE, GODWIT, without

SIDES = ("source", "destination")
ALL_CAPS = FULL + " QRESYNC MOVE"
PEAK = 160 << 20        # bytes that a process may ever have taken, whatever a server sends


class Strange(Case):
    def one_end(self, side, given, mailbox=None):
        """A stage whose SIDE is strange."""
        return self.stage(mails(5) if mailbox is None else mailbox, **{side: given})

    def then(self, stage, code=0, **more):
        self.check_exact(stage, stage.copy(), code, **more)
        self.check_idle(stage, code, **more)

    def calm(self, stage):
        stage.source.rules, stage.destination.rules = [], []


class Greeting(Strange):
    """From the greeting to the first question."""

    def test_old_words(self):
        """hMailServer and Citadel: IMAPrev1, and NAMESPACE is answered with nothing."""
        def one(side):
            stage = self.one_end(side, {"caps": "IMAPrev1 NAMESPACE AUTH=PLAIN", "greeting": "IMAPrev1 ready",
                                        "script": 'on NAMESPACE *: omit "NAMESPACE \\\\("'})
            self.then(stage)
        self.each(one, side=SIDES)

    def test_capabilities_after_login(self):
        """They are others after the login, and told only when asked for; the same question ends iCloud's editing."""
        def one(side):
            stage = self.one_end(side, {"caps_before_login": "IMAP4rev1 AUTH=PLAIN", "caps_in": "greeting"})
            self.then(stage)
            server = getattr(stage, side)
            names = [entry["name"] for entry in server.log]
            self.assertEqual(names[names.index("AUTHENTICATE") + 1], "CAPABILITY", names)
            self.assertTrue(server.count("NAMESPACE"), "what is there only after the login was not used")
        self.each(one, side=SIDES)

    def test_hangs_up_when_asked_who_it_is(self):
        """Exchange 2003 drops the connection at NAMESPACE; others do at ID or ENABLE, or fall silent."""
        def one(side, event, how):
            stage = self.one_end(side, {"caps": ALL_CAPS, "script": "on %s *: %s" % (event, how)})
            self.check_exact(stage, stage.copy("--timeout", "1"))
            self.assertLessEqual(getattr(stage, side).count(event), 1)
            self.check_exact(stage, stage.copy("--timeout", "1"))
        self.each(one, side=SIDES, event=("NAMESPACE", "ID", "ENABLE"), how=("drop", "silent", "bye What"))

    def test_hangs_up_on_all_questions(self):
        """Then it is no use, and no loop."""
        stage = self.one_end("source", {"script": "on NAMESPACE *: drop\non LIST *: drop"})
        self.check_error(stage.copy(), 10)
        self.assertLessEqual(stage.source.count("LIST"), 2)

    def test_who_reads(self):
        """NetEase opens no folder to who did not say ID; Yahoo takes nothing but quoted strings in it."""
        def one(side):
            stage = self.one_end(side, {"script": "on EXAMINE *: call gate"})
            server = getattr(stage, side)

            def gate(session, command):
                if not any(entry["name"] == "ID" and entry["connection"] == session.number for entry in server.log):
                    raise stages.fakeimap.Answer("NO", "SELECT Unsafe Login. Please contact kefu@188.com for help")
            server.calls["gate"] = gate
            self.then(stage)
            for entry in server.log:
                if entry["name"] == "ID":
                    self.assertRegex(entry["line"], r'^\((?:"[^"]+" ?)+\)$')
        self.each(one, side=SIDES)

    def test_enabled_is_not_told(self):
        """iCloud: OK to ENABLE without ENABLED. It is not enabled then, and what goes is found otherwise."""
        stage = self.stage(mails(6, twins=False), source={"caps": ALL_CAPS, "script": 'on ENABLE *: omit "ENABLED"'})
        self.check_exact(stage, stage.copy("--deletions", "mirror"))
        stage.source.expunge("INBOX", "2")
        run = stage.copy("--deletions", "mirror")
        self.assertEqual((run.code, run.summary["items_removed"]), (0, 1), str(run))
        self.assertEqual(stage.difference(), "")
        self.assertFalse([e for e in stage.source.log if "VANISHED" in e["line"]])

    def test_vanished_lies(self):
        """QRESYNC names messages that are there: none is removed."""
        stage = self.stage(mails(6, twins=False), source={"caps": ALL_CAPS})
        self.check_exact(stage, stage.copy("--deletions", "mirror"))
        stage.source.script('on FETCH-META * line "VANISHED": extra "* VANISHED (EARLIER) 1:*"\n'
                            'on FETCH-META * line "VANISHED": extra "* VANISHED (EARLIER) 1:4"')
        stage.source.flag("INBOX", "1", "+\\Flagged")
        run = stage.copy("--deletions", "mirror")
        self.assertEqual(run.summary["items_removed"], 0, str(run))
        self.assertEqual(len(stage.destination.messages("INBOX")), 6)
        self.assertTrue([e for e in stage.source.log if "VANISHED" in e["line"]], "it was never asked for")

    def test_passwords(self):
        """Characters that break one mechanism or another."""
        def one(caps, password):
            stage = self.one_end("source", {"caps": caps})
            stage.source.world.account(stage.user).password = password
            path = os.path.join(stage.directory, "strange")
            pathlib.Path(path).write_bytes(password.encode("latin-1") + b"\n")
            stage.words[1] = path
            self.check_exact(stage, stage.copy())
        self.each(one, caps=("IMAP4rev1", "IMAP4rev1 LITERAL+", "IMAP4rev1 AUTH=PLAIN", FULL,
                             "IMAP4rev1 AUTH=LOGIN"),
                  password=('q"uo\\te', "{5}", "sp ace%*(])", "x" * 300))

    def test_prompts(self):
        """A challenge may be a bare "+", or say anything."""
        def one(prompt):
            stage = self.one_end("source", {"caps": without(FULL, "SASL-IR")})
            stage.source.script("on AUTHENTICATE *: call prompt")
            kept = stages.fakeimap.Session.ask

            def prompt_then(session, command):
                def ask(challenge=b""):
                    session.link.send(prompt)
                    return stages.fakeimap.base64.b64decode(session.link.line(), validate=True)
                session.ask = ask
            stage.source.calls["prompt"] = prompt_then
            self.check_exact(stage, stage.copy())
            self.assertIs(stages.fakeimap.Session.ask, kept)
        self.each(one, prompt=(b"+\r\n", b"+ \r\n", b"+ go ahead\r\n", b"+go\r\n", b"* OK wait\r\n+ \r\n",
                               b"+ VXNlciBOYW1lAA==\r\n"))

    def test_token_refused(self):
        """XOAUTH2: the reason comes as a challenge, and wants an empty line before the NO."""
        stage = self.one_end("source", {"caps": "IMAP4rev1 SASL-IR AUTH=XOAUTH2"})
        stage.source.world.account(stage.user).password = "another-token"
        urls = [stage.urls()[0] + "&auth=xoauth2", stage.urls()[1]]
        stage.urls = lambda: urls
        self.check_error(stage.copy(), 12, stage.user)
        self.assertLessEqual(stage.source.count("AUTHENTICATE"), 2, "tried again: accounts get locked")

    def test_token_runs_out(self):
        """In the middle of the run: the command is asked for another one, and the work goes on."""
        stage = self.one_end("source", {"caps": FULL + " AUTH=XOAUTH2", "script": "on FETCH-BODY 1: call expire; drop"})
        token = os.path.join(stage.directory, "token")
        pathlib.Path(token).write_text("first\n", encoding="ascii")
        account = stage.source.world.account(stage.user)
        account.password = "first"

        def expire(session, command):
            account.password = "second"
            pathlib.Path(token).write_text("second\n", encoding="ascii")
        stage.source.calls["expire"] = expire
        stage.words[:2] = ["--source-password-command", "cat " + token]
        urls = [stage.urls()[0] + "&auth=xoauth2", stage.urls()[1]]
        stage.urls = lambda: urls
        self.check_exact(stage, stage.copy())
        self.assertEqual(stage.source.count("AUTHENTICATE"), 2)

    def test_challenges_without_end(self):
        def one(mechanism):
            stage = self.one_end("source", {"caps": "IMAP4rev1 SASL-IR AUTH=" + mechanism,
                                            "script": "on AUTHENTICATE *: call ask"})

            def ask(session, command):
                for _ in range(10000):
                    session.link.send(b"+ \r\n")
                    session.link.line()
                self.fail("it went on answering")
            stage.source.calls["ask"] = ask
            urls = [stage.urls()[0] + "&auth=" + mechanism.lower(), stage.urls()[1]]
            stage.urls = lambda: urls
            self.assertIn(stage.copy().code, (10, 12))
        self.each(one, mechanism=("PLAIN", "LOGIN", "XOAUTH2"))

    def test_referrals(self):
        """RFC 2221 and 2193: another host is named, and never asked."""
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as trap:
            trap.settimeout(0)
            url = "imap://%s@127.0.0.1:%d/" % ("somebody", trap.getsockname()[1])
            rules = ("on AUTHENTICATE *: reply NO [REFERRAL %s] Go there" % url,
                     "on CONNECT *: bye [REFERRAL %s] Go there" % url,
                     "on NAMESPACE *: bye [REFERRAL %s] Go there" % url,
                     "on LIST *: reply NO [REFERRAL %s] Go there" % url,
                     "on EXAMINE *: reply NO [REFERRAL %sBox] Remote mailbox" % url)

            def one(side, rule):
                stage = self.one_end(side, {"script": rule})
                run = stage.copy()
                self.assertEqual(run.code == 0, "NAMESPACE" in rule, str(run))
                self.calm(stage)
                self.check_exact(stage, stage.copy())
            self.each(one, side=SIDES, rule=rules)
            stage = self.one_end("source", {"script": 'on AUTHENTICATE *: replace "OK " "OK [REFERRAL %s] "' % url})
            self.check_exact(stage, stage.copy())
            self.assertRaises(OSError, trap.accept)

    def test_words_before_tls_in_a_bye(self):
        """Anybody may have said it."""
        for script in ("on CONNECT *: bye [ALERT] call +1-555-SCAM", "on STARTTLS *: reply NO call +1-555-SCAM",
                       "on STARTTLS *: bye call +1-555-SCAM"):
            with self.subTest(script=script):
                stage = self.one_end("source", {"script": script, "tls": "starttls"})
                run = stage.copy()
                self.assertIn(run.code, (10, 11), str(run))
                self.assertNotIn("SCAM", run.err + run.out)

    def test_terminal(self):
        """What a server says cannot steer the terminal, in whichever answer, output or report it stands."""
        esc = r"\x1b]0;pwned\x07\x1b[2J\x9b31m\xc2\x9b31m\xe2\x80\xae"

        def one(side, rule, output):
            stage = self.one_end(side, {}, mails(2) + mails(1, "Box"))
            getattr(stage, side).script(rule % esc)
            report = os.path.join(stage.directory, "report")
            words = [output if word == "json" else word for word in stage.command("--report", report)]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
            for said in (done.stdout, done.stderr, pathlib.Path(report).read_bytes() if os.path.exists(report) else b""):
                self.assertFalse(re.search(rb"[\0-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", said), said)
                said.decode("utf-8")
        self.each(one, side=SIDES, output=("text", "json"), rule=(
            'on CONNECT *: raw-greeting "* BYE [ALERT] %s"', 'on AUTHENTICATE *: garbage "g1 NO [ALERT] %s\\r\\n"',
            'on ID *: extra "* ID (\\"name\\" \\"%s\\")"', 'on EXAMINE * folder Box: garbage "* BYE %s\\r\\n"',
            'on LIST *: extra "* LIST (\\\\Noselect) \\"/\\" \\"a%s\\""', 'on EXAMINE *: extra "* OK [ALERT] %s"',
            'on LIST *: extra "* LIST () \\"/\\" \\"b%s\\""'))


class Patience(Strange):
    """Servers that want us to wait: obeyed, told, and without end only for who asks without end."""

    FULL_HOUSE = ("NO [ALERT] Too many simultaneous connections. (Failure)",
                  "NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
                  "NO Maximum number of connections from user+IP exceeded", "NO [LIMIT] Too many sessions",
                  "NO [THROTTLED] Slow down", "BAD Request is throttled. Suggested Backoff Time: 1200 milliseconds")

    def check_told(self, run, least=1):
        waits = [int(found.group(1)) for found in (re.search(r"in (\d+) s$", note) for note in run.notes) if found]
        self.assertTrue(waits, "the waiting was not told: %s" % run.notes)
        self.assertGreaterEqual(run.seconds, max(waits + [least]), "it did not wait")
        return waits

    def test_first_login(self):
        """The user's own programs hold all connections: no wrong password, and it may pass."""
        def one(side, answer):
            stage = self.one_end(side, {"script": "on AUTHENTICATE 1: reply " + answer})
            run = stage.copy()
            self.check_exact(stage, run)
            self.check_told(run, 2 if "1200" in answer else 1)
        self.each(one, side=SIDES, answer=self.FULL_HOUSE)

    def test_in_the_greeting(self):
        def one(side, how):
            stage = self.one_end(side, {"script": "on CONNECT 1: " + how})
            run = stage.copy()
            self.check_exact(stage, run)
            self.check_told(run)
        self.each(one, side=SIDES, how=(
            "bye Too many connections from your address", "bye [UNAVAILABLE] Later", "bye [LIMIT] Later",
            'raw-greeting "Server Unavailable. 15"', "bye Suggested Backoff Time: 900 milliseconds"))

    def test_at_a_later_login(self):
        """Connected once, lost, and then the house is full twice."""
        def one(side):
            event = "FETCH-BODY" if side == "source" else "APPEND"
            stage = self.one_end(side, {"script": "on %s 1: drop\non AUTHENTICATE 2-3: reply %s"
                                                  % (event, self.FULL_HOUSE[0])})
            run = stage.copy()
            self.check_exact(stage, run)
            self.check_told(run)
            self.check_idle(stage)
        self.each(one, side=SIDES)

    def test_anywhere(self):
        def one(side, event, answer):
            if side == "source" and event == "CREATE":
                return
            stage = self.one_end(side, {"script": "on %s 1: %s" % (event, answer)}, mails(3) + mails(2, "Box"))
            run = stage.copy()
            self.check_exact(stage, run)
            self.check_told(run)
            self.check_idle(stage)
        self.each(one, side=SIDES, event=("LIST", "EXAMINE", "CREATE"), answer=(
            "reply NO [THROTTLED] Slow", "bye [UNAVAILABLE] Later", "bye Suggested Backoff Time: 900 milliseconds",
            'garbage "Server Unavailable. 15\\r\\n"'))

    def test_bye_and_no(self):
        """The reason in a NO, the end in a BYE before it."""
        stage = self.one_end("source", {"script": 'on EXAMINE 1: garbage "* BYE Going\\r\\ng999 NO [LIMIT] Rate\\r\\n"'})
        self.check_exact(stage, stage.copy())

    def test_for_good(self):
        """As long as six tries; then 20, and the next run goes on."""
        for side in SIDES:
            with self.subTest(side=side):
                stage = self.one_end(side, {
                    "script": "on AUTHENTICATE *: reply NO [LIMIT] Suggested Backoff Time: 10 milliseconds"})
                run = stage.copy()
                self.check_error(run, 20, "Backoff")
                self.assertEqual(getattr(stage, side).count("AUTHENTICATE"), 6)
                self.calm(stage)
                self.then(stage)

    def test_ctrl_c(self):
        """A wait of minutes ends with Ctrl-C, wherever it was asked for."""
        def one(side, event):
            stage = self.one_end(side, {
                "script": "on %s *: call signal; reply NO [THROTTLED] Suggested Backoff Time: 300000 milliseconds" % event})
            getattr(stage, side).calls["signal"] = lambda session, command: stage.later(
                0.3, lambda: os.kill(stage.process.pid, signal.SIGINT))
            run = stage.copy()
            self.check_error(run, STOPPED)
            self.assertLess(run.seconds, 5)
            self.assertTrue(any("in 300 s" in note for note in run.notes), run.notes)
            self.calm(stage)
            self.check_exact(stage, stage.copy())
        self.each(one, side=SIDES, event=("AUTHENTICATE", "LIST", "EXAMINE"))

    def test_not_connected_later(self):
        """Exchange's "not connected" after the login worked: another login, no loop, then a named folder."""
        words = "reply BAD User is authenticated but not connected."
        stage = self.one_end("source", {"script": "on EXAMINE 1: " + words})
        run = stage.copy()
        self.check_exact(stage, run)
        self.check_told(run)
        stage = self.one_end("source", {"script": "on EXAMINE 1: %s\non NAMESPACE 2+: %s" % (words, words)})
        self.check_error(stage.copy(), 12, "not connected")
        self.assertLessEqual(stage.source.count("NAMESPACE"), 3)

    def test_ten_errors(self):
        """Exchange hangs up after ten errors: each message that it refuses is named, and no folder given up."""
        box = [Mail("INBOX", text(n, extra="X-Bad: yes\r\n" if n % 9 else ""), [], EPOCH + n) for n in range(90)]
        stage = self.stage(box, destination={"caps": without(FULL, "MULTIAPPEND"), "max_bad": 10,
                                             "refuse": ["re:X-Bad => BAD Command Argument Error. 11"]})
        run = stage.copy()
        self.assertEqual((run.code, dict(run.causes())), (1, {"refused": 80}), str(run))
        self.assertEqual(len(stage.destination.messages("INBOX")), 10)

    def test_all_refused_and_ten_errors(self):
        """The same where nothing at all is taken: what was refused is progress too."""
        box = [Mail("INBOX", text(n, extra="X-Bad: yes\r\n"), [], EPOCH + n) for n in range(90)]
        stage = self.stage(box, destination={"caps": without(FULL, "MULTIAPPEND"), "max_bad": 10,
                                             "refuse": ["re:X-Bad => BAD Command Argument Error. 11"]})
        run = stage.copy()
        self.assertEqual((run.code, dict(run.causes())), (1, {"refused": 90}), str(run))

    def test_bye_without_end(self):
        """Yandex streams BYEs until somebody closes."""
        def one(side, event):
            stage = self.one_end(side, {"script": "on %s 1: call byes" % event})
            sent = []

            def byes(session, command):
                with contextlib.suppress(OSError):
                    while True:
                        session.link.send(b"* BYE Internal error\r\n" * 1000)
                        sent.append(1)
                raise stages.fakeimap.Cut()
            getattr(stage, side).calls["byes"] = byes
            self.check_exact(stage, stage.copy())
            self.assertLess(len(sent), 2000, "it went on listening")
        self.each(one, side=SIDES, event=("EXAMINE", "LIST"))


class Folders(Strange):
    """What servers list, and what is behind it."""

    def test_inbox_is_not_listed(self):
        """Some leave INBOX out of "*" (Courier's relatives, mailo.com): it is there all the same."""
        def one(side, caps):
            stage = self.one_end(side, {"caps": caps, "script": 'on LIST * line "[*]": omit "INBOX"'},
                                 mails(3) + mails(2, "Box"))
            self.then(stage)
        self.each(one, side=SIDES, caps=(FULL, BARE))

    def test_inbox_twice(self):
        """INBOX and Inbox are one folder, not two with the same mail."""
        def one(side, caps):
            stage = self.one_end(side, {"caps": caps, "script": 'on LIST * line "[*]": extra "* LIST () \\"/\\" Inbox"'},
                                 mails(3) + mails(2, "Box"))
            self.then(stage)
            self.assertEqual(sorted(stage.destination.state()["folders"]), ["Box", "INBOX"])
        self.each(one, side=SIDES, caps=(FULL, BARE))

    def test_inbox_in_another_case(self):
        def one(side):
            stage = self.one_end(side, {"script": 'on LIST *: replace "INBOX" "Inbox"'}, mails(3) + mails(2, "Box"))
            self.then(stage)
        self.each(one, side=SIDES)

    def test_inbox_below_its_prefix(self):
        """A second folder of that name below the prefix INBOX. is another folder."""
        stage = self.one_end("source", {"delimiter": ".", "prefix": "INBOX."}, mails(3) + mails(2, "INBOX.INBOX"))
        run = stage.copy()
        self.assertIn(run.code, (0, 1), str(run))
        here = collections.Counter(key[1] for key in stage.at_source().elements())
        there = collections.Counter(key[1] for key in stage.at_destination().elements())
        self.assertEqual(here, there)
        self.assertEqual(len(stage.destination.messages("INBOX")), 3)

    def test_new_below_a_renamed_one(self):
        """A server that makes what is above as well must not have made the name before the folder is renamed to it."""
        stage = self.one_end("destination", {"superiors": True}, mails(2) + mails(3, "Work") + mails(2, "Work/Old"))
        self.then(stage)
        stage.source.world.account(stage.user).rename("Work", "Job")
        stage.fill(mails(1, "Job/New"))
        self.then(stage)
        self.assertEqual(sorted(stage.destination.state()["folders"]), ["INBOX", "Job", "Job/New", "Job/Old"])

    def test_trailing_delimiter(self):
        """Exchange and UW show a parent as "Public Folders/"."""
        def one(side):
            stage = self.one_end(side, {"script":
                'on LIST * line "[*]": extra "* LIST (\\\\Noselect) \\"/\\" \\"Public Folders/\\""'})
            self.then(stage)
            self.assertEqual(sorted(stage.destination.state()["folders"]), ["INBOX"])
        self.each(one, side=SIDES)

    def test_delimiter_is_not_told(self):
        """NAMESPACE says NIL, LIST knows better; or NAMESPACE is malformed."""
        def one(edit):
            stage = self.stage(mails(2) + mails(2, "Up/Down"), destination={"delimiter": ".", "script": edit})
            self.check_exact_below(stage)
        self.each(one, edit=('on NAMESPACE *: replace "\\".\\"\\)" "NIL)"', 'on NAMESPACE *: replace "\\(\\(.*" "((((NIL"',
                             'on NAMESPACE *: replace "\\(\\(.*" "NIL NIL NIL"', 'on NAMESPACE *: reply BAD What'))

    def check_exact_below(self, stage):
        run = stage.copy()
        self.assertEqual(run.code, 0, str(run))
        self.assertEqual(sorted(stage.destination.state()["folders"]), ["INBOX", "Up.Down"])
        self.assertEqual(len(stage.destination.messages("Up.Down")), 2)

    def test_hangs_up_at_a_name(self):
        """Exchange 2007 closes where a name ends in a blank: that folder is named, the others are copied."""
        stage = self.one_end("source", {"script": 'on EXAMINE * folder "Bad ": drop'},
                             mails(3) + mails(2, "Bad ") + mails(2, "Zoo"))
        run = stage.copy()
        self.assertEqual((run.code, dict(run.causes())), (1, {"folder-gone": 1}), str(run))
        self.assertEqual(len(stage.destination.messages("Zoo")), 2)
        self.calm(stage)
        self.check_exact(stage, stage.copy())

    def test_listed_and_not_there(self):
        """Gmail lists folders that cannot be opened: named, and copied once they can."""
        gate = "\n".join("on %s * folder Box: reply NO [TRYCREATE] Unknown mailbox" % event for event in ("STATUS", "EXAMINE"))
        stage = self.stage(mails(2) + mails(2, "Box"))
        stage.destination.create("Box", user=stage.user)
        stage.destination.script(gate)
        run = stage.copy()
        self.assertEqual((run.code, dict(run.causes())), (1, {"folder-gone": 1}), str(run))
        self.assertEqual(len(stage.destination.messages("INBOX")), 2)
        stage.destination.rules = []
        self.then(stage)

    def test_made_and_not_there(self):
        """Stalwart 0.12: CREATE is OK, and the folder never opens: it is named, and there is no loop."""
        gate = "\n".join("on %s * folder Box: reply NO [NONEXISTENT] No such mailbox" % event
                         for event in ("STATUS", "APPEND"))
        stage = self.stage(mails(2) + mails(2, "Box"), destination={"script": gate})
        run = stage.copy()
        self.assertEqual(run.code, 1, str(run))
        self.assertEqual(len(stage.destination.messages("INBOX")), 2)
        self.assertLess(stage.destination.count("STATUS"), 20, "a loop")
        stage.destination.rules = []
        self.check_exact(stage, stage.copy())

    def test_stray_status(self):
        """STATUS of another folder among the answers, or under another spelling of the name."""
        def one(line):
            stage = self.one_end("destination", {"caps": without(FULL, "LIST-STATUS"), "script": 'on STATUS *: extra "%s"' % line},
                                 mails(3) + mails(2, "Box"))
            self.then(stage)
        self.each(one, line=("* STATUS Other (MESSAGES 3 UIDNEXT 999 UIDVALIDITY 77)", "* STATUS INBOX (MESSAGES 3)",
                             "* STATUS Other (MESSAGES 3)", "* STATUS", "* STATUS Other NIL"))

    def test_status_under_another_name(self):
        def one(spelling):
            stage = self.one_end("destination", {
                "caps": without(FULL, "LIST-STATUS"), "script": 'on STATUS *: replace "STATUS (Box|\\"Box\\")" "STATUS %s"' % spelling},
                                 mails(3) + mails(2, "Box"))
            self.then(stage)
        self.each(one, spelling=("BOX", "NIL"))


class Selecting(Strange):
    """Numbers that say what a folder holds."""

    def test_counts_while_it_opens(self):
        """Zimbra counts up while it opens a folder: the last number counts."""
        def one(side):
            stage = self.one_end(side, {"script": "on EXAMINE *: call count"}, mails(6))

            def count(session, command):
                session.link.send(b"* 1 EXISTS\r\n* 3 EXISTS\r\n* 0 RECENT\r\n")
            getattr(stage, side).calls["count"] = count
            self.then(stage)
        self.each(one, side=SIDES)

    def test_odd_message_numbers(self):
        """Negative, nought, far too large, or none at all: the UID counts."""
        def one(number):
            stage = self.one_end("source", {"script": 'on FETCH *: replace "^[*] [0-9]+ FETCH" "* %s FETCH"' % number},
                                 mails(6))
            self.then(stage)
        self.each(one, number=("-1", "0", "4294967295", "9.3e+06", "18446744073709551616", "1"))

    def test_no_number_of_messages(self):
        """A count that is none, or not told, never makes a folder look empty."""
        def one(edit):
            stage = self.one_end("source", {"script": "on EXAMINE * folder Box: " + edit}, mails(3) + mails(2, "Box"))
            run = stage.copy()
            self.assertEqual((run.code, dict(run.causes())), (1, {"folder-gone": 1}), str(run))
            self.assertEqual(len(stage.destination.messages("INBOX")), 3)
            self.calm(stage)
            self.check_exact(stage, stage.copy())
        self.each(one, edit=('replace "[0-9]+ EXISTS" "-1 EXISTS"', 'replace "[0-9]+ EXISTS" "2e0 EXISTS"',
                             'omit "EXISTS"', 'replace "[0-9]+ EXISTS" "18446744073709551615 EXISTS"',
                             'replace "[0-9]+ EXISTS" "9223372036854775808 EXISTS"'))

    def test_no_uidnext(self):
        """Neither SELECT nor STATUS tells UIDNEXT: the highest UID does."""
        def one(side, caps, lie):
            script = "\n".join('on %s *: replace "UIDNEXT [0-9]+" "%s"' % (event, lie) for event in ("EXAMINE", "STATUS"))
            stage = self.one_end(side, {"caps": caps, "script": script}, mails(5) + mails(2, "Box"))
            self.then(stage)
            stage.fill(mails(2, "Box", size=900, twins=False))
            self.then(stage)
        self.each(one, side=SIDES, caps=(without(FULL, "LIST-STATUS"), BARE), lie=("UIDNEXT -1", "UIDNEXT 0", "XNEXT 5"))

    def test_no_uidvalidity(self):
        """UIDVALIDITY missing or 0: UIDs mean nothing to the next session, so messages are recognised."""
        def one(side, lie):
            script = "\n".join('on %s *: replace "UIDVALIDITY [0-9]+" "%s"' % (event, lie)
                               for event in ("EXAMINE", "STATUS", "LIST"))
            stage = self.one_end(side, {"script": script}, mails(5) + mails(2, "Box"))
            self.check_exact(stage, stage.copy())
            uploads = stage.destination.count("APPEND")
            self.check_exact(stage, stage.copy())
            self.assertEqual(stage.destination.count("APPEND"), uploads, "uploaded again")
            stage.fill(mails(2, "Box", size=900, twins=False))
            self.check_exact(stage, stage.copy())
            getattr(stage, side).rules = []
        self.each(one, side=SIDES, lie=("UIDVALIDITY 0", "XVALIDITY 5"))

    def test_uidvalidity_at_every_login(self):
        """Another UIDVALIDITY each time: an end after some tries, nothing twice, and the next run goes on."""
        def one(side):
            stage = self.one_end(side, {"script": "on AUTHENTICATE 2+: uidvalidity-change INBOX"},
                                 mails(5, twins=False))
            for _ in range(3):
                run = stage.copy()
                self.assertEqual(run.code, 0, str(run))
                self.assertEqual(sum(stage.at_destination().values()), 5, str(run))
        self.each(one, side=SIDES)

    def test_highestmodseq_is_no_number(self):
        def one(lie):
            stage = self.one_end("source", {"script": "\n".join(
                'on %s *: replace "HIGHESTMODSEQ [0-9]+" "HIGHESTMODSEQ %s"' % (event, lie) for event in ("EXAMINE", "LIST"))},
                mails(5))
            self.check_exact(stage, stage.copy())
            stage.source.flag("INBOX", "2", "+\\Flagged")
            stage.before = stage.at_source()
            self.then(stage)
        self.each(one, lie=("-1", "0", "1e9", "18446744073709551616", ""))

    def test_single_uid_is_no_range(self):
        """QQ and PMDF refuse 1:1 and sets that descend."""
        def one(count):
            stage = self.one_end("source", {"caps": BARE}, mails(count, twins=False))
            self.check_exact(stage, stage.copy())
            stage.fill(mails(1, size=900))
            self.check_exact(stage, stage.copy())
            stage.source.flag("INBOX", "1", "+\\Flagged")
            stage.before = stage.at_source()
            self.check_exact(stage, stage.copy())
            for entry in stage.source.log + stage.destination.log:
                for low, high in re.findall(r"(?<![\w.])(\d+):(\d+)", entry["line"]):
                    self.assertLess(int(low), int(high), entry["line"])
        self.each(one, count=(1, 2, 5))

    def test_capped_view(self):
        """Gmail and Yahoo can show the newest 1000 or 10000 alone: such a number is told."""
        for caps, count, told in ((FULL + " X-GM-EXT-1", 1000, True), (FULL + " X-GM-EXT-1", 999, False),
                                  (FULL, 1000, False)):
            with self.subTest(caps=caps[-10:], count=count):
                stage = self.stage([], source={"caps": caps})
                stage.source.fill("INBOX", count, 0, stage.user)
                run = stage.copy()
                self.assertEqual(run.code, 0, str(run))
                self.assertEqual(any("1000" in note for note in run.notes), told, run.notes)

    def test_message_limit(self):
        """RFC 9738: an answer for the newest part alone is no whole answer."""
        stage = self.one_end("source", {}, mails(9, twins=False))

        def cut(session, command):
            kept = [unit for unit in command.reply.units if getattr(unit, "uid", None)][-4:]
            if len(kept) == 4:
                command.reply.units = kept
                command.reply.text = "[MESSAGELIMIT 4 %d] partial" % kept[0].uid
        stage.source.calls["cut"] = cut
        stage.source.script("on FETCH-META * after: call cut")
        self.then(stage)


class IntoMaildir(Strange):
    """Hostile names, and a Maildir that somebody prepared: nothing is written outside of it."""

    NAMES = ("..", ".", "../../outside", "/etc/passwd", "a/../../b", "~root", "cur", "new", "tmp", "tmp/x", "a/cur", ".a",
             "a\x1b]0;x\x07", "maildirfolder", "dovecot-uidlist", "courierimapkeywords", "subscriptions",
             "x" * 300, "y/" * 120 + "y", "&AC8-", "&AC4ALg-", "%2e%2e", "con:2,S")

    def run_into(self, stage, layout):
        box = os.path.join(stage.directory, "above", "box")
        os.makedirs(box, exist_ok=True)
        words = stage.command()
        words[-1] = "maildir:%s?layout=%s" % (box, layout)
        begun = time.monotonic()
        stage.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, start_new_session=True)
        return box, stage.finish(stage.process, begun)

    def outside(self, stage, box):
        """What lies in the stage's directory, but for the Maildir's and the state's own."""
        found = set()
        for top, names, files in os.walk(stage.directory):
            names[:] = [name for name in names if os.path.join(top, name) not in (box, stage.state_dir)]
            found.update(os.path.join(top, name) for name in names + files)
        return found

    def test_names(self):
        def one(layout, delimiter):
            stage = self.stage([Mail("INBOX", text("in"), [], EPOCH)], source={"delimiter": delimiter})
            names = [name.replace("/", delimiter) for name in self.NAMES]
            for n, name in enumerate(names):
                stage.source.add(name, text(n), [], EPOCH + n)
            stage.source.script("on LIST *: call hostile")

            def hostile(session, command):
                session.link.send(b'* LIST () "/" "a\0b"\r\n* LIST () NIL "../../../above/x"\r\n')
            stage.source.calls["hostile"] = hostile
            box, run = self.run_into(stage, layout)
            self.assertIn(run.code, (0, 1), str(run))
            self.assertLessEqual({os.path.basename(path) for path in self.outside(stage, box)}, {"above", "password"})
            inside = list(os.walk(box))
            kept = [path for top, _, files in inside for path in files if os.path.basename(top) in ("cur", "new")]
            lost = sum(run.causes()[cause] for cause in ("folder-refused", "folder-gone"))
            self.assertGreaterEqual(len(kept) + lost, len(names) + 1, str(run))
            self.assertFalse([name for _, dirs, files in inside for name in dirs + files if any(ord(c) < 32 for c in name)],
                             "control characters in file names")
        self.each(one, layout=("maildir++", "fs"), delimiter=("/", ".", "\\"))

    def test_links(self):
        """The cur, new or tmp of a folder is a link to somewhere else: nothing is put there."""
        def one(layout, what):
            stage = self.stage(mails(2) + mails(2, "Box"))
            box = os.path.join(stage.directory, "above", "box")
            folder = os.path.join(box, ".Box" if layout == "maildir++" else "Box")
            outside = os.path.join(stage.directory, "outside")
            for part in ("cur", "new", "tmp"):
                os.makedirs(os.path.join(box, part))
                os.makedirs(os.path.join(outside, part))
                if part != what:
                    os.makedirs(os.path.join(folder, part))
            os.symlink(os.path.join(outside, what), os.path.join(folder, what))
            _, run = self.run_into(stage, layout)
            self.assertEqual([files for _, _, files in os.walk(outside) if files], [], "written outside: %s" % run)
            self.assertEqual(sum(len(os.listdir(os.path.join(box, part))) for part in ("new", "cur")), 2, str(run))
        self.each(one, layout=("maildir++", "fs"), what=("cur", "new", "tmp"))


def children(pid):
    return [int(child) for child in pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text("ascii").split()]


def high_water(pid):
    """The most memory a process ever had, in bytes."""
    found = re.search(r"VmHWM:\s*(\d+) kB", pathlib.Path("/proc/%d/status" % pid).read_text("ascii"))
    return int(found.group(1)) * 1024 if found else 0


def sanitized():
    """Is the program built to check itself? Then its memory tells nothing."""
    return b"__asan_init" in pathlib.Path(GODWIT).read_bytes()


class Hostile(Strange):
    """Servers that want our memory, our time, or somebody else's host: bounded, one error, and the next run goes on."""

    ENDLESS = {
        "ok": (b"* OK Still here\r\n" * 1000,),
        "capability": (b"* CAPABILITY IMAP4rev1 " + b" ".join(b"AUTH=%031d" % n for n in range(3000)) + b"\r\n",),
        "namespace": (b"* NAMESPACE (" + b'("%s" "/")' % (b"p" * 500) * 1500 + b") NIL NIL\r\n",),
        "namespaces": (b"* NAMESPACE (" + b'("" "/")' * 100000 + b") NIL NIL\r\n",),
        "id": (b'* ID ("name" "' + b"x" * 900000 + b'")\r\n',),
        "line": (b"* OK ", b"x" * 65536),
        "lists": (b"* X (", b"(a)" * 20000),
        "nested": (b"* X " + b"(" * 60000 + b"\r\n",),
        "flags": (b"* FLAGS (" + b" ".join(b"keyword%06d" % n for n in range(60000)) + b")\r\n",),
        "literal": (b"* X {900000}\r\n" + b"x" * 900000 + b"\r\n",),
        "literals": (b"* X ", b"{1000}\r\n" + b"x" * 1000 + b" "),
        "huge literal": (b"* X {9223372036854775807}\r\n", b"x" * 65536),
        "impossible literal": (b"* X {18446744073709551616}\r\n", b"x" * 65536),
        "body": (b"* 1 FETCH (UID 1 BODY[] {9223372036854775807}\r\n", b"x" * 65536),
        "bye": (b"* BYE Go away\r\n" * 1000,),
        "exists": (b"* 4000000000 EXISTS\r\n" * 1000,),
        "vanished": (b"* VANISHED 1:4294967295\r\n" * 1000,),
        "search": (b"* SEARCH" + b" 4294967295" * 80000 + b"\r\n",),
        "go on": (b"+ go on\r\n" * 1000,),
        "nothing": (b"\r\n\0\0" * 10000,),
    }

    def endless(self, stage, first, rest, limit=600):
        """What the call sends until nobody listens; what the worker's memory was at most goes to stage.peak."""
        stage.peak = stage.sent = 0

        def call(session, command):
            data = first(0) if callable(first) else first
            try:
                while stage.sent < limit << 20:
                    session.link.send(data)
                    stage.sent += len(data)
                    data = rest(stage.sent) if callable(rest) else rest
                    for pid in children(stage.process.pid) + [stage.process.pid]:
                        stage.peak = max(stage.peak, high_water(pid))
            except OSError:
                raise stages.fakeimap.Cut() from None
            raise stages.fakeimap.Cut()
        return call

    def attack(self, side, event, first, rest=None, mailbox=None, times="1", **given):
        stage = self.one_end(side, dict({"script": "on %s %s: call endless" % (event, times)}, **given),
                             mailbox if mailbox is not None else mails(3) + mails(2, "Box"))
        getattr(stage, side).calls["endless"] = self.endless(stage, first, rest or first)
        run = stage.copy("--timeout", "5")
        if not sanitized():
            self.assertLess(stage.peak, PEAK, "%d MiB of memory after %d MiB sent" % (stage.peak >> 20, stage.sent >> 20))
        self.assertLess(stage.sent >> 20, 600, "it listened to all of it: %s" % run)
        self.assertFalse(any(ord(c) < 32 and c not in "\r\n\t" for c in run.err))
        self.assertFalse(stage.at_destination() - stage.at_source(), "doubled, or foreign")
        self.assertIn(run.code, (0, 1, 10), str(run))
        if run.code:
            self.calm(stage)
            self.check_exact(stage, stage.copy())
        else:
            self.check_exact(stage, run)
        return stage, run

    def test_at_login(self):
        """Before and while it is asked who it is: one connection's error, or, where it came once, nothing lost."""
        self.each(lambda side, event, kind: self.attack(side, event, *self.ENDLESS[kind]), at_once=3,
                  side=SIDES, event=("CAPABILITY", "NAMESPACE"),
                  kind=("capability", "namespaces", "id", "line", "huge literal"))

    def test_anything_anywhere(self):
        self.each(lambda kind: self.attack("source", "LIST", *self.ENDLESS[kind]), at_once=3, kind=sorted(self.ENDLESS))
        self.each(lambda kind: self.attack("source", "FETCH-META", *self.ENDLESS[kind]), at_once=3,
                  kind=("body", "exists", "huge literal", "literals", "nothing", "search", "vanished"))

    def test_at_the_destination(self):
        self.each(lambda event, kind: self.attack("destination", event, *self.ENDLESS[kind]), at_once=3,
                  event=("APPEND", "EXAMINE"), kind=("go on", "line", "literal", "body", "nested", "exists"))

    def test_folders_without_end(self):
        """Millions of them, long ones, deep ones, and STATUS data that is kept."""
        def names(make):
            def lines(sent):
                base = sent * 7
                return b"".join(make(base + n) for n in range(200))
            return lines
        kinds = (
            names(lambda n: b'* LIST () "/" "folder %d"\r\n' % n),
            lambda sent: b'* LIST () "/" "%d%s"\r\n' % (sent, b"x" * 100000),
            lambda sent: b'* LIST () "/" "%d%s"\r\n' % (sent, b"/a" * 50000),
            lambda sent: b"* LIST (%s) \"/\" x%d\r\n" % (b"\\Sent " * 100000, sent),
            lambda sent: b'* STATUS INBOX (MESSAGES 1 UIDNEXT 1 UIDVALIDITY 1 HIGHESTMODSEQ 1 MAILBOXID (%s))\r\n' % (b"i" * 100000))
        self.each(lambda side, kind: self.attack(side, "LIST", kinds[kind], kinds[kind], times="*"), at_once=3,
                  side=SIDES, kind=range(len(kinds)))

    def test_long_name(self):
        """A folder whose name has 100 kB: it is refused or carried, named, and the others arrive."""
        def one(name):
            stage = self.one_end("source", {}, mails(3) + mails(2, "Box"))
            stage.source.script("on LIST *: call long")

            def long(session, command):
                session.link.send(b'* LIST () "/" "' + name + b'"\r\n')
            stage.source.calls["long"] = long
            run = stage.copy()
            self.assertEqual(run.code, 1, str(run))
            self.assertEqual(sum(run.causes().values()), 1, str(run))
            self.assertEqual(stage.difference(), "", str(run))
        self.each(one, name=(b"x" * 100000, b"/a" * 50000, b"\xc3\xa4" * 50000, b"\x1b[31m" * 20000))

    def test_messages_without_end(self):
        """FETCH lines for more messages than are counted, or as many as it claims there are; keywords without end."""
        def fetch(sent):
            return b"".join(b"* 1 FETCH (UID %d FLAGS () INTERNALDATE \"01-Jan-2020 10:00:00 +0000\" RFC822.SIZE 9)\r\n"
                            % (10 + sent + n) for n in range(500))

        def keywords(sent):
            return b"".join(b"* 1 FETCH (UID %d FLAGS (%s) INTERNALDATE \"01-Jan-2020 10:00:00 +0000\" RFC822.SIZE 9)\r\n"
                            % (10 + sent + n, b"k%d-%d" % (sent, n) + b"x" * 900) for n in range(100))
        self.each(lambda lines, exists: self.attack("source", "FETCH-META", lines, lines, times="*", script=
                  'on EXAMINE *: replace "[0-9]+ EXISTS" "%s EXISTS"\non FETCH-META *: call endless' % exists),
                  at_once=3, lines=(fetch, keywords), exists=("3", "50000000"))

    def test_foreign_answers(self):
        """Answers to no command, to one of later, to one of earlier: never believed."""
        def one(side, event, line):
            stage = self.one_end(side, {"script": 'on %s 1: extra "%s"' % (event, line)}, mails(3) + mails(2, "Box"))
            run = stage.copy()
            self.check_exact(stage, run)
            self.check_idle(stage)
        self.each(one, side=("source",), event=("LIST", "EXAMINE", "FETCH-BODY"),
                  line=("g99 OK later", "g1 OK earlier", "x OK", "* 1 FETCH (BODY[] {3}\\r\\nabc)"))
        self.each(one, side=("destination",), event=("LIST", "EXAMINE", "APPEND"),
                  line=("g99 OK later", "g1 OK earlier", "x OK", "+ go on"))


if __name__ == "__main__":
    unittest.main()
