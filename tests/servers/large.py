#!/usr/bin/env python3
"""A message of 300 MB passes, and memory stays within 64 MB over all processes."""

import glob
import hashlib
import os
import time
import unittest

import case
from servers import MAIL

os.environ.pop("MALLOC_PERTURB_", None)     # it fills, and so takes, memory that nobody touches otherwise
SIZE = (40 if case.BRIEF else 300) << 20
LIMIT = 64 << 10        # KB
LINE = b"0123456789abcdef" * 4 + b"\n"


def memory(pid):
    """KB of memory of a process, what it shares with others in proportion (PSS)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
            return next(int(line.split()[1]) for line in text if line.startswith("Pss:"))
    except (OSError, StopIteration):        # it is ending
        return 0


class Large(case.ServerCase):
    """One very large message among small ones, between two Dovecots."""

    def test_memory(self):
        """It arrives whole, and the peak is within bounds."""
        source, destination = self.ends("dovecot", "dovecot")
        digest = self.deliver(source)
        process = self.start(source, destination)
        peak, most, samples = 0, {}, 0
        while process.poll() is None:
            now = {pid: memory(pid) for pid in (process.pid, *case.children(process.pid))}
            most = {pid: max(kilobytes, most.get(pid, 0)) for pid, kilobytes in now.items()} | {
                pid: kilobytes for pid, kilobytes in most.items() if pid not in now}
            peak = max(peak, sum(now.values()))
            samples += 1
            time.sleep(0.01)
        outcome = self.finish(process)
        self.assertEqual(outcome.exit, 0, outcome)
        self.assertEqual(outcome.summary["items_stored"], 41)
        self.assertGreater(samples, 10, "too few looks to tell anything")
        most = {pid: kilobytes for pid, kilobytes in most.items() if kilobytes}     # a sanitizer's own task at the end has none
        self.assertTrue(len(most) > 1 and min(most.values()) > 500, f"not all processes were seen: {most}")
        print(f"{SIZE >> 20} MB in {outcome.summary['elapsed_ms'] / 1000:.1f} s, peak {peak / 1024:.1f} MB "
              f"of {LIMIT >> 10} in {samples} looks, by process {sorted(most.values())} KB")
        if not case.BRIEF:      # sanitizers take memory of their own
            self.assertLessEqual(peak, LIMIT, "KB")
        arrived = sorted(glob.glob(self.maildir(destination) + "/cur/*") + glob.glob(self.maildir(destination) + "/new/*"),
                         key=os.path.getsize)
        self.assertEqual(len(arrived), 41)
        self.assertEqual(self.digest(arrived[-1]), digest, "the large message has changed")

    @staticmethod
    def maildir(end):
        """Where Dovecot keeps the INBOX."""
        return os.path.join(end.server.workdir, "var/mail", end.name, "Maildir")

    @staticmethod
    def digest(path):
        """Of the message, whatever its line ends (it has no other CR)."""
        found = hashlib.sha256()
        with open(path, "rb") as text:
            while piece := text.read(1 << 20):
                found.update(piece.replace(b"\r", b""))
        return found.hexdigest()

    def deliver(self, end):
        """Put the messages into the Maildir, since no test shall need the memory either; the large one's digest."""
        box = self.maildir(end)
        for sub in ("", "/cur", "/new", "/tmp"):
            os.makedirs(box + sub, exist_ok=True)
            os.chown(box + sub, MAIL, MAIL)
        for number in range(41):
            path = f"{box}/cur/{1500000000 + number}.M{number}P1.test:2,S"
            size = SIZE if number == 20 else 2000
            with open(path, "wb") as out:
                out.write(b"Subject: %d\nMessage-ID: <%d@large>\n\n" % (number, number))
                for _ in range(max(1, size // (len(LINE) << 10))):
                    out.write(LINE * min(1 << 10, size // len(LINE)))
            os.chown(path, MAIL, MAIL)
            if number == 20:
                digest = self.digest(path)
        return digest


if __name__ == "__main__":
    unittest.main(verbosity=2)
