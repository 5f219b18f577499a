"""Pages of exporters: wanted lines, lines of others, and what a remote chose."""

import contextlib
import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from peerscope.errors import SourceError
from peerscope.sources import exposition
from peerscope.sources.exposition import Samples, Wanted

TEXT = "text/plain"
OPEN_METRICS = "application/openmetrics-text"


def read(page: str | bytes, *names: str, content_type: str = TEXT) -> Samples:
    return Wanted(names or ("peers",)).read(page if isinstance(page, bytes) else page.encode(), content_type)


def values(page: str | bytes, name: str = "peers", **labels: str) -> list[float]:
    return [value for _, value in read(page, name).of(name, labels)]


def refused(page: str | bytes, content_type: str = TEXT) -> str:
    with pytest.raises(SourceError) as error:
        read(page, content_type=content_type)
    return str(error.value)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("peers 7", 7),
        ("  peers\t7  ", 7),
        ("peers 7\r", 7),
        ("peers{} 7", 7),
        ('peers{a="b"}7', 7),
        ('peers { a = "b" , c="d", } 7', 7),
        ('peers{"a.b"="c"} 7', 7),
        ("peers 7 1700000000000", 7),
        ("peers 7 1.7e9", 7),
        ("peers 7 # a comment", 7),
        ('peers 7 # {trace_id="x y"} 0.5 1.7e9', 7),
        ("peers 7 st@1700000000.123", 7),
        ('peers{a="b"} 7 1.7e9 st@1.6e9 # {trace_id="x"} 0.5', 7),
        ("peers -1.5e-3", -0.0015),
        ("peers +.5", 0.5),
        ("peers 7.", 7),
    ],
)
def test_a_wanted_line_is_read(line: str, value: float) -> None:
    assert values(f"{line}\n") == [value]


@pytest.mark.parametrize(
    "line",
    [
        'peers_other{a="b',
        "peers_other seven",
        "peersé 7 8 9",
        "xpeers 1",
        "# peers 3",
        "#peers 3",
        'other{a="peers 7',
        '{"peers.of"} 3',
        'other{a="b"} {count:1,sum:2,schema:0}',
        "\x00",
        "\ufeff",
        "",
    ],
)
def test_any_other_line_changes_nothing(line: str) -> None:
    assert values(f"peers 7\n{line}\n# EOF\n") == [7]


@pytest.mark.parametrize(
    "line",
    ["peers", "peers ", "peers seven", "peers 1_000", "peers ١", "peers 0x10", "peers 7 later", "peers 7 st@",
     'peers{a="b} 7', "peers{a=b} 7", 'peers{a="b" c="d"} 7', 'peers{a="b",a="c"} 7', 'peers{a="b"} ', "peers 7 \x0b8"],
)  # fmt: skip
def test_a_wanted_line_that_is_unreadable_is_named(line: str) -> None:
    if line == "peers":  # no sample at all, without an end of its name
        assert not read(f"{line}\n")
        return
    reason = refused(f"go 1\n{line}\ngo 2\n")
    assert "unreadable line 2" in reason
    assert reason.isprintable()
    assert len(reason) < 160


@pytest.mark.parametrize("value", ["NaN", "Nan", "+Inf", "-inf", "Infinity", "1e999", "{count:3,sum:1.5,schema:0}"])
def test_a_series_without_a_number_is_there_without_a_value(value: str) -> None:
    for labels in ("", '{a="b"}'):
        found = read(f"peers{labels} {value}\n")
        assert found.has("peers")
        assert list(found.of("peers", {})) == []
        assert not found


def test_a_line_that_is_no_text_is_there_without_a_value() -> None:
    found = read(b'peers{a="\xff"} 1\npeers{a="\xfe"} 2\npeers{a="b"} 3\n')
    assert [value for _, value in found.of("peers", {})] == [3.0]
    assert not found.are_known("peers", {})
    assert found.are_known("peers", {"a": "b"})


def test_the_first_of_equal_samples_counts() -> None:
    assert values('peers{a="1",b="2"} 7\npeers{b="2",a="1"} 8\npeers{a="2"} 1\n') == [7, 1]


def test_labels_must_match() -> None:
    page = 'peers{kind="full"} 7\npeers{kind="light"} 8\npeers 1\n'
    assert values(page, kind="full") == [7]
    assert values(page) == [7, 8, 1]


def test_a_page_that_breaks_off_is_refused() -> None:
    assert "broke off" in refused("peers 5072")
    assert "broke off" in refused("go 1\npeers 7\n# TYP")
    assert "broke off before # EOF" in refused("peers 7\n", OPEN_METRICS)
    assert "broke off" in refused("peers 7\npeers_a # EOF")
    assert values("peers 7\n# EOF") == [7]  # OpenMetrics needs no end after its end
    assert [value for _, value in read("peers 7\n# EOF\n", content_type=OPEN_METRICS).of("peers", {})] == [7]


