#!/usr/bin/env python3
"""Real mail servers for tests, benchmarks and the demo: Dovecot, Cyrus and Courier.

    with Dovecot("/tmp/work/source", separator="/") as server:
        server.user("alice", "secret")
        ... server.host, server.port (plain and STARTTLS), server.tls_port, server.ca_file ...

    servers.py run dovecot --dir D --user alice --password secret --option separator=.

Each instance listens on loopback ports of its own, keeps all it writes below its work
directory and leaves nothing behind when it stops (jail.py). The programs are Debian's,
unpacked and never installed (fetch.sh), below $GODWIT_CACHE/servers. As many as wanted may
run at once, also of one kind. `appends(user)` tells how many messages a server was given,
from its own records: what a client believes it sent is no proof.

"run" prints one JSON line when the server is ready and ends on SIGTERM, SIGINT or when its
standard input closes.
"""

import argparse
import base64
import contextlib
import glob
import hashlib
import hmac
import imaplib
import inspect
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
# pylint: disable=wrong-import-position
from certs import Authority
from jail import Jail

# User numbers in the jails, which the machine hopefully gave to nobody.
MAIL, SERVICE, LOGIN = 64100, 64101, 64102
START_PATIENCE = 20.0
PROBE = ("kit-probe", "kit-probe-password")


#: Environment in which a server waits for no disk.
NO_FSYNC = {"LD_PRELOAD": "libeatmydata.so"}


class ServerError(Exception):
    """A server did not start or refused what every test relies on; has the end of its log."""


def cache_directory():
    """Where downloads are kept: $GODWIT_CACHE, or build/cache in the repository."""
    return os.environ.get("GODWIT_CACHE") or os.path.join(HERE, "..", "..", "build", "cache")


def unpacked(kind):
    """The directory of an unpacked server, fetched if it is not there yet."""
    directory = os.path.abspath(os.path.join(cache_directory(), "servers"))
    subprocess.run(["sh", os.path.join(HERE, "fetch.sh"), directory], check=True)
    return os.path.join(directory, kind)


