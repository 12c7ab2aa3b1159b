"""The stage of the fault tests: two scripted IMAP servers, godwit between them, and what must hold.

    with Stage(source={"caps": FULL}, destination={"script": "on APPEND 1: store-then-drop"}) as stage:
        stage.fill(small_mailbox())
        run = stage.copy()
        stage.check_exact(run)          # destination = source, no double, no loss

Each stage has users of its own, because one account has one godwit at a time on the whole machine.
"""

import atexit
import collections
import contextlib
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "kit"))

import certs  # noqa: E402,F401
import fakeimap  # noqa: E402
from folders import Maildir  # noqa: E402

GODWIT = os.environ.get("GODWIT") or str(HERE.parents[1] / "build" / "godwit")
PASSWORD = "s3cr3t-Pa55w0rd"
FULL = ("IMAP4rev1 LITERAL+ SASL-IR ID NAMESPACE UIDPLUS MULTIAPPEND CONDSTORE ENABLE ESEARCH CHILDREN "
        "LIST-EXTENDED LIST-STATUS SPECIAL-USE UNSELECT AUTH=PLAIN")
BARE = "IMAP4rev1 AUTH=PLAIN"
TIMEOUT = float(os.environ.get("GODWIT_FAULT_TIMEOUT", "60"))     # of one run of godwit
SETTLE = "0.2"
os.environ["GODWIT_TEST_STREAM"] = "1000000"    # what travels as a stream need not be larger here
os.environ["GODWIT_TEST_LANES"] = "all"         # nothing is far away here, and little has changed
EPOCH = 1500000000
STOPPED, KILLED = 130, -signal.SIGKILL

numbers = itertools.count(1)


def without(caps, *names):
    return " ".join(cap for cap in caps.split() if cap not in names)


VARIANTS = {        # what the destination can do
    "full": FULL,
    "no-uidplus": without(FULL, "UIDPLUS"),
    "no-multiappend": without(FULL, "MULTIAPPEND"),
    "sync-literals": without(FULL, "LITERAL+"),
    "literal-minus": without(FULL, "LITERAL+") + " LITERAL-",
    "bare": BARE,
}


