"""Which keys count, how they come and go, and that a replica which cannot check takes every trip and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from knowngood.testing.replica import ReplicaUnderTest
from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.protocol import push_request
from knowngood_sdk.model.route import Facts
from knowngood_sdk.model.signed import DocumentKind, Envelope, Signature
from knowngood_sdk.model.wire import ReplicaReport
from tests.sdk.agent.notary import (
    KEY,
    NEXT_KEY,
    OTHER_ROOT_KEY,
    ROOT_KEY,
    STRANGER,
    Notary,
    TestKey,
    root,
    roots_file,
    signed_by,
)
from tests.sdk.agent.target import NOTARY, ON_A, ON_B, TRIP, A, B, C, Target, refuses


def changed(envelope: Envelope, old: str, new: str) -> Envelope:
    assert old in envelope.payload
    return replace(envelope, payload=envelope.payload.replace(old, new))


class TestKeysThatDoNotCount:
    """Wrong, unknown and removed keys, tampered payloads, signatures of another kind of document."""

    def test_a_wrong_key_under_the_name_of_a_known_one(self, target: Target) -> None:
        signed = Notary(STRANGER).sign(ON_B, 11).signed
        assert signed is not None
        forged = replace(signed, signatures=(Signature(KEY.id, signed.signatures[0].value),))
        refuses(target, replace(ON_B, signed=forged), f"the signature of key {KEY.id[:12]} does not fit what it says")

    def test_an_unknown_key(self, target: Target) -> None:
        refuses(target, Notary(STRANGER).sign(ON_B, 11), f"key {STRANGER.id[:12]} is not known here")

    def test_the_key_of_a_root_signs_no_route(self, target: Target) -> None:
        refuses(target, Notary(ROOT_KEY).sign(ON_B, 11), f"key {ROOT_KEY.id[:12]} is not known here")

    def test_a_removed_key(self, target: Target) -> None:
        roots = (root(2, signing=(KEY, NEXT_KEY)), root(3, signing=(NEXT_KEY,)))
        target.take(Notary(NEXT_KEY, roots).sign(ON_A, 11))
        refuses(target, Notary(KEY, roots).sign(ON_B, 12), f"key {KEY.id[:12]} is not known here")

    def test_a_removed_key_after_a_restart_with_the_first_root_file(self, target: Target) -> None:
        roots = (root(2, signing=(KEY, NEXT_KEY)), root(3, signing=(NEXT_KEY,)))
        target.take(Notary(NEXT_KEY, roots).sign(ON_A, 11))
        target.restart(target.root_file)
        refuses(target, NOTARY.sign(ON_B, 12), f"key {KEY.id[:12]} is not known here")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param('"generation":2', '"generation":3', id="the route"),
            pytest.param('"version":11', '"version":99', id="the number"),
            pytest.param('"system":"pricing"', '"system":"pricinh"', id="the system"),
            pytest.param('"released":[]', '"released":["t-1"]', id="the releases"),
            pytest.param("2099", "2199", id="how long it is fresh"),
        ],
    )
    def test_a_tampered_payload(self, target: Target, old: str, new: str) -> None:
        signed = NOTARY.sign(ON_B, 11).signed
        assert signed is not None
        refuses(target, replace(ON_B, signed=changed(signed, old, new)), "does not fit what it says")

    @pytest.mark.parametrize("position", range(0, 64, 7))
    def test_a_signature_with_one_bit_changed(self, target: Target, position: int) -> None:
        signed = NOTARY.sign(ON_B, 11).signed
        assert signed is not None
        value = bytearray(signed.signatures[0].value)
        value[position] ^= 1
        forged = replace(signed, signatures=(Signature(KEY.id, bytes(value)),))
        refuses(target, replace(ON_B, signed=forged), "does not fit what it says")

    @pytest.mark.parametrize("kind", [DocumentKind.RELEASE, DocumentKind.ROOT])
    def test_a_signature_of_another_kind_of_document(self, target: Target, kind: DocumentKind) -> None:
        of_other_kind = NOTARY.sign(ON_B, 11, kind=kind)
        refuses(target, of_other_kind, f"what is signed is a {kind}, where a route is expected")
        assert of_other_kind.signed is not None
        relabelled = replace(of_other_kind, signed=replace(of_other_kind.signed, kind=DocumentKind.ROUTE))
        target.take(relabelled)
        assert "does not fit what it says" in target.told

    def test_the_same_signature_many_times_is_one(self, target: Target) -> None:
        signed = root(2, keys=(ROOT_KEY, OTHER_ROOT_KEY), threshold=2, by=(ROOT_KEY, OTHER_ROOT_KEY))
        target.take(replace(NOTARY.sign(ON_A, 11), roots=(signed,)))
        three = root(3, keys=(ROOT_KEY, OTHER_ROOT_KEY), threshold=2, signing=(STRANGER,), by=(ROOT_KEY,))
        doubled = replace(three, signatures=three.signatures * 2)
        refuses(target, Notary(STRANGER, (signed, doubled)).sign(ON_B, 12), "is not known here")


class TestRotation:
    """A root goes over to the next one by the signatures of both."""

    @staticmethod
    def follows(target: Target, roots: tuple[Envelope, ...], key: TestKey) -> bool:
        target.take(Notary(key, roots).sign(ON_B, 12))
        return target.serves == (2, B)

    def test_a_new_key_signs_once_a_root_names_it(self, target: Target) -> None:
        assert not self.follows(target, (), NEXT_KEY)
        assert self.follows(target, (root(2, signing=(NEXT_KEY,)),), NEXT_KEY)

    def test_a_root_signed_by_a_stranger_is_not_followed(self, target: Target) -> None:
        forged = root(2, keys=(STRANGER,), signing=(NEXT_KEY,), by=(STRANGER,))
        assert not self.follows(target, (forged,), NEXT_KEY)
        assert self.follows(target, (forged, root(2, signing=(KEY,))), KEY)

    def test_other_root_keys_take_over_when_both_sign(self, target: Target) -> None:
        old_alone = root(2, keys=(OTHER_ROOT_KEY,), by=(ROOT_KEY,))
        new_alone = root(2, keys=(OTHER_ROOT_KEY,), by=(OTHER_ROOT_KEY,))
        after = root(3, keys=(OTHER_ROOT_KEY,), signing=(NEXT_KEY,), by=(OTHER_ROOT_KEY,))
        for two in (old_alone, new_alone):
            assert not self.follows(target, (two, after), NEXT_KEY)
        both = root(2, keys=(OTHER_ROOT_KEY,), by=(ROOT_KEY, OTHER_ROOT_KEY))
        assert self.follows(target, (both, after), NEXT_KEY)

    def test_a_root_key_that_was_replaced_signs_no_more(self, target: Target) -> None:
        both = root(2, keys=(OTHER_ROOT_KEY,), by=(ROOT_KEY, OTHER_ROOT_KEY))
        assert not self.follows(target, (both, root(3, signing=(NEXT_KEY,), by=(ROOT_KEY,))), NEXT_KEY)

    def test_a_root_that_leaves_one_out_is_not_followed(self, target: Target) -> None:
        assert not self.follows(target, (root(3, signing=(NEXT_KEY,)),), NEXT_KEY)

    def test_fewer_signatures_than_the_threshold_are_none(self, target: Target) -> None:
        keys = (ROOT_KEY, OTHER_ROOT_KEY)
        two = root(2, keys=keys, threshold=2, by=keys)
        one_of_two = root(3, keys=keys, threshold=2, signing=(NEXT_KEY,), by=(OTHER_ROOT_KEY,))
        both = root(3, keys=keys, threshold=2, signing=(NEXT_KEY,), by=keys)
        assert not self.follows(target, (two, one_of_two), NEXT_KEY)
        assert self.follows(target, (two, both), NEXT_KEY)

    def test_a_root_is_no_route_whoever_signed_it(self, target: Target) -> None:
        as_route = signed_by(DocumentKind.ROUTE, root(2, signing=(NEXT_KEY,)).payload, ROOT_KEY)
        assert not self.follows(target, (replace(as_route, kind=DocumentKind.ROOT),), NEXT_KEY)
        assert not self.follows(target, (as_route,), NEXT_KEY)

    def test_another_root_file_is_another_beginning(self, target: Target, tmp_path: Path) -> None:
        fresh = root(1, keys=(OTHER_ROOT_KEY,), signing=(NEXT_KEY,), by=(OTHER_ROOT_KEY,))
        target.restart(roots_file(tmp_path / "other.json", fresh))
        assert self.follows(target, (), NEXT_KEY)

    def test_a_later_root_file_of_the_same_line_is_gone_on_with(self, target: Target, tmp_path: Path) -> None:
        two = root(2, signing=(KEY, NEXT_KEY))
        target.restart(roots_file(tmp_path / "later.json", root(), two))
        refuses(target, Notary(NEXT_KEY).sign(ON_B, 9), "version 9, after version 10")


def cannot_check(target: Target, why: str) -> None:
    target.keeper.look_around()
    assert why in target.told, target.told
    target.take(NOTARY.sign(ON_B, 11))
    assert target.serves == (1, A)
    target.take(replace(NOTARY.sign(ON_A, 12), facts=Facts({"t": replace(TRIP, uid="t", version=A)})))
    assert target.serves == (1, C)


def test_a_folder_that_was_given_a_root_once_asks_for_signatures_for_ever(target: Target) -> None:
    target.restart(None)
    refuses(target, ON_B, "the route is not signed")


def test_without_a_root_that_can_be_read_no_route_is_taken_and_every_trip_is(target: Target) -> None:
    target.folder.trust_file.write_text("{")
    target.restart(None)
    cannot_check(target, "what was seen of keys is lost")


def test_a_torn_memory_of_keys_begins_again_from_the_root_file_and_says_so(target: Target) -> None:
    target.folder.trust_file.write_text("{")
    target.restart(target.root_file)
    target.keeper.look_around()
    assert "what was seen of keys is lost" in target.told
    target.take(NOTARY.sign(ON_B, 11))
    assert target.serves == (2, B)


def test_without_the_package_no_route_is_taken_and_every_trip_is(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = tmp_path / "shadow" / "cryptography"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('there is no cryptography here')")
    monkeypatch.setenv("PYTHONPATH", str(shadow.parent))
    monkeypatch.setenv("KNOWNGOOD_TRUST", str(target.root_file))
    replica = ReplicaUnderTest.of(tmp_path / "kg", "pricing", "b", [A, B, C])
    replica.start()
    request = push_request(replace(NOTARY.sign(ON_B, 11), facts=Facts({TRIP.uid: TRIP})))
    report = ask_each({"b": replica.folder.agent_socket}, request, 20.0)["b"]
    replica.close()
    assert isinstance(report, ReplicaReport)
    assert report.state.fleet.generation == 0
    assert report.state.facts.quarantined == {B}
    assert report.refusal is not None
    assert "Install it: pip install 'knowngood-sdk[signing]'" in report.refusal.reason


def test_a_disk_that_does_not_take_what_was_seen_stops_no_route(target: Target) -> None:
    target.folder.trust_file.unlink()
    (target.folder.trust_file / "something").mkdir(parents=True)
    target.take(NOTARY.sign(ON_B, 11))
    assert target.serves == (2, B)
    assert "trust.json cannot be written" in target.told
