"""The parts of the benchmarks run, and what they count is right; how long anything takes is not tested."""

import json
import math
import os
from pathlib import Path
from subprocess import Popen

import pytest

from benchmarks.caller import Calls
from benchmarks.context import Context
from benchmarks.deployer import Flip
from benchmarks.figure import Figure, Row, Target, percentile, quantiles, table
from benchmarks.growth import held
from benchmarks.load import admitted_to_left, spans
from benchmarks.next_call import _Change, _rows
from benchmarks.operator import Move
from benchmarks.page import page
from benchmarks.riders import Log
from benchmarks.run import BENCHMARKS, NEEDS, SHARES, main, measure
from benchmarks.soak import Plan, not_once, requests_seen
from knowngood.domain.saga import StepName

ROOT = Path(__file__).parents[2]
# What no busy machine may change; how soon anything happens it may.
COUNTED: dict[str, set[str]] = {
    "routing": set(),
    "next_call": {"calls begun after the flip, on the version left, 1 busy"},
    "acknowledged": set(),
    "admitted": {"requests after an acknowledgement that the version left answered", "failed requests"},
    "failures": {"failed, in process", "mixed, in process", "failed, over HTTP", "mixed, over HTTP"},
    "local_trip": set(),
    "fan_out": set(),
    "saga": set(),
    "soak": {
        "failed requests",
        "mixed answers",
        "after a replica's acknowledgement, answered by the version it left",
        "rollbacks not over",
        "rollbacks more or fewer than versions left",
        "steps of rollbacks not in the ledger exactly once",
        "ledgers that do not verify",
        "replicas not where the record says in the end",
    },
    "store": set(),
    "telemetry": {
        "workers whose counts are not as sent, 20 metrics",
        "workers whose counts are not as sent, 20 metrics and 256 subjects",
    },
    "reconnect": set(),
}
FIGURE = Figure(
    key="k",
    title="A title",
    how="As measured.",
    rows=[
        Row(name="fast", unit="ms", values={"p99": 0.5, "n": 1000}, target=Target(column="p99", limit=1)),
        Row(name="slow", unit="ms", values={"p99": math.inf}, target=Target(column="p99", limit=1), note="it is cold"),
        Row(name="beside", unit="count", values={"n": 3}),
    ],
)
RESULT = {
    "machine": {
        "cores": 2,
        "processor": "some",
        "python": "CPython 3.11",
        "system": "Linux",
        "load_average": [0.1, 0.2, 0.3],
        "load_average_after": [1.0, 0.5, 0.3],
        "durable_write_ms": {"p50": 0.4, "max": 2.0},
    },
    "seed": 7,
    "seconds": 12.0,
    "figures": {"k": FIGURE.to_json()},
}


@pytest.mark.slow
@pytest.mark.requirement("G1", "G3")
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in NEEDS])  # those: test_model_servers.py
def test_benchmark_runs_in_small_and_no_request_is_lost(name: str) -> None:
    result, (figure,) = measure([name], seed=3, scale=0.001, quiet=True)
    assert figure.rows
    rows = {row.name: row for row in figure.rows}
    assert rows.keys() >= COUNTED[name]
    assert [counted for counted in COUNTED[name] if not rows[counted].met] == []
    assert json.loads(json.dumps(result, allow_nan=False))["figures"][name]["title"] == figure.title
    assert figure.title in table(figure)
    assert figure.title in page(result)


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50.0, 99.0, 100.0)
    assert percentile([3.0], 1) == 3.0
    assert quantiles([]) == {"p50": math.inf, "p99": math.inf, "max": math.inf, "n": 0}


def test_table_says_met_and_missed_and_what_never_came() -> None:
    text = table(FIGURE)
    assert "fast    0.50 ms  1,000  p99 <= 1.00 ms  met" in text
    assert "slow      never         p99 <= 1.00 ms  MISSED" in text
    assert "slow: it is cold" in text


def test_json_has_no_infinity() -> None:
    rows = FIGURE.to_json()["rows"]
    assert rows[1]["values"] == {"p99": None}
    assert [row["met"] for row in rows] == [True, False, None]


def test_page_is_written_from_a_run() -> None:
    text = page(RESULT)
    assert "| fast | ms | 0.5 | 1,000 | p99 at most 1 | met |" in text
    assert "| slow | ms | never |  | p99 at most 1 | **missed** |" in text
    assert "seed 7" in text


