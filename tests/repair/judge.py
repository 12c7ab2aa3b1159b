#!/usr/bin/python3
"""Repaired messages, judged by Python's email package, which knows nothing of ours: each part decodes to the same
bytes, each header field says the same, and nothing is left that servers refuse.

    judge.py [CLASS...]     REPAIR_PROBE names the program; REPAIR_RUNS how many random messages (3000)
"""

import email
import email.header
import email.message
import email.policy
import email.utils
import os
import pathlib
import random
import re
import subprocess
import unittest

PROBE = os.environ.get("REPAIR_PROBE") or str(pathlib.Path(__file__).parents[2] / "build/tests/repair/repair_probe")
RUNS = int(os.environ.get("REPAIR_RUNS", "3000"))
ADDRESSES = ("from", "to", "cc", "bcc", "sender", "reply-to")
PARAMETERS = ("content-type", "content-disposition")
BROUGHT = ("content-transfer-encoding", "mime-version")


def probe(what, message):
    """(bytes or None, what was done)"""
    run = subprocess.run([PROBE, what], input=message, capture_output=True, check=False)
    assert run.returncode in (0, 3), run
    return (run.stdout if run.returncode == 0 else None), run.stderr.decode()


# --- what a message says, read by Python -----------------------------------------------------------------------


def raw(text):
    return text.encode("ascii", "surrogateescape")


def words(text):
    """The bytes of a header value, its encoded words read."""
    text = re.sub(r"\r?\n(?=[ \t])", "", text)
    if "=?" not in text:
        return raw(text)
    return b"".join(part if isinstance(part, bytes) else raw(part)
                    for part, _ in email.header.decode_header(text.encode("ascii", "surrogateescape").decode("latin-1")))


def fields(part):
    """What each field says; fields that say how a part is encoded are left out."""
    found = []
    for name, value in part.raw_items():
        low = name.lower()
        value = str(value)
        if low in BROUGHT:
            continue
        if low in ADDRESSES:
            unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
            found.append((low, [(words(real), raw(address)) for real, address in email.utils.getaddresses([unfolded])]))
        elif low in PARAMETERS:
            pairs = [tuple(text.strip() for text in (piece + "=").split("=", 1))
                     for piece in email.message._parseparam(re.sub(r"\r?\n", "", value))]
            pairs = [(key, text[:-1]) for key, text in pairs]
            found.append((low, sorted((key.lower(), said(text)) for key, text in email.utils.decode_params(pairs))))
        else:
            found.append((low, b" ".join(words(value).split())))
    return found


def said(value):
    """A parameter's bytes; those that had a charset come as latin-1 characters."""
    text = email.utils.unquote(value[2] if isinstance(value, tuple) else value)
    return text.encode("latin-1") if isinstance(value, tuple) else raw(text)


def lines(content):
    """Line ends as CRLF; one at the very end or none is the same."""
    content = re.sub(rb"(?<!\r)\n", b"\r\n", content)
    return content[:-2] if content.endswith(b"\r\n") else content


def content(part, unix_form):
    text = part.get_payload(decode=True)
    if isinstance(text, str):
        text = raw(text)
    is_text = unix_form or part.get_content_maintype() in ("text", "message", "multipart")
    return lines(text or b"") if is_text else text or b""


def parts(message, unix_form=False):
    """(type, fields, content) of every part. UNIX_FORM: it was kept with LF, which is no content anywhere."""
    return [("".join(part.get_content_type().split()), fields(part), None if part.is_multipart() else content(part, unix_form))
            for part in message.walk()]


def is_unix(message):
    return b"\n" in message and b"\r\n" not in message


def read(message):
    return email.message_from_bytes(message, policy=email.policy.compat32)


