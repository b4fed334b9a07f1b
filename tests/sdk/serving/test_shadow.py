"""Shadow scoring compares versions on real requests, within its budget, and never delays a request."""

import sys
import threading
import time
from pathlib import Path

import pytest

from knowngood_sdk.model.wire import ShadowOrder
from knowngood_sdk.serving.counting import Counting
from knowngood_sdk.serving.shadow import Shadow
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.system import System
from knowngood_sdk.serving.trouble import Troubles
from tests.sdk.serving.steward import Steward, until

ORDER = ShadowOrder(reference="v1", others=("v2", "v3"), per_second=1e6)


class Staged:
    def __init__(self, *versions: str) -> None:
        self.counting = Counting("pricing")
        self.troubles = Troubles()
        slots = {version: Slot(version=version, value=version, headers=()) for version in versions}
        self.shadow = Shadow(self.counting, lambda: slots, self.troubles)

    def pairs(self, other: str, reference: str = "v1") -> tuple[int, int]:
        counts = self.counting.counts().get(reference)
        paired = counts.shadow.get(other) if counts else None
        return (paired.n, paired.failed) if paired else (0, 0)


def score(version: str, request: float) -> float:
    if version == "v3":
        raise ValueError("features are missing")
    return request * (1.1 if version == "v2" else 1.0)


@pytest.mark.requirement("A2")
def test_every_version_scores_the_same_requests_and_one_that_cannot_is_counted_as_failed() -> None:
    staged = Staged("v1", "v2", "v3")
    staged.shadow.obey(ORDER, score)
    for number in range(1, 21):
        staged.shadow.sample(float(number))
        until(lambda n=number: staged.pairs("v3") == (0, n), "a pair")  # type: ignore[misc]
    assert staged.pairs("v2") == (20, 0)
    assert staged.counting.counts()["v1"].shadow["v2"].divergence == pytest.approx(0.1)
    assert "features are missing" in " ".join(staged.troubles.texts)
    staged.shadow.close()


def test_a_reference_that_cannot_score_makes_no_pair() -> None:
    staged = Staged("v1", "v2", "v3")
    staged.shadow.obey(ShadowOrder(reference="v3", others=("v2",), per_second=1e6), score)
    staged.shadow.sample(1.0)
    until(lambda: staged.troubles.texts, "a trouble")
    staged.shadow.close()
    assert staged.pairs("v2", "v3") == (0, 0)


def test_a_score_that_would_end_the_program_is_counted_as_failed() -> None:
    def ending(version: str, request: float) -> float:
        if version == "v2":
            sys.exit(3)
        return request

    staged = Staged("v1", "v2")
    staged.shadow.obey(ORDER, ending)
    for failed in (1, 2):
        staged.shadow.sample(1.0)
        until(lambda n=failed: staged.pairs("v2")[1] == n, "a failed pair")  # type: ignore[misc]
    staged.shadow.close()


def test_a_version_that_is_not_loaded_yet_is_not_counted_against() -> None:
    staged = Staged("v1", "v2")
    staged.shadow.obey(ORDER, score)
    staged.shadow.sample(1.0)
    until(lambda: staged.pairs("v2") == (1, 0), "a pair")
    staged.shadow.close()
    assert staged.pairs("v3") == (0, 0)


def test_nothing_is_scored_without_an_order_or_a_score() -> None:
    staged = Staged("v1", "v2")
    staged.shadow.sample(1.0)
    staged.shadow.obey(ORDER, None)
    staged.shadow.sample(1.0)
    staged.shadow.obey(ORDER, score)
    staged.shadow.obey(None, score)
    staged.shadow.sample(1.0)
    staged.shadow.close()
    assert staged.pairs("v2") == (0, 0)


def test_the_budget_holds_for_any_number_of_requests() -> None:
    staged = Staged("v1", "v2")
    staged.shadow.obey(ShadowOrder(reference="v1", others=("v2",), per_second=50.0), score)
    began = time.monotonic()

    def serve() -> None:
        for _ in range(20_000):
            staged.shadow.sample(1.0)

    threads = [threading.Thread(target=serve) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    until(lambda: staged.pairs("v2")[0] > 0, "a pair")
    staged.shadow.close()
    assert staged.pairs("v2")[0] <= 1 + elapsed * 50.0


def test_a_score_that_hangs_delays_no_request_and_keeps_a_bounded_queue() -> None:
    staged = Staged("v1", "v2")
    hang = threading.Event()
    staged.shadow.obey(ORDER, lambda _version, _request: float(hang.wait(30)))
    began = time.monotonic()
    for _ in range(10_000):
        staged.shadow.sample(1.0)
    assert time.monotonic() - began < 2
    assert len(staged.shadow._waiting) <= 64
    hang.set()
    staged.shadow.close()


@pytest.mark.requirement("A2")
def test_requests_of_the_live_version_are_scored_by_a_combination_that_never_served(tmp_path: Path) -> None:
    steward = Steward(tmp_path)
    live, standby, combination = steward.release(2.0), steward.release(1.0), steward.release(1.5, golden=[])
    steward.accept(live, standby)
    steward.publish(shadow=ShadowOrder(reference=standby, others=(live, combination), per_second=1e6))
    with steward.system() as kg:
        until(lambda: kg.ready and len(kg.loaded) == 3, "three slots")
        for number in range(1, 31):
            with kg.request(f"rider-{number}") as priced:
                kg.observe(priced.price(float(number)), request=float(number))
            until(lambda n=number: steward_pairs(kg, standby, combination) >= n, "a pair")  # type: ignore[misc]
    paired = steward.counts(standby).shadow[combination]
    assert paired.n == 30
    assert paired.divergence == pytest.approx(0.5)
    assert steward.counts(live).predictions.n == 30


def steward_pairs(kg: System, reference: str, other: str) -> int:
    counts = kg._engine.serving().counting.counts().get(reference)
    return counts.shadow[other].n if counts and other in counts.shadow else 0
