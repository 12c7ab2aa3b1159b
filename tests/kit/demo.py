#!/usr/bin/env python3
"""The demo: godwit moves a mailbox from a real Dovecot to a real Cyrus, on this machine.

Everything is below build/demo: the two servers (loopback ports of their own, TLS), the
passwords, godwit's memory and its report. What was started is stopped at the end, also on
Ctrl-C; the files stay to be looked at, until the next demo.
"""

import collections
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
# pylint: disable=wrong-import-position
import compare
import mailbox
from certs import Authority
from imap import Account, folders
from servers import Cyrus, Dovecot

WORK = "build/demo"         # from the root, so that what is shown can be typed
WIDTH = 76
PASSWORDS = {"anna": "old-password", "anna-new": "new-password"}

#: What the sample gets from the difficult mailbox: whole folders, or messages by their notes.
FOLDERS = {("Twins",), ("Keywords",), ("Проекты", "Отчёт"), ("日本語", "テスト"), ("📬 Poste",), ("deep", *"abcdefgh"),
           ("R&D",), ("two  spaces",), ("Empty", "Deep", "er"), ('quote"inside',)}
ODD = {"no message-id", "no message-id and no date", "two message-ids", "raw UTF-8 header", "8-bit body", "no final newline",
       "From line in the body", "dot lines", "nested MIME", "line of 100,000", "text where the header should be"}
DATES = {"date 05-May-1985 05:05:05 +0000", "date 31-Dec-1999 23:59:59 -0800", "date 29-Feb-2024 23:59:59 +0000"}

IN_WORDS = {
    "bytes": "with other bytes: Cyrus makes an X of each raw 8-bit byte in a header",
    "lost": "refused by Cyrus",
    "date": "stored with another date",
    "keywords": "stored without keywords that Cyrus refuses",
    "flags": "stored without flags that Cyrus refuses",
    "folder": "folders that Cyrus has no name for",
    "special-use": "folders whose role is told differently",
}


def tell(text="", indent=""):
    """A paragraph."""
    print(textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent), flush=True)


