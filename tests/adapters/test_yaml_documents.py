"""YAML is read in one way only; what others would read in another is text or refused, and the line is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.adapters.yaml import read_document
from knowngood_sdk.errors import InvalidError


def read(text: str | bytes, largest: int = 100_000) -> object:
    return read_document(text if isinstance(text, bytes) else text.encode(), "file.yaml", largest=largest).value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30", "12:30"),
        ("2026-11-22", "2026-11-22"),
        ("0x1F", "0x1F"),
        ("0644", "0644"),
        ("1_000", "1_000"),
        ("=", "="),
        ("80ms", "80ms"),
        ("5%", "5%"),
        ("1e", "1e"),
        ("1.2.3", "1.2.3"),
        ('"1.10"', "1.10"),
        ("'true'", "true"),
        ("1.10", 1.1),
        ("-0.5", -0.5),
        ("1.234", 1.234),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("17", 17),
        ("-3", -3),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("[1, a, {b: c}]", [1, "a", {"b": "c"}]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_a_scalar_is_what_it_looks_like(written: str, value: object) -> None:
    found = read(f"key: {written}")
    assert found == {"key": value}
    assert isinstance(found, dict)
    assert type(found["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [1\nb: 2\n", r"file\.yaml, line 2: .*expected", id="an open list"),
        pytest.param("a: 1\n b: 2", r"line 2: mapping values are not allowed here", id="a wrong indent"),
        pytest.param("a:\n\t- 1", r"line 2: .*\\t", id="a tab"),
        pytest.param("a: 1\nb: 2\na: 3", r"line 3: the key 'a' stands on line 1 already", id="a key twice"),
        pytest.param("x:\n  a: 1\n  a: 1", r"line 3: the key 'a' stands on line 2", id="an inner key twice"),
        pytest.param('a: 1\n"a": 1', "the key 'a' stands on line 1", id="a key twice, once quoted"),
        pytest.param("a: &x [1]\nb: 2", r"line 1: aliases and anchors \(x\)", id="an anchor"),
        pytest.param("a: *x", "aliases and anchors", id="an alias"),
        pytest.param("b: {<<: *x}", "aliases and anchors", id="a merge"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "tags .*python/object", id="a tag that runs code"),
        pytest.param("a: !!str 1", r"tags \(str\)", id="a harmless tag"),
        pytest.param("a: 1\n---\nb: 2", "line 2: .*another document", id="two documents"),
        pytest.param("1: a", 'the key 1 is not text.*Put it in quotes: "1"', id="a number as a key"),
        pytest.param("true: a", "the key true is not text", id="a truth value as a key"),
        pytest.param("? [a]\n: b", "the key a list or mapping is not text", id="a list as a key"),
        pytest.param("? {a: b}\n: b", "the key a list or mapping is not text", id="a mapping as a key"),
        pytest.param("a: .inf", "no finite number", id="infinite"),
        pytest.param("a: .NaN", "no finite number", id="not a number"),
        pytest.param("a: 1e999", "no finite number", id="infinite by its exponent"),
        pytest.param("a: " + "9" * 5000, "is too long", id="a number that takes long to read"),
        pytest.param("a: " + "[" * 40, "nested more than 32 deep", id="deep lists"),
        pytest.param("a: \x07", "file.yaml: .*special characters", id="a control character"),
        pytest.param(b"a: \xff", "not UTF-8: byte 3", id="not UTF-8"),
        pytest.param("a: " + "x" * 100_000, "has 100,003 bytes, more than 100,000", id="too large"),
        pytest.param("@a: 1", "line 1: .*cannot start any token", id="a reserved character"),
    ],
)
def test_what_cannot_be_read_names_the_line_and_what_to_do(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message) as caught:
        read(text)
    assert caught.value.hint


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(InvalidError, match="aliases and anchors"):
        read(bomb)


def test_deep_nesting_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidError, match="nested more than 32 deep"):
        read("[" * 90_000)


def test_the_lines_of_values_are_known() -> None:
    document = read_document(b"a: 1\nb:\n  c: [x,\n    y]\n", "file.yaml", largest=1000)
    assert document.line(("a",)) == 1
    assert document.line(("b", "c", "1")) == 4
    assert document.line(("b", "nothing")) == 2, "the nearest one around it"
    assert document.line(()) == 1


def test_an_empty_text_is_nothing() -> None:
    assert read("") is None
    assert read("# nothing but a comment\n") is None


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_our_own_words(text: str) -> None:
    try:
        read(text.encode("utf-8", "surrogatepass"))
    except InvalidError as error:
        assert str(error).startswith("file.yaml")  # noqa: PT017 - both outcomes are right


@given(st.text(alphabet="[]{}:,-&*!|>'\"%@`#? \nab01", max_size=40))
def test_any_heap_of_yaml_signs_is_read_or_refused_in_our_own_words(text: str) -> None:
    try:
        read(text)
    except InvalidError as error:
        assert error.message.startswith("file.yaml")  # noqa: PT017 - both outcomes are right
