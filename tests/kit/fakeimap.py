#!/usr/bin/python3
r"""An IMAP server for tests: a mailbox model that behaves, and a script that makes it misbehave.

It listens on 127.0.0.1 only, keeps everything in memory, and needs nothing but Python's library.


COMMAND LINE
    fakeimap.py [--port 0] [--user anna:pw] [--caps "IMAP4rev1 UIDPLUS ..."] [--script FILE] ...
    fakeimap.py --transcript FILE --side source|destination      play one side of a record (godwit --record)
    fakeimap.py --transcript FILE          speak exactly the dialogue in FILE, then exit (0 or 1)
    fakeimap.py --help                     every option

When ready it prints one JSON line, {"port": ..., "pid": ..., "ca": ..., "control": ...}, and runs until
SIGTERM or the end of its standard input (/dev/null does not count as ended).  Standard input takes
control commands, one JSON object a line, and answers each with one JSON line on standard output;
--control opens a second port that takes the same.

A capability that is not listed in --caps is absent in behaviour too: no UIDPLUS, no APPENDUID; no
MULTIAPPEND, BAD for a second message; no LITERAL+, BAD and BYE for {n+}; no CONDSTORE, no MODSEQ; and so on.
OBJECTID has EMAILID and MAILBOXID, X-GM-EXT-1 has X-GM-MSGID, and --server-id "name Dovecot" X-GUID.
One connection sees a change made by another at the end of its next command, as on strict servers.


CONTROL COMMANDS      {"do": "state"}   every one also is a method of FakeImap, with the same arguments
    state user              folders, messages (uid sha256 size flags epoch zone date msgid modseq), unfired rules
    messages folder user    the messages of one folder
    body folder uid user    the bytes of one message (JSON: {"base64": ...})
    add folder body flags date user    body: text or {"base64": ...}; date: "17-Jul-1996 02:44:25 -0700",
                            epoch seconds, or any text, which is then shown as it is
    deliver folder count user          foreign mail arrives now
    fill folder count size user        sample messages
    flag folder uids change user       uids "1:3,7"; change "+\\Seen -work"
    expunge folder uids user           somebody else deletes
    create folder use user             remove folder user
    uidvalidity folder value user      new UIDVALIDITY, UIDs counted afresh, same messages
    script text             more rules           options words    change options ("--caps ... --quota ...")
    commands                {"count": {name: n}, "connections": [[name, ...], ...], "appended": n, ...}
    log                     every command: connection, user, name, folder, line (no secrets), reply
    count name              how often a command came (no name: all)
    wait name n timeout     until command `name` has come n times, true or false
    snapshot / restore      as a backup does; restore drops all connections
    kick                    drop all connections       down seconds     and refuse new ones for a while
    reset                   empty accounts, no rules, no log


SCRIPT LANGUAGE       one rule a line; # begins a comment line
    on EVENT [WHICH] [folder NAME] [user NAME] [connection N] [uid N] [line REGEX] [WHEN]: ACTION [; ACTION ...]
    options --caps "..." ...           the words of the command line, so that a script stands alone

EVENT    a command name (LOGIN, SELECT, FETCH, APPEND ...; FETCH means UID FETCH as well), or
         FETCH-BODY    FETCH of whole messages          FETCH-META    any other FETCH
         CONNECT       a new connection, its greeting   ANY           every command
WHICH    which of the matching events: 3, 2-4, 5+ (from the 5th on), * (every).  Without it: the first.
         Each rule counts for itself, over all connections, from when it was loaded.
user     who is logged in, or whom LOGIN names.
line     matches the command's text up to its first literal (put it in quotes; capitals do not matter).
uid N    the command's set contains N; actions on FETCH replies then touch that message only.
WHEN     before           the line has come, its literal is neither asked for nor read
         literal-byte N   N bytes of the literal(s) have been read
         after-literal    all has come, nothing is done yet (what most actions do by themselves)
         after            done, not yet answered
         replied          answered
ACTION
  ending     drop                    close in order (FIN, but no TLS goodbye)
             reset                   close with a RST
             bye TEXT                "* BYE TEXT" instead of the answer, and close
             silent                  no answer, now or ever; the connection stays open
             store-then-drop   store-then-reset   store-then-silent       the same with `after`
             store-later SECONDS     (APPEND) drop; the messages appear that much later
             store-some N            (APPEND) store the first N messages, then drop
             close-after N sent|received|both      cut this connection N bytes from now
             down SECONDS            drop all connections, refuse new ones for a while
  answering  reply NO [CODE] TEXT    (OK, NO, BAD) instead of doing it; with `after`: it is done, the answer lies
             no-reply                do it, leave out the tagged answer, go on
             garbage "BYTES"         raw bytes instead of the answer (escapes: \r \n \t \" \\ \xNN)
             throttle "TEXT" N       this and the next N-1 commands, of anybody, get NO TEXT
             extra "LINE"            an unsolicited line before each part of the answer, the tagged one too
             omit REGEX              leave out the answer's lines that match
             replace REGEX TEXT      edit the answer's lines (never message bytes)
             split                   send the answer byte by byte
             delay SECONDS           wait       rate N      from now on N bytes a second in each direction
  APPENDUID  omit-appenduid          wrong-appenduid UIDVALIDITY UIDS
  FETCH      omit-body  nil-body  empty-body     the item is missing, NIL, ""
             truncate-literal N      N bytes of the announced literal, then close
             stall-literal N         N bytes of it, then silence
             announce-literal N      announce another length than is sent
             size-lie +30%           wrong RFC822.SIZE (+N%, -N%, or any text)
             drop-message            OK, but without that message (without `uid`: the last one)
             fail-message [TEXT]     all but that message, then NO TEXT
  mailbox    deliver N [FOLDER]      expunge UIDS [FOLDER]      flag UIDS CHANGE [FOLDER]
             uidvalidity-change [FOLDER]       remove-folder FOLDER      snapshot      restore
             (without FOLDER: the command's, or the selected one, or INBOX)
  greeting   (on CONNECT) raw-greeting "LINE"   preauth-greeting [USER]   bye TEXT   drop   silent
  STARTTLS   inject-after-starttls "LINE"      plain text in the same packet as the OK


TRANSCRIPT            an exact dialogue, one connection after another
    S: TEXT          send TEXT and CRLF             S+: "BYTES"   send raw bytes (escapes as above)
    C: TEXT          expect this line; * stands for anything; {tag} for the client's tag, which
                     `S: {tag} OK ...` gives back.  `C: *` takes any line.
    C+: N            expect N literal bytes         starttls      turn to TLS (--tls starttls)
    delay SECONDS    wait                           close         close, and wait for the next connection
A mismatch is printed as JSON and makes the exit code 1.

RECORD               what `godwit --record FILE` writes is a transcript with these lines besides
    record 1 PROGRAM VERSION COMMAND     the head; "option ...", "side NAME TLS|maildir ..." follow
    connection SIDE N                    of whom the lines are that follow, until the next such line
    S*: N SEED       N bytes of text made of SEED (player.py): the rest of a long message
    close reset silent leave             how the connection ended (leave: the client went); refused and
                     untrusted: it was never made
    result JSON      how it ended
player.py says what is the same when it is played with --side; replay.py plays both sides and runs godwit.
"""

import argparse
import base64
import bisect
import collections
import copy
import datetime
import functools
import hashlib
import json
import os
import re
import select
import shlex
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib

DEFAULT_CAPS = (
    "IMAP4rev1 LITERAL+ SASL-IR ID NAMESPACE UIDPLUS MULTIAPPEND CONDSTORE QRESYNC ENABLE ESEARCH CHILDREN "
    "LIST-EXTENDED LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE STATUS=SIZE MOVE UNSELECT IDLE QUOTA "
    "AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2")
REV2_MEANS = set("NAMESPACE UNSELECT UIDPLUS ESEARCH ENABLE IDLE SASL-IR LIST-EXTENDED LIST-STATUS MOVE "
                 "LITERAL- SPECIAL-USE STATUS=SIZE CHILDREN".split())
SYSTEM_FLAGS = {name.lower(): name for name in (r"\Answered", r"\Flagged", r"\Deleted", r"\Seen", r"\Draft")}
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
RECEIVE = 256 * 1024
LONGEST_LINE = 1024 * 1024


class Answer(Exception):
    """Ends a command early with this tagged answer (or with raw bytes)."""

    def __init__(self, status, text, raw=None):
        super().__init__(text)
        self.status, self.text, self.raw = status, text, raw


class Cut(Exception):
    """Ends the connection: drop (FIN), reset (RST), clean (with TLS goodbye)."""

    def __init__(self, how="drop"):
        super().__init__(how)
        self.how = how


class Hang(Exception):
    """The connection stays open and never says anything again."""


class Gone(Exception):
    """The client has closed."""


# --- small tools -----------------------------------------------------------------------------------------------


def unescape(text):
    """The bytes of a script string: surrounding quotes removed, \\r \\n \\t \\" \\\\ \\xNN resolved."""
    text = text.strip()
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text.encode("latin-1", "replace") if text.isascii() else text.encode()
    plain = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0"}
    out = b""
    for part in re.findall(r"\\x[0-9A-Fa-f]{2}|\\.|[^\\]+", text[1:-1]):
        if part.startswith("\\x") and len(part) == 4:
            out += bytes([int(part[2:], 16)])
        elif part[0] == "\\":
            out += plain.get(part[1], part[1].encode())
        else:
            out += part.encode()
    return out


def unquoted(text):
    return unescape(text).decode("latin-1")


