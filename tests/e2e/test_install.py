"""The wheel with no extra and with each extra alone: every route, every verb and every setting works, or says in one
sentence which extra it needs."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from msgspec import Struct
from websockets.sync.client import connect

from demo_network import ENVIRONMENT, READY_S, eventually, get, post
from environments import (
    CLEAN,
    FOR_DEVELOPERS,
    PATIENCE_S,
    ROOT,
    built,
    environment,
    extras,
    inside,
    install,
    lent,
    locked,
    needed,
    packages,
)
from mmdb import write_mmdb
from peerscope.agent.config_template import TEMPLATE
from peerscope.cli import cli

pytestmark = pytest.mark.e2e
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - FOR_DEVELOPERS)
SHOWN = re.compile(r"^# (?=\w+ = )", re.MULTILINE)
ALARM = "PEERSCOPE_ALERTS__RULES__STORAGE_HIGH__"
ALARMED = ENVIRONMENT | {f"{ALARM}THRESHOLD": "-1", f"{ALARM}FOR_S": "0"}
"""So that there is an alert to ask about."""

CHANNEL = "PEERSCOPE_NOTIFY__CHANNELS__OPS__"
SETTINGS = {
    "peer.geo_database": ("geo", {"PEERSCOPE_PEER__GEO_DATABASE": "MMDB"}),
    "export.remote_write": ("remote-write", {"PEERSCOPE_EXPORT__REMOTE_WRITE__URL": "http://127.0.0.1:9/write"}),
    "export.otlp": ("otel", {"PEERSCOPE_EXPORT__OTLP__ENDPOINT": "http://127.0.0.1:9"}),
    "ID@NAME, a name without a port,": ("dns", {"PEERSCOPE_PEER__JOIN": f"{'ab' * 32}@seed.example.org"}),
    "kind apprise": ("apprise", {f"{CHANNEL}KIND": "apprise", f"{CHANNEL}URL": "json://127.0.0.1:9"}),
}
"""All that need an extra, by what the sentence calls them."""
VERB = "`peerscope top`"
"""The one verb that does."""
OPTIONAL = {
    "peerscope.export.delivery": "remote-write",
    "peerscope.export.otlp": "otel",
    "peerscope.export.receiver": "remote-write",
    "peerscope.export.remote_write": "remote-write",
    "peerscope.export.triage": "remote-write",
    "peerscope.export.wire": "remote-write",
    "peerscope.top.app": "top",
}
"""Modules that import what an extra brings as soon as they are imported."""

ENDLESS = {"run", "demo"}
"""The agent that is asked runs by the one; the other runs in test_release.py."""
ENDING = {"leave"}
"""It ends the agent that is asked; test_service.py has one for it."""
ARGUMENTS = {
    "ack": "ALERT --reason x",
    "admit issue": "ID --key PLACE/operator -o PLACE/certificate",
    "admit keygen": "-o PLACE/operator",
    "admit revoke": "ID --key PLACE/operator -o PLACE/revocation",
    "admit show": "PLACE/certificate",
    "backup": "PLACE/backup --state STATE",
    "check-config": "STATE/peerscope.toml",
    "completion": "bash",
    "crawl": "TICKET --listen 127.0.0.1:0 --timeout 5",
    "doctor": "--state STATE",
    "forget": "ID",
    "history": "cpu_ratio",
    "init": "--state PLACE/new",
    "notify-test": "--config STATE/peerscope.toml",
    "peer": "ID",
    "restore": "PLACE/backup --state PLACE/restored",
    "rtt": "ID ID",
    "silence": "rule=clock-skew --for 1h --reason x",
    "simulate": "--peers 3 --duration 3 --loss 0",
    "unsilence": "SILENCE",
    "why": "ID",
}
IN_TURN = ("admit keygen", "admit issue", "backup")
"""Others use what they write."""
NOT_FOUND = {
    ("get", "/api/v1/incidents/none", 404),
    ("delete", "/api/v1/silences/none", 404),
    ("post", "/api/v1/silences", 400),
    ("post", "/api/v1/acknowledgements", 400),
    ("delete", "/api/v1/forgotten/none", 404),
    ("post", "/api/v1/forgotten", 400),
    ("post", "/api/v1/leave", 400),
}
"""Answers to questions about nothing."""


class Installed(Struct, frozen=True):
    """One environment, and an agent that runs in it."""

    extra: str | None
    python: Path
    place: Path
    ready: dict[str, Any]
    settings: dict[str, str]

    @property
    def log(self) -> str:
        return (self.place / "log").read_text(encoding="utf-8")

    def ask(self, commands: list[tuple[list[str], dict[str, str]]]) -> list[tuple[int, str, str]]:
        """Exit code, output and complaint of command lines, each with a further environment."""
        quiet = CLEAN | {"COLUMNS": "200", "XDG_STATE_HOME": str(self.place / "home"), "PYTHONSAFEPATH": "1"}
        command = [str(self.python), str(ROOT / "tests" / "every_verb.py")]
        given = json.dumps(commands)
        done = subprocess.run(command, input=given, env=quiet, cwd=self.place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [(code, said, complaint) for code, said, complaint in json.loads(done.stdout)]

    def alert(self) -> str:
        """The id of an alert, once there is one."""
        eventually(lambda: bool(get(self.ready, "/api/v1/alerts")), "an alert", within_s=PATIENCE_S)
        return str(get(self.ready, "/api/v1/alerts")[0]["id"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment into which pip installed the wheel, without any extra; beside it what is lent."""
    place = tmp_path_factory.mktemp("plain")
    install(environment(place / "env", [lent(frozenset(needed(inside(wheel))), place / "always")]), wheel)
    return place


