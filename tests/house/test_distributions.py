"""What people install is whole: modules, data, types, licence and entry points."""

import subprocess
import sys
import zipfile
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["knowngood-sdk", "knowngood"])
def package(request: pytest.FixtureRequest) -> Path:
    return ROOT / "packages" / str(request.param)


def test_wheel_holds_every_file_of_the_package(package: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=package, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "src"]
    names = subprocess.run(listed, cwd=package, check=True, capture_output=True).stdout.decode().split("\0")
    sources = {name.removeprefix("src/") for name in names if name and (package / name).exists()}
    assert sources - packed == set()
    assert f"{package.name.replace('-', '_')}/py.typed" in packed
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in packed)


def test_both_distributions_have_one_version() -> None:
    assert distribution("knowngood").version == distribution("knowngood-sdk").version


@pytest.mark.parametrize("group", ["console_scripts", "knowngood.components"])
def test_every_entry_point_leads_somewhere(group: str) -> None:
    ours = [entry for entry in entry_points(group=group) if entry.dist and entry.dist.name == "knowngood"]
    assert ours
    for entry in ours:
        assert callable(entry.load())
