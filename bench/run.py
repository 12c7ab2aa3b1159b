#!/usr/bin/env python3
"""Measures godwit beside the floor and its rivals, between real servers. Needs root; ./do bench calls it.

    run.py [--long] [CASE...]       short form where no case is named
    run.py --table RESULTS [--write docs/performance.md]

A CASE is first-MAILBOX-SERVER-RTT[-RATE], later-MAILBOX-SERVER-RTT or memory-MAILBOX-SERVER: such as
first-S-dovecot-0ms, first-S-cyrus-40ms-100mbit, later-M-dovecot-40ms, memory-one300-dovecot.

    first   an empty destination is filled
    later   a pass over what has not changed, then one after 1 % has, again and again
    memory  one first pass a peer, whose memory is looked at every few milliseconds

The peers take turns within each round, so that what else happens on the machine meets all of them.
Each run is checked by counting what is at the destination; the first of each peer by reading all of
it. Source Dovecot, destination as named, both from the test kit, on a tmpfs and without fsync; both,
the client and the delay line share the machine's processors.
"""

import argparse
import contextlib
import functools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "kit"))
# pylint: disable=wrong-import-position
import check
import mailboxes
import peers
import table
from certs import NAMES, Authority
from imap import Account, folders, ok, quoted
from measure import Groups, Meter
from network import ADDRESS, Network, private_mounts
from servers import Cyrus, Dovecot, cache_directory, unpacked

KINDS = {"dovecot": Dovecot, "cyrus": Cyrus, "mdbox": functools.partial(Dovecot, store="mdbox")}
PASSWORD = "measured"
NAMES_OF_CASES = re.compile(r"(first|later|memory)-(\w+?)-(dovecot|cyrus|mdbox)(?:-(\d+)ms(?:-(\d+)mbit)?)?")

SHORT = ("first-S-dovecot-0ms", "first-M-dovecot-0ms", "later-S-dovecot-0ms", "first-S-dovecot-40ms", "memory-one60-dovecot")
LONG = (*(f"first-{mailbox}-{server}-{rtt}ms" for rtt in (0, 40) for mailbox in "SM" for server in ("dovecot", "cyrus")),
        "first-S-dovecot-40ms-100mbit",
        *(f"later-{mailbox}-dovecot-{rtt}ms" for rtt in (0, 40) for mailbox in "SM"),
        *(f"memory-{mailbox}-dovecot" for mailbox in ("S", "M", "one300")), "memory-tiny1000000-mdbox")


@dataclass(frozen=True)
class Form:
    """How much is done."""

    rounds: int
    patience: float     # seconds a run may take
    budget: float       # seconds after which a rival has run often enough in a case
    peers: tuple
    once: tuple = ("dsync",)    # peers that run in the first round only


FORMS = {
    "short": Form(3, 60, 15, ("limit1", "limit4", "godwit", "mbsync", "interimap")),
    "long": Form(15, 900, 3600, tuple(peers.ALL)),
}


@dataclass(frozen=True)
class Case:
    """One line-up, by its name."""

    name: str
    kind: str
    mailbox: str
    server: str
    rtt: int
    rate: int

    @classmethod
    def named(cls, name):
        """Of that name; ValueError if it is none."""
        found = NAMES_OF_CASES.fullmatch(name)
        if not found or (found[1] == "memory") != (found[4] is None):
            raise ValueError(f"{name} is no case")
        return cls(name, found[1], found[2], found[3], int(found[4] or 0), int(found[5] or 0))


