#!/usr/bin/python3
"""Stories of whole copies: two servers that misbehave, drawn from a number, and a promise that holds all the same.

    copy_fuzz.py                     what each test run plays: the same stories each time
    copy_fuzz.py --seconds 600       these and, drawn by the clock, as many others as fit
    copy_fuzz.py --story 4711        this one, told in full; --count N: and those behind it

A story draws what both servers can do, a mailbox, and some mischief on either side, and lets godwit copy
until it has met most of it. Then the mischief is over, godwit runs twice more, and the destination is held
against the source:

  - each message of the source is there exactly once, byte for byte, in its folder, with its flags and date;
  - nothing else is there but what the story itself delivered, and no half of anything;
  - the source is as it was; the second of the calm runs uploads nothing and exits with 0;
  - each run ends by itself, in time, with a documented exit code that is not 70, and no sanitizer spoke.

What a story makes undecidable it says itself, message by message, and no more than that is forgiven (Excuse).
A story that fails is played again without each of its mischiefs, and told with those that it needs.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import re
import signal
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "faults"))

from stage import BARE, EPOCH, FULL, KILLED, STOPPED, Mail, Stage, fakeimap, text, without  # noqa: E402

CODES = {0, 1, 10, 11, 12, 20, 30}            # DESIGN §10, without 2 (nothing is mistyped) and 70 (never)
FIXED = 180                                   # stories that every test run plays
PATIENCE = 60                                 # seconds of one run
EXTRAS = "QRESYNC MOVE OBJECTID STATUS=SIZE QUOTA APPENDLIMIT ID LITERAL-".split()


# --- a story ---------------------------------------------------------------------------------------------------


class Excuse:
    """What a story makes undecidable; empty for most."""

    def __init__(self):
        self.flags = False          # a lie about flags and dates cannot be seen, or odd refusals cost them
        self.names = False          # a folder may have been listed under a name that it has not
        self.lost = False           # the destination lost what it had said it stored: then it is named as missing
        self.unseen = False         # the source leaves a message out whenever it is asked: then it is named as gone
        self.restored = False       # it went back in time: new numbers as high as the old ones hide it

    def __str__(self):
        return " ".join(name for name, on in vars(self).items() if on) or "nothing"


class Story:
    """All that is drawn from one number. Mischief is (side, rule of the script, what it excuses)."""

    def __init__(self, number):
        self.number, self.dice = number, random.Random(number)
        self.source, self.destination = self.server(), self.server()
        self.mails = self.mailbox()
        self.mischief = [self.draw() for _ in range(self.dice.choice((1, 1, 2, 2, 3, 4, 6)))]
        self.stops = [self.stop() for _ in range(self.dice.choice((1, 1, 2, 3)))]
        self.options = ["--timeout", "1", "--settle", "0.8"]

    def server(self):
        caps = self.dice.choice((FULL, FULL, BARE, None))
        if caps is None:
            caps = " ".join(cap for cap in FULL.split()
                            if cap == "IMAP4rev1" or "AUTH" in cap or self.dice.random() < 0.6)
        caps += "".join(" " + cap for cap in EXTRAS if self.dice.random() < 0.25)
        if "LITERAL-" in caps.split():
            caps = without(caps, "LITERAL+")
        given = {"caps": caps, "delimiter": self.dice.choice("//.")}
        if self.dice.random() < 0.2:
            given["server_id"] = "name Dovecot"
        if self.dice.random() < 0.2:
            given["list_names"] = self.dice.choice(("atom", "literal"))
        return given

    def mailbox(self):
        d, mails = self.dice, []
        names = ["INBOX", "Box", "Sent", "Entw&APw-rfe", "A b", "Work%sOld" % self.source["delimiter"]]
        folders = d.sample(names, d.randint(1, 3))
        kinds = ["twin", "twin", "twin", "plain", "plain", "bare twin", "nul", "large", "8bit", "lf", "headless"]
        for folder in folders:
            for n in range(d.choice((0, 1, 3, 6, 9, 14))):
                mails.append(self.message(d.choice(kinds), folder, len(mails)))
        if d.random() < 0.25:
            mails.append(Mail(folders[0], text("stream", d.choice((1100000, 1900000))), ["\\Flagged"], EPOCH))
        return mails

    def message(self, kind, folder, n):
        """Twins have flags and date in common with each other, so that nothing tells them apart."""
        d = self.dice
        flags = d.choice(([], [], ["\\Seen"], ["\\Answered", "Work"], ["\\Flagged", "$Label1"],
                          ["\\Deleted", "\\Draft"]))
        date = EPOCH + 3600 * n
        if kind == "twin":
            return Mail(folder, text("twin", 300), ["\\Seen"], EPOCH)
        if kind == "bare twin":
            return Mail(folder, text("bare", 250, msgid=False), [], EPOCH + 60)
        body = {"nul": text(n) + "a\0b\r\n", "large": text(n, d.choice((60000, 400000))), "lf": text(n) + "one\ntwo\n",
                "headless": "only a line, number %d\r\n" % n}.get(kind, text("%d-%d" % (self.number, n), 300))
        if kind == "8bit":
            body = text("8bit %d" % n, extra="X-Odd: \xe9\r\n").encode("latin-1")
        return Mail(folder, body, flags, date)

    # -- mischief --

    def draw(self):
        return self.dice.choice((self.at_the_destination, self.at_the_destination, self.at_the_source,
                                 self.at_the_source, self.on_the_line, self.on_the_line, self.noise))()

    def which(self):
        return self.dice.choice(("1", "1", "2", "3", "1-2", "2-4", "5"))

    def at_the_destination(self):
        d = self.dice
        if d.random() < 0.3:
            return d.choice((self.refusal, self.loss))()
        return "destination", "on APPEND %s%s" % (self.which(), d.choice((
            *((": drop", ": store-then-drop", " after: call kill", ": store-some %d" % d.randint(0, 4)) * 3),
            ": reset", ": bye Shutting down", ": store-then-reset", ": store-then-silent",
            ": silent", ": store-later 0.2", ": no-reply", ": omit-appenduid",
            ": wrong-appenduid %d %s" % (d.choice((7, 1001, 1003)), d.choice(("1", "1:3", "0", "x", "4294967295"))),
            ": reply NO [UNAVAILABLE] Suggested Backoff Time: 50 milliseconds", ": reply NO [INUSE] locked",
            ": throttle \"NO [THROTTLED] Suggested Backoff Time: 50 milliseconds\" 2",
            ": reply NO [OVERQUOTA] Quota exceeded", ": reply NO [TRYCREATE] no such mailbox",
            ": reply NO [TOOBIG] too big", ": deliver 2", ": call expunge",
            " after: call expunge; drop", " after: call freeze", " after: deliver 1; drop", ": uidvalidity-change",
            " after: uidvalidity-change; drop", " literal-byte %d: %s" % (d.choice((0, 1, 100)), d.choice(("drop", "reset"))),
            " before: drop", " after: call kill", " before: call kill", " literal-byte 10: call kill"))), ""

    def refusal(self):
        """For good, or so it seems: flags and dates may be what it disliked, so godwit tries without them."""
        return ("destination", "on APPEND %s: reply %s" % (self.which(), self.dice.choice((
            "NO error", "BAD Syntax error", "NO [CANNOT] \\xff\\xfe odd", "NO Message contains NUL characters",
            "NO Invalid date", "NO Invalid keyword", "BAD ", "NO [EXPUNGEISSUED] x", "NO virus found"))), "flags")

    def loss(self):
        """OK, and nothing is there; or it was, and the server goes back to what it was before."""
        d = self.dice
        first = d.randint(1, 4)
        if d.random() < 0.5:
            return "destination", "on APPEND %s: reply OK done" % self.which(), "lost"
        return "destination", "on APPEND %d: snapshot\non %s %d: call restore" % (
            first, d.choice(("APPEND", "STATUS", "EXAMINE", "ANY")), first + d.randint(1, 9)), "restored flags"

    def at_the_source(self):
        d = self.dice
        event = "on FETCH-BODY %s%s: " % (self.which(), d.choice(("", " uid %d" % d.randint(1, 6))))
        rule = d.choice((
            event + d.choice(("omit-body", "nil-body", "empty-body", "drop-message", "fail-message", "drop", "reset", "silent",
                              "truncate-literal %d" % d.choice((0, 1, 40, 250)), "stall-literal %d" % d.choice((0, 40)),
                              "reply NO [SERVERBUG] Internal error", "reply BAD x", "reply OK nothing")),
            event + "announce-literal %d" % d.choice((0, 1, 100, 700, 5000, 10737418240)),
            "on FETCH-META %s: size-lie %s" % (d.choice(("1", "*")), d.choice(("+30%", "-30%", "0", "-1", "4294967296"))),
            "on FETCH-META %s: %s" % (self.which(), d.choice(("drop", "silent", "fail-message", "reply NO x"))),
            "on FETCH-META %d: drop-message" % d.randint(1, 5),
            "on %s %s: %s" % (d.choice(("EXAMINE", "LIST", "STATUS")), self.which(), d.choice(
                ("drop", "reply NO [INUSE] locked", "reply NO not now", "reply BAD x", "silent"))),
            "on FETCH-BODY %s: call expunge" % self.which(), "on FETCH-BODY %s: call deliver" % self.which(),
            "on FETCH-BODY %s%s: flag %s %s" % (self.which(), d.choice(("", " before", " after")), d.choice(("1", "2", "1:3", "4")),
                                               d.choice(("+\\Flagged", "-\\Seen", "+Late", "+\\Answered"))),
            "on FETCH-BODY 1: uidvalidity-change", "on FETCH-META 1 after: uidvalidity-change",
            "on FETCH-BODY %s: call kill" % self.which()))
        return "source", rule, "unseen" if "drop-message" in rule and "META" in rule else ""

    def on_the_line(self):
        d = self.dice
        side = d.choice(("source", "destination"))
        command = d.choice(("ANY", "CONNECT", "LOGIN", "AUTHENTICATE", "SELECT", "STATUS", "FETCH", "NOOP", "CREATE", "LIST"))
        return side, d.choice((
            "on ANY %d: close-after %d %s" % (d.randint(1, 20), d.choice((0, 1, 7, 60, 500, 5000)),
                                              d.choice(("sent", "received", "both"))),
            "on CONNECT %s: %s" % (self.which(), d.choice(("drop", "reset", "silent", "bye Too many"))),
            "on %s %s: %s" % (command, self.which(), d.choice(("drop", "reset", "silent", "bye x", "down 0.2"))),
            "on %s %d: call kill" % (command, d.randint(1, 12)),
            "on %s *: split" % d.choice(("FETCH-META", "STATUS", "LIST", "EXAMINE", "APPEND", "CAPABILITY")),
            "on %s %s: reply NO [UNAVAILABLE] Suggested Backoff Time: 50 milliseconds" % (
                d.choice(("STATUS", "FETCH-META", "LIST", "CREATE", "NOOP")), self.which()))), ""

    def noise(self):
        d = self.dice
        side = d.choice(("source", "destination"))
        command = d.choice(("FETCH", "STATUS", "LIST", "EXAMINE", "SELECT", "APPEND", "CAPABILITY", "ANY", "SEARCH"))
        which = self.which()
        if d.random() < 0.4:
            names = " names" if command in ("LIST", "ANY") else ""
            return side, "on %s %s: mutate %d" % (command, which, d.randrange(10 ** 6)), "flags" + names
        if d.random() < 0.4:
            garbage = "".join(d.choice(("\\x%02x" % d.randrange(256), "* ", "{9}\\r\\n", "(", ")", "\\r\\n", "OK ", "\\\""))
                              for _ in range(d.randint(1, 30)))
            return side, 'on %s %s: garbage "%s"' % (command, which, garbage), ""
        return side, 'on %s %s: extra "%s"' % (command, d.choice((which, "*")), d.choice((
            "* 5 EXISTS", "* 0 RECENT", "* OK [ALERT] Disk nearly full", "* NO Overheated", "* BAD Something", "",
            "* 2 FETCH (UID 2)", "* 9 EXPUNGE", "* CAPABILITY IMAP4rev1", "* XSTRANGE (a (b {3}\\r\\n) c))",
            "* LIST () \\\"/\\\" Stray", "* OK [UIDNEXT 999999] Predicted", "* 77 FETCH (UID 777 BODY[] {5}\\r\\nabcde)",
            "* SEARCH 1 2", "* STATUS INBOX (MESSAGES 99)", "* VANISHED 1:3", "+ go ahead", "* PREAUTH no"))), ""

    def stop(self):
        """A kill from inside, for one run, or None."""
        role = self.dice.choice(("worker", "durable", "controller"))
        return "%s:%d" % (role, self.dice.randint(1, 40)) if self.dice.random() < 0.35 else None

    def excuse(self):
        found = Excuse()
        for _, _, excused in self.mischief:
            for name in excused.split():
                setattr(found, name, True)
        return found

    def __str__(self):
        lines = ["story %d: %d messages; excused: %s" % (self.number, len(self.mails), self.excuse()),
                 "  source %s" % self.source, "  destination %s" % self.destination, "  stops %s" % self.stops]
        return "\n".join(lines + ["  %s: %s" % (side, rule) for side, rule, _ in self.mischief])


# --- what the script language lacks ----------------------------------------------------------------------------


class Mutated:
    """A line of an answer with some bytes other than the server meant; literals and digits stay."""

    def __init__(self, unit, dice):
        self.unit, self.dice, self.uid = unit, dice, unit.uid

    def chunks(self, edits):
        pieces = self.unit.pieces() if isinstance(self.unit, fakeimap.FetchLine) else (
            ("text", chunk) for chunk in self.unit.chunks(edits))
        for kind, chunk in pieces:
            yield self.mutate(chunk) if kind == "text" and self.dice.random() < 0.5 else chunk

    def mutate(self, chunk):
        places = [at for at, byte in enumerate(chunk) if not 48 <= byte <= 57 and byte not in b"\r\n{}+"]
        out = bytearray(chunk)
        for at in self.dice.sample(places, min(len(places), self.dice.randint(1, 2))):
            out[at] = self.dice.choice(b' ()[]"\\*%~AXZaxz\x00\x7f\x80\xff$.')
        return bytes(out)


@fakeimap.action("mutate", "after", True, argument=r"\d+")
def act_mutate(session, command, rule, argument):
    dice = random.Random(int(argument))
    command.reply.units = [Mutated(unit, dice) for unit in command.reply.units]


# --- playing it ------------------------------------------------------------------------------------------------


class Broken(Exception):
    """A promise that did not hold."""


def hold(true, what, *about):
    if not true:
        raise Broken("\n".join([what] + [str(thing) for thing in about]))


class Play:
    """One story on a stage of its own."""

    def __init__(self, story):
        self.story, self.stage = story, Stage(source=story.source, destination=story.destination)
        self.gone, self.removed = collections.Counter(), collections.Counter()      # at the source, at the destination
        self.runs, self.killed = [], threading.Event()
        self.stage.fill(story.mails)
        for server in (self.stage.source, self.stage.destination):
            server.calls.update(kill=self.kill, freeze=self.freeze, expunge=self.expunge, deliver=self.deliver, restore=self.restore)
        for side, rule, _ in story.mischief:
            getattr(self.stage, side).script(rule)

    # -- mischief that the oracle must know of --

    def kill(self, session, command):
        self.killed.set()
        try:
            os.killpg(self.stage.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def freeze(self, session, command):
        """The controller, which keeps the ledger, stops; the worker goes on a while, and then both are gone."""
        process = self.stage.process
        self.killed.set()
        os.kill(process.pid, signal.SIGSTOP)
        self.stage.later(0.3, lambda: os.killpg(process.pid, signal.SIGKILL))

    def expunge(self, session, command):
        """Somebody deletes a message: at the source godwit may have it already, or may not; at the destination it
        stays away, unless godwit did not know yet that it was there."""
        folder = fakeimap.script_folder(session, command)
        name = folder.name.replace(session.options.delimiter, "/")
        name = "" if self.story.excuse().names else name
        gone = self.gone if session.server is self.stage.source else self.removed
        with session.world.lock:
            for uid in list(folder.messages)[:1]:
                gone[(name, folder.messages[uid].describe()["sha256"])] += 1
                folder.expunge(uid)

    def deliver(self, session, command):
        """New mail at the source: it is copied like the rest."""
        session.server.deliver_into(fakeimap.script_folder(session, command), 1, "late")

    @staticmethod
    def restore(session, command):
        """From the backup, where there is one yet."""
        if session.server.saved:
            fakeimap.act_restore(session, command, None, "")

    # -- what is where --

    @staticmethod
    def content(server, user):
        """(folder, digest) -> multiset of (flags, instant); folder names as the source would write them."""
        found = collections.defaultdict(collections.Counter)
        with server.world.lock:
            for name, folder in server.world.account(user).folders.items():
                name = name.replace(server.options.delimiter, "/")
                for message in folder.messages.values():
                    m = message.describe()
                    if b"Subject: foreign message" not in message.body:
                        found[(name, m["sha256"])][(" ".join(m["flags"]), m["epoch"])] += 1
        return found

    @staticmethod
    def nameless(content):
        """The same, all folders in one."""
        found = collections.defaultdict(collections.Counter)
        for (_, digest), items in content.items():
            found[("", digest)] += items
        return found

    # -- runs --

    def run(self, *words, stop=None):
        self.killed.clear()
        run = self.stage.copy(*self.story.options, *words, stop=stop, timeout=PATIENCE)
        self.runs.append(run)
        killed = self.killed.is_set() or stop
        hold("gave up waiting" not in run.err, "it did not end", run)
        hold(run.code in CODES or (killed and run.code in (KILLED, STOPPED)), "exit code %s" % run.code, run)
        hold(not re.search(r"Sanitizer|runtime error|[Aa]ssert", run.err), "a sanitizer spoke", run.err[-3000:])
        hold(killed or run.result or run.code == KILLED, "it ended without a result", run)
        return run

    def play(self):
        source_before = self.content(self.stage.source, self.stage.user)
        for stop in self.story.stops:
            self.run(stop=stop)
        self.calm()
        self.run("--retry-refused")
        if any(cause == "in-doubt" for cause in self.runs[-1].causes()):
            raise Broken("in doubt although all was calm\n%s" % self.runs[-1])
        last = self.idle()
        self.judge(last)
        if not any("call" in rule or "uidvalidity" in rule or "flag" in rule for side, rule, _ in self.story.mischief if side == "source"):
            hold(self.content(self.stage.source, self.stage.user) == source_before, "the source was changed", last)

    def calm(self):
        """The mischief is over; what is stored later has been stored."""
        for server in (self.stage.source, self.stage.destination):
            server.rules, server.throttle, server.down_until = [], None, 0
        time.sleep(0.25 if any("store-later" in rule for _, rule, _ in self.story.mischief) else 0)

    def idle(self):
        uploads = self.stage.destination.count("APPEND")
        last = self.run()
        hold(self.stage.destination.count("APPEND") == uploads, "a pass with nothing new uploaded", last)
        hold(last.code == 0, "not at peace in the end", last)
        return last

    def named(self, cause):
        """How often a cause was told by any run."""
        return sum(run.causes()[cause] for run in self.runs)

    def judge(self, last):
        excuse = self.story.excuse()
        source, there = (self.nameless(content) if excuse.names else content for content in (
            self.content(server, self.stage.user) for server in (self.stage.source, self.stage.destination)))
        doubles = missing = 0
        for key in source.keys() | there.keys():
            wanted, got = sum(source[key].values()), sum(there[key].values())
            hold(wanted or self.gone[key] or not got, "at the destination is what never was at the source: %s" % (key,), last)
            doubles += max(0, got - wanted - self.gone[key])
            if not excuse.lost or wanted == 1:      # which of twins was lost, nobody can tell
                missing += max(0, wanted - got - self.removed[key])
            if wanted == got and not excuse.flags:
                hold(source[key] == there[key] or self.told_of_flags(),
                     "flags or dates differ: %s\nsource %s\ndestination %s" % (key, source[key], there[key]), last)
        named = (self.named("missing") if excuse.lost else 0) + (self.named("gone") if excuse.unseen else 0)
        hold(missing <= named or excuse.restored, "%d messages lost" % missing, last)
        hold(doubles <= self.named("in-doubt"), "%d messages doubled, %d named" % (doubles, self.named("in-doubt")), last)

    def told_of_flags(self):
        return self.named("flags") + self.named("date") > 0


def play(story):
    """None, or what broke."""
    player = Play(story)
    try:
        player.play()
    except Broken as broken:
        return "%s\n%s" % (broken, "\n".join("run %d: %s" % (n, run) for n, run in enumerate(player.runs, 1)))
    except Exception:       # of the stage: godwit's connections outlived it, or a mistake of ours
        return traceback.format_exc()
    finally:
        player.stage.__exit__()
    return None


def smaller(story, broken):
    """Drop one mischief after the other, as long as it still breaks."""
    for piece in list(story.mischief):
        rest = [other for other in story.mischief if other is not piece]
        kept, story.mischief = story.mischief, rest
        again = play(story)
        if again:
            broken = again
        else:
            story.mischief = kept
    return broken


# --- many ------------------------------------------------------------------------------------------------------


def numbers(wanted):
    """The stories to play, and until when."""
    if wanted.story is not None:
        yield from range(wanted.story, wanted.story + wanted.count)
        return
    yield from range(1, FIXED + 1)
    if wanted.seconds is None:
        return
    end = time.monotonic() + wanted.seconds
    first = int(time.time()) * 1000
    while time.monotonic() < end:
        yield first
        first += 1


def tell(story, broken):
    story_as_drawn = Story(story.number)
    print("FAILED, again with: copy_fuzz.py --story %d" % story.number)
    print(story_as_drawn, flush=True)
    if "it did not end" not in broken:      # that would take a minute each
        broken = smaller(story, broken)
    print("  needed: %s" % "; ".join("%s: %s" % (side, rule) for side, rule, _ in story.mischief))
    print(broken, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--story", type=int)
    parser.add_argument("--count", type=int, default=1, help="with --story: how many from there")
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    return parser.parse_args()


def main():
    wanted, failed, played, end = parse(), 0, 0, time.monotonic()
    end += wanted.seconds or 1e9
    with concurrent.futures.ThreadPoolExecutor(wanted.at_once) as pool:
        waiting, drawn = {}, numbers(wanted)
        while failed < wanted.failures:
            while len(waiting) < wanted.at_once and time.monotonic() < end and (number := next(drawn, None)) is not None:
                story = Story(number)
                waiting[pool.submit(play, story)] = story
            if not waiting:
                break
            done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                story, played = waiting.pop(future), played + 1
                if future.result():
                    failed += 1
                    tell(story, future.result())
    print("%d stories played, %d failed; the last was %d" % (played, failed, story.number))
    return 1 if failed or not played else 0


if __name__ == "__main__":
    sys.exit(main())
