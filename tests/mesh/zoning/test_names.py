"""Zones: who belongs where, and that all who know the same decide the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.mesh.zoning.names import (
    OTHERS,
    WHOLE,
    ZoneConfig,
    bits_of,
    home,
    is_within,
    parsed,
    redrawn,
    zone_name,
)
from peerscope.records.identity import PeerId

CONFIG = ZoneConfig(zone_max=40)  # zone_min is 8 then


def peers(count: int, start: int = 0) -> list[PeerId]:
    return [PeerId(number.to_bytes(32, "big")) for number in range(start, start + count)]


def members(**regions: int) -> dict[PeerId, str | None]:
    found: dict[PeerId, str | None] = {}
    for region, count in regions.items():
        found |= dict.fromkeys(peers(count, len(found)), None if region == "nowhere" else region)
    return found


def test_a_network_that_fits_into_one_zone_stays_whole() -> None:
    assert redrawn(WHOLE, members(eu=20, us=20), {}, CONFIG) is None


def test_too_large_a_network_is_cut_by_region() -> None:
    everybody = members(eu=20, us=21)
    after = redrawn(WHOLE, everybody, {}, CONFIG)
    assert after == {"eu/", "us/", "*/"}
    assert {home(peer, region, after) for peer, region in everybody.items()} == {"eu/", "us/"}


def test_small_regions_and_peers_without_any_share_a_zone() -> None:
    everybody = members(eu=30, tiny=7, nowhere=5)
    after = redrawn(WHOLE, everybody, {}, CONFIG)
    assert after is not None
    homes = {region: home(peer, region, after) for peer, region in everybody.items()}
    assert homes == {"eu": "eu/", "tiny": "*/", None: "*/"}


def test_too_large_a_region_is_halved_by_hash() -> None:
    everybody = members(eu=41)
    after = redrawn("eu/", everybody, {"us/": 30}, CONFIG)
    assert after == {"us/", "eu/0", "eu/1"}
    for peer, region in everybody.items():
        assert home(peer, region, after) == f"eu/{bits_of(peer)[0]}"


def test_two_halves_that_shrank_are_one_again() -> None:
    after = redrawn("eu/0", members(eu=9), {"eu/10": 5, "eu/11": 5, "us/": 40}, CONFIG)
    assert after == {"eu/", "us/"}
    assert redrawn("eu/10", members(eu=5), {"eu/0": 9, "eu/11": 5, "us/": 40}, CONFIG) is not None
    assert (
        redrawn("eu/0", members(eu=9), {"eu/1": 15, "us/": 40}, CONFIG) is None
    )  # between the two limits nothing moves


def test_a_network_that_shrank_is_whole_again() -> None:
    assert redrawn("eu/", members(eu=9), {"us/": 11}, CONFIG) == frozenset()
    assert redrawn("eu/", members(eu=10), {"us/": 11}, CONFIG) is None


def test_a_region_that_shrank_joins_the_others() -> None:
    after = redrawn("eu/", members(eu=3), {"us/": 30, "*/": 9}, CONFIG)
    assert after == {"us/", "*/"}
    assert home(peers(1)[0], "eu", after) == "*/"


def test_a_region_among_the_others_that_grew_leaves_them() -> None:
    everybody = members(asia=16, tiny=4)
    after = redrawn("*/", everybody, {"eu/": 30}, CONFIG)
    assert after == {"asia/", "*/", "eu/"}
    assert {home(peer, region, after) for peer, region in everybody.items()} == {"asia/", "*/"}


def test_when_two_parts_meet_the_smaller_one_follows() -> None:
    whole, apart = members(eu=12), members(eu=15)
    assert redrawn(WHOLE, whole, {"eu/": 15}, CONFIG) == {"eu/"}
    assert redrawn("eu/", apart, {WHOLE: 12}, CONFIG) is None
    assert redrawn(WHOLE, members(eu=15), {"eu/": 12}, CONFIG) is None
    assert redrawn("eu/", members(eu=12), {WHOLE: 15}, CONFIG) == frozenset()


def test_a_newcomer_goes_where_its_kind_is() -> None:
    me = peers(1)[0]
    bit = bits_of(me)[0]
    assert home(me, "eu", {"eu/0", "eu/1", "us/"}) == f"eu/{bit}"
    assert home(me, "mars", {"eu/", "*/"}) == "*/"
    assert home(me, "mars", {"eu/"}) == "*/"
    assert home(me, "eu", ()) == WHOLE
    assert home(me, "eu", {"nonsense", "eu/2"}) == WHOLE
    assert home(me, "eu", {f"eu/{'10'[int(bit)]}"}) == f"eu/{bit}"  # its own half has no aggregator yet


@given(
    st.dictionaries(
        st.binary(min_size=32, max_size=32).map(PeerId), st.none() | st.sampled_from(["eu", "us", "x"]), max_size=120
    ),
    st.dictionaries(st.sampled_from(["eu/", "us/0", "us/1", "*/", "", "junk", "x/0101"]), st.integers(0, 60)),
    st.sampled_from(["", "eu/", "us/0", "*/", "*/1"]),
)
def test_everybody_finds_one_home_and_halves_never_overlap(
    everybody: dict[PeerId, str | None], known: dict[str, int], zone: str
) -> None:
    after = redrawn(zone, everybody, known, CONFIG)
    shuffled = dict(reversed(everybody.items()))
    assert after == redrawn(zone, shuffled, dict(reversed(known.items())), CONFIG)
    if after is None:
        return
    for peer, region in everybody.items():
        found = home(peer, region, after)
        assert found == WHOLE or (parsed(found) is not None and len(found) <= 64)
        assert (found == WHOLE) == (not after)


@given(st.text(max_size=64))
def test_any_region_name_gives_a_zone_name_that_can_be_read_again(region: str) -> None:
    found = parsed(zone_name(region, "01"))
    assert found is not None
    assert found[1] == "01"
    assert (found[0] == OTHERS) == (region == "")
    assert len(zone_name(region, "0" * 16)) <= 64


def test_parts_know_what_they_are_parts_of() -> None:
    assert is_within("eu/01", "eu/0")
    assert is_within("eu/", WHOLE)
    assert not is_within("eu/1", "eu/0")
    assert not is_within("us/", "eu/")
    assert not is_within("junk", "eu/")


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="zone_max"):
        ZoneConfig(zone_max=15)
