"""The locks in requirements/ install on a new machine, also after newer versions of what they pin have come out."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "packages" / "knowngood-sdk", ROOT / "packages" / "knowngood"]
INSTALLED = ["run.txt", "server.txt", "dev.txt"]  # bench.txt has an environment of its own


def pinned(lock: str) -> dict[str, Requirement]:
    """Return each requirement of a lock that applies here, by its package's name."""
    lines = (ROOT / "requirements" / lock).read_text(encoding="utf-8").splitlines()
    entries = [Requirement(line.removesuffix("\\")) for line in lines if line and not line.startswith((" ", "#"))]
    applying = [entry for entry in entries if entry.marker is None or entry.marker.evaluate()]
    return {canonicalize_name(entry.name): entry for entry in applying}


def test_lock_holds_a_version_that_every_declared_dependency_accepts() -> None:
    lock = pinned("run.txt")
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for line in [*project["dependencies"], *project.get("optional-dependencies", {}).get("demo", [])]:
            wanted = Requirement(line)
            if not wanted.name.startswith("knowngood"):
                (version,) = lock[canonicalize_name(wanted.name)].specifier
                assert wanted.specifier.contains(version.version), f"{line}: make requirements-lock"


@pytest.mark.parametrize("name", INSTALLED)
def test_lock_pins_every_extra_that_a_locked_package_asks_for(name: str) -> None:
    # pip resolves `coverage[toml]` apart from `coverage`: unpinned, it takes the newest, for which there is no hash.
    locked = pinned(name)
    environment = {**pinned("run.txt"), **pinned("server.txt"), **locked}
    missing = [
        f"{package} asks for {wanted}"
        for package, entry in locked.items()
        for wanted in map(Requirement, distribution(package).requires or [])
        if any(wanted.marker is None or wanted.marker.evaluate({"extra": extra}) for extra in ["", *entry.extras])
        and not wanted.extras <= environment[canonicalize_name(wanted.name)].extras
    ]
    assert missing == []
