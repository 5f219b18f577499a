"""`scripts/check-prose` finds what is hard to read, and nothing in plain text."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "check-prose"
prose = runpy.run_path(str(SCRIPT))
RULES = prose["Rules"](SCRIPT.with_name("prose-words.toml"))


def finds(tmp_path: Path, text: str, name: str = "page.md") -> list[tuple[int, str, str]]:
    path = tmp_path / name
    path.write_text(text)
    return [tuple(find) for find in prose["check"](path, RULES)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def of_length(count: int) -> str:
    return " ".join(["Peers", *["send"] * (count - 2), "reports."])


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("The agent tells the operator.", "words", "“tells”: write report"),
        ("One message is told.", "words", "“told”: write report"),
        ("This is the dearest view.", "words", "“dearest”: write most expensive"),
        ("Refuse whoever asks.", "words", "“whoever”: write any peer that"),
        ("The vigil runs.", "words", "“vigil”: write threat monitor"),
        ("Records go through the register.", "words", "“the register”: write record store"),
        ("Its voice counts.", "words", "“Its voice”: write publisher"),
        ("What waits is sent.", "starts", "begins “What waits is sent.”"),
        ("It is so. Who asks gets an answer.", "starts", "begins “Who asks gets an answer.”"),
        ("- Whatever breaks is counted.", "starts", "begins “Whatever breaks is counted.”"),
        ("Of others speak the aggregators.", "inverted", "begins “Of others speak the aggregators.”"),
        ("Missing are peers that left.", "inverted", "subject first"),
        ("Nor does it matter.", "inverted", "subject first"),
        ("Between any two peers stands a spring.", "inverted", "subject first"),
        ("Should the peer be gone, dial again.", "inverted", "if"),
        (of_length(26), "long", "26 words, at most 25"),
        (f"| name |\n|---|\n| {of_length(26)} |", "long", "26 words"),
        (f"See [this]({'x'}). {of_length(26)}", "long", "26 words"),
    ],
)
def test_hard_text_is_found(tmp_path: Path, text: str, rule: str, expected: str) -> None:
    ((_, found, advice),) = finds(tmp_path, text)
    assert found == rule
    assert expected in advice


@pytest.mark.parametrize(
    "text",
    [
        "Aggregators raise alerts about other peers.",
        "The log shows at most ten messages of one kind per minute, then a count of the rest.",
        "Peers that are not members get a refusal with its reason, nothing else.",
        of_length(25),
        f"{of_length(25)} {of_length(25)}",
        f"{of_length(20)[:-1]}, e.g. five.",
        "Who may join?",
        "# What a peer sends",
        "Of course it works.",
        "In a zone that is the largest, a peer waits.",
        "There is a limit.",
        "Neither is overwritten.",
        "Sampling is the task of the loop.",
        "A source registers itself; there is room for 96 of them.",
        "The peer that answers, and who signed it, is known.",
        "Read `told` and ``the register``, at <https://example.org/tell/told> or https://example.org/told.",
        "```\nWhat is told by whoever asks.\n```",
        "    What is told.\n    Of others speak the aggregators.",
        "| What is told | dearest |\n|---|---|\n| a | b |",
        "<!-- told -->",
        "[Topology](told.md) is a page.",
        f"[One](a.md) · {'[two](b.md) · ' * 30}[three](c.md)",
    ],
)
def test_plain_text_gives_nothing(tmp_path: Path, text: str) -> None:
    assert finds(tmp_path, text) == []


def test_finds_have_the_line_of_the_word(tmp_path: Path) -> None:
    text = "# Page\n\nAll is well\nhere. The agent\ntells us.\n\n- one\n- It told us.\n\n"
    text += f"| a |\n|---|\n| b |\n| told |\n\n{of_length(26)}\n"
    assert [(line, rule) for line, rule, _ in finds(tmp_path, text)] == [
        (5, "words"),
        (8, "words"),
        (13, "words"),
        (15, "long"),
    ]


def test_python_is_read_where_it_speaks_to_people(tmp_path: Path) -> None:
    code = (
        '"""What this file does.\n\nIt told us.\n\n    told = code\n"""\n'
        "told = 1  # noqa: told you\n"
        "vigil = told  # the old vigil\n"
        "# All is well and it\n# told us so.\n"
        "class Told:\n"
        "    size: int\n"
        '    """Whom it belongs to."""\n'
        "    def tell(self, told):\n"
        '        raise ValueError(f"{told} told {self} nothing")\n'
        'KEY = "told"\n'
        'SQL = "SELECT told FROM abroad WHERE told = 1"\n'
        r'PATTERN = "told \\w+ abroad"'
    )
    assert [(line, rule) for line, rule, _ in finds(tmp_path, code, "page.py")] == [
        (1, "starts"),
        (3, "words"),
        (8, "words"),
        (10, "words"),
        (13, "starts"),
        (15, "words"),
    ]


def test_sentences_in_python_have_a_limit_too(tmp_path: Path) -> None:
    half = " ".join(["word"] * 13)
    joined = f'A = (\n    "Peers {half} "\n    "{half}."\n)\n'
    comment = f"# Peers {half}\n# {half}.\n"
    assert [rule for _, rule, _ in finds(tmp_path, joined + comment, "page.py")] == ["long", "long"]


def test_rows_of_a_layout_are_no_sentence(tmp_path: Path) -> None:
    rows = "".join(f"#   name{number}     what this error means for you\n" for number in range(9))
    settings = "".join(f"# name{number} = {number}   # what this setting means\n" for number in range(9))
    assert finds(tmp_path, f'{rows}\nTEXT = """\n{settings}"""\n', "page.py") == []
    assert finds(tmp_path, f'TEXT = """\n{settings}# last = 1  # it told us\n"""\n', "page.py")[0][0] == 11


