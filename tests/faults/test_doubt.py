#!/usr/bin/python3
"""The destination, in doubt: what was put may be stored or not, and only the destination can tell."""

import collections
import hashlib
import os
import signal
import time
import unittest

from case import Case, EPOCH, FULL, KILLED, Mail, VARIANTS, caps, content_of, mails, text
from fakeimap import Cut


def is_atomic(variant):
    return "MULTIAPPEND" in VARIANTS[variant].split()


class LostReplies(Case):
    """A reply that never comes: stored, not stored, stored later, silence."""

    def walk(self, action, options=(), count=9, places=(0, 1, 2), patience=0):
        def one(variant, place):
            appends = 1 if is_atomic(variant) else count
            event = (1, (appends + 1) // 2, appends)[place]
            if place and appends == 1:
                return
            stage = self.stage(mails(count), destination=dict(
                caps(variant), script="on APPEND %d: %s" % (event, action)))
            run = stage.copy(*options)
            time.sleep(patience)                # a late copy must not escape us by coming later still
            self.check_exact(stage, run)
            self.check_source(stage)
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, place=places)

    def test_stored_then_dropped(self):
        self.walk("store-then-drop")

    def test_stored_then_reset(self):
        self.walk("store-then-reset")

    def test_dropped_not_stored(self):
        self.walk("drop")

    def test_reset_not_stored(self):
        self.walk("reset")

    def test_bye_instead_of_an_answer(self):
        self.walk("bye Server shutting down")

    def test_stored_later(self):
        """It becomes visible only after the connection died, within the time that --settle grants."""
        self.walk("store-later 0.4", options=("--settle", "1.5"), places=(0, 2), patience=0.5)

    def test_stored_then_silent(self):
        self.walk("store-then-silent", options=("--timeout", "1"), places=(0, 2))

    def test_silent_not_stored(self):
        self.walk("silent", options=("--timeout", "1"), places=(0, 2))

    def test_again_and_again(self):
        """The first two uploads lose their reply, each in another way."""
        def one(variant, first, second):
            stage = self.stage(mails(9), destination=dict(caps(variant), script="on APPEND 1: %s\n" % first + (
                "" if is_atomic(variant) and first.startswith("store") else "on APPEND 2: %s" % second)))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, first=("drop", "store-then-drop"), second=("drop", "store-then-reset"))

    def test_a_batch_stored_in_part(self):
        """A server that says it is atomic and is not: half of the batch is there."""
        def one(variant, count):
            stage = self.stage(mails(9), destination=dict(
                caps(variant), script="on APPEND 1: store-some %d" % count))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("full", "no-uidplus"), count=(1, 4, 8))

    def test_lost_and_killed(self):
        """The reply is lost, and then godwit: the next run settles it."""
        def one(variant, action):
            stage = self.stage(mails(9), destination=dict(
                caps(variant), script="on APPEND 1: %s\non CONNECT 2: call kill" % action))
            stage.destination.calls["kill"] = lambda session, command: os.killpg(stage.process.pid, signal.SIGKILL)
            run = stage.copy()
            self.assertEqual(run.code, KILLED, str(run))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, action=("store-then-drop", "drop", "store-some 4"))

    def test_gone_for_good(self):
        """The destination does not come back: exit 10 after some patience, and nothing is lost by it."""
        stage = self.stage(mails(9), destination={"script": "on APPEND 1: store-then-drop\non CONNECT 2+: drop"})
        run = stage.copy()
        self.check_error(run, 10, "hung up")
        self.assertTrue(run.notes, "the waiting was not told")
        self.assertLess(stage.destination.sessions_seen, 10, "it hammers")
        stage.destination.rules = []
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_stored_by_a_lane_that_is_lost(self):
        """Whoever takes its folder over checks what it stored."""
        folders = ["F1", "F2", "F3", "F4"]
        stage = self.stage(mails(100) + mails(9, "Box") + [Mail("Box", text("x"), ["Trouble"], EPOCH)] +
                           [mail for name in folders for mail in mails(1, name)], destination=dict(caps("no-multiappend")))
        stage.destination.calls["refuse"] = lambda *_: stage.destination.script(
            "on AUTHENTICATE *: reply NO [LIMIT] Suggested Backoff Time: 10 milliseconds")
        stage.source.script("on FETCH-BODY 1: delay 1")     # the first lane has its hands full with INBOX
        stage.destination.script('on APPEND * line "INBOX": delay 0.02\non APPEND 1 line "Trouble": call refuse; drop')
        run = stage.copy("--lanes", "2")
        self.check_exact(stage, run)
        self.assertIn("one connection fewer", " ".join(run.notes))

    def test_found_and_left_to_another_lane(self):
        """What the first lane found to be stored it has counted, and so it alone can check it."""
        names = ["Box%d" % number for number in range(12)]
        stage = self.stage([mail for name in names for mail in mails(2, name)], destination=dict(caps("bare")))
        self.check_exact(stage, stage.copy())
        stage.fill([Mail(name, text(name), [], EPOCH) for name in names])
        stage.destination.script("on APPEND *: store-then-silent")
        appends = stage.destination.count("APPEND")
        process = stage.begin()
        self.assertTrue(stage.destination.wait("APPEND", appends + 3))
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGKILL)
        stage.finish(process, begun)
        stage.destination.rules = []
        run = stage.copy()
        self.check_exact(stage, run)
        self.assertGreater(run.summary["items_resolved"], 0)
        self.check_idle(stage)


