"""The shared word holds a position whole, or nothing: no other eight bytes pass for one of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import FULL
from knowngood_sdk.model.word import MAX_GENERATION, MAX_STEP, pack, unpack

Position = tuple[int, int, int]


def positions() -> st.SearchStrategy[Position]:
    return st.tuples(st.integers(1, MAX_GENERATION), st.integers(0, MAX_STEP), st.integers(0, FULL))


@pytest.mark.parametrize(
    ("position", "word"),
    [
        # Words stand on disks: another layout would have to be another file.
        ((1, 0, 0), 0x1000001B9),
        ((1, 0, FULL), 0x1009C4315),
        ((7, 2, 500), 0x70207D317),
        ((MAX_GENERATION, MAX_STEP, FULL), 0xFFFFFFFFFF9C41F7),
    ],
)
def test_a_word_is_laid_out_as_it_always_was(position: Position, word: int) -> None:
    assert pack(*position) == word
    assert unpack(word) == position


def test_a_word_has_room_for_32_bits_of_generation_and_8_of_steps() -> None:
    assert (MAX_GENERATION, MAX_STEP) == (4_294_967_295, 255)


@given(positions())
def test_a_position_is_read_as_it_was_written_and_fits_eight_bytes(position: Position) -> None:
    word = pack(*position)
    assert 0 < word < 2**64
    assert unpack(word) == position


@given(positions(), positions())
def test_a_position_further_on_is_a_higher_word(one: Position, other: Position) -> None:
    assert (pack(*one) < pack(*other)) == (one < other)


@pytest.mark.parametrize(
    "position",
    [
        (0, 0, 0),
        (-1, 0, 0),
        (MAX_GENERATION + 1, 0, 0),
        (1, -1, 0),
        (1, MAX_STEP + 1, 0),
        (1, 0, -1),
        (1, 0, FULL + 1),
    ],
)
def test_a_position_that_does_not_fit_is_refused_with_its_figures(position: Position) -> None:
    with pytest.raises(InvalidError) as refused:
        pack(*position)
    assert str(refused.value) == f"position {position} does not fit the shared word"


def test_a_word_of_zero_is_no_position() -> None:
    assert unpack(0) is None


@given(st.integers(0, 2**64 - 1))
def test_any_eight_bytes_are_a_word_of_ours_or_none(word: int) -> None:
    position = unpack(word)
    assert position is None or pack(*position) == word


def sealed(generation: int, latched: int, split: int) -> int:
    """Return a word whose check is right, whatever it holds."""
    value = (generation << 8 | latched) << 14 | split
    return value << 10 | (value * 0x9E3779B97F4A7C15 % 2**64) >> 54


@pytest.mark.parametrize(
    ("figures", "read"),
    [
        ((1, 0, FULL), (1, 0, FULL)),
        ((1, 0, FULL + 1), None),
        ((1, 0, 2**14 - 1), None),
        ((0, 0, 1), None),
        ((0, MAX_STEP, 0), None),
    ],
)
def test_a_word_that_checks_and_holds_no_position_is_none(figures: Position, read: Position | None) -> None:
    assert unpack(sealed(*figures)) == read


@given(positions(), st.integers(1, 1023))
def test_a_word_with_another_check_is_none(position: Position, change: int) -> None:
    assert unpack(pack(*position) ^ change) is None


@given(positions(), st.integers(0, 63))
def test_a_word_with_one_bit_flipped_is_none(position: Position, bit: int) -> None:
    assert unpack(pack(*position) ^ 1 << bit) is None
