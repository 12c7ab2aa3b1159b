"""A small root of its own for a mail server, gone without trace when it stops.

A server's unpacked tree (fetch.sh) becomes the root of a private mount and process
namespace. What it writes (/etc /run /var /dev /tmp) lies in the work directory, so several
instances share one tree, compiled-in paths do not clash, and the server's users exist only
in its own /etc/passwd. The first process in the namespace is a shell that waits for the
servers and watches a pipe from us: when the pipe closes, by stop() or by our own death, it
ends the servers; when it ends, the kernel ends whatever is left and drops the mounts.

Only plain bind mounts are used: they work in a chroot and upon an overlay too.
"""

import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys

#: Directories of the jail that lie in the work directory, with their modes.
WRITABLE = {"etc": 0o755, "run": 0o755, "var": 0o755, "dev": 0o755, "tmp": 0o1777}
DEVICES = ("null", "zero", "random", "urandom")

MOUNTS = """
set -e
mount --bind {tree} {root}
mount -o remount,bind,ro {root}
for top in {tops}; do mount --bind {work}/$top {root}/$top; done
for device in {devices}; do mount --bind /dev/$device {root}/dev/$device; done
mount -t proc proc {root}/proc 2>/dev/null || true
"""

# Our pipe is standard input, kept as 3 since a shell takes it from background jobs.
INIT = """
exec 3<&0 </dev/null
{numbers}
{syslog}
{commands}
{{ read _ <&3 || true; kill -TERM $servers; }} 2>/dev/null &
for server in $servers; do wait $server || true; done
"""

# A machine's process numbers go on, so that a lock of who was killed is seen to be nobody's. A new namespace begins
# at 1: another process would have the number, and the lock would hold as long as that lives.
NUMBERS = "echo {last} > /proc/sys/kernel/ns_last_pid"
NUMBERS_PER_START = 3000
NUMBERS_END = 30000     # below every kernel's pid_max

SYSLOG = """
{python} -I -S -c {program} {work}/dev {work}/var/log/syslog 3<&- &
until [ -S {work}/dev/log ]; do sleep 0.01; done
"""

# Stands in for the machine's syslogd: one line a message, without the <priority>.
SYSLOG_PROGRAM = """
import os, re, socket, sys
os.chdir(sys.argv[1])
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("log.new")
os.chmod("log.new", 0o666)
os.rename("log.new", "log")
out = open(sys.argv[2], "ab", buffering=0)
while True:
    out.write(re.sub(rb"^<[0-9]*>", b"", log.recv(65536)).rstrip(b"\\n\\0") + b"\\n")
"""


class JailError(Exception):
    """The namespace could not be made, or a command in it failed."""


@functools.cache
def _unshare():
    """The command that gives a mount namespace of one's own.

    Where the root is no mount point, in a chroot, mounts cannot be made private at the root;
    they mostly are anyhow, and if not Jail._unmount() tidies up."""
    private = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    return ["unshare", "--mount"] + ([] if private else ["--propagation", "unchanged"])


