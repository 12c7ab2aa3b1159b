"""Plays one side of a record (godwit --record FILE): fakeimap.py --transcript FILE --side source.

A record is a transcript (see fakeimap.py) with sections; "connection SIDE N" says whose lines follow. A
command and what was answered to it belong together: its own tagged answer, and what came untagged while
it was the oldest one unanswered.  So commands may come in another order than they were recorded (folder
names are others now, and godwit sorts some things by name), and these rules hold:

 - A command is answered as the first recorded one with the same words that was not asked yet. Tags do not
   count, nor the order of flags in parentheses; * in the record is anything.
 - One that was asked already, and no more often recorded, gets its last answer again (polling).
 - Any other is a mismatch, and so is a recorded one that is never asked, but for LOGOUT.
 - A connection that godwit left to make another (the other side's broke) may be left earlier, or later: what
   it asks behind the last recorded command is not answered.
 - Login: any mechanism, user "user", password "secret"; the answer is the recorded one.
 - When all of a connection was asked, it ends as it did: close, reset, silent; leave = the client goes.
   A message that was on its way then is waited for only while it comes.
"""

import base64
import hashlib
import hmac
import os
import re
import socket
import threading

import fakeimap

USER, PASSWORD = "user", "secret"
LINE = re.compile(r"(S|S\+|S\*|C|C\+):(?: (.*))?|(connection|starttls|close|reset|silent|leave|refused|untrusted|record|"
                  r"option|side|result)\b\s*(.*)")
ENDS = ("close", "reset", "silent", "leave", "refused", "untrusted")


class Mismatch(fakeimap.Mismatch):
    """The client did not say what was recorded."""


def expand(count, seed):
    """That many bytes of text that is the same for the same seed."""
    line = (hashlib.sha256(seed.encode()).hexdigest() + "\r\n").encode()
    return (line * (count // len(line) + 1))[:count - 2 if count > 2 else 0] + b"\r\n"[:count]


class Unit:
    """One command: its words, then what goes to and fro until it is answered."""

    def __init__(self, number, line):
        self.number, self.asked, self.steps = number, False, []
        self.tag, _, self.words = line.partition(" ")

    def matches(self, words):
        pattern = re.escape(sort_flags(self.words)).replace(r"\*", ".*")
        return re.fullmatch(pattern, sort_flags(words)) or \
            self.words.startswith("ID ") and words.startswith("ID ")


def sort_flags(words):
    return re.sub(r"\(([^()]*)\)", lambda found: "(%s)" % " ".join(sorted(found.group(1).split())), words)


class Recorded:
    """One connection as it was recorded."""

    def __init__(self):
        self.greeting, self.units, self.end, self.tls = [], [], "leave", False
        self.open, self.partial = {}, False     # unanswered, oldest first; the last one is not all sent
        self.at, self.inside, self.line, self.literal = None, False, b"", 0     # the response under way

    def client(self, number, verb, text):
        if verb == "C+":
            self.units[-1].steps.append(("C+", int(text)))
        elif self.partial:
            self.units[-1].steps.append(("C", text))
        else:
            self.units.append(Unit(number, text))
            self.open[self.units[-1].tag] = self.units[-1]
        self.partial = verb == "C+" or bool(re.search(r"\{\d+\+?\}$", text))

    def owner(self, line):
        """Whose steps a line of the server belongs to."""
        tag = line.split(b" ")[0].decode("latin-1")
        if tag in self.open:
            unit = self.open.pop(tag)
            self.partial = self.partial and unit is not self.units[-1]
            return unit.steps
        if tag.rstrip() == "+" and self.units:
            return self.units[-1].steps
        if self.open:
            return next(iter(self.open.values())).steps
        return self.units[-1].steps if self.units else self.greeting

    def server(self, data):
        """One line, or a piece of one, or of a message."""
        if not self.inside:
            self.at = self.owner(data)
        self.at.append(("S", data))
        self.inside = True
        while data:
            if self.literal:
                count = min(self.literal, len(data))
                self.literal, data = self.literal - count, data[count:]
                continue
            piece, end, data = data.partition(b"\n")
            self.line += piece
            if end:
                found = re.search(rb"\{(\d+)\+?\} *\r?$", self.line)
                self.literal, self.line, self.inside = int(found.group(1)) if found else 0, b"", bool(found)

class Record:
    """The file: .head {word: [rest]}, .sides {side: [Recorded]}, .result (JSON text) or None."""

    def __init__(self, path):
        self.head, self.sides, self.result = {}, {"source": [], "destination": []}, None
        with open(path, encoding="utf-8", newline="\n") as file:
            text = file.read()
        lines = text.split("\n")
        if not text.endswith("\n"):
            lines.pop()                         # cut off while it was written
        now = None
        for number, line in enumerate(lines, 1):
            found = LINE.fullmatch(line)
            if found:
                now = self.take(now, number, found.group(1) or found.group(3), found.group(2) or found.group(4) or "")
            elif line and not line.startswith("#"):
                raise ValueError("line %d is no record: %s" % (number, line))

    def take(self, now, number, verb, text):
        if verb == "connection":
            side, count = text.split()
            connections = self.sides[side]
            while len(connections) < int(count):
                connections.append(Recorded())
            return connections[int(count) - 1]
        if verb == "result":
            self.result = text
        elif verb in ("record", "option", "side"):
            self.head.setdefault(verb, []).append(text)
        elif verb in ENDS:
            now.end = verb
        elif verb == "starttls":
            now.units[-1].steps.append(("starttls", None))
        elif verb in ("C", "C+"):
            now.client(number, verb, text)
        elif verb == "S*":
            count, seed = text.split()
            now.server(expand(int(count), seed))
        else:
            now.server(text.encode() + b"\r\n" if verb == "S" else fakeimap.unescape(text))
        return now


# --- login -----------------------------------------------------------------------------------------------------


def ask(link, challenge=b""):
    link.send(b"+ " + base64.b64encode(challenge) + b"\r\n")
    return base64.b64decode(link.line())


def scram(link, name, first):
    """RFC 5802, without channel binding, for the one password."""
    digest = name[6:].replace("-", "").lower().replace("sha1", "sha1")
    bare = first.split(b",", 2)[2]
    nonce = dict(part.split(b"=", 1) for part in bare.split(b","))[b"r"] + base64.b64encode(os.urandom(9))
    salt = os.urandom(12)
    challenge = b"r=%s,s=%s,i=4096" % (nonce, base64.b64encode(salt))
    final = ask(link, challenge)
    salted = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), salt, 4096)
    proof = hmac.new(salted, b"Server Key", digest).digest()
    told = b",".join((bare, challenge, final.rpartition(b",p=")[0]))
    ask(link, b"v=" + base64.b64encode(hmac.new(proof, told, digest).digest()))