def has_ipv6():
    """Whether there is an IPv6 loopback address."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def free_ports(count, hosts):
    """Port numbers that nobody listens on, the same for all loopback addresses in `hosts`."""
    held, ports = [], []
    try:
        while len(ports) < count:
            port = 0
            try:
                for host in hosts:
                    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
                    held.append(probe)
                    probe.bind((host, port))
                    port = probe.getsockname()[1]
            except OSError:     # taken on the other address
                continue
            ports.append(port)
    finally:
        for probe in held:
            probe.close()
    return ports


class Server:
    """What all servers share; a subclass knows one kind.

    authority    the Authority (certs.py) that signs the certificate, or a directory for one
    certificate  "good", or a flaw: "expired", "early", "othername", "foreign", "selfsigned"
    tls          "yes", "required" (no login without it) or "no"
    listen       addresses to listen on (default: the loopback ones)
    """

    kind = None
    prefix, separator = "", "/"     # of the personal namespace
    master = None                   # (name, password) that may act for others (SASL authzid)

    def __init__(self, workdir, *, authority=None, certificate="good", tls="yes", listen=None):
        if tls not in ("yes", "required", "no"):
            raise ValueError(f"tls cannot be {tls}")
        self.workdir, self.tls = os.path.abspath(workdir), tls
        self.listen = listen or self._loopback()
        self.host = self.listen[0] if self.listen[0].startswith("127.") else "127.0.0.1"
        self.port = self.tls_port = None
        os.makedirs(self.workdir, exist_ok=True)
        if not isinstance(authority, Authority):
            authority = Authority(authority or os.path.join(self.workdir, "ca"))
        self.authority = authority
        self.ca_file = authority.ca_file
        self.certificate = authority.flawed(certificate)
        self._jail = Jail(unpacked(self.kind), self.workdir)

    def _loopback(self):
        return ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]

    # What a subclass says of itself.

    def _configure(self):
        """Write the configuration for self.port and self.tls_port."""
        raise NotImplementedError

    def _commands(self):
        """The programs to start, see Jail.start()."""
        raise NotImplementedError

    def _probe_login(self):
        """The account that shows whether logging in works."""
        return PROBE

    log_path = None
    mail_paths = ("/var/mail",)     # what a backup of the mail must hold
    needs_syslog = False
    patience = 5.0      # seconds to end in, see stop()

    # Life and death.

    def start(self):
        """Start and wait until both ports greet and a login works."""
        for attempt in (1, 2, 3):
            if self.port is None or attempt > 1:
                self.port, self.tls_port = free_ports(2, self.listen)
            self._configure()
            self._jail.start(self._commands(), syslog=self.needs_syslog)
            try:
                self._wait_ready()
                return self
            except ServerError as error:
                self._jail.kill()
                # somebody took a port between our looking and the server's asking
                if attempt == 3 or "in use" not in str(error):
                    raise
        raise AssertionError("unreachable")

    def stop(self):
        """Stop, so that nothing is left but files below the work directory."""
        self._jail.stop(self.patience)

    def kill(self):
        """Stop at once without any warning to the server, as a power cut would."""
        self._jail.kill()

    def restart(self):
        """Stop and start again on the same ports with the same mail."""
        self.stop()
        return self.start()

    def back_up(self):
        """Keep a copy of all mail as it is now, for go_back()."""
        self.stop()
        for path in self.mail_paths:
            self._copy(path, path + ".backup")
        self.start()

    def go_back(self):
        """All mail is as it was at back_up(), as after a disk was restored."""
        self.stop()
        for path in self.mail_paths:
            os.rename(self._jail.path(path), self._jail.path(f"{path}.lost{time.monotonic_ns()}"))
            self._copy(path + ".backup", path)
        self.start()

    def _copy(self, path, to):
        subprocess.run(["cp", "-a", self._jail.path(path), self._jail.path(to)], check=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def running(self):
        """Whether the server has been started and has not died."""
        return self._jail.running

    @property
    def pid(self):
        """The process that all of the server's processes die with."""
        return self._jail.first

    def pids(self):
        """All of the server's processes."""
        return self._jail.pids()

    def _wait_ready(self):
        deadline = time.monotonic() + START_PATIENCE
        waiting_for = None
        while time.monotonic() < deadline and self.running:
            try:
                if self.tls != "no":
                    waiting_for = "a greeting on the TLS port"
                    self._greeting_over_tls()
                waiting_for = "a login"
                with self.connect(*self._probe_login(), timeout=10):
                    return
            except (OSError, imaplib.IMAP4.error) as error:
                waiting_for = f"{waiting_for.split(':', maxsplit=1)[0]}: {error}"
                time.sleep(0.02)
        state = f"not ready, still waiting for {waiting_for}" if self.running else "ended at once"
        raise ServerError(f"{self.kind} {state}\n{self.log_tail()}")

    def _greeting_over_tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((self.host, self.tls_port), 10) as raw, context.wrap_socket(raw) as tls:
            if not tls.recv(100).startswith(b"* OK"):
                raise OSError("no greeting")

    def log_tail(self, lines=40):
        """The end of the server's logs, for an error message."""
        found = []
        for path in sorted({self._jail.out_path, self.log_path}):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as log:
                    found += [f"--- {path}\n"] + log.readlines()[-lines:]
        return "".join(found)

    def connect(self, name, password, timeout=60):
        """An imaplib connection, logged in; without TLS unless that is required."""
        if self.tls == "required":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = imaplib.IMAP4_SSL(self.host, self.tls_port, ssl_context=context, timeout=timeout)
        else:
            connection = imaplib.IMAP4(self.host, self.port, timeout)
        try:
            connection.login(name, password)
        except BaseException:
            connection.shutdown()
            raise
        return connection

    # Accounts.

    def user(self, name, password):
        """Make an empty account, or give an old one a new password."""
        raise NotImplementedError

    def wipe(self, name):
        """Make an account empty again."""
        raise NotImplementedError

    def appends(self, name):
        """How many messages were ever put into the account, by the server's own records."""
        raise NotImplementedError

    def describe(self):
        """What a client needs to know, for JSON."""
        return {"kind": self.kind, "host": self.host, "port": self.port, "tls_port": self.tls_port, "ca": self.ca_file,
                "pid": self.pid, "pids": self.pids(), "log": self.log_path, "prefix": self.prefix,
                "separator": self.separator, "master": self.master}