class Jail:
    """The namespace over `tree`, with its writable part in `workdir`."""

    def __init__(self, tree, workdir):
        self.tree = os.path.abspath(tree)
        self.work = os.path.abspath(workdir)
        self.out_path = self.path("/var/log/out")
        self._process = None
        self._first = None      # the namespace's first process, as we see it
        self._starts = 0
        self._prepare()

    def path(self, inside):
        """Where we find what the server knows as `inside`."""
        return self.work + inside

    def _prepare(self):
        if os.geteuid() != 0:
            raise JailError("must be root: mail servers run as several users")
        for top, mode in WRITABLE.items():
            os.makedirs(self.path("/" + top), exist_ok=True)
            os.chmod(self.path("/" + top), mode)
        for sub in ("/root", "/var/log"):
            os.makedirs(self.path(sub), exist_ok=True)
        os.chmod(self.work, 0o711)
        for device in DEVICES:
            with open(self.path(f"/dev/{device}"), "ab"):
                pass
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")

    def write(self, inside, text, mode=0o644, owner=None):
        """Write a file of the jail in one step, so that no reader sees half of it."""
        path = self.path(inside)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8", newline="") as out:
            out.write(text)
        os.chmod(path + ".new", mode)
        if owner is not None:
            os.chown(path + ".new", *owner)
        os.rename(path + ".new", path)

    def users(self, table):
        """The jail's accounts: {name: number}; each has a group of the same name and number."""
        table = {"root": 0, "nobody": 65534, **table}
        self.write("/etc/passwd", "".join(f"{n}:x:{i}:{i}::/:/usr/sbin/nologin\n" for n, i in table.items()))
        self.write("/etc/group", "".join(f"{n}:x:{i}:\n" for n, i in table.items()))

    def directory(self, inside, owner=0, mode=0o755):
        """Make a directory of the jail, owned by user and group number `owner`."""
        os.makedirs(self.path(inside), exist_ok=True)
        os.chown(self.path(inside), owner, owner)
        os.chmod(self.path(inside), mode)

    def command_line(self, *command):
        """How to run that command in a jail of its own, for who wants to run it himself."""
        script = self._mounts() + f"exec chroot {shlex.quote(self.path('/root'))} {shlex.join(command)}"
        return [*_unshare(), "sh", "-c", script]

    def run(self, *command, text=""):
        """Run one command in a jail of its own beside the servers' and return what it printed."""
        done = subprocess.run(self.command_line(*command), input=text, capture_output=True, text=True, check=False)
        self._unmount()
        if done.returncode:
            raise JailError(f"{command[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def start(self, commands, syslog=False):
        """Start the servers: each a (command line, environment), none of which may fork away."""
        quoted = shlex.quote(self.path("/root"))
        lines = [f"env -i {shlex.join(f'{k}={v}' for k, v in {'PATH': '/usr/sbin:/usr/bin', **env}.items())} "
                 f"chroot {quoted} {shlex.join(command)} 3<&- & servers=\"$servers $!\""
                 for command, env in commands]
        script = self._mounts() + INIT.format(numbers=self._numbers(), syslog=self._syslog() if syslog else "",
                                              commands="\n".join(lines))
        self._starts += 1
        self.write("/etc/start.sh", script)     # a file, so that ps stays readable
        with open(self.out_path, "ab") as out:
            self._process = subprocess.Popen(
                [*_unshare(), "--pid", "--fork", "--kill-child", "sh", self.path("/etc/start.sh")],
                stdin=subprocess.PIPE, stdout=out, stderr=out, cwd="/", start_new_session=True)
        self._first = None

    def _mounts(self):
        return MOUNTS.format(tree=shlex.quote(self.tree), work=shlex.quote(self.work), tops=" ".join(WRITABLE),
                             root=shlex.quote(self.path("/root")), devices=" ".join(DEVICES))

    def _numbers(self):
        last = self._starts * NUMBERS_PER_START % NUMBERS_END
        return NUMBERS.format(last=last) if last else ""

    def _syslog(self):
        if os.path.exists(self.path("/dev/log")):
            os.unlink(self.path("/dev/log"))
        python = sys.executable or shutil.which("python3")
        return SYSLOG.format(python=shlex.quote(python), work=shlex.quote(self.work), program=shlex.quote(SYSLOG_PROGRAM))

    @property
    def running(self):
        """Whether the servers are (or at least the first process of their namespace is) alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def first(self):
        """The process number of the namespace's first process; when it dies, all in it die."""
        if self._first is None and self.running:
            number = self._process.pid
            with contextlib.suppress(FileNotFoundError), \
                    open(f"/proc/{number}/task/{number}/children", encoding="ascii") as children:
                self._first = next(map(int, children.read().split()), None)
        return self._first

    def pids(self):
        """All processes in the namespace, as seen from outside."""
        if self.first is None:
            return []
        mine, found = os.readlink(f"/proc/{self.first}/ns/pid"), []
        for number in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{number}/ns/pid") == mine:
                    found.append(int(number))
            except OSError:     # gone meanwhile
                pass
        return sorted(found)

    def stop(self, patience=5.0):
        """End the servers by SIGTERM and, where that takes too long, by force."""
        if self._process is None:
            return
        first = self.first      # while it can still be asked
        self._process.stdin.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._kill(first)
        self._process = self._first = None
        self._unmount()

    def kill(self):
        """End everything at once, as a power cut would."""
        if self._process is None:
            return
        self._kill(self.first)
        self._process.stdin.close()
        self._process = self._first = None
        self._unmount()

    def _unmount(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            leaked = any(line.split()[4] == self.path("/root") for line in mounts)
        if leaked and not self.running:
            subprocess.run(["umount", "--recursive", "--lazy", self.path("/root")], check=False)

    def _kill(self, first):
        # unshare reaps the first process, which is gone only after all others are
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid if first is None else first, signal.SIGKILL)
        self._process.wait()
