"""What workers counted that are gone is folded into one file, and counted once whoever looks whenever."""

import os
from pathlib import Path

import pytest

from knowngood.adapters.folder.telemetry import FolderTelemetry
from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent.departed import fold_counts
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.wire import CountsReport
from knowngood_sdk.serving.folder import ReplicaFolder

A, B = ("sha256:" + digit * 64 for digit in "ab")
LONG = 600.0


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    folder = ReplicaFolder.of(tmp_path, "pricing", "a")
    folder.make()
    return folder


def counted(folder: ReplicaFolder, worker: str, *, seconds_ago: float = 3600.0, **requests: int) -> Path:
    """Leave what a worker counted for versions a and b."""
    versions = {{"a": A, "b": B}[name]: VersionCounts(requests=count) for name, count in requests.items()}
    folder.write_counts(CountsReport(worker=worker, sequence=7, at="2026-01-01T00:00:00Z", versions=versions))
    path = folder.counts / f"{worker}.json"
    written = path.stat().st_mtime - seconds_ago
    os.utime(path, (written, written))
    return path


def requests(folder: ReplicaFolder) -> dict[str, int]:
    """Return version -> requests, as the control plane adds them up."""
    total: dict[str, int] = {}
    for report in FolderTelemetry(folder.path.parents[3]).counts("pricing").values():
        for version, counts in report.versions.items():
            total[version] = total.get(version, 0) + counts.requests
    return total


def fold(folder: ReplicaFolder) -> None:
    fold_counts(folder, frozenset(), LONG)


def left(folder: ReplicaFolder) -> list[str]:
    return sorted(path.stem for path in folder.counts.glob("*.json"))


def test_what_the_departed_counted_is_folded_and_then_removed_and_counts_once_throughout(folder: ReplicaFolder) -> None:
    counted(folder, "w1", a=1, b=10)
    counted(folder, "w2", a=2)
    fold(folder)
    assert left(folder) == ["w1", "w2"], "whoever reads just now reads on"
    assert requests(folder) == {A: 3, B: 10}
    fold(folder)
    assert left(folder) == []
    assert requests(folder) == {A: 3, B: 10}
    counted(folder, "w3", a=100)
    fold(folder)
    fold(folder)
    assert left(folder) == []
    assert requests(folder) == {A: 103, B: 10}


def test_one_that_died_between_two_removals_is_still_counted_once(folder: ReplicaFolder) -> None:
    first, second = counted(folder, "w1", a=1), counted(folder, "w2", a=2)
    fold(folder)
    first.unlink()
    assert requests(folder) == {A: 3}
    counted(folder, "w3", a=4)
    fold(folder)
    assert not second.exists()
    assert requests(folder) == {A: 7}


def test_who_lives_or_wrote_a_moment_ago_has_not_departed(folder: ReplicaFolder) -> None:
    living = StandInWorker(folder, "holds-its-lock", [A])
    counted(folder, "holds-its-lock", a=1)
    counted(folder, "known-to-live", a=1)
    counted(folder, "wrote", a=1, seconds_ago=LONG / 2)
    fold_counts(folder, {"known-to-live"}, LONG)
    assert folder.departed() is None
    assert requests(folder) == {A: 3}
    living.die()


def test_counts_that_cannot_be_read_stay_and_keep_nobody_elses_from_being_folded(folder: ReplicaFolder) -> None:
    torn = counted(folder, "w1", a=1)
    torn.write_text("{")
    os.utime(torn, (0, 0))
    counted(folder, "w2", a=2)
    fold(folder)
    fold(folder)
    assert left(folder) == ["w1"]
    torn.unlink()
    assert requests(folder) == {A: 2}


def test_a_folded_file_that_cannot_be_read_is_told_and_nothing_is_removed(folder: ReplicaFolder) -> None:
    counted(folder, "w1", a=1)
    folder.departed_file.write_text("{")
    with pytest.raises(InvalidError, match=r"departed\.json is not JSON"):
        fold(folder)
    with Keeper(folder) as keeper:
        keeper.clear_away_dead()
        assert any("departed.json" in warning for warning in keeper.report().warnings)
    assert left(folder) == ["w1"]
