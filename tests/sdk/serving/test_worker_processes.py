"""Several worker processes of one replica: one flip reaches all, and a killed one costs the others nothing."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowngood_sdk.model.route import FULL
from tests.sdk.serving.shop_server import Load, Server, uvicorn
from tests.sdk.serving.steward import Steward, until


@pytest.mark.slow
@pytest.mark.requirement("A1", "G1", "G2", "G3")
def test_a_flip_reaches_every_worker_at_once_with_no_failure_and_no_mixture(tmp_path: Path) -> None:
    steward = Steward(tmp_path)
    v2, v1 = steward.release(2.0, surge=2.0), steward.release(1.0, surge=1.0)
    steward.accept(v2, v1)
    flips: list[tuple[float, float, str]] = []
    with uvicorn(steward, workers=2) as server:
        until(lambda: all(report.ready == {v1, v2} for report in steward.reports.values()), "both slots everywhere")
        load = Load(server, workers=2)
        with load.running():
            pause = threading.Event()
            for number in range(2, 12):
                pause.wait(0.15)
                began = time.monotonic()
                steward.accept(*((v1, v2) if number % 2 == 0 else (v2, v1)))
                flips.append((began, time.monotonic(), v1 if number % 2 == 0 else v2))
            pause.wait(0.15)
    assert len({body["pid"] for *_, body, _ in load.seen}) == 2
    assert [status for _, _, status, _, _ in load.seen if status != 200] == []
    mixed = [b for *_, b, named in load.seen if b["factor"] != b["surge"] or b["version"] != named]
    assert mixed == []
    until_next = [began for began, _, _ in flips[1:]] + [float("inf")]
    wrong = [
        (sent, body["version"])
        for (_, done, version), end in zip(flips, until_next, strict=True)
        for sent, answered, _, body, _ in load.seen
        # What was sent after the word was set, and answered before the next flip began.
        if done < sent and answered < end and body["version"] != version
    ]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.requirement("G1")
def test_a_worker_that_is_killed_is_gone_for_the_agent_and_its_successor_stands_where_the_others_stand(
    tmp_path: Path,
) -> None:
    steward = Steward(tmp_path)
    v2, v1 = steward.release(2.0), steward.release(1.0)
    steward.accept(v2, v1)
    with uvicorn(steward, workers=2) as server:
        steward.word.join(1, 1, FULL)
        assert server.ask().json()["version"] == v1
        victim = next(iter(steward.reports.values())).pid
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in {report.pid for report in steward.reports.values()}, "the end of the victim")
        until(lambda: len([r for r in steward.reports.values() if r.ready]) == 2, "its successor")
        answers_of_both = until(lambda: both(server, victim), "answers of both")
    assert {body["version"] for body in answers_of_both} == {v1}


def both(server: Server, victim: int) -> list[dict[str, Any]] | None:
    """Answers from two workers that are not the victim."""
    found: dict[int, dict[str, Any]] = {}
    for number in range(20):
        try:
            body = server.ask(rider=f"rider-{number}").json()
        except httpx.TransportError:
            continue
        if body["pid"] != victim:
            found[body["pid"]] = body
    return list(found.values()) if len(found) == 2 else None
