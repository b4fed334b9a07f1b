"""
Level: how deep a change goes, computed from what it changes and never from what anybody typed.

1 is a model alone; 2 is a system version; 3 is features that others share or that are restored in place; 4 is data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from knowngood.domain.compatibility import label_of
from knowngood_sdk.model.manifest import Component, Manifest, Role, Switching

__all__ = ["Change", "Diff", "Level", "diff"]


class Level(IntEnum):
    """How deep a rollback goes; with it rise its duration, its risk and the authority that it takes."""

    MODEL = 1
    SYSTEM = 2
    FEATURES = 3
    DATA = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    What differs of one component.

    Attributes:
        component: Its name.
        before: As it is; None when it is added.
        after: As it is to be; None when it is removed.
    """

    component: str
    before: Component | None
    after: Component | None

    @property
    def sides(self) -> tuple[Component, ...]:
        """The component on the sides where it exists."""
        return tuple(side for side in (self.before, self.after) if side is not None)

    @property
    def shared_by(self) -> tuple[str, ...]:
        """Other systems that read the same state, on either side, sorted."""
        return tuple(sorted({system for side in self.sides for system in side.shared_by}))

    @property
    def level(self) -> Level:
        """
        How deep this change goes taken alone.

        Data is level 4. What other systems share is level 3, and so are features and state that are restored in
        place, since whoever reads them sees it happen. A model is level 1, anything else level 2.
        """
        roles = {side.role for side in self.sides}
        in_place = any(side.switching is Switching.IN_PLACE for side in self.sides)
        if Role.DATA in roles:
            return Level.DATA
        if self.shared_by or (in_place and roles & {Role.FEATURES, Role.STATE}):
            return Level.FEATURES
        return Level.MODEL if roles == {Role.MODEL} else Level.SYSTEM

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "component": self.component,
            "level": int(self.level),
            "before": _side_json(self.before),
            "after": _side_json(self.after),
            "shared_by": list(self.shared_by),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """
    What differs between two manifests of one system.

    Attributes:
        changes: One for each component that differs in content or contracts, in the order of names.
    """

    changes: tuple[Change, ...]

    @property
    def level(self) -> Level | None:
        """How deep the whole goes; None when nothing differs. Several changes are at least level 2."""
        deepest = max((change.level for change in self.changes), default=None)
        return Level.SYSTEM if len(self.changes) > 1 and deepest is Level.MODEL else deepest

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components that differ."""
        return tuple(change.component for change in self.changes)

    @property
    def shared_by(self) -> tuple[str, ...]:
        """Other systems that the change reaches, sorted."""
        return tuple(sorted({system for change in self.changes for system in change.shared_by}))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        level = self.level
        return {
            "level": None if level is None else int(level),
            "changes": [change.to_json() for change in self.changes],
            "shared_by": list(self.shared_by),
        }


def diff(before: Manifest, after: Manifest) -> Diff:
    """
    Return what a change from one manifest to another touches.

    Hints (native versions, facets) and intents do not count: the same bytes under another name are no change.
    """
    names = sorted(before.components.keys() | after.components.keys())
    pairs = ((name, before.components.get(name), after.components.get(name)) for name in names)
    return Diff(
        changes=tuple(
            Change(component=name, before=old, after=new) for name, old, new in pairs if _content(old) != _content(new)
        )
    )


def _content(component: Component | None) -> tuple[str, str, Mapping[str, str], Mapping[str, str]] | None:
    if component is None:
        return None
    return (component.role, component.ref.digest, component.provides, component.requires)


def _side_json(component: Component | None) -> Mapping[str, Any] | None:
    return None if component is None else {"label": label_of(component), **component.to_json()}
