"""Signed documents: what is signed are bytes of one kind, roots vouch for the next, and only trips go without."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError, UntrustedError
from knowngood_sdk.model.canonical import MAX_SAFE_INTEGER
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, Trip
from knowngood_sdk.model.signed import (
    DocumentKind,
    Envelope,
    Root,
    Signature,
    Statement,
    check_threshold,
    envelope_from_json,
    key_id,
    message_of,
    next_root,
    root_of,
    root_payload,
    root_version,
    statement_of,
    statement_payload,
)
from knowngood_sdk.model.trust import Trust, joined_signed, signed_version
from knowngood_sdk.model.wire import RouteDocument

A, B = ("sha256:" + digit * 64 for digit in "ab")
KEYS = [bytes([number] * 32) for number in range(1, 7)]
IDS = [key_id(public) for public in KEYS]


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Stand in for Ed25519: the signature of a key begins with its number, and ends with the length of the message."""
    return signature == sign(public, message)


def sign(public: bytes, message: bytes) -> bytes:
    return (public[:1] + len(message).to_bytes(3, "big") + message[-60:]).ljust(64, b"\0")


def sealed(kind: DocumentKind, payload: str, *keys: bytes) -> Envelope:
    message = message_of(kind, payload)
    return Envelope(
        kind=kind, payload=payload, signatures=tuple(Signature(key_id(key), sign(key, message)) for key in keys)
    )


def keys_of(*numbers: int) -> dict[str, bytes]:
    return {IDS[number]: KEYS[number] for number in numbers}


def root(
    version: int = 1, *, roots: tuple[int, ...] = (0,), signing: tuple[int, ...] = (3,), threshold: int = 1
) -> Root:
    return Root(version=version, root_keys=keys_of(*roots), threshold=threshold, signing_keys=keys_of(*signing))


def json_values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.text(max_size=10)
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


def documents() -> st.SearchStrategy[RouteDocument]:
    trips = st.lists(
        st.builds(
            Trip,
            uid=st.sampled_from(["t-1", "t-2", "t-3"]),
            version=st.sampled_from([A, B]),
            generation=st.integers(1, 3),
            source=st.just("person"),
            at=st.just(""),
            why=st.text(max_size=5),
        ),
        max_size=3,
    )
    facts = st.builds(
        lambda several, released: Facts({trip.uid: trip for trip in several}, released),
        trips,
        st.frozensets(st.sampled_from(["t-1", "t-2", "t-3"])),
    )
    return st.builds(
        RouteDocument,
        system=st.just("pricing"),
        route=st.builds(FleetRoute, st.integers(0, 3), st.integers(0, 2), st.integers(0, FULL)),
        generations=st.sampled_from([{}, {1: Generation(number=1, chain=(A, B))}]),
        facts=facts,
        prepare=st.sampled_from([(), (B,)]),
        anchor=st.tuples(st.integers(0, 9), st.text(max_size=3)),
    )


def signed(document: RouteDocument, version: int, key: bytes = KEYS[3]) -> RouteDocument:
    statement = Statement(version=version, signed_at="", fresh_until="", body=document.vouched.to_json())
    return replace(document, signed=sealed(DocumentKind.ROUTE, statement_payload(statement), key))


TRUST = Trust(system="pricing", root=root())


# ------------------------------------------------------------------------------------------------ the envelope


@given(st.sampled_from(DocumentKind), st.text(max_size=20), st.sampled_from(DocumentKind), st.text(max_size=20))
def test_no_two_documents_share_the_bytes_that_are_signed(
    kind: DocumentKind, payload: str, other_kind: DocumentKind, other: str
) -> None:
    same = (kind, payload) == (other_kind, other)
    assert (message_of(kind, payload) == message_of(other_kind, other)) is same


