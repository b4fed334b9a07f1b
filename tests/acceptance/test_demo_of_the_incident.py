"""The demo as a newcomer runs it: the real command, real servers, a real kill; and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

SECONDS = 120
KG = [sys.executable, "-m", "knowngood.cli", "demo"]
NOT_ROW_BY_ROW = """\
import pandas as pd


def features(hours):
    kept = hours[["hr", "workingday", "temp", "lag_1h", "lag_24h", "lag_168h"]].astype("float64")
    return kept.assign(warmer=hours["temp"] > hours["temp"].mean()).astype("float64")
"""


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


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.requirement("A1", "A2", "B2", "C4", "D1", "G1", "G2", "G3", "J5", "L1m", "L2m", "L4m", "N1", "N2", "N3")
def test_the_incident_is_noticed_and_the_whole_system_goes_back(place: Path) -> None:
    done = subprocess.run(
        [*KG, "--output", "json"], cwd=place, env=environment(place / "tmp"), capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr.decode()[-3000:]
    found = json.loads(done.stdout)
    assert found.get("did_not_hold") == [], found
    assert done.returncode == 0
    assert (found["decision"], found["level"], found["first_trigger"]) == ("roll-back", 2, "prediction_mean")
    assert found["requests"] > 500
    assert (found["failed_requests"], found["mixed_requests"]) == (0, 0)
    assert found["bad_admissions_after_acknowledgement"] == 0
    assert (found["replicas"], found["acknowledged"]) == (2, 2)
    assert found["control_killed_and_recovered"]
    assert found["redeploy_refused"]
    assert [attempt["exit_code"] for attempt in found["redeployments"]] == [5, 5, 5]
    assert 0 < found["affected_riders"] < found["requests"]
    assert found["canary"]["reached_percent"] == 10
    assert found["canary"]["affected_riders"] < found["affected_riders"]
    assert found["decision_to_last_bad_response_seconds"] < found["decision_to_verified_seconds"] < 60
    level_one = next(item for item in found["alternatives"] if item["level"] == 1)
    assert level_one["n"] >= 100
    assert level_one["tolerance"] == 0.15
    assert (found["placebos"]["deployments"], found["placebos"]["automatic_rollbacks"]) == (20, 0)
    assert found["without_the_product"]["failed_requests"] > 0
    assert len({process["pid"] for process in found["processes"]}) == len(found["processes"]) >= 8
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "The flip, response by response" in page


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
