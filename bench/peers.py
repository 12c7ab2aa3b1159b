"""What is measured: one function a peer, that tells how it is called.

limit1 and limit4 are the floor (limit.c, with one pair of connections and with four), godwit1 is
godwit held to one lane. The rivals are
Debian's isync (mbsync), interimap and Dovecot's dsync, each with TLS, certificates checked, and
without COMPRESS, which costs them more than it saves where the line is fast. Their states lie in
their work directories, so that a second call is a later pass.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "kit"))
# pylint: disable=wrong-import-position
from jail import Jail
from servers import LOGIN, MAIL, SERVICE, unpacked

GODWIT = os.path.abspath(os.environ.get("GODWIT") or os.path.join(ROOT, "build", "godwit"))


@dataclass(frozen=True)
class End:
    """An account as the client sees it: TLS from the first byte."""

    address: str
    port: int
    user: str


@dataclass(frozen=True)
class Job:
    """What is to be copied, and what a peer needs for it."""

    source: End
    destination: End
    password: str
    authority: object       # certs.Authority
    programs: str           # where limit is
    work: str               # a directory of the peer's own, kept from pass to pass

    def file(self, name, text):
        """A private file with that text; its path."""
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8", opener=lambda file, how: os.open(file, how, 0o600)) as out:
            out.write(text)
        return path


@dataclass(frozen=True)
class Command:
    """How a peer is called."""

    argv: list
    work: str
    environment: dict = field(default_factory=dict)


def _limit(job, connections):
    ends = [word for end in (job.source, job.destination) for word in (end.address, str(end.port), end.user)]
    return Command([os.path.join(job.programs, "limit"), "copy", str(connections), job.authority.ca_file,
                    job.file("password", job.password + "\n"), *ends], job.work)


def limit1(job):
    """The floor, with one connection on each side."""
    return _limit(job, 1)


def limit4(job):
    """The floor, with four connections on each side."""
    return _limit(job, 4)


def godwit(job, *more):
    """With its ledger and its checks, as it comes."""
    password = job.file("password", job.password + "\n")
    return Command([GODWIT, "copy", "--output", "json", "--state", os.path.join(job.work, "state"), "--ca-file", job.authority.ca_file,
                    "--source-password-file", password, "--destination-password-file", password, *more,
                    *(f"imaps://{end.user}@{end.address}:{end.port}/" for end in (job.source, job.destination))], job.work)


def godwit1(job):
    """With one lane, that is, one connection on each side."""
    return godwit(job, "--lanes", "1")


def mbsync(job):
    """isync: from far to near, new messages and flags."""
    def store(name, end):
        return (f"IMAPAccount {name}\nHost {end.address}\nPort {end.port}\nUser {end.user}\nPass {job.password}\n"
                f"AuthMechs LOGIN\nSSLType IMAPS\nSystemCertificates no\nCertificateFile {job.authority.issue('server').chain}\n"
                f"DisableExtension COMPRESS=DEFLATE\n\nIMAPStore {name}\nAccount {name}\n\n")
    os.makedirs(os.path.join(job.work, "state"), exist_ok=True)
    config = job.file("mbsyncrc", store("source", job.source) + store("destination", job.destination) +
                      "Channel all\nFar :source:\nNear :destination:\nPatterns *\nCreate Near\nExpunge None\nSync PullNew PullFlags\n"
                      f"CopyArrivalDate yes\nSyncState {job.work}/state/\n")
    return Command(["mbsync", "-q", "-c", config, "-a"], job.work)


def interimap(job):
    """A two-way sync, so that here all goes one way."""
    def side(name, end):
        return (f"[{name}]\ntype = imaps\nhost = {end.address}\nport = {end.port}\nusername = {end.user}\npassword = {job.password}\n"
                f"SSL_verify = YES\nSSL_CAfile = {job.authority.ca_file}\ncompress = NO\n\n")
    config = job.file("interimap.conf", f"database = {job.work}/db\n\n" + side("local", job.destination) + side("remote", job.source))
    return Command(["interimap", "--quiet", "--config", config], job.work, {"XDG_DATA_HOME": job.work, "XDG_CONFIG_HOME": job.work})


DSYNC_CONF = """
base_dir = /run/dovecot
state_dir = /var/lib/dovecot
log_path = /dev/stderr
mail_location = maildir:~/none
mail_uid = {uid}
mail_gid = {uid}
mail_fsync = never
default_vsz_limit = 2G
ssl_client_ca_file = /etc/dovecot/ca.pem
imapc_ssl = imaps
imapc_password = {password}
imapc_features = rfc822.size fetch-headers
mail_prefetch_count = 20
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


def dsync(job):
    """Dovecot's doveadm sync, over IMAP (imapc) on both sides, one way; out of the unpacked server's root."""
    jail = Jail(unpacked("dovecot"), os.path.join(job.work, "jail"))
    jail.users({"dovecot": SERVICE, "dovenull": LOGIN, "vmail": MAIL})
    for path in ("/var/mail", "/var/lib/dovecot", "/run/dovecot"):
        jail.directory(path, MAIL)
    with open(job.authority.ca_file, encoding="ascii") as text:
        jail.write("/etc/dovecot/ca.pem", text.read())
    jail.write("/etc/dovecot/dovecot.conf", DSYNC_CONF.format(uid=MAIL, password=job.password), 0o600)

    def doveadm(end, name):
        settings = {"mail_location": f"imapc:~/{name}", "imapc_host": end.address, "imapc_port": end.port, "imapc_user": end.user}
        return ["doveadm", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    return Command(jail.command_line(*doveadm(job.destination, "near"), "sync", "-1", "-R",
                                     *doveadm(job.source, "far"), "dsync-server"), job.work, {"HOME": "/var/mail", "USER": "root"})


FLOORS = {"limit1": limit1, "limit4": limit4}
OURS = {"godwit": godwit, "godwit1": godwit1}
RIVALS = {"mbsync": mbsync, "interimap": interimap, "dsync": dsync}
ALL = {**FLOORS, **OURS, **RIVALS}


def missing():
    """Peers whose programs are not there."""
    return [name for name in ("mbsync", "interimap") if not shutil.which(name)]
