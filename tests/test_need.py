"""A missing program skips its test by name; in CI nothing is skipped unseen."""

from collections.abc import Callable

import pytest

Need = Callable[[str], str]


def test_a_program_that_is_there_is_found_by_path(need: Need) -> None:
    assert need("sh").startswith("/")


def test_a_missing_program_skips_and_says_how_to_get_it(need: Need, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed: `make test-tools`"):
        need("no-such-program")


def test_a_missing_program_fails_where_all_are_required(need: Need, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        need("no-such-program")
