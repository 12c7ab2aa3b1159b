#!/usr/bin/env python3
"""Builds mailboxes on any IMAP server: deterministic, and difficult on purpose.

    fill(account)                   what goes wrong in migrations, some 300 messages
    fill(account, "small")          the same ideas in a dozen messages
    fill(account, "sample:400")     a mailbox as people have it, for the demo
    mutate(account)                 what people do between two passes

What a server refuses is not there to be copied: it is in the report, and that is all.
Folder names are tuples of readable levels, since delimiters and prefixes are the server's.
"""

import argparse
import base64
import datetime
import itertools
import json
import os
import random
import sys
from dataclasses import dataclass, field
from email.utils import formatdate

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from imap import MONTHS, Account, Refused, append, command, folders, namespace, ok, quoted, responses

SYSTEM_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Draft", "\\Deleted")
KEYWORDS = ("$Forwarded", "Label1", "NonJunk", "work")
WORDS = ("the of and to in a is that for it as was with be by on not he his but at are this have from or had an they "
         "which one you were all her she there would their we him been has when who will no more if out so said what up "
         "meeting invoice project deadline review server mailbox migration attached please find regards thanks").split()


@dataclass
class Message:
    """One message to be stored; `note` says what is special about it."""

    data: bytes
    flags: tuple = ()
    date: str = None
    note: str = "plain"


@dataclass
class Box:
    """One folder to be made."""

    levels: tuple
    messages: list = field(default_factory=list)
    subscribed: bool = True
    special_use: str = None


