"""Place: where the verbs are asked for, the working folder of this host or a server."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from knowngood.cli.console import GIVEN, directory_option
from knowngood_sdk.errors import InvalidError, PermanentError

if TYPE_CHECKING:
    from knowngood.ports.verbs import Verbs

__all__ = ["Place", "place_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where the verbs are asked for.

    Attributes:
        directory: The working folder of this host.
        url: Address of a server; None for the folder.
        named: Whether the folder was named, on the command line or by KNOWNGOOD_DIR.
    """

    directory: str
    url: str | None
    named: bool = True

    def verbs(self) -> "Verbs":
        """Return the verbs there. Nothing is opened or sent yet."""
        if self.url is None:
            return self.here()
        try:
            from knowngood.adapters.remote import Remote
        except ModuleNotFoundError as error:
            raise PermanentError(
                f"asking a server needs {error.name}, which is not installed",
                hint="Install it: pip install 'knowngood[client]'",
            ) from error
        return Remote.of_environment(self.url, os.environ)

    def here(self) -> "Verbs":
        """Return the verbs of the working folder, whatever server is named."""
        from knowngood.verbs.embedded import Embedded

        return Embedded(self.directory, named=self.named, store=os.environ.get("KNOWNGOOD_STORE", ""))


def refuse_a_server(why: str, *, hint: str) -> None:
    """Raise InvalidError where KNOWNGOOD_URL names a server and no --dir a folder, for what takes a folder."""
    by_hand = click.get_current_context().get_parameter_source("directory") is ParameterSource.COMMANDLINE
    if os.environ.get("KNOWNGOOD_URL") and not by_hand:
        raise InvalidError(f"{why}, and KNOWNGOOD_URL names a server", hint=hint)


def _typed_address(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """Check an address that was typed; one in the environment is checked by what asks it, which is not everything."""
    typed = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    return GIVEN.convert(url, parameter, context) if typed else url


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--dir`` and ``--url``, as one ``place``."""

    @functools.wraps(command)
    def placed(*arguments: Any, directory: str, url: str | None, **options: Any) -> Any:
        given = click.get_current_context().get_parameter_source
        if url is not None and given("directory") is ParameterSource.COMMANDLINE:
            if given("url") is ParameterSource.COMMANDLINE:
                raise click.UsageError("--dir and --url exclude each other")
            url = None
        named = given("directory") is not ParameterSource.DEFAULT
        return command(*arguments, place=Place(directory=directory, url=url, named=named), **options)

    url_option = click.option(
        "--url",
        envvar="KNOWNGOOD_URL",
        callback=_typed_address,
        help="Server to ask instead of the working folder; also KNOWNGOOD_URL.",
    )
    return directory_option(url_option(placed))