@functools.cache
def scratch_root():
    """Where all directories of this process lie: in memory where the machine has such a place."""
    memory = "/dev/shm"
    root = tempfile.mkdtemp(prefix="godwit-fault-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def scratch():
    """A new directory."""
    return tempfile.mkdtemp(dir=scratch_root())


# --- mail ------------------------------------------------------------------------------------------------------


class Mail:
    """One message for the source."""

    def __init__(self, folder, body, flags=(), date=None):
        self.folder, self.body, self.flags = folder, body.encode() if isinstance(body, str) else body, list(flags)
        self.date = date


def text(number, size=0, msgid=True, extra=""):
    """A message of about that size."""
    head = "From: a%s@example.org\r\nSubject: message %s\r\n%s%s\r\n" % (
        number, number, "Message-ID: <%s@example.org>\r\n" % number if msgid else "", extra)
    line = "Line of message %s, as wide as lines of text are.\r\n" % number
    return head + line * max(1, (size - len(head)) // len(line))


def small_mailbox():
    """Twins within and across windows, no Message-ID, a refused one, a streamed one, flags and keywords."""
    twin = text("twin", 360000)
    mail = [("INBOX", text(1), ["\\Seen"]), ("INBOX", twin, []), ("INBOX", twin, []), ("INBOX", twin, []),
            ("INBOX", text("bare", msgid=False), ["Work", "\\Answered"]),
            ("INBOX", text("bare", msgid=False), ["Work", "\\Answered"]),
            ("INBOX", text("nul") + "a\0b\r\n", []),
            ("INBOX", text("stream", 1200000), ["\\Flagged", "Later"]),
            ("INBOX", text(5), ["\\Deleted", "\\Draft"]),
            ("Work/Old", text(6), []), ("Work/Old", text(1), ["\\Seen"]), ("Work/Old", text(7, extra="X-A: \u00e9\r\n"), []),
            ("Sent", text("short twin"), ["\\Seen"]), ("Sent", text("short twin"), ["\\Seen"]),
            ("Sent", text("short twin"), [])]
    bodies = [body for _, body, _ in mail]      # twins have one date, so that nothing tells them apart
    return [Mail(folder, body, flags, EPOCH + 86400 * bodies.index(body)) for folder, body, flags in mail]


def tiny_mailbox(count=6, folders=("INBOX", "Box")):
    """Two of three are twins of each other, all in all a few kilobytes."""
    mail = []
    for folder in folders:
        for n in range(count):
            body = text("twin", 300) if n % 3 else text("%s%d" % (folder, n), 300)
            mail.append(Mail(folder, body, ["\\Seen"] if n % 2 else ["Work"], EPOCH + (n // 3) * 1000))
    return mail


# --- servers ---------------------------------------------------------------------------------------------------


class Tape:
    """What passed over one connection in one direction, and where literals lie in it."""

    def __init__(self):
        self.data = bytearray()

    def points(self, literal_step, step=1):
        """Byte offsets worth a cut: every STEPth outside of literals, in literals the ends and some between."""
        points, at, data = set(), 0, bytes(self.data)
        for found in re.finditer(rb"\{(\d+)\+?\}\r\n", data):
            if found.end() < at:
                continue                # inside a literal
            size = int(found.group(1))
            end = min(found.end() + size, len(data))
            points.update(range(at, found.end(), step))
            points.update(range(found.end(), end, literal_step))
            points.update((found.end(), found.end() + 1, end - 1, end))
            at = end
        points.update(range(at, len(data) + 1, step))
        return sorted(point for point in points if point > 0)


class Server(fakeimap.FakeImap):
    """A fake server that remembers what passed, connection by connection, when TAPE is set."""

    def __init__(self, tape=False, **given):
        self.taping, self.tapes = tape, []
        super().__init__(**given)

    def tape(self, session):
        sent, received, link = Tape(), Tape(), session.link
        take, send = link.take, link.send

        def taped_take(count):
            data = take(count)
            received.data += data
            return data

        def taped_send(data):
            sent.data.extend(data)
            send(data)

        link.take, link.send = taped_take, taped_send
        self.tapes.append({"sent": sent, "received": received})

    def url(self, user, host):
        scheme, end = {"none": ("imap", "/?tls=none"), "starttls": ("imap", "/"),
                       "implicit": ("imaps", "/")}[self.options.tls]
        return "%s://%s@%s:%d%s" % (scheme, user, host, self.port, end)

    def uploads(self):
        """Changes when something is stored, or shall be."""
        return self.appended, self.count("APPEND")

    def quiet(self, timeout=10):
        """No connection is being served any more."""
        end = time.monotonic() + timeout
        while self.sessions and time.monotonic() < end:
            time.sleep(0.002)
        return not self.sessions


class TapedSession(fakeimap.Session):
    def __init__(self, server, sock, number):
        super().__init__(server, sock, number)
        if getattr(server, "taping", False):
            server.tape(self)


fakeimap.Session = TapedSession


@fakeimap.action("call")
def act_call(session, command, rule, argument):
    """Runs what the test has put into server.calls under this name."""
    session.server.calls[argument](session, command)


# --- one run of godwit -----------------------------------------------------------------------------------------


class Run:
    """How a run ended and what it said."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.events = []
        for line in out.splitlines():
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.events.append({"event": "no JSON", "line": line})

    def of(self, name):
        return [event for event in self.events if event["event"] == name]

    @property
    def result(self):
        found = self.of("result")
        return found[-1] if found else {}

    @property
    def summary(self):
        return self.result.get("summary") or {}

    @property
    def exceptions(self):
        return sorted((x["folder"], x["uid"] or 0, x["cause"]) for x in self.of("exception"))

    def causes(self):
        return collections.Counter(x["cause"] for x in self.of("exception"))

    @property
    def notes(self):
        return [x["text"] for x in self.of("note")]

    def steps(self):
        """Ledger steps of the worker (needs --debug)."""
        return len(re.findall(r"^.*\bstep \d+: ", self.err, re.M))

    def __str__(self):
        tail = [line for line in self.err.splitlines() if "debug" not in line][-8:]
        return "exit %s, %s\n%s" % (self.code, dict(self.causes()), "\n".join(tail))


class Stage:
    def __init__(self, source=None, destination=None, tape=False):
        self.user = "u%d-%d" % (os.getpid(), next(numbers))
        self.directory = scratch()
        self.state_dir = os.path.join(self.directory, "state")
        password = os.path.join(self.directory, "password")
        pathlib.Path(password).write_text(PASSWORD + "\n", encoding="ascii")
        self.words = ["--source-password-file", password, "--destination-password-file", password]
        self.process = None
        self.source = self.end(tape, source, "source")
        self.destination = self.end(tape, destination, "destination")

    def end(self, tape, given, name):
        """A server, or a Maildir where GIVEN says so."""
        if given == "maildir":
            return Maildir(os.path.join(self.directory, name))
        given = dict(given or {})
        given.setdefault("caps", FULL)
        given.setdefault("users", {self.user: PASSWORD})
        server = Server(tape=tape, **given)
        server.calls = {}
        return server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.stop()
        self.destination.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def fill(self, mails):
        for mail in mails:
            self.source.add(mail.folder, mail.body, mail.flags, mail.date)

    # -- running --

    def urls(self):
        return [self.source.url(self.user, "127.0.0.1"), self.destination.url(self.user, "localhost")]

    def command(self, *words):
        return [GODWIT, "copy", "--output", "json", "--state", self.state_dir, "--settle", SETTLE, *self.words,
                *words, *self.urls()]

    def begin(self, *words, stop=None, env=None, **given):
        environment = dict(os.environ, **(env or {}))
        environment.pop("GODWIT_TEST_STOP", None)
        if stop:
            environment["GODWIT_TEST_STOP"] = stop
        given.setdefault("stdout", subprocess.PIPE)
        self.process = subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment, start_new_session=True, **given)
        return self.process

    def finish(self, process, begun, timeout=None):
        try:
            out, err = process.communicate(timeout=timeout or TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += b"\nthe test gave up waiting"
        run = Run(process.returncode, (out or b"").decode("utf-8", "replace"), err.decode("utf-8", "replace"),
                  time.monotonic() - begun)
        if not (self.source.quiet() and self.destination.quiet()):
            raise AssertionError("connections outlived godwit:\n%s" % run)
        return run

    def copy(self, *words, stop=None, env=None, timeout=None, **given):
        begun = time.monotonic()
        return self.finish(self.begin(*words, stop=stop, env=env, **given), begun, timeout)

    @staticmethod
    def later(seconds, function):
        """Calls it then, and does not mind if there is nobody any more to be killed."""
        def call():
            with contextlib.suppress(ProcessLookupError):
                function()
        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()

    # -- what must hold --

    @staticmethod
    def content(server, user):
        """Multiset of (folder, sha256, flags, instant)."""
        return collections.Counter(
            (name, m["sha256"], " ".join(m["flags"]), m["epoch"])
            for name, folder in server.state(user)["folders"].items() for m in folder["messages"])

    def at_source(self):
        return self.content(self.source, self.user)

    def at_destination(self):
        return self.content(self.destination, self.user)

    def difference(self, missing_allowed=None, extra_allowed=None):
        """'' or what differs between source and destination."""
        source = self.at_source() - collections.Counter(missing_allowed or {})
        destination = self.at_destination() - collections.Counter(extra_allowed or {})
        lines = ["%s %d: %s\n" % (word, count, key) for word, items in
                 (("lost", source - destination), ("doubled or foreign", destination - source))
                 for key, count in items.items()]
        return "".join(lines[:4]) + ("... %d lines in all\n" % len(lines) if len(lines) > 4 else "")

    def unfired(self):
        return self.source.unfired() + self.destination.unfired()

    def source_untouched(self, before):
        return self.content(self.source, self.user) == before
