"""Apply: make a system file the rules that a system is run by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knowngood.control.plane import Plane
from knowngood.control.publish import publish
from knowngood.domain.system import SystemFile
from knowngood.domain.trigger import from_spec
from knowngood_sdk.errors import NotFoundError

__all__ = ["Applied", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """
    What applying did.

    Attributes:
        changed: Whether the rules are others than before.
        grants: Trigger -> what automation may do when it breaches.
    """

    changed: bool
    grants: Mapping[str, str]


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
    plane.components(spec, root)
    rules = spec.to_json()
    grants = {name: declared.grant.value for name, declared in spec.triggers.items()}
    try:
        before = plane.store.system_spec(spec.system)
    except NotFoundError:
        before = None
    document = {"rules": rules, "root": root, "retired": _retired(before, rules)}
    if before != document:
        with plane.store.change(spec.system) as change:
            change.save_system(document)
            change.append("applied", actor, plane.now(), {"rules": rules, "grants": grants})
        publish(plane, spec.system, plane.store.read(spec.system))
    plane.traffic.publish_rules(spec.system, rules)
    return Applied(changed=before != document, grants=grants)


def _retired(before: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declarations of components that earlier files had: one may go back to versions that have them."""
    if before is None:
        return {}
    known = {**before.get("retired", {}), **before["rules"]["components"]}
    return {name: declared for name, declared in known.items() if name not in rules["components"]}
