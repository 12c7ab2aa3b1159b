#!/usr/bin/env python3
"""House rules that no compiler knows: heads, sizes, banned functions, secrets, and documents that
point to what is there.

    house.py              look at the whole tree; one line for each violation
    house.py --self-test  plant violations and demand that each is found
    house.py --numbers    how long functions and files are
"""

import ast
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

FUNCTION_LINES = 100  # none longer; orientation: median 15, nine of ten within 45
FILE_LINES = 900  # a second file, by topic, near 800

# Function → what to use. In src/ only; a test may be careless with memory of its own.
BANNED = {
    "strcpy": "snprintf, memcpy or struct buf",
    "strcat": "struct buf",
    "sprintf": "snprintf or buf_printf",
    "vsprintf": "vsnprintf",
    "strncpy": "snprintf or memcpy",
    "gets": "anything else",
    "strtok": "struct view",
    "atoi": "view_number",
    "atol": "view_number",
    "sscanf": "struct view",
    "alloca": "an arena",
    "system": "fork and exec",
    "popen": "fork and exec",
    "mktemp": "mkstemp",
    "tmpnam": "mkstemp",
    "localtime": "gmtime_r",
    "gmtime": "gmtime_r",
    "exit": "an error passed up: only programs exit",
    "abort": "assert",
}
# Where a banned one is right, and why.
BANNED_BUT = {
    ("src/cli/main.c", "exit"): "this is the program",
}

# What prints. Nothing named like a secret may be among its arguments.
PRINTERS = re.compile(r"\b(log_\w+|printf|[fsd]printf|v?snprintf|err_set|err_detail|lane_note|lane_exception|FAIL)\s*\(")
SECRET = re.compile(r"\b\w*(?:password|passwd|secret|credential|bearer|token)\b(?!\s*(?:->|\.))", re.I)