class Writer:
    """Makes the parts of messages from one seeded source of chance."""

    def __init__(self, seed):
        self.rng = random.Random(f"godwit kit {seed}")
        self.number = 0
        blob = base64.b64encode(self.rng.randbytes(1 << 16)).decode()
        self.base64_lines = [blob[i:i + 76] for i in range(0, len(blob), 76)]

    def text(self, size):
        """About `size` bytes of lines that look like prose."""
        lines, length = [], 0
        while length < size:
            line = " ".join(self.rng.choices(WORDS, k=self.rng.randint(5, 12))).capitalize() + "."
            if self.rng.random() < 0.1:
                line = "> " + line
            lines.append(line)
            length += len(line) + 2
        return "".join(line + "\r\n" for line in lines)

    def base64_text(self, size):
        """About `size` bytes of base64."""
        start = self.rng.randrange(len(self.base64_lines))
        lines = itertools.islice(itertools.cycle(self.base64_lines), start, start + max(1, size // 78))
        return "".join(line + "\r\n" for line in lines)

    def moment(self):
        """A second between 2005 and 2025."""
        return self.rng.randrange(1104537600, 1735689600)

    def header(self, when, *extra, msgid=True, date=True, subject=None):
        """The header of a new message, without the empty line."""
        self.number += 1
        lines = [f"Return-Path: <bounce-{self.number}@example.org>",
                 f"From: Sender {self.number} <sender{self.rng.randrange(90)}@example.org>",
                 "To: Me <me@example.net>",
                 f"Subject: {subject or 'Message'} [{self.number}]"]
        if date:
            lines.append(f"Date: {formatdate(when)}")
        if msgid:
            lines.append(f"Message-ID: <{self.number:05d}.{self.rng.getrandbits(48):012x}@example.org>")
        return "".join(line + "\r\n" for line in (*lines, *extra))

    def message(self, note="plain", *, flags=("\\Seen",), zone="+0000", size=None, **how):
        """An ordinary message of `size` bytes or so."""
        when = self.moment()
        body = self.text(size or int(min(20000, self.rng.lognormvariate(7, 1))))
        return Message((self.header(when, **how) + "\r\n" + body).encode(), tuple(flags), internaldate(when, zone), note)


def internaldate(when, zone="+0000"):
    """A second since 1970 as INTERNALDATE in a zone such as +0545."""
    sign = -1 if zone[0] == "-" else 1
    days, rest = divmod(when + sign * (int(zone[1:3]) * 3600 + int(zone[3:]) * 60), 86400)
    day = datetime.date(1970, 1, 1) + datetime.timedelta(days=days)
    return (f"{day.day:02d}-{MONTHS[day.month - 1]}-{day.year:04d} "
            f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d} {zone}")


# The difficult mailbox.

def difficult(seed=0):
    """The folders of the difficult mailbox."""
    writer = Writer(seed)
    boxes = [
        Box(("INBOX",), [writer.message() for _ in range(20)]),
        Box(("Sent",), [writer.message() for _ in range(8)], special_use="\\Sent"),
        Box(("Drafts",), [writer.message(flags=("\\Draft",)) for _ in range(2)], special_use="\\Drafts"),
        Box(("Trash",), [writer.message(flags=("\\Deleted", "\\Seen"))], subscribed=False, special_use="\\Trash"),
        Box(("Archive",), [], special_use="\\Archive"),
        Box(("Archive", "2023"), [writer.message() for _ in range(6)]),
        Box(("Archive", "2024"), [writer.message() for _ in range(6)], subscribed=False),
        Box(("Flags",), _all_flags(writer)),
        Box(("Keywords",), _all_keywords(writer)),
        Box(("Dates",), _dates(writer)),
        Box(("Twins",), _twins(writer)),
        Box(("Odd",), _oddities(writer)),
        Box(("Big",), [_big(writer, 3 << 20), _big(writer, 200 << 10)]),
        Box(("Empty", "Deep", "er"), [], subscribed=False),
    ]
    for number, levels in enumerate(_names()):
        boxes.append(Box(levels, [writer.message(f"in {'/'.join(levels)[:40]}")], subscribed=number % 3 != 0))
    return boxes


def small(seed=0):
    """A dozen messages in five folders, for tests that run many times."""
    writer = Writer(f"small {seed}")
    twin = writer.message("twin")
    return [
        Box(("INBOX",), [writer.message(), writer.message(flags=()), writer.message(flags=("\\Flagged", "work"))]),
        Box(("Sent",), [writer.message(), twin, twin], special_use="\\Sent"),
        Box(("Projects", "Café & Söhne"), [writer.message("no message-id", msgid=False), _raw_header(writer)]),
        Box(("日本語",), subscribed=False, messages=[
            writer.message(zone="+0545"),
            Message(writer.message().data.rstrip(), (), internaldate(86400 * 300), "no final newline")]),
        Box(("Empty",), []),
    ]


def _names():
    return [
        ("Projects",), ("Projects", "Café & Söhne"), ("日本語", "テスト"), ("Проекты", "Отчёт"), ("📬 Poste",),
        ("Caf\u00e9",), ("Cafe\u0301",),                    # equal to the eye only
        ("case",), ("CASE",), ('quote"inside',), ("back\\slash",), ("100%",), ("star*",), ("(paren)",), ("{7}",),
        ("R&D",), ("&AOk-",), ("~tilde",), ("#hash",), (" leading",), ("trailing ",), ("two  spaces",), ("dot.ted",),
        (".hidden",), ("sla/sh",), ("tab\there",), ("-dash",), ("NIL",), ("[brackets]",), ("a,b;c=d@e!f$g'h`i|j^k<l>m?n:o+p",),
        ("L" * 150 + "ong",), ("ü" * 60,), ("INBOX", "child"), ("deep", *"abcdefgh"), ("shared",), ("cur",), ("new", "tmp"),
    ]


def _all_flags(writer):
    return [writer.message(f"flags {' '.join(flags)}", flags=flags, size=300)
            for count in range(len(SYSTEM_FLAGS) + 1) for flags in itertools.combinations(SYSTEM_FLAGS, count)]


def _all_keywords(writer):
    found = [writer.message(f"keywords {' '.join(words)}", flags=(*words, "\\Seen"), size=300)
             for count in range(len(KEYWORDS) + 1) for words in itertools.combinations(KEYWORDS, count)]
    for word in ("$MDNSent", "$Junk", "LABEL1", "k" * 60, "under_score", "dash-ed", "dot.ted", "a/b", "1", "[x", "a&b", "ü", "$label5"):
        found.append(writer.message(f"keyword {word}", flags=(word,), size=300))
    found.append(writer.message("40 keywords", flags=tuple(f"many{i}" for i in range(40)), size=300))
    return found


def _dates(writer):
    found = []
    for text in ("01-Jan-1970 00:00:00 +0000", "01-Jan-1970 00:00:01 +0000", "31-Dec-1969 23:59:59 +0000",
                 "01-Jan-1969 12:00:00 +0000", "01-Jan-1900 00:00:00 +0000", "19-Jan-2038 03:14:07 +0000",
                 "19-Jan-2038 03:14:08 +0000", "01-Jan-2040 00:00:00 +0000", "07-Feb-2106 06:28:16 +0000",
                 "29-Feb-2024 23:59:59 +0000", "31-Dec-2016 23:59:60 +0000", "06-Jan-2025 10:00:00 +0545",
                 "06-Jan-2025 10:00:00 -0330", "06-Jan-2025 10:00:00 +1400", "06-Jan-2025 10:00:00 -1200",
                 "31-Mar-2024 02:30:00 +0100", "27-Oct-2024 02:30:00 +0200", "27-Oct-2024 02:30:00 +0100",
                 "05-May-1985 05:05:05 +0000", "31-Dec-1999 23:59:59 -0800"):
        message = writer.message(f"date {text}", size=300)
        message.date = text
        found.append(message)
    found.append(Message(writer.message(size=300).data, (), None, "no internal date given"))
    return found


def _twins(writer):
    first, second, third = (writer.message("twins, all equal", size=400) for _ in range(3))
    other_date = Message(first.data, first.flags, internaldate(1000000000), "twin with another date")
    other_flags = Message(second.data, ("\\Flagged",), second.date, "twin with other flags")
    same_id = writer.header(1200000000)
    same = [Message((same_id + "\r\n" + body).encode(), (), internaldate(1200000000 + i), "same message-id, another body")
            for i, body in enumerate(("one\r\n", "two\r\n", "three\r\n"))]
    return [first, first, second, third, second, other_date, first, other_flags, *same]


def _oddities(writer):
    def head(*extra, **how):
        return writer.header(1300000000 + writer.number, *extra, **how)

    def nested():
        inner = head("MIME-Version: 1.0") + "\r\ninside\r\n"
        return (head("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="o"')
                + '\r\npreamble\r\n--o\r\nContent-Type: multipart/alternative; boundary="i"\r\n\r\n--i\r\n\r\nplain\r\n'
                + "--i\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--i--\r\n"
                + f"--o\r\nContent-Type: message/rfc822\r\n\r\n{inner}--o--\r\nepilogue\r\n")
    eight = bytes(byte for byte in range(1, 256) if byte not in (10, 13))
    table = [
        ("no message-id", head(msgid=False) + "\r\nbody\r\n"),
        ("no date", head(date=False) + "\r\nbody\r\n"),
        ("no message-id and no date", head(msgid=False, date=False) + "\r\nbody\r\n"),
        ("two message-ids", head("Message-ID: <second@example.org>") + "\r\nbody\r\n"),
        ("folded message-id", head("Message-ID:\r\n\t<folded@example.org>", msgid=False) + "\r\nbody\r\n"),
        ("date that is none", head("Date: yesterday, more or less", date=False) + "\r\nbody\r\n"),
        ("date in 1969", head("Date: Wed, 01 Jan 1969 00:00:00 +0000", date=False) + "\r\nbody\r\n"),
        ("raw UTF-8 header", head("X-Name: Réunion à Genève") + "\r\nbody\r\n"),
        ("raw Latin-1 header", head().encode() + b"X-Name: R\xe9union\r\n\r\nbody\r\n"),
        ("8-bit body", head() + "\r\nRéunion à Genève\r\n"),
        ("binary-ish body", head("Content-Transfer-Encoding: 8bit").encode() + b"\r\n" + eight + b"\r\n"),
        ("NUL in the body", head() + "\r\na\0b\r\n"),
        ("NUL in the header", head("X-Nul: a\0b") + "\r\nbody\r\n"),
        ("bare LF throughout", (head() + "\r\na\r\nb\r\n").replace("\r\n", "\n")),
        ("bare LF in the body", head() + "\r\na\nb\r\n"),
        ("bare LF ends the header", head().replace("\r\n", "\n") + "\n" + "body\r\n"),
        ("bare CR in the body", head() + "\r\na\rb\r\n"),
        ("bare CR at the end", head() + "\r\nbody\r"),
        ("CR CR LF", head() + "\r\na\r\r\nb\r\n"),
        ("no final newline", head() + "\r\nbody"),
        ("final bare LF", head() + "\r\nbody\n"),
        ("empty body", head() + "\r\n"),
        ("header only", head()),
        ("header only, cut", head()[:-2]),
        ("only empty lines in the body", head() + "\r\n\r\n\r\n\r\n"),
        ("no header", "\r\nonly a body\r\n"),
        ("text where the header should be", "just text\r\n"),
        ("one byte", "x"),
        ("one line end", "\r\n"),
        ("nothing at all", ""),
        ("From line first", "From someone@example.org Mon Jan  6 10:00:00 2025\r\n" + head() + "\r\nbody\r\n"),
        (">From line first", ">From someone@example.org Mon Jan  6 10:00:00 2025\r\n" + head() + "\r\nbody\r\n"),
        ("From line in the body", head() + "\r\nFrom here on\r\n>From there\r\n"),
        ("dot lines", head() + "\r\n.\r\n..\r\n.dot\r\n"),
        ("header line without colon", head("this is no header") + "\r\nbody\r\n"),
        ("header with space before the colon", head("X-Space : yes") + "\r\nbody\r\n"),
        ("folded by a line of spaces", head("X-Folded: a\r\n   \r\n b") + "\r\nbody\r\n"),
        ("line of 100,000", head() + "\r\n" + "x" * 100000 + "\r\n"),
        ("8-bit line of 20,000", head() + "\r\n" + "é" * 10000 + "\r\n"),
        ("header line of 50,000", head("X-Long: " + "y" * 50000) + "\r\nbody\r\n"),
        ("header of 100 KB", head(*(f"X-Many-{i}: {'z' * 90}" for i in range(1000))) + "\r\nbody\r\n"),
        ("nested MIME", nested()),
        ("MIME never closed", head("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="x"') + "\r\n--x\r\n\r\npart\r\n"),
        ("encoded words", head("X-Name: =?utf-8?B?UsOpdW5pb24=?= =?iso-8859-1?Q?=E9t=E9?=") + "\r\nbody\r\n"),
        ("control characters", head() + "\r\n\x01\x02\x07\x08\x0b\x0c\x1b[31m\x7f\r\n"),
        ("literal look-alike", head() + "\r\n* 1 FETCH (UID 1 BODY[] {3}\r\n)\r\nA1 OK done {10}\r\n"),
        ("own line ends in a quoted-printable", head("Content-Transfer-Encoding: quoted-printable") + "\r\nsoft=\r\nbreak=0A\r\n"),
    ]
    return [Message(text if isinstance(text, bytes) else text.encode(), ("\\Seen",), internaldate(1300000000 + n * 60), note)
            for n, (note, text) in enumerate(table)]


def _raw_header(writer):
    text = writer.header(1300000000, "X-Name: Réunion") + "\r\nbody\r\n"
    return Message(text.encode(), (), internaldate(1300000000), "raw UTF-8 header")


def _big(writer, size):
    when = writer.moment()
    head = writer.header(when, "MIME-Version: 1.0", "Content-Transfer-Encoding: base64",
                         'Content-Type: application/octet-stream; name="big.bin"')
    return Message((head + "\r\n" + writer.base64_text(size)).encode(), (), internaldate(when), f"{size} bytes")


# A mailbox as people have it.

PEOPLE = ("Ada Bergström", "José Álvarez", "Zoë Fischer", "Marek Dvořák", "Ольга Иванова", "山田 太郎", "Nora Lindqvist",
          "Ahmed Hassan", "Chiara Rossi", "Tom Baker", "Priya Nair", "Kim Min-jun")
SUBJECTS = ("Invoice {n}", "Minutes of the meeting", "Réunion de lundi", "Angebot für das Projekt", "Holiday photos", "会議の議題",
            "Отчёт за квартал", "Lunch on Thursday?", "Your order {n} has been shipped", "Über den Vertrag", "Build {n} failed",
            "Reminder: dentist", "Fwd: tickets", "Offerte né {n}", "Weekly newsletter")
SAMPLE_FOLDERS = ((("INBOX",), 34, None), (("Sent",), 18, "\\Sent"), (("Drafts",), 1, "\\Drafts"), (("Trash",), 4, "\\Trash"),
                  (("Archive",), 2, "\\Archive"), (("Archive", "2023"), 11, None), (("Archive", "2024"), 12, None),
                  (("Projects", "Café & Söhne"), 6, None), (("Projects", "Website"), 5, None), (("日本語",), 3, None),
                  (("Lists", "announce"), 4, None))


def sample(count=300, seed=0):
    """The folders of a mailbox as people have it, with `count` messages."""
    writer = Writer(f"sample {seed}")
    total = sum(weight for _, weight, _ in SAMPLE_FOLDERS)
    boxes = [Box(levels, [], special_use=use) for levels, _, use in SAMPLE_FOLDERS]
    for box, (_, weight, _) in zip(boxes, SAMPLE_FOLDERS):
        times = sorted(writer.moment() for _ in range(count * weight // total))
        box.messages = [_letter(writer, when, box.levels) for when in times]
    while sum(len(box.messages) for box in boxes) < count:
        boxes[0].messages.append(_letter(writer, 1735689600 + writer.number, ("INBOX",)))
    return boxes


def _encoded_word(text):
    return text if text.isascii() else f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def _letter(writer, when, levels):
    rng = writer.rng
    writer.number += 1
    sender = rng.choice(PEOPLE)
    subject = rng.choice(SUBJECTS).format(n=rng.randrange(1000, 9999))
    reply = rng.random() < 0.3
    lines = [f"Received: from mx.example.org (mx.example.org [192.0.2.{rng.randrange(1, 255)}])\r\n"
             f"\tby mail.example.net (Postfix) with ESMTPS id {rng.getrandbits(40):010X}\r\n"
             f"\tfor <me@example.net>; {formatdate(when)}",
             f"From: {_encoded_word(sender)} <person{PEOPLE.index(sender)}@example.org>",
             "To: Me <me@example.net>",
             f"Subject: {'Re: ' if reply else ''}{_encoded_word(subject)}",
             f"Date: {formatdate(when - rng.randrange(120))}",
             f"Message-ID: <{writer.number}.{rng.getrandbits(64):016x}@mail.example.org>", "MIME-Version: 1.0"]
    if reply:
        lines.append(f"In-Reply-To: <{rng.getrandbits(64):016x}@mail.example.net>")
    text = f"{writer.text(rng.randrange(200, 2500))}\r\n-- \r\n{sender}\r\n"
    shape = rng.random()
    if shape < 0.45:
        lines += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
        body = text
    else:
        body = _parts(writer, lines, text, attachments=shape > 0.75)
    flags = ["\\Seen"] if rng.random() < 0.85 else []
    flags += [flag for flag, chance in (("\\Answered", .2), ("\\Flagged", .06), ("$Forwarded", .05)) if rng.random() < chance]
    if levels == ("Drafts",):
        flags.append("\\Draft")
    data = "".join(line + "\r\n" for line in lines) + "\r\n" + body
    return Message(data.encode(), tuple(flags), internaldate(when, rng.choice(("+0000", "+0100", "+0200", "-0500"))), subject)


def _parts(writer, lines, text, attachments):
    outer, inner = (f"=_{writer.number}_{writer.rng.getrandbits(32):08x}" for _ in range(2))
    html = "<html><body>" + "".join(f"<p>{line}</p>\r\n" for line in text.split("\r\n")) + "</body></html>\r\n"
    coding = "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    alternative = (f"--{inner}\r\nContent-Type: text/plain; {coding}{text}\r\n"
                   f"--{inner}\r\nContent-Type: text/html; {coding}{html}\r\n--{inner}--\r\n")
    if not attachments:
        lines.append(f'Content-Type: multipart/alternative; boundary="{inner}"')
        return alternative
    lines.append(f'Content-Type: multipart/mixed; boundary="{outer}"')
    kind, suffix = writer.rng.choice((("application/pdf", "pdf"), ("image/jpeg", "jpg"), ("application/zip", "zip")))
    size = int(min(400000, writer.rng.lognormvariate(10, 1.2)))
    return (f"This is a multi-part message in MIME format.\r\n--{outer}\r\n"
            f'Content-Type: multipart/alternative; boundary="{inner}"\r\n\r\n'
            f"{alternative}--{outer}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="file{writer.number}.{suffix}"\r\n\r\n{writer.base64_text(size)}--{outer}--\r\n')


# To the server.

def boxes_of(spec, seed=0):
    """The folders that a spec stands for: "difficult", "small" or "sample:COUNT"."""
    name, _, count = spec.partition(":")
    if name == "sample":
        return sample(int(count or 300), seed)
    return {"difficult": difficult, "small": small}[name](seed)


def fill(account, spec="difficult", seed=0):
    """Store a mailbox; a report of what went in and of what the server refused, with its words."""
    boxes = boxes_of(spec, seed) if isinstance(spec, str) else spec
    report = {"folders": 0, "messages": 0, "bytes": 0, "refused": []}
    with account.connect() as connection:
        space, there = namespace(connection), folders(connection)
        for box in boxes:
            readable = "/".join(box.levels)
            try:
                name = space.name(box.levels)
                if box.levels not in there:
                    _create(connection, name, box.special_use)
            except (Refused, ValueError) as error:
                report["refused"].append({"folder": readable, "note": "the folder", "reply": str(error)})
                continue
            report["folders"] += 1
            command(connection, "SUBSCRIBE" if box.subscribed else "UNSUBSCRIBE", quoted(name))
            for message in box.messages:
                try:
                    append(connection, name, message.data, message.flags, message.date)
                except Refused as error:
                    report["refused"].append({"folder": readable, "note": message.note, "reply": str(error)})
                else:
                    report["messages"] += 1
                    report["bytes"] += len(message.data)
    return report


def _create(connection, name, special_use):
    if special_use and "CREATE-SPECIAL-USE" in connection.capabilities:
        try:
            command(connection, "CREATE", quoted(name), f"(USE ({special_use}))")
            return
        except Refused:     # already used elsewhere
            pass
    command(connection, "CREATE", quoted(name))


def mutate(account, seed=0, add=10, change=10, remove=0):
    """What happens between two passes: new messages, changed flags and keywords, removed messages.

    Spread over the folders that have messages; the report names each change."""
    writer = Writer(f"mutate {seed}")
    report = {"added": [], "changed": [], "removed": []}
    with account.connect() as connection:
        full = [folder for _, folder in sorted(folders(connection).items())
                if folder.selectable and _messages(connection, folder.name)]
        for number in range(add):
            folder = full[number % len(full)]
            message = writer.message(f"added {number}", flags=((), ("\\Seen",), ("\\Flagged", "work"))[number % 3], size=500)
            append(connection, folder.name, message.data, message.flags, message.date)
            report["added"].append({"folder": "/".join(folder.levels)})
        for number in range(change + remove):
            folder = full[number % len(full)]
            ok(connection.select(quoted(folder.name)))
            uids = [uid.decode() for uid in ok(connection.uid("SEARCH", "ALL"))[0].split()]
            uid = uids[writer.rng.randrange(len(uids))]
            where = {"folder": "/".join(folder.levels), "uid": int(uid)}
            if number < change:
                report["changed"].append({**where, "done": _change(connection, uid, number)})
            else:
                ok(connection.uid("STORE", uid, "+FLAGS", "(\\Deleted)"))
                if "UIDPLUS" in connection.capabilities:
                    command(connection, "UID", "EXPUNGE", uid)
                else:
                    ok(connection.expunge())
                report["removed"].append(where)
    return report


def _change(connection, uid, number):
    flags = {word.lower() for word in _flags(connection, uid)}
    flag = ("\\Seen", "\\Flagged", "work", "\\Answered", "Later")[number % 5]
    sign = "-" if flag.lower() in flags else "+"
    ok(connection.uid("STORE", uid, f"{sign}FLAGS", f"({flag})"))
    return sign + flag


def _flags(connection, uid):
    for _, values in responses(ok(connection.uid("FETCH", uid, "(UID FLAGS)"))):
        found = dict(zip(values[::2], values[1::2]))
        if found.get(b"UID") == uid.encode():
            return [flag.decode("utf-8", "replace") for flag in found[b"FLAGS"]]
    return []


def _messages(connection, name):
    for answer in responses(ok(connection.status(quoted(name), "(MESSAGES)"))):
        return int(answer[-1][1])
    return 0


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="build a deterministic mailbox over IMAP")
    parser.add_argument("action", choices=("fill", "mutate"))
    parser.add_argument("url", help="imap://user@host:port/[?starttls] or imaps://...")
    parser.add_argument("--password", required=True, help="of the test account")
    parser.add_argument("--ca-file")
    parser.add_argument("--spec", default="difficult", help="difficult, small or sample:COUNT")
    parser.add_argument("--seed", default="0")
    for what in ("add", "change", "remove"):
        parser.add_argument(f"--{what}", type=int, default=0 if what == "remove" else 10)
    args = parser.parse_args()
    account = Account.from_url(args.url, args.password, args.ca_file)
    if args.action == "fill":
        report = fill(account, args.spec, args.seed)
    else:
        report = mutate(account, args.seed, args.add, args.change, args.remove)
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
