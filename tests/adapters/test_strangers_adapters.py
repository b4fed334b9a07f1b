"""Adapters of a stranger are found by entry point, and kept to the same promises as ours."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from knowngood import app
from knowngood.adapters.yaml import read_system_file
from knowngood.domain.effect import Effect, EffectsSpec, EffectState
from knowngood.domain.state import StateClass, StateSpec
from knowngood.ports.effects import Effects
from knowngood.ports.written_state import WrittenState
from knowngood.testing.contracts.effects import Acts, EffectsContract
from knowngood.testing.contracts.written_state import Place, Places, WrittenStateContract
from knowngood_sdk.errors import InvalidError
from tests import strangers
from tests.strangers.outlasting import OutboxEffects, TableState, journal, record, write

assert strangers.PLACE

FILE = "world.db"
DECLARED = """
system: pricing
kind: realtime
components:
  model: {files: model.joblib}
state:
  cache: {table: world.db, class: derived}
effects:
  mails: {outbox: world.db}
"""


class Table:
    """Derived state stands in a namespace of its version; accumulated state is shared."""

    def __init__(self, root: Path, state_class: StateClass) -> None:
        spec = StateSpec(name="profiles", kind="table", target=FILE, state_class=state_class)
        self.table = TableState(spec, system="pricing", root=root, folder=root)
        self.state: WrittenState = self.table
        self._path = root / FILE

    def write(self, version: str, key: str, value: str) -> None:
        write(self._path, "profiles", version, self._key(version, key), value)

    def read(self, version: str, key: str) -> str | None:
        return self.table.read(self._key(version, key))

    def _key(self, version: str, key: str) -> str:
        return f"{version}:{key}" if self.table.state_class is StateClass.DERIVED else key


class Outbox:
    def __init__(self, root: Path) -> None:
        spec = EffectsSpec(name="mails", kind="outbox", target=FILE)
        self.effects: Effects = OutboxEffects(spec, system="pricing", root=root, folder=root)
        self._path = root / FILE

    def record(self, effect: Effect) -> None:
        record(self._path, "mails", effect)

    def made_good(self) -> Sequence[str]:
        return journal(self._path, EffectState.COMPENSATED)


class TestTableState(WrittenStateContract):
    @pytest.fixture
    def places(self, tmp_path: Path) -> Places:
        def make(state_class: StateClass) -> Place:
            return Table(tmp_path, state_class)

        return make


class TestOutboxEffects(EffectsContract):
    @pytest.fixture
    def acts(self, tmp_path: Path) -> Acts:
        return Outbox(tmp_path)


def test_they_are_read_from_the_system_file_and_made(tmp_path: Path) -> None:
    (tmp_path / "pricing.yaml").write_text(DECLARED)
    spec = read_system_file(tmp_path / "pricing.yaml", kinds=app.installed_kinds())
    plane = app.open_plane(tmp_path / ".knowngood", make=True)
    assert isinstance(plane.states(spec, str(tmp_path))["cache"], TableState)
    assert isinstance(plane.effects(spec, str(tmp_path))["mails"], OutboxEffects)


def test_a_kind_that_nobody_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "pricing.yaml").write_text(DECLARED.replace("table:", "tabel:"))
    with pytest.raises(InvalidError, match=r"names no state kind; 'tabel' is none.*Did you mean 'table'"):
        read_system_file(tmp_path / "pricing.yaml", kinds=app.installed_kinds())
