"""The walk over a network that may be dead in part, slow, or full of lies: against worlds with an imaginary clock."""

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.crawling.traversal import NAMES_WHEN_CROWDED, Candidates, Walk, WalkConfig

RTT_S = 0.05
ROUNDS_MAX = 200_000

World = Callable[[str], list[str] | None]
"""The neighbours of a peer; None if it never answers."""


def explore(
    world: World, *starts: str, rtt_s: Callable[[str], float] = lambda peer: RTT_S, **limits: float
) -> tuple[Candidates[str], list[str]]:
    """Walk over a world; what was found, and whom it asked, in order."""
    config = WalkConfig(**limits)
    walk = Walk(starts, config, 0.0)
    now, asked, order = 0.0, list[str](), count()
    answers: list[tuple[float, int, str]] = []
    for _ in range(ROUNDS_MAX):
        for peer in walk.next(now):
            asked.append(peer)
            heapq.heappush(answers, (now + rtt_s(peer), next(order), peer))
        if walk.is_done(now):
            return walk.survey(), asked
        under_way = sum(walk.is_asking(peer) for _, _, peer in answers)
        assert under_way <= config.concurrency
        if answers and answers[0][0] <= walk.deadline():
            now, _, peer = heapq.heappop(answers)
            neighbours = world(peer)
            if neighbours is not None:
                walk.answered(peer, neighbours, now)
        else:
            now = max(now, walk.deadline())
    raise AssertionError("the walk does not end")


def graph(links: list[tuple[str, str]]) -> World:
    around: dict[str, list[str]] = {}
    for one, other in links:
        around.setdefault(one, []).append(other)
        around.setdefault(other, []).append(one)
    return around.get


def random_links(peers: int, degree: int, rng: Random) -> list[tuple[str, str]]:
    """The union of some random rings, as our own networks are."""
    names = [f"h{number}" for number in range(peers)]
    links = []
    for _ in range(degree // 2):
        rng.shuffle(names)
        links += list(zip(names, names[1:] + names[:1], strict=True))
    return links


def expected_depths(links: list[tuple[str, str]], start: str) -> dict[str, int]:
    world = graph(links)
    depths, queue = {start: 0}, [start]
    for peer in queue:
        for other in world(peer) or []:
            if other not in depths:
                depths[other] = depths[peer] + 1
                queue.append(other)
    return depths


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40), st.integers(1, 70))
def test_it_finds_exactly_what_can_be_reached_with_its_depths(pairs: list[tuple[int, int]], concurrency: int) -> None:
    links = [(f"p{one}", f"p{other}") for one, other in [(0, 1), *pairs] if one != other]
    survey, asked = explore(graph(links), "p0", concurrency=concurrency)
    depths = expected_depths(links, "p0")
    assert survey.depths == depths
    assert {frozenset(pair) for pair in survey.links} == {frozenset(pair) for pair in links if pair[0] in depths}
    assert all(survey.links.values())
    assert sorted(asked) == sorted(depths)
    assert (survey.unasked, survey.surplus, survey.stopped, survey.unreachable) == (0, 0, None, {})


def test_the_nearest_are_asked_first() -> None:
    links = random_links(300, 8, Random(3))
    depths = expected_depths(links, "h0")
    _, asked = explore(graph(links), "h0")
    order = [depths[peer] for peer in asked]
    near = order.count(1)
    assert order[: near + 1] == [0] + [1] * near
    means = [fmean(at for at, depth in enumerate(order) if depth == wanted) for wanted in range(max(order) + 1)]
    assert means == sorted(means)


def test_a_thousand_peers_take_a_few_round_trips_more_than_the_requests_need() -> None:
    survey, _ = explore(graph(random_links(1000, 8, Random(1))), "h0")
    assert len(survey.depths) == 1000
    assert survey.seconds < 2 * 1000 / 64 * RTT_S + 10 * RTT_S


def test_who_never_answers_is_unreachable_with_the_reason_and_holds_nobody_up() -> None:
    links = random_links(200, 8, Random(2))
    world = graph(links)
    dead = {f"h{number}" for number in range(1, 200, 10)}
    survey, _ = explore(lambda peer: None if peer in dead else world(peer), "h0", answer_timeout_s=4.0)
    assert set(survey.unreachable) == dead
    assert set(survey.unreachable.values()) == {"no answer within 4 s"}
    assert len(survey.depths) == 180
    assert survey.seconds < 2 * 4.0


def test_an_answer_that_comes_too_late_counts_for_nothing() -> None:
    walk = Walk(["a"], WalkConfig(answer_timeout_s=1.0), 0.0)
    assert walk.next(0.0) == ["a"]
    assert walk.next(1.0) == []
    walk.answered("a", ["b"], 1.1)
    assert walk.survey().unreachable == {"a": "no answer within 1 s"}
    assert (walk.is_done(1.1), walk.found) == (True, 1)


def test_an_answer_nobody_asked_for_counts_for_nothing() -> None:
    walk = Walk(["a"], WalkConfig(), 0.0)
    walk.answered("mallory", ["b"], 0.0)
    walk.failed("mallory", "because", 0.0)
    walk.busy("mallory", 0.0)
    assert walk.next(0.0) == ["a"]
    assert walk.survey().unreachable == {}


def test_of_ten_thousand_neighbours_in_one_answer_64_are_taken_and_the_others_counted() -> None:
    world: World = lambda peer: [f"invented{number}" for number in range(10_000)] if peer == "liar" else None  # noqa: E731
    survey, asked = explore(world, "liar")
    assert len(asked) == 1 + 64
    assert survey.surplus == 10_000 - 64
    assert len(survey.unreachable) == 64


