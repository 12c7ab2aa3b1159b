"""What the tests against real servers share: accounts, runs of godwit, and what to hold them against.

Each run's events are held against docs/events.md, whatever the test is about: an event or a field
that is not documented, or a documented one that is missing, fails the test. Each account has a
name of its own, since a destination account takes one godwit at a time, on the whole machine.

GODWIT names the program (build/godwit by default). GODWIT_BRIEF leaves out what only repeats;
GODWIT_KILL_ROUNDS says how often each class of kills is repeated.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "kit"))
# pylint: disable=wrong-import-position
import compare
from certs import Authority
from imap import Account
from servers import Courier, Cyrus, Dovecot

GODWIT = os.path.abspath(os.environ.get("GODWIT") or os.path.join(ROOT, "build", "godwit"))
os.environ["GODWIT_TEST_LANES"] = "all"     # nothing is far away here, and little has changed
BRIEF = bool(os.environ.get("GODWIT_BRIEF"))
#: How often a class of kills is repeated.
ROUNDS = int(os.environ.get("GODWIT_KILL_ROUNDS", "0")) or (3 if BRIEF else 6)
PATIENCE = 300      # seconds a run of godwit may take; an empty lock of a killed Dovecot holds for three minutes
PASSWORD = "pass word"      # with a space, since a client may get that wrong

KINDS = {"dovecot": Dovecot, "cyrus": Cyrus, "courier": Courier}


def documented_events():
    """{event: {fields}} and the fields of each command's `summary`, as docs/events.md has them."""
    with open(os.path.join(ROOT, "docs", "events.md"), encoding="utf-8") as text:
        sections = re.split(r"^## (\w+)$", text.read(), flags=re.M)
    found, summary = {}, {}
    for name, section in zip(sections[1::2], sections[2::2]):
        for table in re.findall(r"^\|.*\n(?:\|.*\n)+", section, re.M):
            first = re.findall(r"^\| *([^|]*?) *\|", table, re.M)
            fields = set(re.findall(r"`(\w+)`", " ".join(first[1:])))
            if "`summary`" in first[0]:
                command = re.search(r"\((\w+)\)", first[0])
                summary.setdefault(command.group(1) if command else "copy", set()).update(fields)
            else:
                found.setdefault(name, {"event", "time"}).update(fields)
    return found, summary


EVENTS, SUMMARY = documented_events()
REPORT = {"folder", "uid", "msgid", "cause", "reason", "remedy"}


def levels_of(name):
    """The levels of a folder name as events have it, with its escapes undone."""
    return tuple(re.sub(r"\\(.)", r"\1", level) for level in re.findall(r"(?:[^/\\]|\\.)+", name))


class Outcome:
    """One run of godwit that has ended."""

    def __init__(self, exit_code, stdout, stderr, report):
        self.exit, self.stdout, self.stderr = exit_code, stdout, stderr
        self.events = [json.loads(line) for line in stdout.splitlines()]
        self.report = [json.loads(line) for line in report.splitlines()]
        self.result = self.events[-1] if self.events and self.events[-1]["event"] == "result" else None
        self.summary = (self.result or {}).get("summary") or {}
        self.error = (self.result or {}).get("error")
        self.command = self.events[0].get("command", "copy") if self.events else "copy"

    def of(self, event):
        """The events of that name."""
        return [entry for entry in self.events if entry["event"] == event]

    def exceptions(self, *causes):
        """Exceptions, of these causes only if any are named."""
        return [entry for entry in self.of("exception") if not causes or entry["cause"] in causes]

    def __str__(self):
        return (f"exit {self.exit}\nresult {json.dumps(self.result)}\n"
                + "".join(f"note {event['text']}\n" for event in self.events if event["event"] == "note")
                + "".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in self.exceptions()[:20])
                + f"stderr:\n{self.stderr[-4000:]}")


class End:
    """An account at a server, as godwit and as the comparison see it."""

    def __init__(self, server, name, password=PASSWORD):
        self.server, self.name, self.password = server, name, password
        self.account = Account(server.host, server.port, name, password)
        if server.tls == "required":
            self.account = Account(server.host, server.tls_port, name, password, "tls", server.ca_file)

    def url(self, *, host=None, scheme="imaps", port=None, query="", name=None):
        """The URL for godwit."""
        port = port or (self.server.tls_port if scheme == "imaps" else self.server.port)
        return f"{scheme}://{name or self.name}@{host or self.server.host}:{port}/{query}"

    def appends(self):
        """Messages put here, by the server's own log."""
        return self.server.appends(self.name)

    def read(self):
        """A Snapshot."""
        return compare.read(self.account)


