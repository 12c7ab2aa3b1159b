"""The little IMAP that the test kit needs, upon Python's imaplib.

It is written apart from godwit on purpose: a check that shares code with what it checks
proves nothing. imaplib's own append() is not used, since it changes line ends.
"""

import base64
import datetime
import imaplib
import re
import socket
import ssl
import urllib.parse
from dataclasses import dataclass

imaplib._MAXLINE = 1 << 26      # pylint: disable=protected-access

SPECIAL_USES = {"\\all", "\\archive", "\\drafts", "\\flagged", "\\important", "\\junk", "\\sent", "\\trash"}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
TOKEN = re.compile(rb'\s*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]|\\.)*)"'
                   rb'|(?P<atom>BODY(?:\.PEEK)?\[[^\]]*\](?:<\d+>)?|[^\s()"]+))')


class _Prompt:
    """Keeps waits of 40 ms out of dialogues with servers that answer in several packets.

    (Nagle's algorithm on one side meets delayed acknowledgements on the other. The kernel
    soon forgets TCP_QUICKACK, so it is asked for again and again.)"""

    def send(self, data):
        """As in imaplib."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().send(data)

    def readline(self):
        """As in imaplib."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return super().readline()


class _Plain(_Prompt, imaplib.IMAP4):
    pass


class _Tls(_Prompt, imaplib.IMAP4_SSL):
    pass


class Refused(Exception):
    """The server answered NO or BAD; the text is its answer."""


@dataclass
class Account:
    """How to log in. security: "none", "starttls" or "tls"; authzid: whom to act for."""

    host: str
    port: int
    user: str
    password: str
    security: str = "none"
    ca_file: str = None
    authzid: str = None
    timeout: float = 120

    @classmethod
    def from_url(cls, url, password, ca_file=None):
        """imap://user@host:port/ (?starttls to ask for it) or imaps://user@host:port/"""
        parts = urllib.parse.urlsplit(url)
        security = "tls" if parts.scheme == "imaps" else "starttls" if parts.query == "starttls" else "none"
        return cls(parts.hostname, parts.port or (993 if security == "tls" else 143),
                   urllib.parse.unquote(parts.username or ""), password, security, ca_file)

    def connect(self):
        """A logged in imaplib connection; usable as a context manager."""
        context = ssl.create_default_context(cafile=self.ca_file) if self.security != "none" else None
        if self.security == "tls":
            connection = _Tls(self.host, self.port, ssl_context=context, timeout=self.timeout)
        else:
            connection = _Plain(self.host, self.port, timeout=self.timeout)
        try:
            if self.security == "starttls":
                connection.starttls(context)
            if self.authzid:
                parts = "\0".join((self.authzid, self.user, self.password)).encode()
                connection.authenticate("PLAIN", lambda _: parts)
            else:
                connection.login(self.user, self.password)
            connection.capabilities = tuple(ok(connection.capability())[-1].decode().upper().split())
        except BaseException:
            connection.shutdown()
            raise
        return connection


def ok(answer):
    """The data of an imaplib answer; Refused unless it is OK."""
    status, data = answer
    if status != "OK":
        raise Refused(b" ".join(part for part in data if isinstance(part, bytes)).decode("utf-8", "replace"))
    return data


def command(connection, verb, *args, literal=None):
    """One command with its last argument perhaps a literal; its data (see ok())."""
    # pylint: disable=protected-access
    connection.literal = literal
    try:
        return ok(connection._simple_command(verb, *(arg.encode() for arg in args)))
    except connection.abort:
        raise
    except connection.error as error:       # BAD
        raise Refused(str(error)) from error


def append(connection, name, data, flags=(), date=None):
    """APPEND the bytes as they are. `date` is text such as 06-Jan-2025 10:00:00 +0545."""
    args = [quoted(name)]
    if flags:
        args.append(f"({' '.join(flags)})")
    if date:
        args.append(f'"{date}"')
    return command(connection, "APPEND", *args, literal=data)


def quoted(name):
    """A folder name as it goes over the wire (already in modified UTF-7), as a quoted string."""
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def encode_utf7(text):
    """Modified UTF-7 (RFC 3501, 5.1.3)."""
    def shifted(match):
        coded = base64.b64encode(match.group().encode("utf-16-be")).rstrip(b"=").decode()
        return "&" + coded.replace("/", ",") + "-"
    return re.sub(r"[^\x20-\x7e]+", shifted, text.replace("&", "&-"))


def decode_utf7(name):
    """The text of a name in modified UTF-7; what is not valid stays as it is."""
    def unshifted(match):
        coded = match.group(1)
        if not coded:
            return "&"
        try:
            return base64.b64decode(coded.replace(",", "/") + "=" * (-len(coded) % 4), validate=True).decode("utf-16-be")
        except ValueError:
            return match.group()
    return re.sub(r"&([^-]*)-", unshifted, name)