def log_in(link, words):
    """What goes to and fro between a login command and its answer."""
    verb, *rest = words.split(" ")
    if verb == "LOGIN":
        while re.search(r"\{\d+\}$", words):
            link.send(b"+ go on\r\n")
            link.read(int(re.search(r"\{(\d+)\}$", words).group(1)))
            words = link.line().decode("latin-1")
        return
    name, first = rest[0].upper(), base64.b64decode(rest[1]) if rest[1:] and rest[1] != "=" else None
    if name == "LOGIN":
        ask(link, b"Username:")
        ask(link, b"Password:")
    elif first is None:
        first = ask(link)
    if name.startswith("SCRAM-SHA-"):
        scram(link, name, first)


# --- playing ---------------------------------------------------------------------------------------------------


class Player:
    """One side.  start(), then stop() gives None or what went wrong."""

    def __init__(self, record, side, port=0, tls=None, timeout=10):
        self.waiting = list(record.sides[side])
        self.side, self.tls, self.timeout, self.problem, self.number = side, tls, timeout, None, 0
        kind = [text.split()[1] for text in record.head.get("side", ()) if text.split()[0] == side]
        self.implicit = kind == ["implicit"]
        self.listener = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.link, self.out = None, bytearray()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        """The client has ended."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(self.timeout)
        if not self.problem and self.waiting:
            self.fail(self.waiting[0], "%d connections were not made" % len(self.waiting))
        return self.problem

    def fail(self, recorded, text):
        left = [unit.number for unit in recorded.units if not unit.asked]
        self.problem = self.problem or {"side": self.side, "connection": self.number, "line": (left or [0])[0],
                                        "problem": text}

    def run(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self.number += 1
            recorded = self.waiting.pop(0) if self.waiting else Recorded()
            try:
                self.serve(sock, recorded)
            except fakeimap.Mismatch as mismatch:
                self.fail(recorded, str(mismatch))
            except (fakeimap.Gone, OSError, ValueError) as error:
                if self.left(recorded) and not self.loose(recorded):
                    self.fail(recorded, "the client went early (%s)" % (error or type(error).__name__))
            self.out.clear()
            if self.link:
                self.link.close("drop" if self.problem else "gone")
            sock.close()

    @staticmethod
    def left(recorded):
        asked = {unit.words for unit in recorded.units if unit.asked}
        return [unit for unit in recorded.units
                if not unit.asked and unit.words != "LOGOUT" and unit.words not in asked]

    def loose(self, recorded):
        """Did godwit leave because the other side's connection broke?"""
        return recorded.end == "leave" and bool(self.waiting)

    def serve(self, sock, recorded):
        sock.settimeout(self.timeout)
        self.link = fakeimap.Link(sock)
        if recorded.end in ("refused", "untrusted"):
            return self.link.close("reset")
        if self.implicit:
            self.link.start_tls(self.tls)
        if not recorded.greeting and not recorded.units and recorded.end == "leave":
            raise Mismatch("one connection more than recorded")
        for step in recorded.greeting:
            self.link.send(step[1])
        while self.left(recorded) or recorded.end == "leave":
            self.answer(recorded)
        return self.end(recorded.end)

    def end(self, how):
        if how == "silent":
            self.link.swallow()
        self.link.close("reset" if how == "reset" else "drop")

    def answer(self, recorded):
        try:
            line = self.link.line().decode("utf-8", "surrogateescape")
        except socket.timeout:
            raise Mismatch("the client said nothing for %s s" % self.timeout) from None
        tag, _, words = line.partition(" ")
        if self.loose(recorded) and not self.left(recorded) and not any(u.matches(words) for u in recorded.units):
            self.link.swallow()
            raise fakeimap.Gone()
        unit = self.find(recorded, words)
        unit.asked = True
        last = recorded.end in ("close", "reset") and not self.left(recorded)
        if words.split(" ")[0] in ("LOGIN", "AUTHENTICATE"):
            log_in(self.link, words)
        for at, step in enumerate(unit.steps):
            self.play(unit, tag, line, step, last and not any(verb == "S" for verb, _ in unit.steps[at:]))
            line = step[1] if step[0] == "C" else line
        self.flush()

    def flush(self):
        """What belongs together goes in one packet."""
        self.link.send(bytes(self.out))
        self.out.clear()

    @staticmethod
    def find(recorded, words):
        if words.startswith("AUTHENTICATE "):
            words = " ".join(words.split(" ")[:2] + ["*"])
        same = [unit for unit in recorded.units if unit.matches(words)]
        if not same:
            left = [unit for unit in recorded.units if not unit.asked]
            raise Mismatch("not recorded: %r; the next was: %r" % (words, left[0].words if left else None))
        return next((unit for unit in same if not unit.asked), same[-1])

    def play(self, unit, tag, line, step, hurried):
        verb, what = step
        if verb != "S":
            self.flush()
        if verb == "S":
            own = unit.tag.encode()
            if what.startswith(own + b" "):
                what = tag.encode() + what[len(own):]
            self.out += what.replace(b'(TAG "%s")' % own, b'(TAG "%s")' % tag.encode())
        elif verb == "C+":
            self.read_message(what, hurried)
        elif verb == "starttls":
            self.link.start_tls(self.tls)
        else:
            self.read_rest(line, what)

    def read_message(self, count, hurried):
        while count and (not hurried or self.link.ready(0.3)):
            if self.link.at == len(self.link.buffer):
                self.link.fill()
            count -= len(self.link.take(count))

    def read_rest(self, line, expected):
        """The line behind a literal, and the literal itself where it is no message."""
        found = re.search(r"\{(\d+)\+?\}$", line)
        literal = b"" if not found or expected.startswith(" ") or not expected else self.link.read(int(found.group(1)))
        rest = (literal + self.link.line()).decode("utf-8", "replace")
        pattern = re.escape(sort_flags(expected)).replace(r"\*", ".*")
        if not re.fullmatch(pattern, sort_flags(rest), re.S):
            raise Mismatch("expected %r, got %r" % (expected, rest))
