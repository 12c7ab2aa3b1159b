#!/usr/bin/python3
"""Runs godwit again against a record: replay.py FILE [--godwit PROGRAM] [--quiet]

Both sides are played on loopback, godwit runs between them with the recorded options and an empty
state, and how it ends (exit code, causes, counts) is held against the record.  Exit 0: the same.
What cannot be played: a pass with a memory of earlier ones, a source that is a Maildir, a connection whose
certificate was not trusted, samples of verify.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import fakeimap
import player

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIMES = re.compile("elapsed_ms|seed|probe_ms|.*_round_ms|.*_waits|.*_bytes_(in|out)")      # and what a login costs
OURS = ("--output", "--debug", "--quiet", "--timeout", "--insecure", "--lanes")


class Replay:
    """One record, once."""

    def __init__(self, path, godwit):
        self.record, self.godwit = player.Record(path), godwit
        self.words = self.record.head["record"][0].split()[3:]
        self.sides = {text.split()[0]: text.split()[1:] for text in self.record.head["side"]}
        self.work = tempfile.mkdtemp(prefix="replay-")
        self.told = json.loads(self.record.result) if self.record.result else None
        self.players, self.out, self.err, self.code = {}, "", "", None

    def run(self, timeout=60):
        """The differences, one a line; none = it went as recorded."""
        if self.sides["source"][0] == "maildir":
            return ["a record with a Maildir as its source cannot be played"]
        try:
            for side, (kind, *_) in self.sides.items():
                if kind != "maildir":
                    self.players[side] = player.Player(self.record, side, tls=self.context()).start()
            self.call(timeout)
            problems = [problem for problem in (p.stop() for p in self.players.values()) if problem]
            return [json.dumps(problem) for problem in problems] + self.compare()
        finally:
            shutil.rmtree(self.work, ignore_errors=True)

    def context(self):
        server = fakeimap.FakeImap(tls="implicit", cert=self.path("cert.pem"), key=self.path("key.pem"))
        if not os.path.exists(self.path("cert.pem")):
            fakeimap.make_certificate(self.work)
        server.prepare_tls()
        return server.tls

    def path(self, name):
        return os.path.join(self.work, name)

    def url(self, side, host):
        kind, *rest = self.sides[side]
        if kind == "maildir":
            return "maildir:" + self.path("maildir")
        query = [word.lower() for word in rest if word.startswith("auth=")]
        query.append("id=%s-%s" % (os.path.basename(self.work), side))      # one godwit a destination, on the whole machine
        query += ["authzid=other"] * ("authzid" in rest) + ["tls=none"] * (kind == "none")
        return "%s://%s@%s:%d/%s" % ("imaps" if kind == "implicit" else "imap", player.USER, host,
                                     self.players[side].port, "?" + "&".join(query))

    def options(self):
        found = []
        for text in self.record.head.get("option", ()):
            name, *value = text.split()
            if name not in OURS:
                found += [name, *value]
        return found

    def call(self, timeout):
        with open(self.path("password"), "w", encoding="ascii") as file:
            file.write(player.PASSWORD + "\n")
        password = ["--source-password-file", self.path("password"), "--destination-password-file", self.path("password")]
        # recorded, so that one thing happens after the other as it did then
        state = ["--state", self.path("state"), "--record", self.path("again")] if self.words[0] not in ("check", "verify") else []
        silent = any(c.end == "silent" for connections in self.record.sides.values() for c in connections)
        command = [self.godwit, *self.words, "--output", "json", "--timeout", "1" if silent else "8", *password, *state,
                   *(["--ca-file", self.path("cert.pem")] if os.path.exists(self.path("cert.pem")) else []),
                   *self.options(), self.url("source", "127.0.0.1"), self.url("destination", "localhost")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
                              encoding="utf-8", errors="replace")
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def compare(self):
        """How it ended, against how it ended when it was recorded."""
        last = json.loads(self.out.splitlines()[-1]) if self.out.strip() else {}
        if not self.told:
            return []                           # godwit never came to its end
        now = {"exit": self.code, "cause": (last.get("error") or {}).get("cause"), "causes": last.get("causes"),
               **(last.get("summary") or {})}
        then = {"exit": self.told["exit"], "cause": self.told["cause"], "causes": self.told["causes"],
                **(self.told["summary"] or {})}
        return ["%s: %s now, %s then" % (key, now.get(key), value) for key, value in then.items()
                if not TIMES.fullmatch(key) and now.get(key) != value]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--godwit", default=os.environ.get("GODWIT") or os.path.join(ROOT, "build", "godwit"))
    parser.add_argument("--quiet", action="store_true", help="not what godwit says")
    wanted = parser.parse_args()
    replay = Replay(wanted.file, wanted.godwit)
    problems = replay.run()
    if not wanted.quiet:
        sys.stderr.write(replay.err)
    print("\n".join(problems) or "as recorded: exit %s" % replay.code)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