def test_names_given_twice_and_oneself_are_no_neighbours() -> None:
    survey, asked = explore({"a": ["b", "b", "a"], "b": ["a"]}.get, "a")
    assert asked == ["a", "b"]
    assert survey.links == {("a", "b"): True}


def test_a_link_that_only_one_end_tells_of_is_not_confirmed() -> None:
    survey, _ = explore({"a": ["b", "c"], "b": ["a"], "c": []}.get, "a")
    assert survey.links == {("a", "b"): True, ("a", "c"): False}


class Farm:
    """An honest network with liars whose invented peers really answer, each with as many more."""

    def __init__(self, liars: set[str], *, width: int, answers: Callable[[str], bool] = lambda name: True) -> None:
        self.links = random_links(1000, 8, Random(7))
        self._world = graph(self.links)
        self._liars = liars
        self._width = width
        self._answers = answers
        self._numbers: Iterator[int] = count()

    def __call__(self, peer: str) -> list[str] | None:
        if peer in self._liars or (peer.startswith("x") and self._answers(peer)):
            return [f"x{next(self._numbers)}" for _ in range(self._width)]
        return None if peer.startswith("x") else self._world(peer)


def next_to_the_start(many: int) -> set[str]:
    depths = expected_depths(Farm(set(), width=0).links, "h0")
    return set(sorted(peer for peer, depth in depths.items() if depth == 1)[:many])


@pytest.mark.parametrize("width", [1, 8, 64], ids="{} names each".format)
@pytest.mark.parametrize("liars", [1, 2])
def test_a_farm_beside_the_start_gets_no_more_than_its_neighbours_share(width: int, liars: int) -> None:
    """Of eight neighbours of the start so many lie: until all honest peers are asked, the farm's part is theirs."""
    farm = Farm(next_to_the_start(liars), width=width)
    survey, asked = explore(farm, "h0", peers_max=2500, timeout_s=1e6)
    last = max(position for position, peer in enumerate(asked) if peer.startswith("h"))
    invented = sum(peer.startswith("x") for peer in asked[:last])
    assert sum(peer.startswith("h") for peer in survey.depths) == 1000
    assert invented <= 1.5 * 1000 * liars / (8 - liars)
    assert len(asked) == 2500
    assert survey.stopped == "2500 peers were asked"


def test_a_farm_of_peers_that_mostly_hang_does_not_keep_the_honest_from_being_found_in_time() -> None:
    farm = Farm({"h1", "h2", "h3"}, width=64, answers=lambda name: int(name[1:]) % 8 == 0)
    survey, asked = explore(farm, "h0", timeout_s=60.0)
    assert sum(peer.startswith("h") for peer in survey.depths) == 1000
    assert survey.stopped == "60 s were over"
    assert survey.seconds == 60.0
    assert len(asked) < 2500


def test_an_endless_chain_of_invented_peers_ends_at_the_limit() -> None:
    survey, asked = explore(lambda peer: [str(int(peer) + 1)], "0", peers_max=1500, timeout_s=1e6)
    assert len(asked) == 1500
    assert survey.depths["1499"] == 1499
    assert (survey.unasked, survey.stopped) == (1, "1500 peers were asked")


def test_names_that_wait_are_bounded_as_well() -> None:
    farm = Farm({f"h{number}" for number in range(1, 200)}, width=64)
    walk = Walk(["h0"], WalkConfig(peers_max=500), 0.0)
    while peers := walk.next(0.0):
        for peer in peers:
            walk.answered(peer, farm(peer) or [], 0.0)
    assert walk.asked == 500
    assert walk.found <= 500 + 500 + 64 + NAMES_WHEN_CROWDED * 500


def test_the_time_is_over_when_it_is_over() -> None:
    survey, _ = explore(lambda peer: [str(int(peer) + 1)], "0", timeout_s=1.0)
    assert survey.stopped == "1 s were over"
    assert len(survey.depths) == 1.0 / RTT_S - 1
    assert survey.unasked == 1


def test_after_the_end_nothing_is_asked_nor_waited_for() -> None:
    walk = Walk(["a"], WalkConfig(timeout_s=1.0), 0.0)
    walk.next(0.0)
    assert walk.deadline() == 1.0
    assert walk.next(1.0) == []
    assert walk.deadline() == float("inf")
    walk.answered("a", ["b"], 1.1)
    assert walk.survey().depths == {}


def test_a_busy_peer_is_asked_again_later_and_later_and_then_given_up() -> None:
    config = WalkConfig(busy_wait_s=1.0, busy_tries=3)
    walk, now, asked_at = Walk(["a"], config, 0.0), 0.0, list[float]()
    while not walk.is_done(now):
        if walk.next(now):
            asked_at.append(now)
            walk.busy("a", now)
        now = walk.deadline()
    assert asked_at == [0.0, 1.0, 3.0]
    assert walk.survey().unreachable == {"a": "busy, 3 times"}


def test_a_busy_peer_that_answers_later_is_found() -> None:
    walk = Walk(["a"], WalkConfig(), 0.0)
    walk.next(0.0)
    walk.busy("a", 0.0)
    assert walk.next(walk.deadline()) == ["a"]
    walk.answered("a", [], 2.0)
    assert walk.survey().depths == {"a": 0}


def test_several_starts_are_each_at_depth_nought() -> None:
    survey, _ = explore({"a": ["b"], "b": ["a"], "c": []}.get, "a", "c", "c")
    assert survey.depths == {"a": 0, "c": 0, "b": 1}
