#!/usr/bin/python3
"""The walk itself is tested: a godwit with a defect that loses or doubles mail must not come through it.

Each file in defects/ is a patch to the sources with one sentence about it.  It is applied to a copy; only what
it touches is compiled, and linked before the libraries of the build that is tested.  A patch that does not
apply any more fails the test: mend it with the code.
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import unittest

import stage
from scenarios import Scenario
from stage import HERE, scratch, tiny_mailbox
from walks import command_kills, cuts, record, walk, worker_kills

ROOT = HERE.parents[1]
BUILD = pathlib.Path(stage.GODWIT).resolve().parent
#: What is said of mail that is lost, doubled, or remembered wrongly; anything else may be trouble of the test.
CAUGHT = ("lost ", "doubled or foreign", "different from the undisturbed", "uploaded again", "left intents", "named {",
          "two items own", "is not its copy", " counts ", "was not checked", "the worker crashed")


def steps(variant, plot):
    scenario = Scenario(variant, plot)
    return worker_kills(scenario, record(scenario))


def commands(variant, plot, who):
    scenario = Scenario(variant, plot)
    return command_kills(scenario, record(scenario), who=who)


def lines(variant):
    scenario = Scenario(variant, mailbox=tiny_mailbox)
    return [point for point in cuts(scenario, record(scenario), 50, 13) if point.side == "destination"]


#: Where each of them shows, of the points that test_walk.py walks.
WALKS = {
    "no-barrier": lambda: commands("full", "first pass", ("stalled",)),
    "tail-moves-up": lambda: steps("no-uidplus", "first pass"),
    "again-stays-open": lambda: steps("full", "first pass"),
    "unlocated-forgotten": lambda: steps("no-uidplus", "first pass"),
    "receipts-believed": lambda: lines("no-multiappend"),
    "cursor-first": lambda: steps("full", "second pass"),
    "no-second-look": lambda: commands("full", "stored later", ("both",)),
    "owners-not-asked": lambda: steps("no-uidplus", "first pass"),
    "move-by-message-id": lambda: steps("full", "life"),
}


class Mutant:
    """A program with a defect."""

    def __init__(self, name):
        self.directory = pathlib.Path(scratch())
        patch = HERE / "defects" / (name + ".patch")
        shutil.copytree(ROOT / "src", self.directory / "src")
        done = subprocess.run(["patch", "-p1", "--fuzz=0", "--batch", "-d", str(self.directory), "-i", str(patch)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise AssertionError("%s does not apply any more:\n%s" % (patch.name, done.stdout.decode()))
        self.files = [line.split()[1][2:] for line in patch.read_text(encoding="utf-8").splitlines()
                      if line.startswith("+++ ")]

    def compile(self, name):
        """The object of one file, made with the command that the build has for it."""
        with open(BUILD / "compile_commands.json", encoding="utf-8") as file:
            entry = next(entry for entry in json.load(file)
                         if os.path.normpath(BUILD / entry["file"]) == str(ROOT / name))
        out = self.directory / (name.replace("/", "-") + ".o")
        words = shlex.split(entry["command"])
        words[words.index("-o") + 1] = str(out)
        words[words.index("-c") + 1] = str(self.directory / name)
        for option in ("-MQ", "-MF"):
            at = words.index(option)
            del words[at:at + 2]
        words.remove("-MD")
        subprocess.run(words + ["-Wno-error"], cwd=BUILD, check=True, stderr=subprocess.DEVNULL)
        return str(out)

    def link(self, target):
        """The program in which these objects stand before the libraries that have the sound ones."""
        asked = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", target], stdout=subprocess.PIPE, check=True)
        words = shlex.split(asked.stdout.decode().splitlines()[-1])
        at = words.index("-o") + 1
        words[at] = str(self.directory / os.path.basename(target))
        words[at + 1:at + 1] = [self.compile(name) for name in self.files]
        subprocess.run(words, cwd=BUILD, check=True)
        return str(self.directory / os.path.basename(target))


class Defects(unittest.TestCase):
    maxDiff = None

    def test_each_is_known(self):
        self.assertEqual({path.stem for path in (HERE / "defects").glob("*.patch")}, set(WALKS))

    def catch(self, name):
        mutant, points = Mutant(name).link("godwit"), WALKS[name]()     # walked as the sound one has it
        sound, stage.GODWIT = stage.GODWIT, mutant
        try:
            report = walk(points, most_failures=3)
        finally:
            stage.GODWIT = sound
        said = [str(error) for _, error in report.failures]
        self.assertTrue(said, "the walk came through with it: %s" % report)
        self.assertTrue(any(word in text for text in said for word in CAUGHT), "it failed for another reason:\n%s" % report)

    def test_defects(self):
        for name in WALKS:
            with self.subTest(defect=name):
                self.catch(name)


if __name__ == "__main__":
    unittest.main()
