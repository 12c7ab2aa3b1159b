#!/usr/bin/python3
"""The source misbehaves: bodies that are missing or lie about their length, strange data, cuts in the middle."""

import collections
import hashlib
import unittest

from case import Case, EPOCH, FULL, Mail, VARIANTS, caps, content_of, mails, text

ENDS = ("full", "no-uidplus", "no-multiappend", "sync-literals", "literal-minus", "bare")     # destinations


class Bodies(Case):
    """What FETCH answers instead of the message."""

    def once(self, action, which="1"):
        """It happens once: the message is asked for again, and is copied whole."""
        def one(variant, uid):
            stage = self.stage(mails(6), source={
                "script": "on FETCH-BODY %s uid %d: %s" % (which, uid, action)}, destination=caps(variant))
            self.check_exact(stage, stage.copy())
            self.check_source(stage)
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), uid=(1, 3, 6))

    def always(self, action, causes):
        """It never gets better: the message is named, and nothing is stored for it, now or later."""
        def one(variant, size):
            box = mails(6, twins=False)
            box[2].body = text("odd", size).encode()
            stage = self.stage(box, source={"script": "on FETCH-BODY * uid 3: %s" % action}, destination=caps(variant))
            missing = content_of(stage, "INBOX", 3)
            run = stage.copy()
            self.assertIn(len(run.causes()), (1,), str(run))
            cause, = run.causes()
            self.assertIn(cause, causes)
            self.check_exact(stage, run, 1, {cause: 1}, missing)
            self.check_source(stage)
            self.check_idle(stage, 1, {cause: 1}, missing)
            stage.source.rules = []                 # the source was mended
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), size=(300, 1500000))

    def test_omitted_once(self):
        self.once("omit-body")

    def test_nil_once(self):
        self.once("nil-body")

    def test_empty_once(self):
        self.once("empty-body")

    def test_omitted(self):
        self.always("omit-body", ("empty", "unreadable"))

    def test_nil(self):
        self.always("nil-body", ("empty", "unreadable"))

    def test_empty(self):
        self.always("empty-body", ("empty", "unreadable"))

    def test_batch_refused_once(self):
        self.once("fail-message")
        self.once("reply NO [SERVERBUG] Internal error")

    def test_poisoned(self):
        """Exchange: all but one, and NO."""
        self.always("fail-message NO The requested message could not be converted to an RFC-822 compatible format",
                    ("unreadable",))

    def test_refused(self):
        self.always("reply NO [SERVERBUG] Internal error", ("unreadable",))

    def test_hangs_up_at_one_message(self):
        """A message that ends the connection each time costs itself: all others are copied, and it is asked for again."""
        def one(variant, uid, size, action):
            box = mails(6, twins=False)
            box[uid - 1].body = text("odd", size).encode()
            stage = self.stage(box + mails(2, "Other"), source={
                "script": "on FETCH-BODY * uid %d folder INBOX: %s" % (uid, action)}, destination=caps(variant))
            missing = content_of(stage, "INBOX", uid)
            self.check_exact(stage, stage.copy(timeout=110), 1, {"unreadable": 1}, missing)
            self.assertLessEqual(stage.source.sessions_seen, 6, "too many tries")
            self.check_no_half(stage)
            self.check_exact(stage, stage.copy(timeout=110), 1, {"unreadable": 1}, missing)
            stage.source.rules = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), uid=(1, 4, 6), size=(300, 1500000), action=("drop", "truncate-literal 100"))

    def test_two_accidents(self):
        """The source hangs up at a message, then the destination does, once each: that is no fault of the message."""
        def one(variant, size):
            box = mails(6, twins=False)
            box[5].body = text("unlucky", size).encode()
            stage = self.stage(box, source={"script": "on FETCH-BODY 1 uid 6 folder INBOX: truncate-literal 100"},
                               destination=dict(caps(variant), script="on APPEND %d: drop" % (2 if variant == "full" else 6)))
            self.check_exact(stage, stage.copy(timeout=110))
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), size=(300, 1500000))

    def test_truly_empty(self):
        """A message without a byte is named, never stored."""
        stage = self.stage(mails(3, twins=False) + [Mail("INBOX", b"", [], EPOCH)])
        missing = content_of(stage, "INBOX", 4)
        self.check_exact(stage, stage.copy(), 1, {"empty": 1}, missing)
        self.check_idle(stage, 1, {"empty": 1}, missing)


