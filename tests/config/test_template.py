"""The settings file that `init` writes shows the defaults, and cannot drift from them."""

import re
from pathlib import Path

import msgspec

from peerscope.agent.config_template import TEMPLATE
from peerscope.config import Config

# A line that shows a default, in contrast to prose: `# key = value`.
SHOWN = re.compile(r"^# (?=\w+ = )", re.MULTILINE)
EXAMPLE = {"region": "eu-west"}
"""The default is to have none, which TOML cannot write."""


def test_as_it_is_it_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "peerscope.toml"
    file.write_text(TEMPLATE, encoding="utf-8")
    assert Config.load(file, environment={}) == Config()


def test_with_every_line_uncommented_it_says_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "peerscope.toml"
    text, shown = SHOWN.subn("", TEMPLATE)
    file.write_text(text, encoding="utf-8")
    config = Config.load(file, environment={})
    assert shown >= 15
    assert config.peer == msgspec.structs.replace(Config().peer, **EXAMPLE)
    assert msgspec.structs.replace(config, peer=Config().peer) == Config()
