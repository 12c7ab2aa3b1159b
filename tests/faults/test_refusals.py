#!/usr/bin/python3
"""What servers say when they will not, and what godwit makes of the words: a cause for each message that is refused
for good, patience where the server asks for it, an end where all is refused."""

import collections
import unittest

from case import Case, EPOCH, FULL, Mail, caps, content_of, mails, text
from stage import without


def odd(size=300, line=None, end=True):
    body = text("odd", size)
    if line:
        body += "x" * line + "\r\n"
    return (body if end else body[:-2]).encode()


class Words(Case):
    """One message of a batch is refused: it is named with its cause, the others arrive, the next pass leaves it alone."""

    CASES = (
        ("Message contains NUL characters", odd(), "nul"),
        ("Message contains bare newlines", odd(), "bare-newline"),
        ("Message contains non-ASCII characters in headers", odd(), "8bit-header"),
        ("Message contains invalid header", odd(), "bad-header"),
        ("Message has no header/body separator", odd(), "bad-header"),
        ("header limit reached", odd(), "bad-header"),
        ("Zero-length message literal", odd(), "empty"),
        ("[TOOBIG] Message too large", odd(), "too-big"),
        ("Maximum size of appendable message has been exceeded.", odd(), "too-big"),
        ("maximum message size exceeded", odd(), "too-big"),
        ("Message refused because it contains a virus", odd(), "virus"),
        ("line too long", odd(), "long-line"),
        ("Command Argument Error. 11", odd(line=12000), "long-line"),
        ("Command Argument Error. 11", odd(), "refused"),
        ("[CLIENTBUG] Additional arguments found after last expected argument", odd(end=False), "bare-newline"),
        ("[CLIENTBUG] Additional arguments found after last expected argument", odd(), "refused"),
        ("[CANNOT] I would rather not", odd(), "refused"),
    )

    def test_causes(self):
        def one(variant, case):
            words, body, cause = case
            box = mails(7, twins=False)
            box[3].body = body
            stage = self.stage(box, destination=dict(caps(variant), refuse=["re:Subject: message odd => " + words]))
            missing = content_of(stage, "INBOX", 4)
            run = stage.copy()
            self.check_exact(stage, run, 1, {cause: 1}, missing)
            told = run.of("exception")[0]
            self.assertIn(words.split("] ")[-1], told["reason"])
            self.assertTrue(told["remedy"], "no remedy for " + cause)
            self.check_idle(stage, 1, {cause: 1}, missing)
            stage.destination.options.refuse = []
            self.check_exact(stage, stage.copy("--retry-refused"))
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), case=self.CASES)

    def test_argument_error_of_a_large_one(self):
        """Exchange's number 11 for what is beyond its limit."""
        box = [Mail("INBOX", odd(11 << 20), [], EPOCH)] + mails(2)
        stage = self.stage(box, destination={"refuse": ["re:Subject: message odd => Command Argument Error. 11"]})
        self.check_exact(stage, stage.copy(), 1, {"too-big": 1}, content_of(stage, "INBOX", 1))


class Flags(Case):
    """Flags that one server has and the other will not hear of."""

    def test_system_flags_of_others(self):
        """\\Forwarded, \\Junk and the like are not sent: destinations answer BAD to them."""
        def one(variant):
            stage = self.stage([], destination=caps(variant))
            stage.source.add("INBOX", text(1), ["\\Seen", "\\Forwarded", "\\Recent", "Work"], EPOCH)
            stage.source.add("INBOX", text(2), ["\\Junk"], EPOCH)
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(sorted(m["flags"] for m in stage.destination.messages("INBOX")), [[], ["Work", "\\Seen"]])
            sent = " ".join(entry["line"] for entry in stage.destination.log)
            for flag in ("Forwarded", "Junk", "Recent"):
                self.assertNotIn(flag, sent)
            uploads = stage.destination.count("APPEND")
            self.assertEqual(stage.copy().code, 0)
            self.assertEqual(stage.destination.count("APPEND"), uploads)
        self.each(one, variant=("full", "bare"))

    def test_invalid_flag_list(self):
        """Keywords refused with words that name no keyword: the message travels without them, and it is told."""
        def one(variant, words):
            stage = self.stage([Mail("INBOX", text(n), ["Work"] if n == 3 else [], EPOCH + n) for n in range(6)],
                               destination=dict(caps(variant), refuse_keyword=["Work => " + words]))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(dict(run.causes()), {"flags": 1}, str(run))
            self.assertEqual(len(stage.destination.messages("INBOX")), 6)
        self.each(one, variant=("full", "bare"), words=("Invalid flag list", "[CANNOT] Invalid keyword name", "error"))


