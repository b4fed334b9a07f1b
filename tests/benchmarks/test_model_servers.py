"""Ways back beside model servers: what is counted is right, ours fails nobody, and that peers are missing is told."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.contenders import BAD, GOOD, MLflow, Ours
from benchmarks.context import Context
from benchmarks.forest import Forest, plant
from benchmarks.host import BenchmarkError, free_port
from benchmarks.model_servers import WayBack, Window, measured, rows, seen
from benchmarks.riders import Log, Question, Visits
from benchmarks.run import measure

ROOT = Path(__file__).parents[2]
MS = 1_000_000
WINDOW = Window(decided_ns=100 * MS, done_ns=130 * MS, over_ns=200 * MS)


def log_of(*visits: tuple[int, int, int, str]) -> Log:
    """Return a log of visits: sent and answered in ms, status, version."""
    log = Log()
    for sent, answered, status, version in visits:
        log.add(sent * MS, status, version, mixed=False)
        log.answered_ns[-1] = answered * MS
    return log


def way_back(*, failed: int = 0, first_good: float = 2.0) -> WayBack:
    return WayBack(failed=failed, bad=0, last_bad=0.0, first_good=first_good, waiting=1, slowest=1.0, done=4.0)


def test_way_back_is_what_riders_got_between_the_decision_and_the_end() -> None:
    log = log_of(
        (80, 99, 200, BAD),  # before the decision
        (90, 104, 200, BAD),
        (95, 112, 200, BAD),
        (105, 106, 0, ""),
        (110, 118, 503, BAD),
        (111, 141, 200, GOOD),
        (120, 125, 200, GOOD),
        (190, 201, 500, ""),  # over
    )
    assert seen(log, WINDOW) == WayBack(
        failed=2, bad=2, last_bad=12.0, first_good=25.0, waiting=3, slowest=30.0, done=30.0
    )


def test_answer_that_names_no_version_is_no_proper_one() -> None:
    assert seen(log_of((105, 110, 200, ""), (106, 111, 200, GOOD)), WINDOW).failed == 1


def test_way_back_that_no_rider_saw_is_an_error_and_not_a_fine_figure() -> None:
    with pytest.raises(BenchmarkError, match="1 requests in this way back"):
        seen(log_of((90, 104, 200, BAD)), WINDOW)


def test_peers_stand_beside_ours_with_how_many_times_it_they_are() -> None:
    found = {
        Ours.name: [way_back(first_good=2.0), way_back(first_good=4.0)],
        MLflow.name: [way_back(failed=7, first_good=100.0), way_back(failed=9, first_good=300.0)],
    }
    made = {row.name: row for row in rows(found)}
    peer = made[f"decision to the first answer of the previous version, {MLflow.name}"]
    assert peer.values == {"p50": 100.0, "max": 300.0, "n": 2.0, "x ours": 50.0, "x ours, worst": 75.0}
    assert "x ours" not in made[f"decision to the first answer of the previous version, {Ours.name}"].values
    assert "x ours" not in made[f"decision to the last of them, {MLflow.name}"].values, (
        "nothing is a multiple of nothing"
    )
    assert made[f"failed requests of a way back, {Ours.name}"].met
    assert made[f"failed requests of a way back, {MLflow.name}"].met is None, "a peer has no target of ours"


def test_one_failed_request_of_ours_misses_the_target() -> None:
    (failed, *_) = rows({Ours.name: [way_back(), way_back(failed=1)]})
    assert failed.met is False


@pytest.mark.slow
@pytest.mark.requirement("G2")
def test_ours_goes_back_under_load_and_fails_no_request(tmp_path: Path) -> None:
    context = Context(folder=tmp_path, seed=3, scale=1.0, began=time.monotonic(), quiet=True)
    backs = measured(context, Ours, 2)
    assert [back.failed for back in backs] == [0, 0]


@pytest.mark.soak
def test_model_servers_go_back_under_the_same_load() -> None:
    # It wants the peers' environment (`make .venv-peers/.peers`), and fails without it.
    result, (figure,) = measure(["model_servers"], seed=3, scale=0.2, quiet=True)
    made = {row.name: row.values for row in figure.rows}
    assert result["missed"] == []
    assert made[f"failed requests of a way back, {MLflow.name}"]["max"] > 0
    assert made["decision to the first answer of the previous version, MLServer, model reloaded"]["x ours"] > 1


def test_missing_peers_are_an_error_that_says_what_to_do_before_anything_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.run", "--only", "routing", "model_servers"]
    environment = {**os.environ, "BENCH_PEERS": str(tmp_path)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith(f"Error: the model servers to compare with are not installed: there is no {tmp_path}")
    assert "`make bench` installs them" in run.stderr


def test_riders_count_a_connection_that_nobody_took_as_a_failed_request() -> None:
    visits = Visits(free_port(), Question(path="/"), per_second=1_000)

    class Counted(asyncio.Event):
        def is_set(self) -> bool:
            return len(visits.log) > 0

    async def ride() -> None:
        async with asyncio.timeout(30):
            await visits.run(Counted())

    asyncio.run(ride())
    assert visits.log.failed == list(range(len(visits.log)))
    assert set(visits.log.status) == {0}


def test_riders_read_the_version_where_the_answer_names_one_alone() -> None:
    question = Question(path="/price", body='{"x": 3.0}', named=(GOOD, BAD))
    assert question.request(7).endswith(b'content-type: application/json\r\ncontent-length: 10\r\n\r\n{"x": 3.0}')
    assert question.read(200, {}, b'{"version": "good"}') == (GOOD, False)
    assert question.read(200, {}, b'["good", "bad"]') == ("", True)
    assert question.read(503, {}, b"goodness") == ("", False)


def test_forest_says_what_its_file_says(tmp_path: Path) -> None:
    path = tmp_path / "forest.json"
    plant(path, GOOD, 3, random.Random(1))
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "trees": [[2.0, 0.25, [5.0, 0.5, 1.0]], 10.0]}), encoding="utf-8")
    forest = Forest(path)
    assert [forest.price(x) for x in (1.9, 2.0, 4.9, 5.0)] == [10.25, 10.5, 10.5, 11.0]
    assert forest.answer(2.0) == {"price": 10.5, "version": GOOD}
