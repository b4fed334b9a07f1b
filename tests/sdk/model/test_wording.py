"""What people wrote can always be kept: what is no character becomes U+FFFD, and nothing else changes."""

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.model.route import LocalTrip, Trip
from knowngood_sdk.model.wire import trip_from_json, trip_to_json
from knowngood_sdk.model.wording import has_bytes, readable, readable_in
from knowngood_sdk.serving.journal import LocalRecord

LATIN_1 = os.fsdecode(b"zur\xfcck")
LETTERS = st.text(st.characters(exclude_categories=()), max_size=12)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("", "", id="none"),
        pytest.param("prices 40 % too high", "prices 40 % too high", id="plain"),
        pytest.param("zurück 🚕", "zurück 🚕", id="characters beyond ASCII"),
        pytest.param(LATIN_1, "zur\ufffdck", id="a byte of another encoding"),
        pytest.param("\ud800", "\ufffd", id="the first half of a character"),
        pytest.param("a\udfff\ud800b", "a\ufffd\ufffdb", id="halves in the wrong order"),
        pytest.param("\ud7ff\ue000", "\ud7ff\ue000", id="the characters beside the halves"),
    ],
)
def test_what_is_no_character_is_replaced(text: str, kept: str) -> None:
    assert readable(text) == kept
    assert has_bytes(text) == (text == kept)


@given(LETTERS)
def test_any_text_has_bytes_afterwards_and_one_that_had_is_itself(text: str) -> None:
    kept = readable(text)
    assert kept.encode().decode() == kept
    assert len(kept) == len(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not has_bytes(text)
    else:
        assert has_bytes(text)
        assert kept == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | LETTERS, lambda inner: st.lists(inner, max_size=3)))
def test_any_json_can_be_written_afterwards(value: Any) -> None:
    json.dumps(readable_in({"reasons": value, "\udc80": 1}), ensure_ascii=False).encode()


def test_a_document_keeps_its_form() -> None:
    assert readable_in({"why": [LATIN_1, 1], "of": {"a": None}}) == {"why": ["zur\ufffdck", 1], "of": {"a": None}}


def trip(why: str) -> Trip:
    """A trip with a reason."""
    return Trip(uid="u", version=f"sha256:{'a' * 64}", generation=1, source="break-glass", at="", why=why)


def test_no_trip_and_no_line_of_a_journal_has_a_reason_that_cannot_be_kept() -> None:
    assert trip(LATIN_1) == trip("zur\ufffdck")
    sent = json.loads(json.dumps({**trip_to_json(trip("")), "why": "half \ud800"}))
    assert trip_from_json(sent).why == "half \ufffd"
    local = LocalTrip("r1", 1, f"sha256:{'a' * 64}")
    assert LocalRecord(trip=local, at="", why=LATIN_1).why == "zur\ufffdck"
