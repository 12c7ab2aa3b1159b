"""Runs of godwit in which one call of the system goes wrong: see trouble.c, which is compiled and preloaded."""

import functools
import os
import re
import subprocess

from scenarios import demand
from stage import HERE, scratch_root


@functools.cache
def library():
    """The compiled trouble.c; meson names it, else it is made here."""
    path = os.environ.get("GODWIT_TROUBLE_LIBRARY") or os.path.join(scratch_root(), "trouble.so")
    if not os.path.exists(path):
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu17", "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", path,
                        str(HERE / "trouble.c")], check=True)
    return path


def run(stage, kind, number, how, directory="", error=0):
    """(the run, whether it was struck)"""
    mark = os.path.join(stage.directory, "struck")
    done = stage.copy(*stage.options, env={
        "LD_PRELOAD": library(), "GODWIT_TROUBLE": "%s:%d:%s:%s" % (kind, number, how, directory),
        "GODWIT_TROUBLE_ERROR": str(error), "GODWIT_TROUBLE_MARK": mark})
    return done, os.path.exists(mark)


def check_end(done, codes):
    """It ended by itself: one of these codes, one sentence, a cause for programs."""
    demand(done.code in codes, "ended with", done)
    said = [line for line in done.err.splitlines() if line.startswith("godwit: ")
            and not line.startswith("godwit: warning:")]
    demand(len(said) == 1, "not one sentence:", done.err)
    demand((done.result.get("error") or {}).get("cause"), "no cause in the JSON:", done.result)
    demand(done.result.get("exit") == done.code, "the JSON says another exit code:", done.result)
    demand(re.search("disk|space|quota|read|write|written|open|made|make|lock|memory", said[0]), "an unclear sentence:", said[0])