@given(st.sampled_from(DocumentKind), st.text(max_size=30), st.lists(st.sampled_from(KEYS), max_size=4))
def test_an_envelope_is_read_as_it_was_written(kind: DocumentKind, payload: str, by: list[bytes]) -> None:
    envelope = sealed(kind, payload, *by)
    assert envelope_from_json(json.loads(json.dumps(envelope.to_json()))) == envelope


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "trip"},
        {"kind": 1},
        {"payload": None},
        {"signatures": {}},
        {"signatures": [[]]},
        {"signatures": [{"key": "ab", "value": "0" * 128}]},
        {"signatures": [{"key": "0" * 64, "value": "0" * 126}]},
        {"signatures": [{"key": "0" * 64, "value": "z" * 128}]},
    ],
)
def test_what_is_no_envelope_is_malformed(change: dict[str, Any]) -> None:
    document = {**sealed(DocumentKind.ROUTE, "{}", KEYS[3]).to_json(), **change}
    with pytest.raises(InvalidError, match="the signed document is malformed"):
        envelope_from_json(document)
    for field in change:
        del document[field]
    with pytest.raises(InvalidError, match="is missing"):
        envelope_from_json(document)


def test_a_payload_that_has_no_bytes_is_refused_in_words() -> None:
    envelope = Envelope(kind=DocumentKind.ROUTE, payload="\ud800", signatures=())
    with pytest.raises(InvalidError, match="lone surrogate"):
        check_threshold(envelope, keys_of(3), 1, verify)


@given(st.integers(0, MAX_SAFE_INTEGER), st.text(max_size=9), json_values())
def test_a_statement_is_read_as_it_was_written(version: int, at: str, body: Any) -> None:
    statement = Statement(version=version, signed_at=at, fresh_until=at, body=body)
    assert statement_of(statement_payload(statement)) == statement


@pytest.mark.parametrize("payload", ["", "[]", "{}", '{"version":-1}', '{"version":1,"signed_at":1}', "[" * 100_000])
def test_what_is_no_statement_is_malformed(payload: str) -> None:
    with pytest.raises(InvalidError):
        statement_of(payload)


# ------------------------------------------------------------------------------------------------ thresholds and roots


@given(
    st.sets(st.integers(0, 5), max_size=5),
    st.lists(st.integers(0, 5), max_size=8),
    st.integers(1, 5),
)
def test_it_takes_as_many_different_known_keys_as_the_threshold_says(
    known: set[int], by: list[int], threshold: int
) -> None:
    envelope = sealed(DocumentKind.ROOT, "{}", *(KEYS[number] for number in by))
    good = known & set(by)
    if len(good) >= threshold:
        assert check_threshold(envelope, keys_of(*known), threshold, verify) == {IDS[number] for number in good}
    else:
        with pytest.raises(UntrustedError):
            check_threshold(envelope, keys_of(*known), threshold, verify)


def test_a_document_that_nobody_signed_says_so() -> None:
    with pytest.raises(UntrustedError, match="the route is not vouched for: nobody signed it"):
        check_threshold(Envelope(kind=DocumentKind.ROUTE, payload="{}", signatures=()), keys_of(3), 1, verify)


@given(
    old=st.frozensets(st.integers(0, 2), min_size=1),
    new=st.frozensets(st.integers(0, 2), min_size=1),
    by=st.frozensets(st.integers(0, 2)),
    needs=st.integers(1, 3),
    step=st.integers(-1, 3),
)
def test_a_root_follows_when_it_is_the_next_and_enough_keys_of_both_sign(
    old: frozenset[int], new: frozenset[int], by: frozenset[int], needs: int, step: int
) -> None:
    present = root(5, roots=tuple(old), threshold=min(needs, len(old)))
    following = root(5 + step, roots=tuple(new), threshold=min(needs, len(new)))
    envelope = sealed(DocumentKind.ROOT, root_payload(following), *(KEYS[number] for number in by))
    if step == 1 and len(by & old) >= present.threshold and len(by & new) >= following.threshold:
        assert next_root(present, envelope, verify) == following
    else:
        with pytest.raises(UntrustedError):
            next_root(present, envelope, verify)


