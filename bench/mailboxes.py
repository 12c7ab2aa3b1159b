#!/usr/bin/env python3
"""Mailboxes to measure with: the same bytes each time, written as Maildirs (Dovecot's LAYOUT=fs).

    mailboxes.py NAME DIRECTORY

    S        2,000 messages, 141 MB, 12 folders; sizes log-normal, a few messages of up to 20 MB
    M        20,000 messages, 160 MB, 20 folders; small ones
    XS       120 messages, 1 MB, 5 folders: for trying out
    one60    a message of 60 MB (any number) among forty small ones
    tiny1000 a folder of 1,000 (any number) messages of 300 bytes

In S, M and XS on purpose: nested and international folder names, all flags, keywords, dates over ten
years and of 1970, messages twice in a folder, one Message-ID on two messages, none at all, no date,
raw 8-bit headers, empty bodies, long lines, lines of dots, no line end at the end.

`change()` is what people do between two passes.
"""

import base64
import collections
import contextlib
import fcntl
import math
import os
import random
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from email.utils import formatdate

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "kit"))
# pylint: disable=wrong-import-position
import mailbox
from imap import append, encode_utf7, folders, ok, quoted
from servers import MAIL

VERSION = 1     # of what is generated: a cache of another one is not used
KEYWORDS = ("$Forwarded", "$MDNSent", "Label1", "NonJunk", "work")
FIRST_DATE, LAST_DATE = 1420070400, 1735689600      # 2015 to 2024
DAY = 86400


@dataclass(frozen=True)
class Shape:
    """What a mailbox looks like; folders: {name: share of the messages}."""

    messages: int
    size: int           # bytes of all, about
    median: int         # bytes of a message
    sigma: float        # how far sizes spread: log-normal
    largest: int        # of the ordinary ones
    big: tuple          # sizes of those beside
    folders: dict


SHAPES = {
    "S": Shape(2000, 141_000_000, 8192, 1.91, 2 << 20, (20 << 20, 9 << 20, 5 << 20, 3 << 20), {
        "INBOX": 30, "Sent": 18, "Drafts": 1, "Trash": 5, "Archive": 3, "Archive/2023": 12, "Archive/2024": 12,
        "Projects": 2, "Projects/Café & Söhne": 5, "日本語/テスト": 4, "Lists/linux kernel": 7, "Empty/Deep/er": 0}),
    "M": Shape(20000, 157_000_000, 5700, 0.8, 200 << 10, (), {
        "INBOX": 30, "Sent": 15, "Drafts": 1, "Trash": 5, "Archive/2019": 5, "Archive/2020": 5, "Archive/2021": 5,
        "Archive/2022": 5, "Archive/2023": 5, "Archive/2024": 5, "Lists/a": 4, "Lists/b": 4, "Lists/c": 3, "Lists/c/sub": 2,
        "Projects/Café": 2, "Projects/Müller & Co": 1, "Проекты/Отчёт": 1, "日本語": 1, "One": 1, "Empty": 0}),
    "XS": Shape(120, 1_000_000, 4000, 1.2, 200 << 10, (), {
        "INBOX": 5, "Sent": 2, "Projects/Café & Söhne": 2, "日本語": 1, "Empty": 0}),
}


class Store:
    """A Maildir being written, all of it the mail server's."""

    def __init__(self, root):
        self.root = root
        self.count = 0
        self.directory(root)

    @staticmethod
    def directory(path):
        """Make it, and what is above it, down from the first that is missing."""
        if not os.path.isdir(path):
            Store.directory(os.path.dirname(path))
            os.mkdir(path, 0o700)
            os.chown(path, MAIL, MAIL)

    def folder(self, name, subscribed=True):
        """Make one; its directory."""
        path = self.root if name == "INBOX" else os.path.join(self.root, encode_utf7(name))
        for sub in ("cur", "new", "tmp"):
            self.directory(os.path.join(path, sub))
        self.file(os.path.join(path, "dovecot-keywords"),
                  "".join(f"{number} {word}\n" for number, word in enumerate(KEYWORDS)).encode())
        if subscribed:
            with open(os.path.join(self.root, "subscriptions"), "a", encoding="ascii") as table:
                os.fchown(table.fileno(), MAIL, MAIL)
                table.write(encode_utf7(name) + "\n")
        return path

    @staticmethod
    def file(path, data):
        """Write one file of the mail server."""
        with open(path, "wb", buffering=0) as out:
            os.fchown(out.fileno(), MAIL, MAIL)
            out.write(data)

    def message(self, directory, data, date, info=""):
        """Put a message into a folder's directory."""
        path = f"{directory}/cur/{date}.M{self.count}P1.bench,S={len(data)},W={len(data)}:2,{info}"
        self.file(path, data)
        os.utime(path, (date, date))
        self.count += 1


