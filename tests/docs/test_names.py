"""Routes, settings and variables that documents, runbooks and texts of the program name are there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_origin

import msgspec
import pytest
from starlette.routing import Route

from manuscript import lines, spans
from peerscope.config import Config
from peerscope.views.metrics import AgentView, NodeMetricsView, PerformanceView, SystemView
from peerscope.web.api import ROUTES

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(place for place in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if place.name != "CHANGELOG.md"),
    *(ROOT / "contrib").glob("*/*.y*ml"),
    *(ROOT / "contrib").glob("*/*.service"),
    *(ROOT / "examples").glob("*.toml"),
    *(ROOT / "src/peerscope/alerts").glob("*.toml"),
    *(ROOT / "src/peerscope/threats").glob("*.toml"),
    ROOT / "src/peerscope/agent/config_template.py",
    ROOT / "Dockerfile",
]
PATH = re.compile(r"/api/v1/(?:[\w{}-]+/)*[\w{}.-]*\w|/api/v1/(?:[\w-]+/)*\{\w+\}")
VARIABLE = re.compile(r"PEERSCOPE_[A-Z0-9_]*[A-Z0-9]")
SETTING = re.compile(rf"(?<!--)\b(?:{'|'.join(Config.__struct_fields__)})\.[a-z]\w*(?:\.\w+)*")
OTHER_ROUTES = {"/api/v1/write", "/api/v1/push", "/api/v1/receive"}
"""Of receivers of remote write."""
OTHER_VARIABLES = {"PEERSCOPE_CA", "PEERSCOPE_SECTION__KEY"}
"""The command line's own, and the pattern of all others."""
METRICS = {"system": SystemView, "node": NodeMetricsView, "performance": PerformanceView, "agent": AgentView}
OTHER_NAMES = re.compile(
    r"history\.db|threats\.remarks$|.*\.(?:py|db|toml|json|pem|log|crt)$|peer\.backup|.*\.(?:com|org|net)$"
)
"""What `simulate` prints; files and hosts."""


def is_route(path: str) -> bool:
    """Any word may stand for an id."""
    patterns = [re.sub(r"\{[^}]*\}", "[^/]+", route.path) for route in ROUTES if isinstance(route, Route)]
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def is_setting(name: str) -> bool:
    """A key of the settings, or a table of them."""
    kind: object = Config
    for word in name.split("."):
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return get_origin(kind) is dict  # whose keys an operator chooses
        found = {field.name: field.type for field in msgspec.structs.fields(kind)}
        if word not in found:
            return False
        kind = found[word]
    return True


def is_metric(name: str) -> bool:
    part, _, rest = name.partition(".")
    return part in METRICS and rest.removesuffix("_s") in {
        one.removesuffix("_s") for one in METRICS[part].__struct_fields__
    }


def settings_named(document: Path) -> Iterator[str]:
    """In spans of documents, and anywhere in runbooks, where a name with a dot is nothing else."""
    text = document.read_text(encoding="utf-8")
    if document.suffix == ".md":
        said = [span for _, span in spans(text)]
        said += [line.text for line in lines(text) if line.is_code and " = " not in line.text]
    elif document.suffix == ".toml" and "src" in document.parts:
        said = [str(table.get("runbook", "")) for table in tomllib.loads(text).values() if isinstance(table, dict)]
    else:
        said = []
    for one in said:
        yield from (found for found in SETTING.findall(one) if not OTHER_NAMES.match(found))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_every_route_variable_and_setting_it_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert [path for path in PATH.findall(text) if not is_route(path) and path not in OTHER_ROUTES] == []
    variables = set(VARIABLE.findall(text)) - OTHER_VARIABLES
    keys = [name.removeprefix("PEERSCOPE_").lower().replace("__", ".") for name in variables]
    assert [key for key in keys if not is_setting(key)] == []
    assert [name for name in settings_named(document) if not is_setting(name) and not is_metric(name)] == []


def test_a_name_that_is_not_there_is_seen() -> None:
    assert is_route("/api/v1/peers/ab12/evidence")
    assert not is_route("/api/v1/peers/ab12/proof")
    assert is_setting("export.remote_write.queue_bytes_max")
    assert is_setting("notify.channels.ops.url")
    assert not is_setting("export.remote_write.queue_bytes")
    assert not is_setting("web.token.length")
    assert is_metric("node.messages_s")
    assert not is_metric("node.letters")