class Sets(Case):
    """UIDs of ten digits, far apart: those of one window make more than one line (RFC 2683 §3.2.1.5)."""

    def far_apart(self, **given):
        stage = self.stage(**given)
        folder = stage.source.world.account(stage.user).make("INBOX")
        for mail in mails(250):
            folder.uidnext += 10000019
            stage.fill([mail])
        stage.before = stage.at_source()
        return stage

    def test_lines(self):
        def one(variant):
            stage = self.far_apart(destination=caps(variant))
            self.check_exact(stage, stage.copy())
            asked = [entry["line"] for entry in stage.source.log if "BODY.PEEK[]" in entry["line"]]
            self.assertGreater(len(asked), 2, "each window was one line")
            self.assertLess(max(map(len, asked)), 1000)
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"))

    def test_one_of_them(self):
        """One of a window's commands is refused, the link is lost at it, or it brings nothing."""
        def one(which, action):
            stage = self.far_apart(source={"script": "on FETCH-BODY %d: %s" % (which, action)})
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, which=(1, 2), action=("reply NO [SERVERBUG] Internal error", "drop", "omit-body", "reply OK done"))


class Expunged(Case):
    """Messages go between the sweep and the FETCH."""

    def test_before_the_fetch(self):
        def one(variant, uids, size):
            stage = self.stage(mails(6, size=size, twins=False) + mails(2, "Other"), source={
                "script": "on FETCH-BODY 1 folder INBOX before: expunge %s INBOX" % uids}, destination=caps(variant))
            run = stage.copy()
            gone = len(stage.before) - len(stage.at_source())
            # the fake server shows what is gone until the next command: those may be copied still
            extra = stage.at_destination() - stage.at_source()
            self.check_exact(stage, run, 0, {"gone": gone - sum(extra.values())} if gone > sum(extra.values()) else {},
                             extra=extra)
            self.check_idle(stage, extra=extra)
        self.each(one, variant=("full", "bare"), uids=("1", "3", "6", "1:6"), size=(300, 500000, 1200000))

    def test_ok_without_the_message(self):
        """OK, and the message is not among what came, though it is there: named, not taken for gone."""
        def one(variant, size):
            box = mails(6, twins=False)
            box[3].body = text("x", size).encode()
            stage = self.stage(box, source={"script": "on FETCH-BODY * uid 4: drop-message"}, destination=caps(variant))
            missing = content_of(stage, "INBOX", 4)
            self.check_exact(stage, stage.copy(), 1, {"unreadable": 1}, missing)
            stage.source.rules = []
            self.check_exact(stage, stage.copy())
        self.each(one, variant=("full", "bare"), size=(300, 1500000))


