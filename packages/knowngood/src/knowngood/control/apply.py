"""Apply: make a system file the rules that a system is run by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knowngood.control.plane import Plane
from knowngood.control.publish import publish
from knowngood.domain.rule_change import RuleChange, changes_of
from knowngood.domain.system import SystemFile
from knowngood.domain.trigger import from_spec
from knowngood_sdk.errors import InvalidError, NotFoundError

__all__ = ["Applied", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """
    What applying did.

    Attributes:
        changed: Whether the rules are others than before.
        grants: Trigger -> what automation may do when it breaches.
        changes: What matters of the change; empty for a system's first rules.
    """

    changed: bool
    grants: Mapping[str, str]
    changes: tuple[RuleChange, ...] = ()


def apply(plane: Plane, spec: SystemFile, *, root: str, actor: str) -> Applied:
    """
    Make a system file the system's rules; the same file again changes nothing.

    Args:
        plane: The ports.
        spec: The rules.
        root: Absolute path of the folder that relative paths in them start from.
        actor: Who applies them.

    Raises:
        InvalidError: A trigger cannot be built from its declaration.
    """
    for declared in spec.triggers.values():
        from_spec(declared, spec.sla)
    for adapters in (plane.components, plane.states, plane.effects):
        adapters(spec, root)
    rules = spec.to_json()
    grants = {name: declared.grant.value for name, declared in spec.triggers.items()}
    with plane.store.change(spec.system) as change:
        # Read here, so that nobody else's rules are taken for the ones before.
        before = _applied(plane, spec.system)
        document = {"rules": rules, "root": root, "retired": _retired(before, rules)}
        if before != document:
            change.save_system(document)
            change.append("applied", actor, plane.now(), {"rules": rules, "grants": grants})
    if before != document:
        publish(plane, spec.system, plane.store.read(spec.system))
    plane.traffic.publish_rules(spec.system, rules)
    return Applied(changed=before != document, grants=grants, changes=_changes(plane, before, spec))


def _applied(plane: Plane, system: str) -> Mapping[str, Any] | None:
    try:
        return plane.store.system_spec(system)
    except NotFoundError:
        return None


def _changes(plane: Plane, before: Mapping[str, Any] | None, spec: SystemFile) -> tuple[RuleChange, ...]:
    if before is None:
        return ()
    try:
        known = SystemFile.from_json(before["rules"], kinds=plane.kinds)
    except InvalidError as error:
        # Whoever replaces rules that this installation cannot read, as with an adapter that is gone, may well mend it.
        return (
            RuleChange(what=f"the rules of before cannot be read here, nor compared: {error.message}", weakens=True),
        )
    return changes_of(known, spec)


def _retired(before: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declarations of components that earlier files had: one may go back to versions that have them."""
    if before is None:
        return {}
    known = {**before.get("retired", {}), **before["rules"]["components"]}
    return {name: declared for name, declared in known.items() if name not in rules["components"]}
