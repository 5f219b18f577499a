"""The API against requests made from its own description, right and wrong ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from ledgers import IDENTITIES, Book
from live import PATIENCE_S, Agent, running
from peerscope.web.api import ROUTES

EXAMPLES = 30
QUIET = SchemathesisConfig.from_dict({"cache": {"enabled": False}})
"""Its program keeps what failed in .schemathesis/ of the working directory; nothing of ours may."""
CHECKED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
OPERATIONS = [
    (route.path, route.method, mode)
    for route in sorted(ROUTES, key=lambda route: (route.path, route.method))
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "{" in route.path or route.query or route.body
]
"""Nothing can be wrong about a request that has no parts."""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent with a node's telemetry, a history, and neighbours that it heard of."""
    state: Path = tmp_path_factory.mktemp("described")
    with running(state, history={"interval_s": 1}, report={"interval_s": 0.5}) as agent:
        book = Book(agent.monitor.peer.ledger, IDENTITIES)

        def arrive() -> None:
            book.introduce(*range(5))

        agent.loop.call(arrive)
        yield agent


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS, ids=lambda each: str(getattr(each, "value", each)))
def test_no_request_makes_the_agent_fail_or_answer_otherwise_than_described(
    described: Agent, path: str, method: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{described.http}/openapi.json", config=QUIET)
    operation = schema[path][method]

    @seed(7)
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case) -> None:
        answer = case.call(base_url=described.http, timeout=PATIENCE_S)
        case.validate_response(answer, checks=CHECKED)

    check()
