"""What somebody does to the ledger with the database in hand, a check of it shows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood.domain.ledger import Anchor, verify
from knowngood.testing.contracts.store import SYSTEM, one_more

SWAP = [
    "UPDATE ledger SET sequence = -3 WHERE sequence = 3",
    "UPDATE ledger SET sequence = 3 WHERE sequence = 4",
    "UPDATE ledger SET sequence = 4 WHERE sequence = -3",
]
REMOVE_AND_CLOSE_THE_GAP = [
    "DELETE FROM ledger WHERE sequence = 3",
    "UPDATE ledger SET sequence = 3 WHERE sequence = 4",
    "UPDATE ledger SET sequence = 4 WHERE sequence = 5",
]
CUT = "DELETE FROM ledger WHERE sequence > 3"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with SqlStore.open(tmp_path / "store.db") as store, store.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})
        for _ in range(5):
            one_more(change)
    return tmp_path / "store.db"


def head(path: Path) -> Anchor:
    with SqlStore.open(path) as store:
        return store.head(SYSTEM)


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statements", "problem", "sequence"),
    [
        pytest.param([], "", None, id="nothing"),
        pytest.param(
            ["UPDATE ledger SET body = '{\"counted\":9}' WHERE sequence = 2"], "entry 2 was edited", 2, id="edited body"
        ),
        pytest.param(["UPDATE ledger SET body = '{' WHERE sequence = 2"], "entry 2 was edited", 2, id="garbage"),
        pytest.param(["UPDATE ledger SET body = '[]' WHERE sequence = 2"], "entry 2 was edited", 2, id="no object"),
        pytest.param(
            ["UPDATE ledger SET actor = 'Mallory' WHERE sequence = 5"], "entry 5 was edited", 5, id="the last"
        ),
        pytest.param(["UPDATE ledger SET at = '' WHERE sequence = 1"], "entry 1 was edited", 1, id="the first"),
        pytest.param(
            ["DELETE FROM ledger WHERE sequence = 3"],
            "entry 4 stands where entry 3 belongs",
            3,
            id="removed from inside",
        ),
        pytest.param(
            ["DELETE FROM ledger WHERE sequence = 1"],
            "entry 2 stands where entry 1 belongs",
            1,
            id="removed at the start",
        ),
        pytest.param(REMOVE_AND_CLOSE_THE_GAP, "entry 3 was edited", 3, id="removed, the rest moved up"),
        pytest.param(SWAP, "entry 3 was edited", 3, id="two changed places"),
    ],
)
def test_a_check_of_the_chain_alone(path: Path, statements: list[str], problem: str, sequence: int | None) -> None:
    tamper(path, *statements)
    with SqlStore.open(path) as store:
        found = verify(store.ledger(SYSTEM))
    assert found.ok is (not statements)
    assert found.problem.startswith(problem)
    assert found.sequence == sequence


def test_an_end_that_was_cut_off_is_found_by_what_others_remember_alone(path: Path) -> None:
    anchor = head(path)
    tamper(path, CUT)
    with SqlStore.open(path) as store:
        entries = store.ledger(SYSTEM)
    assert verify(entries).ok, "the chain by itself cannot know"
    found = verify(entries, anchor)
    assert "the end was cut off: 3 entries are left of at least 5" in found.problem
    assert found.sequence == 4


def test_an_end_that_was_cut_off_and_written_anew_is_found_by_what_others_remember(path: Path) -> None:
    anchor = head(path)
    tamper(path, CUT)
    with SqlStore.open(path) as store:
        with store.change(SYSTEM) as change:
            for _ in range(3):
                change.append("nothing-happened", "Mallory", "2026-01-01T18:00:00Z", {})
        entries = store.ledger(SYSTEM)
    assert verify(entries).ok
    assert "entry 5 was rewritten" in verify(entries, anchor).problem
