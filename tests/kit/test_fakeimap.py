#!/usr/bin/python3
"""Self-test of fakeimap.py: every capability switch, every script action, control and transcripts.

Run: python3 tests/kit/test_fakeimap.py      A test must not pass on a broken fake, so each switch is tried both ways.
"""

import base64
import glob
import imaplib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import fakeimap                                         # noqa: E402
from fakeimap import DEFAULT_CAPS, FakeImap, Transcript  # noqa: E402

MAIL = b"From: a@example.org\r\nMessage-ID: <%s@example.org>\r\nSubject: test\r\n\r\nHello %s\r\n"
DATE = '"17-Jul-1996 02:44:25 -0700"'


def mail(name="1", size=0):
    name = str(name).encode()
    return MAIL % (name, name) + b"x" * size


def without(*names):
    return " ".join(cap for cap in DEFAULT_CAPS.split() if cap not in names)


class Client:
    """A raw IMAP client that shows every byte."""

    def __init__(self, port, login=True, tls=None):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.buffer, self.count, self.lines = b"", 0, []
        self.greeting = None
        try:
            if login is not None:
                self.greeting = self.response()
            if login and not self.ask("LOGIN anna pw")[-1].startswith(b"OK"):
                raise AssertionError(self.lines)
        except BaseException:
            self.sock.close()
            raise

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def read(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self):
        """Everything until the server closes."""
        try:
            while True:
                self.more()
        except EOFError:
            return self.buffer

    def response(self):
        """One response with its literals, without the last CRLF."""
        whole = self.line()
        while found := re.search(rb"\{(\d+)\}\r\n$", whole):
            whole += self.read(int(found.group(1))) + self.line()
        return whole[:-2]

    def send(self, data):
        self.sock.sendall(data)

    def answer(self, tag):
        self.lines = []
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                self.lines.append(line[len(tag) + 1:])
                return self.lines
            self.lines.append(line)

    def begin(self, text):
        self.count += 1
        tag = b"t%d" % self.count
        self.send(tag + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return tag

    def ask(self, text):
        return self.answer(self.begin(text))

    def append_text(self, bodies, folder="INBOX", extra=""):
        text = b"APPEND " + folder.encode()
        for body in bodies if isinstance(bodies, list) else [bodies]:
            text += (" %s{%d+}\r\n" % (extra, len(body))).encode() + body
        return text

    def append(self, bodies, folder="INBOX", extra=""):
        return self.ask(self.append_text(bodies, folder, extra))[-1]

    def append_sync(self, body, folder="INBOX"):
        tag = self.begin("APPEND %s {%d}" % (folder, len(body)))
        first = self.response()
        if not first.startswith(b"+"):
            return first[len(tag) + 1:]
        self.send(body + b"\r\n")
        return self.answer(tag)[-1]

    def close(self):
        self.sock.close()


class Case(unittest.TestCase):
    def fake(self, script="", **options):
        server = FakeImap(script=script, **options).start()
        self.addCleanup(server.stop)
        return server

    def client(self, server, login=True, tls=None):
        client = Client(server.port, login, tls)
        self.addCleanup(client.close)
        return client

    def pair(self, script="", login=True, **options):
        server = self.fake(script, **options)
        return server, self.client(server, login)

    def filled(self, script="", count=5, **options):
        """A server with messages 1 to count in INBOX, selected."""
        server, client = self.pair(script, fill=["INBOX=%d" % count], **options)
        self.ok(client, "SELECT INBOX")
        return server, client

    def ok(self, client, text):
        lines = client.ask(text)
        self.assertTrue(lines[-1].startswith(b"OK"), lines)
        return lines[:-1]

    def refused(self, client, text, status=b"BAD"):
        lines = client.ask(text)
        self.assertTrue(lines[-1].startswith(status), lines)
        return lines[-1]

    def assertEnds(self, client):
        self.assertRaises((EOFError, ConnectionError), client.response)

    def sizes(self, server, folder="INBOX"):
        return [message["size"] for message in server.messages(folder)]


class Login(Case):
    def test_login(self):
        server, client = self.pair(login=False)
        self.assertIn(b"OK fakeimap", client.greeting)
        self.assertIn(b"AUTHENTICATIONFAILED", self.refused(client, "LOGIN anna wrong", b"NO"))
        self.refused(client, "LOGIN nobody pw", b"NO")
        self.refused(client, "SELECT INBOX")
        self.ok(client, 'LOGIN "anna" {2+}\r\npw')
        self.refused(client, "LOGIN anna pw")
        self.assertNotIn("pw", json.dumps(server.log))

    def test_logindisabled(self):
        _, client = self.pair(login=False, caps="IMAP4rev1 LOGINDISABLED")
        self.refused(client, "LOGIN anna pw", b"NO")

    def test_plain(self):
        token = base64.b64encode(b"\0anna\0pw").decode()
        _, client = self.pair(login=False)
        self.ok(client, "AUTHENTICATE PLAIN " + token)
        _, client = self.pair(login=False, caps=without("SASL-IR"))
        self.refused(client, "AUTHENTICATE PLAIN " + token)
        tag = client.begin("AUTHENTICATE PLAIN")
        self.assertEqual(client.response(), b"+ ")
        client.send(token.encode() + b"\r\n")
        self.assertTrue(client.answer(tag)[-1].startswith(b"OK"))
        _, client = self.pair(login=False, caps=without("AUTH=PLAIN"))
        self.refused(client, "AUTHENTICATE PLAIN " + token, b"NO")

    def test_cancel(self):
        _, client = self.pair(login=False)
        tag = client.begin("AUTHENTICATE PLAIN")
        client.response()
        client.send(b"*\r\n")
        self.assertTrue(client.answer(tag)[-1].startswith(b"BAD"))

    def test_admin(self):
        server, client = self.pair(login=False, admin=["root:adm"], users={"anna": "pw", "bert": "b"})
        wrong = base64.b64encode(b"bert\0anna\0pw").decode()
        self.refused(client, "AUTHENTICATE PLAIN " + wrong, b"NO")
        self.ok(client, "AUTHENTICATE PLAIN " + base64.b64encode(b"bert\0root\0adm").decode())
        client.append(mail())
        self.assertEqual((len(server.messages(user="bert")), len(server.messages(user="anna"))), (1, 0))

    def test_auth_login(self):
        _, client = self.pair(login=False)
        tag = client.begin("AUTHENTICATE LOGIN")
        for prompt, answer in ((b"Username:", b"anna"), (b"Password:", b"pw")):
            self.assertEqual(base64.b64decode(client.response()[2:]), prompt)
            client.send(base64.b64encode(answer) + b"\r\n")
        self.assertTrue(client.answer(tag)[-1].startswith(b"OK"))

    def test_xoauth2(self):
        _, client = self.pair(login=False)
        bad, good = (base64.b64encode(b"user=anna\1auth=Bearer %s\1\1" % token).decode() for token in (b"no", b"pw"))
        tag = client.begin("AUTHENTICATE XOAUTH2 " + bad)
        self.assertEqual(json.loads(base64.b64decode(client.response()[2:]))["status"], "400")
        client.send(b"\r\n")
        self.assertTrue(client.answer(tag)[-1].startswith(b"NO"))
        self.ok(client, "AUTHENTICATE XOAUTH2 " + good)

    def test_oauthbearer(self):
        _, client = self.pair(login=False, caps=DEFAULT_CAPS + " AUTH=OAUTHBEARER")
        word = base64.b64encode(b"n,a=anna,\1host=h\1port=143\1auth=Bearer pw\1\1").decode()
        self.ok(client, "AUTHENTICATE OAUTHBEARER " + word)

    def test_capability_places(self):
        _, client = self.pair(login=False, caps_in="greeting,login", caps_before_login="IMAP4rev1 AUTH=PLAIN")
        self.assertIn(b"[CAPABILITY IMAP4rev1 AUTH=PLAIN]", client.greeting)
        self.assertIn(b"[CAPABILITY IMAP4rev1 LITERAL+", client.ask("LOGIN anna pw")[-1])
        _, client = self.pair()
        self.assertNotIn(b"CAPABILITY", client.lines[-1])
        self.assertEqual(self.ok(client, "CAPABILITY"), [b"* CAPABILITY " + DEFAULT_CAPS.encode()])

    def test_max_connections(self):
        server, _ = self.pair(max_connections=1)
        client = self.client(server, login=False)
        self.assertIn(b"UNAVAILABLE", self.refused(client, "LOGIN anna pw", b"NO"))

    def test_max_bad(self):
        _, client = self.pair(max_bad=2)
        self.refused(client, "XYZZY")
        client.ask("XYZZY")
        self.assertIn(b"* BYE", client.response())
        self.assertEnds(client)

    def test_imaplib(self):
        server = self.fake()
        client = imaplib.IMAP4("127.0.0.1", server.port)
        client.login("anna", "pw")
        client.create("Work")
        self.assertEqual(client.append("Work", r"(\Seen work)", DATE, mail())[0], "OK")
        self.assertEqual(client.select("Work"), ("OK", [b"1"]))
        self.assertEqual(client.uid("FETCH", "1", "(BODY.PEEK[])")[1][0][1], mail())
        self.assertEqual(client.uid("SEARCH", "SEEN")[1], [b"1"])
        self.assertEqual(client.logout()[0], "BYE")
        (message,) = server.messages("Work")
        self.assertEqual((message["epoch"], message["zone"], message["flags"], message["msgid"]),
                         (837596665, "-0700", ["\\Seen", "work"], "<1@example.org>"))


class Tls(Case):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.cert, cls.key = fakeimap.make_certificate(cls.directory.name)
        cls.context = ssl.create_default_context(cafile=cls.cert)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_implicit(self):
        server = self.fake(tls="implicit", cert=self.cert, key=self.key)
        client = self.client(server, tls=self.context)
        self.assertTrue(client.append(mail(size=500000)).startswith(b"OK"))
        self.ok(client, "SELECT INBOX")
        self.assertIn(b"x" * 500000, self.ok(client, "UID FETCH 1 BODY.PEEK[]")[0])
        self.ok(client, "LOGOUT")
        self.assertEqual(client.rest(), b"")

    def test_made_certificate(self):
        server = self.fake(tls="implicit")
        self.client(server, tls=ssl.create_default_context(cafile=server.options.cert))

    def test_starttls(self):
        server = self.fake(tls="starttls", cert=self.cert, key=self.key)
        client = self.client(server, login=False)
        caps = self.ok(client, "CAPABILITY")[0]
        self.assertIn(b"STARTTLS", caps)
        self.assertIn(b"LOGINDISABLED", caps)
        self.assertNotIn(b"AUTH=PLAIN", caps)
        self.assertIn(b"PRIVACYREQUIRED", self.refused(client, "LOGIN anna pw", b"NO"))
        self.assertEqual(server.commands()["clear_logins"], 1)
        self.ok(client, "STARTTLS")
        client.sock = self.context.wrap_socket(client.sock, server_hostname="localhost")
        self.assertNotIn(b"STARTTLS", self.ok(client, "CAPABILITY")[0])
        self.ok(client, "LOGIN anna pw")

    def test_no_starttls(self):
        _, client = self.pair(login=False)
        self.refused(client, "STARTTLS")

    def test_injection(self):
        server = self.fake('on STARTTLS: inject-after-starttls "* BYE injected"', tls="starttls", cert=self.cert,
                           key=self.key)
        client = self.client(server, login=False)
        client.ask("STARTTLS")
        self.assertEqual(client.response(), b"* BYE injected")
        client.sock = self.context.wrap_socket(client.sock, server_hostname="localhost")
        self.ok(client, "NOOP")

    def test_cut_in_tls(self):
        server = self.fake("on APPEND 1: store-then-drop", tls="implicit", cert=self.cert, key=self.key)
        client = self.client(server, tls=self.context)
        self.assertRaises((EOFError, OSError), client.append, mail())
        self.assertEqual(len(server.messages()), 1)


class Folders(Case):
    def names(self, client, text, kind=b"LIST"):
        return [line.rsplit(b" ", 1)[1].strip(b'"').decode() for line in self.ok(client, text)
                if line.startswith(b"* " + kind)]

    def test_list(self):
        _, client = self.pair(folder=["a", "a/b", "x/y"])
        self.assertEqual(self.names(client, 'LIST "" "*"'), ["INBOX", "a", "a/b", "x", "x/y"])
        self.assertEqual(self.names(client, 'LIST "" %'), ["INBOX", "a", "x"])
        self.assertEqual(self.names(client, 'LIST "a/" %'), ["a/b"])
        self.assertEqual(self.names(client, 'LIST "" inbox'), ["INBOX"])
        self.assertIn(b'* LIST (\\Noselect \\HasChildren) "/" "x"', self.ok(client, 'LIST "" "*"'))
        self.assertEqual(self.ok(client, 'LIST "" ""'), [b'* LIST (\\Noselect) "/" ""'])
        _, client = self.pair(caps=without("CHILDREN"))
        self.assertEqual(self.ok(client, 'LIST "" "*"'), [b'* LIST () "/" "INBOX"'])

    def test_list_extended(self):
        text = 'LIST "" "*" RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UIDNEXT HIGHESTMODSEQ))'
        options = {"folder": ["Sent:\\Sent", "b"], "fill": ["b=3"]}
        _, client = self.pair(**options)
        self.ok(client, "SUBSCRIBE b")
        lines = self.ok(client, text)
        self.assertIn(b'* LIST (\\Sent \\HasNoChildren) "/" "Sent"', lines)
        self.assertIn(b'* LIST (\\Subscribed \\HasNoChildren) "/" "b"', lines)
        self.assertIn(b'* STATUS "b" (MESSAGES 3 UIDNEXT 4 HIGHESTMODSEQ 4)', lines)
        self.assertEqual(self.names(client, 'LIST (SUBSCRIBED) "" "*"'), ["b"])
        self.assertEqual(self.names(client, 'LIST (SPECIAL-USE) "" ("S*" "b")'), ["Sent"])
        for absent in ("LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE"):
            _, client = self.pair(caps=without(absent), **options)
            self.refused(client, text)
        self.assertNotIn(b"\\Sent", b"".join(self.ok(client, 'LIST "" "*"')))
        _, client = self.pair(caps=without("LIST-EXTENDED"))
        self.refused(client, 'LIST (SUBSCRIBED) "" "*"')
        self.refused(client, 'LIST "" ("a" "b")')

    def test_subscribe(self):
        server, client = self.pair(folder=["a"])
        self.ok(client, "SUBSCRIBE a")
        self.assertEqual(self.names(client, 'LSUB "" "*"', b"LSUB"), ["a"])
        self.assertEqual(server.state()["subscribed"], ["a"])
        self.ok(client, "UNSUBSCRIBE a")
        self.assertEqual(self.names(client, 'LSUB "" "*"', b"LSUB"), [])

    def test_create_delete_rename(self):
        server, client = self.pair()
        self.ok(client, "CREATE a/b/")
        self.assertIn(b"ALREADYEXISTS", self.refused(client, "CREATE a/b", b"NO"))
        self.ok(client, "RENAME a z")
        self.assertEqual(sorted(server.state()["folders"]), ["INBOX", "z/b"])
        self.ok(client, "DELETE z/b")
        self.assertIn(b"NONEXISTENT", self.refused(client, "DELETE z/b", b"NO"))
        self.refused(client, "DELETE INBOX", b"NO")
        self.ok(client, "CREATE Sent (USE (\\Sent))")
        self.assertEqual(server.state()["folders"]["Sent"]["use"], ["\\Sent"])
        _, client = self.pair(caps=without("CREATE-SPECIAL-USE"))
        self.refused(client, "CREATE Sent (USE (\\Sent))")

    def test_names(self):
        _, client = self.pair(delimiter=".", prefix="INBOX.")
        self.assertEqual(self.ok(client, "NAMESPACE"), [b'* NAMESPACE (("INBOX." ".")) NIL NIL'])
        self.refused(client, "CREATE Work", b"NO")
        self.ok(client, "CREATE INBOX.Work")
        self.refused(client, "CREATE INBOX..Work", b"NO")
        self.assertEqual(self.names(client, 'LIST "" INBOX.%'), ["INBOX.Work"])
        _, client = self.pair(caps=without("NAMESPACE"))
        self.refused(client, "NAMESPACE")

    def test_flat(self):
        _, client = self.pair(delimiter="", folder=["a/b"])
        self.assertIn(b'* LIST (\\HasNoChildren) NIL "a/b"', self.ok(client, 'LIST "" %'))

    def test_name_forms(self):
        for form, shown in (("quoted", b'"Work"'), ("atom", b"Work"), ("literal", b"{4}\r\nWork")):
            _, client = self.pair(folder=["Work"], list_names=form)
            self.assertEqual(self.ok(client, 'LIST "" W*'), [b'* LIST (\\HasNoChildren) "/" ' + shown])
        _, client = self.pair(folder=['a "b\\'])
        self.assertIn(b'"a \\"b\\\\"', self.ok(client, 'LIST "" a*')[0])
        self.ok(client, 'SELECT "a \\"b\\\\"')

    def test_name_refusals(self):
        _, client = self.pair(folder=["Trash"], case_insensitive=True, max_name=9, no_inferiors=True,
                              refuse_name=["^Files$", "^Calendar => [CANNOT] Not here"])
        self.assertIn(b"ALREADYEXISTS", self.refused(client, "CREATE trash", b"NO"))
        self.assertIn(b"too long", self.refused(client, "CREATE 1234567890", b"NO"))
        self.assertIn(b"reserved", self.refused(client, "CREATE Files", b"NO"))
        self.assertIn(b"Not here", self.refused(client, "CREATE Calendar", b"NO"))
        self.assertIn(b"inferior", self.refused(client, "CREATE Trash/a", b"NO"))
        self.assertIn(b"\\NoInferiors", self.ok(client, 'LIST "" Trash')[0])
        _, client = self.pair(folder=["Trash"])
        for name in ("trash", "1234567890", "Files", "Trash/a"):
            self.ok(client, "CREATE " + name)

    def test_status(self):
        text = "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT %s)"
        for item, value, cap in (("HIGHESTMODSEQ", b"4", "CONDSTORE"), ("SIZE", b"870", "STATUS=SIZE")):
            _, client = self.pair(fill=["INBOX=3"])
            self.assertEqual(self.ok(client, text % item)[0], b'* STATUS "INBOX" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY '
                             b"1001 UNSEEN 3 RECENT 0 %s %s)" % (item.encode(), value))
            _, client = self.pair(caps=without(cap, "QRESYNC"))
            self.refused(client, text % item)
        _, client = self.pair(caps=DEFAULT_CAPS + " APPENDLIMIT OBJECTID", max_size=5000)
        self.assertIn(b"APPENDLIMIT 5000 MAILBOXID (F", self.ok(client, "STATUS INBOX (APPENDLIMIT MAILBOXID)")[0])
        self.assertIn(b"APPENDLIMIT=5000", self.ok(client, "CAPABILITY")[0])
        _, client = self.pair()
        self.refused(client, "STATUS INBOX (APPENDLIMIT)")
        self.refused(client, "STATUS INBOX (MAILBOXID)")

    def test_small_switches(self):
        for text, cap in (('ID ("name" "test")', "ID"), ("ENABLE CONDSTORE", "ENABLE"), ("NAMESPACE", "NAMESPACE"),
                          ("GETQUOTAROOT INBOX", "QUOTA")):
            _, client = self.pair(quota=1024000)
            self.assertTrue(self.ok(client, text))
            _, client = self.pair(caps=without(cap))
            self.refused(client, text)
        _, client = self.pair(server_id='name Dovecot "vendor" "some body"')
        self.assertEqual(self.ok(client, "ID NIL"), [b'* ID ("name" "Dovecot" "vendor" "some body")'])

    def test_rev2(self):
        _, client = self.pair(caps="IMAP4rev1 IMAP4rev2")
        self.ok(client, "ENABLE IMAP4rev2")
        self.assertIn(b"APPENDUID", client.append(mail()))
        self.ok(client, "STATUS INBOX (DELETED)")


class Selected(Case):
    def test_select(self):
        _, client = self.pair(fill=["INBOX=3"])
        lines = self.ok(client, "SELECT INBOX")
        for part in (b"* 3 EXISTS", b"* OK [UIDVALIDITY 1001] UIDs valid", b"* OK [UIDNEXT 4] Predicted next UID",
                     b"* OK [HIGHESTMODSEQ 4] Highest", b"* OK [UNSEEN 1] First unseen.",
                     rb"* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted."):
            self.assertIn(part, lines)
        self.refused(client, "SELECT Nowhere", b"NO")
        self.refused(client, "UID FETCH 1 FLAGS")
        _, client = self.pair(caps=without("CONDSTORE", "QRESYNC"))
        self.assertNotIn(b"HIGHESTMODSEQ", b"".join(self.ok(client, "SELECT INBOX")))
        self.refused(client, "SELECT INBOX (CONDSTORE)")
        self.refused(client, "UID FETCH 1 (MODSEQ)")
        self.refused(client, "UID FETCH 1 FLAGS (CHANGEDSINCE 1)")

    def test_examine_changes_nothing(self):
        server, client = self.pair(fill=["INBOX=1"])
        self.assertIn(b"READ-ONLY", client.ask("EXAMINE INBOX")[-1])
        self.ok(client, "UID FETCH 1 BODY[]")
        self.refused(client, r"UID STORE 1 +FLAGS (\Deleted)", b"NO")
        self.ok(client, "CLOSE")
        self.assertEqual(server.messages()[0]["flags"], [])

    def test_peek(self):
        server, client = self.filled()
        self.ok(client, "UID FETCH 1 BODY.PEEK[]")
        self.assertEqual(server.messages()[0]["flags"], [])
        self.assertIn(b"FLAGS (\\Seen)", self.ok(client, "UID FETCH 1 BODY[]")[0])
        self.assertEqual(server.messages()[0]["flags"], ["\\Seen"])

    def test_fetch_items(self):
        server, client = self.pair()
        server.add("INBOX", mail(1), ["\\Seen", "work"], "17-Jul-1996 02:44:25 -0700")
        server.add("INBOX", mail(2), date="00-Jan-0000 00:00:00 +0000")
        self.ok(client, "SELECT INBOX")
        line = self.ok(client, "UID FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE MODSEQ BODY.PEEK[])")[0]
        self.assertEqual(line, b"* 1 FETCH (UID 1 FLAGS (\\Seen work) INTERNALDATE %s RFC822.SIZE %d MODSEQ (2) "
                         b"BODY[] {%d}\r\n%s)" % (DATE.encode(), len(mail()), len(mail()), mail()))
        line = self.ok(client, "UID FETCH 1 BODY.PEEK[HEADER.FIELDS (Message-ID Date)]")[0]
        self.assertTrue(line.endswith(b"BODY[HEADER.FIELDS (MESSAGE-ID DATE)] {31}\r\n"
                                      b"Message-ID: <1@example.org>\r\n\r\n)"), line)
        self.assertIn(b"BODY[TEXT] {9}\r\nHello 1\r\n)", self.ok(client, "UID FETCH 1 BODY.PEEK[TEXT]")[0])
        self.assertIn(b"BODY[]<5> {4}\r\n a@e)", self.ok(client, "FETCH 1 BODY.PEEK[]<5.4>")[0])
        self.assertIn(b'"00-Jan-0000', self.ok(client, "UID FETCH 2 INTERNALDATE")[0])
        self.assertEqual(len(self.ok(client, "UID FETCH 90:* FLAGS")), 1)
        self.refused(client, "UID FETCH 1 ENVELOPE")
        self.refused(client, "UID FETCH 0 FLAGS")
        self.refused(client, "UID FETCH 1 (EMAILID)")

    def test_objectid(self):
        server, client = self.filled(caps=DEFAULT_CAPS + " OBJECTID", folder=["b"])
        before = re.search(rb"EMAILID \((M\d+)\)", self.ok(client, "UID FETCH 1 EMAILID")[0]).group(1)
        self.ok(client, "UID MOVE 1 b")
        self.ok(client, "SELECT b")
        self.assertIn(before, self.ok(client, "UID FETCH 1 EMAILID")[0])

    def test_names_of_other_servers(self):
        _, client = self.filled(caps=DEFAULT_CAPS + " X-GM-EXT-1", server_id="name Dovecot", folder=["b"])
        number = re.search(rb"X-GM-MSGID (\d+)", self.ok(client, "UID FETCH 1 X-GM-MSGID")[0]).group(1)
        guid = re.search(rb"X-GUID ([0-9a-f]{32})", self.ok(client, "UID FETCH 1 X-GUID")[0]).group(1)
        self.ok(client, "UID COPY 1 b")
        name = self.ok(client, "STATUS b (X-GUID)")[0].split()[-1]
        self.ok(client, "RENAME b c")
        self.assertEqual(self.ok(client, "STATUS c (X-GUID)")[0].split()[-1], name)
        self.ok(client, "SELECT c")
        self.assertIn(number, self.ok(client, "UID FETCH 1 X-GM-MSGID")[0])
        self.assertIn(guid, self.ok(client, "UID FETCH 1 X-GUID")[0])
        _, client = self.filled()
        self.refused(client, "UID FETCH 1 X-GUID")
        self.refused(client, "UID FETCH 1 X-GM-MSGID")
        self.refused(client, "STATUS INBOX (X-GUID)")

    def test_condstore(self):
        server, client = self.filled()
        server.flag("INBOX", 2, "+\\Flagged -\\Seen")
        self.ok(client, "NOOP")
        self.assertEqual(self.ok(client, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 6)"),
                         [b"* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (7))"])
        self.assertIn(b"[MODIFIED 2]", client.ask(r"UID STORE 1:2 (UNCHANGEDSINCE 6) +FLAGS.SILENT (\Seen)")[-1])
        self.assertEqual(client.lines[:-1], [b"* 1 FETCH (UID 1 MODSEQ (8))"])

    def test_qresync(self):
        server, client = self.pair(fill=["INBOX=5"])
        self.refused(client, "SELECT INBOX (QRESYNC (1001 6))")
        self.assertEqual(self.ok(client, "ENABLE QRESYNC"), [b"* ENABLED QRESYNC"])
        server.expunge("INBOX", "2:3")
        server.flag("INBOX", "5", "+work")
        lines = self.ok(client, "SELECT INBOX (QRESYNC (1001 6 1:5))")
        self.assertEqual(lines[-2:], [b"* VANISHED (EARLIER) 2:3", b"* 3 FETCH (UID 5 FLAGS (work) MODSEQ (9))"])
        server.expunge("INBOX", "1")
        self.assertEqual(self.ok(client, "NOOP"), [b"* VANISHED 1"])
        self.assertEqual(self.ok(client, "UID FETCH 1:9 FLAGS (CHANGEDSINCE 9 VANISHED)"),
                         [b"* VANISHED (EARLIER) 1"])
        server.expunge("INBOX", "5")
        self.ok(client, "NOOP")
        self.assertNotIn(b"5", self.ok(client, "UID FETCH 1:* FLAGS (CHANGEDSINCE 9 VANISHED)")[0])   # * is 4 now
        self.assertEqual(self.ok(client, "UID FETCH 1:9 FLAGS (CHANGEDSINCE 9 VANISHED)"),
                         [b"* VANISHED (EARLIER) 1,5"])
        self.assertIn(b"* OK [CLOSED]", self.ok(client, "SELECT INBOX (QRESYNC (7 6))")[0])
        self.assertNotIn(b"VANISHED", b"".join(client.lines))
        _, client = self.pair(caps=without("QRESYNC"))
        self.assertEqual(self.ok(client, "ENABLE QRESYNC"), [b"* ENABLED"])

    def test_store(self):
        server, client = self.filled()
        self.assertEqual(self.ok(client, r"UID STORE 2 +FLAGS (\Seen Work)"),
                         [b"* 2 FETCH (UID 2 FLAGS (Work \\Seen))"])
        self.assertEqual(self.ok(client, r"UID STORE 2 -FLAGS.SILENT work"), [])
        self.assertEqual(server.messages()[1]["flags"], ["\\Seen"])
        self.ok(client, r"UID STORE 2 FLAGS (\Draft)")
        self.assertEqual(server.messages()[1]["flags"], ["\\Draft"])
        self.refused(client, r"UID STORE 2 FLAGS (\Junk)")

    def test_keywords(self):
        options = {"permanent_flags": r"\Seen $MDNSent", "refuse_keyword": ["^bad => [CANNOT] No"]}
        server, client = self.filled(**options)
        self.ok(client, r"UID STORE 1 FLAGS (\Seen \Flagged $mdnsent fine)")
        self.assertEqual(server.messages()[0]["flags"], ["$mdnsent", "\\Seen"])
        self.assertIn(b"[CANNOT] No", self.refused(client, "UID STORE 1 FLAGS (badly)", b"NO"))
        self.assertIn(b"[CANNOT] No", client.append(mail(), extra="(badly) "))
        server, client = self.filled(max_keywords=2)
        self.ok(client, "UID STORE 1 FLAGS (a b)")
        self.assertIn(b"[LIMIT]", self.refused(client, "UID STORE 2 FLAGS (c)", b"NO"))
        self.ok(client, "UID STORE 2 FLAGS (A)")

    def test_search(self):
        server, client = self.filled()
        server.flag("INBOX", "2,4", "+\\Seen +work")
        self.ok(client, "NOOP")
        for keys, found in (("ALL", b" 1 2 3 4 5"), ("SEEN", b" 2 4"), ("UNSEEN", b" 1 3 5"), ("KEYWORD Work", b" 2 4"),
                            ("UID 4:9 NOT SEEN", b" 5"), ("OR UID 1 (SEEN UID 2)", b" 1 2"), ("LARGER 5000", b""),
                            ('HEADER Message-ID "sample.3@"', b" 3"), ("2:3", b" 2 3")):
            self.assertEqual(self.ok(client, "UID SEARCH " + keys), [b"* SEARCH" + found], keys)
        text = "UID SEARCH RETURN (ALL COUNT MIN) SEEN"
        self.assertEqual(self.ok(client, text), [b'* ESEARCH (TAG "t%d") UID MIN 2 ALL 2,4 COUNT 2' % client.count])
        _, client = self.filled(caps=without("ESEARCH"))
        self.refused(client, text)

    def test_copy_move(self):
        server, client = self.filled(folder=["b"])
        self.assertIn(b"[COPYUID 1003 2:3 1:2]", client.ask("UID COPY 2:3 b")[-1])
        lines = self.ok(client, "UID MOVE 1,5 b")
        self.assertEqual(lines, [b"* OK [COPYUID 1003 1,5 3:4]", b"* 1 EXPUNGE", b"* 4 EXPUNGE"])
        self.assertIn(b"TRYCREATE", self.refused(client, "UID COPY 2 c", b"NO"))
        _, client = self.filled(caps=without("UIDPLUS", "MOVE"), folder=["b"])
        self.assertNotIn(b"COPYUID", client.ask("UID COPY 2:3 b")[-1])
        self.refused(client, "UID MOVE 1 b")

    def test_expunge(self):
        server, client = self.filled()
        self.ok(client, r"UID STORE 1:2 +FLAGS.SILENT (\Deleted)")
        self.assertEqual(self.ok(client, "UID EXPUNGE 2"), [b"* 2 EXPUNGE"])
        self.assertEqual(self.ok(client, "EXPUNGE"), [b"* 1 EXPUNGE"])
        self.ok(client, r"UID STORE 3 +FLAGS.SILENT (\Deleted)")
        self.ok(client, "UNSELECT")
        self.assertEqual(len(server.messages()), 3)
        self.ok(client, "SELECT INBOX")
        self.ok(client, "CLOSE")
        self.assertEqual([m["uid"] for m in server.messages()], [4, 5])
        _, client = self.filled(caps=without("UIDPLUS", "UNSELECT"))
        self.refused(client, "UID EXPUNGE 1")
        self.refused(client, "UNSELECT")

    def test_others_changes(self):
        server, client = self.filled()
        other = self.client(server)
        other.append(mail())
        server.expunge("INBOX", "1")
        server.flag("INBOX", "2", "+\\Seen")
        self.assertEqual(self.ok(client, "NOOP"), [b"* 1 EXPUNGE", b"* 5 EXISTS", b"* 1 FETCH (UID 2 FLAGS (\\Seen))"])
        self.assertEqual(self.ok(client, "NOOP"), [])

    def test_idle(self):
        server, client = self.filled()
        tag = client.begin("IDLE")
        self.assertTrue(client.response().startswith(b"+"))
        server.deliver()
        self.assertEqual(client.response(), b"* 6 EXISTS")
        client.send(b"DONE\r\n")
        self.assertTrue(client.answer(tag)[-1].startswith(b"OK"))
        _, client = self.filled(caps=without("IDLE"))
        self.refused(client, "IDLE")

    def test_compress(self):
        import zlib
        _, client = self.filled(caps=DEFAULT_CAPS + " COMPRESS=DEFLATE")
        self.ok(client, "COMPRESS DEFLATE")
        pack, unpack = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
        client.send(pack.compress(b"z NOOP\r\n") + pack.flush(zlib.Z_SYNC_FLUSH))
        self.assertEqual(unpack.decompress(client.sock.recv(1000)), b"z OK NOOP completed\r\n")
        _, client = self.filled()
        self.refused(client, "COMPRESS DEFLATE")


class Append(Case):
    def test_appenduid(self):
        server, client = self.pair()
        self.assertIn(b"[APPENDUID 1001 1]", client.append(mail(1), extra=r"(\Seen a) %s " % DATE))
        self.assertEqual((server.messages()[0]["flags"], server.messages()[0]["epoch"]), (["\\Seen", "a"], 837596665))
        self.assertEqual(server.body("INBOX", 1), mail(1))
        self.assertIn(b"[APPENDUID 1001 2]", client.append_sync(mail(2)))
        self.assertIn(b"TRYCREATE", client.append_sync(mail(), "Nowhere"))
        self.assertIn(b"TRYCREATE", client.append(mail(), "Nowhere"))
        self.assertTrue(client.append(mail(), extra='"bad date" ').startswith(b"BAD"))
        self.assertTrue(client.append(mail(), extra=r"(\Recent) ").startswith(b"BAD"))
        self.assertEqual(server.commands()["appended"], 2)
        _, client = self.pair(caps=without("UIDPLUS"))
        self.assertTrue(client.append(mail()).startswith(b"OK APPEND"))

    def test_literal_plus(self):
        server, client = self.pair(caps=without("LITERAL+"))
        self.assertTrue(client.append_sync(mail()).startswith(b"OK"))
        tag = client.begin(client.append_text(mail()))
        self.assertTrue(client.answer(tag)[-1].startswith(b"BAD"))
        self.assertEnds(client)
        self.assertEqual(len(server.messages()), 1)

    def test_literal_minus(self):
        server, client = self.pair(caps=without("LITERAL+") + " LITERAL-")
        self.assertTrue(client.append(mail()).startswith(b"OK"))
        self.assertTrue(client.append_sync(mail(size=5000)).startswith(b"OK"))
        self.assertIn(b"TOOBIG", client.append(mail(size=5000)))
        self.assertEqual(len(server.messages()), 2)

    def test_multiappend(self):
        server, client = self.pair()
        self.assertIn(b"[APPENDUID 1001 1:3]", client.append([mail(1), mail(2), mail(3)]))
        self.assertTrue(client.append([mail(4), b""]).startswith(b"NO"))
        self.assertTrue(client.append(b"").startswith(b"NO"))
        self.assertEqual(len(server.messages()), 3)
        server, client = self.pair(caps=without("MULTIAPPEND"))
        self.assertTrue(client.append([mail(1), mail(2), mail(3)]).startswith(b"BAD"))
        self.assertEqual(server.messages(), [])
        self.assertTrue(client.append(mail(1)).startswith(b"OK"))

    def test_multiappend_is_atomic(self):
        batch = [mail(1), mail(2) + b"\0", mail(3)]
        server, client = self.pair(refuse=["nul"])
        self.assertIn(b"NUL", client.append(batch))
        self.assertEqual(server.messages(), [])
        server, client = self.pair(refuse=["nul"], multiappend_not_atomic=True)
        self.assertIn(b"NUL", client.append(batch))
        self.assertEqual(len(server.messages()), 1)

    def test_refusals(self):
        bad = {"nul": mail() + b"\0", "bare-lf": mail() + b"a\n", "8bit-header": b"X: \xe4\r\n" + mail(),
               "no-blank-line": b"a: b\r\n", "no-final-crlf": mail(size=1), "long-line": mail(size=10001),
               "re:(?i)^x-virus => [CANNOT] It has a virus": b"X-Virus: yes\r\n" + mail()}
        self.assertEqual(set(bad), set(fakeimap.REFUSALS) | {list(bad)[-1]})
        for rule, body in bad.items():
            server, client = self.pair(refuse=[rule])
            self.assertTrue(client.append(body).startswith(b"NO"), rule)
            self.assertTrue(client.append(mail()).startswith(b"OK"), rule)
            _, client = self.pair()
            self.assertTrue(client.append(body).startswith(b"OK"), rule)
        self.assertIn(b"[CANNOT] It has a virus", self.client(server).append(body))

    def test_refusal_as_an_error(self):
        server, client = self.pair(refuse=["re:(?i)^x-bad => BAD Command Argument Error. 11"])
        self.assertTrue(client.append(b"X-Bad: yes\r\n" + mail()).startswith(b"BAD Command Argument"))
        self.assertEqual(server.messages(), [])

    def test_alterations(self):
        for name, sent, kept in (("munge-8bit", b"S: \xe4\r\n\r\n\xe4", b"S: X\r\n\r\n\xe4"),
                                 ("bare-lf-to-crlf", b"a: b\n\nc\r\n", b"a: b\r\n\r\nc\r\n")):
            server, client = self.pair(alter=[name])
            client.append(sent)
            self.assertEqual(server.body("INBOX", 1), kept)
        server, client = self.pair(alter=["add-received", "ignore-date"])
        client.append(mail(), extra=DATE + " ")
        self.assertTrue(server.body("INBOX", 1).startswith(b"Received: "))
        self.assertGreater(server.messages()[0]["epoch"], 1000000000)

    def test_limits(self):
        server, client = self.pair(max_size=1000, quota=1500)
        self.assertIn(b"[TOOBIG]", client.append(mail(size=1000)))
        self.assertIn(b"[TOOBIG]", client.append_sync(mail(size=1000)))
        self.assertTrue(client.append(mail(size=800)).startswith(b"OK"))
        self.assertIn(b"[OVERQUOTA]", client.append(mail(size=800)))
        self.assertEqual(len(server.messages()), 1)
        _, client = self.pair(max_line=100)
        self.ok(client, "CAPABILITY" + " " * 87)
        self.refused(client, "CAPABILITY" + " " * 88)

    def test_pipelined(self):
        server, client = self.pair()
        train = b"".join(b"p%d " % n + client.append_text(mail(n)) + b"\r\n" for n in range(200))
        client.send(train)
        for n in range(200):
            self.assertTrue(client.answer(b"p%d" % n)[-1].startswith(b"OK"))
        self.assertEqual([m["msgid"] for m in server.messages()], ["<%d@example.org>" % n for n in range(200)])

    def test_latency(self):
        """Whoever waits for each answer pays each time, a pipelined train pays once."""
        _, client = self.pair(delay_ms=100)
        start = time.monotonic()
        for _ in range(3):
            self.ok(client, "NOOP")
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        start = time.monotonic()
        client.send(b"".join(b"n%d NOOP\r\n" % n for n in range(100)))
        client.answer(b"n99")
        self.assertTrue(0.1 <= time.monotonic() - start < 5)
        self.ok(client, "LOGOUT")
        self.assertEqual(client.rest(), b"")


class Script(Case):
    """Each action, through its visible effect."""

    def lost(self, action, stored, count=2):
        """Append until the connection ends; returns the server."""
        server, client = self.pair("on APPEND %d %s" % (count, action))
        for number in range(1, count):
            self.assertTrue(client.append(mail(number)).startswith(b"OK"))
        self.assertRaises((EOFError, ConnectionError), client.append, mail(count))
        self.assertEqual(len(server.messages()), stored)
        self.assertEqual(server.unfired(), [])
        self.assertTrue(self.client(server).append(mail()).startswith(b"OK"))
        return server

    def test_drop(self):
        self.lost("after-literal: drop", 1)
        self.lost(": drop", 1)
        self.lost("before: drop", 1)
        self.lost("literal-byte 10: drop", 1)

    def test_reset(self):
        server, client = self.pair("on NOOP: reset")
        self.assertRaises(ConnectionResetError, client.ask, "NOOP")

    def test_store_then(self):
        self.lost(": store-then-drop", 2)
        self.lost("after: drop", 2)
        self.lost(": store-then-reset", 2)

    def test_replied(self):
        server, client = self.pair("on APPEND replied: drop")
        self.assertTrue(client.append(mail()).startswith(b"OK"))
        self.assertEnds(client)

    def test_silent(self):
        for verb, stored in (("silent", 0), ("store-then-silent", 1)):
            server, client = self.pair("on APPEND: " + verb)
            client.sock.settimeout(0.2)
            self.assertRaises(TimeoutError, client.append, mail())
            self.assertRaises(TimeoutError, client.ask, "NOOP")
            self.assertEqual(len(server.messages()), stored)

    def test_no_reply(self):
        server, client = self.pair("on APPEND: no-reply")
        client.begin(client.append_text(mail()))
        self.assertEqual(self.ok(client, "NOOP"), [])
        self.assertEqual(len(server.messages()), 1)

    def test_store_later(self):
        server = self.fake("on APPEND: store-later 0.3")
        client = self.client(server)
        self.assertRaises(EOFError, client.append, [mail(1), mail(2)])
        self.assertEqual(server.messages(), [])
        time.sleep(0.5)
        self.assertEqual(len(server.messages()), 2)

    def test_store_some(self):
        server, client = self.pair("on APPEND: store-some 2")
        self.assertRaises(EOFError, client.append, [mail(1), mail(2), mail(3)])
        self.assertEqual(len(server.messages()), 2)

    def test_bye(self):
        server, client = self.pair("on NOOP: bye Going down")
        client.begin("NOOP")
        self.assertEqual(client.rest(), b"* BYE Going down\r\n")

    def test_reply_instead_and_after(self):
        server, client = self.pair('on APPEND 1: reply NO [OVERQUOTA] Full\non APPEND 2: reply "BAD a; b"\n'
                                   "on APPEND 3 after: reply NO but stored\non APPEND 4 before: reply NO early\n"
                                   "on APPEND 5 literal-byte 5: reply NO midway")
        self.assertEqual(client.append(mail()), b"NO [OVERQUOTA] Full")
        self.assertEqual(client.append(mail()), b"BAD a; b")
        self.assertEqual(server.messages(), [])
        self.assertEqual(client.append(mail()), b"NO but stored")
        self.assertEqual(len(server.messages()), 1)
        self.assertEqual(client.append_sync(mail()), b"NO early")
        self.assertEqual(client.append(mail()), b"NO midway")
        self.assertEqual(len(server.messages()), 1)

    def test_garbage(self):
        _, client = self.pair(r'on NOOP: garbage "\x00\xff\"Server Unavailable. 15\r\n"')
        client.begin("NOOP")
        self.assertEqual(client.line(), b'\0\xff"Server Unavailable. 15\r\n')
        self.ok(client, "NOOP")

    def test_throttle(self):
        server, client = self.pair('on NOOP 2: throttle "[UNAVAILABLE] Slow down" 2')
        self.ok(client, "NOOP")
        self.assertEqual(self.refused(client, "NOOP", b"NO"), b"NO [UNAVAILABLE] Slow down")
        self.refused(client, "CAPABILITY", b"NO")
        self.ok(client, "NOOP")

    def test_extra(self):
        _, client = self.filled('on FETCH: extra "*  5 EXISTS"')
        lines = self.ok(client, "UID FETCH 1:2 (FLAGS)")
        self.assertEqual([line == b"*  5 EXISTS" for line in lines], [True, False, True, False, True])

    def test_omit_and_replace(self):
        _, client = self.pair('on SELECT: omit "UIDNEXT|PERMANENTFLAGS"\n'
                              r'on SELECT 2: replace "UIDVALIDITY (\\d+)" "UIDVALIDITY 0\\1"')
        lines = self.ok(client, "SELECT INBOX")
        self.assertNotIn(b"UIDNEXT", b"".join(lines))
        self.assertIn(b"[UIDVALIDITY 1001]", b"".join(lines))
        self.assertIn(b"[UIDVALIDITY 01001]", b"".join(self.ok(client, "SELECT INBOX")))

    def test_replace_spares_bodies(self):
        server, client = self.filled('on FETCH: replace "e" "E"', count=0)
        server.add("INBOX", mail())
        self.ok(client, "NOOP")
        self.assertIn(mail(), client.ask("UID FETCH 1 BODY.PEEK[]")[0])
        self.assertIn(b"complEtEd", client.lines[-1])

    def test_split(self):
        _, client = self.pair("on CAPABILITY: split")
        client.begin("CAPABILITY")
        pieces = []
        while not b"".join(pieces).endswith(b"completed\r\n"):
            pieces.append(client.sock.recv(1000))
        self.assertGreater(len(pieces), 3)

    def test_delay_and_rate(self):
        _, client = self.pair("on NOOP 1: delay 0.3\non NOOP 2: rate 100")
        for low in (0.29, 0.15):
            start = time.monotonic()
            self.ok(client, "NOOP")
            self.assertGreater(time.monotonic() - start, low)

    def test_close_after(self):
        server, client = self.pair("on CONNECT 1: close-after 21 sent", login=None)
        self.assertEqual(client.rest(), b"* OK fakeimap ready\r\n")
        server, client = self.pair("on CONNECT 1: close-after 10 sent", login=None)
        self.assertEqual(client.rest(), b"* OK fakei")
        server, client = self.pair("on NOOP: close-after 7 received")
        self.ok(client, "NOOP")
        client.send(b"1 NOOP\r\n")
        self.assertEqual(client.rest(), b"")
        self.assertEqual(server.count("NOOP"), 1)
        server, client = self.pair("on NOOP: close-after 8 received")
        self.ok(client, "NOOP")
        client.send(b"1 NOOP\r\n2 NOOP\r\n")
        self.assertEqual(client.rest(), b"1 OK NOOP completed\r\n")
        server, client = self.pair("on NOOP: close-after 30 both")
        client.begin("NOOP")
        client.send(b"1 NOOP\r\n")
        self.assertEqual(client.rest(), b"t2 OK NOOP completed\r\n")

    def test_close_after_in_a_literal(self):
        """Every cut: nothing is stored before the last byte, and what was cut was not stored."""
        length = len(b"t2 " + Client.append_text(None, mail()) + b"\r\n")
        for cut in range(1, length + 2, 7):
            server, client = self.pair("on LOGIN after: close-after %d received" % cut)
            client.begin(client.append_text(mail()))
            rest = client.rest()
            self.assertEqual((len(server.messages()), b"OK" in rest), (cut >= length, cut >= length), cut)

    def test_down(self):
        server, client = self.pair("on NOOP: down 0.4")
        bystander = self.client(server)
        self.assertRaises((EOFError, ConnectionError), client.ask, "NOOP")
        self.assertEnds(bystander)
        self.assertRaises((EOFError, ConnectionError), Client, server.port)
        time.sleep(0.5)
        self.client(server)

    def test_appenduid(self):
        _, client = self.pair("on APPEND 1: wrong-appenduid 1 1e5\non APPEND 2: omit-appenduid")
        self.assertEqual(client.append(mail()), b"OK [APPENDUID 1 1e5] APPEND completed")
        self.assertEqual(client.append(mail()), b"OK APPEND completed")
        self.assertIn(b"[APPENDUID 1001 3]", client.append(mail()))

    def fetch_all(self, script, items="(BODY.PEEK[])"):
        _, client = self.filled(script, count=3)
        return client, client.ask("UID FETCH 1:3 " + items)

    def test_bodies(self):
        for verb, shown in (("omit-body", b"* 2 FETCH (UID 2)"), ("nil-body", b"* 2 FETCH (UID 2 BODY[] NIL)"),
                            ("empty-body", b'* 2 FETCH (UID 2 BODY[] "")')):
            client, lines = self.fetch_all("on FETCH-BODY uid 2: " + verb)
            self.assertEqual(lines[1], shown)
            self.assertIn(b"BODY[] {", lines[0])
            client, lines = self.fetch_all("on FETCH-BODY: " + verb)
            self.assertEqual([b"{" in line for line in lines], [False] * 4)

    def test_truncate_and_stall(self):
        for verb, error in (("truncate-literal", EOFError), ("stall-literal", TimeoutError)):
            _, client = self.filled("on FETCH-BODY uid 2: %s 20" % verb, count=3)
            client.sock.settimeout(0.3)
            self.assertRaises(error, client.ask, "UID FETCH 1:3 (BODY.PEEK[])")
            self.assertTrue(client.buffer.startswith(b"From: sample 2"), client.buffer)
            self.assertEqual(len(client.buffer), 20)

    def test_announce(self):
        _, client = self.filled("on FETCH-BODY: announce-literal 10737418240")
        client.sock.settimeout(0.3)
        client.begin("UID FETCH 1 (BODY.PEEK[])")
        self.assertTrue(client.line().endswith(b"{10737418240}\r\n"))
        self.assertIn(b"From: sample 1", client.read(100))

    def test_size_lie(self):
        for lie, size in (("+30%", b"377"), ("-30%", b"203"), ("9.3e+06", b"9.3e+06"), ("-1", b"-1")):
            _, lines = self.fetch_all("on FETCH uid 2: size-lie " + lie, "(RFC822.SIZE)")
            self.assertEqual(lines[:2], [b"* 1 FETCH (UID 1 RFC822.SIZE 290)",
                                         b"* 2 FETCH (UID 2 RFC822.SIZE %s)" % size])

    def test_drop_and_fail_message(self):
        for rule, status, uids in (("uid 2: drop-message", b"OK", [1, 3]), (": drop-message", b"OK", [1, 2]),
                                   ("uid 1: fail-message", b"NO The requested", [2, 3]),
                                   (": fail-message NO Gone", b"NO Gone", [1, 2])):
            _, lines = self.fetch_all("on FETCH-BODY " + rule)
            self.assertTrue(lines[-1].startswith(status), lines[-1])
            self.assertEqual([int(line.split()[4]) for line in lines[:-1]], uids)

    def test_mailbox_actions(self):
        server, client = self.filled("on NOOP 1: deliver 2; expunge 1:2; flag 3 +\\Seen\non NOOP 2: deliver 3 Other\n"
                                     "on NOOP 3: uidvalidity-change; remove-folder Other\n"
                                     "on NOOP 4: deliver 1 \"With blank\"; flag 1 +x \"With blank\"")
        self.ok(client, "NOOP")
        self.assertEqual([(m["uid"], m["flags"]) for m in server.messages()],
                         [(3, ["\\Seen"]), (4, []), (5, []), (6, []), (7, [])])
        self.assertIn("foreign", server.messages()[-1]["msgid"])
        self.ok(client, "NOOP")
        self.assertEqual(len(server.messages("Other")), 3)
        self.ok(client, "NOOP")
        self.assertNotIn("Other", server.state()["folders"])
        inbox = server.state()["folders"]["INBOX"]
        self.assertNotEqual(inbox["uidvalidity"], 1001)
        self.assertEqual([m["uid"] for m in inbox["messages"]], [1, 2, 3, 4, 5])
        self.ok(client, "NOOP")
        self.assertEqual(server.messages("With blank")[0]["flags"], ["x"])

    def test_snapshot_restore(self):
        server, client = self.pair("on NOOP 1: snapshot\non NOOP 2: restore")
        self.ok(client, "NOOP")
        client.append(mail())
        self.assertRaises((EOFError, ConnectionError), client.ask, "NOOP")
        self.assertEqual(server.messages(), [])
        self.assertEqual(server.state()["folders"]["INBOX"]["uidnext"], 1)
        self.assertIn(b"APPENDUID 1001 1]", self.client(server).append(mail()))

    def test_greetings(self):
        server = self.fake('on CONNECT 1: raw-greeting "* BYE no"\non CONNECT 2: preauth-greeting\n'
                           "on CONNECT 3: drop\non CONNECT 4: bye Shutting down\non CONNECT 5: silent\n"
                           "on CONNECT 6: reply NO strange")
        self.assertEqual(self.client(server, login=False).greeting, b"* BYE no")
        client = self.client(server, login=False)
        self.assertTrue(client.greeting.startswith(b"* PREAUTH"))
        self.ok(client, "SELECT INBOX")
        self.assertEqual(self.client(server, login=None).rest(), b"")
        self.assertEqual(self.client(server, login=None).rest(), b"* BYE Shutting down\r\n")
        client = self.client(server, login=None)
        client.sock.settimeout(0.2)
        self.assertRaises(TimeoutError, client.line)
        self.assertEqual(self.client(server, login=False).greeting, b"* NO strange")
        self.client(server)

    def test_which(self):
        hits = {"": [1], "2": [2], "2-3": [2, 3], "3+": [3, 4, 5], "*": [1, 2, 3, 4, 5]}
        for which, expected in hits.items():
            _, client = self.pair("on NOOP %s: reply NO hit" % which)
            self.assertEqual([n for n in range(1, 6) if client.ask("NOOP")[-1].startswith(b"NO")], expected)

    def test_selectors(self):
        server = self.fake('on STATUS folder "a b" 2: reply NO folder\non NOOP user bert: reply NO user\n'
                           'on LOGIN user bert 2: reply NO login\n'
                           "on CAPABILITY connection 2: reply NO connection\non UID FETCH uid 3: reply NO uid\n"
                           'on LIST * line "return": reply NO line\non FETCH-META line MODSEQ: reply NO meta',
                           users={"anna": "pw", "bert": "b"}, folder=["a b"], fill=["INBOX=9"])
        client, other = self.client(server), self.client(server, login=False)
        self.ok(other, "LOGIN bert b")
        self.ok(client, "STATUS INBOX (MESSAGES)")
        self.ok(client, 'STATUS "a b" (MESSAGES)')
        self.refused(client, 'STATUS "a b" (MESSAGES)', b"NO folder")
        self.ok(client, "NOOP")
        self.refused(other, "NOOP", b"NO user")
        self.refused(self.client(server, login=False), "LOGIN bert b", b"NO login")
        self.ok(client, "CAPABILITY")
        self.refused(other, "CAPABILITY", b"NO connection")
        self.ok(client, "SELECT INBOX")
        self.ok(client, "UID FETCH 1:2,4 FLAGS")
        self.refused(client, "UID FETCH 1:* FLAGS", b"NO uid")
        self.ok(client, 'LIST "" "*"')
        self.refused(client, 'LIST "" "*" RETURN (CHILDREN)', b"NO line")
        self.ok(client, "UID FETCH 1 (BODY.PEEK[] MODSEQ)")
        self.refused(client, "UID FETCH 1 (MODSEQ)", b"NO meta")
        self.assertEqual(server.unfired(), [])

    def test_folder_as_literal(self):
        server, client = self.pair("on APPEND folder a before: reply NO hit", folder=["a"])
        body = mail()
        self.assertEqual(client.ask(b"APPEND {1+}\r\na {%d+}\r\n" % len(body) + body)[-1], b"NO hit")
        self.assertTrue(client.append(body, "a").startswith(b"OK"))

    def test_selected_folder(self):
        server, client = self.pair("on FETCH folder a: reply NO hit", folder=["a"])
        for folder in ("INBOX", "a"):
            self.ok(client, "SELECT " + folder)
            status = client.ask("UID FETCH 1 FLAGS")[-1]
        self.assertEqual(status, b"NO hit")

    def test_any_and_options(self):
        server, client = self.pair("# a comment\n\noptions --caps IMAP4rev1 --delimiter .\non ANY 2: reply NO hit")
        self.refused(client, "CAPABILITY", b"NO hit")
        self.assertEqual(self.ok(client, "CAPABILITY"), [b"* CAPABILITY IMAP4rev1"])

    def test_bad_scripts(self):
        for text in ("on NOOP: explode", "on NOOP drop", "on NOOP sometimes: drop", "drop", "on NOOP: delay soon",
                     "on NOOP: truncate-literal", "options --nonsense"):
            with self.assertRaises(ValueError, msg=text), open(os.devnull, "w") as null:
                saved, sys.stderr = sys.stderr, null
                try:
                    FakeImap(script=text)
                finally:
                    sys.stderr = saved

    def test_every_action_is_tested_and_documented(self):
        with open(__file__, encoding="utf-8") as file:
            tests = file.read()
        for verb in fakeimap.ACTIONS:
            self.assertRegex(fakeimap.__doc__, r"(?<![\w-])%s(?![\w-])" % verb)
            self.assertRegex(tests, r"(?<![\w-])%s(?![\w-])" % verb)

    def test_script_files(self):
        files = sorted(glob.glob(os.path.join(HERE, "scripts", "*.txt")))
        self.assertGreater(len(files), 20)
        for name in files:
            with open(name, encoding="utf-8") as file:
                text = file.read()
            with self.subTest(os.path.basename(name)):
                self.assertTrue(text.startswith("# "), "says first what it is")
                FakeImap(script=text)


class ScriptFiles(Case):
    """A few of the files, played."""

    def script(self, name):
        with open(os.path.join(HERE, "scripts", name + ".txt"), encoding="utf-8") as file:
            return file.read()

    def test_no_body(self):
        server, client = self.filled(self.script("fetch-no-body"))
        for _ in range(2):
            lines = self.ok(client, "UID FETCH 1:5 (BODY.PEEK[])")
            self.assertEqual([b"{" in line for line in lines], [True, False, False, False, True])
        self.assertEqual(server.unfired(), [])

    def test_sizes(self):
        server, client = self.filled(self.script("fetch-sizes-lie"))
        self.assertEqual(len(set(self.ok(client, "UID FETCH 1:5 RFC822.SIZE"))), 5)
        self.assertEqual(server.unfired(), [])

    def test_list_without_return(self):
        for name in ("list-no-return", "list-empty-return"):
            server, client = self.pair(self.script(name))
            self.assertEqual(client.ask('LIST "" "*" RETURN (CHILDREN)')[:-1], [])
            self.assertEqual(len(self.ok(client, 'LIST "" "*"')), 1)

    def test_backslash_and_literals(self):
        _, client = self.pair(self.script("list-literal-names"))
        self.assertEqual(self.ok(client, 'LIST "" "*"'), [b'* LIST (\\HasNoChildren) "\\\\" {5}\r\nINBOX'])

    def test_courier(self):
        _, client = self.pair(self.script("server-courier"))
        self.refused(client, "CREATE Work", b"NO")
        self.assertEqual(client.append_sync(mail()), b"OK APPEND completed")

    def test_keywords(self):
        server, client = self.pair(self.script("keywords-refused"))
        self.assertIn(b"Invalid flag list", client.append(mail(), extra="($Junk) "))
        self.assertTrue(client.append(mail(), extra="(a b c) ").startswith(b"OK"))
        self.assertIn(b"[LIMIT]", client.append(mail(), extra="(d) "))

    def test_backup(self):
        server, client = self.pair(self.script("folder-restored-backup"))
        for number in range(4):
            self.assertTrue(client.append(mail(number)).startswith(b"OK"))
        self.assertEnds(client)
        self.assertEqual(server.messages(), [])

    def test_qresync_lies(self):
        server, client = self.filled(self.script("qresync-lies"))
        self.assertEqual(self.ok(client, "ENABLE QRESYNC"), [])
        self.assertIn(b"* VANISHED (EARLIER) 1:*", self.ok(client, "SELECT INBOX (QRESYNC (1001 1))"))

    def test_poisoned(self):
        server, client = self.filled(self.script("fetch-poisoned"))
        self.assertEqual(len(client.ask("UID FETCH 1:5 BODY.PEEK[]")), 5)
        self.assertTrue(client.lines[-1].startswith(b"NO"))
        self.assertEqual(len(self.ok(client, "UID FETCH 1:2 BODY.PEEK[]")), 2)


class Server(Case):
    def test_counts(self):
        server, client = self.pair(folder=["b"])
        client.append([mail(1), mail(2)], "b")
        self.ok(client, "SELECT b")
        self.ok(client, "UID FETCH 1 FLAGS")
        self.ok(client, "FETCH 1 FLAGS")
        other = self.client(server)
        commands = server.commands()
        self.assertEqual(commands["count"], {"LOGIN": 2, "APPEND": 1, "SELECT": 1, "UID FETCH": 1, "FETCH": 1})
        self.assertEqual(commands["connections"], [["LOGIN", "APPEND", "SELECT", "UID FETCH", "FETCH"], ["LOGIN"]])
        self.assertEqual((commands["appended"], commands["open"]), (2, 2))
        self.assertEqual((server.count("FETCH"), server.count()), (2, 6))
        self.assertEqual([e["folder"] for e in server.log], [None, "b", "b", "b", "b", None])
        other.close()

    def test_wait(self):
        server, client = self.pair()
        self.assertFalse(server.wait("NOOP", 1, 0.05))
        threading.Timer(0.1, client.begin, ["NOOP"]).start()
        self.assertTrue(server.wait("NOOP", 1, 5))

    def test_reset_kick(self):
        server, client = self.pair("on NOOP: drop")
        client.append(mail())
        server.reset()
        self.assertEnds(client)
        self.assertEqual((server.messages(), server.log, server.unfired()), ([], [], []))
        client = self.client(server)
        server.kick()
        self.assertEnds(client)

    def test_uidvalidity_and_create(self):
        server, client = self.filled()
        server.uidvalidity("INBOX", 77)
        self.assertIn(b"UIDVALIDITY 77", self.ok(client, "STATUS INBOX (UIDVALIDITY)")[0])
        server.create("n", ["\\Junk"])
        server.remove("n")
        self.refused(client, "SELECT n", b"NO")

    def test_speed(self):
        server, client = self.pair(fill=["INBOX=2000"], folder=["b"])
        start = time.monotonic()
        self.ok(client, "SELECT INBOX")
        self.assertEqual(len(self.ok(client, "UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)")), 2000)
        self.assertEqual(len(self.ok(client, "UID FETCH 1:* (BODY.PEEK[])")), 2000)
        for at in range(0, 2000, 100):
            client.append([mail(n) for n in range(at, at + 100)], "b")
        self.assertEqual(len(server.messages("b")), 2000)
        self.assertLess(time.monotonic() - start, 20, "far too slow")

    def test_many_connections(self):
        server = self.fake()

        def work(number):
            client = Client(server.port)
            for _ in range(20):
                client.append(mail(number))
            client.close()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([m["uid"] for m in server.messages()], list(range(1, 161)))

    def test_unknown_option(self):
        self.assertRaises(TypeError, FakeImap, nonsense=1)


class Program(Case):
    def run_fake(self, *words, **given):
        process = subprocess.Popen([sys.executable, os.path.join(HERE, "fakeimap.py"), *words], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **given)
        self.addCleanup(self.end, process)
        return process, json.loads(process.stdout.readline())

    def end(self, process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def tell(self, process, **command):
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def test_stdin_control(self):
        process, ready = self.run_fake("--user", "bert:b", "--fill", "INBOX=2", "--script",
                                       os.path.join(HERE, "scripts", "append-lost-reply.txt"))
        self.assertEqual(ready["pid"], process.pid)
        state = self.tell(process, do="state")["ok"]
        self.assertEqual((state["user"], len(state["folders"]["INBOX"]["messages"]), len(state["unfired"])),
                         ("bert", 2, 1))
        body = {"base64": base64.b64encode(mail()).decode()}
        self.assertEqual(self.tell(process, do="add", folder="x", body=body, flags=["\\Seen"], date=0), {"ok": 1})
        self.assertEqual(self.tell(process, do="messages", folder="x")["ok"][0]["epoch"], 0)
        self.assertEqual(self.tell(process, do="body", folder="x", uid=1)["ok"], body)
        self.assertEqual(self.tell(process, do="script", text="on NOOP: drop"), {"ok": None})
        self.assertEqual(self.tell(process, do="options", words="--quota 10 --user anna:pw"), {"ok": None})
        client = Client(ready["port"])
        self.assertIn(b"OVERQUOTA", client.append(mail()))
        self.assertRaises(EOFError, client.ask, "NOOP")
        client.close()
        self.assertEqual(self.tell(process, do="commands")["ok"]["count"], {"LOGIN": 1, "APPEND": 1, "NOOP": 1})
        self.assertEqual(self.tell(process, do="count", name="APPEND")["ok"], 1)
        self.assertEqual(len(self.tell(process, do="log")["ok"]), 3)
        for bad in ({"do": "explode"}, {"do": "body", "folder": "no", "uid": 1}, {"do": "state", "x": 1}):
            self.assertIn("error", self.tell(process, **bad))
        process.stdin.close()
        self.assertEqual(process.wait(5), 0)
        process.stdin = open(os.devnull, "w")

    def test_control_port_and_sigterm(self):
        process, ready = self.run_fake("--control", "--no-stdin")
        with socket.create_connection(("127.0.0.1", ready["control"])) as sock:
            file = sock.makefile("rw")
            for command in ({"do": "deliver", "count": 3},
                            {"do": "flag", "folder": "INBOX", "uids": "2", "change": "+a"},
                            {"do": "expunge", "folder": "INBOX", "uids": "1"}, {"do": "messages"}):
                file.write(json.dumps(command) + "\n")
                file.flush()
                answer = json.loads(file.readline())
        self.assertEqual([(m["uid"], m["flags"]) for m in answer["ok"]], [(2, ["a"]), (3, [])])
        process.terminate()
        self.assertEqual(process.wait(5), 0)

    def test_null_stdin(self):
        process = subprocess.Popen([sys.executable, os.path.join(HERE, "fakeimap.py")], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        Client(json.loads(process.stdout.readline())["port"]).close()
        process.terminate()
        self.assertEqual(process.wait(5), 0)
        process.stdout.close()

    def test_tls_from_the_command_line(self):
        process, ready = self.run_fake("--tls", "implicit")
        Client(ready["port"], tls=ssl.create_default_context(cafile=ready["ca"])).close()

    def test_transcript(self):
        dialogue = "S: * OK hi\nC: {tag} LOGIN anna *\nS: {tag} OK in\n"
        for sent, code in ((b"a LOGIN anna pw\r\n", 0), (b"a LOGIN bert pw\r\n", 1)):
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write(dialogue)
                file.flush()
                process, ready = self.run_fake("--transcript", file.name)
                client = Client(ready["port"], login=False)
                client.send(sent)
                self.assertEqual(client.rest(), b"" if code else b"a OK in\r\n")
                client.close()
                self.assertEqual(process.wait(5), code)


class Transcripts(Case):
    def play(self, text, talk, **options):
        transcript = Transcript(text, timeout=2, **options).start()
        talk(transcript.port)
        return transcript.wait()

    def test_dialogue(self):
        text = ("# two connections\nS: * OK hi\nC: {tag} APPEND INBOX {3}\nS: + go\nC+: 3\nC: \n"
                "S+: \"* 1 FETCH (BODY[] {2}\\r\\nab)\\r\\n\"\nS: {tag} OK done\nclose\nS: * BYE\nC: *\nS: {tag} NO\n")

        def talk(port):
            client = Client(port, login=False)
            self.assertEqual(client.append_sync(b"a\nb"), b"OK done")
            self.assertEqual(client.lines[0], b"* 1 FETCH (BODY[] {2}\r\nab)")
            self.assertEqual(client.rest(), b"")
            client.close()
            client = Client(port, login=False)
            self.assertEqual(client.greeting, b"* BYE")
            client.begin("ANYTHING at all")
            self.assertEqual(client.line(), b"t1 NO\r\n")
            client.close()
        self.assertIsNone(self.play(text, talk))

    def test_mismatches(self):
        def says(data):
            def talk(port):
                client = Client(port, login=False)
                client.send(data)
                client.rest()
                client.close()
            return talk

        def leaves(port):
            Client(port, login=False).close()
        text = "S: * OK hi\nC: {tag} NOOP\nS: {tag} OK\n"
        self.assertEqual(self.play(text, says(b"x CAPABILITY\r\n"))["line"], 2)
        self.assertEqual(self.play(text, leaves)["line"], 2)
        self.assertIsNone(self.play(text, says(b"x NOOP\r\n")))
        self.assertRaises(ValueError, Transcript, "Q: nonsense")


if __name__ == "__main__":
    unittest.main()