def heading(text):
    """What comes now."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def boxes():
    """The mailbox to move: as people have them, and with what goes wrong elsewhere."""
    made = mailbox.sample(600)
    for box in mailbox.difficult(1):
        wanted = {"Odd": ODD, "Dates": DATES}.get(box.levels[0])
        if wanted:
            box.messages = [message for message in box.messages if message.note in wanted]
        if wanted or box.levels in FOLDERS:
            made.append(box)
    return made


class Demo:
    """The two ends, and how godwit is called."""

    def __init__(self, source, destination):
        self.source, self.destination = source, destination
        self.ends = (Account(source.host, source.port, "anna", PASSWORDS["anna"]),
                     Account(destination.host, destination.port, "anna-new", PASSWORDS["anna-new"]))

    def appends(self):
        """Messages that the destination was given so far, by its own log."""
        return self.destination.appends("anna-new")

    def copy(self):
        """Run godwit as a newcomer would, the command line shown first; its exit code."""
        command = ["build/godwit", "copy", "--ca-file", f"{WORK}/ca/ca.pem",
                   "--source-password-file", f"{WORK}/anna.pw",
                   "--destination-password-file", f"{WORK}/anna-new.pw",
                   "--state", f"{WORK}/state", "--report", f"{WORK}/report.jsonl",
                   f"imaps://anna@127.0.0.1:{self.source.tls_port}/",
                   f"imaps://anna-new@127.0.0.1:{self.destination.tls_port}/"]
        print(f"  $ {_folded(command)}\n", flush=True)
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status not in (0, 1):
            raise SystemExit(f"demo: godwit ended with {status}, which it should not")
        return status

    def fill(self):
        """Make the mailbox."""
        report = mailbox.fill(self.ends[0], boxes())
        tell(f"{report['messages']} messages in {report['folders']} folders, {report['bytes'] / 1e6:.1f} MB: nested folders "
             "with international names, flags, keywords, old dates, true duplicates, messages without Message-ID, "
             "and a few that no server likes.")

    def check(self):
        """Compare both ends without godwit; the differences that nothing explains."""
        found = compare.compare(*self.ends, folder_map=self._renamed())
        allowed = [difference for difference in found
                   if any(entry.covers(difference) for entry in compare.ALLOWED["cyrus"])]
        for kind, count in collections.Counter(difference["kind"] for difference in allowed).items():
            print(textwrap.fill(f"{IN_WORDS.get(kind, kind)}, as reported", WIDTH,
                                initial_indent=f"  {count:4} ", subsequent_indent=" " * 7))
        unexplained = [difference for difference in found if difference not in allowed]
        for difference in unexplained:
            print("  UNEXPECTED:", json.dumps(difference, ensure_ascii=False))
        return unexplained

    def _renamed(self):
        """The one folder that has a name of its own at each end: Cyrus takes no quotation mark."""
        names = []
        for account in self.ends:
            with account.connect() as connection:
                names.append({"/".join(levels) for levels in folders(connection)})
        ours, theirs = sorted(names[0] - names[1]), sorted(names[1] - names[0])
        return dict(zip(ours, theirs)) if len(ours) == len(theirs) == 1 else {}


def _folded(command):
    """A command line as one would type it: each option with its value on a line that has room."""
    groups, words = [], list(map(shlex.quote, command))
    while words:
        taken = 2 if words[0].startswith("--") else 1
        groups.append(" ".join(words[:taken]))
        del words[:taken]
    lines, line = [], ""
    for group in groups:
        if line and len(line) + len(group) + 3 > WIDTH:
            lines.append(line)
            line = "     "
        line += f" {group}" if line else group
    return " \\\n".join([*lines, line])


def run():
    """The whole story."""
    start = time.monotonic()
    for name, password in PASSWORDS.items():
        with open(f"{WORK}/{name}.pw", "w", encoding="ascii", opener=lambda path, how: os.open(path, how, 0o600)) as file:
            file.write(password + "\n")
    heading("1. Two mail servers")
    authority = Authority(f"{WORK}/ca")
    with Dovecot(f"{WORK}/source", authority=authority) as source, \
            Cyrus(f"{WORK}/destination", authority=authority) as destination:
        source.user("anna", PASSWORDS["anna"])
        destination.user("anna-new", PASSWORDS["anna-new"])
        demo = Demo(source, destination)
        print(f"  source       Dovecot  imaps://anna@127.0.0.1:{source.tls_port}/\n"
              f"  destination  Cyrus    imaps://anna-new@127.0.0.1:{destination.tls_port}/")
        heading("2. A mailbox to move")
        demo.fill()
        heading("3. Copy it")
        status = demo.copy()
        first = demo.appends()
        print()
        tell(f"Exit code {status}: " + ("all is at the destination. " if status == 0 else "finished, and what was not copied "
             "is listed above, each with its way out. ") + f"Cyrus's own log has {first} messages stored.")
        heading("4. Meanwhile, at the source: new mail, changed flags")
        changes = mailbox.mutate(demo.ends[0], add=12, change=9)
        tell(f"{len(changes['added'])} messages have arrived and {len(changes['changed'])} have other flags. The same command "
             "again moves just that:")
        print()
        demo.copy()
        second = demo.appends() - first
        print()
        tell(f"Cyrus's own log has {second} more messages stored.")
        heading("5. Is it all there? A comparison without godwit")
        tell("Both mailboxes are read whole over IMAP by another program, and compared message by message: bytes, dates, "
             "flags, keywords, order, duplicates.")
        unexplained = demo.check()
    ok = not unexplained and second == len(changes["added"])
    tell("Nothing else differs: nothing is lost, doubled or changed." if ok else
         "This is not as it should be: please report it.", "  ")
    if ok:
        heading("What to look at next")
        print(f"  {'build/godwit help copy':30}all options\n"
              f"  {'README.md':30}how it works, and its limits\n"
              f"  {'man build/docs/godwit.1':30}the manual (needs man-db)\n"
              f"  {WORK + '/report.jsonl':30}the exceptions, for programs\n"
              f"  {'tests/kit/demo.py':30}this demo\n\n"
              f"All servers are stopped again. {time.monotonic() - start:.0f} seconds.")
    return 0 if ok else 1


def main():
    """Prepare the directory, run, and leave nothing running."""
    def stop(number, _):
        raise SystemExit(f"\ndemo: stopped{' (out of patience)' if number == signal.SIGTERM else ''}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    os.chdir(ROOT)
    os.makedirs("build", exist_ok=True)
    with open("build/demo.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("demo: another one is running") from None
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            if any((line.split()[4] + "/").startswith(os.path.join(os.path.realpath(ROOT), WORK) + "/") for line in table):
                raise SystemExit(f"demo: something is mounted below {WORK}: unmount it first")
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(WORK)
        sys.exit(run())


if __name__ == "__main__":
    main()
