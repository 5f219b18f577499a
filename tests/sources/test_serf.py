"""Serf's RPC: values split anywhere, coordinates, large clusters, and answers that are none."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OVERLAY_MAX
from peerscope.sources.base import Reading
from peerscope.sources.msgpack_stream import ValueEnd
from peerscope.sources.programs.serf import SerfCoordinate, SerfSource, after, rtt_s

MEMBERS = [("a", "alive"), ("b", "alive"), ("c", "failed"), ("d", "left"), ("e", "leaving"), ("f", "alive")]
STATS = {"agent": {"name": "a"}, "serf": {"health_score": "2", "members": "6", "event_queue": "0"}, "tags": {}}
NOWHERE = {"Vec": None, "Error": 0.0, "Adjustment": 0.0, "Height": 0.0}


def place(x: float, error: float = 0.2, **more: Any) -> dict[str, Any]:
    return {"Vec": [x, 0.0], "Error": error, "Adjustment": 0.0, "Height": 0.001} | more


class Agent:
    """Answers as 0.8 does; `chunk`: so many bytes at once."""

    def __init__(self, chunk: int = 1 << 16) -> None:
        self.chunk = chunk
        self.members: Any = [
            {"Name": name, "Status": status, "Addr": b"\x7f\0\0\1", "Port": 7946} for name, status in MEMBERS
        ]
        self.stats: Any = STATS
        self.places: dict[str, Any] = {"a": place(0.0), "b": place(0.003), "f": place(9.0, error=1.5)}
        self.errors: dict[str, str] = {}
        self.garbage: bytes | None = None
        self.is_old = True
        """It writes bytes as texts."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = bytearray()
        asked: list[Any] = []
        while got := await reader.read(4096):
            data += got
            while True:
                if (end := ValueEnd().find(data)) is None:
                    break
                asked.append(msgspec.msgpack.decode(data[:end]))
                del data[:end]
                if asked[0]["Command"] in ("members", "stats") or len(asked) == 2:
                    await self._send(writer, *asked)
                    asked.clear()
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter, header: Any, body: Any = None) -> None:
        command = header["Command"]
        error = self.errors.get(command, "")
        answer = self.garbage or msgspec.msgpack.encode({"Seq": header["Seq"], "Error": error})
        match command:
            case "members":
                answer += msgspec.msgpack.encode({"Members": self.members})
                if self.is_old:
                    answer = answer.replace(b"\xc4\x04", b"\xa4").replace(b"\xc4\x10", b"\xb0")
            case "stats":
                answer += msgspec.msgpack.encode(self.stats)
            case "get-coordinate" if not error:
                coordinate = self.places.get(body["Node"])
                answer += msgspec.msgpack.encode({"Coord": coordinate or NOWHERE, "Ok": coordinate is not None})
        for at in range(0, len(answer), self.chunk):
            writer.write(answer[at : at + self.chunk])
            await writer.drain()
            if self.chunk < 100:
                await asyncio.sleep(0)
        if self.garbage:
            writer.close()


