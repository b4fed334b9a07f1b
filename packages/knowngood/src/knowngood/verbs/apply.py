"""Apply: a system file becomes the system's rules."""

import os
from pathlib import Path

from knowngood.adapters.yaml import system_file_of
from knowngood.control.apply import apply as make_rules
from knowngood.control.lag import known_route
from knowngood.control.plane import Plane
from knowngood.domain.system import EMBEDDED_KINDS, SystemFile
from knowngood.ports.verbs import Document, SystemText

__all__ = ["apply"]


def apply(plane: Plane, given: SystemText, *, actor: str) -> Document:
    """Make a system file the system's rules, and tell what is needed by a deployment and not there yet."""
    spec = system_file_of(given.text.encode(), given.file, kinds=plane.kinds)
    applied = make_rules(plane, spec, root=given.root, actor=actor)
    return {
        "system": spec.system,
        "changed": applied.changed,
        "file": given.file,
        "grants": dict(applied.grants),
        "changes": [change.to_json() for change in applied.changes],
        "missing": _missing(spec, Path(given.root)),
        "served_elsewhere": _served_elsewhere(plane, spec.system),
    }


def _served_elsewhere(plane: Plane, system: str) -> int:
    """Return the generation that replicas know of a system that this record never deployed; 0 where there is none."""
    known = known_route(plane, system).generation  # before the record, which a deployment is put on first
    return 0 if plane.store.read(system).row.generation else known


def _missing(spec: SystemFile, root: Path) -> dict[str, str]:
    """Return what the rules name by a path where nothing is yet; training may still have to write it."""
    named = {"the golden inputs": spec.golden}
    for name, declared in spec.components.items():
        named[name] = declared.target if declared.kind in EMBEDDED_KINDS else None
        named[f"the contract of {name}"] = declared.contract
    return {what: str(root / path) for what, path in named.items() if path and not os.access(root / path, os.F_OK)}
