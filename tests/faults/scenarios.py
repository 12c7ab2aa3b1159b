"""What is walked: two ends, a mailbox, and a plot; and what must hold of it after whatever accident.

The undisturbed run of a scenario says how it ends: which messages lie at the destination, what the ledger
says of each item, what the report names.  Every disturbed one must end in the same words.
"""

import collections
import json
import subprocess

from stage import BARE, EPOCH, FULL, GODWIT, SETTLE, VARIANTS, Mail, Stage, small_mailbox, text


class Failure(AssertionError):
    """This point did not end as it must."""


def demand(condition, *words):
    if not condition:
        raise Failure(" ".join(str(word) for word in words))


# --- plots -----------------------------------------------------------------------------------------------------


def new_mail(stage):
    """A second pass: new mail, one more of the twins, flags that changed."""
    stage.fill([Mail("INBOX", text("new", 2000), ["\\Seen"], EPOCH + 5),
                Mail("INBOX", text("twin", 360000), [], EPOCH + 86400),
                Mail("Sent", text("new", 2000), ["Later"], EPOCH + 6),
                Mail("Fresh", text("bare", msgid=False), [], EPOCH + 7),
                Mail("Fresh", text("bare", msgid=False), [], EPOCH + 7)])
    for folder, uids, change in (("INBOX", "1:3", "+\\Flagged"), ("INBOX", "1", "-\\Seen"),
                                 ("INBOX", "5", "-Work"), ("Sent", "1", "+Work")):
        stage.source.flag(folder, uids, change)


def move(stage, folder, uid, target):
    """As another client of the source does it."""
    message = next(m for m in stage.source.messages(folder) if m["uid"] == uid)
    stage.source.add(target, stage.source.body(folder, uid), message["flags"], message["epoch"])
    stage.source.expunge(folder, uid)


def life(stage):
    """People move, delete and mark mail at the source; and mark some at the destination."""
    stage.source.flag("INBOX", "1:3", "+\\Flagged")
    stage.destination.flag("INBOX", "1:2", "+Hand")
    stage.destination.flag("Sent", "1", "-\\Seen")
    stage.source.flag("Sent", "1", "+\\Answered")
    for folder, uid, target in (("INBOX", 9, "Sent"), ("INBOX", 8, "Kept"), ("Work/Old", 3, "INBOX")):
        move(stage, folder, uid, target)
    stage.source.expunge("INBOX", "2")
    stage.source.expunge("Sent", "2")
    stage.fill([Mail("INBOX", text("new", 2000), ["\\Seen"], EPOCH + 5), Mail("Sent", text("short twin"), [], EPOCH)])


class Plot:
    """What happens between a first pass and the walked one (nothing: the walked one is the first), and during it."""

    def __init__(self, between=None, script="", options=(), caps="", exact=True, told_once=()):
        """CAPS: what the destination of the variant "full" has besides."""
        self.between, self.script, self.options, self.caps, self.exact = between, script, options, caps, exact
        self.told_once = told_once      # causes that are named when it happens, and not again by a resumed pass


PLOTS = {
    "first pass": Plot(),
    "second pass": Plot(new_mail),
    "life": Plot(life, options=("--deletions", "mirror"), caps=" MOVE", exact=False,
                 told_once=("not-removed",)),
    "foreign mail": Plot(script="on APPEND *: deliver 1"),
    "stored, not told": Plot(script="on APPEND 2: store-then-drop"),
    "neither stored nor told": Plot(script="on APPEND 2: drop"),
    "stored later": Plot(script="on APPEND 2: store-later 0.15", options=("--settle", "0.6")),
    "stored, silence": Plot(script="on APPEND 2: store-then-silent", options=("--timeout", "1")),
    "silence": Plot(script="on APPEND 2: silent", options=("--timeout", "1")),
}


# --- what the ledger says ----------------------------------------------------------------------------------------