def without_comments(text, strings=False):
    """Blank out comments (and, where asked, what stands in strings); lines stay where they are."""

    def blank(found):
        token = found.group(0)
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        if strings and len(token) > 2:
            return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]
        return token

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def line_at(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(text):
    """(name, first line, length) of each function: its body stands between braces in column 0."""
    start = name = None
    lines = without_comments(text, strings=True).split("\n")
    for n, line in enumerate(lines, 1):
        if line == "{":
            start = n - 1
            while start > 1 and lines[start - 2].strip() and not lines[start - 2].startswith(("}", "#")):
                start -= 1
            head = " ".join(lines[start - 1 : n - 1])
            found = re.search(r"(\w+)\s*\(", head)
            name = found.group(1) if found else "?"
        elif line == "}" and start:
            yield name, start, n - start + 1
            start = None


def arguments_of(text, opening):
    """What stands between the parenthesis at OPENING and its partner."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return text[opening + 1 : at]
    return text[opening + 1 :]


def judge_c(path, text):
    """Yield (line, why) for a C file."""
    if not text.startswith("/*"):
        yield 1, "begins without a comment that says what the file is for"
    if path.endswith(".h") and "\n#pragma once\n" not in text:
        yield 1, "a header without #pragma once"
    count = text.count("\n")
    if count > FILE_LINES and path.startswith("src/"):
        yield count, f"{count} lines; a file has {FILE_LINES} at most"
    for found in re.finditer(r"\b(TODO|FIXME|XXX)\b", text):
        yield line_at(text, found.start()), f"{found.group(1)}: mend it, or open an issue"
    for name, line, length in functions(text):
        if length > FUNCTION_LINES:
            yield line, f"{name} has {length} lines; a function has {FUNCTION_LINES} at most"
    if not path.startswith("src/"):
        return
    bare = without_comments(text, strings=True)
    for found in re.finditer(r"(?<![\w.>])(\w+)\s*\(", bare):
        name = found.group(1)
        if name in BANNED and (path, name) not in BANNED_BUT:
            yield line_at(bare, found.start()), f"{name}: use {BANNED[name]}"
    for found in PRINTERS.finditer(bare):
        for word in SECRET.findall(arguments_of(bare, found.end() - 1)):
            yield line_at(bare, found.start()), f"{word} is handed to {found.group(1)}: secrets are not shown"


def judge_python(path, text):
    """Yield (line, why): it must compile, and want nothing but the standard library and its siblings."""
    try:
        tree = ast.parse(text, path)
    except SyntaxError as e:
        yield e.lineno or 1, e.msg
        return
    siblings = {p.stem for top in ("tests", "bench") for p in (ROOT / top).rglob("*.py")}
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] not in sys.stdlib_module_names | siblings:
                yield node.lineno, f"{name} is not in Python's standard library"


def judge_document(path, text):
    """Yield (line, why): links within the tree, and paths in backquotes, must lead somewhere."""
    here = (ROOT / path).parent
    for found in re.finditer(r"\]\(([^)#\s]+)[^)]*\)", text):
        target = found.group(1)
        if "://" not in target and not (here / target).exists():
            yield line_at(text, found.start()), f"the link to {target} leads nowhere"
    for found in re.finditer(r"`((?:src|tests|docs|bench)/[\w./-]+)`", text):
        target = found.group(1)
        if not (ROOT / target).exists() and not list(ROOT.glob(target + ".[ch]")):
            yield line_at(text, found.start()), f"there is no {target}"


STRANGE = "docs/strange-servers.md"


def named_tests():
    """Every test that a document can name: Class.test (inherited ones too), imap/file.txt, file:test."""
    bodies, known = {}, set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                tests = {n.name for n in node.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}
                bases = [b.attr if isinstance(b, ast.Attribute) else b.id for b in node.bases if not isinstance(b, ast.Call)]
                seen = bodies.setdefault(node.name, (set(), []))
                seen[0].update(tests)
                seen[1].extend(bases)
    for name in bodies:
        line, met = [name], set()
        while line:
            base = line.pop()
            if base in bodies and base not in met:
                met.add(base)
                known.update(f"{name}.{test}" for test in bodies[base][0])
                line += bodies[base][1]
    for path in (ROOT / "tests/unit").rglob("*_test.c"):
        known.update(f"{path.stem}:{test}" for test in re.findall(r"^static void (test_\w+)", path.read_text(), re.M))
    return known | {f"imap/{path.name}" for path in (ROOT / "tests/transcripts/imap").glob("*.txt")}


def judge_strange(text):
    """Yield (line, why): each row names a test that is there, or says why none; each quirk has a row."""
    known = named_tests()
    for number, line in enumerate(text.split("\n"), 1):
        cells = re.split(r"\s*\|\s*", line.strip("| "))
        if not line.startswith("|") or line.startswith("|---") or cells[0] == "topic":
            continue
        tests = re.findall(r"`([^`]+)`", cells[-1])
        for test in tests:
            if test not in known:
                yield number, f"there is no test {test}"
        if not tests and not cells[-1].startswith("none: "):
            yield number, "a row without a test"
    rows = "\n".join(line for line in text.split("\n") if line.startswith("|"))
    for quirk in re.findall(r"^\t(QUIRK_\w+)", (ROOT / "src/connect/imap/quirks.h").read_text(), re.M):
        if f"`{quirk}`" not in rows:
            yield 1, f"{quirk} has no row"


def judge(path, text):
    if path.endswith((".c", ".h")):
        return list(judge_c(path, text))
    if path.endswith(".py"):
        return list(judge_python(path, text))
    if path == STRANGE:
        return [*judge_document(path, text), *judge_strange(text)]
    if path.endswith(".md"):
        return list(judge_document(path, text))
    return []


def files():
    """What git knows or could be given: no build directories, nothing ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = set(listed.stdout.splitlines())
    else:  # an unpacked archive
        names = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*")}
        names = {n for n in names if not n.startswith("build")}
    for name in sorted(names):
        if name.endswith((".c", ".h", ".py", ".md")) and (ROOT / name).is_file():
            yield name, (ROOT / name).read_text()


QUIRKS = re.findall(r"^\tQUIRK_\w+", (ROOT / "src/connect/imap/quirks.h").read_text(), re.M)
SEEDS = [  # path, text, findings
    ("src/a.c", "int x;\n", 1),
    ("src/a.h", "/* a */\nint x;\n", 1),
    ("src/a.c", "/* a */\n" + "int x;\n" * FILE_LINES, 1),
    ("src/a.c", "/* a. " + "TO" + "DO: all */\n", 1),
    ("src/a.c", "/* a */\nint f(void)\n{\n" + "\tg();\n" * FUNCTION_LINES + "}\n", 1),
    ("src/a.c", "/* a */\nint f(void)\n{\n" + "\tg();\n" * (FUNCTION_LINES - 3) + "}\n", 0),
    ("src/a.c", "/* a */\nvoid f(char *a)\n{\n\tstrcpy(a, b);\n}\n", 1),
    ("src/a.c", "/* no strcpy(a, b) */\nchar x[] = \"strcpy(a, b)\";\n", 0),
    ("src/a.c", "/* a */\nvoid f(void)\n{\n\tlog_debug(\"said %s\",\n\t    text_of(end->password));\n}\n", 1),
    ("src/a.c", "/* a */\nvoid f(void)\n{\n\tlog_debug(\"no password for %s\", name);\n}\n", 0),
    ("src/a.c", "/* a */\nvoid f(void)\n{\n\tlog_debug(\"login at %s\", secret->host);\n}\n", 0),
    ("tests/a.py", "import requests\n", 1),
    ("tests/a.py", "def f(:\n", 1),
    ("tests/a.py", "import os, socket\n", 0),
    ("A.md", "see [the map](NOWHERE.md) and `src/nowhere.c`\n", 2),
    (STRANGE, "| topic | test |\n|---|---|\n| a | `No.test_such` |\n| b | |\n| c | none: later |\n", 2 + len(QUIRKS)),
    ("tests/lint/a.md", "see [the rule](includes.py#rooms), `tests/lint/house.py`, [that](https://example.org/)\n", 0),
]


def self_test():
    failed = 0
    for path, text, expected in SEEDS:
        found = judge(path, text)
        if len(found) != expected:
            print(f"self-test: {path} with {text[:60]!r}: {len(found)} findings, not {expected}: {found}")
            failed = 1
    return failed


def numbers():
    lengths, worst, sizes = [], [], []
    for path, text in files():
        if path.startswith("src/") and path.endswith((".c", ".h")):
            sizes.append((text.count("\n"), path))
            for name, _, length in functions(text):
                lengths.append(length)
                worst.append((length, f"{path}: {name}"))
    lengths.sort()
    print(f"{len(lengths)} functions: median {statistics.median(lengths):.0f} lines, "
          f"nine of ten within {lengths[len(lengths) * 9 // 10]}, longest {lengths[-1]}")
    for length, where in sorted(worst)[-5:]:
        print(f"{length:6} {where}")
    print(f"{len(sizes)} files, {sum(n for n, _ in sizes)} lines; the longest:")
    for size, path in sorted(sizes)[-5:]:
        print(f"{size:6} {path}")
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:] == ["--numbers"]:
        return numbers()
    found = [f"{path}:{line}: {why}" for path, text in files() for line, why in judge(path, text)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