def faults(message):
    """What servers refuse."""
    head = re.split(rb"(?:^|\r\n)\r\n", message, 1)[0]
    found = [name for name, pattern in (
        ("NUL", rb"\0"), ("bare LF", rb"(?<!\r)\n"), ("bare CR", rb"\r(?!\n)"), ("long line", rb"[^\r\n]{999}")) if
        re.search(pattern, message)]
    found += ["8-bit header"] if re.search(rb"[\x80-\xff]", head) else []
    found += [] if message.endswith(b"\r\n") else ["no line end"]
    return found


# --- samples ---------------------------------------------------------------------------------------------------

HEAD = b"From: Anna <a@b.example>\r\nTo: c@d.example\r\nSubject: one\r\nMessage-ID: <1@b.example>\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
LONG = b"<p>" + b"0123456789" * 1200 + b"</p>"


def multipart(*inner, kind=b"mixed", head=HEAD, boundary=b"b-1"):
    return (head + b"MIME-Version: 1.0\r\nContent-Type: multipart/" + kind + b"; boundary=\"" + boundary + b"\"\r\n\r\n" +
            b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in inner) + b"--" + boundary + b"--\r\n")


PLAIN = TEXT + b"\r\nHello.\r\n"
PNG = bytes(range(256)) * 20
BASE64 = b"Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + \
    b"iVBORw0KGgoA\0AAANSUhEUgAAAAEAAAAB\r\nCAYAAAAfFcSJ\0\0\r\n"
NAMED = b"Content-Type: application/pdf; name=\"M\xc3\xbcller \xe2\x82\xac.pdf\"\r\n" \
    b"Content-Disposition: attachment;\r\n filename=M\xc3\xbcller.pdf; size=3\r\n\r\nabc\r\n"

