"""The policies at work: pods as processes in network namespaces, each behind a node that enforces that pod's own policy.

Each pod has a namespace, and before it a node namespace that forwards only what the pod's NetworkPolicy allows, written as routing
rules (address, protocol, port; the replies of allowed connections). Everything else that a cluster has (database, metadata,
name server, Kubernetes API, two hosts in the internet, the load balancer) is an address in one more namespace.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from stacks.manifests import Document
from stacks.manifests.cluster import relay_port
from tests.stacks.manifests.cluster_fixture import built, of_kind

PROJECT = Path(__file__).parents[3]
PODS = {
    "gateway": "10.64.8.2", "database-door": "10.64.8.6",
    "provider-alpha": "10.64.32.2", "provider-beta": "10.64.32.6", "relay": "10.64.32.10",
}  # fmt: skip
DOOR = f"{PODS['database-door']}/5432"
HOST_ALPHA, HOST_OTHER = "93.184.216.34", "93.184.216.40"
BALANCER, DATABASE, METADATA, AGENT = "10.64.0.9", "10.64.56.9", "169.254.169.254", "169.254.170.23"
NAMES, API = "10.64.33.53", "172.20.0.1"
WORLD = {
    DATABASE: 5432, METADATA: 80, AGENT: 80, NAMES: 53, API: 443, HOST_ALPHA: 443, HOST_OTHER: 443,
}  # fmt: skip
ALPHA, BETA = relay_port("api.alpha.com"), relay_port("api.beta.com")

SERVER = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for word in sys.argv[1:]:
    address, _, port = word.partition("/")
    listener = socket.create_server((address, int(port)), backlog=64)
    selector.register(listener, selectors.EVENT_READ, word)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(key.data.encode())
        connection.close()
"""
PROBE = """
import concurrent.futures, json, socket, sys
def look(word):
    address, _, port = word.partition("/")
    try:
        with socket.create_connection((address, int(port)), 2, source_address=(sys.argv[1], 0)) as way:
            way.settimeout(2)
            return way.recv(100).decode() or "closed"
    except OSError:
        return "refused"
words = sys.argv[2:]
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps(dict(zip(words, pool.map(look, words)))))
"""


class Rule(NamedTuple):
    """One allowed flow of a policy: the peer's range and a TCP port, or a range taken out of the one after it."""

    net: str
    port: int
    allowed: bool = True


def rules_of(policy: Document, direction: str) -> Iterator[Rule]:
    """A policy's rules in one direction, with pods as their addresses."""
    for rule in policy["spec"][direction]:
        ports = [row["port"] for row in rule["ports"] if row["protocol"] == "TCP"]
        for peer, port in itertools.product(rule["to" if direction == "egress" else "from"], ports):
            yield from _peer(peer, port)


def _peer(peer: Any, port: int) -> Iterator[Rule]:
    if "ipBlock" in peer:
        yield from (Rule(net, port, allowed=False) for net in peer["ipBlock"].get("except", []))
        yield Rule(peer["ipBlock"]["cidr"], port)
    elif "namespaceSelector" in peer:
        yield Rule(f"{NAMES}/32", port)
    else:
        wanted = peer["podSelector"]["matchLabels"].items()
        yield from (Rule(f"{PODS[name]}/32", port) for name, labels in LABELS.items() if wanted <= labels.items())


LABELS = {
    item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"]
    for item in of_kind(built(), "Deployment")
    if item["metadata"]["name"] in PODS
}
POLICIES = {item["metadata"]["name"]: item for item in of_kind(built(), "NetworkPolicy")}


