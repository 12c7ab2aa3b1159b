#!/usr/bin/env python3
"""Getting in, and being kept out: TLS, mechanisms, passwords, certificates, addresses.

That a mechanism was really used is told by the server's log. What fails must say so in one
sentence, with the exit code and the side, and leave nothing at the destination.
"""

import socket
import unittest

import case
import mailbox
from servers import has_ipv6


def resolves(host):
    """Whether there is an address for that name; a bare chroot has no /etc/hosts."""
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


class Login(case.ServerCase):
    """Ways in, with a small mailbox that must arrive whole."""

    def arrives(self, source, destination, *options, urls=None, passwords=None):
        """The small mailbox is copied."""
        mailbox.fill(source.account, "small")
        outcome = self.copy(source, destination, *options, urls=urls, passwords=passwords)
        self.check_same(source, destination, outcome,
                        allow=case.allowances(source.server.kind, destination.server.kind))
        return outcome

    def log(self, end):
        """The lines of the server's log that name the account."""
        with open(end.server.log_path, encoding="utf-8", errors="replace") as log:
            return [line for line in log if end.name in line]

    def test_starttls(self):
        """imap:// turns to TLS before the login, where nothing else is let in."""
        source, destination = self.ends("dovecot", "cyrus", source_options={"tls": "required"}, destination_options={"tls": "required"})
        self.arrives(source, destination, urls=(source.url(scheme="imap"), destination.url(scheme="imap")))
        self.assertTrue(any("method=" in line and "TLS" in line for line in self.log(source)), self.log(source))

    def test_starttls_of_courier(self):
        """The same with Courier on both sides."""
        source, destination = self.ends("courier", "courier", source_options={"tls": "required"}, destination_options={"tls": "required"})
        self.arrives(source, destination, urls=(source.url(scheme="imap"), destination.url(scheme="imap")))

    def test_mechanisms(self):
        """Each mechanism when forced, at Dovecot and Cyrus."""
        for number, (name, word) in enumerate((("plain", "PLAIN"), ("login", "LOGIN"), ("scram-sha-1", "SCRAM-SHA-1"),
                                               ("scram-sha-256", "SCRAM-SHA-256"))):
            with self.subTest(name):
                if not number:
                    dovecot, cyrus = self.server("dovecot"), self.server("cyrus")
                source, destination = self.end(dovecot), self.end(cyrus)
                self.arrives(source, destination, urls=(source.url(query=f"?auth={name}"),
                                                        destination.url(query=f"?auth={name}")))
                self.assertTrue(any(f"method={word}," in line and "secured" not in line for line in self.log(source)),
                                self.log(source))
                self.assertTrue(any(f" {word}" in line.replace("plaintext", "PLAIN") and "logged in" in line
                                    for line in self.log(destination)) or word == "LOGIN", self.log(destination))

    def test_mechanism_not_offered(self):
        """A forced mechanism that the server lacks is told, not replaced by another."""
        source, destination = self.ends("dovecot", "courier", source_options={"mechanisms": "plain"})
        outcome = self.copy(source, destination, urls=(source.url(query="?auth=scram-sha-256"), destination.url()), expect=12)
        self.check_error(outcome, 12, "login", "source", ["does not offer", "?auth="])

    def test_chosen_mechanism(self):
        """Without ?auth= the strongest is taken: no password goes over the wire."""
        source, destination = self.ends("dovecot", "cyrus")
        self.arrives(source, destination)
        self.assertTrue(any("method=SCRAM-SHA-256" in line for line in self.log(source)), self.log(source))

    def test_xoauth2(self):
        """A token in place of a password."""
        server = self.server("dovecot", mechanisms="plain xoauth2")
        source, destination = self.end(server), self.end(self.server("cyrus"))
        self.arrives(source, destination, urls=(source.url(query="?auth=xoauth2"), destination.url()),
                     passwords=(server.token(source.name), destination.password))
        self.assertTrue(any("method=XOAUTH2" in line for line in self.log(source)), self.log(source))
        outcome = self.copy(source, destination, urls=(source.url(query="?auth=xoauth2"), destination.url()),
                            passwords=(server.token(source.name, lifetime=-10), destination.password), expect=12)
        self.check_error(outcome, 12, "login", "source", [])

    def test_master_user_of_dovecot(self):
        """?authzid= with the administrator's password, at the source."""
        server = self.server("dovecot")
        source, destination = self.end(server), self.end(self.server("courier"))
        master, password = server.master
        self.arrives(source, destination, passwords=(password, destination.password),
                     urls=(source.url(name=master, query=f"?authzid={source.name}"), destination.url()))

    def test_proxy_user_of_cyrus(self):
        """?authzid= with the administrator's password, at the destination; it is remembered as the user's own."""
        server = self.server("cyrus")
        source, destination = self.end(self.server("dovecot")), self.end(server)
        proxy, password = server.master
        self.arrives(source, destination, passwords=(source.password, password),
                     urls=(source.url(), destination.url(name=proxy, query=f"?authzid={destination.name}")))
        stored = destination.appends()
        self.copy(source, destination)
        self.assertEqual(destination.appends(), stored, "the same mailbox by another login was copied again")

    def test_two_servers_on_one_host(self):
        """Two ports are two servers; and should they be one, nothing is doubled."""
        source, destination = (self.end(self.server(kind), name="anna") for kind in ("dovecot", "cyrus"))
        self.arrives(source, destination)
        before = source.read()
        urls = source.url(), source.url(scheme="imap")
        for _ in range(2):
            outcome = self.copy(source, source, urls=urls, state=self.states + "-itself")
            self.assertEqual(outcome.summary["items_stored"], 0, outcome)
        self.check_same(before, source, outcome)

    def test_wrong_password(self):
        """At either side, with each mechanism."""
        source, destination = self.ends("dovecot", "cyrus")
        for query in ("", "?auth=plain", "?auth=scram-sha-1"):
            with self.subTest(query):
                urls = source.url(query=query), destination.url(query=query)
                outcome = self.copy(source, destination, urls=urls, passwords=("wrong", case.PASSWORD), expect=12)
                self.check_error(outcome, 12, "login", "source", ["password"])
                outcome = self.copy(source, destination, urls=urls, passwords=(case.PASSWORD, "wrong"), expect=12)
                self.check_error(outcome, 12, "login", "destination", ["password"])
        self.assertEqual(destination.appends(), 0)

    def test_wrong_password_at_courier(self):
        """Courier says it its own way."""
        source, destination = self.ends("courier", "courier")
        outcome = self.copy(source, destination, passwords=(case.PASSWORD, "wrong"), expect=12)
        self.check_error(outcome, 12, "login", "destination", ["password"])

    def test_certificates(self):
        """What is wrong with a certificate is told, each in its words, and --insecure goes past it."""
        words = {"expired": ["expired"], "early": ["not valid before 2048"], "othername": ["127.0.0.1"],
                 "foreign": ["not trusted", "--ca-file"], "selfsigned": ["not trusted", "--ca-file"]}
        for kind, side in (("dovecot", "source"), ("cyrus", "destination")):
            good = self.end(self.server("courier"))
            for flaw, expected in words.items():
                with self.subTest(flaw, side=side):
                    flawed = self.end(self.server(kind, certificate=flaw))
                    ends = (flawed, good) if side == "source" else (good, flawed)
                    outcome = self.copy(*ends, expect=11)
                    self.check_error(outcome, 11, "tls", side, expected)
                    insecure = self.copy(*ends, "--insecure")
                    self.assertTrue(insecure.of("start")[0]["insecure"])
                    flawed.server.stop()

    def test_no_tls(self):
        """A server without STARTTLS is refused, unless clear text is asked for."""
        source, destination = self.ends("dovecot", "cyrus", source_options={"tls": "no"})
        outcome = self.copy(source, destination, urls=(source.url(scheme="imap"), destination.url()), expect=11)
        self.check_error(outcome, 11, "tls", "source", ["starttls"])
        self.arrives(source, destination, urls=(source.url(scheme="imap", query="?tls=none"), destination.url()))

    def test_nobody_there(self):
        """A closed port."""
        source, destination = self.ends("dovecot", "cyrus")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            for urls, side in (((source.url(port=port), destination.url()), "source"),
                               ((source.url(), destination.url(port=port)), "destination")):
                outcome = self.copy(source, destination, urls=urls, expect=10)
                self.check_error(outcome, 10, "connect", side, [str(port), "refuses"])

    def test_tls_port_without_tls(self):
        """imaps:// on the STARTTLS port, a usual mistake."""
        source, destination = self.ends("dovecot", "cyrus")
        outcome = self.copy(source, destination, urls=(source.url(port=source.server.port), destination.url()), expect=11)
        self.check_error(outcome, 11, "tls", "source", [])

    @unittest.skipUnless(has_ipv6(), "this machine has no IPv6 loopback address")
    def test_ipv6(self):
        """An address of version 6 in the URL, and a certificate that has it."""
        source, destination = self.ends("dovecot", "cyrus")
        self.arrives(source, destination, urls=(source.url(host="[::1]"), destination.url(host="[::1]")))

    @unittest.skipUnless(resolves("localhost"), "this machine has no address for localhost")
    def test_host_name(self):
        """A name that has several addresses, in the URL and in the certificate."""
        source, destination = self.ends("courier", "dovecot")
        self.arrives(source, destination, urls=(source.url(host="localhost"), destination.url(host="localhost")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