MENDED = {  # what must be mended, and what is said of it
    "NUL in text": (HEAD + TEXT + b"\r\nbefore\0after\r\n", "parts encoded"),
    "NUL in text, no MIME at all": (HEAD + b"\r\nbefore\0after\r\n.\r\nFrom me\r\n tail \r\n", "parts encoded"),
    "NUL in one of two parts": (multipart(PLAIN, TEXT + b"\r\na\0b\r\n=3D x"), "parts encoded"),
    "NUL in a binary part": (multipart(b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
                                       PNG.replace(b"\r", b"")), "parts encoded"),
    "NUL within base64": (multipart(PLAIN, BASE64), "parts encoded"),
    "NUL within quoted-printable": (
        multipart(TEXT + b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=C3=BC\0=\r\nmore\r\n"), "parts encoded"),
    "NUL deep inside": (multipart(PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + HEAD + TEXT + b"\r\na\0b\r\n"),
                        "parts encoded"),
    "all of it NUL": (HEAD + TEXT + b"\r\n" + b"\0" * 5000 + b"\r\n", "parts encoded"),
    "12 kB line": (HEAD + b"Content-Type: text/html\r\n\r\n" + LONG + b"\r\n", "parts encoded"),
    "12 kB line of base64": (multipart(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
                                       b"QUJD" * 3000), "parts encoded"),
    "bare CR": (HEAD + TEXT + b"\r\n10%\r20%\r30%\r\n", "parts encoded"),
    "bare LF here and there": (HEAD + TEXT + b"\r\none\ntwo\r\nthree\n", "line ends made CRLF"),
    "bare LF everywhere": ((multipart(PLAIN, BASE64.replace(b"\0", b""))).replace(b"\r", b""), "line ends made CRLF"),
    "bare LF in a binary part": (multipart(b"Content-Type: application/x-sh\r\n\r\n#!/bin/sh\nexit\n"), "parts encoded"),
    "no line end": (HEAD + TEXT + b"\r\nthe end", "last line ended"),
    "no line end behind a delimiter": (multipart(PLAIN)[:-2], "last line ended"),
    "no line end, base64": (HEAD + b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQU\0JD",
                            "parts encoded"),
    "Latin-1 Subject": (HEAD.replace(b"one", b"Gr\xfc\xdfe aus  M\xfcnchen und mehr") + b"\r\ntext\r\n", "header encoded"),
    "UTF-8 Subject": (HEAD.replace(b"one", "Re: Grüße, 日本語 ".encode() * 9 + b"end") + b"\r\ntext\r\n", "header encoded"),
    "folded UTF-8 Subject": (HEAD.replace(b"one", b"a\r\n \xc3\xbc\r\n\tb \xc3\xa4 ") + b"\r\ntext\r\n", "header encoded"),
    "NUL in Subject": (HEAD.replace(b"one", b"a\0b") + b"\r\ntext\r\n", "header encoded"),
    "8-bit names": (HEAD.replace(b"Anna", b"\"M\xc3\xbcller, Anna\" ").replace(
        b"To: ", b"To: J\xfcrgen van M\xfcller <x@y.example>, (nobody \xe9) ") + b"\r\ntext\r\n", "header encoded"),
    "8-bit name without a blank": (HEAD.replace(b"Anna <", b"M\xc3\xbcller<") + b"\r\ntext\r\n", "header encoded"),
    "8-bit filenames": (multipart(PLAIN, NAMED), "header encoded"),
    "8-bit Latin-1 filename": (multipart(NAMED.replace(b"\xc3\xbc", b"\xfc").replace(b"\xe2\x82\xac", b"E")), "header encoded"),
    "8-bit in a strange field": (HEAD + b"X-Spam: \xff\xfe\r\n\r\ntext\r\n", "header encoded"),
    "long To": (HEAD.replace(b"c@d.example", b", ".join(b"user%d@d.example" % n for n in range(300))) + b"\r\ntext\r\n",
                "header folded"),
    "long word": (HEAD.replace(b"one", b"x" * 1500) + b"\r\ntext\r\n", "header encoded"),
    "no empty line": (HEAD + b"text without an empty line before it\r\n", "empty line put behind the header"),
    "header only": (HEAD, "empty line put behind the header"),
    "header only, open": (HEAD[:-2], "empty line put behind the header"),
    "no header": (b"just some text\r\n\r\nand more\r\n", "empty line put behind the header"),
    "mbox line": (b"From anna@b.example Sat Jan  3 01:05:34 1996\r\n" + HEAD + b"\r\ntext\r\n", "mbox line taken off"),
    "signed, fault outside": (multipart(PLAIN, b"Content-Type: application/pgp-signature\r\n\r\nabc\r\n", kind=b"signed",
                                        head=HEAD.replace(b"one", b"\xc3\xbc")), "header encoded"),
    "signed, kept with LF": (multipart(PLAIN, b"Content-Type: application/pgp-signature\r\n\r\nabc\r\n", kind=b"signed")
                             .replace(b"\r", b""), "line ends made CRLF"),
}

NOT_MENDED = {  # what cannot be said otherwise without doubt
    "nothing wrong": HEAD + TEXT + b"\r\ntext\r\n",
    "empty": b"",
    "signed, fault inside": multipart(TEXT + b"\r\na\0b", b"Content-Type: application/pgp-signature\r\n\r\nabc\r\n",
                                      kind=b"signed"),
    "signed, one bare LF inside": multipart(TEXT + b"\r\na\nb\r\n", b"Content-Type: application/pgp-signature\r\n\r\nabc\r\n",
                                            kind=b"signed"),
    "signed, 8-bit header inside": multipart(
        b"Subject: \xc3\xbc\r\n" + PLAIN, b"Content-Type: application/pgp-signature\r\n\r\nabc\r\n", kind=b"signed",
        head=HEAD.replace(b"one", b"\xc3\xbc")),
    "encrypted, fault inside": multipart(b"Content-Type: application/octet-stream\r\n\r\na\0b", kind=b"encrypted"),
    "S/MIME": HEAD + b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nQU\0JD\r\n",
    "uuencoded": HEAD + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n\0\r\nend\r\n",
    "base64 that goes on behind its end": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\nQQ==\r\nQU\0JD\r\n",
    "base64 without its end": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\nQUJ\0DQ\r\n",
    "broken quoted-printable": HEAD + b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=ZZ\0\r\n",
    "blank at a line's end, quoted-printable": HEAD + b"Content-Transfer-Encoding: quoted-printable\r\n\r\na \r\n\0\r\n",
    "fields behind what is no field": HEAD + b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\ntext\0\r\n",
    "folded line first": b" folded\r\n" + HEAD + b"\r\ntext\0\r\n",
    "8-bit address": HEAD.replace(b"a@b", b"\xc3\xbc@b") + b"\r\ntext\r\n",
    "8-bit Message-ID": HEAD.replace(b"<1@", b"<\xc3\xbc@") + b"\r\ntext\r\n",
    "8-bit beside encoded words": HEAD.replace(b"one", b"=?utf-8?q?a?= \xc3\xbc") + b"\r\ntext\r\n",
    "bare CR in a field": HEAD.replace(b"one", b"o\rne") + b"\r\ntext\r\n",
    "NUL in a preamble": multipart(PLAIN).replace(b"\r\n\r\n--", b"\r\n\r\npre\0amble\r\n--", 1),
    "the same boundary inside": multipart(multipart(TEXT + b"\r\na\0b", head=b"")),
    "delivery status with NUL": multipart(b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\0\r\n"),
}


class Samples(unittest.TestCase):
    maxDiff = None

    def check_same(self, message, mended):
        self.assertEqual(faults(mended), [])
        old, new = read(message), read(mended)
        self.assertEqual(parts(new, is_unix(message)), parts(old, is_unix(message)))
        self.assertEqual([part.defects for part in new.walk() if part.defects], [])

    def test_mended(self):
        for name, (message, word) in MENDED.items():
            with self.subTest(name):
                mended, done = probe("mend", message)
                self.assertIsNotNone(mended)
                self.assertIn(word, done)
                self.check_same(message, mended)
                again, _ = probe("mend", mended)
                self.assertIsNone(again, "there is more to mend")

    def test_not_mended(self):
        for name, message in NOT_MENDED.items():
            with self.subTest(name):
                self.assertIsNone(probe("mend", message)[0])

    def test_blank_before_a_colon(self):
        """RFC 5322, 4.5; Python takes it for the end of the header, so nobody judges here."""
        mended, done = probe("mend", HEAD.replace(b"Subject:", b"Subject \t:") + b"\r\ntext\r\n")
        self.assertEqual((mended, done), (HEAD + b"\r\ntext\r\n", "blanks before a colon taken out"))

    def test_untouched_where_nothing_is_wrong(self):
        """Only the part with the fault has other bytes."""
        message = multipart(PLAIN, TEXT + b"\r\na\0bcdefghijk", BASE64.replace(b"\0", b""))
        mended, _ = probe("mend", message)
        before, behind = message.split(TEXT + b"\r\na\0bcdefghijk")
        self.assertEqual(mended, before + TEXT + b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=00bcdefghijk" + behind)

    def test_wrapped(self):
        samples = [(name, message) for name, (message, _) in MENDED.items()] + list(NOT_MENDED.items())
        for name, message in samples:
            with self.subTest(name):
                letter, _ = probe("wrap", message)
                self.assertEqual(letter, probe("wrap", message)[0], "another letter for the same message")
                self.assertEqual(faults(letter), [])
                parsed = read(letter)
                self.assertEqual([part.defects for part in parsed.walk() if part.defects], [])
                for field in ("From", "Date", "Subject", "Message-ID", "MIME-Version"):
                    self.assertEqual(len(parsed.get_all(field) or []), 1, field)
                self.assertRegex(parsed["Message-ID"], r"^<[^ <>]+@[^ <>]+>$")
                self.assertIsNotNone(email.utils.parsedate_tz(parsed["Date"]), parsed["Date"])
                self.assertIn("@", parsed["From"])
                text, original = parsed.get_payload()
                self.assertEqual(text.get_content_type(), "text/plain")
                if original.get_content_type() == "message/rfc822":
                    self.assertEqual(name, "nothing wrong")
                    self.assertIn(message, letter)
                else:
                    self.assertEqual(original.get_payload(decode=True), message)

    def test_the_letter_keeps_what_it_can(self):
        parsed = read(probe("wrap", HEAD.replace(b"one", b"M\xc3\xbcnchen") + b"X: \0\r\n\r\na\r\n")[0])
        self.assertEqual(words(parsed["Subject"]), "München".encode())
        self.assertEqual(parsed["From"], "Anna <a@b.example>")
        self.assertEqual(parsed["Message-ID"], "<1@b.example>")
        self.assertEqual(parsed["Date"], "Fri, 14 Jul 2017 02:40:00 +0000")


class Dice(unittest.TestCase):
    """Messages put together at random, with every fault at any place."""

    SPOILT = (b"\0", b"\r", b"\n", b"\xfc", b"\xc3\xbc", b"x" * 1100, b"\n.\n", b"=", b"==", b"--b0", b"--b1", b"--b1--",
              b": ", b"\r\n", b" ", b"\"", b"From ", b"=?", b"\t", b"(", b";")

    def setUp(self):
        self.process = subprocess.Popen([PROBE, "many"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.stdin.close)

    def mend(self, message):
        self.process.stdin.write(b"%d\n" % len(message) + message)
        self.process.stdin.flush()
        count = int(self.process.stdout.readline())
        return None if count < 0 else self.process.stdout.read(count)

    @staticmethod
    def leaf(dice):
        body = b"".join(dice.choice((b"word ", b"\r\n", b"Gr\xc3\xbc\xc3\x9fe", b"=3D", b"QUJD", b".")) for _ in range(20))
        coding = dice.choice((b"", b"", b"Content-Transfer-Encoding: base64\r\n",
                              b"Content-Transfer-Encoding: quoted-printable\r\n", b"content-transfer-encoding: 8BIT\r\n"))
        if b"base64" in coding:
            body = b"QUJDREVG\r\n" * dice.randint(0, 3) + dice.choice((b"", b"QQ==", b"QUI="))
        kind = dice.choice((b"", b"Content-Type: text/html\r\n", b"Content-Type: image/png; name=\"a b.png\"\r\n"))
        return kind + coding + b"\r\n" + body

    def entity(self, dice, depth):
        kind = dice.randint(0, 5) if depth < 3 else 5
        if kind == 0:
            return multipart(*(self.entity(dice, depth + 1) for _ in range(dice.randint(0, 3))), head=b"",
                             boundary=b"b%d" % depth, kind=dice.choice((b"mixed", b"alternative", b"digest")))
        if kind == 1:
            return b"Content-Type: message/rfc822\r\n\r\n" + HEAD + self.entity(dice, depth + 1)
        return self.leaf(dice)

    def test_random(self):
        mended = 0
        for seed in range(RUNS):
            dice = random.Random(seed)
            message = HEAD + self.entity(dice, 0)
            for _ in range(dice.randint(1, 3)):
                at = dice.randint(0, len(message))
                message = message[:at] + dice.choice(self.SPOILT) + message[at:]
            if dice.random() < 0.1:
                message = message.replace(b"\r\n", b"\n")
            found = self.mend(message)
            if found is None or re.search(rb"(?m)^[!-9;-~]+[ \t]+:", message):   # see test_blank_before_a_colon
                continue
            mended += 1
            with self.subTest(seed=seed):
                self.assertEqual(faults(found), [], message)
                self.assertEqual(parts(read(found), is_unix(message)), parts(read(message), is_unix(message)), message)
        self.assertGreater(mended, RUNS // 4, "hardly any was mended")
        self.assertIsNone(self.process.poll())


if __name__ == "__main__":
    unittest.main()