def test_the_page_and_its_data_are_read(tmp_path: Path) -> None:
    script = (
        "// It told us.\n/** What\n * it does. */\nconst told = `<p class=told>It told us</p>`;\nconst key = 'told';\n"
    )
    assert [line for line, *_ in finds(tmp_path, script, "page.js")] == [1, 2, 4]
    assert [line for line, *_ in finds(tmp_path, '# It told us.\n[told]\ntitle = "It told us"\n', "a.toml")] == [1, 3]
    assert [line for line, *_ in finds(tmp_path, "<p class='told it'>\nIt told us</p>", "a.html")] == [2]


def test_only_the_newest_section_of_a_changelog_counts(tmp_path: Path) -> None:
    text = "# Changes\n\n## Unreleased\n\n- It told us.\n\n## 0.1.0\n\n- It told us.\n"
    assert [line for line, *_ in finds(tmp_path, text, "CHANGELOG.md")] == [5]


def test_phrases_may_be_allowed(tmp_path: Path) -> None:
    words = tmp_path / "words.toml"
    words.write_text(
        SCRIPT.with_name("prose-words.toml").read_text().replace("allowed = [", 'allowed = [\n    "told you so",')
    )
    rules = prose["Rules"](words)
    text = "We told you\nso. We told them."
    assert [find.line for find in rules.finds(prose["Piece"](1, text))] == [2]


def test_the_command_names_file_and_line_and_fails(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("All is well.\n\nIt told us.\n")
    result = run(tmp_path)
    assert result.returncode == 1
    assert result.stderr == f"{page}:3: “told”: write report, publish, send, show, warn\n"
    page.write_text("All is well.\n")
    result = run(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_counting_sums_folders_and_never_fails(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"It told us. Who asks gets it.\n\n{of_length(26)}\n")
    (tmp_path / "docs" / "good.md").write_text("All is well.\n")
    result = run("--count", tmp_path)
    assert result.returncode == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows == [
        ["finds", "long", "words", "starts", "inverted"],
        ["3", "1", "1", "1", "0", f"{page.parent}/"],
        ["3", "1", "1", "1", "0", "page.md"],
        ["3", "1", "1", "1", "0", "all"],
    ]


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path / "missing.md")
    assert result.returncode == 1
    assert "does not exist" in result.stderr


def test_what_lint_checks_is_plain() -> None:
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
