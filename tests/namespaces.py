"""A network of its own for processes: loopback, and one interface into nothing that counts what would leave.

Made by root, or by an ordinary user in a user namespace of theirs (`unshare`). A process outside holds it open; others enter
through it. Both IPv4 and IPv6 have a route to nowhere, so that a packet of either kind is counted and not refused. A listener at the
far end writes down where each was going.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.waiting import PATIENCE_S

WAY_INTO_NOTHING = """
set -e
ip link set lo up
ip link add away type veth peer name nothing
for name in nothing away; do ip link set $name arp off multicast off addrgenmode none; done
ip link set nothing up
echo 0 > /proc/sys/net/ipv6/conf/away/accept_dad 2>/dev/null || true
echo 0 > /proc/sys/net/ipv6/conf/away/router_solicitations 2>/dev/null || true
ip link set away up
ip addr add 192.0.2.2/24 dev away
ip addr add 2001:db8::2/64 dev away nodad
ip route add default dev away
ip -6 route add default dev away
echo ready
exec sleep infinity
"""

LISTEN = """
import ipaddress, socket, struct, time

def name_asked(question):
    labels = []
    while question and question[0]:
        labels.append(question[1:question[0] + 1].decode("ascii", "replace"))
        question = question[question[0] + 1:]
    return ".".join(labels)

far_end = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
far_end.bind(("nothing", 0))
print("ready", flush=True)
while True:
    packet = far_end.recv(65535)
    four = packet[0] >> 4 == 4
    start, kind, to = (packet[0] % 16 * 4, packet[9], packet[16:20]) if four else (40, packet[6], packet[24:40])
    told = [time.strftime("%H:%M:%S"), str(ipaddress.ip_address(to)), {6: "tcp", 17: "udp"}.get(kind, f"protocol {kind}")]
    if kind in {6, 17}:
        port = struct.unpack_from("!H", packet, start + 2)[0]
        told += [str(port)] + [name_asked(packet[start + 20:])] * ((kind, port) == (17, 53))
    print(*told, flush=True)
"""


class NoNamespace(OSError):
    """This machine makes none; the message says why."""


class Namespace:
    """A network namespace, while it is held open."""

    def __init__(self) -> None:
        mine = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-current-user", "--keep-caps", "--net"]
        try:
            self._holder = subprocess.Popen(
                [*mine, "sh", "-c", WAY_INTO_NOTHING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise NoNamespace(f"unshare cannot be run: {error}") from error
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            _, told = self._holder.communicate(timeout=10)
            raise NoNamespace(f"this machine makes no network namespaces: {told.strip()[:200]}")
        self._before = self._sent()
        self._log = os.memfd_create("told")
        self._listener = subprocess.Popen(self.command([sys.executable, "-c", LISTEN]), stdout=self._log)
        if not self._told(1):
            self.close()
            raise NoNamespace("nobody can listen at the far end of the namespace")

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command in here."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._holder.pid), *user, "--net", *command]

    def run(self, *command: str) -> str:
        """Run a command in here to its end."""
        done = subprocess.run(self.command(command), capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise OSError(f"{' '.join(command[:3])}: {done.stderr.strip()[:200]}")
        return done.stdout

    def packets_away(self) -> int:
        """How many packets would have left since it was made, on any interface but loopback."""
        return self._sent() - self._before

    def destinations(self) -> list[str]:
        """Where they were going: time of day, address, protocol, port, and the name that a resolver was asked for."""
        return self._told(1 + self.packets_away())[1:]

    def _told(self, count: int) -> list[str]:
        """What the listener has written, as soon as there are so many lines of it, or as far as it got."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            # Read where we choose: the file's own position is the listener's.
            lines = os.pread(self._log, 1_000_000, 0).decode().splitlines()
            if len(lines) >= count or time.monotonic() > deadline or self._listener.poll() is not None:
                return lines
            time.sleep(0.01)

    def interfaces(self) -> set[str]:
        """What there is."""
        return {line.split(":")[0].strip() for line in self._table()}

    def _table(self) -> list[str]:
        """The kernel's table of interfaces of this namespace: name: 8 numbers received, 8 numbers sent."""
        return Path(f"/proc/{self._holder.pid}/net/dev").read_text().splitlines()[2:]

    def _sent(self) -> int:
        rows = [line.split(":", 1) for line in self._table()]
        # Sent packets, errors and drops: what was tried, whether or not it was swallowed.
        return sum(sum(map(int, numbers.split()[9:12])) for name, numbers in rows if name.strip() != "lo")

    def close(self) -> None:
        """Let it go; the kernel removes it with its last process."""
        for process in (self._listener, self._holder):
            process.kill()
            process.communicate()
        os.close(self._log)