class Dovecot(Server):
    """Dovecot 2.3.

    store        "maildir" (LAYOUT=fs), "maildir++", "sdbox" or "mdbox"
    capability   replaces the CAPABILITY list; one that starts with "+" adds to it
    mechanisms   SASL mechanisms; with "xoauth2" or "oauthbearer", token() makes tokens
    special_use  {folder: use}, such as {"Sent": "\\\\Sent"}
    separator, prefix   of the personal namespace
    compress     offer COMPRESS=DEFLATE
    quota        such as "10M"
    public       also have a public namespace "Public/"
    fsync        whether mail is forced to disk
    rawlog       keep what each client said below rawlog(user)
    extra        more configuration, verbatim
    """

    kind = "dovecot"
    patience = 0.5      # it ends in 0.1 s, then sleeps a second in case its log process is not done
    STORES = {"maildir": "maildir:~/Maildir:LAYOUT=fs", "maildir++": "maildir:~/Maildir", "sdbox": "sdbox:~/sdbox",
              "mdbox": "mdbox:~/mdbox"}
    SPECIAL_USE = {"Drafts": "\\Drafts", "Sent": "\\Sent", "Trash": "\\Trash", "Junk": "\\Junk", "Archive": "\\Archive"}

    def __init__(self, workdir, *, store="maildir", capability=None, mechanisms="plain login scram-sha-1 scram-sha-256",
                 special_use=None, separator="/", prefix="", compress=False, quota=None, public=False, fsync=False,
                 rawlog=False, extra="", **common):
        super().__init__(workdir, **common)
        self.store, self.capability, self.mechanisms = store, capability, mechanisms
        self.special_use = self.SPECIAL_USE if special_use is None else special_use
        self.separator, self.prefix = separator, prefix
        self.compress, self.quota, self.public = compress, quota, public
        self.fsync, self.keep_rawlog, self.extra = fsync, rawlog, extra
        self.master = ("master", "master-password")
        self.log_path = self._jail.path("/var/log/dovecot")
        self._passwords = {}
        self._token_key = hashlib.sha256(self.workdir.encode()).digest()
        self._jail.users({"dovecot": SERVICE, "dovenull": LOGIN, "vmail": MAIL})
        self._jail.directory("/var/mail", MAIL)
        self._jail.directory("/var/lib/dovecot")

    def _loopback(self):
        # a connection from the server's own address counts as secure
        return ["127.0.0.2"] if self.tls == "required" else super()._loopback()

    def _commands(self):
        return [(["dovecot", "-F", "-c", "/etc/dovecot/dovecot.conf"], {})]

    def _configure(self):
        self._write_password(*PROBE)
        name, password = self.master
        self._jail.write("/etc/dovecot/masters", f"{name}:{_encoded(password)}\n", 0o640, (0, SERVICE))
        for part, source in (("chain", self.certificate.chain), ("key", self.certificate.key)):
            with open(source, encoding="ascii") as text:
                self._jail.write(f"/etc/dovecot/{part}.pem", text.read(), 0o600)
        self._jail.write("/etc/dovecot/dovecot.conf", self._configuration())

    def _configuration(self):
        mail, imap, plugin, more = ["notify", "mail_log"], [], [], []
        if self.quota:
            mail.append("quota")
            imap.append("imap_quota")
            plugin += ["quota = count:User quota", "quota_vsizes = yes", f"quota_rule = *:storage={self.quota}"]
        if self.compress:
            mail.append("zlib")
            imap.append("imap_zlib")
        if self.capability:
            more.append(f"imap_capability = {self.capability}")
        if self.keep_rawlog:
            more.append("rawlog_dir = /var/mail/%u/rawlog")
        boxes = "\n".join(f'  mailbox "{folder}" {{\n    special_use = {use}\n    auto = no\n  }}'
                          for folder, use in self.special_use.items())
        return DOVECOT_CONF.format(
            listen=", ".join(self.listen), tls=self.tls,
            plaintext="yes" if self.tls == "required" else "no", mechanisms=self.mechanisms,
            location=self.STORES[self.store], uid=MAIL, fsync="optimized" if self.fsync else "never",
            separator=self.separator, prefix=self.prefix, boxes=boxes, mail_plugins=" ".join(mail),
            imap_plugins=" ".join(imap), imap_more="\n  ".join(more), plugin="\n  ".join(plugin), port=self.port,
            tls_port=self.tls_port if self.tls != "no" else 0, public=self._public() if self.public else "",
            oauth=self._oauth() if re.search("xoauth2|oauthbearer", self.mechanisms) else "", extra=self.extra)

    def _public(self):
        self._jail.directory("/var/public", MAIL)
        return DOVECOT_PUBLIC.format(separator=self.separator)

    def _oauth(self):
        self._jail.write("/etc/dovecot/token-keys/default/HS256/default", base64.b64encode(self._token_key).decode())
        self._jail.write("/etc/dovecot/oauth2.conf", "introspection_mode = local\nusername_attribute = sub\n"
                         "local_validation_key_dict = fs:posix:prefix=/etc/dovecot/token-keys/\n")
        return DOVECOT_OAUTH

    def _write_password(self, name, password):
        # a file each: the server looks for changes in a file once a second only
        self._passwords[name] = password
        self._jail.write(f"/etc/dovecot/users/{name}", f"{name}:{_encoded(password)}\n", 0o640, (0, SERVICE))

    def user(self, name, password):
        self._write_password(name, password)
        self._jail.directory(f"/var/mail/{name}", MAIL, 0o700)
        if self.keep_rawlog:
            self._jail.directory(f"/var/mail/{name}/rawlog", MAIL, 0o700)

    def wipe(self, name):
        shutil.rmtree(self._jail.path(f"/var/mail/{name}"), ignore_errors=True)
        self.user(name, self._passwords[name])

    def appends(self, name):
        return _count(self.log_path, rf"imap\({re.escape(name)}\)<[^>]*><[^>]*>: (Info: )?save: ")

    def maildir(self, name):
        """Where the user's Maildir lies."""
        return self._jail.path(f"/var/mail/{name}/Maildir")

    def renumber(self, name, folder=""):
        """Give one folder ("" = INBOX) a new UIDVALIDITY and new UIDs, as when its index is lost."""
        self.stop()
        directory = os.path.join(self.maildir(name), folder)
        for path in glob.glob(os.path.join(glob.escape(directory), "dovecot-uidlist")) + \
                glob.glob(os.path.join(glob.escape(directory), "dovecot.index*")):
            os.unlink(path)
        self.start()

    def rawlog(self, name):
        """What each of the user's connections said, oldest first (needs rawlog=True)."""
        found = glob.glob(os.path.join(glob.escape(self._jail.path(f"/var/mail/{name}/rawlog")), "*.in"))
        texts = []
        for path in sorted(found, key=os.path.getmtime):
            with open(path, "rb") as text:
                texts.append(text.read())
        return texts

    def token(self, name, lifetime=3600):
        """An OAuth 2 access token that lets `name` in by XOAUTH2 or OAUTHBEARER."""
        now = int(time.time())
        parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": name, "iat": now - 60, "nbf": now - 60, "exp": now + lifetime})
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in parts)
        return (signed + b"." + _base64url(hmac.digest(self._token_key, signed, "sha256"))).decode()