class Memory:
    """The ledger, as `godwit ledger export` tells it, without what may differ from run to run: ids at the
    destination (the message they mean stands in their place), passes, cursors of the destination."""

    def __init__(self, stage):
        done = subprocess.run([GODWIT, "ledger", "export", "--state", stage.state_dir], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        demand(done.returncode == 0, "the ledger cannot be exported:", done.stderr.decode())
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.of = {kind: [line for line in lines if line["kind"] == kind] for kind in ("folder", "item", "intent")}
        self.flags = {line["number"]: line["flags"] for line in lines if line["kind"] == "flags"}
        self.folders = {line["number"]: line for line in self.of["folder"]}
        self.there = {name: {str(m.get("id", m["uid"])): m for m in folder["messages"]}
                      for name, folder in stage.destination.state(stage.user)["folders"].items()}
        self.sent = {(folder["raw"] if "raw" in folder else name, str(m.get("id", m["uid"]))): m
                     for name, folder in stage.source.state(stage.user)["folders"].items() for m in folder["messages"]}
        self.counted = collections.Counter(map(self.folder, self.of["folder"]))
        self.counted.update(map(self.item, self.of["item"]))

    def folder(self, line):
        demand(not line["tail"] and not line["floor"], "a tail or floor is left in the ledger:", line)
        return ("folder", line["source_name"], "/".join(line["target_path"]), line["subscribed"], line["limit"],
                *(line[name] for name in ("stored", "refused", "owed", "found", "left", "gone")), line["top_id"])

    def item(self, line):
        folder = self.folders[line["folder"]]
        state = "stored" if line["state"] == "adopted" else line["state"]
        copy = self.there.get("/".join(folder["target_path"]), {}).get(line["target_id"])
        means = copy and (copy["sha256"], " ".join(copy["flags"]), copy["epoch"])
        return ("item", folder["source_name"], line["id"], state, line["header"], line["size"], line["gone"],
                self.flags.get(line["source_flags"], ""), self.flags.get(line["target_flags"], ""), line["cause"],
                line["reason"], means)

    def check(self, what):
        """No intent is left, and no copy has two rows."""
        demand(not self.of["intent"], what, "left intents in the ledger:", self.of["intent"][:3])
        owned = collections.Counter((self.folders[line["folder"]]["target_name"], line["target_id"])
                                    for line in self.of["item"] if line["target_id"])
        demand(max(owned.values(), default=1) == 1, what, "left a copy that two items own:", owned.most_common(1))
        for line in self.of["item"]:
            if line["state"] in ("stored", "adopted") and not line["gone"]:
                self.check_copy(line, what)

    def check_copy(self, line, what):
        """The row knows where its copy is, and it is one."""
        folder = self.folders[line["folder"]]
        copy = self.there.get("/".join(folder["target_path"]), {}).get(line["target_id"])
        one = self.sent.get((folder["source_name"], line["id"]))
        demand(copy and one and copy["sha256"] == one["sha256"], what, "left a row with what is not its copy:", line)


def between(expected, found):
    """'' or how the multisets differ."""
    lines = ["%s %d: %s\n" % (word, count, key) for word, items in
             (("missing", expected - found), ("instead", found - expected)) for key, count in sorted(items.items(), key=str)]
    return "".join(lines[:6]) + ("... %d lines in all\n" % len(lines) if len(lines) > 6 else "")


# --- scenarios -------------------------------------------------------------------------------------------------


def poisoned(stage):
    """The source's messages that the destination refuses, for their NUL, as content keys."""
    keys = collections.Counter()
    if not stage.destination_refuses:
        return keys
    for name, folder in stage.source.state()["folders"].items():
        for m in folder["messages"]:
            if b"\0" in stage.source.body(name, m["uid"]):
                keys[(name, m["sha256"], " ".join(m["flags"]), m["epoch"])] += 1
    return keys


def foreign(stage):
    """What was delivered into the destination by others."""
    keys = collections.Counter()
    for name, folder in stage.destination.state()["folders"].items() if stage.destination_refuses else ():
        for m in folder["messages"]:
            if stage.destination.body(name, m["uid"]).startswith(b"From: foreign"):
                keys[(name, m["sha256"], " ".join(m["flags"]), m["epoch"])] += 1
    return keys


class Scenario:
    """VARIANT is what the destination can do, or "maildir"; SOURCE is "imap" or "maildir"."""

    def __init__(self, variant="full", plot="first pass", mailbox=small_mailbox, source="imap"):
        self.variant, self.plot, self.mailbox, self.source = variant, plot, mailbox, source
        self.undisturbed = None     # how the run ended that nothing disturbed

    def __str__(self):
        ends = self.variant if self.source == "imap" else "%s from a Maildir" % self.variant
        return ends + (", " + self.plot if self.plot != "first pass" else "")

    @property
    def served(self):
        """Which sides are servers."""
        return [side for side, kind in (("source", self.source), ("destination", self.variant)) if kind != "maildir"]

    def stage(self, tape=False, **scripts):
        """The stage, up to the walked run; scripts of a side go before the plot's own."""
        plot, caps = PLOTS[self.plot], VARIANTS.get(self.variant, "")
        source = {"caps": BARE if self.variant == "bare" else FULL} if self.source == "imap" else "maildir"
        stage = Stage(source=source, destination={"caps": caps + (plot.caps if self.variant == "full" else ""),
                                                  "refuse": ["nul"]} if caps else "maildir", tape=tape)
        stage.options, stage.destination_refuses = list(plot.options), bool(caps)
        try:
            stage.fill(self.mailbox())
            if plot.between:
                run = stage.copy(*stage.options)
                demand(run.code in (0, 1), "the first pass:", run)
                plot.between(stage)
            for side, script in scripts.items():
                getattr(stage, side).script(script)
            if plot.script:
                stage.destination.script(plot.script)
            stage.before = stage.at_source()
        except BaseException:
            stage.__exit__()
            raise
        return stage

    # -- what must hold --

    def check(self, stage, run, what):
        bad, others = poisoned(stage), foreign(stage)
        if PLOTS[self.plot].exact:
            lost = stage.difference(missing_allowed=bad, extra_allowed=others)
            demand(not lost, "%s:\n%s%s" % (what, lost, run))
        expected, named = collections.Counter({"nul": 1} if bad else {}), run.causes()
        for cause in PLOTS[self.plot].told_once:
            del named[cause]
        demand(named == expected, what, "named", dict(named), "instead of", dict(expected), run)
        demand(run.code == (1 if expected else 0), what, "ended with", run)
        demand(run.result.get("checked"), what, "was not checked:", run, run.summary)
        there = sum(stage.at_source().values()) - sum(bad.values())
        told = run.summary["items_stored"] + run.summary["items_before"]
        demand(told == there or not PLOTS[self.plot].exact, what, "counts", told, "messages copied instead of", there)
        demand(stage.at_source() == stage.before, what, "changed the source")
        self.compare(stage, what, stage.at_destination() - others)

    def compare(self, stage, what, there):
        """Destination and ledger say the same as after the undisturbed run."""
        memory = Memory(stage)
        memory.check(what)
        if not self.undisturbed:
            self.undisturbed = (there, memory.counted)
        for name, expected, found in zip(("the destination", "the ledger"), self.undisturbed, (there, memory.counted)):
            other = between(expected, found)
            demand(not other, "%s left %s different from the undisturbed run:\n%s" % (what, name, other))


__all__ = ["Failure", "PLOTS", "SETTLE", "Scenario", "demand"]