def test_page_of_the_documentation_has_a_section_for_each_benchmark() -> None:
    text = (ROOT / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == len(BENCHMARKS)


def test_request_under_way_when_the_next_flip_is_decided_counts_for_neither() -> None:
    log = Log(
        sent_ns=[90, 110, 120, 190],
        answered_ns=[95, 115, 130, 210],
        status=[200, 200, 200, 200],
        version=["bad", "good", "bad", "bad"],
        mixed=[False] * 4,
    )
    assert admitted_to_left(log, [(100, 200, "bad")]) == (2, 1)


def test_first_deployment_leaves_nothing_and_the_last_flip_is_open() -> None:
    def flip(left: str, at: int) -> Flip:
        return Flip(kind="back", left=left, to="v2", began_ns=at, pushed_ns=at, acknowledged_ns=at + 1, pushes=1)

    (first, last) = spans([flip("", 0), flip("v1", 10), flip("v2", 20)])
    assert first == (11, 20, "v1")
    assert last[:1] + last[2:] == (21, "v2")


def test_log_of_riders_comes_back_as_it_was_written(tmp_path: Path) -> None:
    log = Log()
    log.add(5, 200, "v1", mixed=False)
    log.add(6, 0, "", mixed=False)
    log.write(tmp_path / "log.json")
    again = Log.read(tmp_path / "log.json")
    assert again == log
    assert again.failed == [1]


def test_a_soak_is_drawn_from_its_seed_and_takes_every_way_back_at_any_scale(tmp_path: Path) -> None:
    def drawn(seed: int, scale: float) -> Plan:
        return Plan.draw(Context(folder=tmp_path, seed=seed, scale=scale, began=0.0))

    for scale in (0.001, 0.1, 1.0):
        plan = drawn(3, scale)
        assert plan == drawn(3, scale) != drawn(4, scale)
        assert plan.flips % 2 == 0
        assert plan.outages
        assert all(number % 2 for number in plan.outages), "a way back, not a deployment"
        assert {"control plane", "r1", "r2"} & {victim for victims in plan.kills.values() for victim in victims}
        assert not plan.outages & plan.kills.keys()
    assert (drawn(1, 1.0).requests, drawn(1, 1.0).flips) == (1_000_000, 1_000)


def test_only_what_is_asked_for_by_name_is_carried_out_whole() -> None:
    assert SHARES.keys() <= BENCHMARKS.keys()
    assert all(0 < share < 1 for share in SHARES.values())


def test_a_soak_counts_what_failed_what_was_mixed_and_what_a_version_answered_that_a_replica_had_left() -> None:
    log = Log(
        sent_ns=[1, 11, 12, 13, 14],
        answered_ns=[2, 15, 16, 17, 18],
        status=[200, 200, 0, 200, 200],
        version=["bad", "good", "", "bad", "good"],
        mixed=[False, False, False, False, True],
    )
    move = Move(how="rollback", left="bad", began_ns=5, answered_ns=10, acknowledged_ns={"r1": 10})
    failed, mixed, wrong, _ = requests_seen({"r1": log}, [move])
    assert [(row.values["count"], row.values["n"]) for row in (failed, mixed, wrong)] == [(1, 5), (1, 5), (1, 4)]
    assert [row.met for row in (failed, mixed, wrong)] == [False, False, False]


def test_steps_that_the_ledger_has_twice_or_never_are_counted() -> None:
    begun = {"kind": "rollback-started", "body": {"saga": "rb"}}
    steps = [{"kind": "rollback-step", "body": {"saga": "rb", "step": name.value}} for name in StepName]
    assert not_once([{"id": "rb"}], [begun, *steps]) == 0
    assert not_once([{"id": "rb"}], [begun, *steps[1:]]) == 1
    assert not_once([{"id": "rb"}], [begun, begun, *steps, steps[0]]) == 2


def test_what_a_process_holds_is_what_the_kernel_says_with_its_children(tmp_path: Path) -> None:
    before = held([os.getpid()])
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert held([os.getpid()]).files == before.files + 2
    assert before.megabytes > 1
    with Popen(["sleep", "60"]) as child:
        try:
            assert held([os.getpid()]).megabytes > held([child.pid]).megabytes > 0
            assert held([os.getpid()]).files > before.files
        finally:
            child.kill()


@pytest.mark.parametrize("share", ["0", "1.5", "much"])
def test_share_outside_of_its_range_is_a_usage_error(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--scale", share])
    assert stopped.value.code == 2
    assert "--scale" in capsys.readouterr().err


def test_a_worker_that_made_no_call_before_the_next_change_is_a_sample_less_and_counted() -> None:
    changes = [_Change("word", "good", 1_000_000, 1), _Change("word", "bad", 5_000_000, 2)]
    quick = [Calls(seen=[("good", 2_000_000), ("bad", 6_000_000)], marks=[(1, 1_500_000), (2, 5_500_000)])]
    late = [Calls(seen=[("bad", 7_000_000)], marks=[(2, 6_500_000)])]
    whole, bare, over, dropped = _rows(changes, [quick, late], "word", "w", None)
    assert (whole.values["n"], bare.values["n"], over.values["n"]) == (3, 3, 3)
    assert (dropped.unit, dropped.values) == ("count", {"max": 1, "n": 4})