class Bench:
    """The servers, the network and what was measured."""

    def __init__(self, form, work, results, programs):
        self.form, self.work, self.results, self.programs = form, work, results, programs
        for kind in ("dovecot", "cyrus"):      # while there is still a way out of here, should they have to be fetched
            unpacked(kind)
        self.groups = Groups()
        self.network = Network(os.path.join(programs, "delay"))
        self.authority = Authority(os.path.join(work, "ca"))
        self.authority.issue("server", names=(*NAMES, ADDRESS))
        self.servers, self.sources, self.read = {}, {}, {}
        self.number = 0
        self.closing = contextlib.ExitStack()

    def __enter__(self):
        # last of all, when nothing is left in them
        self.closing.callback(self.groups.close)
        self.source = self.server("source", Dovecot)
        return self

    def __exit__(self, *_):
        self.closing.close()

    def say(self, text):
        """To who waits."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    # Servers and mailboxes.

    def server(self, name, kind=None):
        """A server, started when it is first asked for."""
        if name not in self.servers:
            with self.groups.inside(name):
                server = (kind or KINDS[name])(os.path.join(self.work, name), authority=self.authority, listen=["0.0.0.0"])
                self.closing.enter_context(server)
            self.servers[name] = server
        return self.servers[name]

    def account(self, server, user):
        """As the checks see it."""
        return Account(server.host, server.port, user, PASSWORD, timeout=600)

    def fresh_source(self, mailbox):
        """A new source account with that mailbox, its caches filled, so that no peer pays for the first look."""
        self.number += 1
        user = f"s{self.number}"
        self.source.user(user, PASSWORD)
        cache = os.path.join(cache_directory(), "mailboxes")
        mailboxes.install(mailbox, self.source.maildir(user), cache)
        with self.account(self.source, user).connect() as connection:
            for folder in folders(connection).values():
                if folder.selectable and int(ok(connection.select(quoted(folder.name), readonly=True))[0]):
                    attributes = "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"
                    ok(connection.fetch("1:*", f"({'UID RFC822.SIZE' if mailbox.startswith('tiny') else attributes})"))
        return user

    def source_of(self, mailbox):
        """The account with that mailbox, which nothing changes."""
        if mailbox not in self.sources:
            self.say(f"mailbox {mailbox}")
            self.sources[mailbox] = self.fresh_source(mailbox)
        return self.sources[mailbox]

    def destination(self, case):
        """A new empty account."""
        self.number += 1
        user = f"d{self.number}"
        self.server(case.server).user(user, PASSWORD)
        return user

    def job(self, case, source, destination, peer):
        """What the peer is to do."""
        work = os.path.join(self.work, "peers", f"{destination}-{peer}")
        os.makedirs(work, exist_ok=True)
        server = self.server(case.server)
        return peers.Job(peers.End(self.network.address, self.source.tls_port, source),
                         peers.End(self.network.address, server.tls_port, destination),
                         PASSWORD, self.authority, self.programs, work)

    # One run.

    def measure(self, case, what, peer, job, command, number, line):
        """Run it and keep what it cost; the sample, whose verdict is still to come."""
        if line:
            line.report()
        before = self.network.counted()
        log = os.path.join(job.work, "log")
        meter = Meter(self.groups, self.network, {"source": self.source, case.server: self.server(case.server)})
        result = meter.run(command, log, self.form.patience, memory=what == "memory")
        after = self.network.counted()
        sample = {
            "case": case.name, "pass": what, "peer": peer, "round": number, "wall": round(result.wall, 4), "status": result.status,
            "cpu": round(result.cpu, 3), "cpu_source": round(result.cpu_servers["source"], 3),
            "cpu_destination": round(result.cpu_servers[case.server], 3), "cpu_line": round(result.cpu_servers.get("line", 0), 3),
            "bytes": {name: after[name] - before[name] for name in after}, "load": round(os.getloadavg()[0], 2),
            **self.told(peer, log)}
        if line:
            sample["waits"] = self.waits(line.report())
        if result.memory:
            sample["pss"] = result.memory.pss
            sample["high_water"] = sum(result.memory.high_water.values())
            sample["looks"] = result.memory.looks
        if result.status != 0:
            with open(log, encoding="utf-8", errors="replace") as text:
                sample["last_words"] = text.read()[-300:]
        return sample

    def waits(self, flows):
        """Round trips that were waited for: {source, destination: all of that side; longest: of one connection}."""
        found = {"source": 0, "destination": 0, "longest": max((flow["waits"] for flow in flows), default=0)}
        for flow in flows:
            found["source" if flow["server"] == self.source.tls_port else "destination"] += flow["waits"]
        return found

    @staticmethod
    def told(peer, log):
        """What the program says of itself."""
        with open(log, encoding="utf-8", errors="replace") as text:
            words = text.read()
        with contextlib.suppress(ValueError, IndexError, KeyError):
            if peer in peers.OURS:
                last = json.loads(words.splitlines()[-1])
                return {"told_waits": [last["summary"]["source_waits"], last["summary"]["destination_waits"]],
                        "checked": last["checked"], "causes": last["causes"]}
            if peer in peers.FLOORS:
                return {"refused": json.loads(words.splitlines()[-1])["refused"]}
        return {}

    def keep(self, sample, verdict):
        """A sample is complete: write it down."""
        sample["there"], sample["faults"], sample["read"] = verdict.there, verdict.faults, verdict.whole
        self.results.write(json.dumps(sample) + "\n")
        self.results.flush()
        faults = ", ".join(f"{key} {count}" for key, count in verdict.faults.items())
        memory = f", {sample['pss'] / 1024:.1f} MB" if "pss" in sample else ""
        self.say(f"{sample['case']} {sample['pass']} {sample['peer']} {sample['wall']:.2f} s, CPU {sample['cpu']:.2f}{memory}, load "
                 f"{sample['load']}{'' if sample['status'] == 0 else ', status ' + str(sample['status'])}{', ' + faults if faults else ''}")

    # Cases.

    def run(self, case):
        """Measure one case."""
        if (case.rtt or case.rate) and self.network.no_line:
            self.say(f"{case.name} cannot be measured here: no delay line ({self.network.no_line})")
            return
        server = self.server(case.server)
        self.network.count([self.source.tls_port], [server.tls_port])
        getattr(self, "_" + case.kind)(case)

    def _line(self, case):
        if not case.rtt and not case.rate:
            return contextlib.nullcontext()
        return self.network.line(case.rtt, case.rate, lambda: self.groups.inside("line"))

    def order(self, number, names):
        """The peers of a round: each begins once."""
        at = number % len(names)
        return names[at:] + names[:at]

    def enough(self, peer, number, spent):
        """Whether a peer is passed over in this round."""
        return peer in peers.RIVALS and (spent[peer] >= self.form.budget or number > 0 and peer in self.form.once)

    def _once(self, case, what, peer, number, line):
        """One first pass into an account of its own, checked; its wall time."""
        source, destination = self.source_of(case.mailbox), self.destination(case)
        job = self.job(case, source, destination, peer)
        sample = self.measure(case, what, peer, job, peers.ALL[peer](job), number, line)
        self.keep(sample, self.verdict(case, source, destination, whole=number == 0 and not case.mailbox.startswith("tiny")))
        self.server(case.server).wipe(destination)
        shutil.rmtree(job.work)
        return sample["wall"]

    def verdict(self, case, source, destination, whole):
        """What is at the destination of an unchanging source."""
        ours, theirs = self.account(self.source, source), self.account(self.server(case.server), destination)
        if not whole:
            return check.counted(self._kept(check.counts, ours), check.counts(theirs))
        return check.compare(self._kept(check.read, ours), check.read(theirs))

    def _kept(self, look, account):
        key = (look, account.user)
        if key not in self.read:
            self.read[key] = look(account)
        return self.read[key]

    def _first(self, case):
        spent = dict.fromkeys(self.form.peers, 0)
        with self._line(case) as line:
            for number in range(self.form.rounds):
                for peer in self.order(number, self.form.peers):
                    if self.enough(peer, number, spent):
                        continue
                    spent[peer] += self._once(case, "first", peer, number, line)

    def _memory(self, case):
        for peer in self.form.peers:
            if peer == "godwit" or peer in peers.RIVALS and not case.mailbox.startswith("tiny"):
                self._once(case, "memory", peer, 0, None)

    def _later(self, case):
        """All peers look at one source, which changes between rounds; each has a destination of its own."""
        source = self.fresh_source(case.mailbox)
        ours = self.account(self.source, source)
        former = check.read(ours)
        names = tuple(peer for peer in self.form.peers if peer not in peers.FLOORS)
        jobs = {}
        for peer in names:      # without delay: it is not measured
            jobs[peer] = job = self.job(case, source, self.destination(case), peer)
            sample = self.measure(case, "before", peer, job, peers.ALL[peer](job), 0, None)
            if sample["status"] != 0:
                self.say(f"{case.name}: {peer} ended with {sample['status']}: {sample['last_words']}")
        with self._line(case) as line:
            spent = dict.fromkeys(names, 0)
            for number in range(self.form.rounds):
                self._round(case, "same", jobs, number, line, spent)
                self.say(f"changed: {mailboxes.change(ours, number)}")
                self._round(case, "changed", jobs, number, line, spent)
            for peer, job in jobs.items():      # who was passed over in the last rounds catches up, unmeasured
                if self.enough(peer, self.form.rounds, spent):
                    self.measure(case, "after", peer, job, peers.ALL[peer](job), 0, None)
        self._judge(case, ours, former, jobs)
        for peer, job in jobs.items():
            self.server(case.server).wipe(job.destination.user)
            shutil.rmtree(job.work)

    def _round(self, case, what, jobs, number, line, spent):
        for peer in self.order(number, tuple(jobs)):
            if self.enough(peer, number, spent):
                continue
            job = jobs[peer]
            sample = self.measure(case, what, peer, job, peers.ALL[peer](job), number, line)
            spent[peer] += sample["wall"]
            self.keep(sample, check.counted(check.counts(self.account(self.source, job.source.user)),
                                            check.counts(self.account(self.server(case.server), job.destination.user)), later=True))

    def _judge(self, case, ours, former, jobs):
        """After the last round: read all of it, in a line of its own."""
        now = check.read(ours)
        for peer, job in jobs.items():
            verdict = check.compare(now, check.read(self.account(self.server(case.server), job.destination.user)), former)
            self.results.write(json.dumps({"case": case.name, "pass": "judged", "peer": peer, "faults": verdict.faults,
                                           "there": verdict.there, "read": True}) + "\n")
            self.say(f"{case.name} {peer}, all read: {verdict.faults or 'exact'}")


def describe(form, names):
    """The first line of the results: what was measured where."""
    def first(*command):
        with contextlib.suppress(OSError):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return (done.stdout or done.stderr).strip().split("\n")[0]
        return None
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        model = next((line.split(":", 1)[1].strip() for line in text if line.startswith("model name")), platform.machine())
    return {"run": {"date": time.strftime("%Y-%m-%d", time.gmtime()), "form": form, "cases": names, "cpus": os.cpu_count(), "cpu": model,
                    "kernel": platform.release(), "tcp": first("sysctl", "-n", "net.ipv4.tcp_congestion_control"), "godwit": first(peers.GODWIT, "--version"),
                    "commit": first("git", "-C", ROOT, "describe", "--always", "--dirty"),
                    "isync": first("dpkg-query", "-W", "-f", "${Version}", "isync"),
                    "interimap": first("dpkg-query", "-W", "-f", "${Version}", "interimap"), "load": os.getloadavg()}}


@contextlib.contextmanager
def memory_disk():
    """A directory on a tmpfs that is gone with this process."""
    directory = tempfile.mkdtemp(prefix="godwit-bench-")
    try:
        private_mounts()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=75%,nr_inodes=0,mode=755", "bench", directory], check=True)
        mounted = True
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"run.py: no tmpfs, so the disk is measured too: {error}", file=sys.stderr)
        mounted = False
    try:
        yield directory
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", directory], check=True)
        shutil.rmtree(directory, ignore_errors=True)


def bench(args):
    """Measure, and tell."""
    if os.geteuid() != 0:
        raise SystemExit("run.py: must be root: the mail servers run in roots of their own")
    form = FORMS["long" if args.long else "short"]
    chosen = tuple(args.peers.split(",")) if args.peers else form.peers
    form = replace(form, rounds=args.rounds or form.rounds, budget=args.budget or form.budget,
                   peers=tuple(peer for peer in chosen if peer not in peers.missing()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that what is open is closed
    for peer in peers.missing():
        print(f"run.py: {peer} is not installed, so it is left out", file=sys.stderr)
    cases = [Case.named(name) for name in args.case or (LONG if args.long else SHORT)]
    os.makedirs(args.output, exist_ok=True)
    path = os.path.join(args.output, "results.jsonl")
    with memory_disk() as work, open(path, "w", encoding="utf-8") as results:
        with Bench(form, work, results, args.programs) as running:
            results.write(json.dumps(describe("long" if args.long else "short", [case.name for case in cases])) + "\n")
            for case in cases:
                running.run(case)
    return path


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="measure godwit beside the floor and its rivals", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="all cases, 15 rounds: hours")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="after which a rival has run often enough in a case")
    parser.add_argument("--peers", help=f"of {','.join(peers.ALL)}")
    parser.add_argument("--output", default=os.path.join(ROOT, "build", "bench-results"), help="directory for results.jsonl and the plots")
    parser.add_argument("--programs", default=os.path.join(ROOT, "build", "bench"), help="where limit and delay are")
    parser.add_argument("--table", metavar="RESULTS", help="measure nothing, make the table of these")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document, between its marks, and plots beside it")
    parser.add_argument("case", nargs="*", help="such as first-S-dovecot-0ms")
    args = parser.parse_args()
    try:
        path = args.table or bench(args)
    except ValueError as error:
        parser.error(str(error))
    table.publish(path, args.output, args.write)


if __name__ == "__main__":
    main()
