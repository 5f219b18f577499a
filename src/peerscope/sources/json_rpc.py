"""Questions by JSON-RPC over HTTP, as Bitcoin, Monero and I2P routers answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from peerscope.errors import SourceError
from peerscope.mesh.detection.checks import printable
from peerscope.sources.endpoint import Endpoint, decoded
from peerscope.sources.faults import fault

HEADERS = {"Content-Type": "application/json"}
METHOD_NOT_FOUND = -32601
T = TypeVar("T")


class RpcFailure(Struct, frozen=True):
    """The error of an answer."""

    code: int = 0
    message: str = ""


class RpcAnswer(Struct, frozen=True):
    """One answer: either a result or an error, the other is null or absent."""

    result: Raw = Raw(b"null")
    error: RpcFailure | None = None
    id: int | str | None = None


def ask(endpoint: Endpoint, path: str, method: str, params: Mapping[str, Any] | None = None) -> RpcAnswer:
    """Ask one question. Raises `SourceError` if there is no answer; an answer may be an error."""
    page = endpoint.post(path, msgspec.json.encode(_question(0, method, params or {})), headers=HEADERS)
    return decoded(page, RpcAnswer, endpoint.at(path))


def ask_all(endpoint: Endpoint, methods: Sequence[str]) -> dict[str, RpcAnswer]:
    """Ask several questions without parameters in one request. Raises `SourceError`."""
    questions = [_question(number, method, []) for number, method in enumerate(methods)]
    page = endpoint.post("", msgspec.json.encode(questions), headers=HEADERS)
    answers = {answer.id: answer for answer in decoded(page, tuple[RpcAnswer, ...], endpoint.url)}
    return {method: answers.get(number, RpcAnswer()) for number, method in enumerate(methods)}


def result(answer: RpcAnswer, kind: type[T], question: str) -> T:
    """Decode the result of an answer. Raises `SourceError`."""
    if answer.error is not None:
        raise SourceError(f"{question}: {printable(answer.error.message)[:100]} (error {answer.error.code})")
    try:
        return msgspec.json.decode(answer.result, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SourceError(f"{question} does not answer as expected: {fault(error)}") from None


def _question(number: int, method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
