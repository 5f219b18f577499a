"""What is installed: pinned by hash, listed in a bill of materials, and asked about."""

import json
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def script(name: str) -> ModuleType:
    """A program of scripts/ as a module."""
    loader = SourceFileLoader(name, str(ROOT / "scripts" / name))
    module = module_from_spec(spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return script("audit")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_that_is_installed_is_pinned_by_hash(lock: Path) -> None:
    entries = re.split(r"\n(?=[\w])", "\n" + lock.read_text(encoding="utf-8"))
    pinned = [entry for entry in entries if "==" in entry.partition("\n")[0]]
    assert len(pinned) >= 2
    assert [entry.partition("\n")[0] for entry in pinned if "--hash=sha256:" not in entry] == []
    assert re.search(r"^-e|^--(index|extra|find|trusted)|://", lock.read_text(encoding="utf-8"), re.MULTILINE) is None


def test_the_bill_of_materials_lists_what_runs_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "bill.json"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "sbom"), str(file)], check=True, timeout=120)
    bill = json.loads(file.read_text(encoding="utf-8"))  # which the program has compared with CycloneDX's own schema
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    found = {part["purl"].partition("@")[0]: part["version"] for part in bill["components"]}
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / "run.lock").read_text(), re.MULTILINE))
    assert {f"pkg:pypi/{name}": version for name, version in locked.items()}.items() <= found.items()
    assert {"pkg:npm/preact", "pkg:npm/d3-force", "pkg:npm/%40preact/signals"} <= found.keys()
    assert not {"pkg:pypi/pytest", "pkg:npm/esbuild"} & found.keys()
    assert {part["name"] for part in bill["components"] if not part.get("licenses")} <= {"iroh"}  # which brings files
    refs = {part["bom-ref"] for part in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {ref for entry in bill["dependencies"] for ref in [entry["ref"], *entry["dependsOn"]]} == refs
    (iroh,) = (part for part in bill["components"] if part["name"] == "iroh")
    assert any(reference.get("hashes") for reference in iroh["externalReferences"])


def package(name: str, *flaws: str) -> dict[str, object]:
    vulns = [{"id": flaw, "fix_versions": ["2.0"], "aliases": [], "description": ""} for flaw in flaws]
    return {"name": name, "version": "1.0", "vulns": vulns}


def test_the_answer_of_the_advisory_service_is_told(audit: ModuleType) -> None:
    skipped = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
    lines, code = audit.judged({"dependencies": [package("a"), package("c")]})
    assert (code, lines) == (0, ["0 known vulnerabilities in the 2 of 2 packages that could be asked about"])
    lines, code = audit.judged({"dependencies": [package("a", "PYSEC-1"), skipped]})
    assert code == 1
    assert "a 1.0: PYSEC-1, mended in 2.0" in lines


def test_not_to_have_been_told_is_not_to_be_safe(audit: ModuleType) -> None:
    """pip-audit itself ends with 0 where the service knows none of the packages."""
    skipped = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
    lines, code = audit.judged({"dependencies": [package("a"), skipped]})
    assert code == 3
    assert lines[1].endswith("nothing is known of: b")
    assert audit.judged({"dependencies": []})[1] == 3
    assert audit.judged("no network")[1] == 3


def test_without_the_network_the_program_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "one.lock"
    lock.write_text(f"peerscope-no-such-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, str(ROOT / "scripts" / "audit"), str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    assert "could not be asked" in done.stdout or "nothing is known of: peerscope-no-such-package" in done.stdout