def read(agent: Agent) -> Reading:
    async def asking() -> Reading:
        server = await asyncio.start_server(agent.answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await SerfSource(f"127.0.0.1:{port}").read()

    return asyncio.run(asking())


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_members_that_are_alive_are_neighbours_with_the_estimates_of_serf(chunk: int) -> None:
    reading = read(Agent(chunk))
    assert (reading.node, reading.node_id, reading.version) == ("serf", "a", None)
    assert [(link.node, link.rtt_us) for link in reading.overlay] == [("b", 5000), ("f", None)]
    assert {one.name: one.value for one in reading.measures} == {
        "health_score": 2,
        "members_alive": 3,
        "members_failed": 1,
    }
    assert reading.details["members_left"] == 2
    assert reading.addresses == ("127.0.0.1:7946",)


@pytest.mark.parametrize(
    ("packed", "port", "addresses"),
    [
        (bytes(10) + b"\xff\xff\x0a\0\0\1", 1, ("10.0.0.1:1",)),
        (b"\xfd" + bytes(14) + b"\1", 1, ("[fd00::1]:1",)),
        (b"", 1, ()),
        ("127.0.0.1", 1, ()),
        (b"\x7f\0\0\1", 0, ()),
        (b"\x7f\0\0\1", 70000, ()),
    ],
)
def test_the_own_address_is_known_if_it_can_be_dialled(packed: Any, port: int, addresses: tuple[str, ...]) -> None:
    agent = Agent()
    agent.members[0] |= {"Addr": packed, "Port": port}
    for agent.is_old in (True, False):
        assert read(agent).addresses == addresses


def test_a_stranger_whose_name_is_none_takes_no_other_with_it() -> None:
    agent = Agent()
    for name in (b"evil\x1b[31m", b"x" * 120, b"\xff", b""):
        packed = msgspec.Raw(bytes([0xD9, len(name)]) + name)
        agent.members.append({"Name": packed, "Status": "alive", "Addr": b"\x7f\0\0\1", "Port": 7946})
    reading = read(agent)
    assert [link.node for link in reading.overlay] == ["b", "f"]
    assert (reading.metrics.p2p_peers, reading.details["names_refused"]) == (6, 4.0)
    agent.stats = STATS | {"agent": {"name": "x" * 120}}
    assert read(agent).node_id is None


def test_a_member_alone_has_no_neighbours_and_no_round_trips() -> None:
    agent = Agent()
    agent.members, agent.places = agent.members[:1], {}
    reading = read(agent)
    assert (reading.overlay, reading.metrics.p2p_peers, reading.details["coordinate_error"]) == ((), 0, None)


def test_coordinates_that_are_switched_off_are_unknown() -> None:
    agent = Agent()
    agent.errors = {"get-coordinate": "Coordinates are disabled"}
    assert [link.rtt_us for link in read(agent).overlay] == [None, None]


def test_each_member_of_a_large_cluster_reports_others() -> None:
    names = [f"n{number:03}" for number in range(100)]
    seen = {name: after(name, [one for one in names if one != name])[:OVERLAY_MAX] for name in names}
    assert seen["n050"][0] == "n051"
    assert seen["n099"][:2] == ["n000", "n001"]
    assert {len([one for one in seen.values() if name in one]) for name in names} == {OVERLAY_MAX}


def test_round_trips_are_never_negative_and_need_one_space() -> None:
    here = SerfCoordinate((0.0, 0.0), 0.1, -0.5, 0.001)
    assert rtt_s(here, SerfCoordinate((0.003, 0.004), 0.1, 0.0, 0.001)) == pytest.approx(0.007)  # adjusted below zero
    assert rtt_s(here, SerfCoordinate((0.0,), 0.1, 0.0, 0.0)) is None
    assert rtt_s(here, SerfCoordinate(None, 0.1, 0.0, 0.0)) is None


@pytest.mark.parametrize(
    ("changed", "value", "reason"),
    [
        ("errors", {"handshake": "Unsupported version"}, "Unsupported version to handshake"),
        ("errors", {"handshake": "Authentication required"}, "token_file"),
        ("members", "x", "something else"),
        ("members", [{"Name": 7, "Status": "alive"}], "something else"),
        ("stats", {"agent": {}}, "something else"),
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n", "something else"),
        ("garbage", b"\xc1", "not Serf's RPC"),
        ("garbage", b"\x91" * 5000 + b"\xc0", "something else"),
        ("garbage", b"\xdd\xff\xff\xff\xff", "broke off"),
        ("garbage", b"\x82\xa3Seq\x01", "broke off"),
        ("garbage", b"\x82\xa3Seq\x07\xa5Error\xa0", "question 7"),
    ],
)
def test_an_answer_that_is_none_is_named(changed: str, value: Any, reason: str) -> None:
    agent = Agent()
    setattr(agent, changed, value)
    with pytest.raises(SourceError, match=reason):
        read(agent)


@pytest.mark.parametrize(
    "strange", [place(0.0, error=float("nan")), place(float("inf")), place(1e300), place(0.0, Height="x"), 5]
)
def test_a_strange_coordinate_is_unknown(strange: Any) -> None:
    agent = Agent()
    agent.places["b"] = strange
    assert [link.rtt_us for link in read(agent).overlay] == [None, None]


def test_a_wrong_spec_is_refused() -> None:
    for argument in ("localhost", "h:0:x", "h:99999", "h:1#key=x"):
        with pytest.raises(ConfigError):
            SerfSource(argument)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=300) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=30,
)


@given(VALUES, st.binary(max_size=5), st.integers(1, 50))
def test_the_end_of_a_value_is_found_however_it_arrives(value: Any, rest: bytes, part: int) -> None:
    data = msgspec.msgpack.encode(value)
    sought = ValueEnd()
    for cut in range(0, len(data), part):
        assert sought.find(data[:cut]) is None
    assert sought.find(data + rest) == ValueEnd().find(data) == len(data)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_end_or_none(data: bytes) -> None:
    try:
        end = ValueEnd().find(data)
    except ValueError:
        return
    assert end is None or 0 < end <= len(data)


@pytest.mark.parametrize("data", ["ca3f000000", "d40100", "d801" + 16 * "00", "c7020100ff", "dc0001c0", "df00000000"])
def test_rare_kinds_of_values_have_an_end(data: str) -> None:
    value = bytes.fromhex(data)
    assert ValueEnd().find(value) == len(value)
    assert ValueEnd().find(value[:-1]) is None


def test_a_large_cluster_is_read_in_time() -> None:
    agent = Agent(4000)
    agent.members += [{"Name": f"n{number}", "Status": "alive", "Tags": {"dc": "x" * 50}} for number in range(5000)]
    assert read(agent).metrics.p2p_peers == 5002
