"""The wire format of remote write 1.0: `prometheus.WriteRequest`, as protobuf in one block of snappy.

https://prometheus.io/docs/specs/prw/remote_write_spec/. The message is so small that the protobuf library builds its
class from the description here, instead of a generated file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from prometheus_client.core import Metric

Labels = tuple[tuple[str, str], ...]
"""Names and values, ordered by name, with `__name__`."""
Sample = tuple[Labels, float]

STALE: float = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
"""The NaN that ends a series here, rather than five minutes later."""

_Field = descriptor_pb2.FieldDescriptorProto
MESSAGES: dict[str, tuple[tuple[str, int, int, str | None], ...]] = {
    "Label": (("name", 1, _Field.TYPE_STRING, None), ("value", 2, _Field.TYPE_STRING, None)),
    "Sample": (("value", 1, _Field.TYPE_DOUBLE, None), ("timestamp", 2, _Field.TYPE_INT64, None)),
    "TimeSeries": (("labels", 1, _Field.TYPE_MESSAGE, "Label"), ("samples", 2, _Field.TYPE_MESSAGE, "Sample")),
    "WriteRequest": (("timeseries", 1, _Field.TYPE_MESSAGE, "TimeSeries"),),
}
"""Name, number, type and message of each field; messages are repeated fields."""


def samples_of(families: Iterable[Metric], external: dict[str, str]) -> dict[Labels, float]:
    """The value of every series. Adds external labels where a series has none of that name; drops empty labels."""
    found: dict[Labels, float] = {}
    for family in families:
        for sample in family.samples:
            labels = {**external, **sample.labels, "__name__": sample.name}
            found[tuple(sorted((name, value) for name, value in labels.items() if value))] = float(sample.value)
    return found


def encode(samples: Sequence[Sample], at_ms: int) -> bytes:
    """Encode the body of a request."""
    request = WriteRequest()
    for labels, value in samples:
        series = request.timeseries.add()
        for name, text in labels:
            series.labels.add(name=name, value=text)
        series.samples.add(value=value, timestamp=at_ms)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def decode(body: bytes) -> list[Any]:
    """Decode the series of a request, each with one sample. Raises `ValueError` for invalid bytes."""
    try:
        request = WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    except (cramjam.DecompressionError, DecodeError) as error:
        raise ValueError(f"no request of remote write: {error}") from None
    return list(request.timeseries)


def pack(series: Sequence[Any]) -> bytes:
    """Encode a request with some series of another one."""
    return bytes(cramjam.snappy.compress_raw(WriteRequest(timeseries=series).SerializeToString()))


def named(series: Any) -> str:
    """Describe a series and the date of its sample for people, in 200 characters at most."""
    labels = {label.name: label.value for label in series.labels}
    name = labels.pop("__name__", "")
    at = datetime.fromtimestamp(series.samples[0].timestamp / 1000, UTC).isoformat(timespec="seconds")
    inner = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    text = "".join(letter if letter.isprintable() else " " for letter in f"{name}{{{inner}}}")
    return f"{text[:160]} of {at}"


def _write_request() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="peerscope/remote.proto", package="prometheus", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, other in fields:
            label = _Field.LABEL_OPTIONAL if other is None else _Field.LABEL_REPEATED
            type_name = other and f".prometheus.{other}"
            message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()  # a pool of our own: another library may already use these names
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WriteRequest = _write_request()
