"""What a command costs: time, CPU of all its processes and of the servers, memory, bytes, waits.

CPU comes from control groups (cpuacct of version 1, or version 2), which miss no process. Where none
can be made: the client's from wait4, which knows all processes that were waited for, the servers'
from /proc of those that live.

Memory is looked at in runs of their own, since to look takes time: every few milliseconds the
proportional set sizes (PSS) of all the client's processes are added up, and the largest sum counts.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

LOOK = 0.003        # seconds between two looks at memory
REST = 10           # at least so many times as long as a look takes
TICKS = os.sysconf("SC_CLK_TCK")


class Groups:
    """Control groups by name, or nothing where there are none."""

    def __init__(self):
        self.made = {}
        self.parent, self.version = self._parent()
        self._sweep()

    @staticmethod
    def _parent():
        """The directory for new groups, below that of this process, and their version."""
        with open("/proc/self/cgroup", encoding="ascii") as table:
            mine = {controllers: path for _, controllers, path in (line.strip().split(":", 2) for line in table)}
        mounts = []
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            for line in table:
                before, _, after = line.partition(" - ")
                kind, _, options = after.split()[:3]
                mounts.append((kind, before.split()[4], options.split(",")))
        for version, kind, option in ((1, "cgroup", "cpuacct"), (2, "cgroup2", None)):
            for found, point, options in mounts:
                if found == kind and (option is None or option in options):
                    own = next((path for names, path in mine.items() if (option or "") in names.split(",")), "/")
                    for directory in (point + own.rstrip("/"), point):
                        if os.access(directory, os.W_OK) and Groups._works(directory, version):
                            return directory, version
        return None, 0

    @staticmethod
    def _works(parent, version):
        probe = os.path.join(parent, f"godwit-bench-{os.getpid()}-probe")
        try:
            os.mkdir(probe)
            works = os.path.exists(os.path.join(probe, "cpuacct.usage" if version == 1 else "cpu.stat"))
            os.rmdir(probe)
            return works
        except OSError:
            return False

    def _sweep(self):
        """Remove the groups of runs that were killed."""
        for name in os.listdir(self.parent) if self.parent else ():
            found = re.fullmatch(r"godwit-bench-(\d+)-\w+", name)
            if found and not os.path.exists(f"/proc/{found[1]}"):
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(self.parent, name))

    def path(self, name):
        """The directory of a group, made when first asked for; None where there are none."""
        if self.parent is None:
            return None
        if name not in self.made:
            self.made[name] = os.path.join(self.parent, f"godwit-bench-{os.getpid()}-{name}")
            os.makedirs(self.made[name], exist_ok=True)
        return self.made[name]

    def join(self, name):
        """This process is of the group from now on, and so are its children."""
        if self.path(name):
            with open(os.path.join(self.path(name), "cgroup.procs"), "w", encoding="ascii") as procs:
                procs.write("0")

    @contextlib.contextmanager
    def inside(self, name):
        """What is started here belongs to the group, this process only meanwhile."""
        self.join(name)
        try:
            yield
        finally:
            if self.parent:
                with open(os.path.join(self.parent, "cgroup.procs"), "w", encoding="ascii") as procs:
                    procs.write("0")

    def cpu(self, name):
        """Seconds of CPU that the group's processes took so far; None where there are no groups."""
        if not self.path(name):
            return None
        if self.version == 1:
            with open(os.path.join(self.path(name), "cpuacct.usage"), encoding="ascii") as usage:
                return int(usage.read()) / 1e9
        with open(os.path.join(self.path(name), "cpu.stat"), encoding="ascii") as stat:
            return int(dict(line.split() for line in stat)["usage_usec"]) / 1e6

    def pids(self, name):
        """The processes of the group; None where there are no groups."""
        if not self.path(name):
            return None
        with open(os.path.join(self.path(name), "cgroup.procs"), encoding="ascii") as procs:
            return [int(line) for line in procs]

    def close(self):
        """Remove the groups; what is in them must have ended."""
        for path in self.made.values():
            for _ in range(100):
                try:
                    os.rmdir(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:     # its last process is just ending
                    time.sleep(0.02)


def proc_cpu(pids):
    """Seconds of CPU of these processes and of their children that have ended."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            total += sum(map(int, stat.read().rpartition(")")[2].split()[11:15])) / TICKS
    return total


def _value(pid, file, key):
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/{file}", encoding="utf-8") as text:
        for line in text:
            if line.startswith(key):
                return int(line.split()[1])
    return 0


def descendants(pid):
    """A process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", encoding="ascii") as children:
                    found += map(int, children.read().split())
    return found


@dataclass
class Memory:
    """What was seen of the client's memory; KB."""

    pss: int = 0            # the largest sum over its processes
    high_water: dict = field(default_factory=dict)      # {pid: largest resident size}
    looks: int = 0

    def look(self, pids):
        """Once."""
        self.looks += 1
        self.pss = max(self.pss, sum(_value(pid, "smaps_rollup", "Pss:") for pid in pids))
        for pid in pids:
            self.high_water[pid] = max(self.high_water.get(pid, 0), _value(pid, "status", "VmHWM:"))


@dataclass
class Result:
    """Of one run; times in seconds, None what could not be measured."""

    wall: float
    status: int             # as a shell has it; None: it took too long and was ended
    cpu: float
    cpu_servers: dict
    memory: Memory = None


class Meter:
    """Runs clients; `servers`: {name: Server} whose CPU is told, started in inside(name)."""

    def __init__(self, groups, network, servers):
        self.groups, self.network, self.servers = groups, network, servers

    def _server_cpu(self):
        cpu = {}
        for name, server in self.servers.items():
            seconds = self.groups.cpu(name)
            cpu[name] = proc_cpu(server.pids()) if seconds is None else seconds
        if self.groups.parent:
            cpu["line"] = self.groups.cpu("line")
        return cpu

    def _enter(self):
        self.groups.join("client")
        self.network.enter_clients()

    def run(self, command, log, cap, memory=False):
        """Run a peers.Command to its end, its words into the file `log`; at most `cap` seconds."""
        before, servers = self.groups.cpu("client"), self._server_cpu()
        with open(log, "wb") as out:
            process = subprocess.Popen(
                command.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=command.work,
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": command.work, **command.environment},
                start_new_session=True, preexec_fn=self._enter)      # pylint: disable=subprocess-popen-preexec-fn
        start = time.monotonic()        # exec has just been done: Popen waits for it
        late = threading.Event()
        timer = threading.Timer(cap, self._end, (process, late))
        timer.daemon = True
        timer.start()
        seen = Memory() if memory else None
        try:
            status, usage = self._wait(process, seen)
        except BaseException:
            self._end(process, late)
            raise
        finally:
            timer.cancel()
        wall = time.monotonic() - start
        time.sleep(0.1)     # the servers note that the client has gone
        cpu = self.groups.cpu("client")
        cpu = usage.ru_utime + usage.ru_stime if cpu is None else cpu - before
        now = self._server_cpu()
        return Result(wall, None if late.is_set() else status, cpu,
                      {name: now[name] - servers[name] for name in now}, seen)

    def _wait(self, process, seen):
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG if seen else 0)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage
            start = time.monotonic()
            seen.look(self.groups.pids("client") or descendants(process.pid))
            time.sleep(max(LOOK, REST * (time.monotonic() - start)))

    @staticmethod
    def _end(process, late):
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            for _ in range(40):     # the group is gone when its last process is
                time.sleep(0.05)
                os.killpg(process.pid, 0)
            os.killpg(process.pid, signal.SIGKILL)


