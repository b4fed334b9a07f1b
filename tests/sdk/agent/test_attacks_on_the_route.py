"""
The attacks that The Update Framework names, on a replica that knows keys, each by its name.

Whatever an attacker sends, the replica serves what it served, says why in its report, and still leaves what it is told
to leave. The attacker may write where documents are published, and sit on the network; where a test says so, they
have stolen a key that signs routes too.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from knowngood.testing.replica import StandInWorker, until
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import MAX_SAFE_INTEGER, canonical_bytes
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation
from knowngood_sdk.model.signed import MAX_PAYLOAD, MAX_ROOTS, MAX_SIGNATURES, DocumentKind
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument
from knowngood_sdk.model.word import MAX_GENERATION
from knowngood_sdk.serving.folder import MAX_DOCUMENT, ReplicaFolder
from tests.sdk.agent.notary import KEY, NEXT_KEY, Notary, root
from tests.sdk.agent.target import (
    CANARY_OF_B,
    NOTARY,
    OF_B,
    ON_A,
    ON_B,
    ON_D,
    RELEASED,
    TRIP,
    A,
    B,
    C,
    D,
    Target,
    refuses,
)

# ------------------------------------------------------------------------------------------------ what must work


def test_a_signed_route_is_taken(target: Target) -> None:
    target.take(NOTARY.sign(ON_B, 11))
    assert target.serves == (2, B)
    assert target.told == ""
    assert target.keeper.report().signed == (11, "2026-01-01T18:00:00.000Z")


def test_a_trip_needs_no_signature_beside_a_signed_route(target: Target) -> None:
    target.take(NOTARY.sign(ON_B, 11))
    target.take(replace(NOTARY.sign(ON_B, 11), facts=OF_B))
    assert target.serves == (2, A)
    assert target.told == ""


def test_a_trip_needs_no_signature_at_all(target: Target) -> None:
    target.take(NOTARY.sign(ON_B, 11))
    target.take(RouteDocument(system="pricing", facts=OF_B))
    assert target.serves == (2, A)


def test_a_signed_release_lifts_a_quarantine(target: Target) -> None:
    target.take(NOTARY.sign(ON_B, 11))
    target.take(RouteDocument(system="pricing", facts=OF_B))
    target.take(NOTARY.sign(replace(ON_B, facts=RELEASED), 12))
    assert target.keeper.report().state.facts.quarantined == frozenset()


def test_the_same_again_is_no_attack(target: Target) -> None:
    for _ in range(3):
        target.take(NOTARY.sign(ON_A, 10))
    assert target.told == ""


def test_a_replica_without_keys_takes_what_it_is_given(tmp_path: Path) -> None:
    folder = ReplicaFolder.of(tmp_path, "pricing", "a")
    folder.make()
    worker = StandInWorker(folder, "w1", [A, B, C])
    with Keeper(folder) as keeper:
        keeper.take(ON_A)
        keeper.take(NOTARY.sign(ON_B, 1))
        assert keeper.report().state.fleet == ON_B.route
        assert keeper.report().signed == (0, "")
    assert not folder.trust_file.exists()
    worker.die()


# ------------------------------------------------------------------------------------------------ unsigned


def test_an_unsigned_generation_is_refused_and_its_trips_are_taken(target: Target) -> None:
    refuses(target, ON_B, "generation 2 refused: the route is not signed, and this replica takes signed ones alone")


def test_an_unsigned_release_lifts_no_quarantine(target: Target) -> None:
    target.take(RouteDocument(system="pricing", facts=OF_B))
    refuses(target, replace(ON_A, facts=RELEASED), "the route is not signed")
    assert B in target.keeper.report().state.facts.quarantined


def test_an_unsigned_split_gives_the_candidate_no_traffic(target: Target) -> None:
    target.take(NOTARY.sign(CANARY_OF_B, 11))
    target.take(ON_B)
    assert target.keeper.report().state.fleet == CANARY_OF_B.route
    assert "the route is not signed" in target.told


def test_what_is_refused_is_taken_once_it_is_signed(target: Target) -> None:
    target.take(ON_B)
    assert target.keeper.report().refusal is not None
    target.take(NOTARY.sign(ON_B, 11))
    assert target.serves == (2, B)
    assert target.keeper.report().refusal is None
    assert target.told == ""


def test_an_unsigned_route_in_the_published_file_is_refused_too(target: Target) -> None:
    target.folder.route_file.write_bytes(canonical_bytes(replace(ON_B, facts=OF_B).to_json()))

    def seen() -> bool:
        target.keeper.look()
        return "the route is not signed" in target.told

    until(seen, "the refusal of the published route")
    assert target.serves == (1, A)
    assert B in target.keeper.report().state.facts.quarantined


def test_an_unsigned_release_document_is_not_served(target: Target, tmp_path: Path) -> None:
    component = Component(role=Role.MODEL, kind="files", ref=Ref(digest=A))
    release = ReleaseDocument(manifest=Manifest(system="pricing", components={"model": component}), paths={})
    version = release.manifest.content_digest
    target.folder.manifests.mkdir()
    place = target.folder.manifests / f"{version.removeprefix('sha256:')}.json"
    route = RouteDocument(
        system="pricing", route=FleetRoute(2, 0, FULL), generations={2: Generation(number=2, chain=(version, A))}
    )
    target.worker.say([A, version])

    place.write_bytes(canonical_bytes(release.to_json()))
    target.take(NOTARY.sign(route, 11))
    assert "the release is not signed" in target.told
    assert target.serves == (1, A)

    forged = replace(NOTARY.sign_release(release), golden=str(tmp_path))
    place.write_bytes(canonical_bytes(forged.to_json()))
    target.take(NOTARY.sign(route, 12))
    assert "the release says other things than what is signed" in target.told
    assert target.serves == (1, A)

    place.write_bytes(canonical_bytes(replace(NOTARY.sign_release(release), paths={"model": "/here"}).to_json()))
    target.take(NOTARY.sign(route, 13))
    assert target.told == ""
    assert target.serves == (2, version)


def test_a_release_from_before_signing_began_may_stand_behind_the_candidate(target: Target) -> None:
    component = Component(role=Role.MODEL, kind="files", ref=Ref(digest=A))
    release = ReleaseDocument(manifest=Manifest(system="pricing", components={"model": component}), paths={})
    version = release.manifest.content_digest
    target.folder.manifests.mkdir()
    place = target.folder.manifests / f"{version.removeprefix('sha256:')}.json"
    route = RouteDocument(
        system="pricing", route=FleetRoute(2, 0, FULL), generations={2: Generation(number=2, chain=(B, version))}
    )
    wrong = replace(release, signed=NOTARY.sign(ON_A, 1).signed)
    place.write_bytes(canonical_bytes(wrong.to_json()))
    target.take(NOTARY.sign(route, 11))
    assert "what is signed is a route, where a release is expected" in target.told
    place.write_bytes(canonical_bytes(release.to_json()))
    target.take(NOTARY.sign(route, 12))
    assert target.serves == (2, B)
    assert target.told == ""


# ------------------------------------------------------------------------------------------------ the attacks by name


class TestRollbackAttack:
    """An older document, rightly signed in its time, is sent again."""

    def test_an_older_route_is_refused(self, target: Target) -> None:
        refuses(target, NOTARY.sign(ON_B, 9), "older than what is known here: version 9, after version 10")

    def test_an_older_route_is_refused_after_a_restart(self, target: Target) -> None:
        target.restart(target.root_file)
        refuses(target, NOTARY.sign(ON_B, 9), "older than what is known here")

    def test_an_older_route_is_refused_whichever_key_signed_it(self, target: Target) -> None:
        two = root(2, signing=(KEY, NEXT_KEY))
        target.take(Notary(NEXT_KEY, (two,)).sign(ON_A, 20))
        refuses(target, NOTARY.sign(ON_B, 19), "older than what is known here: version 19, after version 20")

    def test_an_older_route_brings_no_older_quarantine_back(self, target: Target) -> None:
        before = NOTARY.sign(replace(ON_B, facts=RELEASED), 11)
        target.take(before)
        again = replace(TRIP, uid="t-2")
        target.take(NOTARY.sign(replace(ON_B, facts=Facts({"t-2": again}, RELEASED.released)), 12))
        target.take(before)
        assert B in target.keeper.report().state.facts.quarantined

    @pytest.mark.parametrize("version", [10, 11], ids=["the same number", "the next number"])
    def test_a_route_at_the_limit_is_taken(self, target: Target, version: int) -> None:
        target.take(NOTARY.sign(ON_B, version))
        assert target.serves == (2, B)


class TestMixAndMatchAttack:
    """Parts of documents, each rightly signed, are put together to something that nobody signed."""

    def test_the_route_of_one_state_with_the_releases_of_another_is_refused(self, target: Target) -> None:
        one, other = NOTARY.sign(ON_A, 11), NOTARY.sign(replace(ON_A, facts=RELEASED), 12)
        target.take(RouteDocument(system="pricing", facts=OF_B))
        refuses(target, replace(one, facts=other.facts), "the document says other things than what is signed")
        assert B in target.keeper.report().state.facts.quarantined

    def test_the_route_of_one_state_with_the_generations_of_another_is_refused(self, target: Target) -> None:
        forged = Generation(number=2, chain=(D, A, C))
        one = NOTARY.sign(ON_B, 11)
        refuses(target, replace(one, generations={2: forged}), "the document says other things than what is signed")

    def test_the_document_of_another_system_is_refused(self, target: Target) -> None:
        other = NOTARY.sign(replace(ON_B, system="fraud"), 11)
        with pytest.raises(InvalidError, match="for system 'fraud'"):
            target.take(other)
        refuses(target, replace(ON_B, signed=other.signed), "the route of system 'fraud', not of 'pricing'")

    def test_an_older_signature_over_a_newer_document_is_refused(self, target: Target) -> None:
        refuses(target, replace(ON_B, signed=NOTARY.sign(ON_A, 10).signed), "says other things than what is signed")

    def test_what_is_prepared_and_shadowed_is_signed_too(self, target: Target) -> None:
        signed = NOTARY.sign(ON_A, 11)
        refuses(target, replace(signed, prepare=(D,)), "the document says other things than what is signed")
        refuses(target, replace(signed, anchor=(99, "x")), "the document says other things than what is signed")


class TestFreezeAttack:
    """Newer documents are held back, and an old one is sent for ever."""

    STALE: ClassVar = {"signed_at": "2020-01-01T00:00:00.000Z", "fresh_until": "2020-01-08T00:00:00.000Z"}

    def test_a_route_that_was_not_renewed_is_told_by_its_age_and_served_on(self, target: Target) -> None:
        target.take(NOTARY.sign(ON_B, 11, self.STALE))
        target.keeper.look_around()
        assert target.serves == (2, B)
        assert target.keeper.report().signed == (11, "2020-01-01T00:00:00.000Z")
        assert "not renewed since: the control plane is away, or somebody holds its documents back" in target.told
        assert "what it says is served on" in target.told

    def test_the_age_is_told_after_a_restart_without_a_control_plane(self, target: Target) -> None:
        target.take(NOTARY.sign(ON_B, 11, self.STALE))
        target.restart()
        target.keeper.look_around()
        assert target.serves == (2, B)
        assert "not renewed since" in target.told

    def test_a_newer_route_is_always_taken_and_ends_the_warning(self, target: Target) -> None:
        target.take(NOTARY.sign(ON_A, 11, self.STALE))
        target.keeper.look_around()
        target.take(NOTARY.sign(ON_B, 12))
        target.keeper.look_around()
        assert target.serves == (2, B)
        assert target.told == ""

    def test_a_newcomer_takes_an_old_route_rather_than_none(self, target: Target) -> None:
        folder = ReplicaFolder.of(target.folder.system_folder.parent.parent, "pricing", "newcomer")
        folder.make()
        newcomer = Target(folder, target.root_file)
        newcomer.take(NOTARY.sign(ON_A, 11, self.STALE))
        newcomer.keeper.look_around()
        assert newcomer.serves == (1, A)
        assert "not renewed since" in newcomer.told
        newcomer.close()

    def test_trips_arrive_through_a_frozen_route(self, target: Target) -> None:
        frozen = NOTARY.sign(ON_B, 11, self.STALE)
        target.take(frozen)
        target.take(replace(frozen, facts=OF_B))
        assert target.serves == (2, A)

    def test_a_time_that_is_none_is_told(self, target: Target) -> None:
        target.take(NOTARY.sign(ON_B, 11, {"signed_at": "yesterday", "fresh_until": "tomorrow"}))
        target.keeper.look_around()
        assert target.serves == (2, B)
        assert "does not say when it was signed: 'yesterday'" in target.told


class TestFastForwardAttack:
    """A stolen key signs an absurdly high number, so that nothing rightful is ever newer."""

    def test_the_numbers_of_a_removed_key_bind_nobody(self, target: Target) -> None:
        target.take(NOTARY.sign(ON_A, MAX_SAFE_INTEGER))
        two = root(2, signing=(KEY, NEXT_KEY))
        target.take(Notary(NEXT_KEY, (two,)).sign(ON_B, 12))
        assert "older than what is known here" in target.told
        three = root(3, signing=(NEXT_KEY,))
        target.take(Notary(NEXT_KEY, (two, three)).sign(ON_B, 13))
        assert target.serves == (2, B)
        assert target.told == ""

    def test_the_recovery_holds_after_a_restart(self, target: Target) -> None:
        target.take(NOTARY.sign(ON_A, MAX_SAFE_INTEGER))
        roots = (root(2, signing=(KEY, NEXT_KEY)), root(3, signing=(NEXT_KEY,)))
        target.take(Notary(NEXT_KEY, roots).sign(ON_B, 13))
        target.restart(target.root_file)
        refused = NOTARY.sign(ON_D, MAX_SAFE_INTEGER)
        target.take(refused)
        assert "is not known here" in target.told
        target.take(Notary(NEXT_KEY, roots).sign(ON_D, 14))
        assert target.serves == (3, D)

    def test_what_other_keys_signed_is_not_forgotten_with_the_stolen_one(self, target: Target) -> None:
        two = root(2, signing=(KEY, NEXT_KEY))
        target.take(Notary(NEXT_KEY, (two,)).sign(ON_A, 20))
        target.take(Notary(KEY, (two,)).sign(ON_A, MAX_SAFE_INTEGER))
        three = root(3, signing=(NEXT_KEY,))
        target.take(Notary(NEXT_KEY, (two, three)).sign(ON_B, 19))
        assert "version 19, after version 20" in target.told
        target.take(Notary(NEXT_KEY, (two, three)).sign(ON_B, 21))
        assert target.serves == (2, B)

    def test_a_forged_generation_is_left_by_a_deployment_above_it(self, target: Target) -> None:
        forged = Generation(number=1_000_000, chain=(D, A))
        target.take(
            NOTARY.sign(replace(ON_B, route=FleetRoute(1_000_000, 0, FULL), generations={1_000_000: forged}), 11)
        )
        assert target.serves == (1_000_000, D)
        roots = (root(2, signing=(KEY, NEXT_KEY)), root(3, signing=(NEXT_KEY,)))
        above = Generation(number=1_000_001, chain=(B, A))
        rightful = replace(ON_B, route=FleetRoute(1_000_001, 0, FULL), generations={1_000_001: above})
        target.take(Notary(NEXT_KEY, roots).sign(rightful, 12))
        assert target.serves == (1_000_001, B)

    def test_at_the_last_generation_there_is_a_replica_starts_anew_and_takes_the_rightful_route(
        self, target: Target
    ) -> None:
        last = Generation(number=MAX_GENERATION, chain=(D, A))
        forged = replace(ON_B, route=FleetRoute(MAX_GENERATION, 0, FULL), generations={MAX_GENERATION: last})
        target.take(NOTARY.sign(forged, 11))
        assert target.serves == (MAX_GENERATION, D)
        # As docs/how-to/sign-routes.md says: stop the agent, and move what the replica stands on out of the way.
        target.keeper.__exit__(None, None, None)
        for file in (target.folder.state_file, target.folder.word_file, target.folder.journal_file):
            file.unlink(missing_ok=True)
        target.keeper = Keeper(target.folder, root=target.root_file)
        roots = (root(2, signing=(KEY, NEXT_KEY)), root(3, signing=(NEXT_KEY,)))
        target.take(Notary(NEXT_KEY, roots).sign(ON_B, 12))
        assert target.serves == (2, B)

    def test_what_was_offered_under_a_key_that_went_is_not_taken_later(self, target: Target) -> None:
        target.worker.say([A, B, C])
        target.take(NOTARY.sign(ON_D, 11))
        assert target.serves == (1, A)
        roots = (root(2, signing=(KEY, NEXT_KEY)), root(3, signing=(NEXT_KEY,)))
        target.take(Notary(NEXT_KEY, roots).sign(ON_A, 12))
        target.worker.say([A, B, C, D])
        target.keeper.look_around()
        assert target.serves == (1, A)


class TestEndlessData:
    """More is sent than anybody would read."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"payload": "x" * (MAX_PAYLOAD + 1)}, id="an endless payload"),
            pytest.param(
                {"signatures": [{"key": "0" * 64, "value": "0" * 128}] * (MAX_SIGNATURES + 1)}, id="endless signatures"
            ),
            pytest.param({"signatures": [{"key": "0" * 64, "value": "0" * 1_000_000}]}, id="an endless signature"),
        ],
    )
    def test_an_envelope_is_refused_before_anything_is_computed(self, change: dict[str, Any]) -> None:
        document = NOTARY.sign(ON_B, 11).to_json()
        document["signed"].update(change)
        with pytest.raises(InvalidError, match="malformed"):
            RouteDocument.from_json(document)

    def test_as_many_roots_as_anybody_needs_are_read_and_no_more(self) -> None:
        document = NOTARY.sign(ON_B, 11).to_json()
        document["roots"] = [root().to_json()] * MAX_ROOTS
        assert len(RouteDocument.from_json(document).roots) == MAX_ROOTS
        document["roots"].append(root().to_json())
        with pytest.raises(InvalidError, match=f"roots are more than {MAX_ROOTS}"):
            RouteDocument.from_json(document)

    def test_a_payload_that_is_nested_without_end_is_refused(self, target: Target) -> None:
        deep = KEY.seal(DocumentKind.ROUTE, "[" * 100_000)
        refuses(target, replace(ON_B, signed=deep), "not JSON")

    def test_no_more_of_an_endless_file_is_read_than_a_document_may_have(self, target: Target) -> None:
        with target.folder.route_file.open("wb") as file:
            file.truncate(MAX_DOCUMENT * 1000)

        def seen() -> bool:
            target.keeper.look()
            return f"has more than {MAX_DOCUMENT} bytes" in target.told

        until(seen, "the refusal of the endless file")
        assert target.serves == (1, A)

    def test_an_endless_root_file_is_no_root(self, target: Target) -> None:
        with target.root_file.open("wb") as file:
            file.truncate(MAX_DOCUMENT * 1000)
        target.restart(target.root_file)
        target.keeper.look_around()
        assert "the root that was given cannot be read" in target.told
        target.take(NOTARY.sign(ON_B, 11))
        assert target.serves == (2, B)
