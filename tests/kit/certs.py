"""A private certificate authority for the test servers, made with openssl.

    authority = Authority(directory)        # made on first use, found again later
    certificate = authority.issue("server")
    authority.ca_file                       # for --ca-file
    certificate.chain, certificate.key      # PEM files; .bundle has both in one

What can be wrong with a certificate is a keyword away, because TLS that only ever
meets good certificates is not tested: see FLAWS.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass

NAMES = ("localhost", "127.0.0.1", "127.0.0.2", "::1")

#: Certificates a client must refuse, by name: what issue() gets to make them.
FLAWS = {
    "expired": {"start": "20200101000000Z", "end": "20210101000000Z"},
    "early": {"start": "20480101000000Z", "end": "20490101000000Z"},
    "othername": {"names": ("mail.example.net",)},
    "foreign": {"foreign": True},       # signed by an authority that nobody trusts
    "selfsigned": {"selfsigned": True},
}

CONFIG = """
[ca]
default_ca = it
[it]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
email_in_dn = no
[any]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
commonName = godwit tests
"""


class CertificateError(Exception):
    """openssl did not do what was asked of it."""


@dataclass(frozen=True)
class Certificate:
    """One certificate with its key; paths of PEM files."""

    chain: str
    key: str
    bundle: str


class Authority:
    """A certificate authority that lives in a directory; several processes may share it."""

    def __init__(self, directory, name="godwit test authority", openssl=None):
        self.directory = os.path.abspath(directory)
        self.openssl = openssl or shutil.which("openssl")
        if not self.openssl:
            raise CertificateError("openssl is missing (Debian package: openssl)")
        self.ca_file = os.path.join(self.directory, "ca.pem")
        os.makedirs(self.directory, exist_ok=True)
        with self._locked():
            if not os.path.exists(self.ca_file):
                self._found(name)

    def issue(self, name, *, names=NAMES, start=None, end=None, foreign=False, selfsigned=False):
        """The certificate called `name` (a file name), made if it is not there yet."""
        if foreign:
            other = Authority(os.path.join(self.directory, "foreign"), "an unknown authority", self.openssl)
            return other.issue(name, names=names, start=start, end=end)
        base = os.path.join(self.directory, name)
        made = Certificate(f"{base}.pem", f"{base}.key", f"{base}-bundle.pem")
        with self._locked():
            if not os.path.exists(made.bundle):
                self._make(made, name, names, start, end, selfsigned)
        return made

    def flawed(self, flaw, name="server"):
        """A certificate with one of FLAWS, or the good one for None and "good"."""
        return self.issue(name if flaw in (None, "good") else f"{name}-{flaw}", **FLAWS.get(flaw, {}))

    def _found(self, name):
        for file, text in (("openssl.cnf", CONFIG), ("index.txt", ""), ("serial", "1000\n")):
            with open(os.path.join(self.directory, file), "w", encoding="ascii") as out:
                out.write(text)
        self._run("req", "-x509", *self._new_key("ca.key"), "-out", "ca.new", "-days", "3650",
                  "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        os.rename(os.path.join(self.directory, "ca.new"), self.ca_file)

    def _make(self, made, name, names, start, end, selfsigned):
        request = ["req", *self._new_key(made.key), "-subj", f"/CN={names[0]}"]
        for extension in (f"subjectAltName={','.join(map(_alternative, names))}",
                          "basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth"):
            request += ["-addext", extension]
        if selfsigned:
            self._run(*request, "-x509", "-days", "365", "-out", made.chain)
        else:
            csr = f"{name}.csr"
            self._run(*request, "-new", "-out", csr)
            self._run("ca", "-batch", "-notext", "-config", "openssl.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
                      "-startdate", start or "20200101000000Z", "-enddate", end or "20491231235959Z",
                      "-in", csr, "-out", made.chain)
        with open(made.bundle + ".new", "w", encoding="ascii") as out:
            for part in (made.key, made.chain):
                with open(part, encoding="ascii") as text:
                    out.write(text.read())
        os.chmod(made.bundle + ".new", 0o600)
        os.rename(made.bundle + ".new", made.bundle)

    @staticmethod
    def _new_key(path):
        return ["-config", "openssl.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]

    def _run(self, *args):
        done = subprocess.run([self.openssl, *args], cwd=self.directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise CertificateError(f"openssl {args[0]} failed: {done.stderr.strip()}")

    @contextlib.contextmanager
    def _locked(self):
        with open(os.path.join(self.directory, ".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _alternative(name):
    return f"IP:{name}" if name.replace(".", "").isdigit() or ":" in name else f"DNS:{name}"