DOVECOT_CONF = """
base_dir = /run/dovecot
state_dir = /var/lib/dovecot
log_path = /var/log/dovecot
protocols = imap
listen = {listen}
ssl = {tls}
ssl_cert = </etc/dovecot/chain.pem
ssl_key = </etc/dovecot/key.pem
disable_plaintext_auth = {plaintext}
auth_mechanisms = {mechanisms}
auth_master_user_separator = *
auth_failure_delay = 0
mail_location = {location}
mail_uid = {uid}
mail_gid = {uid}
mail_fsync = {fsync}
mail_max_userip_connections = 200
default_vsz_limit = 2G
namespace inbox {{
  inbox = yes
  separator = {separator}
  prefix = {prefix}
{boxes}
}}
{public}
passdb {{
  driver = passwd-file
  args = /etc/dovecot/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = /etc/dovecot/users/%u
}}
{oauth}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home=/var/mail/%u allow_all_users=yes
}}
mail_plugins = {mail_plugins}
protocol imap {{
  mail_plugins = $mail_plugins {imap_plugins}
  {imap_more}
}}
plugin {{
  mail_log_events = save copy
  mail_log_fields = uid box msgid size
  {plugin}
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 200
}}
{extra}
"""

DOVECOT_PUBLIC = """
namespace public {{
  type = public
  separator = {separator}
  prefix = Public{separator}
  location = maildir:/var/public:LAYOUT=fs:INDEXPVT=~/public
  subscriptions = no
}}
"""