class Cluster:
    """The namespaces, and the processes in them."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.made: list[str] = []
        self.processes: list[subprocess.Popen[str]] = []

    def build(self) -> None:
        """Lay the cables, then write each pod's policy at its node."""
        self._namespace("world")
        for place, (name, address) in enumerate(PODS.items()):
            self._pod(place, name, address)
        own = [f"addr add {address}/32 dev lo" for address in (*WORLD, BALANCER)]
        self._ip("world", *own)

    def _namespace(self, name: str) -> None:
        _run("ip", "netns", "add", self.prefix + name)
        self.made.append(self.prefix + name)
        self._ip(name, "link set lo up")
        self._inside(
            name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter"
        )

    def _pod(self, place: int, name: str, address: str) -> None:
        node = f"n{place}"
        self._namespace(node)
        self._namespace(name)
        first = ipaddress.ip_address("10.255.0.0") + 4 * place
        up, down = str(first), str(first + 1)
        # The pod's side of its node has an address in a range of its own, which nothing else uses.
        hop = str(ipaddress.ip_address("10.254.0.1") + 4 * place)
        self._cable("world", f"w{place}", node, "up0")
        self._cable(node, "pod0", name, "eth0")
        self._ip(
            "world", f"addr add {up}/31 dev w{place}", f"link set w{place} up", f"route add {address}/32 via {down}"
        )
        self._ip(node, f"addr add {down}/31 dev up0", "link set up0 up", f"route add default via {up}")
        self._ip(node, f"addr add {hop}/32 dev pod0", "link set pod0 up", f"route add {address}/32 dev pod0")
        self._ip(name, f"addr add {address}/32 dev eth0", "link set eth0 up")
        self._ip(name, f"route add {hop}/32 dev eth0", f"route add default via {hop} src {address}")
        self._ip(node, *_routing_rules(POLICIES[name], address))

    def _cable(self, one: str, one_end: str, other: str, other_end: str) -> None:
        self._ip(one, f"link add {one_end} type veth peer name {other_end} netns {self.prefix}{other}")

    def _ip(self, name: str, *commands: str) -> None:
        text = "".join(f"{command}\n" for command in commands)
        _run("ip", "-n", self.prefix + name, "-batch", "-", text=text)

    def _inside(self, name: str, *command: str) -> str:
        return _run("ip", "netns", "exec", self.prefix + name, *command)

    def start(self, name: str, *command: str) -> None:
        """Start a process in a namespace and wait until it serves."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.prefix + name, sys.executable, *command],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        self.processes.append(process)

    def serve(self, name: str, *where: str) -> None:
        self.start(name, "-c", SERVER, *where)
        stdout = self.processes[-1].stdout
        assert stdout is not None
        assert stdout.readline() == "ready\n"

    def reach(self, name: str, source: str, *where: str) -> dict[str, str]:
        """What answers there, seen from here."""
        return msgspec.json.decode(self._inside(name, sys.executable, "-c", PROBE, source, *where), type=dict[str, str])

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for name in self.made:
            _run("ip", "netns", "del", name)


def _routing_rules(policy: Document, address: str) -> Iterator[str]:
    """A policy as routing rules of the pod's node: what leaves on `pod0`, what enters on `up0`, and their replies."""
    numbers = itertools.count(100)
    for direction, near, far in (("egress", "pod0", "up0"), ("ingress", "up0", "pod0")):
        peer, reply = ("to", "from") if direction == "egress" else ("from", "to")
        for rule in rules_of(policy, direction):
            action = "lookup main" if rule.allowed else "prohibit"
            yield f"rule add iif {near} {peer} {rule.net} ipproto tcp dport {rule.port} {action} pref {next(numbers)}"
            yield f"rule add iif {far} {reply} {rule.net} ipproto tcp sport {rule.port} {action} pref {next(numbers)}"
    yield f"rule add iif pod0 prohibit pref {next(numbers)}"
    yield f"rule add iif up0 to {address} prohibit pref {next(numbers)}"


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def _why_not() -> str:
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        name = f"tr{os.getpid()}try"
        _run("ip", "netns", "add", name)
        try:
            _run("ip", "-n", name, "rule", "add", "ipproto", "tcp", "dport", "1", "prohibit")
        finally:
            _run("ip", "netns", "del", name)
    except (AssertionError, OSError):
        return "this machine makes no network namespaces with routing rules by port"
    return ""


@pytest.fixture(scope="module")
def net() -> Iterator[Cluster]:
    if reason := _why_not():
        pytest.skip(reason)
    built_cluster = Cluster(f"tr{os.getpid()}-")
    try:
        built_cluster.build()
        built_cluster.serve("world", *(f"{address}/{port}" for address, port in WORLD.items()))
        for name, address in PODS.items():
            if name not in {"relay", "database-door"}:
                built_cluster.serve(name, f"{address}/8080", f"{address}/9090")
        built_cluster.start("relay", "-m", "handlers.relay", f"{ALPHA}={HOST_ALPHA}", f"{BETA}={HOST_OTHER}")
        database = "5432=" + f"{DATABASE}:5432"
        built_cluster.start("database-door", "-m", "handlers.relay", "--within", "10.64.56.0/26", database)
        _wait_for(built_cluster, "provider-alpha", PODS["provider-alpha"], f"{PODS['relay']}/{ALPHA}")
        _wait_for(built_cluster, "world", BALANCER, DOOR)
        yield built_cluster
    finally:
        built_cluster.close()


