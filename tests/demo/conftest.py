"""A run of the demo as a value, made up from a few riders, for what only reads it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from knowngood.demo.incident import Attempt, Canary, Incident
from knowngood.demo.load import Forecast, Notes, Request
from knowngood.demo.placebos import Placebos, Watched
from knowngood.demo.record import Record
from knowngood.demo.recovery import Recovery
from knowngood.demo.replay_clock import ReplayClock
from knowngood.demo.seen import Seen
from knowngood.demo.without import Plain
from knowngood.demo.world.evenings import Comparison, EveningResult
from knowngood.demo.world.hours import load_hours
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.training import Score, first_version

KNOWN, BAD, FIX, MIXED = (f"sha256:{digit * 64}" for digit in "1234")
STARTED_AT = datetime(2026, 11, 23, 18, tzinfo=UTC)
CLOCK = ReplayClock(starts_at=STARTED_AT.timestamp(), start_offset_seconds=4800.0, speed=240.0)
DEPLOYED, DETECTED, DECIDED, KILLED, LEFT, VERIFIED, FIXED, CANARY = 13.0, 14.9, 15.0, 15.1, 18.0, 23.0, 30.0, 40.0
MODELS = {"known": "sha256:model-1", "bad": "sha256:model-2"}
SEEN_LEFT = 15.5
KNOWN_PRICES = {17: 4.4, 18: 4.2, 19: 3.2, 20: 2.6}
URLS = {"r1": "http://127.0.0.1:1", "r2": "http://127.0.0.1:2"}

COMPARISON = Comparison(divergence=0.2, price_divergence=0.1, demand_shift=0.0, price_shift=0.0, true_error=70.0)
EVENING = EveningResult(
    change="utc",
    evening=date(2011, 10, 6),
    n=2203,
    distinct_hours=6,
    known_error=10.0,
    combination=COMPARISON,
    bad=COMPARISON,
    allowed=False,
    reason="too far off",
    allowed_on_prices=True,
    acceptable=False,
)
PLAIN = Plain(
    recovery=Recovery(
        last_bad_answer_seconds=0.2,
        first_good_price_seconds=3.3,
        bad_prices=6,
        failed_requests=119,
        requests=140,
        arrival_gap_seconds=0.04,
    ),
    requests=200,
    passed_over=0,
)

Visit = Callable[..., Request]
Play = Callable[..., Seen]


def at(seconds: float) -> str:
    return (STARTED_AT + timedelta(seconds=seconds)).isoformat()


def visited(seconds: float, version: str = KNOWN, **fields: Any) -> Request:
    sent_at = STARTED_AT.timestamp() + seconds
    offset = CLOCK.offset(sent_at)
    hour = 16 + int(offset // 3600)
    seen: dict[str, Any] = {
        "rider": f"rider-{seconds}",
        "offset_seconds": offset,
        "hour": hour,
        "sent_at": sent_at,
        "answered_at": sent_at + 0.05,
        "target": URLS["r1"],
        "status": 200,
        "version": version,
        "price": KNOWN_PRICES[hour] * (1.3 if version == BAD else 1.0),
        "demand": 500.0,
        "model": MODELS["bad" if version == BAD else "known"],
        "took": version != BAD,
    }
    return Request(**{**seen, **fields})


def alternative(level: int, verdict: str, n: int, **fields: Any) -> dict[str, Any]:
    mixed = level == 1
    return {
        "level": level,
        "scope": "model" if mixed else "system",
        "verdict": verdict,
        "reason": f"reason of level {level}",
        "divergence": 0.2 if mixed else None,
        "bad_divergence": 0.3 if mixed else None,
        "tolerance": 0.15 if mixed else None,
        "n": n,
        "target": MIXED if mixed else KNOWN,
        **fields,
    }


def decided(n: int, **fields: Any) -> dict[str, Any]:
    alternatives = [alternative(2, "preferred", 0), alternative(1, "refused", n)]
    return {
        "acts": True,
        "version": BAD,
        "measured_at": at(DETECTED),
        "outcome": "roll-back",
        "trigger": "prediction_mean",
        "level": 2,
        "reasons": ["prediction_mean: too high on the same requests"],
        "would_change": ["prediction_mean back within its limit"],
        "figures": {
            "conversion": {"verdict": "inconclusive", "n": 30},
            "prediction_mean": {"verdict": "breached", "n": 30, "mean": 675.04},
        },
        "plan": {"alternatives": alternatives, "risks": ["more parts move"], "flags": []},
        **fields,
    }


def seen_before(seconds: float) -> dict[str, Any]:
    """Return a decision that a breach of two triggers led to, and on which automation did not act."""
    figures = {name: {"verdict": "breached", "n": 30} for name in ("conversion", "latency")}
    body = decided(3, acts=False, measured_at=at(seconds), outcome="investigate", trigger="latency", figures=figures)
    return {"kind": "decided", "at": at(seconds), "body": {**body, "reasons": ["latency: too long"], "level": None}}


def record() -> Record:
    def step(name: str, seconds: float, **details: Any) -> dict[str, Any]:
        return {"name": name, "at": at(seconds), "outcome": "done", "details": details}

    entries = [
        {"kind": "minted", "at": at(DEPLOYED), "body": {"version": BAD}},
        {"kind": "advanced", "at": at(DEPLOYED), "body": {"version": BAD}},
        {"kind": "decided", "at": at(DECIDED), "body": decided(35)},
        {"kind": "tripped", "at": at(DECIDED), "body": {"version": BAD, "at": at(DECIDED)}},
        {"kind": "minted", "at": at(CANARY), "body": {"version": BAD}},
        {"kind": "advanced", "at": at(CANARY + 1), "body": {"version": BAD}},
        {"kind": "decided", "at": at(CANARY + 2), "body": decided(210)},
        {"kind": "tripped", "at": at(CANARY + 2), "body": {"version": BAD, "at": at(CANARY + 2)}},
    ]
    deployments = [
        {"version": KNOWN, "split": 10_000},
        {"version": BAD, "split": 10_000},
        {"version": FIX, "split": 10_000, "full_at": at(FIXED)},
        {"version": BAD, "split": 1000},
    ]
    fan_out = step("fan-out", LEFT, left=["r1", "r2"])
    sagas = [
        {"version": BAD, "episode": 1, "state": "done", "steps": [fan_out, step("verify", VERIFIED)]},
        {"version": BAD, "episode": 2, "state": "running", "steps": [step("fan-out", CANARY + 3, left=["r1", "r2"])]},
    ]
    return Record(entries, deployments, sagas)


def riders() -> list[Request]:
    before = [visited(second) for second in range(1, 13)]
    bad = [visited(DEPLOYED + tenth / 10, BAD, target=URLS["r1" if tenth % 2 else "r2"]) for tenth in range(21)]
    after = [visited(second) for second in range(16, 40)]
    canary = [visited(CANARY + 1.2, FIX), visited(CANARY + 1.5, BAD), visited(CANARY + 4, FIX)]
    return [*before, *bad, *after, *canary]


@pytest.fixture
def visit() -> Visit:
    return visited


@pytest.fixture
def play() -> Play:
    """Return a run in which all went well, with some of it changed."""

    def played(**changes: Any) -> Seen:
        side = {"ref": {"digest": KNOWN, "native": "git-sha"}, "kind": "git"}
        score = Score(measure="rides", n=2203, mae=22.7, relative_mae=0.16, r2=0.9, bias=0.02)
        log = changes.pop("log", riders())
        seen: dict[str, Any] = {
            "change": "utc",
            "seed": 1,
            "evening": "2011-10-06",
            "versions": {"known": KNOWN, "bad": BAD, "fix": FIX},
            "processes": [("watch", "kg watch", 4711)],
            "models": MODELS,
            "urls": URLS,
            "clock": CLOCK,
            "incident": Incident(
                deployed_at=STARTED_AT.timestamp() + DEPLOYED,
                waited_seconds=60.0,
                killed_at=STARTED_AT.timestamp() + KILLED,
                killed_by=9,
                left_before=("r1",),
                seen_at=STARTED_AT.timestamp() + SEEN_LEFT,
            ),
            "attempts": [Attempt(how="as it is", exit_code=5, reason="it is in quarantine")],
            "canary": Canary(started_at=STARTED_AT.timestamp() + CANARY, share=0.1, left=True, waited_seconds=60.0),
            "record": record(),
            "ledger": {"ok": True, "count": 37, "anchors": 2, "problem": ""},
            "diff": {"changes": [{"component": "features", "before": side, "after": None}]},
            "log": log,
            "evening_log": log,
            "notes": Notes(passed_over=0, forecasts=(Forecast(hour=18, version=BAD, demand=675.0, rides=450.0),)),
            "known_prices": KNOWN_PRICES,
            "scores": {"version 1 on rides": score},
            "evening_result": EVENING,
            "placebos": Placebos(
                watched=tuple(Watched(evening=date(2011, 10, 6), requests=9, looks=3, decision=None) for _ in range(20))
            ),
            "plain": PLAIN,
        }
        return Seen(**{**seen, **changes})

    return played


@pytest.fixture
def unnoticed(play: Play) -> Seen:
    """Return a run in which version 2 moved nothing beyond a limit: nobody left it, and nothing followed."""
    whole = play()
    began = [entry for entry in whole.record.entries if entry["at"] <= at(DEPLOYED)]
    return replace(
        whole,
        incident=Incident(deployed_at=whole.incident.deployed_at, waited_seconds=60.0),
        attempts=(),
        canary=None,
        plain=None,
        record=Record(began, whole.record.deployments[:2], []),
        log=[visited(14 + second, BAD, price=KNOWN_PRICES[18]) for second in range(3)],
    )


@pytest.fixture
def investigated(unnoticed: Seen) -> Seen:
    """Return a run in which triggers were breached, and a person was asked."""
    entries = [*unnoticed.record.entries, seen_before(14.5)]
    return replace(unnoticed, record=replace(unnoticed.record, entries=entries))


@pytest.fixture
def forewarned(play: Play) -> Seen:
    """Return a run in which two triggers were breached before the one that automation acted on."""
    whole = play()
    entries = [*whole.record.entries[:2], seen_before(14.2), *whole.record.entries[2:]]
    return replace(whole, record=replace(whole.record, entries=entries))


@pytest.fixture
def versions() -> Mapping[str, str]:
    return {"known": KNOWN, "bad": BAD, "fix": FIX}


@pytest.fixture(scope="session")
def year() -> pd.DataFrame:
    return load_hours()


@pytest.fixture(scope="session")
def first(year: pd.DataFrame) -> Pricing:
    return first_version(year, seed=1)