class Author:
    """Writes the messages of one shape."""

    def __init__(self, name, shape):
        self.rng = random.Random(f"godwit bench {name} {VERSION}")
        self.shape = shape
        self.text = [self._prose() for _ in range(30000)]
        blob = base64.b64encode(self.rng.randbytes(6 << 20)).decode()
        self.base64 = [blob[at:at + 76] for at in range(0, len(blob), 76)]
        self.seen = {}      # folder: a Message-ID in it
        self.last = {}      # folder: a message in it

    def _prose(self):
        chance = self.rng.random()
        if chance < 0.12:
            return ""
        line = " ".join(self.rng.choices(mailbox.WORDS, k=self.rng.randint(6, 13))).capitalize() + self.rng.choice(".,?-")
        return "> " + line if chance < 0.25 else line

    def cut(self, pool, size):
        """About `size` bytes of consecutive lines."""
        at, lines, length = self.rng.randrange(len(pool)), [], 0
        while length < size:
            lines.append(pool[at % len(pool)])
            length += len(lines[-1]) + 2
            at += 1
        return "\r\n".join(lines) + "\r\n"

    def plan(self):
        """[folder of each message], [size of each]: shuffled by chance, in all as the shape has it."""
        shape, total = self.shape, sum(self.shape.folders.values())
        counts = {name: shape.messages * share // total for name, share in shape.folders.items()}
        counts["INBOX"] += shape.messages - sum(counts.values())
        names = [name for name, count in counts.items() for _ in range(count)]
        sizes = [math.exp(self.rng.gauss(math.log(shape.median), shape.sigma)) for _ in names]
        for _ in range(20):     # what is cut off at the top is given to the others
            sizes = [min(size, shape.largest) for size in sizes]
            factor = (shape.size - sum(shape.big)) / sum(sizes)
            sizes = [size * factor for size in sizes]
        for at, size in zip(self.rng.sample(range(len(names)), len(shape.big)), shape.big):
            sizes[at] = size
        return names, [int(size) for size in sizes]

    def message(self, number, folder, size, date):
        """The bytes of one message."""
        chance = self.rng.random()
        if chance < 0.007 and folder in self.last:
            return self.last[folder]
        ident = f"<{number:06d}.{self.rng.getrandbits(48):012x}@host{self.rng.randrange(40)}.example>"
        if chance < 0.022:
            ident = self.seen.get(folder, ident)
        elif chance < 0.037:
            ident = None
        self.seen[folder] = ident or self.seen.get(folder, "<first@host.example>")
        data = self._whole(number, size, date, ident)
        if len(data) < 100000:
            self.last[folder] = data
        return data

    def _whole(self, number, size, date, ident):
        dated = ident or self.rng.random() > 0.3
        head = [f"Return-Path: <bounce-{number}@example.org>", *(self._travel(date) if dated else ()), *self._signature(),
                f"From: User {number % 400} <user{self.rng.randrange(400)}@host{self.rng.randrange(40)}.example>",
                "To: Me <me@example.net>", f"Subject: {self._subject()} [{number}]"]
        if dated:
            head.append("Date: " + formatdate(date - self.rng.randrange(300)))
        if ident:
            head.append(f"Message-ID: {ident}")
        head.append("MIME-Version: 1.0")
        more, body = self._body(number, max(0, size - sum(len(line) + 2 for line in head)))
        return ("\r\n".join(head + more) + "\r\n\r\n" + body).encode()

    def _travel(self, date):
        return [f"Received: from mx{hop}.example.org (mx{hop}.example.org [192.0.2.{self.rng.randrange(255)}])\r\n"
                f"\tby mail{hop}.example.net (Postfix) with ESMTPS id {self.rng.getrandbits(40):010X}\r\n"
                f"\tfor <me@example.net>; {formatdate(date - hop)}" for hop in range(self.rng.randint(1, 5))]

    def _signature(self):
        if self.rng.random() < 0.3:
            return []
        hashed, signed = self.cut(self.base64, 40).strip(), self.cut(self.base64, 300).strip().replace("\r\n", "\r\n\t ")
        return ["DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s1;\r\n"
                f"\th=from:to:subject:date:message-id; bh={hashed};\r\n\tb={signed}"]

    def _subject(self):
        words, chance = self.cut(self.text, 20).strip()[:60].split("\r\n")[0] or "(none)", self.rng.random()
        if chance < 0.1:
            return "=?utf-8?B?" + base64.b64encode(("Réunion à propos de " + words[:20]).encode()).decode() + "?="
        return "Réunion brute 8 bits " + words[:20] if chance < 0.105 else words

    def _body(self, number, room):
        chance = self.rng.random()
        plain = ["Content-Type: text/plain; charset=utf-8"]
        if chance < 0.005:
            return plain, ""
        if chance < 0.01:
            return (["Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: 8bit"],
                    "<html><body>" + "é" * (room // 4) + " " + "x" * (room // 2) + "</body></html>\r\n")
        if chance < 0.015:
            return plain, "From here on it is different.\r\n.\r\n..\r\n" + self.cut(self.text, room).rstrip("\r\n")
        if room > 6000 and chance < 0.75:
            return self._parts(number, room)
        return plain, self.cut(self.text, room)

    def _parts(self, number, room):
        mark, text = f"=_b{number}_{self.rng.getrandbits(32):08x}", min(room // 5, 4000)
        return ([f'Content-Type: multipart/mixed; boundary="{mark}"'],
                f"This is a multi-part message in MIME format.\r\n--{mark}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
                + self.cut(self.text, text) + f'--{mark}\r\nContent-Type: application/pdf; name="doc{number}.pdf"\r\n'
                f'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="doc{number}.pdf"\r\n\r\n'
                + self.cut(self.base64, room - text) + f"--{mark}--\r\n")

    def info(self, folder):
        """The letters of a message's flags and keywords in its file's name."""
        letters = ["D"] if folder == "Drafts" else []
        letters += [letter for letter, share in (("F", .05), ("R", .2), ("S", .85), ("T", .01)) if self.rng.random() < share]
        words = [letter for letter, share in zip("abcde", (.08, .03, .05, .10, .02)) if self.rng.random() < share]
        return "".join(sorted(letters) + words)


def _write_shape(store, name):
    shape = SHAPES[name]
    author = Author(name, shape)
    directories = {folder: store.folder(folder, folder != "Trash") for folder in shape.folders}
    for number, (folder, size) in enumerate(zip(*author.plan())):
        date = author.rng.randrange(FIRST_DATE, LAST_DATE)
        if number % 997 == 500:
            date = 200 * DAY + number
        store.message(directories[folder], author.message(number, folder, size, date), date, author.info(folder))


def _write_one(store, megabytes):
    """The large message is written in pieces, so that this needs no memory either."""
    inbox = store.folder("INBOX")
    line = b"0123456789abcdef" * 4 + b"\r\n"
    for number in range(41):
        head = b"Subject: %d\r\nMessage-ID: <%d@large.example>\r\n\r\n" % (number, number)
        if number != 20:
            store.message(inbox, head + line * 30, FIRST_DATE + number, "S")
            continue
        path = f"{inbox}/cur/{FIRST_DATE + number}.M{number}P1.bench:2,S"
        store.file(path, b"")
        with open(path, "wb") as out:
            out.write(head)
            for _ in range(megabytes * 1_000_000 // (len(line) << 10)):
                out.write(line * (1 << 10))
        os.utime(path, (FIRST_DATE + number,) * 2)
        store.count += 1


def _write_tiny(store, count):
    store.folder("INBOX")
    directory = store.folder("Archive")
    for number in range(count):
        data = (f"From: user{number % 400}@host.example\r\nTo: me@example.net\r\nSubject: Tiny message number {number}\r\n"
                f"Date: {formatdate(FIRST_DATE + 60 * number)}\r\nMessage-ID: <{number:08d}.tiny@host.example>\r\n\r\n"
                f"This is all that message {number} has to say, which is not much, but it is said politely.\r\n")
        store.message(directory, data.encode(), FIRST_DATE + 60 * number, "S")


def generate(name, root):
    """Write the mailbox below `root`; how many messages it has."""
    store = Store(root)
    kind = re.fullmatch(r"(one|tiny)(\d+)", name)
    if kind:
        {"one": _write_one, "tiny": _write_tiny}[kind[1]](store, int(kind[2]))
    elif name in SHAPES:
        _write_shape(store, name)
    else:
        raise ValueError(f"there is no mailbox {name}")
    return store.count


def install(name, maildir, cache):
    """Write the mailbox as the Maildir at `maildir`, from the cache where it is there or worth keeping."""
    if name.startswith("tiny"):     # as quickly made as copied, and a cache would need a file each
        generate(name, maildir)
        return
    kept = os.path.join(cache, f"{name}-{VERSION}")
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(kept):
            fresh = tempfile.mkdtemp(dir=cache)
            try:
                generate(name, os.path.join(fresh, "Maildir"))
                os.rename(os.path.join(fresh, "Maildir"), kept)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    _copy(kept, maildir)


def _copy(kept, maildir):
    """As `cp -a` does, but in the order of names: a directory read at random is written at random."""
    for directory, below, files in os.walk(kept):
        below.sort()
        target = os.path.normpath(os.path.join(maildir, os.path.relpath(directory, kept)))
        Store.directory(target)
        for file in sorted(files):
            path = os.path.join(target, file)
            shutil.copy2(os.path.join(directory, file), path)
            os.chown(path, MAIL, MAIL)


# Between two passes.

#: Where things happen, beside the INBOX: (new messages, changed flags); the rest goes to the INBOX.
ELSEWHERE = {"Sent": (.2, .05), "Archive/2024": (0, .1), "Lists/linux kernel": (.1, .05), "Lists/a": (.1, .05), "日本語": (.05, .05)}


@dataclass
class Changes:
    """How many messages were changed, by what was done."""

    new: int = 0
    flagged: int = 0
    moved: int = 0
    removed: int = 0


def change(account, number):
    """1 % new messages, 1 % with other flags, 0.1 % moved out of the INBOX and as many removed.

    Most of it happens in the INBOX, some in Sent and a few others, nothing in the rest.
    `number`: the how many-eth change it is."""
    writer = mailbox.Writer(f"bench change {number}")
    done = Changes()
    with account.connect() as connection:
        names = {"/".join(levels): folder.name for levels, folder in folders(connection).items() if folder.selectable}
        uids = {}
        for name in names:
            ok(connection.select(quoted(names[name]), readonly=True))
            uids[name] = [uid.decode() for uid in ok(connection.uid("SEARCH", "ALL"))[0].split()]
        share = max(1, sum(map(len, uids.values())) // 100)
        for name, new, flagged in _shares(names, share):
            _add(connection, writer, names[name], new, number)
            done.new += new
            done.flagged += _mark(connection, writer, names[name], uids[name], flagged)
        few = max(1, share // 10)
        done.moved, done.removed = _leave(connection, writer, uids["INBOX"], few, names[_archive(names)])
    return done


def _archive(names):
    """Where people put what they have done with."""
    return next((name for name in ("Archive/2024", "Projects/Café & Söhne") if name in names), "Sent")


def _shares(names, share):
    """(folder, new messages, changed flags) of all that are touched; the INBOX has what is left."""
    new = flagged = share
    for name, (some, others) in ELSEWHERE.items():
        if name in names:
            yield name, int(share * some), int(share * others)
            new -= int(share * some)
            flagged -= int(share * others)
    yield "INBOX", new, flagged


def _add(connection, writer, name, count, number):
    for at in range(count):
        size = int(math.exp(writer.rng.gauss(math.log(6000), 1)))
        message = writer.message(f"change {number} new {at}", flags=("\\Seen",) if at % 3 else (), size=min(size, 1 << 20))
        append(connection, name, message.data, message.flags, message.date)


def _mark(connection, writer, name, uids, count):
    if not count:
        return 0
    ok(connection.select(quoted(name)))
    marked = writer.rng.sample(uids, min(count, len(uids)))
    # half of them read or unread, a quarter flagged, a quarter answered: each is turned over
    for flag, part in (("\\Seen", marked[::2]), ("\\Flagged", marked[1::4]), ("\\Answered", marked[3::4])):
        if part:
            having = ok(connection.uid("SEARCH", "UID", ",".join(part), flag[1:].upper()))[0].decode().split()
            for sign, some in (("-", having), ("+", [uid for uid in part if uid not in having])):
                if some:
                    ok(connection.uid("STORE", ",".join(some), sign + "FLAGS", f"({flag})"))
    return len(marked)


def _leave(connection, writer, uids, count, archive):
    """Move some out of the INBOX, remove others: of its older half, which earlier changes did not make."""
    ok(connection.select("INBOX"))
    chosen = writer.rng.sample(uids[:len(uids) // 2], min(2 * count, len(uids) // 2))
    moved, removed = chosen[::2], chosen[1::2]
    # pylint: disable=protected-access
    ok(connection._simple_command("UID", "MOVE", ",".join(moved), quoted(archive)))
    if removed:
        ok(connection.uid("STORE", ",".join(removed), "+FLAGS", "(\\Deleted)"))
        ok(connection._simple_command("UID", "EXPUNGE", ",".join(removed)))
    return len(moved), len(removed)


def tally(root):
    """{folder directory: messages} of a Maildir as it lies there."""
    found = collections.Counter()
    for directory, _, files in os.walk(root):
        if os.path.basename(directory) in ("cur", "new"):
            found[os.path.relpath(os.path.dirname(directory), root)] += len(files)
    return found


def main():
    """The command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    with contextlib.suppress(BrokenPipeError):
        print(f"{generate(*sys.argv[1:])} messages")


if __name__ == "__main__":
    main()