@given(st.integers(1, 9), st.sets(st.integers(0, 2), min_size=1), st.sets(st.integers(3, 5), min_size=1))
def test_a_root_is_read_as_it_was_written(version: int, roots: set[int], signing: set[int]) -> None:
    said = root(version, roots=tuple(roots), signing=tuple(signing), threshold=len(roots))
    envelope = sealed(DocumentKind.ROOT, root_payload(said), *(KEYS[number] for number in roots))
    assert root_of(envelope, verify) == said
    assert root_version(envelope) == version


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"version": 0}, "that is none", id="number 0"),
        pytest.param({"threshold": 0}, "that is none", id="no signature wanted"),
        pytest.param({"threshold": 2}, "that is none", id="more signatures than keys"),
        pytest.param({"signing": ()}, "that is none", id="nobody signs routes"),
        pytest.param({"signing": (0,)}, "both roots and routes", id="one key for both"),
    ],
)
def test_what_is_no_root_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        root(**changes)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_public_key_has_32_bytes(size: int) -> None:
    with pytest.raises(InvalidError, match="32 bytes"):
        key_id(bytes(size))


# ---------------------------------------------------------------------------------------- what a signature covers


@given(documents(), documents(), st.integers(0, 9))
def test_a_signature_is_for_one_document_whatever_trips_come_with_it(
    one: RouteDocument, other: RouteDocument, version: int
) -> None:
    vouched = signed(one, version)
    TRUST.route(replace(vouched, facts=Facts(other.facts.trips, one.facts.released)), verify)
    forged = replace(other, signed=vouched.signed)
    if other.vouched == one.vouched:
        TRUST.route(forged, verify)
    else:
        with pytest.raises(UntrustedError, match="other things than what is signed"):
            TRUST.route(forged, verify)


@given(documents(), st.integers(0, 9))
def test_a_signed_document_is_read_as_it_was_written(document: RouteDocument, version: int) -> None:
    vouched = replace(signed(document, version), roots=(sealed(DocumentKind.ROOT, root_payload(root()), KEYS[0]),))
    assert RouteDocument.from_json(json.loads(json.dumps(vouched.to_json()))) == vouched
    assert signed_version(vouched) == version


@given(documents())
def test_a_document_without_signatures_is_written_as_ever(document: RouteDocument) -> None:
    assert not {"signed", "roots"} & document.to_json().keys()
    assert signed_version(document) == 0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_the_number_of_what_is_taken_never_falls(versions: list[int]) -> None:
    trust, taken = TRUST, 0
    for version in versions:
        try:
            trust = trust.route(signed(RouteDocument(system="pricing"), version), verify)
        except UntrustedError:
            assert version < taken
        else:
            assert version >= taken
            taken = version
        assert trust.floor == taken


@given(st.lists(st.tuples(st.sampled_from([3, 4, 5]), st.integers(0, 9)), max_size=8), st.sampled_from([3, 4, 5]))
def test_what_a_key_drove_up_goes_with_the_key_and_nothing_else_does(said: list[tuple[int, int]], gone: int) -> None:
    trust = replace(TRUST, root=root(signing=(3, 4, 5)))
    for key, version in sorted(said, key=lambda one: one[1]):
        trust = trust.route(signed(RouteDocument(system="pricing"), version, KEYS[key]), verify)
    left = trust.under(root(2, signing=tuple({3, 4, 5} - {gone})))
    assert left.floor == max((version for key, version in said if key != gone), default=0)


# ------------------------------------------------------------------------------------------------ joined


@given(documents(), documents(), st.integers(0, 3), st.integers(0, 3))
def test_of_two_signed_documents_the_newer_holds_whole_and_the_trips_of_both(
    one: RouteDocument, other: RouteDocument, first: int, second: int
) -> None:
    known, heard = signed(one, first), signed(other, second)
    joined = joined_signed(known, heard)
    TRUST.route(joined, verify)
    assert joined.facts.trips.keys() == one.facts.trips.keys() | other.facts.trips.keys()
    assert joined.vouched == (other if second >= first else one).vouched


@given(documents(), documents())
def test_trips_of_an_unsigned_document_are_joined_to_a_signed_one(one: RouteDocument, other: RouteDocument) -> None:
    for joined in (joined_signed(signed(one, 1), other), joined_signed(other, signed(one, 1))):
        TRUST.route(joined, verify)
        assert joined.facts.trips.keys() == one.facts.trips.keys() | other.facts.trips.keys()
        assert joined.facts.released == one.facts.released
