"""Roots: folders below which a server may capture components for those who ask over a network."""

from collections.abc import Sequence
from pathlib import Path

from knowngood.domain.system import EMBEDDED_KINDS, SystemFile
from knowngood_sdk.errors import RefusedError

__all__ = ["check_roots"]


def check_roots(spec: SystemFile, root: Path, allowed: Sequence[Path]) -> None:
    """
    Check that the folder of a system file, and every path in it, is below a root that the configuration allows.

    Whoever may deploy over a network must not be able to have any file of the server's host read. Links are followed
    before it is judged.

    Raises:
        RefusedError: One is not.
    """
    named = [("the folder", ".")]
    named += [(f"component {n}", one.target) for n, one in spec.components.items() if one.kind in EMBEDDED_KINDS]
    named += [(f"the contract of {n}", one.contract) for n, one in spec.components.items() if one.contract]
    named += [("the golden inputs", spec.golden)] if spec.golden else []
    inside = [one.resolve() for one in allowed]
    for what, path in named:
        place = (root / path).resolve()
        if not root.is_absolute() or not any(place.is_relative_to(one) for one in inside):
            known = ", ".join(map(str, allowed)) or "none, so nothing can be captured for who asks over HTTP"
            raise RefusedError(
                f"{what} of {spec.system} is at {place} on the server, and no allowed root has that",
                hint=f"Allowed by component_roots in the server's configuration: {known}",
            )
