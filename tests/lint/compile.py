#!/usr/bin/env python3
"""Read every C file with another compiler, with the same flags and warnings as the build.

    compile.py COMPILER COMMANDS    such as: compile.py clang-14 build/compile_commands.json

Quiet where all is well; the compiler's words and status 1 where not."""

import concurrent.futures
import json
import os
import shlex
import subprocess
import sys


def read_only(command, compiler):
    """The build's command line as one that only reads: no objects, no dependency files."""
    words = shlex.split(command)
    kept, skip = [compiler], False
    for word in words[1:]:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MQ", "-MT"):
            skip = True
        elif word not in ("-c", "-MD", "-MMD") and not word.startswith("-fdiagnostics-color"):
            kept.append(word)
    return kept + ["-fsyntax-only"]


def run(entry, compiler):
    words = read_only(entry["command"], compiler)
    done = subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def main():
    compiler, commands = sys.argv[1:]
    with open(commands, encoding="utf-8") as f:
        entries = json.load(f)
    # the build directory is not tied to one state of the tree: what was deleted needs no compiling
    entries = [e for e in entries if os.path.exists(os.path.join(e["directory"], e["file"]))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [f for f in pool.map(lambda e: run(e, compiler), entries) if f]
    print("\n".join(failures), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
