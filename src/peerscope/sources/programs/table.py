"""The P2P programs that detection knows, as one table: how each shows itself, and which spec reads it.

A program shows itself by the name of its process, a well-known port, a well-known socket, or a network interface. Its
`probe` proves that it is the program: one harmless question, and a pattern that only its own answer fits. The answer
may be a refusal. No probe holds a password.

Where several programs can be read, the first row of the table wins. Programs that people run for their P2P network
come before those that serve something else on the same machine.
"""

from __future__ import annotations

from msgspec import Struct

HOST = b"{host}"
"""Stands in a request for the address that is asked."""


class Probe(Struct, frozen=True):
    """One question to one socket."""

    request: bytes
    answer: bytes
    """A regular expression that the answer holds, with its headers."""
    tls: bool = False
    """Over TLS, whose certificate proves nothing on loopback."""


class Program(Struct, frozen=True, kw_only=True):
    """One program. Texts for people may hold {user}, the user of the agent, {owner}, that of the program, {spec}."""

    name: str
    source: str
    """Name of the source that reads it."""
    processes: tuple[str, ...]
    ports: tuple[int, ...] = ()
    """Ports of its interface on loopback; the first is the default of the source."""
    paths: tuple[str, ...] = ()
    """Where its sockets lie, as patterns of paths."""
    interfaces: str = ""
    """Kind of the network interfaces that it makes."""
    probe: Probe | None = None
    """None: its process, its interface or its file is proof enough."""
    spec: str = "{source}:http://{place}"
    """Where it is reached by another port, or by a path; {stem}: what the star of its pattern stands for."""
    bare: bool = True
    """The spec of the default port is the name of the source alone."""
    closed: str
    """Advice where it runs, but its interface does not answer."""
    refused: str
    """Advice where its interface answers, but the source cannot read it."""

    def spec_of(self, place: str, *, is_default: bool = False, stem: str = "") -> str:
        """The spec that reads it there."""
        if is_default and self.bare:
            return self.source
        return self.spec.format(source=self.source, place=place, stem=stem)


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\nHost: {{host}}\r\nAccept: */*\r\n\r\n".encode()


def _post(path: str, body: str = "") -> bytes:
    head = f"POST {path} HTTP/1.0\r\nHost: {{host}}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


JSON_ECHO = '{"id":"1","method":"Echo","params":{"Echo":"peerscope"},"jsonrpc":"2.0"}'
ARIA2_METHODS = '{"jsonrpc":"2.0","id":"1","method":"system.listMethods"}'
SERF_HANDSHAKE = b"\x82\xa7Command\xa9handshake\xa3Seq\x00\x81\xa7Version\x01"
EXPORTER = rb"(?m)^(libp2p_\w+|(swarm_dial_attempt|swarm_incoming_conn|kad_inbound)_total)[{ ]"
"""py-libp2p has no prefix."""
TOKEN = "put its token into a file that {user} can read, and name it: {spec}#token_file=PATH"
PASSWORD = "put its password into a file that {user} can read, and name it: {spec}#user=NAME&password_file=PATH"

PROGRAMS: tuple[Program, ...] = (
    Program(
        name="beam",
        source="beam",
        processes=("beam-tunnel-daemon",),
        closed="start it with RUST_LOG=info into a file, and name the file: beam:LOGFILE",
        refused="run the agent as {owner}, or as root, to see its sockets",
    ),
    Program(
        name="kubo",
        source="kubo",
        processes=("ipfs", "kubo"),
        ports=(5001,),
        probe=Probe(
            _post("/api/v0/version"),
            rb'(?s)^HTTP/1\.[0-9] (200.*"Version":\s*"[0-9][^"]*".*"Golang":|403.*Kubo RPC Access Denied)',
        ),
        closed="open its RPC on loopback: ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001",
        refused=TOKEN,
    ),
    Program(
        name="libp2p",
        source="prometheus",
        processes=("lotus", "lighthouse", "beacon-chain", "nimbus_beacon_node"),
        ports=(8888, 9464, 2112, 6060, 5054, 8008, 8080, 9090),
        probe=Probe(_get("/metrics"), EXPORTER),
        spec="{source}:http://{place}/metrics#{stem}",
        bare=False,
        closed="switch its Prometheus metrics on, and name their page: prometheus:URL#MAPPING",
        refused="choose another mapping, as in {spec}; docs/howto/sources.md has the list",
    ),
    Program(
        name="yggdrasil",
        source="yggdrasil",
        processes=("yggdrasil",),
        ports=(9001,),
        paths=("/run/yggdrasil.sock", "/run/yggdrasil/*.sock", "/var/run/yggdrasil.sock", "/var/run/yggdrasil/*.sock"),
        probe=Probe(b'{"request":"getself"}', rb'"status":\s*"success"'),
        spec="{source}:{place}",
        bare=False,
        closed='set AdminListen: "unix:///var/run/yggdrasil.sock" in its settings, or name its own: yggdrasil:PATH',
        refused="add {user} to the group of its admin socket, as in usermod -aG yggdrasil {user}; restart the agent",
    ),
    Program(
        name="syncthing",
        source="syncthing",
        processes=("syncthing",),
        ports=(8384,),
        probe=Probe(_get("/rest/noauth/health"), rb"(?mi)^x-syncthing-id: "),
        closed="open its GUI on loopback: gui address 127.0.0.1:8384 in its config.xml",
        refused="put its API key (Actions, Settings, GUI) into a file that {user} can read, and name it:"
        " {spec}#token_file=PATH",
    ),
    Program(
        name="tor",
        source="tor",
        processes=("tor",),
        ports=(9051, 9151),
        paths=("/run/tor/control", "/var/run/tor/control"),
        probe=Probe(b"PROTOCOLINFO 1\r\nQUIT\r\n", rb'(?m)^250-VERSION Tor="'),
        spec="{source}:{place}",
        closed="add ControlPort 9051 and CookieAuthentication 1 to its torrc",
        refused="let the agent read its cookie: add CookieAuthFileGroupReadable 1 to its torrc, and {user} to the group"
        " of {owner}",
    ),
    Program(
        name="i2pd",
        source="i2pd",
        processes=("i2pd",),
        ports=(7650,),
        probe=Probe(_post("/", JSON_ECHO), rb'"Result":\s*"peerscope"', tls=True),
        spec="{source}:https://{place}",
        closed="add enabled = true under [i2pcontrol] to its i2pd.conf",
        refused="put the password of I2PControl into a file that {user} can read, and name it:"
        " {spec}#password_file=PATH&ca_file=PATH",
    ),
    Program(
        name="bitcoin",
        source="bitcoin",
        processes=("bitcoind", "bitcoin-qt", "bitcoin-node"),
        ports=(8332, 18332, 48332, 38332, 18443),
        probe=Probe(_get("/"), rb"JSONRPC server handles only POST requests"),
        closed="add server=1 to its bitcoin.conf",
        refused="add rpccookieperms=group to its bitcoin.conf, and {user} to the group of {owner};"
        " or name a user of rpcauth: {spec}#user=NAME&password_file=PATH",
    ),
    Program(
        name="monero",
        source="monero",
        processes=("monerod",),
        ports=(18081, 18089, 28081, 38081),
        probe=Probe(_get("/get_info"), rb'(?s)"nettype":.*"status":|(?mi:^www-authenticate: digest.*monero-rpc)'),
        closed="let it answer on loopback: start it without --rpc-login, or with --rpc-restricted-bind-port 18089",
        refused=PASSWORD,
    ),
    Program(
        name="transmission",
        source="transmission",
        processes=("transmission-daemon", "transmission-gtk", "transmission-qt"),
        ports=(9091,),
        probe=Probe(
            _post("/transmission/rpc"),
            rb'(?mi)^(x-transmission-session-id: |www-authenticate: basic realm="transmission)',
        ),
        closed="switch its remote control on: rpc-enabled in its settings.json",
        refused=PASSWORD,
    ),
    Program(
        name="qbittorrent",
        source="qbittorrent",
        processes=("qbittorrent-nox", "qbittorrent"),
        ports=(8080,),
        probe=Probe(_get("/"), rb"<title>qBittorrent Web ?UI"),
        closed="switch its Web UI on (Options, Web UI)",
        refused="switch on: bypass authentication for clients on localhost; or {spec}#user=NAME&password_file=PATH",
    ),
    Program(
        name="aria2",
        source="aria2",
        processes=("aria2c",),
        ports=(6800,),
        probe=Probe(_post("/jsonrpc", ARIA2_METHODS), rb'"aria2\.getGlobalStat"'),
        closed="start it with --enable-rpc",
        refused="put its --rpc-secret into a file that {user} can read, and name it: {spec}#token_file=PATH",
    ),
    Program(
        name="nebula",
        source="nebula",
        processes=("nebula",),
        ports=(8080,),
        probe=Probe(_get("/metrics"), rb"(?m)^\w*hostmap_main_hosts"),
        spec="{source}:http://{place}/metrics",
        bare=False,
        closed="add stats to its config.yml: type prometheus, listen 127.0.0.1:8080, path /metrics",
        refused="compare the page with docs/howto/sources.md: {spec}",
    ),
    Program(
        name="tinc",
        source="tinc",
        processes=("tincd",),
        paths=("/run/tinc.*.pid", "/var/run/tinc.*.pid"),
        spec="{source}:{stem}",
        bare=False,
        closed="name its network: tinc:NETWORK",
        refused="run the agent as root: only root may ask it",
    ),
    Program(
        name="wireguard",
        source="wireguard",
        processes=("wireguard-go", "boringtun-cli"),
        paths=("/run/wireguard/*.sock", "/var/run/wireguard/*.sock"),
        interfaces="wireguard",
        spec="{source}:{stem}",
        closed="set its interface up: wg-quick up NAME",
        refused="only root, or CAP_NET_ADMIN, may ask it: add AmbientCapabilities=CAP_NET_ADMIN to the agent's unit",
    ),
    Program(
        name="serf",
        source="serf",
        processes=("serf",),
        ports=(7373,),
        probe=Probe(SERF_HANDSHAKE, rb"(?s)\xa5Error.*\xa3Seq"),
        spec="{source}:{place}",
        closed="open its RPC on loopback: -rpc-addr=127.0.0.1:7373",
        refused="put its RPC key into a file that {user} can read, and name it: {spec}#token_file=PATH",
    ),
    Program(
        name="consul",
        source="consul",
        processes=("consul",),
        ports=(8500,),
        probe=Probe(_get("/v1/agent/self"), rb'(?s)^HTTP/1\.[0-9] (200.*"Member":|403.*(ACL|Permission denied))'),
        closed="open its HTTP API on loopback: client_addr = 127.0.0.1",
        refused="make an ACL token with node:read and agent:read, put it into a file that {user} can read, and name it:"
        " {spec}#header=X-Consul-Token&token_file=PATH",
    ),
    Program(
        name="etcd",
        source="etcd",
        processes=("etcd",),
        ports=(2379,),
        probe=Probe(_get("/version"), rb'"etcdserver":\s*"'),
        closed="let it listen on loopback: --listen-metrics-urls=http://127.0.0.1:2381, then etcd:http://127.0.0.1:2381",
        refused="name what opens it: etcd:https://127.0.0.1:2379#ca_file=PATH, or its metrics alone:"
        " --listen-metrics-urls=http://127.0.0.1:2381",
    ),
)

LIBP2P_MAPPINGS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (rb"(?m)^ipfs_", ("kubo",)),
    (rb"(?m)^libp2p_swarm_connections_opened_total", ("go-libp2p", "kubo")),
    (rb"(?m)^libp2p_(connection_manager_connections|data_transfer_bytes_total|dial_queue)", ("js-libp2p",)),
    (rb"(?m)^libp2p_(swarm_connections_established|kad_query_result|identify)", ("rust-libp2p",)),
    (rb"(?m)^(swarm_dial_attempt|swarm_incoming_conn|kad_inbound)_total", ("py-libp2p",)),
)
"""By a series of the page: the presets that fit, the best first."""
