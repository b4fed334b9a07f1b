"""The demo as a newcomer runs it: the real command, real servers, a real kill; and what it leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from knowngood.demo.load import read_log

SECONDS = 120
KG = [sys.executable, "-m", "knowngood.cli", "demo"]
NOT_ROW_BY_ROW = """\
import pandas as pd


def features(hours):
    kept = hours[["hr", "workingday", "temp", "lag_1h", "lag_24h", "lag_168h"]].astype("float64")
    return kept.assign(warmer=hours["temp"] > hours["temp"].mean()).astype("float64")
"""

WITHIN_EVERY_LIMIT = """\
def features(hours):
    return hours[["hr", "workingday"]].astype("float64")
"""
"""So little is known of an hour that attempts come out about as high as rides do otherwise."""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of living processes whose working folder lies in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                cwd = (entry / "cwd").readlink()
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it ended meanwhile, or is another user's
            if folder in (cwd, *cwd.parents) and "knowngood" in line:
                found.append(line)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder to run in, and for temporary folders; nothing may be left in it but the report."""
    (tmp_path / "tmp").mkdir()
    yield tmp_path
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_of(tmp_path) == []


def played(place: Path, *options: str) -> dict[str, Any]:
    """Run the demo, and return what it found; all that it promises held."""
    started = time.monotonic()
    done = subprocess.run(
        [*KG, *options, "--output", "json"], cwd=place, env=environment(place / "tmp"), capture_output=True, check=False
    )
    took = time.monotonic() - started
    assert done.returncode in (0, 1), done.stderr.decode()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.get("did_not_hold") == [], found
    assert done.returncode == 0
    assert 0.8 * took < found["wall_seconds"] <= took  # the whole of it, imports and end of every process among it
    assert (found["failed_requests"], found["mixed_requests"], found["fallback_answers"]) == (0, 0, 0)
    assert (found["placebos"]["deployments"], found["placebos"]["automatic_rollbacks"]) == (20, 0)
    assert len({process["pid"] for process in found["processes"]}) == len(found["processes"])
    return found


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.requirement("A1", "A2", "B2", "C4", "D1", "G1", "G2", "G3", "J5", "L1m", "L2m", "L4m", "N1", "N2", "N3")
@pytest.mark.parametrize(
    ("change", "options"),
    [
        pytest.param("utc", [], id="as a newcomer runs it"),
        pytest.param("celsius", ["--change", "celsius", "--seed", "2", "--keep"], id="another change, seed, and kept"),
    ],
)
def test_the_incident_is_noticed_and_the_whole_system_goes_back(place: Path, change: str, options: list[str]) -> None:
    found = played(place, *options)
    assert (found["change"], found["decision"], found["level"]) == (change, "roll-back", 2)
    assert found["first_trigger"] in found["first_triggers"]
    assert found["detected_after_seconds"] <= found["decision_after_seconds"]
    assert found["requests"] > 500
    assert found["bad_admissions_after_acknowledgement"] == 0
    assert (found["replicas"], found["acknowledged"]) == (2, 2)
    assert found["control_killed_and_recovered"]
    assert found["redeploy_refused"]
    assert [attempt["exit_code"] for attempt in found["redeployments"]] == [5, 5, 5]
    assert 0 < found["affected_riders"] <= found["riders_served_by_version_2"] < found["requests"]
    assert (found["canary"]["reached_percent"], found["canary"]["left"]) == (10, True)
    assert found["canary"]["affected_riders"] <= found["canary"]["riders_served"] <= found["canary"]["riders_meanwhile"]
    assert found["decision_to_last_bad_response_seconds"] < found["decision_to_verified_seconds"] < 60
    level_one = next(item for item in found["alternatives"] if item["level"] == 1)
    assert level_one["tolerance"] == 0.15
    assert level_one["n"] >= 100 or level_one["verdict"] == "refused"
    assert {said["version"] for said in found["rides_known_later"]} >= {"known", "bad"}
    assert found["without_the_product"]["failed_requests"] > 0
    assert len(found["processes"]) >= 8
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "The flip, response by response" in page
    kept = list((place / "tmp").iterdir())
    assert len(kept) == ("--keep" in options)
    for folder in kept:
        assert (folder / "report.html").read_text(encoding="utf-8") == page
        assert len(read_log(folder / "logs" / "riders-1.jsonl")) > 0
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.requirement("D1", "N1")
def test_a_strangers_change_that_stays_within_every_limit_is_a_finding_and_no_error(place: Path) -> None:
    (place / "hours.py").write_text(WITHIN_EVERY_LIMIT, encoding="utf-8")
    found = played(place, "--change", "hours.py")
    assert (found["decision_to_verified_seconds"], found["canary"], found["without_the_product"]) == (None, None, None)
    assert found["decision"] in (None, "investigate")
    assert found["noticed"] is (found["decision"] is not None)
    assert found["riders_served_by_version_2"] > 100
    assert "and was not left." in (place / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.requirement("N1")
def test_a_strangers_features_that_are_not_row_by_row_are_refused_by_the_gate(place: Path) -> None:
    own = place / "warmer.py"
    own.write_text(NOT_ROW_BY_ROW, encoding="utf-8")
    done = subprocess.run(
        [*KG, "--change", "warmer.py", "--output", "json"],
        cwd=place,
        env=environment(place / "tmp"),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr.decode()[-3000:]
    problem = json.loads(done.stdout)["error"]
    assert problem["code"] == "refused"
    assert "is not row by row: 'warmer'" in problem["message"]
    assert problem["details"]["exit_code_of_deploy"] == 9


@pytest.mark.slow
@pytest.mark.requirement("A2")
def test_every_evening_is_judged_with_false_allows_and_false_refusals_apart(place: Path) -> None:
    own = place / "warmer.py"
    own.write_text(NOT_ROW_BY_ROW, encoding="utf-8")
    asked = [*KG, "--evenings", "all", "--output", "json", "--change"]
    runs = [
        subprocess.run(
            [*asked, change], cwd=place, env=environment(place / "tmp"), capture_output=True, text=True, check=False
        )
        for change in ("celsius", "warmer.py")
    ]
    assert [done.returncode for done in runs] == [0, 5], runs[0].stderr
    found = json.loads(runs[0].stdout)
    assert set(found["verdicts"]["celsius"]) == {"right allow", "right refusal", "false allow", "false refusal"}
    assert sum(found["verdicts"]["celsius"].values()) == len(found["evenings"]) == 13
    assert "is not row by row" in json.loads(runs[1].stdout)["error"]["message"]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("applying the system file", signal.SIGINT),
        ("waiting for the servers", signal.SIGTERM),
        ("version 1 in service", signal.SIGINT),
    ],
)
def test_stopping_it_leaves_no_process_and_no_folder(place: Path, phase: str, number: signal.Signals) -> None:
    progress = place / "progress"
    with progress.open("wb") as errors:
        demo = subprocess.Popen(KG, cwd=place, env=environment(place / "tmp"), stdout=subprocess.DEVNULL, stderr=errors)
    pause, last = Event(), time.monotonic() + 90
    while phase not in progress.read_text(encoding="utf-8") and demo.poll() is None and time.monotonic() < last:
        pause.wait(0.05)
    demo.send_signal(number)
    assert demo.wait(30) == 130, progress.read_text(encoding="utf-8")
    assert "Traceback" not in progress.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        pytest.param(["--change", "kelvin"], 1, "no feature change is called 'kelvin'", id="a change that is none"),
        pytest.param(["--change", "none.py"], 1, "there is no file none.py", id="a file that is not there"),
        pytest.param(["--seed", "-1"], 2, "--seed", id="a negative seed"),
        pytest.param(["--seed", "4294967296"], 2, "4294967295", id="a seed one larger than training takes"),
        pytest.param(["--evenings", "all", "--keep"], 2, "no folder to --keep", id="a folder that there is not"),
        pytest.param(["--evenings", "all", "--report", "a.html"], 2, "no --report", id="a report that there is not"),
        pytest.param(["--evenings", "some"], 2, "--evenings", id="evenings other than all"),
        pytest.param(["--report", "no/where.html"], 1, "cannot be written", id="a report that cannot be written"),
    ],
)
def test_what_cannot_be_played_is_said_at_once(place: Path, options: list[str], code: int, words: str) -> None:
    done = subprocess.run(
        [*KG, *options], cwd=place, env=environment(place / "tmp"), capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