class Durable(Case):
    """Nothing is put before its intent is durable."""

    def test_a_store_that_hangs(self):
        """The store stops in the middle of the work: the worker waits for it, and puts nothing meanwhile."""
        def one(variant, event):
            stage = self.stage(mails(9) + [Mail("INBOX", text("big", 1500000), [], EPOCH)], destination=caps(variant),
                               source={"script": "on FETCH-BODY %d: call stop" % event})
            at = []

            def stop(session, command):
                os.kill(stage.process.pid, signal.SIGSTOP)
                at.append(stage.destination.count("APPEND"))
                stage.later(0.5, lambda: (at.append(stage.destination.count("APPEND")),
                                          os.killpg(stage.process.pid, signal.SIGKILL)))
            stage.source.calls["stop"] = stop
            self.assertEqual(stage.copy().code, KILLED)
            before, after = at
            self.assertLessEqual(after - before, 0 if event == 1 else 9, "put without a durable intent")
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, event=(1, 2))

    def test_a_store_that_is_slow(self):
        """Stopped and let go on again: nothing but time is lost."""
        def one(variant):
            stage = self.stage(mails(9), destination=caps(variant), source={"script": "on FETCH-BODY 1: call stop"})

            def stop(session, command):
                os.kill(stage.process.pid, signal.SIGSTOP)
                stage.later(0.5, lambda: os.kill(stage.process.pid, signal.SIGCONT))
            stage.source.calls["stop"] = stop
            self.check_exact(stage, stage.copy())
        self.each(one, variant=("full", "bare"))


