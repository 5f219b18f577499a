"""Numbers and durations that people write: digits 0 to 9 only, in every place that takes one."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from peerscope.cli import VERBS, cli
from peerscope.cli.options import Decimal, Duration, Whole
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.history.reader import span_s
from peerscope.history.schema import FILE
from peerscope.host.addresses import split_address
from peerscope.host.numbers import decimal, duration_s, whole

SOURCE = Path(__file__).parents[1] / "src" / "peerscope"
FOREIGN = ("٣", "३", "３", "²", "１０", "1٣", "٣1", "௩")
"""Digits of other scripts, wide ones, and a raised one; alone and beside our own."""
AROUND = ("", " 5", "5 ", "5\n", "\n5", "1_0", "+5", "0x5", "1,5", "5\x00", "--5", "nan", "inf", "1e999", "5" * 30)
NEVER = (*FOREIGN, *AROUND)


@pytest.mark.parametrize("text", NEVER)
def test_what_is_no_number_in_our_digits_is_none(text: str) -> None:
    assert whole(text) is None
    assert decimal(text) is None
    for unit in "smhd":
        assert duration_s(text + unit) is None
        assert span_s(text + unit) is None


@pytest.mark.parametrize("text", ["5ｓ", "5S", "5 s", "5", "s", "5ss", "5m5s", "0s", "0.0s", "-5s", "5µs", "5ſ"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration_s(text) is None
    assert span_s(text) is None


@given(st.integers(0, 10**18 - 1))
def test_a_whole_number_is_itself(number: int) -> None:
    assert whole(str(number)) == number


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("-1", -1), ("0.5", 0.5), (".5", 0.5), ("3.", 3), ("2e-3", 0.002)]
)
def test_a_decimal_number_is_itself(text: str, number: float) -> None:
    assert decimal(text) == number


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2_592_000)])
def test_a_duration_has_one_unit(text: str, seconds: int) -> None:
    assert duration_s(text) == span_s(text) == seconds


def test_a_span_of_the_history_has_no_parts() -> None:
    assert duration_s("1.5h") == 5400
    assert span_s("1.5h") is None


@given(st.text(max_size=8))
def test_whatever_is_read_is_ascii(text: str) -> None:
    if whole(text) is not None or decimal(text) is not None or duration_s(text) is not None:
        assert text.isascii()
        assert not re.search(r"[\s_+]", text)


# -- every place --


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Every option and argument of every verb, under a name that says where it stands."""

    def within(name: str, command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
        for parameter in command.params:
            yield f"{name} {parameter.name}", parameter
        if isinstance(command, click.Group):
            with click.Context(command) as context:
                for sub in command.list_commands(context):
                    found = command.get_command(context, sub)
                    assert found is not None
                    yield from within(f"{name} {sub}", found)

    yield from within("peerscope", cli)


NUMERIC = (click.types.IntParamType, click.types.FloatParamType, Duration)
NUMBERS = {name: parameter.type for name, parameter in parameters() if isinstance(parameter.type, NUMERIC)}


def test_the_command_line_has_numbers_to_try() -> None:
    assert len({name.split()[1] for name, _ in parameters()} & set(VERBS)) > 20
    assert len(NUMBERS) >= 12


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_on_the_command_line_is_read_by_the_same_rules(name: str) -> None:
    kind = NUMBERS[name]
    assert isinstance(kind, Whole | Decimal | Duration)
    unit = "h" if isinstance(kind, Duration) else ""
    for text in NEVER:
        if unit and text.strip(" ") != text:
            continue
        with pytest.raises(click.BadParameter, match="digits 0 to 9" if not unit else "is no duration"):
            kind.convert(text + unit, None, None)
    least = 2 if isinstance(kind, Duration) else kind.min
    assert kind.convert(f"{least}{unit}", None, None) == (7200 if unit else least)


@pytest.mark.parametrize("arguments", [("--since", "٣h"), ("--since", "٣"), ("--step", "１m"), ("--since", "3ｈ")])
def test_a_span_in_other_digits_is_refused_with_what_is_wanted(tmp_path: Path, arguments: tuple[str, str]) -> None:
    (tmp_path / FILE).touch()
    found = CliRunner().invoke(cli, ["history", "status", "--state", str(tmp_path), *arguments])
    assert found.exit_code == 2
    assert f"{arguments[0]} is '{arguments[1]}'; must be as 90s, 15m, 1h or 30d" in found.output


@pytest.mark.parametrize("text", FOREIGN)
def test_a_port_in_other_digits_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        split_address(f"127.0.0.1:{text}", "web.listen")


def settings(kind: type[msgspec.Struct], prefix: str = "PEERSCOPE_") -> Iterator[str]:
    """Every number among the settings, as the environment names it."""
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.name.upper()}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from settings(field.type, f"{name}__")
        elif "__" in name and field.type in (int, float):
            yield name


def test_no_setting_takes_other_digits() -> None:
    names = list(settings(Config))
    assert len(names) > 30
    for name in names:
        for text in (*FOREIGN, "1_0", " 5", "5 ", "+5", "0x5"):
            with pytest.raises(ConfigError):
                Config.load(environment={name: text})


READERS = re.compile(r"\\d|isdigit|isnumeric|isdecimal|click\.(INT|FLOAT|IntRange|FloatRange)|type=(int|float)\b")
EXCEPT = {"host/numbers.py", "cli/options.py", "sources/cgroup.py"}
"""The rule itself; and what the kernel writes, which has numbers of 19 digits."""
ANSWERS = ("export/", "notify/")
"""What receivers answer is Latin-1, in which there are no other digits, and files that we named ourselves."""


def test_nothing_else_reads_numbers_by_rules_of_its_own() -> None:
    found = [
        f"{place}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        if (place := path.relative_to(SOURCE).as_posix()) not in EXCEPT and not place.startswith(ANSWERS)
        for line in path.read_text(encoding="utf-8").splitlines()
        if READERS.search(line)
    ]
    assert found == []