class LeftOut(Case):
    """An answer about certain messages leaves one out, once: it is not taken for gone."""

    def test_after_a_lost_answer(self):
        """Those in doubt are asked for by their ids."""
        def one(variant, which):
            stage = self.stage(mails(7, twins=False), source={"script": "on FETCH-META %d: drop-message" % which},
                               destination=dict(caps(variant), script="on APPEND 1 after-literal: drop"))
            run = stage.copy()
            self.assertIn(run.code, (0, 1), str(run))
            stage.source.rules = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), which=(2, 3))

    def test_after_a_kill(self):
        """A folder that was not finished, and of which nothing is told then, is no other folder."""
        def one(variant, step):
            stage = self.stage(mails(2), destination=caps(variant))
            stage.copy(stop="worker:%d" % step)
            stage.source.script("on FETCH-META *: drop-message")
            run = stage.copy()
            self.assertIn(run.code, (0, 1), str(run))
            self.assertNotIn("rebuilt", str(run.of("note")))
            stage.source.rules = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), step=range(1, 26))

    def test_refused_behind_examine(self):
        """A server that takes one command at a time: what was refused behind EXAMINE is asked once more, alone."""
        def one(words):
            stage = self.stage(mails(4) + mails(2, "Box"), source={"script": "on FETCH-META 1: reply %s" % words})
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, words=("BAD One at a time", "NO [CANNOT] Not selected"))

    def test_owed(self):
        """Those that an earlier pass could not read are."""
        stage = self.stage(mails(5, twins=False), source={"script": "on FETCH-BODY * uid 2: nil-body"})
        self.assertEqual(stage.copy().code, 1)
        stage.source.rules = []
        stage.source.script("on FETCH-META * uid 2: drop-message")
        run = stage.copy()
        self.assertEqual(run.code, 0, str(run))
        self.assertEqual(dict(run.causes()), {"gone": 1}, "what is shown as gone twice is, and is named")
        stage.source.rules = []
        stage.source.expunge("INBOX", "2")
        self.check_exact(stage, stage.copy(), extra=None)

    def test_owed_once(self):
        stage = self.stage(mails(5, twins=False), source={"script": "on FETCH-BODY * uid 2: nil-body"})
        self.assertEqual(stage.copy().code, 1)
        stage.source.rules = []
        stage.source.script("on FETCH-META 1 uid 2: drop-message")
        run = stage.copy()
        self.assertEqual(run.code, 1, str(run))
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)


