"""Two network namespaces, servers and clients, and the ways between them.

    net = Network(delay_program)        # this process is in the servers' namespace from now on
    net.address                         # of the servers, as the clients see them
    with net.line(40, 100) as line:     # meanwhile the way there takes 40 ms and has 100 Mbit/s
        ... line.report() ...
    subprocess.Popen(..., preexec_fn=net.enter_clients)

The namespaces have no names: they are files that this process holds open, and go with it, however it
ends. `nsenter --net=/proc/PID/fd/N` is the way in for a look. Where namespaces cannot be had, all is
on the loopback device: no delay, no bytes counted.
"""

import contextlib
import ctypes
import json
import os
import subprocess
import time

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
#: Of the servers, whichever way leads there: it must be in their certificates.
ADDRESS = "10.211.0.1"
DIRECT, DELAYED = "10.211.1", "10.211.2"        # networks of the ways

#: TCP as Debian has it, whatever this machine was tuned to, as far as a namespace may choose.
TCP = {"tcp_congestion_control": "cubic", "tcp_rmem": "4096 131072 6291456", "tcp_wmem": "4096 16384 4194304"}

COUNTERS = """
table inet bench {{
  counter source_in {{}}
  counter source_out {{}}
  counter destination_in {{}}
  counter destination_out {{}}
  chain input {{
    type filter hook input priority 0;
    tcp sport {source} counter name source_in
    tcp sport {destination} counter name destination_in
  }}
  chain output {{
    type filter hook output priority 0;
    tcp dport {source} counter name source_out
    tcp dport {destination} counter name destination_out
  }}
}}
"""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(what):
    """Leave the namespace of that kind for a new one."""
    _check(_libc.unshare(what), "unshare")


def private_mounts():
    """Mounts from here on are this process's and its children's, and go with them."""
    unshare(CLONE_NEWNS)
    # fails in a chroot, whose root is no mount point: there mounts are private anyhow, mostly
    _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


class Line:
    """A running delay line."""

    def __init__(self, process):
        self.process = process

    def _ask(self):
        self.process.stdin.write("report\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def settle(self):
        """Forget what passed while only one of its ends was up."""
        time.sleep(0.1)
        self._ask()

    def report(self):
        """What passed since the last report: [{client, server, up, down, waits}] by connection."""
        report = self._ask()
        if report["dropped"]:
            raise OSError(f"the delay line dropped {report['dropped']} packets")
        return report["flows"]


class Network:
    """The two namespaces, as long as this process lives."""

    def __init__(self, delay_program):
        self.delay_program = delay_program
        self.why_not = None     # no namespaces
        self._clients = self._servers = None
        self.counting = False
        try:
            unshare(CLONE_NEWNET)
            self._clients = os.open("/proc/self/ns/net", os.O_RDONLY)
            self._prepare()
            unshare(CLONE_NEWNET)
            self._servers = os.open("/proc/self/ns/net", os.O_RDONLY)
            self._prepare()
            self._ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
            self._join()
            self.address = ADDRESS
        except (OSError, subprocess.CalledProcessError) as error:
            self.why_not = str(error)
            self.address = "127.0.0.1"

    @property
    def no_line(self):
        """Why there can be no delay line, or None."""
        if self.why_not:
            return self.why_not
        try:
            os.close(os.open("/dev/net/tun", os.O_RDWR))
        except OSError as error:
            return str(error)
        return None

    def path(self, clients):
        """Of a namespace, for others."""
        return f"/proc/{os.getpid()}/fd/{self._clients if clients else self._servers}"

    def enter_clients(self):
        """Be in the clients' namespace (between fork and exec)."""
        if self._clients is not None:
            _check(_libc.setns(self._clients, CLONE_NEWNET), "setns")

    @staticmethod
    def _ip(*words, before=None):
        subprocess.run(["ip", *words], check=True, preexec_fn=before)       # pylint: disable=subprocess-popen-preexec-fn

    def _prepare(self):
        """Make a new namespace habitable."""
        self._ip("link", "set", "lo", "up")
        for name, value in TCP.items():
            with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as setting:
                setting.write(value)

    def _address(self, device, network):
        """Both ends of a way get their addresses."""
        for number, before in ((1, None), (2, self.enter_clients)):
            self._ip("address", "add", f"{network}.{number}/24", "dev", device, before=before)
            self._ip("link", "set", device, "txqueuelen", "10000", "up", before=before)

    def _join(self):
        self._ip("link", "add", "direct", "type", "veth", "peer", "name", "direct", "netns", self.path(True))
        self._address("direct", DIRECT)
        self._lead("direct", DIRECT)

    def _lead(self, device, network):
        """The clients take this way from now on."""
        self._ip("route", "replace", f"{ADDRESS}/32", "via", f"{network}.1", "dev", device, before=self.enter_clients)

    @contextlib.contextmanager
    def line(self, rtt_ms, rate_mbit=0, account=contextlib.nullcontext):
        """A delay line; `account()`: what its CPU goes to."""
        with account():
            process = subprocess.Popen(
                [self.delay_program, self.path(False), "line", self.path(True), "line", str(rtt_ms * 500), str(rate_mbit)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            # a line that has to wait for a processor is a longer one
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, process.pid, -15)
            if process.stdout.readline() != "ready\n":
                raise OSError("the delay line did not start")
            self._address("line", DELAYED)
            self._lead("line", DELAYED)
            line = Line(process)
            line.settle()
            yield line
        finally:
            self._lead("direct", DIRECT)
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def count(self, source_ports, destination_ports):
        """Begin to count bytes by these ports at the clients; False where nft is missing or refuses."""
        if self._clients is None:
            return False
        text = COUNTERS.format(source="{ %s }" % ", ".join(map(str, source_ports)),
                               destination="{ %s }" % ", ".join(map(str, destination_ports)))
        try:
            subprocess.run(["nft", "-f", "-"], input="table inet bench\ndelete table inet bench\n" + text, text=True, check=True,
                           capture_output=True, preexec_fn=self.enter_clients)      # pylint: disable=subprocess-popen-preexec-fn
            self.counting = True
        except (OSError, subprocess.CalledProcessError):
            self.counting = False
        return self.counting

    def counted(self):
        """{source_in, source_out, destination_in, destination_out}: bytes of IP so far; {} if none are counted."""
        if not self.counting:
            return {}
        done = subprocess.run(["nft", "-j", "list", "counters"], text=True, check=True, capture_output=True,
                              preexec_fn=self.enter_clients)        # pylint: disable=subprocess-popen-preexec-fn
        return {entry["counter"]["name"]: entry["counter"]["bytes"]
                for entry in json.loads(done.stdout)["nftables"] if "counter" in entry}
