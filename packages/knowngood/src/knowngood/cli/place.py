"""Place: where the verbs are asked for: the working folder of this host."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knowngood.cli.console import directory_option

if TYPE_CHECKING:
    from knowngood.ports.verbs import Verbs

__all__ = ["Place", "place_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where the verbs are asked for.

    Attributes:
        directory: The working folder of this host.
    """

    directory: str

    def verbs(self) -> "Verbs":
        """Return the verbs there. Nothing is opened or sent yet."""
        return self.here()

    def here(self) -> "Verbs":
        """Return the verbs of the working folder."""
        from knowngood.verbs.embedded import Embedded

        return Embedded(self.directory)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--dir``, as its ``place``."""

    @functools.wraps(command)
    def placed(*arguments: Any, directory: str, **options: Any) -> Any:
        return command(*arguments, place=Place(directory=directory), **options)

    return directory_option(placed)
