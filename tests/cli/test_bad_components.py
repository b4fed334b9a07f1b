"""A component that can be no version is named before anything is recorded, and nothing changes."""

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage
from tests.cli.conftest import SMALL


def refused(stage: Stage, *arguments: str) -> str:
    """Run a command that must fail with code 1 and change nothing; return what it said."""
    before = stage.files()
    done = stage.kg(*arguments)
    assert (done.code, done.out) == (1, ""), done.err
    assert "Traceback" not in done.err
    assert stage.files() == before
    return done.err


@pytest.mark.parametrize("name", ["model.json", "curve.yaml"])
def test_a_component_that_is_not_there(applied: Stage, name: str) -> None:
    path = applied.folder / name
    path.unlink()
    said = refused(applied, "deploy", "pricing")
    assert str(path) in said
    assert "correct its path in the system file" in said


def test_a_document_that_can_be_read_in_two_ways(applied: Stage) -> None:
    (applied.folder / "curve.yaml").write_text("night: no\n")
    said = refused(applied, "deploy", "pricing")
    assert "line 1" in said
    assert "quotes" in said


def test_a_contract_that_was_never_written(applied: Stage) -> None:
    rules = SMALL.replace("{files: model.json}", "{files: model.json, contract: contract.json}")
    (applied.folder / "pricing.yaml").write_text(rules)
    assert applied.kg("apply", "pricing.yaml").code == 0
    said = refused(applied, "deploy", "pricing")
    assert f"there is no contract at {applied.folder / 'contract.json'}" in said
    (applied.folder / "contract.json").write_text('{"requires": ["features"]}')
    assert "requires in the contract" in refused(applied, "deploy", "pricing")


def test_code_whose_changes_are_in_no_commit(applied: Stage) -> None:
    features = applied.folder / "features"
    features.mkdir()
    (features / "features.py").write_text("pass\n")
    git(applied.folder, "init", "-q")
    git(applied.folder, "add", "features")
    git(applied.folder, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "first")
    rules = SMALL.replace("  config:", "  features: {git: features}\n  config:")
    (applied.folder / "pricing.yaml").write_text(rules)
    assert applied.kg("apply", "pricing.yaml").code == 0
    (features / "features.py").write_text("changed = True\n")
    before = applied.files()
    done = applied.kg("deploy", "pricing")
    assert done.code == 5
    assert "features.py" in done.err
    assert applied.files() == before


def test_a_first_deployment_without_a_static_fallback_is_blocked(applied: Stage) -> None:
    (applied.folder / "pricing.yaml").write_text(SMALL.replace("fallback: {price: 2}\n", ""))
    assert applied.kg("apply", "pricing.yaml").code == 0
    before = applied.files()
    done = applied.kg("deploy", "pricing")
    assert done.code == 9
    assert "static fallback" in done.err
    changed = [name for name, data in applied.files().items() if before.get(name) != data]
    kept = [name for name in changed if not name.startswith("objects/")]
    assert set(kept) <= {"store.db", "systems/pricing/route.json"}, "a copy of the model is no version"
    entries = applied.kg("ledger", "show", "pricing", "--output", "json").json["entries"]
    assert entries[-1]["kind"] == "deployment-blocked"
    assert applied.kg("history", "pricing", "--output", "json").json["deployments"] == []


def test_without_a_replica_nothing_can_be_armed(applied: Stage) -> None:
    done = applied.kg("deploy", "pricing", "--timeout", "1")
    assert done.code == 9
    assert "was not ready within 1 s on: any replica, for none is running" in done.err
    assert "kg agent" in done.err
    status = applied.kg("status", "--output", "json").json["systems"][0]
    assert (status["serving"], status["generation"]) == ([None], 0)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
