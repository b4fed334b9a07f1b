"""A ledger shows that it was edited; that its end was cut off shows by what somebody else remembers of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.ledger import EMPTY, Anchor, Entry, append, verify
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, digest_of

AT = "2026-01-01T18:00:00Z"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates have no UTF-8.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


def ledger(length: int, system: str = "pricing", *, actor: str = "Ada") -> list[Entry]:
    entries: list[Entry] = []
    for number in range(length):
        head = entries[-1].anchor if entries else EMPTY
        entries.append(append(system, head, at=AT, actor=actor, kind="said", body={"number": number}))
    return entries


def rehashed(entry: Entry, **changes: Any) -> Entry:
    changed = replace(entry, **changes)
    return replace(changed, hash=changed.computed_hash())


def test_the_hash_is_that_of_the_canonical_form_of_all_the_rest() -> None:
    entry = append("pricing", Anchor(4, "before"), at=AT, actor="Ada", kind="said", body={"b": 1, "a": 2.0})
    assert entry.hash == digest_of(
        {
            "system": "pricing",
            "sequence": 5,
            "at": AT,
            "actor": "Ada",
            "kind": "said",
            "body": {"a": 2, "b": 1},
            "previous": "before",
        }
    )
    assert entry.anchor == Anchor(5, entry.hash)


def test_the_first_entry_follows_nothing() -> None:
    (entry,) = ledger(1)
    assert (entry.sequence, entry.previous) == (1, "")


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_ledger_that_nobody_touched_is_whole(length: int) -> None:
    entries = ledger(length)
    head = entries[-1].anchor if entries else EMPTY
    for anchors in ([], [EMPTY], [head], [entry.anchor for entry in entries]):
        found = verify(entries, *anchors)
        assert (found.ok, found.problem, found.sequence, found.checked) == (True, "", None, head)


MIDDLE = [
    pytest.param(lambda e: [e[0], replace(e[1], at=""), *e[2:]], 2, "entry 2 was edited", id="time"),
    pytest.param(lambda e: [e[0], replace(e[1], actor="Bob"), *e[2:]], 2, "entry 2 was edited", id="actor"),
    pytest.param(lambda e: [e[0], replace(e[1], kind="done"), *e[2:]], 2, "entry 2 was edited", id="kind"),
    pytest.param(lambda e: [e[0], replace(e[1], body={}), *e[2:]], 2, "entry 2 was edited", id="body"),
    pytest.param(lambda e: [e[0], replace(e[1], previous=""), *e[2:]], 2, "entry 2 was edited", id="previous"),
    pytest.param(lambda e: [e[0], replace(e[1], hash=e[0].hash), *e[2:]], 2, "entry 2 was edited", id="hash"),
    pytest.param(lambda e: [e[0], replace(e[1], body={"x": math.nan}), *e[2:]], 2, "entry 2 was edited", id="no JSON"),
    pytest.param(
        lambda e: [e[0], rehashed(e[1], actor="Bob"), *e[2:]],
        3,
        "entry 3 does not follow entry 2",
        id="edited and hashed again",
    ),
    pytest.param(lambda e: [*e[:2], *e[3:]], 3, "entry 4 stands where entry 3 belongs", id="removed"),
    pytest.param(lambda e: e[1:], 1, "entry 2 stands where entry 1 belongs", id="removed at the start"),
    pytest.param(
        lambda e: [*e[:2], rehashed(e[3], sequence=3), *e[4:]],
        3,
        "entry 3 does not follow entry 2",
        id="removed and numbered again",
    ),
    pytest.param(lambda e: [e[0], e[2], e[1], *e[3:]], 2, "entry 3 stands where entry 2 belongs", id="two swapped"),
    pytest.param(lambda e: [*e[:3], e[2], *e[3:]], 4, "entry 3 stands where entry 4 belongs", id="doubled"),
    pytest.param(
        lambda e: [*e[:2], ledger(3, "fraud")[2], *e[3:]],
        3,
        "entry 3 belongs to system 'fraud'",
        id="of another system",
    ),
]


@pytest.mark.parametrize(("tamper", "sequence", "problem"), MIDDLE)
def test_what_was_done_to_the_middle_shows_by_the_chain_alone(
    tamper: Callable[[list[Entry]], list[Entry]], sequence: int, problem: str
) -> None:
    entries = ledger(5)
    found = verify(tamper(entries))
    assert not found.ok
    assert found.problem.startswith(problem)
    assert found.sequence == sequence
    assert found.checked.length == sequence - 1, "what stands before it is whole"


def test_an_end_that_was_cut_off_shows_by_an_anchor_alone() -> None:
    entries = ledger(5)
    assert verify(entries[:3]).ok
    assert verify(entries[:3], entries[2].anchor).ok, "an anchor from before the cut cannot know"
    found = verify(entries[:3], entries[1].anchor, entries[4].anchor)
    assert found.problem == "the end was cut off: 3 entries are left of at least 5"
    assert (found.sequence, found.checked) == (4, entries[2].anchor)


def test_a_ledger_that_is_gone_shows_by_an_anchor_alone() -> None:
    assert verify([]).ok
    found = verify([], ledger(2)[-1].anchor)
    assert (found.ok, found.sequence, found.checked) == (False, 1, EMPTY)


def test_a_history_that_was_written_anew_shows_by_an_anchor_alone() -> None:
    known, anew = ledger(4), ledger(6, actor="Mallory")
    assert verify(anew).ok
    found = verify(anew, known[3].anchor)
    assert (found.ok, found.sequence) == (False, 4)
    assert found.problem.startswith("entry 4 was rewritten: outside it is known as ")


def test_of_several_anchors_one_that_contradicts_is_enough() -> None:
    entries = ledger(4)
    assert not verify(entries, entries[1].anchor, Anchor(2, "another"), entries[3].anchor).ok


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
def test_a_body_is_kept_as_it_will_be_read_again(body: dict[str, Any]) -> None:
    entry = append("pricing", EMPTY, at=AT, actor="Ada", kind="said", body=body)
    assert entry.intact
    assert canonical_bytes(entry.body) == canonical_bytes(body)
    again = Entry.from_json(entry.to_json())
    assert again == entry
    assert again.intact


def test_a_body_is_a_copy() -> None:
    body = {"list": [1]}
    entry = append("pricing", EMPTY, at=AT, actor="Ada", kind="said", body=body)
    body["list"].append(2)
    assert entry.body == {"list": [1]}


@pytest.mark.parametrize("actor", ["", " ", "\t\n"])
def test_an_entry_names_somebody_who_acted(actor: str) -> None:
    with pytest.raises(InvalidError, match="names nobody who acted"):
        append("pricing", EMPTY, at="2026-01-01T18:00:00.000Z", actor=actor, kind="tripped", body={})


def test_a_body_without_a_json_form_is_refused() -> None:
    with pytest.raises(InvalidError, match="nan has no JSON form"):
        append("pricing", EMPTY, at=AT, actor="Ada", kind="said", body={"mean": math.nan})


@pytest.mark.parametrize("field", ["system", "sequence", "at", "actor", "kind", "body", "previous", "hash"])
def test_an_entry_without_one_of_its_fields_is_malformed(field: str) -> None:
    document = ledger(1)[0].to_json()
    del document[field]
    with pytest.raises(InvalidError, match=f"the ledger entry is malformed: KeyError '{field}'"):
        Entry.from_json(document)


@pytest.mark.parametrize("document", [None, [], "text", {**ledger(1)[0].to_json(), "sequence": "one"}])
def test_what_is_no_entry_is_malformed(document: object) -> None:
    with pytest.raises(InvalidError, match="the ledger entry is malformed"):
        Entry.from_json(document)