def test_every_beginning_of_a_page_reads_the_same_or_is_refused_or_ends_at_a_line() -> None:
    page = b'go 1\npeers{a="b"} 5072\npeers{a="c"} 23 1700000000000\n'
    for length in range(len(page)):
        try:
            found = [value for _, value in read(page[:length]).of("peers", {})]
        except SourceError:
            continue
        assert page[:length] in (b"", b"go 1\n") or page[:length].endswith(b"\n")
        assert found in ([], [5072], [5072, 23])


@pytest.mark.parametrize(
    ("page", "content_type", "said"),
    [
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03peers", TEXT, "gzip"),
        (b"\x0a\x05peers\x12\x00\x18\x00", "application/vnd.google.protobuf", "protobuf"),
        (b"\x0a\x05peers\x12\x00\x18\x00", TEXT, "binary data"),
        (b"\x00\x01\x00\n", TEXT, "binary data"),
        (b"<!doctype html><html><form>log in</form></html>", "text/html", "an HTML page"),
        (b"\n\n <HTML>", TEXT, "an HTML page"),
        (b"# generated\n#\n<html><pre>\npeers 5\n</pre></html>\n", TEXT, "an HTML page"),
        (b"peers 5\n", "text/html", "an HTML page"),
        (b"\x28\xb5\x2f\xfd\x00\npeers 5\n\x00\xff\n", "application/octet-stream", "binary data"),
        (b"<?xml version='1.0'?><r/>", TEXT, "XML"),
        (b'{"error":"unauthorized"}', "application/json", "JSON"),
        (b'[{"peers":7}]', TEXT, "JSON"),
        ("peers 7\n".encode("utf-16"), TEXT, "UTF-16"),
    ],
)
def test_what_came_instead_is_said(page: bytes, content_type: str, said: str) -> None:
    assert f"answers with {said}" in refused(page, content_type)


def test_a_byte_order_mark_is_read_over() -> None:
    assert values(b"\xef\xbb\xbfpeers 7\n") == [7]


def test_a_page_may_begin_with_a_brace() -> None:
    assert values('{"peers.of","a"="b"} 1\npeers 7\n') == [7]


def test_wanted_samples_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "SAMPLES_MAX", 3)
    page = "".join(f'peers{{n="{n}"}} 1\n' for n in range(4))
    assert refused(page) == "has more than 3 samples of the wanted series"


def test_the_worst_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "longer than 1048576 bytes" in refused(b'peers{a="' + b"\\\\" * 600_000 + b'"} 1\n')
    assert values(b'other{a="' + b"x" * 100_000 + b'"} 1\npeers 7\n') == [7]
    monkeypatch.setattr(exposition, "LINES_MAX", 3)
    assert refused("\n" * 4) == "has more than 3 lines"


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


ANY = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)
WORST = st.text(alphabet='\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"\\{} ,#=peers7\x00', max_size=30)


@given(ANY | WORST, st.integers(0, 99))
def test_a_label_value_with_any_character_changes_no_other_series(value: str, count: int) -> None:
    page = f'peers{{name="{escaped(value)}"}} {count}\nother{{name="{escaped(value)}"}} 1\npeers{{kind="x"}} 5\n'
    found = list(read(page, "peers", "sent").of("peers", {}))
    assert found == [({"name": value}, count), ({"kind": "x"}, 5)]


@given(st.lists(st.tuples(ANY | WORST, st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_the_client_library_of_prometheus_agrees(samples: list[tuple[str, float]]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("peers", 'With \\ and "\n', ["name"], registry=registry)
    for name, value in samples:
        gauge.labels(name).set(value)
    page = generate_latest(registry)
    ours = {labels["name"]: value for labels, value in read(page).of("peers", {})}
    assert ours == dict(samples)


@given(st.binary(max_size=200) | st.text(alphabet=string.printable, max_size=200).map(str.encode))
def test_no_page_does_anything_but_read_or_refuse(page: bytes) -> None:
    for content_type in (TEXT, OPEN_METRICS, "application/json", ""):
        for data in (page, b"peers" + page, b"peers{" + page + b"\n", b'peers{a="' + page + b'"} 1\n'):
            with contextlib.suppress(SourceError):
                found = read(data, "peers", "peers_total", content_type=content_type)
                assert all(math.isfinite(value) for _, value in found.of("peers", {}))


@given(
    st.lists(st.sampled_from(["peers 1", "peers 2.5 17", 'peers{a="x"} 3', "other 4", "# HELP peers x"]), max_size=6)
)
def test_simple_pages_read_as_with_the_client_library(lines: list[str]) -> None:
    page = "".join(f"{line}\n" for line in dict.fromkeys(lines))
    theirs: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "peers":
                theirs.setdefault(str(sorted(sample.labels.items())), sample.value)
    ours = {str(sorted(labels.items())): value for labels, value in read(page).of("peers", {})}
    assert ours == theirs
