#!/usr/bin/env python3
"""What ./do bench stands on: its mailboxes, the floor, the checking and the tables, without namespaces and rivals."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "bench"))
# pylint: disable=wrong-import-position
import case
import check
import mailboxes
import measure
import table

LIMIT = os.path.join(os.environ.get("PROGRAMS") or os.path.join(case.ROOT, "build", "bench"), "limit")


class Mailboxes(unittest.TestCase):
    """The generator."""

    def setUp(self):
        self.work = self.enterContext(tempfile.TemporaryDirectory())

    def generated(self, name, directory):
        """{relative path: (digest, date)} of all files."""
        root, found = os.path.join(self.work, directory), {}
        mailboxes.generate(name, root)
        for path, _, files in os.walk(root):
            for file in files:
                with open(os.path.join(path, file), "rb") as text:
                    stamp = int(os.path.getmtime(text.name)) if "/cur" in path else None
                    found[os.path.relpath(text.name, root)] = (hashlib.sha256(text.read()).hexdigest(), stamp)
        return found

    def test_the_same_each_time(self):
        """Bytes, names and dates."""
        self.assertEqual(self.generated("XS", "one"), self.generated("XS", "two"))

    def test_shapes(self):
        """Messages, folders and about the bytes that are said, without writing them."""
        for name, shape in mailboxes.SHAPES.items():
            names, sizes = mailboxes.Author(name, shape).plan()
            self.assertEqual(len(names), shape.messages)
            self.assertEqual(set(names), {folder for folder, share in shape.folders.items() if share})
            self.assertAlmostEqual(sum(sizes) / shape.size, 1, delta=0.02, msg=name)
            self.assertTrue(set(shape.big) <= set(sizes))

    def test_what_is_in_it(self):
        """What makes a copy difficult is there; files are as large as their names say."""
        root = os.path.join(self.work, "XS")
        self.assertEqual(mailboxes.generate("XS", root), 120)
        self.assertEqual(sum(mailboxes.tally(root).values()), 120)
        digests, dates = [], []
        for path, _, files in os.walk(root):
            for file in files if path.endswith("/cur") else ():
                with open(os.path.join(path, file), "rb") as text:
                    data = text.read()
                self.assertIn(f",S={len(data)},", file)
                self.assertNotIn(b"\n", data.replace(b"\r\n", b""))
                digests.append(hashlib.sha256(data).digest())
                dates.append(int(file.split(".")[0]))
        self.assertLess(max(dates), mailboxes.LAST_DATE)
        self.assertGreater(len(set(digests)), 110)

    def test_special_ones(self):
        """One large message among forty; many tiny ones."""
        root = os.path.join(self.work, "one1")
        self.assertEqual(mailboxes.generate("one1", root), 41)
        largest = max(os.path.getsize(os.path.join(root, "cur", file)) for file in os.listdir(os.path.join(root, "cur")))
        self.assertAlmostEqual(largest, 1e6, delta=1e5)
        self.assertEqual(mailboxes.generate("tiny30", os.path.join(self.work, "tiny")), 30)
        with self.assertRaises(ValueError):
            mailboxes.generate("tinny30", os.path.join(self.work, "tinny"))


class Floor(case.ServerCase):
    """limit.c between two Dovecots, and what check.py makes of what is there."""

    def setUp(self):
        super().setUp()
        self.source, self.destination = self.ends("dovecot", "dovecot")
        mailboxes.install("XS", self.source.server.maildir(self.source.name), os.path.join(self.work, "cache"))

    def limit(self, operation, connections, *ends, expect=0):
        """Run it; what it printed."""
        words = [word for end in ends for word in (end.server.host, str(end.server.tls_port), end.name)]
        done = subprocess.run([LIMIT, operation, str(connections), self.authority.ca_file, self.file("password", case.PASSWORD + "\n"),
                               *words], capture_output=True, text=True, check=False, timeout=case.PATIENCE)
        self.assertEqual(done.returncode, expect, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def verdict(self, former=None):
        """Of reading both ends."""
        return check.compare(check.read(self.source.account), check.read(self.destination.account), former)

    def test_copies(self):
        """All of it, with one connection and with four, by both ways; a mailbox that is there already is refused."""
        for operation, connections in (("copy", 1), ("copy", 4), ("append", 2)):
            told = self.limit(operation, connections, self.source, self.destination)
            self.assertEqual((told["messages"], told["refused"]), (120, 0))
            self.assertEqual(self.verdict().faults, {}, (operation, connections))
            self.assertEqual(self.destination.appends() % 120, 0)
            if connections == 2:
                self.assertGreater(self.limit("copy", 1, self.source, self.destination, expect=1)["refused"], 0)
            self.destination.server.wipe(self.destination.name)
        self.assertEqual(self.limit("fetch", 1, self.source)["messages"], 120)
        self.assertIn("login", self.limit("fetch", 1, case.End(self.source.server, "nobody"), expect=2))

    def test_faults_are_seen(self):
        """What is lost, doubled or changed at the destination is told, by counting and by reading."""
        self.limit("copy", 1, self.source, self.destination)
        former = check.read(self.source.account)
        with self.destination.account.connect() as connection:
            connection.select("INBOX")
            connection.store("1", "+FLAGS", "(\\Deleted)")
            connection.store("2", "+FLAGS", "(\\Flagged \\Draft)")
            connection.store("3", "+FLAGS", "(surprise)")
            connection.copy("4:5", "Sent")
            connection.expunge()
        self.assertEqual(self.verdict().faults, {"lost": 1, "doubled": 2, "flags": 1, "keywords": 1})
        counted = check.counted(check.counts(self.source.account), check.counts(self.destination.account))
        self.assertEqual(counted.faults, {"lost": 1, "doubled": 2})
        done = mailboxes.change(self.source.account, 0)
        self.assertTrue(done.new and done.flagged and done.moved and done.removed, done)
        verdict = self.verdict(former)      # what has left the source may stay
        self.assertEqual(verdict.doubled, 2)
        self.assertGreaterEqual(verdict.lost, 1 + done.new)

    def test_meter(self):
        """Time, CPU and memory of a command and its children, and its end where it takes too long."""
        class Nowhere:
            """No network of its own."""
            enter_clients = staticmethod(lambda: None)

        class Command:
            """Two processes that keep 20 MB each and work."""
            argv = [sys.executable, "-c", "import os, time\npid = os.fork()\nblock = os.urandom(20 << 20)\nend = time.time() + .5\n"
                    "while time.time() < end: pass\npid and os.wait()"]
            work, environment = self.work, {}
        groups = measure.Groups()
        self.addCleanup(groups.close)
        meter = measure.Meter(groups, Nowhere, {})
        result = meter.run(Command, os.path.join(self.work, "log"), 30, memory=True)
        self.assertEqual(result.status, 0)
        self.assertGreater(result.wall, .5)
        self.assertGreater(result.cpu, .05)
        self.assertGreater(result.memory.pss, 40 << 10)
        self.assertEqual(len(result.memory.high_water), 2)
        Command.argv = ["sleep", "60"]
        result = meter.run(Command, os.path.join(self.work, "log"), .2)
        self.assertIsNone(result.status)
        self.assertLess(result.wall, 30)


def sample(peer, number, wall, **more):
    """A line of results.jsonl."""
    return {"case": "first-S-dovecot-0ms", "pass": "first", "peer": peer, "round": number, "wall": wall, "status": 0, "cpu": wall / 2,
            "cpu_source": 1, "cpu_destination": 1, "bytes": {"source_in": 1000000}, "load": 1, "there": 2000, "faults": {}, "read": True, **more}


class Tables(unittest.TestCase):
    """What is made of given numbers."""

    SAMPLES = [
        *(sample("limit1", number, wall) for number, wall in enumerate((2, 2.2, 1.8))),
        *(sample("limit4", number, wall) for number, wall in enumerate((1, 1.2, 1.1))),
        *(sample("godwit", number, wall, told_waits=[9, 7]) for number, wall in enumerate((1.32, 1.4, 1.2))),
        sample("mbsync", 0, 5, faults={"lost": 3, "changed": 2000}),
        sample("interimap", 0, 45, status=None, faults={"lost": 900}),
    ]

    def results(self, samples=None):
        """As read from a file."""
        return table.Results(json.dumps(line) for line in samples or self.SAMPLES)

    def test_ratios(self):
        """Medians, the better floor, and the spread within rounds."""
        results = self.results()
        self.assertEqual(results.floor("first-S-dovecot-0ms"), ("limit4", 1.1))
        ratio = results.ratio("first-S-dovecot-0ms", "first", "godwit", "limit4")
        self.assertAlmostEqual(ratio[0], 1.2)
        self.assertAlmostEqual(ratio[1], 1.2 / 1.1)
        self.assertAlmostEqual(ratio[2], 1.32)

    def test_table(self):
        """Losses and ends are seen; who was ended has a bound instead of a time."""
        text = table.tables(self.results())
        rows = {line.split("|")[1].strip(" *"): line for line in text.splitlines() if line.startswith("|")}
        self.assertIn("1.20 (1.09–1.32)", rows["godwit"])
        self.assertIn("**lost 3**, changed 2000", rows["mbsync"])
        self.assertIn("> 45", rows["interimap"])
        self.assertIn("not done in time", rows["interimap"])
        self.assertIn("exact", rows["limit4"])

    def test_bars(self):
        """Met, missed and not measured."""
        rows = {line.split("|")[1].strip(): line for line in table.bar_table(self.results()).splitlines()}
        self.assertIn("| met |", rows["first-S-dovecot-0ms: time, of the floor's"])
        self.assertIn("| met |", rows["first-S-dovecot-0ms: a rival's time, of godwit's"])
        self.assertIn("not measured", rows["first-M-dovecot-0ms: time, of the floor's"])
        slow = [{**entry, "wall": 9, "cpu": 9} if entry["peer"] == "godwit" else entry for entry in self.SAMPLES]
        rows = {line.split("|")[1].strip(): line for line in table.bar_table(self.results(slow)).splitlines()}
        for bar in ("time, of the floor's", "a rival's time, of godwit's", "client's CPU, of the floor's"):
            self.assertIn("**missed**", rows[f"first-S-dovecot-0ms: {bar}"])

    def test_document(self):
        """The part between the marks is replaced, again and again; plots are drawn beside it."""
        with tempfile.TemporaryDirectory() as work:
            document, results = os.path.join(work, "page.md"), os.path.join(work, "results.jsonl")
            with open(results, "w", encoding="utf-8") as out:
                out.writelines(json.dumps(line) + "\n" for line in self.SAMPLES)
            with open(document, "w", encoding="utf-8") as out:
                out.write(f"before\n{table.BEGIN}\nof yesterday\n{table.END}\nafter\n")
            for _ in range(2):
                with contextlib.redirect_stdout(io.StringIO()):
                    table.publish(results, work, document)
            with open(document, encoding="utf-8") as text:
                written = text.read()
            self.assertEqual((written.count("### S, Dovecot to Dovecot"), "yesterday" in written), (1, False))
            self.assertTrue(written.startswith("before\n") and written.endswith("after\n"))
            with open(os.path.join(work, "bench-first.svg"), encoding="utf-8") as picture:
                self.assertEqual(picture.read().count("<rect"), 4)
        with self.assertRaises(ValueError):
            table.replace("a page without marks", "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