class Twins(Case):
    """Identical messages around the cut: none adopts the copy of another."""

    def twins(self, count):
        return [Mail("INBOX", text("same", 400), [], EPOCH) for _ in range(count)]

    def test_around_the_cut(self):
        def one(variant, event, action):
            if is_atomic(variant) and event > 1:
                return
            stage = self.stage(self.twins(5), destination=dict(
                caps(variant), script="on APPEND %d: %s" % (event, action)))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, event=range(1, 6), action=("drop", "store-then-drop"))

    def test_across_windows(self):
        """Without UIDPLUS the first window's twins are stored and not located when the second is lost."""
        def one(variant, action, event):
            stage = self.stage([Mail("INBOX", text("big twin", 400000), [], EPOCH) for _ in range(6)],
                               destination=dict(caps(variant), script="on APPEND %d: %s" % (event, action)))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("no-uidplus", "bare", "full"), action=("drop", "store-then-drop"), event=(2, 3))

    def test_across_windows_and_killed(self):
        """The same, and the run that meets the doubt does not know the windows any more."""
        def one(variant, action, event):
            stage = self.stage([Mail("INBOX", text("big twin", 400000), [], EPOCH) for _ in range(6)],
                               destination=dict(caps(variant), script="on APPEND %d: call kill; %s" % (event, action)))
            stage.destination.calls["kill"] = lambda session, command: os.killpg(stage.process.pid, signal.SIGKILL)
            self.assertEqual(stage.copy().code, KILLED)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("no-uidplus", "bare", "full"), action=("drop", "store-then-drop"), event=(2, 3))

    def test_in_two_folders(self):
        """What one folder lost is not found in another."""
        stage = self.stage([Mail(folder, text("same", 400), [], EPOCH) for folder in ("A", "B", "B")],
                           destination={"script": "on APPEND 1 folder A: drop\non APPEND 1 folder B: store-then-drop"})
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_twins_of_older_passes(self):
        """A twin copied in an earlier pass is not taken for the lost one."""
        def one(variant, action):
            stage = self.stage(self.twins(2), destination=caps(variant))
            self.check_exact(stage, stage.copy())
            stage.fill(self.twins(2))
            stage.destination.script("on APPEND 1: " + action)
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, action=("drop", "store-then-drop"))

    def test_only_flags_and_dates_differ(self):
        """Same bytes, other dates: each date comes out once."""
        def one(variant, action):
            stage = self.stage([Mail("INBOX", text("same", 400), ["\\Seen"] * (n % 2), EPOCH + n * 100)
                                for n in range(5)],
                               destination=dict(caps(variant), script="on APPEND 1: " + action))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS, action=("drop", "store-then-drop"))


class Foreign(Case):
    """Other people's mail arrives while godwit writes."""

    def deliveries(self, script, variant, count=9):
        stage = self.stage(mails(count), destination=dict(caps(variant), script=script))
        run = stage.copy()
        foreign = stage.at_destination() - stage.at_source()
        self.assertTrue(foreign)
        self.check_exact(stage, run, extra=foreign)
        self.assertEqual(sum(stage.at_destination().values()), count + sum(foreign.values()), "a message was doubled")
        self.check_idle(stage, extra=foreign)

    def test_during_the_window(self):
        self.each(lambda variant: self.deliveries("on APPEND *: deliver 2", variant), variant=VARIANTS)

    def test_and_a_lost_reply(self):
        self.each(lambda variant, action: self.deliveries(
            "on APPEND *: deliver 1\non APPEND 1: deliver 3; " + action, variant),
            variant=VARIANTS, action=("drop", "store-then-drop"))

    def test_while_godwit_looks(self):
        """Mail keeps coming while it waits for the destination to come to rest."""
        self.each(lambda variant, action: self.deliveries(
            "on APPEND 1: %s\non STATUS 3-6: deliver 1 INBOX" % action, variant),
            variant=("full", "no-uidplus", "bare"), action=("drop", "store-then-drop"))

    def test_never_at_rest(self):
        """Without rest nothing is certain: what is sent again is named."""
        def one(variant):
            stage = self.stage(mails(4), destination=dict(
                caps(variant), script="on APPEND 1: drop\non STATUS 2+: deliver 1 INBOX"))
            run = stage.copy("--settle", "0.1")
            foreign = stage.at_destination() - stage.at_source()
            self.assertEqual(stage.difference(extra_allowed=foreign), "", str(run))
            self.assertEqual(set(run.causes()), {"in-doubt"}, str(run))
            self.assertEqual(run.code, 1, str(run))
        self.each(one, variant=("full", "bare"))


