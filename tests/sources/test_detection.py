"""What a snapshot of a machine says of its P2P programs: without sockets, processes and files of this one."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerscope.sources.detection import (
    CANDIDATES_MAX,
    CLOSED,
    DENIED,
    READABLE,
    REFUSED,
    UNSUPPORTED,
    Candidate,
    LocalMachine,
    LocalNode,
    LocalProcess,
    ProbeAnswer,
    candidates,
    choice,
    findings,
    loopback,
    proven,
)
from peerscope.sources.programs.table import PROGRAMS

KUBO = ProbeAnswer(
    b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"Version":"0.43.0","Commit":"","Repo":"18",'
    b'"System":"amd64/linux","Golang":"go1.26"}\n'
)
HTML = ProbeAnswer(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html><title>kubo Version Golang</title></html>")
ALL = frozenset(program.source for program in PROGRAMS)
NOBODY = ProbeAnswer(reason="nobody listens there", is_absent=True)


def ipfs(pid: int, *listens: tuple[str, int], **other: object) -> LocalProcess:
    return LocalProcess(pid, "ipfs", 1, "ipfs", listens, **other)


def machine(*processes: LocalProcess, **other: object) -> LocalMachine:
    listening = frozenset(address for one in processes for address in one.listens or ())
    given: dict[str, object] = {"listening": listening, "sources": ALL, "user": "peerscope"} | other
    return LocalMachine(processes=processes, **given)


def look(
    here: LocalMachine, answers: dict[object, ProbeAnswer], read: dict[str, str] | None = None
) -> tuple[LocalNode, ...]:
    """The findings where these addresses answer so, and all others do not."""
    asked = [(one, answers.get(one.address, NOBODY)) for one in candidates(here)]
    return findings(here, asked, read or {})


def test_an_ordinary_machine_has_nothing_to_ask_and_nothing_to_say() -> None:
    ordinary = LocalMachine(listening=frozenset({("0.0.0.0", 22), ("127.0.0.1", 631), ("::1", 5432)}), sources=ALL)
    assert candidates(ordinary) == []
    assert findings(ordinary, [], {}) == ()
    assert choice(()) is None


def test_a_node_on_its_default_port_is_attached_by_the_name_of_its_source() -> None:
    (found,) = look(machine(ipfs(7, ("127.0.0.1", 5001), ("0.0.0.0", 4001))), {("127.0.0.1", 5001): KUBO})
    assert found == LocalNode("kubo", "127.0.0.1:5001", 7, "kubo", READABLE)
    assert choice([found]) is found


def test_ports_of_the_nodes_own_network_are_not_asked() -> None:
    here = machine(ipfs(7, ("127.0.0.1", 5001), ("0.0.0.0", 4001), ("127.0.0.1", 8080)))
    assert [one.address for one in candidates(here) if one.program == "kubo"] == [("127.0.0.1", 5001)]


def test_two_nodes_of_one_kind_are_both_listed_and_the_first_one_is_chosen() -> None:
    here = machine(ipfs(7, ("127.0.0.1", 5001)), ipfs(8, ("127.0.0.1", 5002)))
    found = look(here, {("127.0.0.1", 5001): KUBO, ("127.0.0.1", 5002): KUBO})
    assert [(one.pid, one.spec, one.state) for one in found] == [
        (7, "kubo", READABLE),
        (8, "kubo:http://127.0.0.1:5002", READABLE),
    ]
    assert choice(found) is found[0]


@pytest.mark.parametrize(
    "pretender", [HTML, ProbeAnswer(b""), ProbeAnswer(b"\x00" * 70_000), ProbeAnswer(reason="it hangs")]
)
def test_a_port_that_pretends_is_never_attached(pretender: ProbeAnswer) -> None:
    nobody_known = machine(listening=frozenset({("127.0.0.1", 5001)}))
    assert look(nobody_known, {("127.0.0.1", 5001): pretender}) == ()
    (found,) = look(machine(ipfs(7, ("127.0.0.1", 5001))), {("127.0.0.1", 5001): pretender})
    assert (found.state, found.pid) == (CLOSED, 7)
    assert "Addresses.API" in found.advice


def test_a_node_that_wants_credentials_is_not_attached_and_the_line_to_paste_is_named() -> None:
    refusal = ProbeAnswer(
        b"HTTP/1.0 403 Forbidden\r\n\r\nKubo RPC Access Denied: Please provide a valid authorization token"
    )
    (found,) = look(machine(ipfs(7, ("127.0.0.1", 5001))), {("127.0.0.1", 5001): refusal}, {"kubo": "it wants a token"})
    assert (found.state, found.reason) == (REFUSED, "it wants a token")
    assert "kubo:http://127.0.0.1:5001#token_file=PATH" in found.advice
    assert "peerscope can read" in found.advice  # the user of the agent
    assert choice([found]) is None


def test_a_program_without_an_installed_source_is_listed_and_never_chosen() -> None:
    here = machine(ipfs(7, ("127.0.0.1", 5001)), sources=frozenset({"telemetry"}))
    (found,) = look(here, {("127.0.0.1", 5001): KUBO})
    assert (found.state, found.spec) == (UNSUPPORTED, None)
    assert choice([found]) is None


def test_an_interface_on_another_address_is_said_and_never_asked() -> None:
    here = machine(ipfs(7, ("192.0.2.1", 5001)))
    assert [one.address for one in candidates(here)] == [None]
    (found,) = look(here, {})
    assert (found.state, found.spec) == (CLOSED, "kubo:http://192.0.2.1:5001")
    assert "only loopback is asked" in found.reason


def test_a_process_whose_sockets_are_hidden_is_asked_at_its_default_port_and_listed_once() -> None:
    here = machine(LocalProcess(7, "ipfs", 1, "ipfs"), listening=frozenset({("127.0.0.1", 5001), ("0.0.0.0", 4001)}))
    (found,) = look(here, {("127.0.0.1", 5001): KUBO})
    assert (found.spec, found.state) == ("kubo", READABLE)
    (hidden,) = look(here, {})
    assert (hidden.pid, hidden.state) == (7, CLOSED)
    assert "runs as ipfs, whose sockets peerscope cannot see" in hidden.reason


def test_a_program_of_a_parent_and_its_child_is_one() -> None:
    here = machine(
        LocalProcess(7, "syncthing", 1, "ann", ()),
        LocalProcess(8, "syncthing", 7, "ann", (("127.0.0.1", 8384), ("::", 22000))),
    )
    answer = ProbeAnswer(b"HTTP/1.0 403 Forbidden\r\nX-Syncthing-Id: AAAA\r\n\r\nCSRF Error\n")
    (found,) = look(here, {("127.0.0.1", 8384): answer})
    assert (found.pid, found.spec) == (8, "syncthing")


def test_a_program_that_listens_by_both_protocols_is_asked_once() -> None:
    both = LocalProcess(7, "aria2c", 1, "ann", (("::1", 6800), ("127.0.0.1", 6800)))
    assert [one.address for one in candidates(machine(both))] == [("127.0.0.1", 6800)]
    (only,) = candidates(machine(LocalProcess(7, "aria2c", 1, "ann", (("::1", 6800),))))
    assert (only.address, only.spec) == (("::1", 6800), "aria2:http://[::1]:6800")


def test_our_own_ports_and_those_of_another_known_program_are_not_asked() -> None:
    dashboard = ("127.0.0.1", 8080)  # also the default of qBittorrent, of Nebula and of libp2p exporters
    assert candidates(machine(listening=frozenset({dashboard}), own=frozenset({dashboard}))) == []
    known = machine(LocalProcess(7, "qbittorrent-nox", 1, "ann", (("::", 8080),)))
    assert {one.program for one in candidates(known)} == {"qbittorrent"}


def test_a_process_in_another_network_namespace_is_said_and_not_asked() -> None:
    here = machine(ipfs(7, ("127.0.0.1", 5001), is_elsewhere=True), listening=frozenset())
    assert [one for one in candidates(here) if one.program == "kubo"] == []
    (found,) = look(here, {})
    assert "another network namespace" in found.reason


def test_an_interface_at_an_unusual_place_is_not_called_silent() -> None:
    here = machine(LocalProcess(7, "yggdrasil", 1, "ann", (("127.0.0.1", 20700),)))
    (found,) = look(here, {("127.0.0.1", 20700): ProbeAnswer(b"meta\0")})  # the port for its peers
    assert (found.state, found.reason) == (CLOSED, "it runs, and its interface is at none of the usual places")
    assert found.advice.endswith("or name its own: yggdrasil:PATH")
    path = "/run/yggdrasil.sock"
    usual = machine(LocalProcess(7, "yggdrasil", 1, "ann", ()), paths=((path, path),))
    assert [one.reason for one in look(usual, {path: ProbeAnswer(b"nonsense")})] == [
        "it runs, and its interface does not answer"
    ]


def test_the_advice_for_a_router_names_its_certificate_too() -> None:
    here = machine(LocalProcess(7, "i2pd", 1, "i2pd", (("127.0.0.1", 7650),)))
    answer = ProbeAnswer(b'{"id":1,"result":{"Result":"peerscope"}}')
    (found,) = look(here, {("127.0.0.1", 7650): answer}, {"i2pd": "name the file"})
    assert found.advice.endswith(": i2pd:https://127.0.0.1:7650#password_file=PATH&ca_file=PATH")


def test_a_socket_that_may_not_be_opened_says_which_right_is_missing() -> None:
    path = "/var/run/yggdrasil/yggdrasil.sock"
    here = machine(
        LocalProcess(7, "yggdrasil", 1, "yggdrasil", None), paths=(("/var/run/yggdrasil/*.sock", path),), user="watch"
    )
    (found,) = look(here, {path: ProbeAnswer(reason=DENIED)})
    assert (found.state, found.spec, found.reason) == (REFUSED, f"yggdrasil:{path}", DENIED)
    assert "usermod -aG yggdrasil watch" in found.advice
    (left_behind,) = look(here, {path: NOBODY})  # by a node that was killed
    assert left_behind.place == ""


def test_the_advice_names_the_user_of_a_program_whose_sockets_are_hidden() -> None:
    here = machine(LocalProcess(7, "tor", 1, "debian-tor"), listening=frozenset({("127.0.0.1", 9051)}))
    answer = ProbeAnswer(b'250-PROTOCOLINFO 1\r\n250-AUTH METHODS=COOKIE\r\n250-VERSION Tor="0.4.9.11"\r\n250 OK\r\n')
    (found,) = look(here, {("127.0.0.1", 9051): answer}, {"tor": "its cookie cannot be read"})
    assert (found.state, found.pid) == (REFUSED, None)
    assert found.advice.endswith("and peerscope to the group of debian-tor")


def test_interfaces_and_files_are_proof_where_there_is_nothing_to_ask() -> None:
    here = machine(
        interfaces=(("wireguard", "wg0"), ("bridge", "br0")), paths=(("/run/tinc.*.pid", "/run/tinc.home.pid"),)
    )
    assert [(one.program, one.spec, one.state) for one in look(here, {})] == [
        ("tinc", "tinc:home", READABLE),
        ("wireguard", "wireguard:wg0", READABLE),
    ]
    several = machine(interfaces=(("wireguard", "wg0"), ("wireguard", "wg1")))
    assert [one.spec for one in look(several, {})] == ["wireguard"]


@pytest.mark.parametrize(
    ("series", "spec"),
    [
        ("ipfs_p2p_peers_total 3", "prometheus:http://127.0.0.1:8888/metrics#kubo"),
        ("libp2p_swarm_connections_opened_total 3", "prometheus:http://127.0.0.1:8888/metrics#kubo"),
        ('libp2p_data_transfer_bytes_total{protocol="x"} 3', "prometheus:http://127.0.0.1:8888/metrics#js-libp2p"),
        ("libp2p_swarm_connections_established_total 3", "prometheus:http://127.0.0.1:8888/metrics#rust-libp2p"),
        ('swarm_dial_attempt_total{peer_id="x"} 3', "prometheus:http://127.0.0.1:8888/metrics#py-libp2p"),
        ("libp2p_something_new 3", "prometheus:http://127.0.0.1:8888/metrics#generic"),
    ],
)
def test_an_exporter_is_read_with_the_mapping_of_its_series(series: str, spec: str) -> None:
    page = ProbeAnswer(f"HTTP/1.0 200 OK\r\n\r\n# TYPE x gauge\nlibp2p_x 1\n{series}\n".encode())
    here = machine(
        listening=frozenset({("127.0.0.1", 8888)}),
        presets=frozenset({"kubo", "js-libp2p", "rust-libp2p", "py-libp2p", "generic"}),
    )
    (found,) = look(here, {("127.0.0.1", 8888): page})
    assert (found.program, found.spec) == ("libp2p", spec)
    other = ProbeAnswer(b"HTTP/1.0 200 OK\r\n\r\n# HELP node_cpu of libp2p_\nnode_cpu 1\n")
    assert look(here, {("127.0.0.1", 8888): other}) == ()


def test_a_system_that_does_not_list_sockets_has_its_default_ports_asked() -> None:
    asked = candidates(LocalMachine(sources=ALL))
    assert {one.address for one in asked if one.program == "kubo"} == {("127.0.0.1", 5001)}
    assert findings(LocalMachine(sources=ALL), [(one, NOBODY) for one in asked], {}) == ()


addresses = st.tuples(
    st.sampled_from(["0.0.0.0", "127.0.0.1", "127.0.0.53", "192.0.2.1", "::", "::1", "2001:db8::1", "fe80::1%eth0"]),
    st.sampled_from(sorted({port for program in PROGRAMS for port in program.ports})) | st.integers(1, 65535),
)
names = st.sampled_from([name for program in PROGRAMS for name in program.processes])
processes = st.builds(
    LocalProcess,
    pid=st.integers(1, 9),
    name=names,
    parent=st.integers(1, 9),
    user=st.sampled_from(["root", "ann"]),
    listens=st.none() | st.lists(addresses, max_size=6).map(tuple),
    is_elsewhere=st.booleans(),
)
machines = st.builds(
    machine,
    *[processes] * 3,
    listening=st.none() | st.frozensets(addresses, max_size=10),
    own=st.frozensets(addresses, max_size=3),
)


@settings(max_examples=60)
@given(machines, st.randoms(use_true_random=False))
def test_whatever_runs_only_loopback_is_asked_and_nothing_unproven_is_chosen(here: LocalMachine, rng: object) -> None:
    asked = candidates(here)
    assert len(asked) <= CANDIDATES_MAX
    for one in asked:
        if isinstance(one.address, tuple):
            assert loopback(one.address) == one.address
            assert one.address not in here.own
    answers = [(one, rng.choice([KUBO, HTML, NOBODY, ProbeAnswer(reason="it hangs")])) for one in asked]
    found = findings(here, answers, {})
    for one in found:
        if one.state == READABLE:
            assert one.program in ("kubo", "beam")  # the only ones that answered, or that need no answer
    assert {one.pid for one in found if one.pid} <= {process.pid for process in here.processes}


def test_every_row_of_the_table_can_be_used() -> None:
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)
    for program in PROGRAMS:
        assert program.probe is None or re.compile(program.probe.answer)
        assert (program.probe is None) == (not program.ports)
        for words in (program.closed, program.refused):
            assert "{" not in words.format(user="u", owner="o", spec="s")
        spec = program.spec_of("127.0.0.1:1", stem="home")
        assert spec.startswith(program.source)
        assert "{" not in spec
        unproven = Candidate(program.name, "127.0.0.1:1", spec, ("127.0.0.1", 1))
        if program.probe is not None:
            assert proven(unproven, HTML) is None
            assert proven(unproven, ProbeAnswer(b"")) is None
            assert program.probe.request.startswith((b"GET ", b"POST ", b"PROTOCOLINFO", b"{", b"\x82"))
            assert not re.search(rb"(?i)authorization|password|secret", program.probe.request)