class ServerCase(unittest.TestCase):
    """A test with a directory, servers and runs of godwit."""

    numbers = itertools.count(1)
    maxDiff = None

    def setUp(self):
        if os.geteuid() != 0:
            self.fail("must be root: mail servers run as several users")
        self.work = tempfile.mkdtemp(prefix="godwit-servers-")
        self.addCleanup(self._tidy)
        self.authority = Authority(os.path.join(self.work, "ca"))
        self.states = os.path.join(self.work, "state")

    def _tidy(self):
        if os.environ.get("GODWIT_KEEP"):
            print(f"kept: {self.work}", file=sys.stderr)
        else:
            self.assertEqual(mounts_below(self.work), [], "left mounted, so not removed")
            shutil.rmtree(self.work, ignore_errors=True)

    def server(self, kind, **options):
        """A running server, stopped at the end of the test."""
        directory = os.path.join(self.work, f"{kind}{next(self.numbers)}")
        server = KINDS[kind](directory, authority=options.pop("authority", self.authority), **options)
        server.start()
        self.addCleanup(server.stop)
        return server

    def end(self, server, password=PASSWORD, name=None):
        """A new empty account."""
        name = name or f"u{os.getpid()}n{next(self.numbers)}"
        server.user(name, password)
        return End(server, name, password)

    def ends(self, source="dovecot", destination="cyrus", source_options=None, destination_options=None):
        """Two running servers with an account each."""
        return (self.end(self.server(source, **(source_options or {}))),
                self.end(self.server(destination, **(destination_options or {}))))

    # Running godwit.

    def file(self, name, text):
        """A private file with that text; its path."""
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8", opener=lambda file, how: os.open(file, how, 0o600)) as out:
            out.write(text)
        return path

    def command(self, source, destination, *options, urls=None, state=None, passwords=None, output="json", verb="copy"):
        """The command line of a copy (or another verb); `urls` and `passwords` replace what the ends say."""
        number = next(self.numbers)
        self.report_path = os.path.join(self.work, f"report{number}.jsonl")
        ours, theirs = passwords or (source.password, destination.password)
        memory = ("--state", state or self.states) if verb == "copy" else ()
        return [GODWIT, verb, "--output", output, *memory, "--report", self.report_path,
                "--source-password-file", self.file(f"source{number}.pw", ours + "\n"),
                "--destination-password-file", self.file(f"destination{number}.pw", theirs + "\n"),
                *(() if "--insecure" in options or "--ca-file" in options else ("--ca-file", self.authority.ca_file)),
                *options, *(urls or (source.url(), destination.url()))]

    def start(self, *args, **how):
        """A copy that is under way; end it with finish()."""
        process = subprocess.Popen(self.command(*args, **how), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, encoding="utf-8")
        process.report_path = self.report_path
        self.addCleanup(self._reap, process)
        return process

    @staticmethod
    def _reap(process):
        if process.poll() is None:
            process.kill()
            process.communicate()

    def finish(self, process, patience=PATIENCE, killed=False):
        """Wait for a copy and hold what it said against the documents."""
        try:
            stdout, stderr = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            self.fail(f"godwit did not end within {patience} s\n{stdout[-2000:]}\n{stderr[-2000:]}")
        report = ""
        with contextlib.suppress(FileNotFoundError), open(process.report_path, encoding="utf-8") as text:
            report = text.read()
        if killed:      # what it said may be cut short anywhere
            return None
        outcome = Outcome(process.returncode, stdout, stderr, report)
        self.check_events(outcome)
        self.assertNotIn("Sanitizer", stderr)
        return outcome

    def copy(self, *args, expect=0, **how):
        """Run a copy to its end; `expect` is its exit code, or several, or None for any."""
        outcome = self.finish(self.start(*args, **how))
        if expect is not None:
            self.assertIn(outcome.exit, expect if isinstance(expect, tuple) else (expect,), outcome)
        return outcome

    # What must hold of every run.

    def check_events(self, outcome):
        """Its events and its report are as documented and agree with each other."""
        self.assertTrue(outcome.result, f"no result\n{outcome}")
        self.assertEqual(outcome.result["exit"], outcome.exit, outcome)
        if len(outcome.events) > 1:
            self.assertEqual(outcome.events[0]["event"], "start")
        for event in outcome.events:
            self.assertIn(event["event"], EVENTS)
            self.assertEqual(set(event), EVENTS[event["event"]], event)
            self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        for event, most in (("start", 1), ("result", 1)):
            self.assertLessEqual(len(outcome.of(event)), most)
        if outcome.summary:
            self.assertEqual(set(outcome.summary), SUMMARY[outcome.command])
        causes = {}
        for entry in outcome.exceptions():
            causes[entry["cause"]] = causes.get(entry["cause"], 0) + 1
            self.assertTrue(entry["reason"], entry)
        self.assertEqual(causes, outcome.result["causes"])
        for line in outcome.report:
            self.assertEqual(set(line), REPORT)
        self.assertEqual([{field: entry[field] for field in sorted(REPORT)} for entry in outcome.exceptions()],
                         [{field: line[field] for field in sorted(REPORT)} for line in outcome.report])
        if outcome.error:
            self.assertEqual(set(outcome.error), {"cause", "side", "text", "detail", "remedy"})
            self.assertIn(outcome.error["text"], outcome.stderr)
        elif outcome.exit == 0 and outcome.command == "copy":
            self.assertTrue(outcome.result["checked"], outcome)
            self.assertEqual(outcome.summary["items_stored"], outcome.summary["items_checked"], outcome)
            self.assertEqual(outcome.summary["not_copied"], 0, outcome)

    def check_error(self, outcome, exit_code, cause, side, words):
        """It failed as it should, in one sentence that has all of these words."""
        self.assertEqual(outcome.exit, exit_code, outcome)
        self.assertTrue(outcome.error, outcome)
        self.assertEqual((outcome.error["cause"], outcome.error["side"]), (cause, side), outcome)
        for word in words:
            self.assertIn(word.lower(), outcome.error["text"].lower() + " " + outcome.error["remedy"].lower(), outcome)

    # What must be at the destination.

    def renamed(self, snapshot, *outcomes):
        """The destination's Snapshot with its folders called as at the source, by godwit's own events."""
        names = {levels_of(event["target"]): levels_of(event["folder"]) for outcome in outcomes for event in outcome.of("folder")}
        back = {levels: names.get(levels, levels) for levels in snapshot.folders}
        self.assertEqual(len(set(back.values())), len(back), "two folders fell together")
        return compare.Snapshot({back[levels]: folder for levels, folder in snapshot.folders.items()},
                                {back[levels]: mail for levels, mail in snapshot.mail.items()})

    def differences(self, source, destination, *outcomes):
        """All that differs; source and destination are Snapshots, or Ends or the like that can be read."""
        ours = source if isinstance(source, compare.Snapshot) else source.read()
        theirs = destination if isinstance(destination, compare.Snapshot) else destination.read()
        return compare.compare(ours, self.renamed(theirs, *outcomes))

    def check_same(self, source, destination, *outcomes, allow=()):
        """Nothing differs but what the destination cannot hold."""
        found = [difference for difference in self.differences(source, destination, *outcomes)
                 if not any(entry.covers(difference) for entry in allow)]
        told = [json.dumps(one, ensure_ascii=False) for one in found[:30]] + [str(outcome) for outcome in outcomes]
        self.assertEqual(found, [], "\n" + "\n".join(told))


def _before_1970(difference):
    """By their place in the difficult mailbox: what Dovecot tells of them may look like any date."""
    return difference["folder"] == "Dates" and difference["uid"] in (3, 4, 5)


def doubtful(source):
    """Differences that come of a source which does not tell the same each time."""
    if source != "dovecot":
        return []
    return [*compare.ALLOWED["from-dovecot"], compare.Allowance("date", "mangled, and differently each time", _before_1970)]


def allowances(source, destination):
    """What may differ between servers of these kinds."""
    def has_role(difference):
        return not difference["source"]
    return [*compare.ALLOWED[destination], *doubtful(source),
            compare.Allowance("special-use", "the destination's own, or by the folder's well-known name", has_role)]


def mounts_below(directory):
    """What is mounted there: to remove the directory would go through it."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        points = [line.split()[4] for line in table]
    return [point for point in points if (point + "/").startswith(os.path.realpath(directory) + "/")]


def children(pid):
    """The processes that this one started."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
        return [int(number) for number in text.read().split()]
    return []


def wait_until(condition, patience=30, pause=0.005):
    """Wait for a condition; whether it came true."""
    deadline = time.monotonic() + patience
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return true


def kill(pid, number=signal.SIGKILL):
    """Send a signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
