"""Every verb explains itself; mistakes end with 2 and one line; setting up never overwrites."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from peerscope import __version__
from peerscope.cli import VERBS, cli
from peerscope.config import Config
from peerscope.host.state import CONFIG_FILE, KEY_FILE, ORDERS_FILE, StateDirectory
from peerscope.records.identity import Identity

HEAVY = ("iroh", "starlette", "uvicorn", "psutil")


def options(verb: str) -> list[str]:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    return [name for option in shown for name in option.opts]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_option(peerscope, verb: str, flag: str) -> None:
    code, said, complaint = peerscope(verb, flag)
    assert (code, complaint) == (0, "")
    assert said.startswith(f"Usage: peerscope {verb}")
    assert [name for name in options(verb) if name not in said] == []
    assert ("--json" in said) == (verb != "top")  # which is for people only


def test_help_lists_every_verb_with_what_it_does(peerscope) -> None:
    code, said, _ = peerscope("--help")
    assert code == 0
    assert [verb for verb, (_, summary) in VERBS.items() if verb not in said or summary not in said] == []


@pytest.mark.parametrize("verb", ["status", "peers", "peer", "why", "regions", "latency", "rtt"])
def test_verbs_that_show_something_can_ask_any_agent(verb: str) -> None:
    assert {"--api", "--token", "--json"} <= set(options(verb))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["nonsense"], "nonsense"),
        (["status", "--nonsense"], "--nonsense"),
        (["peers", "--status", "nonsense"], "nonsense"),
        (["peer"], "ID"),
        (["peer", "xyz"], "xyz"),
        (["why", ""], "peer id"),
        (["why", "a" * 65], "peer id"),
        (["version", "more"], "more"),
        (["check-config"], "FILE"),
        (["demo", "--peers", "0"], "--peers"),
        (["run", "--listen"], "--listen"),
    ],
)
def test_a_wrong_use_ends_with_2_and_one_line_of_error(peerscope, arguments: list[str], names: str) -> None:
    code, said, complaint = peerscope(*arguments)
    assert (code, said) == (2, "")
    (line,) = (line for line in complaint.splitlines() if line.startswith("Error: "))
    assert names in line
    assert "Traceback" not in complaint


def test_no_verb_at_all_explains_itself_and_ends_with_2(peerscope) -> None:
    code, said, complaint = peerscope()
    assert code == 2
    assert "Verbs" in said + complaint


def test_init_writes_settings_and_a_key_for_their_owner_only(peerscope, tmp_path: Path) -> None:
    state = tmp_path / "state"
    code, said, _ = peerscope("init", "--state", str(state))
    assert code == 0
    assert sorted(place.name for place in state.iterdir()) == [KEY_FILE, CONFIG_FILE]
    assert [place.stat().st_mode & 0o777 for place in state.iterdir()] == [0o600, 0o600]
    peer_id = Identity(bytes.fromhex((state / KEY_FILE).read_text())).peer_id.hex()
    assert peer_id in said
    assert f"peerscope run --state {state}" in said
    assert Config.load(state / CONFIG_FILE, environment={}) == Config()


def test_init_never_overwrites(peerscope, tmp_path: Path) -> None:
    peerscope("init", "--state", str(tmp_path))
    (tmp_path / CONFIG_FILE).write_text("# mine\n")
    before = {place.name: place.read_bytes() for place in tmp_path.iterdir()}
    code, said, _ = peerscope("init", "--state", str(tmp_path))
    assert code == 0
    assert "existed, unchanged" in said
    assert {place.name: place.read_bytes() for place in tmp_path.iterdir()} == before


def test_a_copy_of_a_state_directory_becomes_a_peer_of_its_own(peerscope, tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    made = json.loads(peerscope("init", "--state", str(original), "--json")[1])
    (original / ORDERS_FILE).write_text("{}")
    shutil.copytree(original, copy)
    settings = (copy / CONFIG_FILE).read_bytes()
    code, said, complaint = peerscope("init", "--new-identity", "--state", str(copy))
    assert (code, complaint) == (0, "")
    aside = copy / f"{KEY_FILE}.of-{made['peer_id'][:10]}"
    assert str(aside) in said
    assert aside.read_bytes() == (original / KEY_FILE).read_bytes()
    assert aside.stat().st_mode & 0o077 == 0
    assert (copy / CONFIG_FILE).read_bytes() == settings
    assert not (copy / ORDERS_FILE).exists(), "the original goes on to give its orders"
    again = json.loads(peerscope("init", "--state", str(copy), "--json")[1])
    assert again["peer_id"] != made["peer_id"]
    assert json.loads(peerscope("init", "--state", str(original), "--json")[1])["peer_id"] == made["peer_id"]


def test_a_new_identity_is_refused_while_an_agent_runs_with_the_old_one(peerscope, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    key = state.secret()
    state.lock()
    try:
        code, _, complaint = peerscope("init", "--new-identity", "--state", str(tmp_path))
    finally:
        state.unlock()
    assert code == 2
    assert "in use by another agent" in complaint
    assert state.secret() == key


def test_a_new_identity_where_there_was_none_is_a_first_one(peerscope, tmp_path: Path) -> None:
    code, said, _ = peerscope("init", "--new-identity", "--state", str(tmp_path), "--json")
    assert code == 0
    assert set(json.loads(said)) == {"peer_id", "state", "config"}


def test_init_says_in_json_what_it_made(peerscope, tmp_path: Path) -> None:
    code, said, _ = peerscope("init", "--state", str(tmp_path), "--json")
    made = json.loads(said)
    assert code == 0
    assert made["state"] == str(tmp_path)
    assert made["config"] == str(tmp_path / CONFIG_FILE)
    assert len(bytes.fromhex(made["peer_id"])) == 32


def test_init_uses_the_home_of_state_where_nobody_says(
    peerscope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert peerscope("init")[0] == 0
    assert (tmp_path / "peerscope" / KEY_FILE).exists()


def one_line(complaint: str) -> str:
    (line,) = complaint.splitlines()
    assert line.startswith("peerscope: ")
    return line


def test_init_in_an_impossible_place_is_told_in_one_line(peerscope, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, complaint = peerscope("init", "--state", str(tmp_path / "file" / "below"))
    assert code == 2
    assert "--state" in one_line(complaint)


def test_a_good_file_is_good(peerscope, tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text('[network]\nname = "ours"\n')
    code, said, _ = peerscope("check-config", str(file))
    assert code == 0
    assert "good" in said
    assert "'ours'" in said
    assert json.loads(peerscope("check-config", str(file), "--json")[1]) == {"file": str(file), "ok": True}


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_bad_file_is_told_in_one_line(peerscope, tmp_path: Path, flags: list[str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[network]\nnam = 1\n")
    code, said, complaint = peerscope("check-config", str(file), *flags)
    assert (code, said) == (2, "")
    assert f"{file}: unknown key `nam` in [network]; did you mean `name`?" in one_line(complaint)


def test_the_environment_is_checked_with_the_file(peerscope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "good.toml"
    file.write_text("")
    monkeypatch.setenv("PEERSCOPE_WEB__LISTEN", "0.0.0.0:1")
    code, _, complaint = peerscope("check-config", str(file))
    assert code == 2
    assert "web.token" in one_line(complaint)


@pytest.mark.parametrize(
    ("arguments", "wish"),
    [
        (["--join", "nonsense"], "not a ticket"),
        (["--join", "endpointnonsense"], "not a ticket"),
        (["--listen", "nonsense"], "host:port"),
        (["--listen", "192.0.2.1:0"], "--listen"),
        (["--http", "nonsense"], "host:port"),
        (["--http", "0.0.0.0:0"], "web.token"),
        (["--http", "192.0.2.1:0"], "web.token"),
        (["--region", ""], "peer.region"),
        (["--config", "none.toml"], "peerscope init"),
    ],
)
def test_a_run_that_cannot_start_is_told_in_one_line(
    peerscope, tmp_path: Path, arguments: list[str], wish: str
) -> None:
    given = ["--http", "off", *arguments]
    code, said, complaint = peerscope("run", "--state", str(tmp_path), *given)
    assert (code, said) == (2, "")
    assert wish in one_line(complaint)


def test_version_is_the_one_of_the_package(peerscope) -> None:
    assert peerscope("version") == (0, f"peerscope {__version__}\n", "")
    told = json.loads(peerscope("version", "--json")[1])
    assert told == {"version": __version__, "python": sys.version.split()[0]}


@pytest.mark.e2e
@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["status", "--help"], ["run", "--help"]])
def test_a_quick_answer_loads_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "peerscope", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "peerscope.cli" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_a_backup_is_made_and_put_back_by_verbs(peerscope, tmp_path: Path) -> None:
    peer = json.loads(peerscope("init", "--state", str(tmp_path / "a"), "--json")[1])["peer_id"]
    file = str(tmp_path / "file")
    assert json.loads(peerscope("backup", file, "--state", str(tmp_path / "a"), "--json")[1])["peer_id"] == peer
    code, said, _ = peerscope("restore", file, "--state", str(tmp_path / "b"))
    assert (code, peer[:10] in said) == (0, True)
    assert json.loads(peerscope("init", "--state", str(tmp_path / "b"), "--json")[1])["peer_id"] == peer
    code, _, complaint = peerscope("backup", file, "--state", str(tmp_path / "a"))
    assert code == 2
    assert len(complaint.splitlines()) == 1
