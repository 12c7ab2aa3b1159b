#!/usr/bin/env python3
"""Compares two accounts over IMAP, independently of godwit, message by message.

    differences = compare(source, destination, allow=ALLOWED["cyrus"])

Each difference is a dict with `kind`, `folder` (readable, levels joined by "/") and more:

    lost         at the source and not at the destination
    extra        at the destination, and nothing of the kind in that folder of the source
    doubled      at the destination more often than at the source
    bytes        the same message, but its bytes differ
    flags keywords date     differ for a message that is there
    order        the messages of the folder are not in the source's order
    folder       missing, or there in excess
    subscription special-use    differ for a folder that is there

A message is paired with an equal one first, so that true duplicates keep their own flags and
dates, and only then with one that agrees in fewer things. What a server cannot hold is listed
in ALLOWED with the reason; a difference that an entry there covers is not reported.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass, field

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from imap import Account, Folder, encode_utf7, folders, instant, namespace, ok, quoted, responses

SYSTEM_FLAGS = {"\\seen", "\\answered", "\\flagged", "\\draft", "\\deleted"}
CHUNK = 50      # messages fetched at once


@dataclass(eq=False)
class Mail:
    """One message as a server shows it."""

    uid: int
    digest: str
    size: int
    flags: frozenset
    keywords: frozenset
    date: int
    msgid: str
    subject: str
    essence: str        # digest of what is left when all that servers meddle with is gone
    traits: frozenset

    def summary(self):
        """For a report."""
        return {"uid": self.uid, "msgid": self.msgid, "subject": self.subject, "size": self.size, "traits": sorted(self.traits)}


@dataclass
class Snapshot:
    """All of an account."""

    folders: dict
    mail: dict = field(default_factory=dict)


def traits(data):
    """What is unusual about the bytes of a message, in the words that ALLOWED uses."""
    head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
    lines = re.split(rb"\r?\n", head)
    found = {
        "empty": not data,
        "nul": b"\0" in data,
        "bare-lf": re.search(rb"(?<!\r)\n", data) is not None,
        "bare-cr": re.search(rb"\r(?!\n)", data) is not None,
        "8bit": not data.isascii(),
        "8bit-header": not head.isascii(),
        "no-final-newline": not data.endswith(b"\n"),
        "no-body": re.search(rb"\r?\n\r?\n", data) is None,
        "bad-header": (any(line and not re.match(rb"[!-9;-~]+:|[ \t]|From ", line) for line in lines)
                       or not re.match(rb"[!-9;-~]+:|From |\r\n", data)),
        "long-line": max(map(len, data.split(b"\n"))) > 998,
    }
    return frozenset(name for name, present in found.items() if present)


def _header_field(data, name):
    match = re.search(rb"^" + name + rb":[ \t]*(.*(?:\r?\n[ \t].*)*)", re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0], re.I | re.M)
    return match[1].decode("utf-8", "replace").strip() if match else None


def _essence(data):
    """Digest of the plain printable characters: equal for a message that a server meddled with."""
    return hashlib.sha256(re.sub(rb"[^!-~]|X", b"", data)).hexdigest()


def read(account):
    """A Snapshot of the account; nothing at the server is changed."""
    with account.connect() as connection:
        space = namespace(connection)
        snapshot = Snapshot(folders(connection, space))
        for levels, folder in snapshot.folders.items():
            if folder.selectable:
                snapshot.mail[levels] = list(_read_folder(connection, folder.name))
        return snapshot


def _read_folder(connection, name):
    count = int(ok(connection.select(quoted(name), readonly=True))[0] or 0)
    for first in range(1, count + 1, CHUNK):
        asked = f"{first}:{min(count, first + CHUNK - 1)}"
        for answer in responses(ok(connection.fetch(asked, "(UID FLAGS INTERNALDATE BODY.PEEK[])"))):
            if len(answer) < 2 or not isinstance(answer[1], list):
                continue
            values = {key.upper(): value for key, value in zip(answer[1][::2], answer[1][1::2])}
            if b"BODY[]" in values:
                yield _mail(values)


def _mail(values):
    data = values[b"BODY[]"] or b""
    words = {flag.decode("utf-8", "replace").lower() for flag in values[b"FLAGS"]}
    return Mail(
        uid=int(values[b"UID"]), digest=hashlib.sha256(data).hexdigest(), size=len(data),
        flags=frozenset(words & SYSTEM_FLAGS), keywords=frozenset(word for word in words if not word.startswith("\\")),
        date=instant(values[b"INTERNALDATE"].decode()), msgid=_header_field(data, b"message-id"),
        subject=_header_field(data, b"subject"), essence=_essence(data), traits=traits(data))


def snapshot_of(boxes):
    """The Snapshot of a mailbox that is still to be made: what mailbox.boxes_of() gave.

    Compared with a server it tells what that server made of what it was given."""
    snapshot = Snapshot({})
    for box in boxes:
        uses = frozenset([box.special_use.lower()] if box.special_use else [])
        snapshot.folders[box.levels] = Folder("/".join(box.levels), box.levels, uses, box.subscribed)
        snapshot.mail[box.levels] = [
            _mail({b"UID": number, b"BODY[]": message.data, b"FLAGS": [flag.encode() for flag in message.flags],
                   b"INTERNALDATE": (message.date or "01-Jan-2000 00:00:00 +0000").encode()})
            for number, message in enumerate(box.messages, 1)]
    return snapshot


def compare(source, destination, folder_map=None, allow=()):
    """The list of differences between two Accounts (or Snapshots) that `allow` does not cover.

    folder_map: {source folder: destination folder}, readable names with "/" between levels,
    for folders that are meant to be called otherwise; what is below them follows.
    """
    with concurrent.futures.ThreadPoolExecutor() as both:
        ours, theirs = both.map(lambda side: side if isinstance(side, Snapshot) else read(side), (source, destination))
    found = []
    mapped = {levels: _mapped(levels, folder_map or {}) for levels in ours.folders}
    for levels, target in sorted(mapped.items()):
        found += _compare_folder(ours, theirs, levels, target)
    wanted = set(mapped.values())
    for levels in sorted(set(theirs.folders) - wanted):
        if theirs.folders[levels].selectable:
            found += [{"kind": "extra", "folder": "/".join(levels), **mail.summary()} for mail in theirs.mail[levels]]
            if not _is_parent(levels, wanted):
                found.append({"kind": "folder", "folder": "/".join(levels), "detail": "only at the destination"})
    return [difference for difference in found if not any(entry.covers(difference) for entry in allow)]


def _mapped(levels, folder_map):
    for cut in range(len(levels), 0, -1):
        target = folder_map.get("/".join(levels[:cut]))
        if target is not None:
            return tuple(target.split("/")) + levels[cut:]
    return levels


def _is_parent(levels, names):
    """Whether a folder must be there for the sake of those below it."""
    return any(name[:len(levels)] == levels for name in names)


def _compare_folder(ours, theirs, levels, target):
    mine, other = ours.folders[levels], theirs.folders.get(target)
    name = "/".join(levels)
    if not mine.selectable:     # only its children matter
        return []
    if other is None or not other.selectable:
        missing = [{"kind": "folder", "folder": name, "detail": "not at the destination"}]
        return missing + [{"kind": "lost", "folder": name, **mail.summary()} for mail in ours.mail[levels]]
    found = []
    if mine.subscribed != other.subscribed:
        found.append({"kind": "subscription", "folder": name, "source": mine.subscribed, "destination": other.subscribed})
    if mine.special_use != other.special_use:
        found.append({"kind": "special-use", "folder": name, "source": sorted(mine.special_use), "destination": sorted(other.special_use)})
    return found + _compare_mail(name, ours.mail[levels], theirs.mail[target])


#: Ways of recognising a message, from the surest to the weakest.
LIKENESS = (
    lambda m: (m.digest, m.date, m.flags, m.keywords),
    lambda m: (m.digest, m.date, m.flags),
    lambda m: (m.digest, m.date, m.keywords),
    lambda m: (m.digest, m.date),
    lambda m: (m.digest, m.flags, m.keywords),
    lambda m: m.digest,
    lambda m: (m.msgid, m.essence, m.date) if m.msgid else None,
    lambda m: (m.msgid, m.essence) if m.msgid else None,
    lambda m: (m.essence, m.date),
    lambda m: (m.msgid, m.date) if m.msgid else None,
    lambda m: m.msgid,
    lambda m: m.essence,
)


def _pair(ours, theirs):
    """Pairs of source and destination, and what is left over on each side."""
    pairs = []
    for likeness in LIKENESS:
        waiting = collections.defaultdict(collections.deque)
        for mail in theirs:
            waiting[likeness(mail)].append(mail)
        left, taken = [], set()
        for mail in ours:
            key = likeness(mail)
            if key is not None and waiting[key]:
                pairs.append((mail, waiting[key].popleft()))
                taken.add(pairs[-1][1])
            else:
                left.append(mail)
        ours, theirs = left, [mail for mail in theirs if mail not in taken]
    return pairs, ours, theirs


def _compare_mail(name, ours, theirs):
    pairs, lost, surplus = _pair(ours, theirs)
    found = [{"kind": "lost", "folder": name, **mail.summary(), "date": mail.date} for mail in lost]
    known = {mail.digest for mail in ours} | {mail.essence for mail in ours}
    for mail in surplus:
        kind = "doubled" if mail.digest in known or mail.essence in known else "extra"
        found.append({"kind": kind, "folder": name, **mail.summary()})
    for mail, twin in pairs:
        if mail.digest != twin.digest:
            found.append({"kind": "bytes", "folder": name, **mail.summary(), "destination_size": twin.size, "destination_uid": twin.uid})
        for kind in ("flags", "keywords"):
            one, two = getattr(mail, kind), getattr(twin, kind)
            if one != two:
                found.append({"kind": kind, "folder": name, **mail.summary(), "source": sorted(one), "destination": sorted(two)})
        if mail.date != twin.date:
            found.append({"kind": "date", "folder": name, **mail.summary(), "source": mail.date, "destination": twin.date})
    arrived = [twin.uid for mail, twin in sorted(pairs, key=lambda pair: pair[0].uid)]
    if arrived != sorted(arrived):
        moved = next(place for place in range(1, len(arrived)) if arrived[place] < arrived[place - 1])
        found.append({"kind": "order", "folder": name, "detail": f"UID {arrived[moved]} comes before {arrived[moved - 1]}"})
    return found


@dataclass(frozen=True)
class Allowance:
    """A difference that the destination server leaves no way around, and why."""

    kind: str
    reason: str
    when: object = None     # a function of the difference; all of the kind if None

    def covers(self, difference):
        """Whether this difference is of that sort."""
        return difference["kind"] == self.kind and (self.when is None or self.when(difference))


def _has(*wanted):
    """A message with any of these traits."""
    return lambda difference: bool(set(wanted) & set(difference.get("traits", ())))


def _dated(outside):
    """A date at the source that is outside of what the server can hold."""
    return lambda difference: outside(difference["source"])


def _words(refused):
    """Keywords that differ only by words that are refused."""
    return lambda difference: all(map(refused, set(difference["source"]) ^ set(difference["destination"])))


def _below(kind):
    """In a folder that cannot have its name at a server of this kind."""
    return lambda difference: refuses_name(kind, difference["folder"].split("/"))


NAME_LIMIT = 255


def refuses_name(kind, levels):
    """Whether a server of this kind has no folder of that name (in its standard configuration)."""
    text, longest = "".join(levels), max(len(encode_utf7(level)) for level in levels)
    control = any(ord(character) < 32 or ord(character) == 127 for character in text)
    if kind == "dovecot":
        # "[CANNOT] Control characters not allowed in new mailbox names", "Begins with '~'",
        # "Contains reserved name" (cur, new and tmp in a Maildir with LAYOUT=fs), "Mailbox name too long"
        return (control and "\x7f" not in text or levels[0].startswith("~") or longest > NAME_LIMIT or "/" in text
                or bool({"cur", "new", "tmp", ".", "..", "dbox-Mails"} & set(levels)))
    if kind == "cyrus":     # "Invalid mailbox name"; also when all levels together exceed about 480 bytes
        return control or bool(set('!"%;<>\\^`{|}/') & set(text)) or len(encode_utf7("/".join(levels))) > 480
    if kind == "courier":
        # "." is its delimiter; "/" gives "Invalid mailbox name.", a character beyond U+FFFF "Error in IMAP
        # command received by server.", one directory holds all levels: "Cannot create this folder."
        return (any(character in "./" or ord(character) > 0xffff for character in text)
                or len(encode_utf7(".".join(levels))) >= NAME_LIMIT)
    raise ValueError(kind)


def _beyond_2038(difference):
    return not 0 <= difference["source"] < 2**31 - 1


#: What each destination cannot hold, found by giving it mailbox.difficult() and reading back.
ALLOWED = {
    "from-dovecot": (Allowance("date", "the source tells another date before 1970 each time it is asked", _beyond_2038),),
    "dovecot": (        # 2.3.19, Maildir and sdbox alike
        Allowance("bytes", "a NUL is stored as 0x80", _has("nul")),
        Allowance("bytes", "a bare LF becomes CRLF", _has("bare-lf")),
        Allowance("bytes", "a CR before CR LF, or last of all, is dropped (elsewhere a bare CR stays)", _has("bare-cr")),
        Allowance("lost", "NO Can't save a zero byte message", _has("empty")),
        # before 1970 what it tells depends on whether it comes from the file or from the cache
        Allowance("date", "dates before 1970 are mangled, from 2038-01-19 03:14:07 on it becomes the present", _beyond_2038),
        Allowance("keywords", "NO [CANNOT] Keyword length too long (over 50), or Invalid characters in keyword",
                  _words(lambda word: len(word) > 50 or "]" in word)),
        Allowance("special-use", "set by the administrator, there is no CREATE-SPECIAL-USE"),
        Allowance("folder", "NO [CANNOT] Invalid mailbox name", _below("dovecot")),
        Allowance("lost", "its folder cannot be made", _below("dovecot")),
    ),
    "cyrus": (          # 3.6.1
        Allowance("bytes", "each 8-bit byte of the header becomes an X", _has("8bit-header")),
        Allowance("lost", "NO Message contains NUL characters", _has("nul")),
        Allowance("lost", "NO Message contains bare newlines", _has("bare-lf")),
        Allowance("lost", "NO Message contains invalid header", _has("bad-header")),
        Allowance("lost", "NO Message contains invalid header (its last line has no end)",
                  lambda difference: {"no-body", "no-final-newline"} <= set(difference.get("traits", ()))),
        Allowance("lost", "NO Zero-length message literal", _has("empty")),
        Allowance("date", "before 1970: BAD Invalid date-time in Append command; 1970-01-01 00:00:00 becomes the present; "
                  "from 2106 on dates wrap", _dated(lambda date: date <= 0 or date >= 2**32)),
        Allowance("folder", "NO Invalid mailbox name", _below("cyrus")),
        Allowance("lost", "its folder cannot be made", _below("cyrus")),
    ),
    "courier": (        # 5.2
        Allowance("bytes", "a bare LF becomes CRLF", _has("bare-lf")),
        Allowance("bytes", "a bare CR is dropped", _has("bare-cr")),
        Allowance("bytes", "a last line without an end gets one", _has("no-final-newline")),
        Allowance("date", "before 1970: NO Error in IMAP command; 1970-01-01 00:00:00 becomes the present",
                  _dated(lambda date: date <= 0)),
        # such a word makes the whole APPEND fail: "NO Error in IMAP command received by server."
        Allowance("keywords", "a keyword of digits only, NIL, or with [ or ] is a syntax error to it",
                  _words(lambda word: word.isdigit() or word == "nil" or "[" in word or "]" in word)),
        Allowance("special-use", "not known"),
        Allowance("folder", "NO Invalid mailbox name.", _below("courier")),
        Allowance("lost", "its folder cannot be made", _below("courier")),
    ),
}


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="compare two accounts over IMAP, message by message")
    parser.add_argument("source", help="imap://user@host:port/[?starttls] or imaps://...")
    parser.add_argument("destination")
    parser.add_argument("--source-password", required=True, help="of the test account")
    parser.add_argument("--destination-password", required=True)
    parser.add_argument("--ca-file")
    parser.add_argument("--map", action="append", default=[], metavar="SOURCE=DESTINATION")
    parser.add_argument("--allow", choices=ALLOWED, action="append", default=[], help="what this kind of destination cannot hold")
    args = parser.parse_args()
    differences = compare(
        Account.from_url(args.source, args.source_password, args.ca_file),
        Account.from_url(args.destination, args.destination_password, args.ca_file),
        dict(pair.split("=", 1) for pair in args.map),
        [entry for kind in args.allow for entry in ALLOWED[kind]])
    for difference in differences:
        print(json.dumps(difference, ensure_ascii=False))
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