DOVECOT_OAUTH = """
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = /etc/dovecot/oauth2.conf
}
"""


class Cyrus(Server):
    """Cyrus 3.6.

    old_style    names as "INBOX.Sent" instead of "Sent" with "/"
    mechanisms   SASL mechanisms
    suppress     capabilities not to tell of, such as "QRESYNC CONDSTORE" (works for most)
    quota        in KB
    fsync        whether mail is forced to disk
    telemetry    keep what each client said, see telemetry(user)
    extra        more of imapd.conf, verbatim
    """

    kind = "cyrus"
    mail_paths = ("/var/lib/cyrus", "/var/spool/cyrus")
    #: Where a message lies while it comes. Made with the first one; of two first ones at the same time one is refused.
    stage = "/var/spool/cyrus/mail/stage."
    needs_syslog = True
    admin = ("cyrus", "cyrus-password")

    def __init__(self, workdir, *, old_style=False, mechanisms="PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256", suppress=None,
                 quota=None, fsync=False, telemetry=False, extra="", **common):
        super().__init__(workdir, **common)
        self.old_style, self.mechanisms, self.suppress, self.quota = old_style, mechanisms, suppress, quota
        self.fsync, self.keep_telemetry, self.extra = fsync, telemetry, extra
        if old_style:
            self.prefix, self.separator = "INBOX.", "."
        self.master = ("proxy", "proxy-password")
        self.log_path = self._jail.path("/var/log/syslog")
        self._jail.users({"cyrus": SERVICE, "mail": MAIL})
        for directory in ("/var/lib/cyrus", *(f"/var/lib/cyrus/{sub}" for sub in ("db", "msg", "log", "ptclient", "quota", "user")),
                          "/var/spool/cyrus", "/var/spool/cyrus/mail", "/var/spool/sieve", "/run/cyrus",
                          "/run/cyrus/proc", "/run/cyrus/lock", "/run/cyrus/socket", self.stage):
            self._jail.directory(directory, SERVICE)
        if not os.path.exists(self._jail.path("/etc/sasldb2")):
            for account in (self.admin, self.master, PROBE):
                self._password(*account)

    def _commands(self):
        return [(["/usr/lib/cyrus/bin/master", "-C", "/etc/imapd.conf", "-M", "/etc/cyrus.conf",
                  "-p", "/run/cyrus/master.pid", "-D"], {} if self.fsync else NO_FSYNC)]

    def _configure(self):
        for part, source in (("chain", self.certificate.chain), ("key", self.certificate.key)):
            with open(source, encoding="ascii") as text:
                self._jail.write(f"/etc/{part}.pem", text.read(), 0o600, (SERVICE, SERVICE))
        modern = "no" if self.old_style else "yes"
        self._jail.write("/etc/imapd.conf", CYRUS_IMAPD_CONF.format(
            altnamespace=modern, slashes=modern, admin=self.admin[0], proxy=self.master[0], mechanisms=self.mechanisms,
            extra=self.extra,
            suppress=f"suppress_capabilities: {self.suppress}" if self.suppress else "",
            plaintext="no" if self.tls == "required" else "yes", certificate="" if self.tls == "no" else CYRUS_CERTIFICATE))
        services = []
        for number, address in enumerate(self.listen):
            where = f"[{address}]" if ":" in address else address
            services.append(f'  imap{number} cmd="imapd -U 100" listen="{where}:{self.port}" prefork=0 maxchild=200')
            if self.tls != "no":
                services.append(f'  imaps{number} cmd="imapd -s -U 100" listen="{where}:{self.tls_port}" prefork=0 maxchild=200')
        self._jail.write("/etc/cyrus.conf", CYRUS_CYRUS_CONF.format(services="\n".join(services)))

    def _probe_login(self):
        return self.admin

    def _password(self, name, password):
        self._jail.run("saslpasswd2", "-p", "-c", "-u", "localhost", name, text=password)
        os.chown(self._jail.path("/etc/sasldb2"), SERVICE, SERVICE)

    def _root(self, name):
        return f"user.{name}" if self.old_style else f"user/{name}"

    def user(self, name, password):
        if self.old_style and "." in name:
            raise ValueError("with old_style a user name has no dots")
        self._password(name, password)
        with self.connect(*self.admin) as admin:
            status, reply = admin.create(f'"{self._root(name)}"')
            if status != "OK" and b"exists" not in reply[0]:
                raise ServerError(f"cyrus: no mailbox for {name}: {reply}")
            if self.quota:
                admin.setquota(f'"{self._root(name)}"', f"(STORAGE {self.quota})")
        if self.keep_telemetry:
            self._jail.directory(f"/var/lib/cyrus/log/{name}", SERVICE)

    def wipe(self, name):
        with self.connect(*self.admin) as admin:
            root = f'"{self._root(name)}"'
            admin.setacl(root, self.admin[0], "lrswipkxtecda")
            for command in (admin.delete, admin.create):
                status, reply = command(root)
                if status != "OK":
                    raise ServerError(f"cyrus: {name} cannot be wiped: {reply}")
            if self.quota:
                admin.setquota(root, f"(STORAGE {self.quota})")

    def appends(self, name):
        return _count(self.log_path, rf"auditlog: append .* mailbox=<user\.{re.escape(name.replace('.', '^'))}[.>]")

    @contextlib.contextmanager
    def no_stage(self):
        """No message can be stored, as where the disk is full."""
        path = self._jail.path(self.stage)
        os.rename(path, path + "away")
        with open(path, "wb"):
            pass
        try:
            yield
        finally:
            os.unlink(path)
            os.rename(path + "away", path)

    def stage_failures(self):
        """How often a message's file could not be made."""
        return _count(self.log_path, r"IOERROR: .*append_newstage")

    def telemetry(self, name):
        """Both sides of each of the user's conversations, oldest first (needs telemetry=True)."""
        directory = self._jail.path(f"/var/lib/cyrus/log/{name}")
        texts = []
        for path in sorted((os.path.join(directory, file) for file in os.listdir(directory)), key=os.path.getmtime):
            with open(path, "rb") as text:
                texts.append(text.read())
        return texts


