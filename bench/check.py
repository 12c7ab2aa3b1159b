"""Whether all is there: what a peer left at the destination, held against the source.

    counted(ours, theirs)               by STATUS alone: quick, after each run
    compare(read(ours), read(theirs))   every byte, flag and date, by Python's imaplib

Neither asks the peer. In a later pass `former`, what the source was before, tells what may be there
as well: mail that has left the source since.
"""

import collections
import hashlib
import os
import re
import sys
from dataclasses import asdict, dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "kit"))
# pylint: disable=wrong-import-position
from imap import folders, instant, ok, quoted, responses

CHUNK = 500
ATTRIBUTES = re.compile(rb'FLAGS \(([^)]*)\)|INTERNALDATE "([^"]*)"')


@dataclass
class Verdict:
    """How many messages came to what; all but the first are faults."""

    there: int = 0          # at the destination
    lost: int = 0
    doubled: int = 0        # more often there than at the source
    changed: int = 0        # with other bytes, but recognised by its body
    flags: int = 0
    keywords: int = 0
    dates: int = 0
    folders: int = 0        # missing
    whole: bool = False     # read, not only counted

    @property
    def faults(self):
        """{what: how many}, without zeros."""
        return {key: value for key, value in asdict(self).items() if key not in ("there", "whole") and value}


@dataclass(frozen=True)
class Mail:
    """One message."""

    digest: bytes
    body: bytes         # digest of what comes after the header
    flags: frozenset
    keywords: frozenset
    date: int


def counts(account):
    """{folder: messages}, by STATUS."""
    with account.connect() as connection:
        found = {}
        for levels, folder in folders(connection).items():
            if folder.selectable:
                for answer in responses(ok(connection.status(quoted(folder.name), "(MESSAGES)"))):
                    found[levels] = int(answer[-1][1])
        return found


def counted(ours, theirs, later=False):
    """The Verdict by numbers. In a later pass the destination may keep what has left the source."""
    verdict = Verdict(there=sum(theirs.values()))
    for levels, count in ours.items():
        verdict.folders += levels not in theirs
        verdict.lost += max(0, count - theirs.get(levels, 0))
        if not later:
            verdict.doubled += max(0, theirs.get(levels, 0) - count)
    return verdict


def read(account):
    """{folder: [Mail]}; nothing at the server is changed."""
    with account.connect() as connection:
        return {levels: list(_folder(connection, folder.name))
                for levels, folder in folders(connection).items() if folder.selectable}


def _folder(connection, name):
    count = int(ok(connection.select(quoted(name), readonly=True))[0] or 0)
    for first in range(1, count + 1, CHUNK):
        answers = ok(connection.fetch(f"{first}:{min(count, first + CHUNK - 1)}", "(FLAGS INTERNALDATE BODY.PEEK[])"))
        answers.append(b"")
        for at, answer in enumerate(answers):
            if isinstance(answer, tuple):
                tail = answers[at + 1]
                yield _mail(answer[0] + (tail if isinstance(tail, bytes) else b""), answer[1])


def _mail(told, data):
    words, date = set(), None
    for flags, when in ATTRIBUTES.findall(told):
        words |= {word.decode("utf-8", "replace").lower() for word in flags.split()}
        date = instant(when.decode()) if when else date
    return Mail(hashlib.sha256(data).digest(), hashlib.sha256(data.partition(b"\r\n\r\n")[2]).digest(),
                frozenset(word for word in words if word.startswith("\\") and word != "\\recent"),
                frozenset(word for word in words if not word.startswith("\\")), date)


def compare(ours, theirs, former=None):
    """The Verdict on two mailboxes that were read."""
    verdict = Verdict(there=sum(map(len, theirs.values())), whole=True)
    for levels, mail in ours.items():
        verdict.folders += levels not in theirs
        _compare_folder(verdict, mail, theirs.get(levels, []), (former or {}).get(levels, []))
    return verdict


def _pairs(ours, theirs, key):
    """[(one, other)] that have the same key, and what is left of both. With equal keys, the most alike first."""
    waiting = collections.defaultdict(list)
    for mail in theirs:
        waiting[key(mail)].append(mail)
    pairs, left = [], []
    for mail in ours:
        twins = waiting[key(mail)]
        if not twins:
            left.append(mail)
            continue
        best = max(range(len(twins)), key=lambda at: _likeness(mail, twins[at])) if len(twins) > 1 else 0
        pairs.append((mail, twins.pop(best)))
    return pairs, left, [mail for twins in waiting.values() for mail in twins]


def _likeness(one, other):
    return (one.digest == other.digest) + (one.flags == other.flags) + (one.keywords == other.keywords) + (one.date == other.date)


def _compare_folder(verdict, ours, theirs, former):
    pairs, left, surplus = _pairs(ours, theirs, lambda mail: mail.digest)
    more, left, surplus = _pairs(left, surplus, lambda mail: mail.body)
    verdict.lost += len(left)
    verdict.changed += len(more)
    _, _, gone = _pairs(ours, former, lambda mail: mail.body)
    _, _, surplus = _pairs(gone, surplus, lambda mail: mail.body)
    verdict.doubled += len(surplus)
    for mail, twin in pairs + more:
        verdict.flags += mail.flags != twin.flags
        verdict.keywords += mail.keywords != twin.keywords
        verdict.dates += mail.date != twin.date