class Receipts(Case):
    """Receipts that lie."""

    def walk(self, action, which="*", variants=("full", "no-multiappend")):
        def one(variant):
            stage = self.stage(mails(7) + mails(3, "Other"), destination=dict(
                caps(variant), script="on APPEND %s: %s" % (which, action)))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
            stage.source.flag("INBOX", "1:7", "+\\Flagged")     # the ids must be the true ones
            stage.source.flag("INBOX", "2", "+Mark")
            self.check_exact(stage, stage.copy())
        self.each(one, variant=variants)

    def test_omitted(self):
        self.walk("omit-appenduid")
        self.walk("omit-appenduid", "1")

    def test_other_uidvalidity(self):
        self.walk("wrong-appenduid 7 1:7", variants=("full",))
        self.walk("wrong-appenduid 7 1", variants=("no-multiappend",))

    def test_uid_zero(self):
        self.walk("wrong-appenduid 1001 0")

    def test_no_numbers(self):
        self.walk("wrong-appenduid 1e5 x")

    def test_wrong_count(self):
        self.walk('replace "APPENDUID (\\d+) [\\d:,]+" "APPENDUID \\1 1:2"')

    def test_uids_of_others(self):
        """The right UIDVALIDITY and count, but UIDs of mail that was there before."""
        def one(variant, uids):
            stage = self.stage(mails(7, twins=False), destination=dict(caps(variant), script=(
                'on APPEND *: replace "APPENDUID (\\d+) [\\d:,]+" "APPENDUID \\1 %s"' % uids)))
            stage.destination.fill("INBOX", 10)
            foreign = stage.at_destination()
            self.check_exact(stage, stage.copy(), extra=foreign)
            self.check_idle(stage, extra=foreign)
            stage.source.flag("INBOX", "1:7", "+\\Flagged")
            self.check_exact(stage, stage.copy(), extra=foreign)
        one("full", "1:7")
        one("no-multiappend", "1")

    def test_ok_and_nothing_stored(self):
        """OK was said, and nothing is there: it must be told, and the run must not claim success."""
        def one(variant):
            stage = self.stage(mails(3), destination=dict(caps(variant), script="on APPEND 1: reply OK done"))
            run = stage.copy()
            self.assertEqual(run.code, 1, str(run))
            self.assertEqual(run.causes(), {"missing": 3 if is_atomic(variant) else 1}, str(run))
            self.assertFalse(run.result["checked"])
        self.each(one, variant=VARIANTS)

    def test_no_and_stored(self):
        """NO was said, and it is there.  RFC 3501 forbids it; godwit says the item was refused."""
        stage = self.stage(mails(1), destination={"script": "on APPEND * after: reply NO strange"})
        run = stage.copy()
        self.assertEqual(run.code, 1, str(run))
        self.assertEqual(run.causes(), {"refused": 1}, str(run))

    def test_answer_without_a_command(self):
        """A tag that nobody sent: the link is given up, the copy is not."""
        def one(variant):
            stage = self.stage(mails(7), destination=dict(
                caps(variant), script='on APPEND 1: garbage "zz99 OK done\\r\\n"'))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS)