CYRUS_IMAPD_CONF = """
configdirectory: /var/lib/cyrus
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
idlesocket: /run/cyrus/socket/idle
notifysocket: /run/cyrus/socket/notify
defaultpartition: default
partition-default: /var/spool/cyrus/mail
sievedir: /var/spool/sieve
hashimapspool: yes
servername: localhost
altnamespace: {altnamespace}
unixhierarchysep: {slashes}
allowplaintext: {plaintext}
admins: {admin}
proxyservers: {proxy}
autocreate_quota: -1
delete_mode: immediate
auditlog: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_mech_list: {mechanisms}
imapidresponse: yes
{certificate}
{suppress}
{extra}
"""

CYRUS_CERTIFICATE = """tls_server_cert: /etc/chain.pem
tls_server_key: /etc/key.pem"""

CYRUS_CYRUS_CONF = """
START {{
  recover cmd="ctl_cyrusdb -r"
  idled cmd="idled"
}}
SERVICES {{
{services}
}}
EVENTS {{
  checkpoint cmd="ctl_cyrusdb -c" period=30
}}
"""


class Courier(Server):
    """Courier IMAP 5.2: no LITERAL+, MULTIAPPEND or CONDSTORE, the good old-fashioned counterpart.

    mechanisms   of PLAIN, LOGIN (the command) and CRAM-MD5
    capability   replaces the CAPABILITY list
    fsync        whether mail is forced to disk
    extra        more environment for its imapd: {"IMAP_KEYWORDS": "2"}
    """

    kind = "courier"
    prefix, separator = "INBOX.", "."
    CAPABILITY = ("IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE")

    def __init__(self, workdir, *, mechanisms="PLAIN LOGIN CRAM-MD5", capability=None, fsync=False, extra=None, **common):
        super().__init__(workdir, **common)
        self.fsync = fsync
        self.mechanisms, self.capability, self.extra = mechanisms.upper().split(), capability, extra or {}
        self.log_path = self._jail.out_path
        self._records = {}
        self._jail.users({"courier": SERVICE, "vmail": MAIL})
        self._jail.directory("/var/mail", MAIL)
        self._jail.directory("/etc/courier")
        self._jail.directory("/run/courier", SERVICE)
        self._jail.directory("/run/courier/authdaemon", SERVICE)
        self._jail.directory("/var/lib/courier", SERVICE)
        self.user(*PROBE)

    def _environment(self):
        offered = [self.capability or self.CAPABILITY]
        if not self.capability:
            offered += [f"AUTH={mechanism}" for mechanism in self.mechanisms if mechanism != "LOGIN"]
        return {
            "IMAP_CAPABILITY": " ".join(offered), "IMAP_CAPABILITY_TLS": " ".join(offered), "IMAP_KEYWORDS": "1",
            "IMAP_ACL": "1", "IMAP_IDLE_TIMEOUT": "60", "IMAP_MAILBOX_SANITY_CHECK": "1", "IMAP_USELOCKS": "1",
            "IMAP_DISABLETHREADSORT": "0", "IMAP_CHECK_ALL_FOLDERS": "0", "IMAP_OBSOLETE_CLIENT": "0",
            "IMAP_ENHANCEDIDLE": "0", "IMAP_TRASHFOLDERNAME": "Trash", "IMAP_MOVE_EXPUNGE_TO_TRASH": "0",
            "IMAP_TLS_REQUIRED": "1" if self.tls == "required" else "0",
            "IMAP_STARTTLS": "NO" if self.tls == "no" else "YES", "IMAPDEBUGFILE": "imaplog.dat", "MAILDIRPATH": "Maildir",
            "COURIERTLS": "/usr/bin/couriertls", "TLS_CERTFILE": "/etc/courier/server.pem", "TLS_VERIFYPEER": "NONE",
            "TLS_PROTOCOL": "", "TLS_STARTTLS_PROTOCOL": "", **({} if self.fsync else NO_FSYNC), **self.extra}

    def _commands(self):
        environment = self._environment()
        tcpd = ["couriertcpd", "-maxprocs=200", "-maxperip=200", "-nodnslookup", "-noidentlookup"]
        login = ["/usr/lib/courier/courier/imaplogin", "/usr/bin/imapd", "Maildir"]
        plain, tls = (",".join(f"{address}.{port}" for address in self.listen) for port in (self.port, self.tls_port))
        commands = [
            (["/usr/lib/courier/courier-authlib/authdaemond"],
             {"authdaemonvar": "/run/courier/authdaemon", "DEBUG_LOGIN": "0", "DEFAULTOPTIONS": ""}),
            ([*tcpd, plain, *login], environment),
        ]
        if self.tls != "no":
            wrapped = [*tcpd, tls, "/usr/bin/couriertls", "-server", "-tcpd", "-user=courier", *login]
            commands.append((wrapped, {**environment, "IMAP_TLS": "1", "IMAP_TLS_REQUIRED": "0"}))
        return commands

    def _configure(self):
        with open(self.certificate.bundle, encoding="ascii") as text:
            self._jail.write("/etc/courier/server.pem", text.read(), 0o600, (SERVICE, SERVICE))
        self._jail.write("/etc/courier/authdaemonrc", 'authmodulelist="authuserdb"\ndaemons=2\n')

    def user(self, name, password):
        hashes = {"systempw": self._jail.run("userdbpw", "-md5", text=f"{password}\n").strip()}
        if "CRAM-MD5" in self.mechanisms:
            hashes["hmac-md5pw"] = self._jail.run("userdbpw", "-hmac-md5", text=f"{password}\n").strip()
        self._records[name] = hashes
        self._write_database("userdb", {
            user: f"uid={MAIL}|gid={MAIL}|home=/var/mail/{user}|mail=/var/mail/{user}/Maildir|_=" for user in self._records})
        self._write_database("userdbshadow", {
            user: "|".join(f"{key}={value}" for key, value in record.items()) for user, record in self._records.items()})
        self._empty(name)

    def _write_database(self, database, records):
        text = "".join(f"{key}\t{value}\n" for key, value in records.items())
        self._jail.run("/usr/lib/courier/courier-authlib/makedatprog", "-", f"/etc/courier/{database}.tmp",
                       f"/etc/courier/{database}.dat", text=text + ".\n")

    def _empty(self, name):
        for sub in ("", "/Maildir", "/Maildir/cur", "/Maildir/new", "/Maildir/tmp"):
            self._jail.directory(f"/var/mail/{name}{sub}", MAIL, 0o700)
        # imapd writes what it hears and says there, if it is there
        self._jail.write(f"/var/mail/{name}/Maildir/imaplog.dat", "", 0o600, (MAIL, MAIL))

    def renumber(self, name, folder=""):
        """Give one folder ("" = INBOX) a new UIDVALIDITY and new UIDs, as when its index is lost."""
        path = self._jail.path(f"/var/mail/{name}/Maildir/{'.' + folder if folder else ''}/courierimapuiddb")
        with open(path, encoding="ascii") as text:
            old = int(text.readline().split()[1])
        while time.time() <= old:       # it takes the second for the new one
            time.sleep(0.1)
        os.unlink(path)

    def wipe(self, name):
        shutil.rmtree(self._jail.path(f"/var/mail/{name}"), ignore_errors=True)
        self._empty(name)

    def appends(self, name):
        return _count(self._jail.path(f"/var/mail/{name}/Maildir/imaplog.dat"), r"OK \[APPENDUID ")


