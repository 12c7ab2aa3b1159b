"""What the fault tests share: a test case with stages that proves that its faults happened."""

import collections
import concurrent.futures
import itertools
import unittest

from stage import EPOCH, FULL, KILLED, STOPPED, VARIANTS, Mail, Stage, text


def mails(count, folder="INBOX", size=300, twins=True, flags=()):
    """That many messages; every third has a twin behind it."""
    found = []
    for n in range(count):
        same = twins and n % 3 == 1
        body = found[-1].body if same else text("%s-%d" % (folder.replace("/", "-"), n), size)
        found.append(Mail(folder, body, flags, found[-1].date if same else EPOCH + 60 * n))
    return found


class Case(unittest.TestCase):
    """Every rule of a stage must have fired by the end of its test."""

    maxDiff = None

    def setUp(self):
        self.stages = []

    def each(self, function, at_once=12, **axes):
        """function(**combination) for every combination of the axes, several at once: most of it is waiting."""
        cases = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            waiting = [(case, pool.submit(function, **case)) for case in cases]
            for case, future in waiting:
                with self.subTest(**case):
                    future.result()

    def tearDown(self):
        errors = self._outcome.errors if hasattr(self._outcome, "errors") else []
        failed = any(error for _, error in errors)
        for stage in self.stages:
            unfired = stage.unfired()
            stage.__exit__()
            if not failed:
                self.assertEqual(unfired, [], "these faults never happened")

    def stage(self, mailbox=None, source=None, destination=None, **given):
        stage = Stage(source=source, destination=destination, **given)
        self.stages.append(stage)
        if mailbox:
            stage.fill(mailbox)
        stage.before = stage.at_source()
        return stage

    # -- what must hold --

    def check_exact(self, stage, run, code=0, causes=None, missing=None, extra=None):
        """Destination = source, but for what is said to be missing or extra."""
        self.assertEqual(stage.difference(missing, extra), "", str(run))
        self.assertEqual(dict(run.causes()), dict(causes or {}), str(run))
        self.assertEqual(run.code, code, str(run))
        if code in (0, 1):
            self.assertTrue(run.result.get("checked"), "not checked: %s" % run)
        if not missing and not extra and code == 0:
            told = run.summary["items_stored"] + run.summary["items_before"]
            self.assertEqual(told, sum(stage.at_source().values()), "the counts of the report")

    def check_idle(self, stage, code=0, causes=None, missing=None, extra=None, options=()):
        """One pass more uploads nothing and says the same."""
        uploads = stage.destination.count("APPEND")
        run = stage.copy(*options)
        self.check_exact(stage, run, code, causes, missing, extra)
        self.assertEqual(stage.destination.count("APPEND"), uploads, "the pass behind it uploaded again")
        return run

    def check_no_half(self, stage):
        """Nothing at the destination that is not, byte for byte, at the source."""
        known = {key[1] for key in stage.at_source()}
        for key in stage.at_destination():
            self.assertIn(key[1], known, "half a message, or a changed one: %s" % (key,))

    def check_source(self, stage):
        self.assertEqual(stage.at_source(), stage.before, "the source was changed")

    def check_error(self, run, code, *says):
        """One clear sentence on standard error, and the right exit code."""
        self.assertEqual(run.code, code, str(run))
        lines = [line for line in run.err.splitlines() if line.startswith("godwit: ")
                 and not line.startswith("godwit: warning:")]
        self.assertEqual(len(lines), 1, "not one sentence:\n%s" % run.err)
        for word in says:
            self.assertRegex(lines[0], "(?i)" + word)
        self.assertFalse(any(ord(c) < 32 and c not in "\r\n\t" for c in run.err), "control characters reached the terminal")
        self.assertEqual(run.result.get("exit"), code)
        self.assertTrue((run.result.get("error") or {}).get("cause"), "no cause in the JSON: %s" % run.result)

    @staticmethod
    def order(server, folder="INBOX"):
        return [m["sha256"] for m in server.messages(folder)]


def content_of(stage, folder, uid):
    """The key of one source message, as a multiset."""
    m = next(m for m in stage.source.messages(folder) if m["uid"] == uid)
    return collections.Counter({(folder, m["sha256"], " ".join(m["flags"]), m["epoch"]): 1})


def caps(variant):
    return {"caps": VARIANTS[variant]}


__all__ = ["Case", "EPOCH", "FULL", "KILLED", "Mail", "STOPPED", "VARIANTS", "caps", "content_of", "mails", "text"]