@pytest.fixture(scope="module", params=[None, *EXTRAS], ids=lambda extra: extra or "plain")
def installed(
    request: pytest.FixtureRequest, wheel: Path, plain: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    extra: str | None = request.param
    place = tmp_path_factory.mktemp("installed")
    python = plain / "env" / "bin" / "python"
    if extra:
        everything = needed(inside(wheel), extra)
        assert {name: version for name, version in everything.items() if locked("dev").get(name) != version} == {}
        more = lent(frozenset(everything) - frozenset(needed(inside(wheel))), plain / extra)
        python = environment(place / "env", [packages(plain / "env"), plain / "always", more])
    state = place / "state"
    state.mkdir(mode=0o700)
    # Every setting that the template shows, as it shows it; but a region, with which no country is looked up.
    text = SHOWN.sub("", TEMPLATE).replace('\nregion = "eu-west"', "\n# region")
    (state / "peerscope.toml").write_text(text, encoding="utf-8")
    settings = {name: value for needs, given in SETTINGS.values() if needs == extra for name, value in given.items()}
    settings = filled(settings, place)
    command: list[str | Path] = [python, "-m", "peerscope", "run", "--json", "--until-eof"]
    command += ["--state", state, "--http", "127.0.0.1:0"]
    with (place / "log").open("w") as log, (place / "said").open("w") as said:
        environs = CLEAN | ALARMED | settings
        process = subprocess.Popen(command, cwd=place, env=environs, stdin=subprocess.PIPE, stdout=said, stderr=log)
    try:
        eventually(
            lambda: "\n" in (place / "said").read_text() or process.poll() is not None, "ready", within_s=READY_S
        )
        assert process.poll() is None, (place / "log").read_text()
        ready = json.loads((place / "said").read_text().partition("\n")[0])
        yield Installed(extra, python, place, ready, settings)
        process.communicate(timeout=PATIENCE_S)  # the end of its input
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def filled(values: dict[str, str], place: Path) -> dict[str, str]:
    """Settings that name a file, once there is this file."""
    table = write_mmdb(place / "own.mmdb", "198.51.99.0/24", {"country": {"iso_code": "DE"}})
    return {name: value.replace("MMDB", str(table)) for name, value in values.items()}


def assert_one_sentence(complaint: str, about: str, extra: str, installed: Installed) -> None:
    """That an extra is missing is said in one line, with a command for this environment."""
    (line,) = complaint.splitlines()
    assert re.match(rf"peerscope: .*{re.escape(about)} needs the extra `{extra}`, which is not installed here", line)
    assert line.endswith(f"[{extra}]'")
    assert str(installed.python) in line


def test_the_wheel_has_these_extras_and_the_locks_what_they_need(wheel: Path) -> None:
    assert extras(wheel) == EXTRAS
    assert needed(inside(wheel), "top") == locked("run"), "what `make demo` and the container image install"


def test_everything_that_asks_for_an_extra_is_asked_about_here() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py")]
    asking = {found for text in sources for found in re.findall(r'with brought_by\("(.+?)", "(.+?)"\)', text)}
    assert asking == {(extra, about) for about, (extra, _) in SETTINGS.items()} | {("top", VERB)}
    assert {extra for extra, _ in asking} == set(EXTRAS)
    assert set(re.findall(r"extra `(.+?)`", TEMPLATE)) == {extra for extra, _ in SETTINGS.values()}


def test_every_route_answers(installed: Installed) -> None:
    me = installed.ready["peer_id"]
    names = {"alerts": installed.alert(), "incidents": "none", "silences": "none", "forgotten": "none"}
    known = {"source": me, "target": me, "peer": me, "metric": "cpu_ratio", "since": "1h", "step": "1m"}
    static = ROOT / "src" / "peerscope" / "web" / "static"
    files = [f"/static/{file.name}" for file in static.iterdir() if file.is_file()]
    asked: list[tuple[str, str, dict[str, str]]] = [("get", path, {}) for path in ("/", "/openapi.json", *files)]
    with httpx.Client(base_url=installed.ready["http"], trust_env=False, verify=False, timeout=PATIENCE_S) as web:
        for path, item in web.get("/openapi.json").json()["paths"].items():
            where = path.replace("{id}", me).replace("{name}", names.get(path.split("/")[-2], ""))
            assert not where.endswith("/"), f"give {path} a name to ask about"
            asked += [(method, where, query) for method, one in item.items() for query in queries(one, known)]
        headers = {"accept": "application/openmetrics-text; version=1.0.0, */*", "x-peerscope": "1"}
        answers = [web.request(method, where, params=query, headers=headers) for method, where, query in asked]
        plain = web.get("/metrics")
    refused = {(one.request.method.lower(), one.request.url.path, one.status_code) for one in answers if one.is_error}
    alone = (
        {("get", "/readyz", 503)} if installed.extra == "dns" else set()
    )  # the peer that it is to join never answers
    assert refused - alone == NOT_FOUND
    assert plain.status_code == 200
    assert ("peerscope_remote_write_queue_bytes" in plain.text) == (installed.extra == "remote-write")
    assert ("peerscope_traces_exported" in plain.text) == (installed.extra == "otel")
    with connect(installed.ready["http"].replace("http", "ws", 1) + "/dashboard", proxy=None) as feed:
        assert json.loads(feed.recv(timeout=PATIENCE_S))
    assert "Traceback" not in installed.log


def queries(operation: dict[str, Any], known: dict[str, str]) -> list[dict[str, str]]:
    """One with everything that is known, and one more for each choice that there is."""
    asked = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    least = {one["name"]: known[one["name"]] for one in asked if one["name"] in known}
    return [least, *(least | {one["name"]: word} for one in asked for word in one["schema"].get("enum", ()))]


def verbs() -> list[tuple[str, click.Command]]:
    """All that click knows, groups gone through; those that write something first."""
    found: list[tuple[str, click.Command]] = []
    waiting: list[tuple[str, click.Command]] = [("", cli)]
    while waiting:
        name, command = waiting.pop()
        if not isinstance(command, click.Group):
            found.append((name.strip(), command))
            continue
        context = click.Context(command)
        subcommands = [(each, command.get_command(context, each)) for each in command.list_commands(context)]
        waiting += [(f"{name} {each}", sub) for each, sub in subcommands if sub is not None]
    return sorted(found, key=lambda one: IN_TURN.index(one[0]) if one[0] in IN_TURN else len(IN_TURN))


def test_every_verb_answers(installed: Installed) -> None:
    order = {"matchers": ["rule=clock-skew"], "for_s": 60, "reason": "x"}
    words = {"ID": installed.ready["peer_id"], "TICKET": installed.ready["ticket"], "ALERT": installed.alert()}
    words |= {"STATE": str(installed.place / "state"), "PLACE": str(installed.place)}
    words |= {"SILENCE": post(installed.ready, "/api/v1/silences", order)["id"]}
    lines = {}
    for verb, command in verbs():
        if verb in ENDLESS | ENDING or (verb, installed.extra) == ("top", "top"):
            continue
        further = re.sub(r"\b[A-Z]{2,}\b", lambda word: words[word[0]], ARGUMENTS.get(verb, ""))
        where = ["--api", installed.ready["http"]] if any("--api" in one.opts for one in command.params) else []
        lines[verb] = [*verb.split(), *further.split(), *where]
    answers = dict(zip(lines, installed.ask([(line, installed.settings) for line in lines.values()]), strict=True))
    if installed.extra != "top":
        code, said, complaint = answers.pop("top")
        assert (code, said) == (2, "")
        assert_one_sentence(complaint, VERB, "top", installed)
    code, said, complaint = answers.pop("notify-test")
    assert (code, complaint.count("\n")) == ((1, 0) if installed.extra == "apprise" else (2, 1)), said + complaint
    assert answers.pop("rtt")[0] == 1  # from itself to itself
    code, said, complaint = answers.pop("node detect")  # it depends on what else runs on this machine
    assert (code, complaint) in ((0, ""), (1, "")), said + complaint
    code, said, complaint = answers.pop("forget")
    assert (code, said, complaint.count("\n")) == (2, "", 1), complaint  # an agent does not forget itself
    if installed.extra == "dns":  # the peer that it is to join never answers, which doctor reports after a while
        code, said, complaint = answers.pop("doctor")
        assert (code, complaint) in ((0, ""), (1, "")), complaint
        assert "Traceback" not in said
    assert {verb: answer for verb, answer in answers.items() if answer[0] != 0 or answer[2]} == {}
    assert "Traceback" not in installed.log


def test_a_setting_without_its_extra_is_refused_in_one_sentence(installed: Installed) -> None:
    missing = {about: needs for about, needs in SETTINGS.items() if needs[0] != installed.extra}
    line = ["run", "--http", "off", "--state", str(installed.place / "refused")]
    answers = installed.ask([(line, filled(given, installed.place)) for _, given in missing.values()])
    for (about, (extra, _)), (code, said, complaint) in zip(missing.items(), answers, strict=True):
        assert (code, said) == (2, ""), complaint
        assert_one_sentence(complaint, about, extra, installed)


def test_only_these_modules_cannot_be_imported_without_their_extra(installed: Installed) -> None:
    program = """
import importlib, json, pkgutil, peerscope
failed = {}
for module in pkgutil.walk_packages(peerscope.__path__, "peerscope."):
    if module.name != "peerscope.__main__":
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            failed[module.name] = error.name
print(json.dumps(failed))
"""
    done = subprocess.run([installed.python, "-c", program], env=CLEAN, capture_output=True, text=True, check=True)
    failed = set(json.loads(done.stdout))
    assert failed <= {name for name, extra in OPTIONAL.items() if extra != installed.extra}
    assert installed.extra is not None or failed == set(OPTIONAL)  # one extra may bring packages that another needs too
