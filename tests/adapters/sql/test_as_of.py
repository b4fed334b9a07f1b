"""What was read is answered again for as long as the ledger goes no further, and never later than that."""

import random
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import Engine, event

from knowngood.adapters.sql import SqlStore
from knowngood.adapters.sql.as_of import AsOf
from knowngood.domain.ledger import EMPTY, Anchor
from knowngood.testing.contracts.store import AT, SYSTEM, noted, one_more, write_everything

ONE, TWO = Anchor(1, "sha256:1"), Anchor(2, "sha256:2")


class TestAsOf:
    def test_what_was_read_is_found_for_its_own_head_alone(self) -> None:
        kept: AsOf[str] = AsOf()
        kept.keep("pricing", ONE, "read", 1)
        assert kept.find("pricing", ONE) == "read"
        assert (kept.find("pricing", TWO), kept.find("fraud", ONE)) == (None, None)
        assert kept.find("pricing", Anchor(1, "sha256:other")) is None, "as long, and another one"

    def test_an_empty_ledger_says_nothing(self) -> None:
        kept: AsOf[str] = AsOf()
        kept.keep("pricing", EMPTY, "read", 1)
        assert kept.find("pricing", EMPTY) is None

    def test_what_a_change_left_as_it_was_is_known_of_the_head_after_it(self) -> None:
        kept: AsOf[str] = AsOf()
        kept.keep("pricing", ONE, "read", 1)
        kept.carry("pricing", ONE, TWO)
        assert (kept.find("pricing", TWO), kept.find("pricing", ONE)) == ("read", None)
        kept.carry("pricing", ONE, Anchor(3, "sha256:3"))
        assert kept.find("pricing", Anchor(3, "sha256:3")) is None, "somebody else was here in between"
        assert kept.find("pricing", TWO) == "read"

    @pytest.mark.parametrize(("rows", "left"), [(4, ["a", "b", "c"]), (5, ["b", "c"]), (10, ["c"]), (11, ["a", "b"])])
    def test_what_was_asked_for_longest_ago_goes_when_there_is_too_much(self, rows: int, left: list[str]) -> None:
        kept: AsOf[str] = AsOf(most=10)
        for system, count in (("a", 3), ("b", 3)):
            kept.keep(system, ONE, system, count)
        kept.keep("c", ONE, "c", rows)
        assert [system for system in "abc" if kept.find(system, ONE)] == left

    def test_asking_for_it_keeps_it_and_reading_it_anew_counts_it_once(self) -> None:
        kept: AsOf[str] = AsOf(most=10)
        kept.keep("a", ONE, "a", 4)
        kept.keep("b", ONE, "b", 4)
        for head in (ONE, TWO):
            kept.keep("a", head, "a", 4)
        assert kept.find("a", TWO) == "a"
        kept.keep("c", ONE, "c", 4)
        assert [system for system in "abc" if kept.find(system, TWO if system == "a" else ONE)] == ["a", "c"]


class Counted:
    """What a database is asked while it is entered."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        event.listen(Engine, "before_cursor_execute", self._statement)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._statement)

    def _statement(self, _connection: object, _cursor: object, text: str, *_: object) -> None:
        if text.startswith("SELECT"):
            self.asked.append(text)


def test_a_look_where_nothing_moved_asks_for_the_end_of_the_ledger_however_long_the_history_is(
    where: Path | str,
) -> None:
    with SqlStore.open(where) as store:
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
        for _ in range(3):
            with store.change(SYSTEM) as change:
                write_everything(change)
        first = store.read(SYSTEM), store.evidence(SYSTEM), store.sagas(SYSTEM)
        with Counted() as counted:
            again = store.read(SYSTEM), store.evidence(SYSTEM), store.sagas(SYSTEM)
        assert again == first
        assert len(counted.asked) == 3
        assert all("ledger" in text for text in counted.asked)


@pytest.mark.parametrize("seed", range(6))
def test_two_programs_on_one_store_read_what_a_third_one_that_remembers_nothing_reads(
    where: Path | str, seed: int
) -> None:
    rng = random.Random(seed)
    with ExitStack() as stack:
        writers = [stack.enter_context(SqlStore.open(where)) for _ in range(2)]
        with writers[0].change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
        for number in range(25):
            store = rng.choice(writers)
            fails = rng.random() < 0.2
            with suppress(KeyError), store.change(SYSTEM) as change:
                what = rng.randrange(4)
                if what == 0:
                    write_everything(change)
                elif what == 1:
                    noted(change)
                elif what == 2:
                    one_more(change)
                else:
                    for saga in store.sagas(SYSTEM)[:1]:
                        change.save_saga(saga.with_figures(moved=number))
                    change.append("moved", "ann", AT, {})
                if fails:
                    raise KeyError
            if rng.random() < 0.5:
                continue
            with SqlStore.open(where) as fresh:
                known = fresh.read(SYSTEM), fresh.evidence(SYSTEM), fresh.sagas(SYSTEM)
            for reader in writers:
                assert (reader.read(SYSTEM), reader.evidence(SYSTEM), reader.sagas(SYSTEM)) == known