class Lengths(Case):
    """The literal's length is the truth, not RFC822.SIZE."""

    def test_sizes_lie(self):
        def one(variant, lie):
            box = mails(6) + [Mail("INBOX", text("mid", 600000), [], EPOCH), Mail("INBOX", text("big", 1200000), [], EPOCH),
                              Mail("INBOX", text("border", 1048000), [], EPOCH)]
            stage = self.stage(box, source={"script": "on FETCH-META *: size-lie %s" % lie}, destination=caps(variant))
            self.check_exact(stage, stage.copy())
            self.check_source(stage)
            self.check_idle(stage)
        self.each(one, at_once=4, variant=ENDS, lie=("+30%", "-30%", "-99%", "0", "-1", "9.3e+06", "4294967296"))

    def test_estimates_near_the_limit(self):
        """Exchange's sizes are estimates: what is just under the destination's limit is not left out for them."""
        def one(body, causes):
            box = mails(4, twins=False)
            box[2].body = text("near", body).encode()
            stage = self.stage(box, source={
                "script": "on FETCH-META *: size-lie +20%", "greeting": "The Microsoft Exchange IMAP4 service is ready."},
                destination={"caps": FULL + " APPENDLIMIT", "max_size": 20000})
            missing = content_of(stage, "INBOX", 3) if causes else None
            self.check_exact(stage, stage.copy(), 1 if causes else 0, causes, missing)
            self.check_idle(stage, 1 if causes else 0, causes, missing)
        self.each(one, body=(19000,), causes=({},))
        self.each(one, body=(21000, 50000), causes=({"too-big": 1},))

    def test_sizes_lie_at_the_destination(self):
        """Sizes that the destination tells are for the check only; they cost a note, never a message."""
        def one(variant, lie):
            stage = self.stage(mails(6), destination=dict(caps(variant), script="on FETCH-META *: size-lie %s" % lie))
            run = stage.copy()
            self.assertEqual(stage.difference(), "", str(run))
            self.assertIn(run.code, (0, 1), str(run))
            uploads = stage.destination.count("APPEND")
            stage.copy()
            self.assertEqual(stage.destination.count("APPEND"), uploads, "uploaded again")
        self.each(one, variant=("full", "no-uidplus"), lie=("+30%", "-1"))

    def test_ten_gigabytes(self):
        """Announced above --max-size: the item is listed, the connection given up, the rest copied."""
        def one(variant, place):
            stage = self.stage(mails(6, twins=False) + mails(2, "Other"), source={
                "script": "on FETCH-BODY * uid %d folder INBOX: announce-literal 10737418240" % place},
                destination=caps(variant))
            missing = content_of(stage, "INBOX", place)
            run = stage.copy("--max-size", "10M")
            self.check_exact(stage, run, 1, {"too-big": 1}, missing)
            self.check_source(stage)
            self.check_idle(stage, 1, {"too-big": 1}, missing, options=("--max-size", "10M"))
        self.each(one, variant=("full", "bare"), place=(1, 3, 6))

    def test_ten_gigabytes_and_the_destinations_limit(self):
        stage = self.stage(mails(6, twins=False), source={
            "script": "on FETCH-BODY * uid 3: announce-literal 10737418240"},
            destination={"caps": FULL + " APPENDLIMIT", "max_size": 1000000})
        missing = content_of(stage, "INBOX", 3)
        self.check_exact(stage, stage.copy(), 1, {"too-big": 1}, missing)

    def test_announced_longer(self):
        """The server says more than it sends, and then nothing: never half a message at the destination."""
        def one(variant, size):
            box = mails(5, twins=False)
            box[1].body = text("x", size).encode()
            stage = self.stage(box, source={
                "script": "on FETCH-BODY 1 uid 2: announce-literal %d" % (size * 2)}, destination=caps(variant))
            run = stage.copy("--timeout", "1")
            self.check_no_half(stage)
            self.check_exact(stage, run)
            self.check_idle(stage)
        self.each(one, variant=ENDS, size=(300, 1500000))

    def test_announced_shorter(self):
        """The rest of the literal is no IMAP: the link is given up, the message comes whole from the next."""
        def one(variant, size):
            box = mails(5, twins=False)
            box[1].body = text("x", size).encode()
            stage = self.stage(box, source={
                "script": "on FETCH-BODY 1 uid 2: announce-literal %d" % (size // 2)}, destination=caps(variant))
            run = stage.copy("--timeout", "1")
            self.check_no_half(stage)
            self.check_exact(stage, run)
            self.check_idle(stage)
        self.each(one, variant=ENDS, size=(300, 1500000))


class Cuts(Case):
    """The source dies in the middle of a message."""

    def one(self, variant, size, cut, action="truncate-literal"):
        box = mails(5, twins=False)
        box[2].body = text("x", size).encode()
        at = {"start": 0, "header": 20, "middle": size // 2, "end": len(box[2].body) - 1}[cut]
        stage = self.stage(box, source={"script": "on FETCH-BODY 1 uid 3: %s %d" % (action, at)},
                           destination=caps(variant))
        # the rule cuts the first literal of the answer that holds uid 3
        run = stage.copy("--timeout", "1")
        self.check_no_half(stage)
        self.check_exact(stage, run)
        self.check_source(stage)
        self.check_idle(stage)

    def test_mid_literal(self):
        """Also while an APPEND to the destination is open: a streamed message."""
        self.each(self.one, at_once=6, variant=ENDS, size=(300, 700000, 2500000), cut=("start", "header", "middle", "end"))

    def test_stalls_mid_literal(self):
        self.each(lambda variant, size, cut: self.one(variant, size, cut, "stall-literal"),
                  at_once=6, variant=("full", "sync-literals", "bare"), size=(300, 2500000), cut=("middle", "end"))

    def test_stream_and_the_destination_dies(self):
        """The other way round: the destination dies in the middle of what the source streams."""
        def one(variant, ending, at):
            box = mails(3, twins=False)
            box[1].body = text("x", 2500000).encode()
            # in which APPEND it travels depends on the variant: by folder and size it is the only one so far
            event = 2
            stage = self.stage(box, destination=dict(
                caps(variant), script="on APPEND %d literal-byte %d: %s" % (event, at, ending)))
            self.check_exact(stage, stage.copy())
            self.check_no_half(stage)
            self.check_idle(stage)
        self.each(one, at_once=6, variant=ENDS, ending=("drop", "reset"), at=(0, 1, 1000000, 2499999))

    def test_both_die(self):
        def one(variant):
            box = mails(3, twins=False)
            box[1].body = text("x", 2500000).encode()
            stage = self.stage(box, source={"script": "on FETCH-BODY 3: truncate-literal 1000000\non FETCH-BODY 2: drop"},
                               destination=dict(caps(variant), script="on APPEND 1: store-then-drop\non APPEND 2: drop"))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"))


class Noise(Case):
    """Data nobody asked for, anywhere; answers byte by byte."""

    LINES = ("* 5 EXISTS", "* 0 RECENT", "* OK Still here", "* OK [ALERT] Disk nearly full", "* NO Overheated",
             "* 3 FETCH (FLAGS (\\\\Seen))", "* 2 FETCH (UID 2 FLAGS (\\\\Deleted))", "* 9 EXPUNGE",
             "* CAPABILITY IMAP4rev1", "* FLAGS (\\\\Answered x)", "* SEARCH 1 2", "* XSTRANGE (a (b {3}\\r\\n) c))",
             "* LIST () \\\"/\\\" Stray", "* STATUS INBOX (MESSAGES 99)", "* OK [UIDNEXT 999999] Predicted",
             "* OK [HIGHESTMODSEQ 99999999] x", "* VANISHED 1:3", "* BAD Something", "")

    def one(self, side, line):
        given = {"script": 'on FETCH *: extra "%s"\non APPEND *: extra "%s"\non EXAMINE *: extra "%s"' % ((line,) * 3)}
        if side == "source":
            given["script"] = 'on FETCH *: extra "%s"\non EXAMINE *: extra "%s"' % ((line,) * 2)
        stage = self.stage(mails(6), **{side: given})
        run = stage.copy()
        self.check_exact(stage, run)
        self.check_source(stage)
        self.check_idle(stage)

    def test_untagged_data(self):
        self.each(self.one, side=("source", "destination"), line=self.LINES)

    def test_no_exists(self):
        """An EXAMINE that does not tell EXISTS: the folder is not taken for an empty one, on either side."""
        def one(side, which):
            stage = self.stage(mails(6), **{side: {"script": 'on EXAMINE %s folder INBOX: omit EXISTS' % which}})
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, side=("source", "destination"), which=("1", "1-2"))

    def test_flags_of_others(self):
        """A FETCH nobody asked for, with other flags, must not change what is copied."""
        stage = self.stage(mails(6), source={
            "script": 'on FETCH-BODY *: extra "* 1 FETCH (UID 1 FLAGS (\\\\Flagged Foreign))"'})
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_foreign_bodies(self):
        """Somebody else's body in our answer, by UID: not taken for ours."""
        stage = self.stage(mails(6), source={
            "script": 'on FETCH-BODY *: extra "* 77 FETCH (UID 777 BODY[] {5}\\r\\nabcde)"'})
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_body_twice(self):
        """The same message twice in one answer is one message."""
        stage = self.stage(mails(6, twins=False), source={
            "script": 'on FETCH-BODY * uid 2: extra "* 2 FETCH (UID 2 BODY[] {5}\\r\\nabcde)"'})
        run = stage.copy()
        self.assertEqual(sum(stage.at_destination().values()), 6, str(run))
        self.assertEqual(len({m["uid"] for m in stage.destination.messages("INBOX")}), 6)

    def test_byte_by_byte(self):
        def one(variant, side):
            given = {"source": {}, "destination": caps(variant)}
            given[side]["script"] = "on ANY *: split\non CONNECT *: split"
            stage = self.stage(mails(6), **given)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, side=("source", "destination"))

    def test_strange_dates(self):
        """INTERNALDATEs that break the grammar: the message is copied."""
        def one(date):
            box = mails(3, twins=False)
            stage = self.stage(box)
            body = text("dated", extra="Received: by here; Wed, 17 Jul 1996 02:44:25 +0000\r\n")
            stage.source.add("INBOX", body, [], date)
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
            shown = {m["sha256"]: m["epoch"] for m in stage.destination.messages("INBOX")}
            if run.causes():            # the source's cannot be read: the header tells it
                self.assertEqual(dict(run.causes()), {"date": 1})
                self.assertIn("header", run.of("exception")[0]["reason"])
                self.assertEqual(shown[hashlib.sha256(body.encode()).hexdigest()], 837571465)
            uploads = stage.destination.count("APPEND")
            stage.copy()
            self.assertEqual(stage.destination.count("APPEND"), uploads)
        self.each(one, date=("00-Jan-0000 00:00:00 +0000", " 1-Jan-2023 1:2:3 +0000", "1-Jan-2023 10:00:00 +0000",
                             "01-Jan-1901 00:00:00 +0000", "31-Dec-2155 23:59:59 +0000", "yesterday", "",
                             "17-Jul-1996 02:44:25 -0700", "17-Jul-1996 02:44:25 PDT"))


class Lies(Case):
    """The source says that messages have gone which have not, or keeps still about some that have."""

    QRESYNC = FULL + " QRESYNC"

    def second_pass(self, lie, change=None, late=0):
        """LATE: so many that have gone are only found in the next pass."""
        stage = self.stage(mails(30, twins=False), source={"caps": self.QRESYNC}, destination={"caps": FULL})
        self.check_exact(stage, stage.copy("--deletions", "mirror"))
        stage.source.flag("INBOX", "3", "+\\Flagged")
        if change:
            change(stage)
        stage.source.script("on FETCH-META * line CHANGEDSINCE: " + lie)
        run = stage.copy("--deletions", "mirror")
        self.assertEqual(run.code, 0, str(run))
        self.assertFalse(stage.at_source() - stage.at_destination(), "lost: %s" % run)
        self.assertEqual(sum((stage.at_destination() - stage.at_source()).values()), late, str(run))
        self.assertEqual(stage.unfired(), [])
        stage.source.rules = []
        self.check_exact(stage, stage.copy("--deletions", "mirror"))

    def test_gone_that_are_there(self):
        """Nothing is removed at the destination for a VANISHED that does not fit the number of messages."""
        for words in ("1:*", "1:30", "3,5,7", "30:1", "1:4294967295", "(", "nonsense", "", "0", "1:3:5"):
            with self.subTest(words=words):
                self.second_pass('extra "* VANISHED (EARLIER) %s"' % words)

    def test_gone_that_are_not_told(self):
        """What it does not tell is found by asking for all."""
        self.second_pass('omit "VANISHED"', lambda stage: stage.source.expunge("INBOX", "4,9"))

    def test_others_told(self):
        """As many as have gone, but others: those that are there stay."""
        self.second_pass('replace "VANISHED .EARLIER. .*" "VANISHED (EARLIER) 5,10"',
                         lambda stage: stage.source.expunge("INBOX", "4,9"), 2)


class Slow(Case):
    """Whoever is slow is waited for, and what the wait breaks is mended."""

    def test_slow_destination(self):
        """The source hangs up because nobody reads what it says; memory stays bounded; all arrives."""
        box = mails(6, twins=False, size=400000) + [Mail("INBOX", text("large", 2500000), [], EPOCH)]
        stage = self.stage(box, source={"script": "on FETCH-BODY 2 after: delay 0.5; reset"},
                           destination={"script": "on CONNECT 1: rate 1500000"})
        run = stage.copy()
        self.check_exact(stage, run)
        self.check_idle(stage)

    def test_slow_source(self):
        stage = self.stage(mails(6, twins=False, size=60000), source={"script": "on CONNECT *: rate 200000"})
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)


class Sweeps(Case):
    """The source's folder changes while godwit works on it."""

    def test_mail_arrives_meanwhile(self):
        """What came after the sweep is for the next pass, and is not lost."""
        def one(variant, event):
            stage = self.stage(mails(6), source={"script": "on %s: deliver 2 INBOX" % event}, destination=caps(variant))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertFalse(stage.at_destination() - stage.at_source(), "doubled: %s" % run)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), event=("EXAMINE 1", "FETCH-META 1", "FETCH-BODY 1", "LIST 1"))

    def test_flags_change_meanwhile(self):
        def one(variant, event):
            stage = self.stage(mails(6), source={"script": "on %s: flag 1:3 +\\Flagged INBOX" % event},
                               destination=caps(variant))
            self.assertEqual(stage.copy().code, 0)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"), event=("EXAMINE 1", "FETCH-META 1", "FETCH-BODY 1", "LIST 1"))

    def test_uidvalidity_between_passes(self):
        """A source folder made anew: its messages are recognised, and not copied again."""
        def one(variant):
            stage = self.stage(mails(5) + mails(3, "Other"), destination=caps(variant))
            self.check_exact(stage, stage.copy())
            stage.source.uidvalidity("INBOX")
            stage.fill(mails(2, "Other", size=900, twins=False))
            run = stage.copy()
            self.assertEqual((run.code, run.summary["items_stored"]), (0, 2), str(run))
            stage.before = stage.at_source()
            self.check_exact(stage, run)
            self.check_idle(stage)
        self.each(one, variant=("full", "bare"))

    def test_uidvalidity_in_the_middle(self):
        """Between the sweep and the bodies: UIDs now name other messages."""
        def one(variant, event):
            stage = self.stage(mails(5, twins=False) + mails(2, "Other"), destination=caps(variant), source={
                "script": "on %s folder INBOX: expunge 1; uidvalidity-change" % event})
            run = stage.copy()
            source = collections.Counter(key[1] for key in stage.before.elements())
            there = collections.Counter(key[1] for key in stage.at_destination().elements())
            self.assertFalse(there - source, "doubled: %s" % run)
            for _ in range(2):
                run = stage.copy()
                there = collections.Counter(key[1] for key in stage.at_destination().elements())
                self.assertFalse(there - source, "doubled later: %s" % run)
            self.assertEqual(len(stage.destination.messages("Other")), 2)
        self.each(one, variant=("full", "bare"), event=("FETCH-META 1 after", "FETCH-BODY 1"))

    def test_folder_goes(self):
        def one(event):
            stage = self.stage(mails(3) + mails(3, "Box") + mails(2, "Zoo"), source={
                "script": "on %s: remove-folder Box" % event})
            run = stage.copy()
            self.assertEqual(run.code, 1, str(run))
            self.assertEqual(dict(run.causes()), {"folder-gone": 1}, str(run))
            self.assertEqual(len(stage.destination.messages("Zoo")), 2)
        self.each(one, event=("LIST 1 after", "EXAMINE 1 folder Box before"))

    def test_folder_cannot_be_opened(self):
        stage = self.stage(mails(3) + mails(3, "Box") + mails(2, "Zoo"), source={
            "script": "on EXAMINE * folder Box: reply NO [NOPERM] Not for you"})
        run = stage.copy()
        self.assertEqual((run.code, dict(run.causes())), (1, {"folder-gone": 1}), str(run))
        self.assertEqual(len(stage.destination.messages("Zoo")), 2)
        stage.source.rules = []
        self.check_exact(stage, stage.copy())


if __name__ == "__main__":
    unittest.main()
