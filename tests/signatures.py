"""The shipped signatures, with a test's own laid over them."""

from importlib.resources import files

from peerscope.threats.signatures import Signatures, parse

DEFAULTS = files("peerscope.threats").joinpath("signatures.toml").read_text()


def signatures(own: str = "") -> Signatures:
    """`own`: TOML."""
    return parse(DEFAULTS, own)
