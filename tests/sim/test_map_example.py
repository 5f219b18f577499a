"""The picture in docs/howto/topology.md is what the simulation that it names sees."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.sim
IMAGES = Path(__file__).parents[2] / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_example_in_the_docs_shows_the_map_of_its_simulation() -> None:
    found = runpy.run_path(str(IMAGES / "topology.py"))["example"]()
    drawing = ElementTree.parse(IMAGES / "topology.svg")
    drawn = {
        (use.findtext(f"{SVG}title") or "").split(";")[0]: use.get("href", "").lstrip("#")
        for use in drawing.iter(f"{SVG}use")
    }
    assert drawn == {peer.peer_id: peer.status for peer in found.peers}
    assert sorted(drawn.values()).count("down") == 2
    assert drawing.getroot().findtext(f"{SVG}title") == f"peerscope: 48 peers, {len(found.links)} links"