KINDS = {"dovecot": Dovecot, "cyrus": Cyrus, "courier": Courier}


def _encoded(password):
    return "{PLAIN.b64}" + base64.b64encode(password.encode()).decode()


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _count(path, pattern):
    """How many lines of a log match, once it has been quiet for a moment."""
    wanted, size = re.compile(pattern.encode()), None
    while os.path.exists(path) and size != os.path.getsize(path):
        size = os.path.getsize(path)
        time.sleep(0.05)
    if size is None:
        return 0
    with open(path, "rb") as log:
        return sum(1 for line in log if wanted.search(line))


def _options(kind, texts):
    """--option k=v as keyword arguments, each made what its default is."""
    known = {**inspect.signature(Server.__init__).parameters, **inspect.signature(KINDS[kind].__init__).parameters}
    options = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in known:
            raise SystemExit(f"servers.py: {kind} has no option {key}")
        if isinstance(known[key].default, bool):
            value = value.lower() in ("1", "yes", "true", "on")
        elif key in ("special_use", "extra") and value.startswith("{"):
            value = json.loads(value)
        elif key == "listen":
            value = value.split(",")
        options[key] = value
    return options


def _run(args):
    """Start one server, say so, and stop when told to."""
    wake, woken = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(woken, b"!"))
    server = KINDS[args.kind](args.dir, **_options(args.kind, args.option))
    with server:
        for name, password in zip(args.user, args.password):
            server.user(name, password)
        print(json.dumps(server.describe()), flush=True)
        waiting = [wake, sys.stdin]
        while True:
            ready = select.select(waiting, [], [], 1)[0]
            if wake in ready or (sys.stdin in ready and not os.read(sys.stdin.fileno(), 4096)):
                return 0
            if not server.running:
                print(f"servers.py: {args.kind} died\n{server.log_tail()}", file=sys.stderr)
                return 1


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="real mail servers on loopback ports")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="start one server and keep it until told to stop")
    run.add_argument("kind", choices=KINDS)
    run.add_argument("--dir", required=True, help="work directory")
    run.add_argument("--user", action="append", default=[])
    run.add_argument("--password", action="append", default=[])
    run.add_argument("--option", action="append", default=[], metavar="K=V")
    run.set_defaults(function=_run)
    args = parser.parse_args()
    if len(args.user) != len(args.password):
        parser.error("each --user needs its --password")
    sys.exit(args.function(args))


if __name__ == "__main__":
    main()