def words(text):
    """Words of a script line; quoted ones are resolved."""
    return [unquoted(word) for word in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', text)]


def parse_date(text):
    """IMAP date-time to (epoch, zone), or (None, None)."""
    found = re.fullmatch(r" ?(\d{1,2})-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", text.strip('"'))
    try:
        day, month, year, hour, minute, second, sign, zone_h, zone_m = found.groups()
        offset = (int(zone_h) * 60 + int(zone_m)) * (1 if sign == "+" else -1)
        when = datetime.datetime(int(year), MONTHS.index(month.title()) + 1, int(day), int(hour), int(minute),
                                 int(second), tzinfo=datetime.timezone.utc)
        return int(when.timestamp()) - offset * 60, sign + zone_h + zone_m
    except (AttributeError, ValueError):
        return None, None


def format_date(epoch):
    when = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    return "%02d-%s-%04d %02d:%02d:%02d +0000" % (when.day, MONTHS[when.month - 1], when.year, when.hour,
                                                  when.minute, when.second)


def parse_set(text):
    """A sequence set to [(low, high)], with None for *.  ValueError if it is none."""
    ranges = []
    for part in text.split(","):
        if not re.fullmatch(r"(?:[1-9]\d*|\*)(?::(?:[1-9]\d*|\*))?", part):
            raise ValueError("bad set " + text)
        ends = [None if end == "*" else int(end) for end in part.split(":")]
        ranges.append((ends[0], ends[-1]))
    return ranges


def pick(numbers, ranges):
    """Those of the ascending numbers that lie in the ranges."""
    highest = numbers[-1] if numbers else 0
    picked = set()
    for ends in ranges:
        low, high = sorted(highest if end is None else end for end in ends)
        picked.update(numbers[bisect.bisect_left(numbers, low):bisect.bisect_right(numbers, high)])
    return sorted(picked)


def format_set(numbers):
    """Numbers to 1:3,7 in the order given (consecutive ones are joined)."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else "%d:%d" % (a, b) for a, b in runs)


def split_message(body):
    """(header with its empty line, text)"""
    found = re.search(rb"\r?\n\r?\n", body)
    return (body[:found.end()], body[found.end():]) if found else (body, b"")


def header_fields(body, names, inverted=False):
    """The header's fields with (or without) these names, and an empty line."""
    header = split_message(body)[0]
    names = {name.lower().encode() for name in names}
    fields = re.findall(rb"[^\r\n][^\n]*\n(?:[ \t][^\n]*\n)*", header)
    kept = [field for field in fields if (field.split(b":")[0].strip().lower() in names) != inverted]
    return b"".join(kept) + b"\r\n"


@functools.lru_cache(64)
def capability_set(caps):
    return {cap.upper() for cap in caps.split()}


def sample_message(number, kind="sample", size=0):
    """A small message that is like no other."""
    head = ("From: %s %d <%s%d@example.org>\r\nTo: anna@example.org\r\nSubject: %s message %d\r\n"
            "Date: Mon, 02 Jan 2023 10:%02d:%02d +0000\r\nMessage-ID: <%s.%d@fake.example.org>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
            % (kind, number, kind, number, kind, number, number // 60 % 60, number % 60, kind, number))
    line = "Line of %s message %d, wide enough to be a line of text.\r\n" % (kind, number)
    return (head + line * max(1, (size - len(head)) // len(line) + 1)).encode()


def make_certificate(directory):
    """A throw-away certificate for localhost and 127.0.0.1: (cert, key)."""
    cert, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return cert, key


# --- the mailbox model -----------------------------------------------------------------------------------------


class Message:
    __slots__ = ("uid", "body", "flags", "date", "modseq", "emailid", "digest")

    def __init__(self, uid, body, flags, date, modseq, emailid):
        self.uid, self.body, self.flags, self.date = uid, body, flags, date
        self.modseq, self.emailid, self.digest = modseq, emailid, None

    def describe(self):
        if self.digest is None:
            self.digest = hashlib.sha256(self.body).hexdigest()
        epoch, zone = parse_date(self.date)
        msgid = re.search(rb"(?im)^message-id:\s*(<[^>\r\n]*>)", split_message(self.body)[0])
        return {"uid": self.uid, "sha256": self.digest, "size": len(self.body), "flags": sorted(self.flags),
                "epoch": epoch, "zone": zone, "date": self.date, "modseq": self.modseq,
                "msgid": msgid.group(1).decode("latin-1") if msgid else None}


class Folder:
    """Messages by UID; `version` counts every change, so that a session sees cheaply that there was none."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.uidvalidity, self.mailboxid = world.number(), world.number()
        self.uidnext, self.modseq, self.version = 1, 1, 0
        self.messages, self.vanished, self.keywords, self.use = {}, {}, {}, []

    def touch(self):
        self.modseq += 1
        self.version += 1
        return self.modseq

    def add(self, body, flags=(), date=None, emailid=None):
        message = Message(self.uidnext, bytes(body), self.named(flags), date or format_date(time.time()),
                          self.touch(), emailid or self.world.number())
        self.messages[message.uid] = message
        self.uidnext += 1
        return message

    def named(self, flags):
        """The flags in the spelling that the folder already knows."""
        return {SYSTEM_FLAGS.get(flag.lower()) or self.keywords.setdefault(flag.lower(), flag) for flag in flags}

    def set_flags(self, uid, flags):
        flags = self.named(flags)
        if flags != self.messages[uid].flags:
            self.messages[uid].flags = flags
            self.messages[uid].modseq = self.touch()

    def change_flags(self, uid, change):
        flags = set(self.messages[uid].flags)
        for word in change.split():
            if word[0] == "-":
                flags = {flag for flag in flags if flag.lower() != word[1:].lower()}
            else:
                flags |= self.named([word.lstrip("+")])
        self.set_flags(uid, flags)

    def expunge(self, uid):
        del self.messages[uid]
        self.vanished[uid] = self.touch()

    def renumber(self, value=None):
        self.uidvalidity = value or self.world.number()
        messages, self.messages, self.vanished, self.uidnext = list(self.messages.values()), {}, {}, 1
        for message in messages:
            self.add(message.body, message.flags, message.date, message.emailid)

    def describe(self, account):
        return {"uidvalidity": self.uidvalidity, "uidnext": self.uidnext, "highestmodseq": self.modseq,
                "subscribed": self.name in account.subscribed, "use": self.use,
                "messages": [message.describe() for message in self.messages.values()]}


class Account:
    def __init__(self, world, user, password):
        self.world, self.user, self.password = world, user, password
        self.folders, self.subscribed = {"INBOX": Folder(world, "INBOX")}, set()

    def find(self, name):
        """The folder of this name, or None."""
        if name.upper() == "INBOX":
            return self.folders["INBOX"]
        if self.world.options.case_insensitive:
            return next((f for f in self.folders.values() if f.name.lower() == name.lower()), None)
        return self.folders.get(name)

    def make(self, name, use=()):
        folder = self.find(name)
        if not folder:
            folder = self.folders[name] = Folder(self.world, name)
        folder.use = list(use) or folder.use
        return folder

    def children(self, name):
        delimiter = self.world.options.delimiter
        return [other for other in self.folders if delimiter and other.startswith(name + delimiter)]

    def rename(self, old, new):
        for name in [old] + self.children(old):
            if name in self.folders:
                folder = self.folders.pop(name)
                folder.name = new + name[len(old):]
                self.folders[folder.name] = folder

    def used(self):
        return sum(len(m.body) for folder in self.folders.values() for m in folder.messages.values())


class World:
    """All accounts, and the one lock that guards them."""

    def __init__(self, options):
        self.options, self.lock, self.counter, self.accounts = options, threading.RLock(), 1000, {}
        for text in options.user:
            user, _, password = text.partition(":")
            self.accounts[user] = Account(self, user, password)

    def number(self):
        self.counter += 1
        return self.counter

    def account(self, user=None):
        return self.accounts[user] if user else next(iter(self.accounts.values()))

    def snapshot(self):
        keep = {id(self): self}
        return copy.deepcopy(self.accounts, keep)

    def restore(self, accounts):
        self.accounts = copy.deepcopy(accounts, {id(self): self})


# --- the wire --------------------------------------------------------------------------------------------------


class Link:
    """One connection's bytes: buffered reads, counters and cuts, latency and rate, TLS, DEFLATE.

    With latency, what is sent waits in a queue while the next commands are read and done, as if on the wire.
    """

    def __init__(self, sock, latency=0):
        self.sock, self.buffer, self.at = sock, b"", 0
        self.count = {"received": 0, "sent": 0}
        self.limits, self.rate, self.latency, self.queue = [], 0, latency, collections.deque()
        self.inflate = self.deflate = None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def cut_after(self, count, direction):
        ways = ("received", "sent") if direction == "both" else (direction,)
        self.limits.append((ways, sum(self.count[way] for way in ways) + count))

    def room(self, direction):
        """How many bytes may still pass before the cut."""
        return min([limit - sum(self.count[way] for way in ways)
                    for ways, limit in self.limits if direction in ways], default=sys.maxsize)

    def ready(self, seconds=0):
        if self.at < len(self.buffer) or getattr(self.sock, "pending", int)():
            return True
        return bool(select.select([self.sock], [], [], seconds)[0])

    def fill(self):
        """Receive more, and send meanwhile what is due."""
        while self.queue and not self.ready(max(0, self.queue[0][0] - time.monotonic())):
            self.pump()
        self.pump()
        data = self.sock.recv(max(1, min(RECEIVE, self.rate // 10)) if self.rate else RECEIVE)
        if not data:
            raise Gone()
        if self.rate:
            time.sleep(len(data) / self.rate)
        if self.inflate:
            data = self.inflate.decompress(data)
        self.buffer, self.at = self.buffer[self.at:] + data, 0

    def take(self, count):
        data = self.buffer[self.at:self.at + count]
        self.at += len(data)
        self.count["received"] += len(data)
        return data

    def line(self):
        """One line without its line end."""
        while True:
            end = self.buffer.find(b"\n", self.at)
            held, room = len(self.buffer) - self.at, self.room("received")
            if (end < 0 and held >= min(room, LONGEST_LINE)) or end + 1 - self.at > room:
                raise Cut()
            if end >= 0:
                return self.take(end + 1 - self.at).rstrip(b"\r\n")
            self.fill()

    def read(self, count):
        """Exactly count bytes."""
        chunks, missing = [], count
        while missing:
            allowed = min(missing, self.room("received"))
            if allowed <= 0:
                raise Cut()
            if self.at == len(self.buffer):
                self.fill()
            chunks.append(self.take(allowed))
            missing -= len(chunks[-1])
        return b"".join(chunks)

    def drop_buffer(self):
        dropped, self.buffer, self.at = self.buffer[self.at:], b"", 0
        return dropped

    def send(self, data):
        room = self.room("sent")
        piece = data[:room] if room < len(data) else data
        self.count["sent"] += len(piece)
        self.queue.append((time.monotonic() + self.latency, piece))
        self.pump()
        if room <= len(data):
            raise Cut()

    def pump(self, wait=False):
        """Send what is due, or wait until all is."""
        while self.queue and (wait or self.queue[0][0] <= time.monotonic()):
            time.sleep(max(0, self.queue[0][0] - time.monotonic()))
            self.push(self.queue.popleft()[1])

    def push(self, data):
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        if not self.rate:
            return self.sock.sendall(data)
        step = max(1, self.rate // 10)
        for at in range(0, len(data), step):
            self.sock.sendall(data[at:at + step])
            time.sleep(min(step, len(data) - at) / self.rate)

    def start_tls(self, context):
        self.pump(wait=True)
        dropped = self.drop_buffer()
        self.sock = context.wrap_socket(self.sock, server_side=True)
        return len(dropped)

    def start_deflate(self):
        self.pump(wait=True)
        rest = self.drop_buffer()
        self.inflate, self.deflate = zlib.decompressobj(-15), zlib.compressobj(wbits=-15)
        self.buffer = self.inflate.decompress(rest) if rest else b""

    def swallow(self, seconds=None):
        """Read and forget until the client closes, or for so long."""
        self.pump(wait=True)
        end = time.monotonic() + seconds if seconds else None
        while not end or time.monotonic() < end:
            self.sock.settimeout(max(0.01, end - time.monotonic()) if end else None)
            if not self.sock.recv(RECEIVE):
                return

    def close(self, how):
        """drop: what was sent still arrives, so read on until the client closes as well."""
        try:
            self.pump(wait=how != "gone")
            if how == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "clean" and isinstance(self.sock, ssl.SSLSocket):
                self.sock.settimeout(0.3)
                self.sock = self.sock.unwrap()
            if how in ("drop", "clean"):
                self.sock.shutdown(socket.SHUT_WR)
                self.swallow(2)
        except (OSError, ValueError):
            pass
        finally:
            self.sock.close()

    def abort(self):
        """Called from another thread: wake up whoever waits on this socket."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass


# --- commands and replies --------------------------------------------------------------------------------------


class Quoted(str):
    """A quoted string; an atom is a plain str, a literal is bytes, a parenthesis a list."""


TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|(\()|(\))|([A-Za-z0-9.]+\[[^\]]*\](?:<[^>]*>)?|[^\s()"]+)|\s+')
LITERAL = re.compile(rb"(~?)\{(\d+)(\+?)\}$")


def tokenize(parts):
    """Line, literal, line, ... to nested values.  An open parenthesis at the end is tolerated."""
    top = []
    stack = [top]
    for index, part in enumerate(parts):
        if index % 2:
            stack[-1].append(part)
            continue
        for found in TOKEN.finditer(part):
            if found.group(2):
                stack.append([])
                stack[-2].append(stack[-1])
            elif found.group(3):
                if len(stack) == 1:
                    raise ValueError("unbalanced parenthesis")
                stack.pop()
            elif found.group(4):
                stack[-1].append(found.group(4).decode("latin-1"))
            elif found.group(1) is not None:
                stack[-1].append(Quoted(re.sub(rb"\\(.)", rb"\1", found.group(1)).decode("latin-1")))
    return top


def text_of(value):
    """An astring's text."""
    if isinstance(value, list):
        raise ValueError("string expected")
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class Command:
    """One command as it comes in, with the script rules that matched it and its reply."""

    def __init__(self, line):
        tag, _, rest = line.decode("latin-1").partition(" ")
        name, _, arguments = rest.partition(" ")
        self.uid = name.upper() == "UID"
        if self.uid:
            name, _, arguments = arguments.partition(" ")
        self.tag, self.name, self.parts, self.longest = tag, name.upper(), [arguments.encode("latin-1")], len(line)
        self.rules, self.phase, self.matched, self.literal_bytes = [], None, False, 0
        self.folder, self.store_only = None, None
        self.tokens = None, []
        self.reply = Reply(tag)
        self.entry = {}

    @property
    def args(self):
        """The words that have come so far, to be taken apart by whoever asks."""
        size = (len(self.parts), len(self.parts[-1]))
        if self.tokens[0] != size:
            self.tokens = size, tokenize(self.parts)
        return list(self.tokens[1])

    def full_name(self):
        return ("UID " if self.uid else "") + self.name

    def events(self):
        names = {self.name, "ANY"}
        if self.name == "FETCH":
            whole = re.search(rb"BODY(\.PEEK)?\[\]|RFC822(?!\.)", self.parts[0].upper())
            names.add("FETCH-BODY" if whole else "FETCH-META")
        return names if self.name != "CONNECT" else {"CONNECT"}

    def named_user(self):
        return text_of(self.args[0]) if self.name == "LOGIN" and self.args else None

    def concerns_uid(self, uid):
        try:
            ranges = parse_set(text_of(self.args[0]))
        except (ValueError, IndexError):
            return False
        return any((low or 0) <= uid <= (high or sys.maxsize) for low, high in ranges)

    def stops(self):
        """Where in the command's literal bytes the script wants to act."""
        return sorted({action.position for rule in self.rules for action in rule.actions
                       if action.phase == "literal-byte" and action.position >= self.literal_bytes})


class Body:
    """Message bytes inside a FETCH reply, sent as a literal."""
    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data


class Line:
    """One line of a reply."""

    def __init__(self, text):
        self.text, self.uid = text, None

    def chunks(self, edits):
        text = self.text
        for pattern, replacement in edits:
            text = re.sub(pattern, lambda found, r=replacement: found.expand(r), text)
        yield text + b"\r\n"


class FetchLine:
    """One FETCH reply, with the lies that the script wants told about it."""

    def __init__(self, number, uid, items):
        self.number, self.uid, self.items = number, uid, items
        self.announce = self.truncate = self.stall = None

    def chunks(self, edits):
        for kind, chunk in self.pieces():
            for pattern, replacement in edits if kind == "text" else ():
                chunk = re.sub(pattern, lambda found, r=replacement: found.expand(r), chunk)
            yield chunk

    def pieces(self):
        text = b"* %d FETCH (" % self.number
        for index, (name, value) in enumerate(self.items):
            text += (b" " if index else b"") + name + b" "
            if not isinstance(value, Body):
                text += value
                continue
            announced = len(value.data) if self.announce is None else self.announce
            yield "text", text + b"{%d}\r\n" % announced
            yield from self.literal(value.data)
            text = b""
        yield "text", text + b")\r\n"

    def literal(self, data):
        if self.truncate is not None:
            yield "literal", data[:self.truncate]
            yield "end", Cut()
        if self.stall is not None:
            yield "literal", data[:self.stall]
            yield "end", Hang()
        yield "literal", data


class Reply:
    """Everything that answers one command."""

    def __init__(self, tag):
        self.tag, self.status, self.text = tag, "OK", "completed"
        self.units, self.edits, self.omitted = [], [], []
        self.raw, self.trailer, self.split, self.tagged, self.last = None, b"", False, True, False

    def chunks(self):
        if self.raw is not None:
            yield self.raw
            return
        units = list(self.units)
        if self.tagged:
            units.append(Line(("%s %s %s" % (self.tag, self.status, self.text)).encode("latin-1")))
        for unit in units:
            if not self.is_omitted(unit):
                yield from unit.chunks(self.edits)
        yield self.trailer

    def is_omitted(self, unit):
        if not self.omitted:
            return False
        head = next(iter(unit.chunks([])))
        return any(re.search(pattern, head) for pattern in self.omitted)


# --- the script ------------------------------------------------------------------------------------------------

ACTIONS = {}
PHASES = ("before", "literal-byte", "after-literal", "after", "replied")


def action(name, phase="after-literal", fixed=False, argument=None):
    """Registers an action; `fixed` actions ignore the rule's WHEN."""
    def register(function):
        ACTIONS[name] = (function, phase, fixed, argument)
        return function
    return register


class ScriptAction:
    def __init__(self, text, phase, position):
        verb, _, argument = text.strip().partition(" ")
        if verb not in ACTIONS:
            raise ValueError("unknown action: " + text)
        self.verb, self.argument = verb, argument.strip()
        self.function, default, fixed, check = ACTIONS[verb]
        self.phase, self.position = (default, 0) if fixed or not phase else (phase, position)
        if check and not re.fullmatch(check, self.argument):
            raise ValueError("bad argument for %s: %s" % (verb, self.argument))


class Rule:
    """One line of a script."""

    def __init__(self, line):
        found = re.fullmatch(r'on\s+((?:"[^"]*"|[^":])*):\s*(.+)', line)
        if not found:
            raise ValueError("not a rule: " + line)
        self.text, self.seen, self.fired = line, 0, 0
        self.first = self.last = 1
        self.folder = self.user = self.connection = self.uid = self.line = None
        phase, position = self.parse_head(words(found.group(1)))
        pieces = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^;"])+', found.group(2))
        self.actions = [ScriptAction(piece, phase, position) for piece in pieces if piece.strip()]

    def parse_head(self, head):
        phase, position = None, 0
        if head and head[0].upper() == "UID":
            head.pop(0)
        self.event = head.pop(0).upper()
        while head:
            word = head.pop(0)
            if re.fullmatch(r"\*|\d+(\+|-\d+)?", word):
                self.parse_which(word)
            elif word in ("folder", "user", "line"):
                setattr(self, word, head.pop(0))
            elif word in ("connection", "uid"):
                setattr(self, word, int(head.pop(0)))
            elif word in PHASES:
                phase, position = word, int(head.pop(0)) if word == "literal-byte" else 0
            else:
                raise ValueError("unknown word %r in: %s" % (word, self.text))
        return phase, position

    def parse_which(self, word):
        first, dash, last = word.rstrip("+").partition("-")
        self.first = 1 if word == "*" else int(first)
        self.last = sys.maxsize if word[-1] in "*+" else int(last if dash else first)

    def matches(self, command, session):
        """Counts the event if it is one of ours; true when the rule fires."""
        if self.event not in command.events():
            return False
        if self.folder is not None and (command.folder or "").lower() != self.folder.lower():
            return False
        if self.user is not None and self.user != (session.user or command.named_user()):
            return False
        if self.connection is not None and session.number != self.connection:
            return False
        if self.uid is not None and not command.concerns_uid(self.uid):
            return False
        if self.line is not None and not re.search(self.line.encode("latin-1"), command.parts[0], re.I):
            return False
        self.seen += 1
        self.fired += self.first <= self.seen <= self.last
        return self.first <= self.seen <= self.last


def parse_script(text):
    """(rules, option words) of a script."""
    rules, options = [], []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("options "):
            options += shlex.split(line[8:])
        elif line and not line.startswith("#"):
            rules.append(Rule(line))
    return rules, options


# Each action gets the session, the command, the rule and its argument.


@action("drop")
def act_drop(session, command, rule, argument):
    raise Cut("drop")


@action("reset")
def act_reset(session, command, rule, argument):
    raise Cut("reset")


@action("silent")
def act_silent(session, command, rule, argument):
    raise Hang()


ACTIONS["store-then-drop"] = (act_drop, "after", True, None)
ACTIONS["store-then-reset"] = (act_reset, "after", True, None)
ACTIONS["store-then-silent"] = (act_silent, "after", True, None)


@action("store-later", fixed=True, argument=r"[\d.]+")
def act_store_later(session, command, rule, argument):
    folder, messages = session.appended_messages(command)
    session.server.later(float(argument), lambda: session.store(folder, messages))
    raise Cut("drop")


@action("store-some", fixed=True, argument=r"\d+")
def act_store_some(session, command, rule, argument):
    folder, messages = session.appended_messages(command)
    session.store(folder, messages[:int(argument)])
    raise Cut("drop")


@action("bye")
def act_bye(session, command, rule, argument):
    session.link.send(b"* BYE " + unescape(argument) + b"\r\n")
    raise Cut("drop")


@action("close-after", argument=r"\d+ (sent|received|both)")
def act_close_after(session, command, rule, argument):
    count, direction = argument.split()
    session.link.cut_after(int(count), direction)


@action("down", argument=r"[\d.]+")
def act_down(session, command, rule, argument):
    session.server.down(float(argument))
    raise Cut("drop")


@action("reply")
def act_reply(session, command, rule, argument):
    status, _, text = unquoted(argument).partition(" ")
    answer_instead(command, status.upper(), text)


def answer_instead(command, status, text, raw=None):
    """Before the deed: instead of it.  After it: a lie about it."""
    if command.phase in ("after", "replied"):
        command.reply.status, command.reply.text, command.reply.raw = status, text, raw
    else:
        raise Answer(status, text, raw)


@action("no-reply", "after", True)
def act_no_reply(session, command, rule, argument):
    command.reply.tagged = False


@action("garbage")
def act_garbage(session, command, rule, argument):
    answer_instead(command, "OK", "", unescape(argument))


@action("throttle", argument=r".* \d+")
def act_throttle(session, command, rule, argument):
    text, _, count = argument.rpartition(" ")
    session.server.throttle = [unquoted(text), int(count)]


@action("extra", "after", True)
def act_extra(session, command, rule, argument):
    line, units = unescape(argument).rstrip(b"\r\n"), []
    for unit in command.reply.units:
        units += [Line(line), unit]
    command.reply.units = units + [Line(line)]


@action("omit", "after", True)
def act_omit(session, command, rule, argument):
    command.reply.omitted.append(unquoted(argument).encode("latin-1"))


@action("replace", "after", True)
def act_replace(session, command, rule, argument):
    pattern, replacement = words(argument)
    command.reply.edits.append((pattern.encode("latin-1"), replacement.encode("latin-1")))


@action("split", "after", True)
def act_split(session, command, rule, argument):
    command.reply.split = True


@action("delay", argument=r"[\d.]+")
def act_delay(session, command, rule, argument):
    time.sleep(float(argument))


@action("rate", argument=r"\d+")
def act_rate(session, command, rule, argument):
    session.link.rate = int(argument)


@action("omit-appenduid", "after", True)
def act_omit_appenduid(session, command, rule, argument):
    command.reply.text = re.sub(r"\[APPENDUID [^\]]*\] ", "", command.reply.text)


@action("wrong-appenduid", "after", True, argument=r"\S+ \S+")
def act_wrong_appenduid(session, command, rule, argument):
    command.reply.text = re.sub(r"\[APPENDUID [^\]]*\]", "[APPENDUID %s]" % argument, command.reply.text)


def fetched(command, rule):
    """The FETCH replies that the rule speaks of."""
    return [unit for unit in command.reply.units
            if isinstance(unit, FetchLine) and rule.uid in (None, unit.uid)]


def is_whole_body(name):
    return name == b"RFC822" or name.startswith(b"BODY[]")


def change_bodies(command, rule, value):
    for unit in fetched(command, rule):
        unit.items = [(name, value if is_whole_body(name) else old) for name, old in unit.items
                      if value is not None or not is_whole_body(name)]


@action("omit-body", "after", True)
def act_omit_body(session, command, rule, argument):
    change_bodies(command, rule, None)


@action("nil-body", "after", True)
def act_nil_body(session, command, rule, argument):
    change_bodies(command, rule, b"NIL")


@action("empty-body", "after", True)
def act_empty_body(session, command, rule, argument):
    change_bodies(command, rule, b'""')


def first_body(command, rule):
    """The first reply with a literal, or one that nobody sees."""
    return next((unit for unit in fetched(command, rule)
                 if any(isinstance(value, Body) for _, value in unit.items)), FetchLine(0, 0, []))


@action("truncate-literal", "after", True, argument=r"\d+")
def act_truncate_literal(session, command, rule, argument):
    first_body(command, rule).truncate = int(argument)


@action("stall-literal", "after", True, argument=r"\d+")
def act_stall_literal(session, command, rule, argument):
    first_body(command, rule).stall = int(argument)


@action("announce-literal", "after", True, argument=r"\d+")
def act_announce_literal(session, command, rule, argument):
    first_body(command, rule).announce = int(argument)


@action("size-lie", "after", True, argument=r"\S+")
def act_size_lie(session, command, rule, argument):
    for unit in fetched(command, rule):
        unit.items = [(name, lied_size(value, argument) if name == b"RFC822.SIZE" else value)
                      for name, value in unit.items]


def lied_size(value, lie):
    if lie.endswith("%"):
        return b"%d" % (int(value) * (100 + int(lie[:-1])) // 100)
    return lie.encode()


@action("drop-message", "after", True)
def act_drop_message(session, command, rule, argument):
    for unit in fetched(command, rule)[-1:]:
        command.reply.units.remove(unit)


@action("fail-message", "after", True)
def act_fail_message(session, command, rule, argument):
    act_drop_message(session, command, rule, "")
    text = unquoted(argument) or "The requested item could not be found."
    command.reply.status, command.reply.text = "NO", re.sub(r"^NO ", "", text)


def script_folder(session, command, name=None):
    """The folder that an action works on."""
    name = name or command.folder or "INBOX"
    return (session.account or session.server.world.account()).make(name)


@action("deliver", argument=r"\d+( .+)?")
def act_deliver(session, command, rule, argument):
    count, *name = words(argument)
    session.server.deliver_into(script_folder(session, command, *name), int(count))


@action("expunge")
def act_expunge(session, command, rule, argument):
    uids, *name = words(argument)
    folder = script_folder(session, command, *name)
    for uid in pick(list(folder.messages), parse_set(uids)):
        folder.expunge(uid)


@action("flag", argument=r"\S+ \S+( .+)?")
def act_flag(session, command, rule, argument):
    uids, change, *name = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', argument)
    folder = script_folder(session, command, *map(unquoted, name))
    for uid in pick(list(folder.messages), parse_set(uids)):
        folder.change_flags(uid, change)


@action("uidvalidity-change")
def act_uidvalidity_change(session, command, rule, argument):
    script_folder(session, command, *words(argument)).renumber()


@action("remove-folder")
def act_remove_folder(session, command, rule, argument):
    session.account.folders.pop(unquoted(argument), None)


@action("snapshot")
def act_snapshot(session, command, rule, argument):
    session.server.snapshot()


@action("restore")
def act_restore(session, command, rule, argument):
    session.server.restore()
    raise Cut("drop")


@action("raw-greeting", "after", True)
def act_raw_greeting(session, command, rule, argument):
    line = unescape(argument)
    command.reply.raw = line if line.endswith(b"\n") else line + b"\r\n"


@action("preauth-greeting", "after", True)
def act_preauth_greeting(session, command, rule, argument):
    session.enter(session.server.world.account(argument or None))
    command.reply.units = [Line(b"* PREAUTH already logged in")]


@action("inject-after-starttls", "after", True)
def act_inject_after_starttls(session, command, rule, argument):
    line = unescape(argument)
    command.reply.trailer = line if line.endswith(b"\n") else line + b"\r\n"


# --- one connection --------------------------------------------------------------------------------------------

NEEDS = {"ID": "ID", "NAMESPACE": "NAMESPACE", "ENABLE": "ENABLE", "UNSELECT": "UNSELECT", "IDLE": "IDLE",
         "MOVE": "MOVE", "GETQUOTA": "QUOTA", "GETQUOTAROOT": "QUOTA", "COMPRESS": "COMPRESS=DEFLATE"}
ANY_STATE = {"CAPABILITY", "NOOP", "LOGOUT", "ID"}
BEFORE_LOGIN = {"LOGIN", "AUTHENTICATE", "STARTTLS"}
WHEN_SELECTED = {"FETCH", "STORE", "SEARCH", "COPY", "MOVE", "EXPUNGE", "CLOSE", "UNSELECT", "CHECK"}
WITH_UID = {"FETCH", "STORE", "SEARCH", "COPY", "MOVE", "EXPUNGE"}
NAMES_FOLDER = {"SELECT", "EXAMINE", "APPEND", "STATUS", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE",
                "GETQUOTAROOT"}
TALKS = {"AUTHENTICATE", "IDLE", "LOGIN"}       # read or wait while they work, so they lock for themselves
FETCH_MACROS = {"FAST": ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]}


class Session:
    """One connection, from greeting to end."""

    def __init__(self, server, sock, number):
        self.server, self.options, self.world = server, server.options, server.world
        self.link, self.number = Link(sock, server.options.delay_ms / 1000), number
        self.account = self.user = self.selected = None
        self.read_only = self.secure = self.ended = False
        self.enabled, self.bad_count = set(), 0
        self.view, self.uids, self.version = {}, [], -1
        self.reply = None

    # -- life of the connection --

    def run(self):
        how = "drop"
        try:
            if self.options.tls == "implicit":
                self.link.start_tls(self.server.tls)
                self.secure = True
            self.greet()
            while not self.ended:
                self.serve_one()
            how = "clean"
        except Cut as cut:
            how = cut.how
        except Hang:
            self.hang()
        except (Gone, OSError, zlib.error):
            how = "gone"
        finally:
            self.server.forget(self)
            self.link.close(how)

    def hang(self):
        try:
            self.link.swallow()
        except OSError:
            pass

    def greet(self):
        command = Command(b"* CONNECT")
        text = self.options.greeting
        if "greeting" in self.options.caps_in.split(","):
            text = "[CAPABILITY %s] %s" % (" ".join(self.capabilities()), text)
        command.reply.tagged = False
        command.reply.units = [Line(("* OK " + text).encode("latin-1"))]
        self.match(command)
        try:
            for phase in ("before", "after-literal", "after"):
                self.play(phase, command)
        except Answer as answer:
            command.reply.raw = answer.raw or ("* %s %s\r\n" % (answer.status, answer.text)).encode("latin-1")
        self.send(command.reply)
        self.play("replied", command)

    def serve_one(self):
        command = Command(self.link.line())
        self.reply = reply = command.reply
        try:
            self.collect(command)
            self.play("after-literal", command)
            self.execute(command)
        except Answer as answer:
            reply.status, reply.text, reply.raw = answer.status, answer.text, answer.raw
        self.play("after", command)
        command.entry["reply"] = "%s %s" % (reply.status, reply.text)
        self.send(reply)
        self.play("replied", command)
        self.after_reply(command)

    def after_reply(self, command):
        """What must wait until the answer is out: TLS, DEFLATE, the end of a patience."""
        good = command.reply.status == "OK" and command.reply.raw is None
        if command.name == "STARTTLS" and good:
            command.entry["plaintext_after"] = self.link.start_tls(self.server.tls)
            self.secure = True
        elif command.name == "COMPRESS" and good:
            self.link.start_deflate()
        self.bad_count += command.reply.status == "BAD"
        if command.reply.last or (self.options.max_bad and self.bad_count >= self.options.max_bad):
            if not command.reply.last:
                self.link.send(b"* BYE Too many invalid IMAP commands.\r\n")
            self.ended = True

    def send(self, reply):
        pending, size = [], 0
        for chunk in reply.chunks():
            if isinstance(chunk, Exception):
                self.link.send(b"".join(pending))
                raise chunk
            pending.append(chunk)
            size += len(chunk)
            if size > RECEIVE:
                self.flush(pending, reply.split)
                pending, size = [], 0
        self.flush(pending, reply.split)

    def flush(self, pending, split):
        data = b"".join(pending)
        for byte in data if split else ():
            self.link.send(bytes([byte]))
        if data and not split:
            self.link.send(data)

    def say(self, text):
        """Adds an untagged line to the answer."""
        self.reply.units.append(Line(b"* " + (text if isinstance(text, bytes) else text.encode("latin-1"))))

    # -- reading a command --

    def collect(self, command):
        """Reads the literals.  A refused one that needs no leave to be sent is read and dropped."""
        refusal, limit = None, self.options.max_line
        while True:
            if limit and max(command.longest, len(command.parts[-1])) > limit:
                refusal = refusal or Answer("BAD", "Command line too long")
            found = LITERAL.search(command.parts[-1])
            if found:
                command.parts[-1] = command.parts[-1][:found.start()]
            refusal = refusal or self.first_look(command, found)
            if not found or (refusal and not found.group(3)):
                break
            refusal = self.read_literal(command, int(found.group(2)), bool(found.group(3)), refusal)
        if refusal:
            raise refusal

    def first_look(self, command, found):
        """Lets the rules see the command, and the server refuse its next literal."""
        try:
            self.match_when_known(command, found)
            if found:
                self.check_literal(command, found)
        except Answer as answer:
            return answer
        except ValueError:
            return Answer("BAD", "Syntax error") if not found else None
        return None

    def match_when_known(self, command, found):
        if command.matched or (found and command.name in NAMES_FOLDER and not command.args):
            return
        args = command.args
        if command.name in NAMES_FOLDER and args and not isinstance(args[0], list):
            command.folder = text_of(args[0])
        elif command.name in WHEN_SELECTED and self.selected:
            command.folder = self.selected.name
        self.server.note(self, command)
        self.match(command)
        self.play("before", command)

    def match(self, command):
        with self.world.lock:
            command.matched = True
            command.rules = [rule for rule in self.server.rules if rule.matches(command, self)]

    def play(self, phase, command, position=0):
        command.phase = phase
        for rule in command.rules:
            for step in rule.actions:
                if step.phase == phase and step.position == position:
                    step.function(self, command, rule, step.argument)

    def check_literal(self, command, found):
        size, extended = int(found.group(2)), found.group(3)
        if extended and not self.has("LITERAL+") and (not self.has("LITERAL-") or size > 4096):
            command.reply.last = True
            code = "[TOOBIG] " if self.has("LITERAL-") else ""
            self.link.send(b"* BYE Non-synchronizing literal refused\r\n")
            raise Answer("BAD", code + "Non-synchronizing literal not allowed here")
        if found.group(1) and not self.has("BINARY"):
            raise Answer("BAD", "Literal8 not supported")
        if command.name == "APPEND" and command.args:
            if not self.account:
                raise Answer("BAD", "Please login first")
            self.check_append(command, size)

    def check_append(self, command, size):
        if len(command.parts) > 2 and any(isinstance(arg, bytes) for arg in command.args[1:]):
            if not self.has("MULTIAPPEND"):
                raise Answer("BAD", "[CLIENTBUG] Additional arguments found after last expected argument")
        if self.options.max_size and size > self.options.max_size:
            raise Answer("NO", "[TOOBIG] Maximum size of appendable message has been exceeded")
        self.folder(text_of(command.args[0]), "TRYCREATE")

    def read_literal(self, command, size, at_once, refusal):
        """Reads a literal and the line behind it; returns why the command is refused, or None."""
        if not at_once:
            self.link.send(b"+ OK\r\n")
        chunks, end = [], command.literal_bytes + size
        for stop in command.stops() if not refusal else ():
            if stop <= end:
                chunks.append(self.link.read(stop - command.literal_bytes))
                command.literal_bytes = stop
                refusal = refusal or self.play_quietly("literal-byte", command, stop)
        chunks.append(self.link.read(end - command.literal_bytes))
        command.literal_bytes = end
        command.parts += [b"" if refusal else b"".join(chunks), self.link.line()]
        return refusal

    def play_quietly(self, phase, command, position):
        """An answer given in the middle of a literal waits until all has been read."""
        try:
            self.play(phase, command, position)
        except Answer as answer:
            return answer
        return None

    # -- doing it --

    def execute(self, command):
        handler = getattr(self, "cmd_" + command.name.lower(), None)
        need = NEEDS.get(command.name)
        if not handler or (need and not self.has(need)) or (command.uid and command.name not in WITH_UID):
            raise Answer("BAD", "Unknown command")
        self.check_state(command.name)
        self.check_throttle(command.name)
        try:
            if command.name in TALKS:
                command.reply.text = handler(command)
            else:
                with self.world.lock:
                    command.reply.text = handler(command)
                    self.report_changes(command.uid or command.name not in ("FETCH", "STORE", "SEARCH"))
        except (ValueError, IndexError) as error:
            raise Answer("BAD", "Syntax error: %s" % error)
        except (TypeError, AttributeError, KeyError):
            traceback.print_exc()
            raise Answer("BAD", "[SERVERBUG] the fake server is broken, see its standard error")

    def check_state(self, name):
        if name in ANY_STATE:
            return
        if name in BEFORE_LOGIN:
            if self.account:
                raise Answer("BAD", "Already logged in")
        elif not self.account:
            raise Answer("BAD", "Please login first")
        elif name in WHEN_SELECTED and not self.selected:
            raise Answer("BAD", "No mailbox selected")

    def check_throttle(self, name):
        throttle = self.server.throttle
        if throttle and throttle[1] > 0 and name != "LOGOUT":
            throttle[1] -= 1
            status, _, text = throttle[0].partition(" ")
            known = status in ("OK", "NO", "BAD")
            raise Answer(status if known else "NO", text if known else throttle[0])

    def capabilities(self):
        caps = self.options.caps.split()
        if not self.account and self.options.caps_before_login:
            caps = self.options.caps_before_login.split()
        if self.options.max_size:
            caps = ["APPENDLIMIT=%d" % self.options.max_size if cap == "APPENDLIMIT" else cap for cap in caps]
        if self.options.tls == "starttls" and not self.secure:
            if not self.options.allow_clear:
                caps = [cap for cap in caps if not cap.startswith("AUTH=")] + ["LOGINDISABLED"]
            caps.append("STARTTLS")
        return caps

    def has(self, name):
        caps = capability_set(self.options.caps)
        if name == "CONDSTORE" and "QRESYNC" in caps:
            return True
        return name in caps or ("IMAP4REV2" in caps and name in REV2_MEANS)

    def knows_guids(self):
        """Dovecot's X-GUID, which it does not advertise."""
        return "Dovecot" in self.options.server_id

    def need(self, name):
        if not self.has(name):
            raise ValueError(name + " is not supported")

    def folder(self, name, code="NONEXISTENT"):
        found = self.account.find(name)
        if not found:
            raise Answer("NO", "[%s] Mailbox doesn't exist: %s" % (code, name))
        return found

    # -- any state --

    def cmd_capability(self, command):
        self.say("CAPABILITY " + " ".join(self.capabilities()))
        return "CAPABILITY completed"

    def cmd_noop(self, command):
        return "NOOP completed"

    def cmd_check(self, command):
        return "CHECK completed"

    def cmd_logout(self, command):
        self.selected = None
        self.say("BYE Logging out")
        command.reply.last = True
        return "LOGOUT completed"

    def cmd_id(self, command):
        values = words(self.options.server_id)
        self.say("ID (%s)" % " ".join('"%s"' % value for value in values) if values else "ID NIL")
        return "ID completed"

    def cmd_starttls(self, command):
        if self.options.tls != "starttls" or self.secure:
            raise Answer("BAD", "STARTTLS not available")
        return "Begin TLS negotiation now"

    # -- login --

    def refuse_clear_text(self):
        clear = self.options.tls == "starttls" and not self.secure
        self.server.clear_logins += clear
        if clear and not self.options.allow_clear:
            raise Answer("NO", "[PRIVACYREQUIRED] Use STARTTLS first")

    def cmd_login(self, command):
        self.refuse_clear_text()
        if "LOGINDISABLED" in self.capabilities():
            raise Answer("NO", "[PRIVACYREQUIRED] LOGIN is disabled")
        user, password = map(text_of, command.args)
        return self.login(user, password)

    def login(self, user, password, authzid=""):
        account = self.world.accounts.get(authzid or user)
        known = self.world.accounts.get(user)
        expected = known.password if known else None
        if authzid and authzid != user or user in self.server.admins():
            expected = self.server.admins().get(user)
        if not account or expected is None or expected.encode() != password.encode("latin-1"):
            raise Answer("NO", "[AUTHENTICATIONFAILED] Authentication failed.")
        limit = self.options.max_connections
        if limit and self.server.logged_in(account.user) >= limit:
            raise Answer("NO", self.options.max_connections_text)
        self.enter(account)
        if "login" in self.options.caps_in.split(","):
            return "[CAPABILITY %s] Logged in" % " ".join(self.capabilities())
        return "Logged in"

    def enter(self, account):
        self.account, self.user = account, account.user

    def cmd_authenticate(self, command):
        self.refuse_clear_text()
        mechanism = text_of(command.args[0]).upper()
        if "AUTH=" + mechanism not in [cap.upper() for cap in self.capabilities()]:
            raise Answer("NO", "[CANNOT] Unsupported authentication mechanism.")
        initial = text_of(command.args[1]) if len(command.args) > 1 else None
        if initial is not None:
            self.need("SASL-IR")
            initial = b"" if initial == "=" else base64.b64decode(initial, validate=True)
        handler = {"PLAIN": self.auth_plain, "LOGIN": self.auth_login, "XOAUTH2": self.auth_bearer,
                   "OAUTHBEARER": self.auth_bearer}[mechanism]
        return handler(initial)

    def ask(self, challenge=b""):
        """One SASL round."""
        self.link.send(b"+ " + base64.b64encode(challenge) + b"\r\n")
        line = self.link.line()
        if line == b"*":
            raise Answer("BAD", "Authentication cancelled")
        return base64.b64decode(line, validate=True)

    def auth_plain(self, initial):
        response = self.ask() if initial is None else initial
        authzid, user, password = response.decode("latin-1").split("\0")
        return self.login(user, password, authzid)

    def auth_login(self, initial):
        user = self.ask(b"Username:") if initial is None else initial
        return self.login(user.decode("latin-1"), self.ask(b"Password:").decode("latin-1"))

    def auth_bearer(self, initial):
        """XOAUTH2 and OAUTHBEARER; the password of the account is the valid token."""
        response = (self.ask() if initial is None else initial).decode("latin-1")
        user = re.search(r"(?:user|a)=([^\x01,]*)", response)
        token = re.search(r"auth=Bearer ([^\x01]*)\x01", response)
        try:
            return self.login(user.group(1) if user else "", token.group(1) if token else "")
        except Answer:
            self.ask(b'{"status":"400","schemes":"Bearer","scope":"https://mail.example.org/"}')
            raise

    # -- folders --

    def quote(self, name):
        """A mailbox name as the options want it: quoted, atom or literal."""
        form = self.options.list_names
        if form == "literal" or re.search(r"[^\x20-\x7e]", name):
            return "{%d}\r\n%s" % (len(name), name)
        if form == "atom" and re.fullmatch(r'[^\s(){%*"\\]+', name):
            return name
        return '"%s"' % re.sub(r'(["\\])', r"\\\1", name)

    def delimiter(self):
        return '"%s"' % self.options.delimiter.replace("\\", "\\\\") if self.options.delimiter else "NIL"

    def cmd_namespace(self, command):
        self.say('NAMESPACE (("%s" %s)) NIL NIL' % (self.options.prefix, self.delimiter()))
        return "NAMESPACE completed"

    def cmd_list(self, command):
        args, selection, returns = command.args, [], {}
        if isinstance(args[0], list):
            self.need("LIST-EXTENDED")
            selection = [text_of(word).upper() for word in args.pop(0)]
        if len(args) > 2:
            returns = self.return_options(args[2:])
        if isinstance(args[1], list):
            self.need("LIST-EXTENDED")
        patterns = args[1] if isinstance(args[1], list) else [args[1]]
        if patterns == [""]:
            self.say('LIST (\\Noselect) %s "%s"' % (self.delimiter(), self.options.prefix))
            return "LIST completed"
        for name in self.listed(text_of(args[0]), map(text_of, patterns), "SUBSCRIBED" in selection):
            self.list_one(name, selection, returns)
        return "LIST completed"

    def return_options(self, args):
        self.need("LIST-EXTENDED")
        if args[0].upper() != "RETURN" or len(args) != 2:
            raise ValueError("RETURN expected")
        returns, last = {}, None
        for word in args[1]:
            if isinstance(word, list):
                returns[last] = word
            else:
                last = word.upper()
                returns[last] = True
        if "STATUS" in returns:
            self.need("LIST-STATUS")
        if "SPECIAL-USE" in returns:
            self.need("SPECIAL-USE")
        return returns

    def listed(self, reference, patterns, subscribed):
        """Names that match, with parents that exist only as part of a name."""
        delimiter, names = self.options.delimiter, set(self.account.folders)
        for name in list(names) if delimiter else ():
            parts = name.split(delimiter)
            names.update(delimiter.join(parts[:count]) for count in range(1, len(parts)))
        if subscribed:
            names = self.account.subscribed
        step = "[^%s]*" % re.escape(delimiter) if delimiter else ".*"
        wanted = [re.escape(reference + pattern).replace(r"\*", ".*").replace("%", step) for pattern in patterns]
        def matches(name):
            ignore_case = re.I if name == "INBOX" else 0
            return any(re.fullmatch(pattern, name, re.S | ignore_case) for pattern in wanted)
        return sorted(filter(matches, names), key=lambda name: (name != "INBOX", name))

    def list_one(self, name, selection, returns):
        folder = self.account.find(name)
        use = folder.use if folder and self.has("SPECIAL-USE") else []
        if "SPECIAL-USE" in selection and not use:
            return
        attributes = list(use)
        if not folder:
            attributes.append("\\NonExistent" if selection else "\\Noselect")
        if name in self.account.subscribed and ("SUBSCRIBED" in returns or "SUBSCRIBED" in selection):
            attributes.append("\\Subscribed")
        if self.options.no_inferiors and folder:
            attributes.append("\\NoInferiors")
        elif self.has("CHILDREN") or "CHILDREN" in returns:
            attributes.append("\\HasChildren" if self.account.children(name) else "\\HasNoChildren")
        self.say("LIST (%s) %s %s" % (" ".join(attributes), self.delimiter(), self.quote(name)))
        if folder and isinstance(returns.get("STATUS"), list):
            self.say_status(folder, returns["STATUS"])

    def cmd_lsub(self, command):
        reference, pattern = map(text_of, command.args)
        for name in self.listed(reference, [pattern], True):
            self.say("LSUB () %s %s" % (self.delimiter(), self.quote(name)))
        return "LSUB completed"

    def cmd_create(self, command):
        name, use = text_of(command.args[0]), []
        if len(command.args) > 1:
            self.need("CREATE-SPECIAL-USE")
            use = list(command.args[1][1])
        if self.options.delimiter and name.endswith(self.options.delimiter):
            name = name[:-1]
        self.check_new_name(name)
        if self.options.superiors and self.options.delimiter:
            parts = name.split(self.options.delimiter)
            for depth in range(1, len(parts)):
                self.account.make(self.options.delimiter.join(parts[:depth]))
        folder = self.account.make(name, use)
        return "[MAILBOXID (F%d)] CREATE completed" % folder.mailboxid if self.has("OBJECTID") else "CREATE completed"

    def check_new_name(self, name):
        options, delimiter = self.options, self.options.delimiter
        if self.account.find(name):
            raise Answer("NO", "[ALREADYEXISTS] Mailbox already exists")
        if not name.startswith(options.prefix) or not name or (delimiter and delimiter * 2 in name):
            raise Answer("NO", "[CANNOT] Invalid mailbox name")
        if options.max_name and len(name) > options.max_name:
            raise Answer("NO", "[CANNOT] Mailbox name too long")
        for rule in options.refuse_name:
            pattern, text = split_refusal(rule, "[CANNOT] Folder name is reserved")
            if re.search(pattern, name):
                raise Answer("NO", text)
        parent = name.rpartition(delimiter)[0] if delimiter else ""
        if options.no_inferiors and parent and self.account.find(parent) and parent + delimiter != options.prefix:
            raise Answer("NO", "[CANNOT] Mailbox doesn't allow inferior mailboxes")

    def cmd_delete(self, command):
        folder = self.folder(text_of(command.args[0]))
        if folder.name == "INBOX":
            raise Answer("NO", "[CANNOT] INBOX cannot be deleted")
        del self.account.folders[folder.name]
        return "DELETE completed"

    def cmd_rename(self, command):
        old, new = map(text_of, command.args)
        if not self.account.find(old) and not self.account.children(old) or old.upper() == "INBOX":
            raise Answer("NO", "[CANNOT] No such mailbox, or INBOX")
        self.check_new_name(new)
        self.account.rename(old, new)
        return "RENAME completed"

    def cmd_subscribe(self, command):
        self.account.subscribed.add(text_of(command.args[0]))
        return "SUBSCRIBE completed"

    def cmd_unsubscribe(self, command):
        self.account.subscribed.discard(text_of(command.args[0]))
        return "UNSUBSCRIBE completed"

    def cmd_status(self, command):
        self.say_status(self.folder(text_of(command.args[0])), command.args[1])
        return "STATUS completed"

    def say_status(self, folder, items):
        values = [value for item in items for value in (item.upper(), self.status_value(folder, item.upper()))]
        self.say("STATUS %s (%s)" % (self.quote(folder.name), " ".join(values)))

    def status_value(self, folder, item):
        messages = folder.messages.values()
        simple = {"MESSAGES": len(messages), "RECENT": 0, "UIDNEXT": folder.uidnext,
                  "UIDVALIDITY": folder.uidvalidity, "UNSEEN": sum("\\Seen" not in m.flags for m in messages)}
        if item in simple:
            return str(simple[item])
        if item == "DELETED" and self.has("IMAP4REV2"):
            return str(sum("\\Deleted" in m.flags for m in messages))
        if item == "HIGHESTMODSEQ" and self.has("CONDSTORE"):
            self.enabled.add("CONDSTORE")
            return str(folder.modseq)
        if item == "SIZE" and self.has("STATUS=SIZE"):
            return str(sum(len(m.body) for m in messages))
        if item == "MAILBOXID" and self.has("OBJECTID"):
            return "(F%d)" % folder.mailboxid
        if item == "X-GUID" and self.knows_guids():
            return "%032x" % folder.mailboxid
        if item == "APPENDLIMIT" and self.has("APPENDLIMIT"):
            return str(self.options.max_size or "NIL")
        raise ValueError("unknown STATUS item " + item)

    def cmd_enable(self, command):
        asked = [text_of(word).upper() for word in command.args]
        granted = [word for word in asked if word in ("CONDSTORE", "QRESYNC", "IMAP4REV2") and self.has(word)]
        self.enabled.update(granted + (["CONDSTORE"] if "QRESYNC" in granted else []))
        self.say(" ".join(["ENABLED"] + granted))
        return "ENABLE completed"

    def cmd_getquotaroot(self, command):
        self.say("QUOTAROOT %s \"\"" % self.quote(text_of(command.args[0])))
        return self.cmd_getquota(command)

    def cmd_getquota(self, command):
        if self.options.quota:
            self.say('QUOTA "" (STORAGE %d %d)' % (self.account.used() // 1024, self.options.quota // 1024))
        return "GETQUOTA completed"

    def cmd_compress(self, command):
        if self.link.deflate:
            raise Answer("NO", "[COMPRESSIONACTIVE] Already active")
        return "DEFLATE active"

    # -- selecting --

    def cmd_select(self, command, read_only=False):
        if self.selected and self.enabled:
            self.say("OK [CLOSED] Previous mailbox is now closed")
        self.selected = None
        folder = self.folder(text_of(command.args[0]))
        parameters = self.select_parameters(command.args[1:])
        self.selected, self.read_only = folder, read_only
        self.view = {uid: message.modseq for uid, message in folder.messages.items()}
        self.uids, self.version = list(self.view), folder.version
        self.describe_selected(folder)
        if "QRESYNC" in parameters:
            self.say_resync(folder, parameters["QRESYNC"])
        return "[READ-ONLY] EXAMINE completed" if read_only else "[READ-WRITE] SELECT completed"

    def cmd_examine(self, command):
        return self.cmd_select(command, True)

    def select_parameters(self, args):
        words_given = list(args[0]) if args else []
        parameters = {}
        while words_given:
            word = words_given.pop(0).upper()
            if word == "CONDSTORE":
                self.need("CONDSTORE")
            elif word == "QRESYNC" and "QRESYNC" in self.enabled:
                parameters["QRESYNC"] = words_given.pop(0)
            else:
                raise ValueError("unknown or not enabled: " + word)
            self.enabled.add("CONDSTORE")
        return parameters

    def describe_selected(self, folder):
        permanent = self.options.permanent_flags.split()
        known = list(SYSTEM_FLAGS.values()) + list(folder.keywords.values())
        known += [flag for flag in permanent if flag != "\\*" and flag.lower() not in [k.lower() for k in known]]
        self.say("FLAGS (%s)" % " ".join(known))
        self.say("OK [PERMANENTFLAGS (%s)] Flags permitted." % ("" if self.read_only else " ".join(permanent)))
        self.say("%d EXISTS" % len(folder.messages))
        self.say("0 RECENT")
        unseen = [n for n, m in enumerate(folder.messages.values(), 1) if "\\Seen" not in m.flags]
        if unseen:
            self.say("OK [UNSEEN %d] First unseen." % unseen[0])
        self.say("OK [UIDVALIDITY %d] UIDs valid" % folder.uidvalidity)
        self.say("OK [UIDNEXT %d] Predicted next UID" % folder.uidnext)
        if self.has("CONDSTORE"):
            self.say("OK [HIGHESTMODSEQ %d] Highest" % folder.modseq)
        if self.has("OBJECTID"):
            self.say("OK [MAILBOXID (F%d)] Ok" % folder.mailboxid)

    def say_resync(self, folder, parameter):
        uidvalidity, modseq = int(parameter[0]), int(parameter[1])
        if uidvalidity != folder.uidvalidity:
            return
        known = parse_set(parameter[2]) if len(parameter) > 2 and isinstance(parameter[2], str) else [(1, None)]
        self.say_vanished(folder, known, modseq)
        for uid in pick(self.uids, known):
            if folder.messages[uid].modseq > modseq:
                self.say_fetch(uid, ["UID", "FLAGS", "MODSEQ"])

    def say_vanished(self, folder, ranges, modseq):
        gone = sorted(uid for uid, when in folder.vanished.items() if when > modseq)
        highest = max(gone, default=0)
        gone = pick(gone, [(low, highest if high is None else high) for low, high in ranges])
        if gone:
            self.say("VANISHED (EARLIER) " + format_set(gone))

    def cmd_close(self, command):
        if not self.read_only:
            for uid in self.deleted(None):
                self.selected.expunge(uid)
        return self.leave("CLOSE completed")

    def cmd_unselect(self, command):
        return self.leave("UNSELECT completed")

    def leave(self, text):
        self.selected, self.view, self.uids = None, {}, []
        return text

    def report_changes(self, expunges_too=True):
        """Tells what happened in the selected folder since the last look."""
        folder = self.selected
        if not folder or folder.version == self.version:
            return
        if expunges_too:
            self.report_expunges([uid for uid in self.uids if uid not in folder.messages])
        new = [uid for uid in folder.messages if uid not in self.view]
        if new:
            self.uids = sorted(self.uids + new)
            self.say("%d EXISTS" % len(self.uids))
        for uid, message in folder.messages.items():
            told = self.view.get(uid)
            self.view[uid] = message.modseq
            if told is not None and told != message.modseq:
                self.say_fetch(uid, ["UID", "FLAGS"] + (["MODSEQ"] if "CONDSTORE" in self.enabled else []))
        self.version = folder.version if expunges_too else -1

    def report_expunges(self, gone):
        if gone and "QRESYNC" in self.enabled:
            self.say("VANISHED " + format_set(gone))
        for uid in gone:
            number = bisect.bisect_left(self.uids, uid)
            if "QRESYNC" not in self.enabled:
                self.say("%d EXPUNGE" % (number + 1))
            del self.uids[number], self.view[uid]

    # -- messages --

    def chosen(self, command, text):
        """UIDs of a set, of UIDs or of message numbers."""
        if command.uid:
            return pick(self.uids, parse_set(text_of(text)))
        numbers = pick(list(range(1, len(self.uids) + 1)), parse_set(text_of(text)))
        return [self.uids[number - 1] for number in numbers]

    def cmd_fetch(self, command):
        args = command.args
        items = args[1] if isinstance(args[1], list) else FETCH_MACROS.get(args[1].upper(), [args[1]])
        items = [item.upper() if "[" not in item else item for item in items]
        if command.uid and "UID" not in items:
            items = ["UID"] + items
        since, vanished = self.fetch_modifiers(args[2:], command.uid)
        if "MODSEQ" in items or since is not None:
            self.need("CONDSTORE")
            self.enabled.add("CONDSTORE")
            items = items if "MODSEQ" in items else items + ["MODSEQ"]
        if vanished:
            last = max(self.selected.messages, default=0)       # what "*" means, strictly
            self.say_vanished(self.selected, [tuple(last if end is None else end for end in ends)
                                              for ends in parse_set(text_of(args[0]))], since)
        for uid in self.chosen(command, args[0]):
            message = self.selected.messages.get(uid)
            if message and (since is None or message.modseq > since):
                self.say_fetch(uid, items)
        return "FETCH completed"

    def fetch_modifiers(self, args, by_uid):
        if not args:
            return None, False
        given = [text_of(word).upper() for word in args[0]]
        if given[0] != "CHANGEDSINCE" or ("VANISHED" in given and not ("QRESYNC" in self.enabled and by_uid)):
            raise ValueError("FETCH modifier")
        return int(given[1]), "VANISHED" in given

    def say_fetch(self, uid, items):
        message = self.selected.messages[uid]
        sets_seen = any(re.match(r"(?i)BODY\[|RFC822$|RFC822\.TEXT", item) for item in items)
        if sets_seen and not self.read_only and "\\Seen" not in message.flags:
            self.selected.change_flags(uid, "+\\Seen")
            self.view[uid] = message.modseq
            items = items if "FLAGS" in items else items + ["FLAGS"]
        number = bisect.bisect_left(self.uids, uid) + 1
        self.reply.units.append(FetchLine(number, uid, [self.fetch_item(message, item) for item in items]))

    def fetch_item(self, message, item):
        simple = {"UID": lambda: b"%d" % message.uid,
                  "FLAGS": lambda: b"(%s)" % " ".join(sorted(message.flags)).encode("latin-1"),
                  "INTERNALDATE": lambda: b'"%s"' % message.date.encode("latin-1"),
                  "RFC822.SIZE": lambda: b"%d" % len(message.body),
                  "MODSEQ": lambda: b"(%d)" % message.modseq,
                  "RFC822": lambda: Body(message.body),
                  "RFC822.HEADER": lambda: Body(split_message(message.body)[0]),
                  "RFC822.TEXT": lambda: Body(split_message(message.body)[1])}
        if self.has("OBJECTID"):
            simple["EMAILID"] = lambda: b"(M%d)" % message.emailid
        if self.has("X-GM-EXT-1"):
            simple["X-GM-MSGID"] = lambda: b"%d" % message.emailid
        if self.knows_guids():
            simple["X-GUID"] = lambda: b"%032x" % message.emailid
        if item in simple:
            return item.encode(), simple[item]()
        return self.fetch_section(message, item)

    def fetch_section(self, message, item):
        found = re.fullmatch(r"(?i)BODY(?:\.PEEK)?\[([^\]]*)\](?:<(\d+)\.(\d+)>)?", item)
        if not found:
            raise ValueError("unsupported FETCH item " + item)
        section, start, count = found.groups()
        body = self.section(message.body, section)
        name = "BODY[%s]" % section.upper()
        if start is not None:
            name, body = "%s<%s>" % (name, start), body[int(start):int(start) + int(count)]
        return name.encode("latin-1"), Body(body)

    def section(self, body, section):
        if section == "":
            return body
        if section.upper() in ("HEADER", "TEXT"):
            return split_message(body)[section.upper() == "TEXT"]
        found = re.fullmatch(r"(?i)HEADER\.FIELDS(\.NOT)? \((.*)\)", section)
        if not found:
            raise ValueError("unsupported section " + section)
        return header_fields(body, words(found.group(2)), bool(found.group(1)))

    def cmd_store(self, command):
        args = command.args
        unchanged = None
        if isinstance(args[1], list):
            self.need("CONDSTORE")
            self.enabled.add("CONDSTORE")
            unchanged = int(args.pop(1)[1])
        self.refuse_read_only()
        action_word, given = text_of(args[1]).upper(), args[2] if isinstance(args[2], list) else args[2:]
        if not re.fullmatch(r"[+-]?FLAGS(\.SILENT)?", action_word):
            raise ValueError("STORE " + action_word)
        flags = self.allowed_flags(self.selected, [text_of(flag) for flag in given])
        modified = []
        for uid in self.chosen(command, args[0]):
            if uid in self.selected.messages and not self.store_flags(uid, action_word, flags, unchanged):
                modified.append(uid)
        code = "[MODIFIED %s] " % format_set(modified) if modified else ""
        return code + "STORE completed"

    def store_flags(self, uid, action_word, flags, unchanged):
        """False if the message has changed since."""
        folder, message = self.selected, self.selected.messages[uid]
        if unchanged is not None and message.modseq > unchanged:
            return False
        old = message.flags
        new = {"+": old | flags, "-": old - flags}.get(action_word[0], flags)
        folder.set_flags(uid, new)
        self.view[uid] = message.modseq
        tell = [] if action_word.endswith(".SILENT") else ["FLAGS"]
        tell += ["MODSEQ"] if "CONDSTORE" in self.enabled else []
        if tell:
            self.say_fetch(uid, ["UID"] + tell)
        return True

    def refuse_read_only(self):
        if self.read_only:
            raise Answer("NO", "[READ-ONLY] Mailbox is read-only")

    def allowed_flags(self, folder, flags):
        """The flags that will be kept.  Unknown system flags are BAD, unwanted keywords go as the options say."""
        options, kept = self.options, set()
        permanent = [flag.lower() for flag in options.permanent_flags.split()]
        for flag in flags:
            if flag.startswith("\\") and flag.lower() not in SYSTEM_FLAGS:
                raise Answer("BAD", "Invalid system flag " + flag)
            for rule in options.refuse_keyword if not flag.startswith("\\") else ():
                pattern, text = split_refusal(rule, "[CANNOT] Invalid flag list")
                if re.search(pattern, flag):
                    raise Answer("NO", text)
            is_new = not flag.startswith("\\") and flag.lower() not in folder.keywords
            if flag.lower() in permanent or "\\*" in permanent or (not flag.startswith("\\") and not is_new):
                kept.add(flag)
        new = {flag.lower() for flag in kept if flag[0] != "\\"} - set(folder.keywords)
        if options.max_keywords and new and len(folder.keywords) + len(new) > options.max_keywords:
            raise Answer("NO", "[LIMIT] Too many user flags in mailbox")
        return folder.named(kept)

    def cmd_copy(self, command):
        pairs, target = self.copy(command)
        return self.copyuid(pairs, target) + "COPY completed"

    def cmd_move(self, command):
        self.refuse_read_only()
        pairs, target = self.copy(command)
        if pairs and self.has("UIDPLUS"):
            self.say("OK " + self.copyuid(pairs, target).strip())
        for uid, _ in pairs:
            self.selected.expunge(uid)
        return "MOVE completed"

    def copy(self, command):
        target, pairs = self.folder(text_of(command.args[1]), "TRYCREATE"), []
        for uid in self.chosen(command, command.args[0]):
            message = self.selected.messages.get(uid)
            if message:
                twin = target.add(message.body, message.flags, message.date, message.emailid)
                pairs.append((uid, twin.uid))
        return pairs, target

    def copyuid(self, pairs, target):
        if not pairs or not self.has("UIDPLUS"):
            return ""
        old, new = zip(*pairs)
        return "[COPYUID %d %s %s] " % (target.uidvalidity, format_set(old), format_set(new))

    def deleted(self, uids):
        return [uid for uid, message in self.selected.messages.items()
                if "\\Deleted" in message.flags and uid in self.view and (uids is None or uid in uids)]

    def cmd_expunge(self, command):
        self.refuse_read_only()
        uids = None
        if command.uid:
            self.need("UIDPLUS")
            uids = set(self.chosen(command, command.args[0]))
        for uid in self.deleted(uids):
            self.selected.expunge(uid)
        return "EXPUNGE completed"

    # -- SEARCH --

    def cmd_search(self, command):
        args, returns = command.args, None
        if args and isinstance(args[0], str) and args[0].upper() == "RETURN":
            self.need("ESEARCH")
            returns, args = [text_of(word).upper() for word in args[1]] or ["ALL"], args[2:]
        if args and isinstance(args[0], str) and args[0].upper() == "CHARSET":
            args = args[2:]
        tests = []
        while args:
            tests.append(self.search_key(args, command.uid))
        hits = [m for m in map(self.selected.messages.get, self.uids) if m and all(test(m) for test in tests)]
        numbers = [m.uid if command.uid else bisect.bisect_left(self.uids, m.uid) + 1 for m in hits]
        if returns is None:
            self.say(" ".join(["SEARCH"] + [str(number) for number in numbers]))
        else:
            self.say_esearch(command, returns, numbers)
        return "SEARCH completed"

    def say_esearch(self, command, returns, numbers):
        line = 'ESEARCH (TAG "%s")%s' % (command.tag, " UID" if command.uid else "")
        for word, value in (("MIN", numbers[:1]), ("MAX", numbers[-1:]), ("ALL", numbers)):
            if word in returns and value:
                line += " %s %s" % (word, format_set(value))
        self.say(line + (" COUNT %d" % len(numbers) if "COUNT" in returns else ""))

    def search_key(self, args, by_uid):
        """Takes one key off args and makes a test of it."""
        word = args.pop(0)
        if isinstance(word, list):
            tests = []
            while word:
                tests.append(self.search_key(word, by_uid))
            return lambda m: all(test(m) for test in tests)
        key = text_of(word).upper()
        if key == "NOT":
            inner = self.search_key(args, by_uid)
            return lambda m: not inner(m)
        if key == "OR":
            left, right = self.search_key(args, by_uid), self.search_key(args, by_uid)
            return lambda m: left(m) or right(m)
        return self.simple_key(key, args)

    def simple_key(self, key, args):
        if key == "ALL":
            return lambda m: True
        negative, flag = key.startswith("UN"), "\\" + key.removeprefix("UN").title()
        if flag.lower() in SYSTEM_FLAGS:
            return lambda m: (flag in m.flags) != negative
        if key in ("KEYWORD", "UNKEYWORD"):
            wanted = text_of(args.pop(0)).lower()
            return lambda m: (wanted in [f.lower() for f in m.flags]) != negative
        if key in ("LARGER", "SMALLER"):
            size = int(args.pop(0))
            return lambda m: len(m.body) > size if key == "LARGER" else len(m.body) < size
        if key == "MODSEQ":
            self.need("CONDSTORE")
            modseq = int(args.pop(0))
            return lambda m: m.modseq >= modseq
        if key == "HEADER":
            name, value = text_of(args.pop(0)), text_of(args.pop(0)).lower().encode("latin-1")
            return lambda m: value in header_fields(m.body, [name]).lower() != b"\r\n"
        if key == "UID":
            uids = set(pick(self.uids, parse_set(text_of(args.pop(0)))))
            return lambda m: m.uid in uids
        numbers = set(pick(list(range(1, len(self.uids) + 1)), parse_set(key)))
        return lambda m: bisect.bisect_left(self.uids, m.uid) + 1 in numbers

    # -- APPEND --

    def cmd_append(self, command):
        folder, messages = self.appended_messages(command)
        added = self.store(folder, messages)
        if not self.has("UIDPLUS"):
            return "APPEND completed"
        return "[APPENDUID %d %s] APPEND completed" % (folder.uidvalidity, format_set([m.uid for m in added]))

    def appended_messages(self, command):
        """(folder, [(body, flags, date)]): everything is checked, nothing is stored."""
        args = command.args
        folder, messages = self.folder(text_of(args.pop(0)), "TRYCREATE"), []
        if not args:
            raise ValueError("APPEND without a message")
        while args:
            flags = args.pop(0) if isinstance(args[0], list) else []
            date = self.append_date(args.pop(0)) if isinstance(args[0], Quoted) else None
            body = args.pop(0)
            if not isinstance(body, bytes):
                raise ValueError("literal expected")
            try:
                messages.append((self.accepted(body), self.allowed_flags(folder, map(text_of, flags)), date))
            except Answer:
                if self.options.multiappend_not_atomic:
                    self.store(folder, messages)
                raise
        self.check_quota(messages)
        return folder, messages

    def append_date(self, text):
        if parse_date(text)[0] is None:
            raise ValueError("invalid date")
        return None if "ignore-date" in self.options.alter else str(text)

    def accepted(self, body):
        """The bytes that will be stored."""
        if not body:
            raise Answer("NO", "Message append cancelled: zero-length literal")
        for rule in self.options.refuse:
            what, text = split_refusal(rule, None)
            if REFUSALS[what][0](body) if what in REFUSALS else re.search(what.removeprefix("re:").encode(), body):
                text = text or REFUSALS.get(what, (0, "[CANNOT] Message refused"))[1]
                raise Answer("BAD" if text.startswith("BAD ") else "NO", text.removeprefix("BAD "))
        for name in self.options.alter:
            body = ALTERATIONS[name](body)
        return body

    def check_quota(self, messages):
        if self.options.quota and self.account.used() + sum(len(m[0]) for m in messages) > self.options.quota:
            raise Answer("NO", "[OVERQUOTA] Quota exceeded")

    def store(self, folder, messages):
        with self.world.lock:
            self.server.appended += len(messages)
            return [folder.add(body, flags, date and re.sub("^ ", "0", date)) for body, flags, date in messages]

    def cmd_idle(self, command):
        self.link.send(b"+ idling\r\n")
        while not self.link.ready(0.05):
            self.link.pump()
            with self.world.lock:
                self.report_changes()
            told, self.reply.units = self.reply.units, []
            for chunk in (chunk for unit in told for chunk in unit.chunks([])):
                self.link.send(chunk)
        if self.link.line().upper() != b"DONE":
            raise Answer("BAD", "Expected DONE")
        return "IDLE completed"


def split_refusal(rule, default):
    """PATTERN => TEXT"""
    pattern, arrow, text = rule.partition(" => ")
    return pattern, text if arrow else default


def has_bare_newline(body):
    return re.search(rb"(?<!\r)\n", body)


def has_8bit_header(body):
    return re.search(rb"[\x80-\xff]", split_message(body)[0])


def mask_8bit_header(body):
    header, text = split_message(body)
    return re.sub(rb"[\x80-\xff]", b"X", header) + text


REFUSALS = {
    "nul": (lambda body: b"\0" in body, "Message contains NUL characters"),
    "bare-lf": (has_bare_newline, "Message contains bare newlines"),
    "8bit-header": (has_8bit_header, "Message contains non-ASCII characters in headers"),
    "no-blank-line": (lambda body: not re.search(rb"\r?\n\r?\n", body), "Message has no header/body separator"),
    "no-final-crlf": (lambda body: not body.endswith(b"\r\n"), "Message does not end in a newline"),
    "long-line": (lambda body: max(map(len, body.split(b"\n"))) > 10000, "Command Argument Error. 11"),
}
ALTERATIONS = {
    "munge-8bit": mask_8bit_header,
    "bare-lf-to-crlf": lambda body: re.sub(rb"(?<!\r)\n", b"\r\n", body),
    "add-received": lambda body: b"Received: from fake by fake; Mon, 02 Jan 2023 10:00:00 +0000\r\n" + body,
    "ignore-date": lambda body: body,
}


# --- the server ------------------------------------------------------------------------------------------------


def build_parser():
    parser = argparse.ArgumentParser(prog="fakeimap.py", description="An IMAP server for tests.",
                                     epilog="The manual is at the head of the file.")
    add = parser.add_argument
    add("--port", type=int, default=0)
    add("--tls", choices=["none", "starttls", "implicit"], default="none")
    add("--cert", help="without --cert and --key a throw-away pair is made")
    add("--key")
    add("--user", action="append", default=[], metavar="NAME:PASSWORD", help="default: anna:pw")
    add("--admin", action="append", default=[], metavar="NAME:PASSWORD", help="may act for any user (SASL authzid)")
    add("--caps", default=DEFAULT_CAPS, help="what is not listed does not exist")
    add("--caps-before-login", default="", help="announce these until login")
    add("--caps-in", default="", help="greeting,login: say the capabilities there unasked")
    add("--allow-clear", action="store_true", help="with --tls starttls: login without TLS works")
    add("--greeting", default="fakeimap ready")
    add("--server-id", default="name fakeimap", help="words of the ID reply")
    add("--delimiter", default="/", help="empty: flat")
    add("--prefix", default="", help="personal namespace, such as INBOX.")
    add("--list-names", choices=["quoted", "atom", "literal"], default="quoted")
    add("--case-insensitive", action="store_true", help="folder names")
    add("--no-inferiors", action="store_true", help="a mailbox with messages cannot have children")
    add("--superiors", action="store_true", help="CREATE makes what is above as well (RFC 3501 6.3.3)")
    add("--max-name", type=int, default=0)
    add("--refuse-name", action="append", default=[], metavar="REGEX[ => TEXT]")
    add("--permanent-flags", default=r"\Answered \Flagged \Deleted \Seen \Draft \*")
    add("--refuse-keyword", action="append", default=[], metavar="REGEX[ => TEXT]")
    add("--max-keywords", type=int, default=0, help="per folder")
    add("--max-size", type=int, default=0, help="of a message; put APPENDLIMIT into --caps to tell it")
    add("--max-line", type=int, default=0, help="of a command")
    add("--max-bad", type=int, default=0, help="BAD answers before BYE")
    add("--max-connections", type=int, default=0, help="per user")
    add("--max-connections-text", default="[UNAVAILABLE] Maximum number of connections from user+IP exceeded")
    add("--quota", type=int, default=0, help="bytes per user")
    add("--refuse", action="append", default=[], metavar="WHAT[ => TEXT]",
        help="messages: %s, re:REGEX; TEXT may begin with BAD" % " ".join(REFUSALS))
    add("--alter", action="append", default=[], choices=list(ALTERATIONS), help="store something else")
    add("--multiappend-not-atomic", action="store_true", help="what came before a refused message stays")
    add("--delay-ms", type=float, default=0, help="latency of replies; a pipelined train waits once")
    add("--folder", action="append", default=[], metavar="NAME[:\\Use]", help="create it for every user")
    add("--fill", action="append", default=[], metavar="FOLDER=N[:SIZE]", help="sample messages for every user")
    add("--script", action="append", default=[], metavar="FILE")
    add("--transcript", metavar="FILE")
    add("--side", choices=("source", "destination"), help="play this side of a record; user:secret logs in")
    add("--timeout", type=float, default=10, help="transcript: the longest silence of a client")
    add("--control", action="store_true", help="open a second port for control commands")
    add("--no-stdin", action="store_true", help="do not end with standard input")
    return parser


def parse_options(argv=(), **given):
    """Options as from a command line; keywords are the same names with underscores."""
    options = build_parser().parse_args(list(argv))
    for name, value in given.items():
        if not hasattr(options, name):
            raise TypeError("unknown option " + name)
        setattr(options, name, value)
    options.user = options.user or ["anna:pw"]
    return options


class FakeImap:
    """The server.  FakeImap(caps=..., script=TEXT, users={"anna": "pw"}, **options as in --help)."""

    def __init__(self, script="", users=None, options=None, **given):
        if isinstance(given.get("caps"), (list, tuple, set)):
            given["caps"] = " ".join(given["caps"])
        if users:
            given["user"] = ["%s:%s" % pair for pair in users.items()]
        self.options = options or parse_options(**given)
        self.saved = self.tls = self.listener = self.directory = None
        self.rules, self.throttle = [], None
        self.sessions, self.sessions_seen, self.down_until = set(), 0, 0
        self.clear_logins, self.appended, self.samples, self.entries = 0, 0, 0, []
        self.world = World(self.options)
        self.changed = threading.Condition(self.world.lock)
        self.script(script)
        self.populate()

    def populate(self):
        for user in self.world.accounts:
            for text in self.options.folder:
                name, _, use = text.partition(":\\")
                self.create(name, ["\\" + use] if use else [], user)
            for text in self.options.fill:
                name, _, amount = text.rpartition("=")
                count, _, size = amount.partition(":")
                self.fill(name, int(count), int(size or 0), user)

    # -- running --

    def start(self):
        if self.options.tls != "none":
            self.prepare_tls()
        self.listener = socket.create_server(("127.0.0.1", self.options.port), backlog=128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self

    def prepare_tls(self):
        if not self.options.cert:
            self.directory = tempfile.TemporaryDirectory(prefix="fakeimap-")
            self.options.cert, self.options.key = make_certificate(self.directory.name)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.options.cert, self.options.key)

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if time.monotonic() < self.down_until:
                sock.close()
                continue
            with self.world.lock:
                self.sessions_seen += 1
                session = Session(self, sock, self.sessions_seen)
                self.sessions.add(session)
            threading.Thread(target=session.run, daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.kick()
        if self.directory:
            self.directory.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def forget(self, session):
        with self.world.lock:
            self.sessions.discard(session)

    def kick(self):
        with self.world.lock:
            for session in list(self.sessions):
                session.link.abort()

    def down(self, seconds):
        self.down_until = time.monotonic() + float(seconds)
        self.kick()

    def later(self, seconds, function):
        timer = threading.Timer(seconds, function)
        timer.daemon = True
        timer.start()

    def admins(self):
        return dict(text.split(":", 1) for text in self.options.admin)

    def logged_in(self, user):
        with self.world.lock:
            return sum(session.user == user for session in self.sessions)

    # -- what was seen --

    def note(self, session, command):
        """Writes the command into the log, without secrets."""
        line = command.parts[0].decode("latin-1")
        if command.name in ("LOGIN", "AUTHENTICATE"):
            line = line.split(" ")[0] if command.name == "AUTHENTICATE" else "..."
        command.entry.update(connection=session.number, user=session.user, name=command.full_name(),
                             folder=command.folder, line=line, reply=None)
        with self.changed:
            self.entries.append(command.entry)
            self.changed.notify_all()

    @property
    def log(self):
        with self.world.lock:
            return [dict(entry) for entry in self.entries]

    def count(self, name=None):
        """How many commands of this name (FETCH counts UID FETCH too) came."""
        return sum(name is None or entry["name"].removeprefix("UID ") == name.removeprefix("UID ")
                   for entry in self.log)

    def commands(self):
        counts, connections = {}, [[] for _ in range(self.sessions_seen)]
        for entry in self.log:
            counts[entry["name"]] = counts.get(entry["name"], 0) + 1
            connections[entry["connection"] - 1].append(entry["name"])
        return {"count": counts, "connections": connections, "appended": self.appended,
                "clear_logins": self.clear_logins, "open": len(self.sessions)}

    def wait(self, name, n=1, timeout=10):
        with self.changed:
            return self.changed.wait_for(lambda: self.count(name) >= int(n), float(timeout))

    def state(self, user=None):
        with self.world.lock:
            account = self.world.account(user)
            folders = {name: folder.describe(account) for name, folder in account.folders.items()}
            return {"user": account.user, "folders": folders, "subscribed": sorted(account.subscribed),
                    "unfired": self.unfired()}

    def unfired(self):
        """Rules that have not come true: a test that meant them tested nothing."""
        return [rule.text for rule in self.rules if not rule.fired]

    # -- changing the world --

    def existing(self, folder, user=None):
        found = self.world.account(user).find(folder)
        if not found:
            raise KeyError("no folder " + folder)
        return found

    def messages(self, folder="INBOX", user=None):
        with self.world.lock:
            return [message.describe() for message in self.existing(folder, user).messages.values()]

    def body(self, folder, uid, user=None):
        with self.world.lock:
            return self.existing(folder, user).messages[int(uid)].body

    def create(self, folder, use=(), user=None):
        with self.world.lock:
            self.world.account(user).make(folder, use)

    def remove(self, folder, user=None):
        with self.world.lock:
            del self.world.account(user).folders[folder]

    def add(self, folder, body, flags=(), date=None, user=None):
        body = body.encode() if isinstance(body, str) else body
        date = format_date(date) if isinstance(date, (int, float)) else date
        with self.world.lock:
            return self.world.account(user).make(folder).add(body, flags, date).uid

    def deliver(self, folder="INBOX", count=1, user=None):
        with self.world.lock:
            self.deliver_into(self.world.account(user).make(folder), int(count))

    def deliver_into(self, folder, count, kind="foreign", size=0):
        for _ in range(count):
            self.samples += 1
            folder.add(sample_message(self.samples, kind, size))

    def fill(self, folder, count, size=0, user=None):
        with self.world.lock:
            self.deliver_into(self.world.account(user).make(folder), int(count), "sample", int(size))

    def flag(self, folder, uids, change, user=None):
        with self.world.lock:
            found = self.existing(folder, user)
            for uid in pick(list(found.messages), parse_set(str(uids))):
                found.change_flags(uid, change)

    def expunge(self, folder, uids, user=None):
        with self.world.lock:
            found = self.existing(folder, user)
            for uid in pick(list(found.messages), parse_set(str(uids))):
                found.expunge(uid)

    def uidvalidity(self, folder, value=None, user=None):
        with self.world.lock:
            self.existing(folder, user).renumber(value)

    def script(self, text):
        rules, option_words = parse_script(text)
        if option_words:
            self.set_options(option_words)
        with self.world.lock:
            self.rules = self.rules + rules

    def set_options(self, option_words):
        """Changes only the options that are named.  Users are added."""
        try:
            parsed, plain = build_parser().parse_args(option_words), build_parser().parse_args([])
        except SystemExit:
            raise ValueError("bad options: " + shlex.join(option_words)) from None
        with self.world.lock:
            for name, value in vars(parsed).items():
                if value != getattr(plain, name):
                    setattr(self.options, name, value)
            for text in parsed.user:
                user, _, password = text.partition(":")
                self.world.accounts.setdefault(user, Account(self.world, user, password)).password = password

    def snapshot(self):
        with self.world.lock:
            self.saved = self.world.snapshot()

    def restore(self):
        with self.world.lock:
            if self.saved is None:
                raise ValueError("no snapshot was taken")
            self.world.restore(self.saved)
        self.kick()

    def reset(self):
        with self.world.lock:
            self.rules, self.throttle, self.entries, self.appended, self.clear_logins = [], None, [], 0, 0
            for user, account in list(self.world.accounts.items()):
                self.world.accounts[user] = Account(self.world, user, account.password)
        self.kick()


# --- control ---------------------------------------------------------------------------------------------------

CONTROLS = ("state messages body add deliver fill flag expunge create remove uidvalidity script commands log count "
            "wait snapshot restore kick down reset unfired").split()


def control(server, line):
    """One control command, a line of JSON, to its answer."""
    try:
        request = json.loads(line)
        verb = request.pop("do")
        if verb == "options":
            given = request["words"]
            return {"ok": server.set_options(shlex.split(given) if isinstance(given, str) else given)}
        if verb not in CONTROLS:
            raise ValueError("unknown command " + verb)
        if isinstance(request.get("body"), dict):
            request["body"] = base64.b64decode(request["body"]["base64"])
        result = getattr(server, verb)
        result = result(**request) if callable(result) else result
        return {"ok": {"base64": base64.b64encode(result).decode()} if isinstance(result, bytes) else result}
    except Exception as error:      # whatever a test sends, it gets an answer
        return {"error": "%s: %s" % (type(error).__name__, error)}


def serve_control(server, stream_in, write):
    for line in stream_in:
        if line.strip():
            write((json.dumps(control(server, line)) + "\n").encode())


def open_control(server):
    """A second port for control commands; returns its number."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            sock = listener.accept()[0]
            threading.Thread(target=serve_control, args=(server, sock.makefile("rb"), sock.sendall),
                             daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


# --- transcripts -----------------------------------------------------------------------------------------------


class Mismatch(Exception):
    """The client did not say what the transcript expects."""


class Transcript:
    """Speaks one exact dialogue.  start(), then wait() gives None or what went wrong."""

    def __init__(self, text, port=0, tls=None, implicit=False, timeout=10):
        self.steps = self.parse(text)
        self.tls, self.implicit, self.timeout = tls, implicit, timeout
        self.tag, self.link, self.problem, self.step = "*", None, None, 0
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(timeout)
        self.thread = threading.Thread(target=self.run, daemon=True)

    @property
    def port(self):
        return self.listener.getsockname()[1]

    @staticmethod
    def parse(text):
        steps = []
        for number, line in enumerate(text.splitlines(), 1):
            found = re.fullmatch(r"(S|S\+|C|C\+):(?: (.*))?|(starttls|close|delay)\s*(\S*)\s*", line)
            if found:
                steps.append((number, found.group(1) or found.group(3), found.group(2) or found.group(4) or ""))
            elif line.strip() and not line.startswith("#"):
                raise ValueError("line %d is no transcript: %s" % (number, line))
        return steps

    def start(self):
        self.thread.start()
        return self

    def wait(self):
        self.thread.join()
        return self.problem

    def run(self):
        number = 0
        try:
            for number, verb, text in self.steps:
                if not self.link and verb != "close":
                    self.connect()
                self.play(verb, text)
        except Mismatch as mismatch:
            self.problem = {"line": number, "problem": str(mismatch)}
        except (Gone, OSError, Cut) as error:
            self.problem = {"line": number, "problem": "connection ended: %s" % (error or type(error).__name__)}
        finally:
            if self.link:
                self.link.close("drop")
            self.listener.close()

    def connect(self):
        sock = self.listener.accept()[0]
        sock.settimeout(self.timeout)
        self.link = Link(sock)
        if self.implicit:
            self.link.start_tls(self.tls)

    def play(self, verb, text):
        if verb == "S":
            self.link.send(text.replace("{tag}", self.tag).encode("utf-8", "surrogateescape") + b"\r\n")
        elif verb == "S+":
            self.link.send(unescape(text))
        elif verb == "C":
            self.expect(text)
        elif verb == "C+":
            self.link.read(int(text))
        elif verb == "delay":
            time.sleep(float(text))
        elif verb == "starttls":
            self.link.start_tls(self.tls)
        elif self.link:
            self.link.close("drop")
            self.link = None

    def expect(self, text):
        line = self.link.line().decode("utf-8", "surrogateescape")
        pattern = re.escape(text).replace(r"\*", ".*").replace(r"\{tag\}", r"(?P<tag>\S+)")
        found = re.fullmatch(pattern, line)
        if not found:
            raise Mismatch("expected %r, got %r" % (text, line))
        if text == "*":
            self.tag = line.split(" ")[0]
        self.tag = found.groupdict().get("tag") or self.tag


# --- the program -----------------------------------------------------------------------------------------------


def announce(**facts):
    print(json.dumps(dict(facts, pid=os.getpid())), flush=True)


def run_side(options, tls):
    """One side of a record; it ends with standard input or SIGTERM."""
    import player  # pylint: disable=import-outside-toplevel
    playing = player.Player(player.Record(options.transcript), options.side, options.port, tls, options.timeout).start()
    announce(port=playing.port, ca=options.cert)
    if options.no_stdin or stdin_is_null():
        threading.Event().wait()
    sys.stdin.read()
    problem = playing.stop()
    if problem:
        print(json.dumps(problem), flush=True)
    return 1 if problem else 0


def run_transcript(options):
    holder = FakeImap(options=options)
    if options.tls != "none":
        holder.prepare_tls()
    if options.side:
        return run_side(options, holder.tls)
    with open(options.transcript, encoding="utf-8") as file:
        transcript = Transcript(file.read(), options.port, holder.tls, options.tls == "implicit", options.timeout)
    announce(port=transcript.port, ca=options.cert)
    problem = transcript.start().wait()
    if problem:
        print(json.dumps(problem), flush=True)
    return 1 if problem else 0


def stdin_is_null():
    try:
        return os.fstat(0).st_rdev == os.stat("/dev/null").st_rdev
    except OSError:
        return True


def run_server(options):
    script = ""
    for name in options.script:
        with open(name, encoding="utf-8") as file:
            script += file.read() + "\n"
    server = FakeImap(script, options=options).start()
    announce(port=server.port, ca=options.cert, control=open_control(server) if options.control else None)
    if options.no_stdin or stdin_is_null():
        threading.Event().wait()
    serve_control(server, sys.stdin, lambda data: (sys.stdout.buffer.write(data), sys.stdout.flush()))
    server.stop()
    return 0


def main():
    def stop(*_):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    options = parse_options(sys.argv[1:])
    try:
        return run_transcript(options) if options.transcript else run_server(options)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