class Accidents(Case):
    """The destination fails for reasons of its own."""

    WORDS = ("[SERVERBUG] Internal error occurred. Refer to server log for more information.", "System I/O error")

    def test_one_message(self):
        """It is owed: named now, tried again in each pass, without being asked to."""
        def one(variant, words):
            stage = self.stage(mails(7, twins=False), destination=dict(
                caps(variant), refuse=["re:message INBOX-3\r => " + words]))
            missing = content_of(stage, "INBOX", 4)
            self.check_exact(stage, stage.copy(), 1, {"refused": 1}, missing)
            self.check_exact(stage, stage.copy(), 1, {"refused": 1}, missing)
            stage.destination.options.refuse = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), words=self.WORDS)

    def test_all_messages(self):
        """After a few it is taken for the destination's trouble, not each message's."""
        def one(variant):
            stage = self.stage(mails(100, twins=False), destination=dict(caps(variant), refuse=["re:. => " + self.WORDS[0]]))
            run = stage.copy()
            self.check_error(run, 20, "one message after another", "internal error")
            self.assertLessEqual(stage.destination.count("APPEND"), 200, "too many tries")
            stage.destination.options.refuse = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"))


class Quota(Case):
    """The words of those who have no [OVERQUOTA]: the account stops, and goes on when there is room."""

    def test_words(self):
        def one(words):
            stage = self.stage(mails(9), destination={"refuse": ["re:. => " + words]})
            self.check_error(stage.copy(), 20, "takes no more")
            self.assertLessEqual(stage.destination.count("APPEND"), 2, "too many tries")
            stage.destination.options.refuse = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, words=("[OVERQUOTA] Mailbox is full", "Quota limit will be exceeded",
                              "APPEND The 1500 MB storage limit has been reached", "Mailbox is full"))


class Patience(Case):
    """Servers that ask to go slower are obeyed, and the progress says so."""

    def test_ok_and_throttled(self):
        """Gmail's OK [THROTTLED]: all is stored, commands come slower, and it is told once."""
        def one(side, event):
            stage = self.stage(mails(9) + mails(9, "Box"), destination={"caps": without(FULL, "MULTIAPPEND")})
            getattr(stage, side).script("on %s 1-3 after: reply OK Success [THROTTLED]" % event)
            run = stage.copy()
            self.check_exact(stage, run)
            self.assertEqual(len([note for note in run.notes if "slower" in note]), 1, run.notes)
            self.check_idle(stage)
        self.each(one, side=("destination",), event=("APPEND",))
        self.each(one, side=("source",), event=("FETCH-BODY", "FETCH-META"))

    def test_all_unavailable_for_a_while(self):
        """The source is overloaded: nothing is given up for that."""
        stage = self.stage(mails(5, twins=False), source={"script": "on FETCH-BODY 1-4: reply NO [UNAVAILABLE] Try later"})
        run = stage.copy()
        self.assertIn(run.code, (0, 1), str(run))
        self.assertTrue(any("wait" in note for note in run.notes), run.notes)
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_some_unavailable_for_ever(self):
        """Yahoo's: those are named, the others are copied."""
        stage = self.stage(mails(8, twins=False), source={
            "script": "on FETCH-BODY * uid 3: reply NO [UNAVAILABLE] UID FETCH Server error\n"
                      "on FETCH-BODY * uid 6: reply NO [UNAVAILABLE] UID FETCH Server error"})
        missing = content_of(stage, "INBOX", 3) + content_of(stage, "INBOX", 6)
        self.check_exact(stage, stage.copy(), 1, {"unreadable": 2}, missing)
        stage.source.rules = []
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_bandwidth_is_no_quota(self):
        """Gmail says [OVERQUOTA] to too much traffic as well: that is a matter of time."""
        stage = self.stage(mails(4), source={
            "script": "on FETCH-BODY 1-2: reply NO [OVERQUOTA] Account exceeded command or bandwidth limits."})
        run = stage.copy()
        self.check_exact(stage, run)
        self.assertTrue(any("bandwidth" in note for note in run.notes), run.notes)
        self.check_idle(stage)

    def test_rate_limit_and_goodbye(self):
        """Yahoo's way: NO [LIMIT], then BYE. The messages are not at fault."""
        stage = self.stage(mails(9), source={
            "script": "on FETCH-BODY 1: reply NO [LIMIT] UID FETCH Rate limit hit.\non FETCH-BODY 2: bye Rate limit hit"})
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)


if __name__ == "__main__":
    unittest.main()
