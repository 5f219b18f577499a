"""What came of what: the root, the tree, and no cascades where there are none."""

from math import log
from random import Random

import pytest

from alarms import alert, name, network, spread
from peerscope.alerts.cascade import cascades
from peerscope.alerts.cascade_tree import Cascade
from peerscope.alerts.context import Context
from peerscope.alerts.model import Alert

WINDOW_S = 300.0


def found(alerts: list[Alert], around: Context) -> list[Cascade]:
    return cascades(alerts, around.links, len(around.regions), window_s=WINDOW_S)


@pytest.mark.parametrize("peers", [50, 100, 300])
def test_the_root_is_found_among_noise_for_most_seeds(peers: int) -> None:
    around, right = network(peers), 0
    for seed in range(20):
        rng = Random(seed)
        root = name(rng.randrange(peers))
        chain = spread(around, root, rng, share=0.25)
        hit = {one.peer_id for one in chain}
        others = [number for number in rng.sample(range(peers), peers // 25) if name(number) not in hit]
        noise = [alert(number, rng.uniform(-90, 90), rng.choice(("cpu-high", "error-ratio"))) for number in others]
        trees = found(chain + noise, around)
        right += bool(trees) and trees[0].root == root
    assert right >= 18


def test_a_tree_leads_from_the_root_along_links_to_everybody() -> None:
    around = network(100)
    chain = spread(around, name(3), Random(2), share=0.25)
    (tree,) = found(chain, around)
    by_id = {node.alert_id: node for node in tree.nodes}
    assert by_id.keys() == {one.id for one in chain}
    assert tree.nodes[0].parent is None
    for node in tree.nodes[1:]:
        assert node.parent is not None
        parent = by_id[node.parent]
        assert node.peer_id in around.links[parent.peer_id]
        assert node.delay_s is not None
        assert 0 <= node.confidence <= 1
    assert 0.5 < tree.confidence <= 1


def test_the_evidence_for_a_cascade_is_a_bayes_factor_where_there_is_none() -> None:
    """It exceeds 20 in at most one of 20 runs at random places (Markov), whatever the size."""
    for peers in (6, 12, 30, 100):
        around, exceeded = network(peers), 0
        for seed in range(100):
            rng = Random(seed)
            alerts = [alert(number, rng.uniform(2, 200)) for number in rng.sample(range(peers), max(4, peers // 3))]
            exceeded += any(tree.gain > log(20) for tree in found(alerts, around))
        assert exceeded <= 5


def test_far_apart_in_time_is_no_cascade() -> None:
    around = network(100)
    chain = spread(around, name(3), Random(2), share=0.25)
    slow = [alert(one.peer_id or "", 400.0 * place) for place, one in enumerate(chain)]
    assert found(slow, around) == []


def test_without_links_nothing_spreads() -> None:
    around = network(100)
    chain = spread(around, name(3), Random(2), share=0.25)
    assert cascades(chain, {peer: {} for peer in around.links}, 100, window_s=WINDOW_S) == []


def test_where_times_are_too_rough_the_one_with_most_neighbours_is_the_root() -> None:
    """The root's alert came a second late, and times may be off by two."""
    around = network(200)
    hub = name(0)
    ring = sorted(around.links[hub])
    alerts = [alert(hub, 1.0, unsure_s=2.0), alert(ring[0], 0.0, unsure_s=2.0)]
    alerts += [alert(peer, 5.0 + place, unsure_s=2.0) for place, peer in enumerate(ring[1:])]
    (tree,) = found(alerts, around)
    assert tree.root == hub
    exact = [
        alert(one.peer_id or "", 10 * place) for place, one in enumerate(sorted(alerts, key=lambda a: a.started_at))
    ]
    assert found(exact, around)[0].root == ring[0]


def test_news_is_not_faster_than_the_link() -> None:
    """Half a second apart on links with a round trip of two minutes: one cannot have come of the other."""
    around = network(100)
    chain = spread(around, name(3), Random(2), share=0.25)
    slow = {peer: dict.fromkeys(others, 120.0) for peer, others in around.links.items()}
    at_once = [alert(one.peer_id or "", 0.5 * place) for place, one in enumerate(chain)]
    assert cascades(at_once, slow, 100, window_s=WINDOW_S) == []
