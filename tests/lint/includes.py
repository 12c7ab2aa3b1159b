#!/usr/bin/env python3
"""Who may include whom. The three tables are the architecture; the rest of this file only reads them.

    includes.py              look at all of src/ and tests/; one line for each violation
    includes.py --self-test  plant violations and demand that each is found
    includes.py --print      the rooms, as a table for people
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A room (a directory of src/) → what its files may include besides each other: a whole room, or one
# header of it. "-header" takes one away again. Never upward, and never sideways unless it says so.
ROOMS = {
    "base": "",
    "model": "base -base/log.h",  # nouns; no I/O
    "wire": "base -base/log.h",  # codecs never touch a socket, a clock or a log
    "repair": "base -base/log.h",  # pure: a message's bytes in, other bytes out
    "net": "base",  # moves bytes, understands none
    "connect": "base model wire net",  # the one place where protocol and socket meet
    "connect/imap": "base model wire net connect/connector.h connect/connectors.h connect/record.h",
    "connect/maildir": "base model wire/imap_text.h net/wait.h connect/connector.h connect/connectors.h",  # no socket
    "ledger": "base model connect/connector.h",  # connector.h: the nouns of the window
    "flow": "base model repair/repair.h connect/connector.h ledger/ledger.h net/wait.h",
    "fleet": "base model connect/record.h flow/flow.h flow/survey.h flow/verify.h ledger/store.h net/channel.h net/wait.h",
    "cli": "base model fleet/fleet.h fleet/lock.h ledger/inspect.h",
}

# The doors: headers that a room shows to rooms above. They carry what they include along, so they
# have rows of their own, often narrower than their room's.
DOORS = {
    "repair/repair.h": "base",
    "net/wait.h": "base",
    "net/channel.h": "base net/wait.h",
    "net/conn.h": "base net/layer.h net/wait.h",
    "connect/connector.h": "base model",
    "connect/connectors.h": "connect/connector.h",
    "connect/record.h": "base",
    "ledger/store.h": "base",
    "ledger/inspect.h": "base",
    "ledger/ledger.h": "base model connect/connector.h ledger/store.h",
    "flow/flow.h": "base model connect/connector.h ledger/ledger.h",
    "flow/survey.h": "flow/flow.h",
    "flow/verify.h": "flow/flow.h",
    "fleet/fleet.h": "base model",
}

# Single files that may see more than their room, and why.
EXCEPTIONS = {
    ("cli/explain.c", "wire/imap_text.h"): "names stand in the ledger as the source wrote them",
    ("ledger/remote.c", "net/channel.h"): "this store is the other one, at the far end of a socketpair",
    ("ledger/remote.c", "net/wait.h"): "and waits for its answers",
}

# A library or a system interface → the only places that may include it. Whoever wants another TLS
# library or store knows from here what there is to change.
LIBRARIES = {
    "openssl/": "net/tls.c wire/sasl.c",
    "gsasl.h": "wire/sasl.c",
    "sqlite3.h": "ledger/sqlite.c",
    "jansson.h": "cli/jsonline.h",
    "utf8proc.h": "model repair cli connect/scrub.c",
    "sodium.h": "model repair wire connect/scrub.c connect/scrub.h connect/maildir ledger fleet cli",
    "pthread.h": "net/resolve.c flow/lanes.c flow/links.c",
    "netdb.h": "net",
    "netinet/": "net",
    "poll.h": "net cli",
    "sys/socket.h": "net fleet",
    "sys/wait.h": "fleet cli",
    "unistd.h": "base net connect/record.c connect/maildir ledger fleet cli",
    "fcntl.h": "net connect/maildir ledger fleet cli",
    "time.h": "base model fleet cli",
    "stdatomic.h": "net fleet/worker.c",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


def room_of(path):
    """src-relative path → its room: the longest that has a row."""
    parts = path.split("/")[:-1]
    while parts and "/".join(parts) not in ROOMS:
        parts.pop()
    return "/".join(parts)


def is_in(path, names):
    """Is the header or file one of NAMES, or in one of the rooms among them?"""
    if "-" + path in names:
        return False
    room = room_of(path)
    return path in names or room in names


def allowed(path, header):
    """May the src-relative file PATH include the src-relative HEADER?"""
    if (path, header) in EXCEPTIONS:
        return True
    if path in DOORS:
        return is_in(header, DOORS[path].split())
    room = room_of(path)
    return room_of(header) == room or is_in(header, ROOMS[room].split())


def room_of_test(path):
    """tests/unit/net/conn_test.c → net/conn.c: a unit test stands in the room that it tests."""
    found = re.fullmatch(r"tests/unit/(.+?)(?:_test)?\.[ch]", path)
    return found.group(1) + ".c" if found else None


def judge(path, text):
    """Yield (line, why) for each include of PATH (relative to the root) that breaks the rule."""
    inside = path[4:] if path.startswith("src/") else room_of_test(path)
    if inside is None:
        return
    if not room_of(inside):
        yield 1, "this directory has no row in tests/lint/includes.py"
        return
    first = True
    for found in INCLUDE.finditer(text):
        line = text.count("\n", 0, found.start(2)) + 1
        kind, header = found.groups()
        if kind == "<":
            for library, places in LIBRARIES.items():
                if path.startswith("src/") and header.startswith(library) and not is_in(inside, places.split()):
                    yield line, f"<{header}> is for {places} only"
            continue
        if not (ROOT / "src" / header).is_file():
            if path.startswith("src/"):
                yield line, f'"{header}" is not the path of a header below src/'
            continue
        if not header.endswith(".h"):
            yield line, f'"{header}": only headers are included'
        elif not allowed(inside, header):
            row = DOORS[inside] if inside in DOORS else ROOMS[room_of(inside)]
            yield line, f'{room_of(inside)} may not include "{header}" (it may: {row or "nothing"})'
        own = path[4:-2] + ".h"
        if first and path.startswith("src/") and path.endswith(".c") and (ROOT / "src" / own).is_file():
            if header != own:
                yield line, f'"{own}" comes first, so that it is known to stand alone'
        first = False


def files():
    for top in ("src", "tests"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def unused():
    """Rows that name what is no longer there mislead."""
    for table in (ROOMS, DOORS):
        for name in " ".join([*table, *table.values()]).split():
            if not (ROOT / "src" / name.lstrip("-")).exists():
                yield f"tests/lint/includes.py: there is no src/{name.lstrip('-')}"
    for path, header in EXCEPTIONS:
        if not (ROOT / "src" / path).is_file():
            yield f"tests/lint/includes.py: there is no src/{path}"


SEEDS = [  # what a file must not get away with, and two that it must
    ("src/base/seed.c", '#include "model/flags.h"\n', 1),
    ("src/model/seed.c", '#include "base/log.h"\n', 1),
    ("src/wire/seed.c", "/* */\n#include <sys/socket.h>\n", 1),
    ("src/wire/seed.c", "#include <unistd.h>\n", 1),
    ("src/wire/seed.c", '#include "net/conn.h"\n', 1),
    ("src/net/seed.c", '#include "model/folder.h"\n', 1),
    ("src/flow/seed.c", '#include "connect/imap/imap.h"\n', 1),
    ("src/flow/seed.c", '#include "wire/imap_text.h"\n', 1),
    ("src/flow/seed.c", '#include "net/conn.h"\n', 1),
    ("src/flow/seed.c", '#  include   "ledger/store.h"\n', 1),
    ("src/connect/connector.h", '#include "net/conn.h"\n', 1),
    ("src/connect/seed.c", '#include "connect/imap/imap.h"\n', 1),
    ("src/ledger/seed.c", '#include "net/channel.h"\n', 1),
    ("src/fleet/seed.c", '#include "ledger/ledger.h"\n', 1),
    ("src/cli/seed.c", '#include "flow/flow.h"\n', 1),
    ("src/cli/seed.c", '#include "../flow/flow.h"\n', 1),
    ("src/cli/seed.c", "#include <openssl/ssl.h>\n", 1),
    ("src/flow/copy.c", '#include "base/log.h"\n#include "flow/lane.h"\n', 0),
    ("src/flow/flow.c", '#include "base/log.h"\n#include "flow/flow.h"\n', 1),
    ("src/attic/seed.c", "", 1),
    ("tests/unit/wire/seed_test.c", '#include "net/conn.h"\n', 1),
    ("tests/unit/wire/seed_test.c", '#include "wire/sasl.h"\n#include <unistd.h>\n', 0),
]


def self_test():
    failed = 0
    for path, text, expected in SEEDS:
        found = list(judge(path, text))
        if len(found) != expected:
            print(f"self-test: {path} with {text!r}: {len(found)} findings, not {expected}: {found}")
            failed = 1
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:] == ["--print"]:
        for room, row in ROOMS.items():
            print(f"{room:13} {row}")
        return 0
    found = list(unused())
    for path, text in files():
        found += [f"{path}:{line}: {why}" for line, why in judge(path, text)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