def _wait_for(net: Cluster, name: str, source: str, where: str) -> None:
    for _ in range(100):
        if net.reach(name, source, where)[where] != "refused":
            return
        time.sleep(0.1)
    pytest.fail(f"{where} does not answer")


def check(net: Cluster, name: str, allowed: dict[str, str], forbidden: list[str], source: str = "") -> None:
    seen = net.reach(name, source or PODS[name], *allowed, *forbidden)
    assert {where: seen[where] for where in allowed} == allowed
    assert {where: seen[where] for where in forbidden} == dict.fromkeys(forbidden, "refused")


@pytest.mark.claim("C23", "C31", "C35", "C36", "C38")
@pytest.mark.parametrize(
    ("name", "own", "host", "other"),
    [("provider-alpha", ALPHA, HOST_ALPHA, BETA), ("provider-beta", BETA, HOST_OTHER, ALPHA)],
)
def test_a_provider_reaches_its_own_host_and_nothing_else(
    net: Cluster, name: str, own: int, host: str, other: int
) -> None:
    relay = PODS["relay"]
    neighbour = PODS["provider-beta" if name == "provider-alpha" else "provider-alpha"]
    check(
        net,
        name,
        allowed={f"{relay}/{own}": f"{host}/443", f"{AGENT}/80": f"{AGENT}/80"},
        forbidden=[
            f"{relay}/{other}",
            f"{HOST_ALPHA}/443",
            f"{HOST_OTHER}/443",
            f"{DATABASE}/5432",
            DOOR,
            f"{METADATA}/80",
            f"{API}/443",
            f"{NAMES}/53",
            f"{neighbour}/8080",
            f"{PODS['gateway']}/8080",
            f"{PODS['gateway']}/9090",
        ],
    )


@pytest.mark.claim("C57")
def test_the_gateway_reaches_the_database_and_the_pods_and_not_the_internet(net: Cluster) -> None:
    check(
        net,
        "gateway",
        allowed={
            f"{DATABASE}/5432": f"{DATABASE}/5432",
            f"{NAMES}/53": f"{NAMES}/53",
            f"{PODS['provider-alpha']}/8080": f"{PODS['provider-alpha']}/8080",
            f"{PODS['provider-beta']}/8080": f"{PODS['provider-beta']}/8080",
        },
        forbidden=[
            f"{HOST_ALPHA}/443",
            f"{METADATA}/80",
            f"{API}/443",
            f"{PODS['relay']}/{ALPHA}",
            f"{PODS['provider-alpha']}/9090",
            DOOR,
        ],
    )


@pytest.mark.claim("C38")
def test_the_relay_reaches_the_internet_and_nothing_inside(net: Cluster) -> None:
    inside = [f"{DATABASE}/5432", f"{METADATA}/80", f"{AGENT}/80", f"{API}/443"]
    pods = [f"{PODS['gateway']}/8080", f"{PODS['provider-alpha']}/8080"]
    check(net, "relay", allowed={f"{HOST_ALPHA}/443": f"{HOST_ALPHA}/443"}, forbidden=[*inside, *pods])


@pytest.mark.claim("C57")
def test_the_door_leads_from_its_load_balancer_to_the_database_and_nowhere_else(net: Cluster) -> None:
    check(net, "world", allowed={DOOR: f"{DATABASE}/5432"}, forbidden=[], source=BALANCER)
    check(net, "world", allowed={}, forbidden=[DOOR], source=HOST_OTHER)
    inside = [f"{METADATA}/80", f"{AGENT}/80", f"{API}/443", f"{HOST_ALPHA}/443"]
    pods = [f"{PODS['gateway']}/8080", f"{PODS['provider-alpha']}/8080", f"{PODS['relay']}/{ALPHA}"]
    check(net, "database-door", allowed={f"{DATABASE}/5432": f"{DATABASE}/5432"}, forbidden=[*inside, *pods])


@pytest.mark.claim("C39")
def test_the_load_balancer_reaches_the_gateway_alone(net: Cluster) -> None:
    check(
        net,
        "world",
        allowed={f"{PODS['gateway']}/8080": f"{PODS['gateway']}/8080"},
        forbidden=[f"{PODS['gateway']}/9090", f"{PODS['provider-alpha']}/8080", f"{PODS['relay']}/{ALPHA}"],
        source=BALANCER,
    )


@pytest.mark.claim("C39")
def test_nobody_else_reaches_the_gateway(net: Cluster) -> None:
    check(net, "world", allowed={}, forbidden=[f"{PODS['gateway']}/8080"], source=HOST_OTHER)
