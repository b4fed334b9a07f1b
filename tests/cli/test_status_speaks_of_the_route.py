"""``kg status`` says where a trip really leads, and warns of replicas that cannot serve or cannot be told anything."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder, hold
from tests.acceptance.stage import Stage
from tests.cli.conftest import SMALL

NEW, OLD, OLDEST = (f"sha256:{digit * 64}" for digit in "abc")
AT = "2026-11-23T18:00:00.000Z"


@dataclass
class Place:
    """A system whose route and replicas are written as the control plane and the agents write them."""

    stage: Stage

    def route(self, *chain: str, step: int = 0, split: int = FULL, left: tuple[str, ...] = ()) -> None:
        """Publish a route of generation 1."""
        trips = {v: Trip(uid=v, version=v, generation=1, source="person", at=AT, why="wrong prices") for v in left}
        document = RouteDocument(
            system="pricing",
            route=FleetRoute(1, step, split),
            generations={1: Generation(number=1, chain=chain)},
            facts=Facts(trips),
        )
        FolderTraffic(self.stage.home).publish("pricing", lambda _: document)

    @contextmanager
    def replica(self, name: str, *ready: str, agent: bool = True, worker: bool = True) -> Iterator[None]:
        """Have a replica that reports some versions as ready, with parts of it alive while the block runs."""
        folder = ReplicaFolder.of(self.stage.home, "pricing", name)
        folder.make()
        document = folder.route()
        assert document is not None
        state = ReplicaState(
            fleet=document.route, latched=document.route.step, generations=document.generations, facts=document.facts
        ).relatch(frozenset(ready))
        folder.write_state(state)
        folder.write_report(ReplicaReport(replica=name, state=state, at=AT, ready=frozenset(ready)))
        locks: list[Path] = [folder.agent_lock] * agent + [folder.workers / "w1.lock"] * worker
        held = [hold(path) for path in locks]
        try:
            yield
        finally:
            for descriptor in held:
                assert descriptor is not None
                os.close(descriptor)

    def says(self) -> str:
        """What the command says to a person."""
        done = self.stage.kg("status", "pricing")
        assert done.code == 0, done.err
        return done.out


@pytest.fixture
def place(applied: Stage) -> Place:
    return Place(applied)


@pytest.mark.parametrize(
    ("chain", "more", "leads_to"),
    [
        pytest.param((NEW, OLD), {}, OLD, id="to what stands behind"),
        pytest.param((NEW, OLD), {"split": 1000}, OLD, id="a canary's to what serves beside it"),
        pytest.param((NEW, OLD), {"split": 0}, None, id="before a candidate has traffic, what serves is left"),
        pytest.param((NEW, OLD, OLDEST), {"left": (OLD,)}, OLDEST, id="past what is in quarantine"),
        pytest.param((NEW, OLD, OLDEST), {"step": 1, "left": (NEW,)}, OLDEST, id="further back after a rollback"),
        pytest.param((NEW, OLD), {"step": 1}, None, id="never to a candidate that was given up"),
        pytest.param((NEW,), {}, None, id="to the static fallback at the end"),
    ],
)
def test_a_trip_leads_where_the_replicas_would_go(
    place: Place, chain: tuple[str, ...], more: dict[str, object], leads_to: str | None
) -> None:
    place.route(*chain, **more)  # type: ignore[arg-type]
    assert place.stage.kg("status", "--output", "json").json["systems"][0]["trip_leads_to"] == leads_to
    named = leads_to[7:19] if leads_to else "the static fallback"
    assert f"  a trip leads to: {named}; whether that is safe: kg plan pricing\n" in place.says()


def test_after_the_glass_was_broken_what_serves_is_named_and_what_puts_it_on_record(place: Place) -> None:
    place.route(NEW, OLD, OLDEST, left=(NEW,))
    with place.replica("r1", OLD, OLDEST):
        said = place.says()
        status = place.stage.kg("status", "--output", "json").json["systems"][0]
    assert said.startswith(f"pricing serves {OLD[7:19]}, generation 1\n")
    assert f"a trip leads to: {OLDEST[7:19]}" in said
    assert f"⚠ left, and not on record yet: {NEW[7:19]}\n    to record it, and to verify what serves: " in said
    assert "kg rollback pricing, or kg watch pricing\n" in said
    assert status["serving"] == status["replicas"][0]["serves"] == [OLD]
    assert (status["not_on_record"], status["left"]) == ([NEW], [])


def test_a_trip_that_only_a_replica_knows_of_is_not_on_record(place: Place) -> None:
    place.route(NEW, OLD, left=(NEW,))
    with place.replica("r1", NEW, OLD):
        place.route(NEW, OLD)
        said = place.says()
    assert said.startswith(f"pricing serves {NEW[7:19]}")
    assert f"not on record yet: {NEW[7:19]}" in said


def test_a_record_that_is_behind_its_replicas_is_told_with_what_to_do(place: Place) -> None:
    place.route(NEW, OLD)
    assert "the record is behind" not in place.says()
    FolderTraffic(place.stage.home).publish("pricing", lambda known: replace(known, recorded=0))
    said = place.says()
    assert "⚠ the record is behind: the replicas stand on generation 1, it ends at 0 (an older copy was put" in said
    assert "kg deploy pricing\n" in said
    assert "kg rollback pricing --break-glass\n" in said


def test_a_replica_that_is_ahead_of_what_is_published_shows_that_too(place: Place) -> None:
    place.route(NEW, OLD)
    with place.replica("r1", NEW, OLD):
        FolderTraffic(place.stage.home).publish("pricing", lambda _: RouteDocument(system="pricing"))
        status = place.stage.kg("status", "--output", "json").json["systems"][0]
    assert status["record_behind"] == {"known": 1, "recorded": 0}


def test_after_a_rollback_it_says_what_was_left_and_where_its_verification_stands(place: Place) -> None:
    place.route(NEW, OLD, step=1, left=(NEW,))
    said = place.says()
    assert f"  a rollback that left {NEW[7:19]} led here; its verification: kg history pricing\n" in said
    assert "not on record" not in said


def test_where_a_candidate_was_given_up_no_rollback_led_here(place: Place) -> None:
    place.route(NEW, OLD, step=1)
    assert "led here" not in place.says()


def test_a_version_that_is_being_deployed_is_named_before_it_serves_anybody(place: Place) -> None:
    place.route(OLD)
    assert "is being deployed" not in place.says()
    FolderTraffic(place.stage.home).publish("pricing", lambda known: replace(known, prepare=(NEW,)))
    assert f"◷ {NEW[7:19]} is being deployed, and serves nobody yet\n" in place.says(), "while it is loaded"
    FolderTraffic(place.stage.home).publish("pricing", lambda known: replace(known, prepare=()))
    place.route(NEW, OLD, split=0)
    assert f"◷ {NEW[7:19]} is being deployed, and serves nobody yet\n" in place.says(), "once it is minted"
    place.route(NEW, OLD, split=1000)
    assert "is being deployed" not in place.says(), "a canary serves somebody"


def test_of_a_long_quarantine_the_newest_are_named(place: Place) -> None:
    held = [f"sha256:{digit * 64}" for digit in "12345"]
    place.route(NEW, OLD, left=tuple(held))
    newest = ", ".join(version[7:19] for version in held[:1:-1])
    assert f"⚠ in quarantine: {newest} and 2 more: kg quarantine list pricing\n" in place.says()
    assert place.stage.kg("status", "--output", "json").json["systems"][0]["quarantined"] == held[::-1]


def test_where_no_fallback_is_declared_none_is_promised(place: Place) -> None:
    (place.stage.folder / "pricing.yaml").write_text(SMALL.replace("fallback: {price: 2}\n", ""))
    assert place.stage.kg("apply", "pricing.yaml").code == 0
    place.route(NEW)
    assert "a trip leads to: nothing, for no static fallback is declared" in place.says()


def test_rules_that_cannot_be_read_do_not_hide_what_serves(place: Place) -> None:
    place.route(NEW)
    (place.stage.home / "systems" / "pricing" / "system.json").write_text("{")
    assert f"pricing serves {NEW[7:19]}" in place.says()


def test_before_the_first_deployment_it_says_what_comes_next(place: Place) -> None:
    said = place.says()
    assert "nothing is deployed yet: kg deploy pricing" in said
    assert "no replica has joined: start its server, and beside it: kg agent pricing" in said


def test_a_replica_that_is_whole_needs_no_warning(place: Place) -> None:
    place.route(NEW, OLD)
    with place.replica("r1", NEW, OLD):
        said = place.says()
    assert "✔  r1" in said
    assert "⚠" not in said


@pytest.mark.parametrize(
    ("alive", "warnings"),
    [
        pytest.param({"worker": False}, ["no live worker, so it answers nobody: start its server"], id="no worker"),
        pytest.param({"agent": False}, ["no live agent", "kg agent pricing --replica r1"], id="no agent"),
        pytest.param({"worker": False, "agent": False}, ["no live worker", "no live agent"], id="neither"),
    ],
)
def test_a_replica_of_which_a_part_is_gone_is_warned_of(
    place: Place, alive: dict[str, bool], warnings: list[str]
) -> None:
    place.route(NEW, OLD)
    with place.replica("r1", NEW, OLD, **alive):
        lines = place.says().splitlines()
    assert any("✖  r1" in line for line in lines)
    for warning in warnings:
        assert any(line.startswith("  ⚠ r1: ") and warning in line for line in lines), lines


def test_a_way_back_that_is_not_loaded_somewhere_is_warned_of(place: Place) -> None:
    place.route(NEW, OLD)
    with place.replica("r1", NEW):
        assert f"⚠ r1: {OLD[7:19]}, which a trip leads to, is not ready here" in place.says()


def test_a_mistyped_system_is_answered_with_the_nearest(place: Place) -> None:
    assert "Did you mean 'pricing'?" in place.stage.kg("status", "pricng").err
