#!/usr/bin/env python3
"""What happens when it is stopped half-way, by anything, and when two run at once.

After each stop a run to completion follows, and then an exact comparison: nothing is lost and
nothing doubled. Where the moment matters it is chosen at random, so that each run of the tests
tries others; a failure tells the moments.
"""

import os
import random
import signal
import time
import unittest

import case
import compare
import mailbox


#: What was under way when it stopped is sent again behind what follows.
AGAIN = (compare.Allowance("order", "what was under way is requeued at the folder's end"),)
#: Where a server is killed too.
KILLED_SERVER = (*AGAIN, compare.Allowance(
    "keywords", "a Dovecot that is killed before it writes a new keyword's name forgets the name, also after it showed it",
    lambda difference: any(word.startswith("unknown-") for word in difference["destination"])))


def boxes(count=90):
    """Messages that every server takes as they are, with twins and all combinations of flags."""
    difficult = {box.levels: box for box in mailbox.difficult(3)}
    return mailbox.sample(count, 3) + [difficult[name,] for name in ("Twins", "Flags")]


def timed(test, one, other):
    """(source, destination, what the source holds, how long an undisturbed copy of it takes)"""
    source, destination = test.ends(one, other)
    mailbox.fill(source.account, boxes())
    before = source.read()
    began = time.monotonic()
    test.copy(source, destination)
    return source, destination, before, time.monotonic() - began


class Stops(case.ServerCase):
    """Stopped on purpose."""

    def prepared(self, source="dovecot", destination="cyrus", count=700):
        """Two ends with enough to be stopped in the midst of it."""
        source, destination = self.ends(source, destination)
        mailbox.fill(source.account, boxes(count))
        return source, destination

    def at_work(self, source, destination, **how):
        """A run that has stored some messages and is not at its end."""
        process = self.start(source, destination, **how)
        self.assertTrue(case.wait_until(lambda: mentions(destination) > 40 or process.poll() is not None))
        self.assertIsNone(process.poll(), "it was done before it could be stopped")
        return process

    def stopped(self, number, whole_group):
        """Stop it with this signal, then finish the work."""
        source, destination = self.prepared()
        process = self.at_work(source, destination)
        workers = case.children(process.pid)
        for pid in (process.pid, *(workers if whole_group else ())):
            case.kill(pid, number)
        began = time.monotonic()
        outcome = self.finish(process)
        self.assertEqual(outcome.exit, 130, outcome)
        self.assertEqual(outcome.error["cause"], "stopped")
        self.assertLess(time.monotonic() - began, 10, "it took its time")
        stored = destination.appends()
        rest = self.copy(source, destination)
        self.assertEqual(destination.appends(), stored + rest.summary["items_stored"] - rest.summary["items_resolved"])
        self.check_same(source, destination, outcome, rest, allow=AGAIN)

    def test_interrupt(self):
        """Ctrl-C reaches all of its processes."""
        self.stopped(signal.SIGINT, True)

    def test_interrupt_alone(self):
        """A signal to the process that the user started."""
        self.stopped(signal.SIGINT, False)

    def test_terminate(self):
        """SIGTERM."""
        self.stopped(signal.SIGTERM, False)

    def test_hang_up(self):
        """The terminal was closed."""
        self.stopped(signal.SIGHUP, True)

    def test_worker_killed(self):
        """The controller says what happened and which way to go on."""
        source, destination = self.prepared()
        process = self.at_work(source, destination)
        for pid in case.children(process.pid):
            case.kill(pid)
        outcome = self.finish(process)
        self.assertNotEqual(outcome.exit, 0, outcome)
        self.assertTrue(outcome.error, outcome)
        rest = self.copy(source, destination)
        self.check_same(source, destination, outcome, rest, allow=AGAIN)

    def test_controller_killed(self):
        """The worker does not go on alone."""
        source, destination = self.prepared()
        process = self.at_work(source, destination)
        workers = case.children(process.pid)
        self.assertTrue(workers)
        case.kill(process.pid)
        self.assertTrue(case.wait_until(lambda: not any(map(alive, workers)), 10), "the worker lives on")
        self.finish(process, killed=True)
        self.check_same(source, destination, self.copy(source, destination), allow=AGAIN)

    def test_server_killed(self):
        """The destination dies, and is back a little later: the same run goes on."""
        source, destination = self.prepared("dovecot", "dovecot")
        process = self.at_work(source, destination)
        destination.server.kill()
        time.sleep(0.5)
        destination.server.start()
        outcome = self.finish(process)
        self.assertEqual(outcome.exit, 0, outcome)
        self.assertGreaterEqual(outcome.summary["reconnects"], 1)
        self.check_same(source, destination, outcome, allow=KILLED_SERVER)

    def test_two_at_once(self):
        """One destination account takes one godwit; the second is told of the first."""
        source, destination = self.prepared(count=100)
        process = self.start(source, destination)
        self.assertTrue(case.wait_until(lambda: case.children(process.pid)))
        workers = case.children(process.pid)
        for pid in workers:     # holds the first where it is
            case.kill(pid, signal.SIGSTOP)
        time.sleep(0.2)
        for state in (self.states, self.states + "-of-another"):
            with self.subTest(state=os.path.basename(state)):
                second = self.copy(source, destination, state=state, expect=30)
                self.check_error(second, 30, "locked", None, [str(process.pid), destination.name])
        for pid in workers:
            case.kill(pid, signal.SIGCONT)
        outcome = self.finish(process)
        self.assertEqual(outcome.exit, 0, outcome)
        self.check_same(source, destination, outcome)


