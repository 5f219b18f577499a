"""Options that several verbs have, and numbers among options by the rules of `host/numbers.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from peerscope.host.numbers import decimal, duration_s, whole

Parameter = click.Parameter | None
Context = click.Context | None
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
STATE = click.option("--state", type=FOLDER, help="State directory (default: XDG state home).")
CONFIG = click.option("--config", type=FILE, help="Settings (default: in --state).")
TOKEN = click.option(
    "--token", envvar="PEERSCOPE_WEB__TOKEN", default="", help="Token of the agent, if it requires one."
)


class Whole(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: Parameter, ctx: Context) -> int:
        if isinstance(value, str) and whole(value.removeprefix("-")) is None:
            self.fail(f"{value!r} is no whole number in the digits 0 to 9", param, ctx)
        number: int = super().convert(value, param, ctx)
        return number


class Decimal(click.FloatRange):
    """A number within bounds, not nan."""

    def convert(self, value: Any, param: Parameter, ctx: Context) -> float:
        if isinstance(value, str) and decimal(value) is None:
            self.fail(f"{value!r} is no number in the digits 0 to 9, as 3 or 0.5", param, ctx)
        number: float = super().convert(value, param, ctx)
        return number


class Duration(click.ParamType[float]):
    """ "90s", "15m", "2h", "7d", in seconds."""

    name = "duration"

    def convert(self, value: Any, param: Parameter, ctx: Context) -> float:
        if isinstance(value, int | float):
            return float(value)
        seconds = duration_s(value.strip(" "))
        if seconds is None:
            self.fail(f"{value!r} is no duration: a number and one of s, m, h, d, as 90s, 15m, 2h or 7d", param, ctx)
        return seconds
