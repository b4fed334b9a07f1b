"""
The data plane of knowngood: what runs inside and beside a model server.

``from knowngood_sdk import System, fingerprint`` is all that most programs need; see the README.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knowngood_sdk.serving.fingerprint import fingerprint
    from knowngood_sdk.serving.system import System

__all__ = ["System", "fingerprint"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: the control plane reads values of this package and pays for no server."""
    if name == "System":
        from knowngood_sdk.serving.system import System  # noqa: PLC0415 - lazy on purpose

        return System
    if name == "fingerprint":
        from knowngood_sdk.serving.fingerprint import fingerprint  # noqa: PLC0415 - lazy on purpose

        return fingerprint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