class ServerKills(case.ServerCase):
    """kill -9 of a real server at random moments of a run, which goes on when it is back."""

    def rounds(self, one, other, whose):
        """Kill, start again, compare; the destination is a new account each time."""
        chance = random.Random()
        allow = [*case.allowances(one, other), *KILLED_SERVER]
        source, destination, before, duration = timed(self, one, other)
        for number in range(max(1, case.ROUNDS // 3)):  # a server takes its time to be back
            target, moment = self.end(destination.server), chance.random() * duration
            state = os.path.join(self.work, f"state{number}")
            server = (source if whose == "source" else target).server
            with self.subTest(moment=moment):
                process = self.start(source, target, state=state)
                time.sleep(moment)
                server.kill()
                server.start()
                outcome = self.finish(process)
                self.assertIn(outcome.exit, (0, 10), outcome)   # 10: it had not logged in yet
                outcomes = [outcome] if outcome.exit == 0 else [self.copy(source, target, state=state)]
                self.check_same(before, target, *outcomes, allow=allow)
                again = self.copy(source, target, state=state)
                self.assertEqual(again.summary["items_stored"], 0, again)

    def test_dovecot(self):
        """The destination, Dovecot."""
        self.rounds("dovecot", "dovecot", "destination")

    def test_cyrus(self):
        """The destination, Cyrus."""
        self.rounds("dovecot", "cyrus", "destination")

    def test_courier(self):
        """The destination, Courier."""
        self.rounds("dovecot", "courier", "destination")

    def test_source(self):
        """The source, Cyrus."""
        self.rounds("cyrus", "dovecot", "source")

    def locked(self, lock, text, *options):
        """(source, destination, outcome) of a copy to an account where a killed Dovecot left that lock."""
        source, destination = self.ends("dovecot", "dovecot")
        mailbox.fill(source.account, boxes())
        maildir = destination.server.maildir(destination.name)
        with destination.account.connect() as link:
            link.select("INBOX")    # makes the Maildir
        owner, numbers = os.stat(maildir), sorted(map(number_inside, destination.server.pids()))
        destination.server.kill()
        path = os.path.join(maildir, lock)
        with open(path, "w", encoding="ascii") as out:
            out.write(text.format(number=numbers[1], host=os.uname().nodename))
        os.chown(path, owner.st_uid, owner.st_gid)
        destination.server.start()
        return source, destination, self.copy(source, destination, *options)

    def test_lock(self):
        """A lock of a killed process is nobody's, also where process numbers begin anew with the server."""
        source, destination, outcome = self.locked("dovecot-uidlist.lock", "{number}:{host}")
        self.assertEqual((outcome.exit, outcome.summary["reconnects"]), (0, 0), outcome)
        self.check_same(source, destination, outcome)

    def test_empty_lock(self):
        """Killed before it wrote its number into the lock: Dovecot waits until the lock is old, godwit asks again."""
        source, destination, outcome = self.locked("subscriptions.lock", "", "--timeout", "10")
        self.assertEqual(outcome.exit, 0, outcome)
        self.assertGreaterEqual(outcome.summary["reconnects"], 1)
        self.check_same(source, destination, outcome)

    def test_no_room(self):
        """Cyrus cannot make the file of a message, says NO, and takes the message that comes along for commands."""
        source, destination = self.ends("dovecot", "cyrus")
        mailbox.fill(source.account, boxes())
        with destination.server.no_stage():
            process = self.start(source, destination)
            self.assertTrue(case.wait_until(lambda: destination.server.stage_failures() or process.poll() is not None))
        outcome = self.finish(process)
        self.assertEqual(outcome.exit, 0, outcome)
        self.assertGreaterEqual(outcome.summary["reconnects"], 1)
        self.assertTrue(any("System I/O error" in note["text"] for note in outcome.of("note")), outcome)
        self.check_same(source, destination, outcome, allow=AGAIN)


def mentions(end):
    """How often the server's log names the account, which is soon asked: unlike End.appends()."""
    with open(end.server.log_path, "rb") as log:
        return log.read().count(end.name.encode())


def number_inside(pid):
    """A server's process number as the server sees it."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as text:
        return int(next(line for line in text if line.startswith("NSpid:")).split()[-1])


def alive(pid):
    """Whether a process is there and not only its remains."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            return text.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Kills:
    """kill -9 at random moments, each pair of servers many times; a subclass has one source."""

    kind = None

    def test_to_dovecot(self):
        """Killed on the way to Dovecot."""
        self.rounds(self.kind, "dovecot")

    def test_to_cyrus(self):
        """Killed on the way to Cyrus."""
        self.rounds(self.kind, "cyrus")

    def test_to_courier(self):
        """Killed on the way to Courier."""
        self.rounds(self.kind, "courier")

    def rounds(self, one, other):
        """Kill, perhaps again, complete, compare; with an account of its own each time."""
        chance, began = random.Random(), time.monotonic()
        allow = [*case.allowances(one, other), *AGAIN]
        source, destination, before, duration = timed(self, one, other)
        killed = 0
        for number in range(case.ROUNDS):
            target, moments = self.end(destination.server), []
            state = os.path.join(self.work, f"state{number}")
            for _ in range(chance.choice((1, 1, 2, 3))):
                moment, whom = chance.random() * duration, chance.choice(("controller", "worker"))
                moments.append((round(moment, 4), whom))
                self.kill_once(source, target, state, moment, whom)
            with self.subTest(moments=moments):
                outcome = self.copy(source, target, state=state)
                self.check_same(before, target, outcome, allow=allow)
                again = self.copy(source, target, state=state)
                self.assertEqual(again.summary["items_stored"], 0, again)
            killed += len(moments)
        print(f"{one} to {other}: {killed} kills in {case.ROUNDS} rounds, {time.monotonic() - began:.0f} s")

    def kill_once(self, source, target, state, moment, whom):
        """A run that is killed after `moment` seconds, whatever it is at then."""
        process = self.start(source, target, state=state)
        time.sleep(moment)
        workers = case.children(process.pid)
        for pid in workers if whom == "worker" else [process.pid]:
            case.kill(pid)
        self.finish(process, killed=whom == "controller")
        self.assertTrue(case.wait_until(lambda: not any(map(alive, workers)), 10), "the worker lives on")


class KillsFromDovecot(Kills, case.ServerCase):
    """Dovecot as the source."""

    kind = "dovecot"


class KillsFromCyrus(Kills, case.ServerCase):
    """Cyrus as the source."""

    kind = "cyrus"


class KillsFromCourier(Kills, case.ServerCase):
    """Courier as the source."""

    kind = "courier"


if __name__ == "__main__":
    unittest.main(verbosity=2)