class Refusals(Case):
    """One message that is refused costs itself only."""

    def poison(self, count, bad, body="a\0b"):
        box = mails(count, twins=False)
        for n in bad:
            box[n].body += body.encode()
        return box

    def test_bisection(self):
        def one(variant, case):
            count, bad = case
            stage = self.stage(self.poison(count, bad), destination=dict(caps(variant), refuse=["nul"]))
            missing = collections.Counter()
            for n in bad:
                missing += content_of(stage, "INBOX", n + 1)
            run = stage.copy()
            self.check_exact(stage, run, 1, {"nul": len(bad)}, missing)
            good = [d for n, d in enumerate(self.order(stage.source)) if n not in bad]
            self.assertEqual(self.order(stage.destination), good, "the order was lost")
            tries = count if not is_atomic(variant) else 1 + 2 * 8 * len(bad)
            self.assertLessEqual(stage.destination.count("APPEND"), tries, "too many tries")
            self.assertEqual({x[1] for x in run.exceptions}, {n + 1 for n in bad})
            self.check_idle(stage, 1, {"nul": len(bad)}, missing)
        self.each(one, variant=VARIANTS, case=(
            (1, [0]), (20, [7]), (20, [0, 19]), (20, [3, 4, 5]), (5, range(5)), (100, [41, 77])))

    def test_bisection_cut(self):
        """The link is lost at each step of the bisection."""
        def one(variant, event, action):
            stage = self.stage(self.poison(12, [4]), destination=dict(
                caps(variant), refuse=["nul"], script="on APPEND %d: %s" % (event, action)))
            missing = content_of(stage, "INBOX", 5)
            self.check_exact(stage, stage.copy(), 1, {"nul": 1}, missing)
            self.check_idle(stage, 1, {"nul": 1}, missing)
        self.each(one, variant=("full", "no-uidplus"), event=range(1, 9), action=("drop", "store-then-drop"))

    def test_refused_then_cut(self):
        """A refusal whose train is cut right behind it is told all the same, once."""
        def one(variant):
            stage = self.stage(self.poison(6, [1]), destination=dict(
                caps(variant), refuse=["nul"], script="on APPEND 3: drop"))
            missing = content_of(stage, "INBOX", 2)
            self.check_exact(stage, stage.copy(), 1, {"nul": 1}, missing)
            self.check_idle(stage, 1, {"nul": 1}, missing)
        self.each(one, variant=("no-multiappend", "bare"))

    def test_hangs_up_at_one_message(self):
        """A message that ends the connection each time it comes costs itself, and is sent a few times only."""
        def one(variant, which, size):
            box = mails(7, twins=False)
            box[which].body = text("poison", size).encode()
            missing = collections.Counter({("INBOX", hashlib.sha256(box[which].body).hexdigest(), "", box[which].date): 1})
            stage = self.stage(box + mails(2, "Other"), destination=caps(variant))
            stage.destination.calls["scan"] = scan
            stage.destination.script("on APPEND * after-literal: call scan")
            run = stage.copy(timeout=110)
            self.check_exact(stage, run, 1, {"refused": 1}, missing)
            self.assertLessEqual(stage.destination.sessions_seen, 6, "too many tries")
            self.check_no_half(stage)
            self.check_exact(stage, stage.copy(timeout=110), 1, {"refused": 1}, missing)
            stage.destination.rules = []
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)

        def scan(session, command):
            if any(b"message poison" in part for part in command.parts):
                raise Cut("drop")
        self.each(one, variant=VARIANTS, which=(0, 3, 6), size=(300, 1500000))

    def test_keyword_refused_then_cut(self):
        """A refused keyword is a concession, also when the link is lost right behind the refusal."""
        def one(variant):
            box = mails(6, twins=False)
            box[1].flags = ["Odd"]
            stage = self.stage(box, destination=dict(
                caps(variant), script="on APPEND 3: drop", refuse_keyword=["Odd => [CANNOT] Invalid keyword"]))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(run.causes(), {"flags": 1}, str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
        self.each(one, variant=("no-multiappend", "bare", "full"))

    def test_keywords_refused(self):
        def one(variant):
            box = mails(12, twins=False)
            for n in (2, 3, 9):
                box[n].flags = ["Odd", "\\Seen"]
            stage = self.stage(box, destination=dict(
                caps(variant), refuse_keyword=["Odd => [CANNOT] Invalid keyword"]))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(run.causes(), {"flags": 3}, str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
            self.assertEqual(sum(m["flags"] == ["\\Seen"] for m in stage.destination.messages("INBOX")), 3)
            self.assertEqual(run.summary["items_stored"], 12)
            uploads = stage.destination.count("APPEND")
            run = stage.copy()
            self.assertEqual((run.code, stage.destination.count("APPEND")), (0, uploads), str(run))
        self.each(one, variant=VARIANTS)

    def test_keywords_not_kept(self):
        """PERMANENTFLAGS without \\*: the message is there, its keyword is reported."""
        def one(variant):
            box = mails(3, twins=False)
            box[1].flags = ["Work"]
            stage = self.stage(box, destination=dict(
                caps(variant), permanent_flags=r"\Answered \Flagged \Deleted \Seen \Draft"))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
            self.assertEqual(run.causes(), {"flags": 1}, str(run))
        self.each(one, variant=VARIANTS)

    def test_too_many_keywords(self):
        def one(variant):
            box = mails(6, twins=False)
            for n, mail in enumerate(box):
                mail.flags = ["Key%d" % n]
            stage = self.stage(box, destination=dict(caps(variant), max_keywords=3))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
            self.assertEqual(set(run.causes()), {"flags"}, str(run))
        self.each(one, variant=("full", "bare"))

    def test_dates_refused(self):
        def one(variant, reply):
            box = mails(6, twins=False)
            box[0].date = -86400 * 365
            stage = self.stage(box, destination=dict(
                caps(variant), script='on APPEND * line "-Jan-1969 ": reply %s' % reply))
            run = stage.copy()
            self.assertEqual(run.code, 0, str(run))
            self.assertEqual(run.causes(), {"date": 1}, str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
        self.each(one, variant=VARIANTS, reply=("BAD Invalid date-time", "NO error"))

    def test_date_ignored(self):
        def one(variant):
            stage = self.stage(mails(4), destination=dict(caps(variant), alter=["ignore-date"]))
            run = stage.copy()
            self.assertEqual((run.code, dict(run.causes())), (0, {"date": 4}), str(run))
        self.each(one, variant=VARIANTS)

    def test_date_ignored_and_a_lost_reply(self):
        """The date cannot tell the copies then; the rest can."""
        def one(variant, action):
            stage = self.stage(mails(9), destination=dict(
                caps(variant), alter=["ignore-date"], script="on APPEND 1: " + action))
            run = stage.copy()
            self.assertEqual((run.code, dict(run.causes())), (0, {"date": 9}), str(run))
            self.assertEqual(sorted(self.order(stage.destination)), sorted(self.order(stage.source)))
        self.each(one, variant=VARIANTS, action=("drop", "store-then-drop"))

    def test_altered_and_a_lost_reply(self):
        """The bytes that come back are not the bytes that were sent: adopted all the same, and told."""
        def one(case, variant, action):
            alter, body = case
            box = mails(4, twins=False)
            box += [Mail("INBOX", text("8bit", extra="X-Odd: \xe9\r\n").encode("latin-1") + body, [], EPOCH)]
            stage = self.stage(box, destination=dict(caps(variant), alter=[alter], script="on APPEND 1: " + action))
            run = stage.copy()
            self.assertEqual(len(self.order(stage.destination)), 5, "lost or doubled: %s" % run)
            uploads = stage.destination.count("APPEND")
            self.assertEqual(stage.copy().code, 0)
            self.assertEqual(stage.destination.count("APPEND"), uploads)
            self.assertEqual((run.code, dict(run.causes())), (0, {"altered": 1}), str(run))
        self.each(one, case=(("bare-lf-to-crlf", b"one\ntwo\n"), ("munge-8bit", b"")),
                  variant=("full", "bare"), action=("drop", "store-then-drop"))

    def test_twins_altered_and_a_lost_reply(self):
        """Messages that only become twins when the destination has altered them."""
        def one(variant, action):
            head = text("8bit", extra="X-Odd: %s\r\n").encode()
            box = [Mail("INBOX", head.replace(b"%s", odd), [], EPOCH) for odd in (b"\xe9", b"\xe8", b"X", b"\xe9")]
            stage = self.stage(box, destination=dict(
                caps(variant), alter=["munge-8bit"], script="on APPEND 1: " + action))
            run = stage.copy()
            self.assertEqual(len(self.order(stage.destination)), 4, "lost or doubled: %s" % run)
            self.assertEqual(run.code, 0, str(run))
            uploads = stage.destination.count("APPEND")
            self.assertEqual(stage.copy().code, 0)
            self.assertEqual(stage.destination.count("APPEND"), uploads)
        self.each(one, variant=("full", "no-uidplus", "bare"), action=("drop", "store-then-drop"))


class Rebuilt(Case):
    """UIDVALIDITY changes at the destination, folders go."""

    def test_in_the_middle(self):
        """Its messages are recognised, in the same pass; nothing is doubled, now or later."""
        def one(variant, event):
            stage = self.stage(mails(5, twins=False) + mails(3, "Other"),
                               destination=dict(caps(variant), script="on APPEND 1 folder INBOX" + event))
            run = stage.copy()
            self.assertEqual((run.code, dict(run.causes())), (0, {}), str(run))
            for _ in range(2):
                self.assertEqual(stage.difference(), "", str(run))
                run = stage.copy()
                self.assertEqual((run.code, run.summary["items_stored"]), (0, 0), str(run))
        self.each(one, variant=VARIANTS, event=(
            ": uidvalidity-change", " after: uidvalidity-change", " after: uidvalidity-change; drop",
            ": uidvalidity-change; drop"))

    def test_restored_in_the_middle(self):
        """A backup is put back while godwit works: what it had stored since is stored again, not taken for there."""
        def one(variant, taken, restored):
            stage = self.stage(mails(12, twins=False, size=9000) + mails(2, "Other"), destination=dict(caps(variant), script=(
                "on APPEND %d after: snapshot\non APPEND %d replied: restore" % (taken, restored))))
            run = stage.copy()
            self.assertIn(run.code, (0, 1), str(run))
            lost = stage.at_source() - stage.at_destination()
            self.assertLessEqual(sum(lost.values()), run.causes()["missing"], "lost without a word: %s" % run)
            self.assertFalse(stage.at_destination() - stage.at_source(), str(run))
        self.each(one, variant=("no-multiappend",), taken=(1, 2, 4), restored=(5, 7, 9, 12))

    def test_between_passes(self):
        """Nothing was under way: what is there stays known, what is new is copied."""
        def one(variant):
            stage = self.stage(mails(5), destination=caps(variant))
            self.check_exact(stage, stage.copy())
            stage.destination.uidvalidity("INBOX")
            stage.fill(mails(2, "INBOX", twins=False, size=900))
            run = stage.copy()
            self.assertEqual((run.code, run.summary["items_stored"]), (0, 2), str(run))
            self.check_exact(stage, run)
            self.check_idle(stage)
        self.each(one, variant=VARIANTS)

    def test_between_passes_and_flags(self):
        """After UIDs were counted afresh, flags must not go to other messages."""
        stage = self.stage(mails(5, twins=False))
        self.check_exact(stage, stage.copy())
        stage.destination.expunge("INBOX", "1")                 # by its user
        stage.destination.uidvalidity("INBOX")                  # so that all UIDs now name other messages
        stage.source.flag("INBOX", "2", "+\\Flagged")
        stage.copy()
        wrong = [m for m in stage.destination.messages("INBOX") if "\\Flagged" in m["flags"]
                 and m["sha256"] != stage.source.messages("INBOX")[1]["sha256"]]
        self.assertEqual(wrong, [], "a flag went to another message")

    def test_folder_deleted_in_the_middle(self):
        def one(variant, event):
            stage = self.stage(mails(3) + mails(5, "Box") + mails(2, "Zoo"), destination=dict(
                caps(variant), script="on APPEND 1 folder Box %s: remove-folder Box" % event))
            run = stage.copy()
            self.assertEqual(run.code, 1, str(run))
            self.assertTrue(run.causes(), "nothing was named: %s" % run)
            self.assertEqual(len(stage.destination.messages("Zoo")), 2)
            self.assertEqual(len(stage.destination.messages("INBOX")), 3)
        self.each(one, variant=VARIANTS, event=("before", "after"))


class Limits(Case):
    """Throttles, quotas and sizes."""

    def test_throttled(self):
        def one(case):
            reply, which = case
            stage = self.stage(mails(7), destination={"script": "on %s: reply %s" % (which, reply)})
            run = stage.copy()
            self.check_exact(stage, run)
            self.assertTrue(any("wait" in note or "again" in note for note in run.notes), run.notes)
            self.check_idle(stage)
        self.each(one, case=(
            ("NO [UNAVAILABLE] busy", "APPEND 1"), ("NO [THROTTLED] slow down", "APPEND 1-2"),
            ("BAD Request is throttled. Suggested Backoff Time: 300 milliseconds", "APPEND 1"),
            ("NO [LIMIT] too much", "FETCH-META 1"), ("NO [INUSE] locked", "EXAMINE 1")))

    def test_throttled_in_a_train(self):
        """Of a pipelined train some are taken and some are told to wait: each arrives once."""
        def one(variant, which):
            stage = self.stage(mails(9), destination=dict(
                caps(variant), script="on APPEND %s: reply NO [THROTTLED] Suggested Backoff Time: 50 milliseconds" % which))
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=("no-multiappend", "bare"), which=("1", "2-4", "9", "3-20"))

    def test_login_throttled(self):
        """Too many connections is not a wrong password."""
        stage = self.stage(mails(2), destination={"script": "on AUTHENTICATE 1: reply NO [UNAVAILABLE] Maximum number"
                                                            " of connections from user+IP exceeded"})
        run = stage.copy()
        self.assertIn(run.code, (0, 20), str(run))
        self.check_exact(stage, stage.copy())

    def test_throttled_at_the_source(self):
        def one(which):
            stage = self.stage(mails(7), source={
                "script": "on %s: reply NO [THROTTLED] Suggested Backoff Time: 200 milliseconds" % which})
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, which=("FETCH-BODY 1", "FETCH-META 1", "EXAMINE 1", "LIST 1"))

    def test_throttled_for_good(self):
        stage = self.stage(mails(3), destination={
            "script": "on APPEND *: reply NO [UNAVAILABLE] Suggested Backoff Time: 10 milliseconds"})
        run = stage.copy()
        self.assertEqual(run.code, 20, str(run))
        self.assertLessEqual(stage.destination.count("APPEND"), 20, "too many tries")
        stage.destination.rules = []
        self.check_exact(stage, stage.copy())
        self.check_idle(stage)

    def test_quota(self):
        """A few tries, exit 20, and the rest when there is room."""
        def one(variant):
            stage = self.stage(mails(20, size=2000), destination=dict(caps(variant), quota=15000))
            run = stage.copy()
            self.check_error(run, 20, "quota")
            self.check_no_half(stage)
            self.assertLessEqual(stage.destination.count("APPEND"), 25, "too many tries")
            run = stage.copy()
            self.assertEqual(run.code, 20, str(run))
            stage.destination.set_options(["--quota", "1000000"])
            self.check_exact(stage, stage.copy())
            self.check_idle(stage)
        self.each(one, variant=VARIANTS)

    def bodies(self, stage):
        return [entry["line"].split(" ")[0] for entry in stage.source.log
                if entry["name"] == "UID FETCH" and "BODY.PEEK[]" in entry["line"]]

    def too_big(self, options, destination, retry_options):
        box = mails(5, twins=False)
        box[2].body = text("big", 50000).encode()
        stage = self.stage(box, destination=destination)
        missing = content_of(stage, "INBOX", 3)
        run = stage.copy(*options)
        self.check_exact(stage, run, 1, {"too-big": 1}, missing)
        self.assertFalse(set(self.bodies(stage)) & {"3", "1:5", "1:3", "3:5", "2:3", "3:4"}, "it was downloaded")
        before = self.bodies(stage)
        self.check_idle(stage, 1, {"too-big": 1}, missing, options=options)
        self.assertEqual(self.bodies(stage), before, "the second pass downloaded something")
        stage.destination.set_options(["--max-size", "1000000"])
        self.check_exact(stage, stage.copy("--retry-refused", *retry_options))
        self.check_idle(stage)

    def test_appendlimit(self):
        self.too_big((), {"caps": FULL + " APPENDLIMIT", "max_size": 20000}, ())

    def test_max_size(self):
        self.too_big(("--max-size", "20K"), {}, ("--max-size", "1M"))

    def test_limit_not_told(self):
        """The destination tells its limit only by refusing."""
        def one(variant):
            box = mails(5, twins=False)
            box[2].body = text("big", 50000).encode()
            stage = self.stage(box, destination=dict(caps(variant), max_size=20000))
            missing = content_of(stage, "INBOX", 3)
            self.check_exact(stage, stage.copy(), 1, {"too-big": 1}, missing)
            self.check_idle(stage, 1, {"too-big": 1}, missing)
            stage.destination.options.max_size = 0
            self.check_exact(stage, stage.copy("--retry-refused"))
            self.check_idle(stage)
        self.each(one, variant=VARIANTS)

    def test_stream_refused_early(self):
        """A message of megabytes is refused before it travels."""
        def one(variant):
            box = mails(3, twins=False)
            box[1].body = text("huge", 3000000).encode()
            stage = self.stage(box, destination=dict(caps(variant), max_size=1500000), tape=True)
            missing = content_of(stage, "INBOX", 2)
            self.check_exact(stage, stage.copy(), 1, {"too-big": 1}, missing)
            self.assertLess(len(stage.destination.tapes[0]["received"].data), 1000000, "it travelled all the same")
            self.check_idle(stage, 1, {"too-big": 1}, missing)
        self.each(one, variant=VARIANTS)


if __name__ == "__main__":
    unittest.main()