def responses(data):
    """The values in imaplib's data, one nested list a response: lists, bytes, None for NIL.

    imaplib cuts responses at literals; here they are put together again.
    """
    stack = [[]]
    for part in data:
        if part is None:
            continue
        head, literal = part if isinstance(part, tuple) else (part, None)
        if literal is not None:
            head = re.sub(rb"~?\{\d+\}$", b"", head)
        _tokens(head, stack)
        if literal is not None:
            stack[-1].append(literal)
        elif len(stack) == 1:
            yield stack[0]
            stack = [[]]


def _tokens(text, stack):
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:       # white space at the end, or a lone quote
            position += 1
            continue
        position = match.end()
        if match["open"]:
            stack.append([])
        elif match["close"]:
            if len(stack) > 1:
                done = stack.pop()
                stack[-1].append(done)
        elif match["quoted"] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", match["quoted"]))
        elif match["atom"]:
            stack[-1].append(None if match["atom"].upper() == b"NIL" else match["atom"])


@dataclass
class Namespace:
    """The personal namespace, and the prefixes of what is not the user's own."""

    prefix: str
    delimiter: str
    foreign: tuple

    def levels(self, name):
        """A name on the wire as the readable names of its levels, from the top."""
        if name.upper() == "INBOX":
            return ("INBOX",)
        if self.prefix and name.startswith(self.prefix):
            name = name[len(self.prefix):]
        parts = name.split(self.delimiter) if self.delimiter else [name]
        if len(parts) > 1 and parts[0].upper() == "INBOX":
            parts[0] = "INBOX"
        return tuple(decode_utf7(part) for part in parts)

    def name(self, levels):
        """The other way round; ValueError if this server has no such name."""
        if tuple(levels) == ("INBOX",):
            return "INBOX"
        if any(self.delimiter in level for level in levels):
            raise ValueError(f"the delimiter {self.delimiter} is in {levels}")
        return self.prefix + self.delimiter.join(encode_utf7(level) for level in levels)


def namespace(connection):
    """The namespaces, or what LIST tells of them when there is no NAMESPACE."""
    if "NAMESPACE" in connection.capabilities:
        personal, others, shared = next(responses(ok(connection.namespace())))
        prefix, delimiter = personal[0][:2]
        foreign = tuple(entry[0].decode() for group in (others, shared) for entry in group or () if entry[0])
        return Namespace(prefix.decode(), (delimiter or b"").decode(), foreign)
    delimiter = next(responses(ok(connection.list('""', '""'))))[1]
    return Namespace("", (delimiter or b"").decode(), ())


@dataclass
class Folder:
    """One line of LIST."""

    name: str
    levels: tuple
    attributes: frozenset
    subscribed: bool = False

    @property
    def selectable(self):
        """Whether it can hold messages."""
        return not self.attributes & {"\\noselect", "\\nonexistent"}

    @property
    def special_use(self):
        """Its special uses, in lower case."""
        return self.attributes & SPECIAL_USES


def folders(connection, space=None):
    """All folders of the user's own, {levels: Folder}; a subscribed name without folder is not one."""
    space = space or namespace(connection)
    found = {}
    for answer in (connection.list('""', "*"), connection.list('""', "INBOX")):
        for attributes, _, name in responses(ok(answer)):
            name = name.decode("utf-8", "surrogateescape")
            if not any(name.startswith(prefix) or name + space.delimiter == prefix for prefix in space.foreign):
                levels = space.levels(name)
                found.setdefault(levels, Folder(name, levels, frozenset(a.decode().lower() for a in attributes)))
    if "SPECIAL-USE" in connection.capabilities:    # Cyrus tells only when asked
        command(connection, "LIST", "(SPECIAL-USE)", '""', '"*"')
        for attributes, _, name in responses(connection.response("LIST")[1]):
            levels = space.levels(name.decode("utf-8", "surrogateescape"))
            if levels in found:
                found[levels].attributes |= frozenset(a.decode().lower() for a in attributes) & SPECIAL_USES
    for attributes, _, name in responses(ok(connection.lsub('""', "*"))):
        levels = space.levels(name.decode("utf-8", "surrogateescape"))
        # \\Noselect here means: not itself, but something below it
        if levels in found and b"\\noselect" not in [attribute.lower() for attribute in attributes]:
            found[levels].subscribed = True
    return found


def instant(text):
    """The seconds since 1970 of an INTERNALDATE, whatever its zone."""
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = re.fullmatch(
        r"\s*(\d+)-(\w+)-(\d+) (\d+):(\d+):(\d+) ([+-])(\d\d)(\d\d)", text).groups()
    zone = datetime.timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == "-" else 1)
    midnight = datetime.datetime(int(year), MONTHS.index(month.capitalize()) + 1, int(day), tzinfo=datetime.timezone.utc)
    time_of_day = datetime.timedelta(hours=int(hour), minutes=int(minute), seconds=int(second))     # 60 in a leap second
    return int((midnight + time_of_day - zone).timestamp())
