"""``kg token``: who may ask a server for what."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from knowngood.cli.console import GIVEN, WORDS, answer, columns, directory_option, mark, output_option, say
from knowngood.cli.group import Group
from knowngood.cli.place import refuse_a_server

if TYPE_CHECKING:
    from knowngood.config import Settings
    from knowngood.control.tokens import Giver
    from knowngood.domain.token import Minted, Token
    from knowngood.ports.tokens import Tokens

_SOON = timedelta(days=7)


@click.group(name="token", cls=Group, epilog="Example:  kg token list")
def command() -> None:
    """
    Make, list, rotate and revoke the tokens by which a server knows who asks.

    They are kept in the store, so this works where the store is: beside the server, or with its --config.
    """


def _store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    config = click.option(
        "--config",
        "path",
        envvar="KNOWNGOOD_CONFIG",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The server's configuration; also KNOWNGOOD_CONFIG.",
    )
    store = click.option("--store", type=GIVEN, help="Where the record is kept: a path, or postgresql://...")
    return directory_option(config(store(function)))


_expires_option = click.option("--expires", type=GIVEN, metavar="TIME", help="How long it holds: 12h, 90d.")
_to_option = click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), help="Write the secret to this new file (mode 0600)."
)


@command.command(
    epilog="""\b
Examples:
  kg token create --for anna --scope on-call --system pricing --level 2 --expires 90d
  kg token create --for pricing-replicas --scope replica --system pricing --to replica.token
"""
)
@click.option("--for", "name", required=True, type=GIVEN, help="Person or program; the actor of what it leads to.")
@click.option(
    "--scope",
    "words",
    required=True,
    multiple=True,
    type=GIVEN,
    help="viewer, on-call, deployer, owner, replica, or a single verb; may be repeated.",
)
@click.option("--system", "systems", multiple=True, type=GIVEN, help="System that it reaches; may be repeated.")
@click.option("--every-system", is_flag=True, help="It reaches every system, those to come too.")
@click.option("--level", type=click.IntRange(1, 4), default=2, show_default=True, help="Highest level of a rollback.")
@click.option("--environment", type=GIVEN, help="Where it holds; that of the server's configuration otherwise.")
@_expires_option
@_to_option
@_store_options
@output_option
def create(  # noqa: PLR0913 - one argument for each option
    *,
    name: str,
    words: tuple[str, ...],
    systems: tuple[str, ...],
    every_system: bool,
    level: int,
    environment: str | None,
    expires: str | None,
    to: Path | None,
    output: str,
    **where: Any,
) -> None:
    """Make a token. Its secret is shown this once, and kept nowhere."""
    from knowngood.cli.reading import as_typed
    from knowngood.control.tokens import create as make
    from knowngood.domain.level import Level
    from knowngood.domain.quantity import duration
    from knowngood.domain.token import ANY, RANDOM_BYTES, Order, Scope, verbs_of

    with as_typed():
        life = duration(expires or "90d", "--expires")
    settings, tokens, giver = _open(**where)
    scope = Scope(
        verbs=verbs_of(words),
        systems=frozenset({ANY} if every_system else systems),
        highest=Level(level),
        environment=environment or settings.environment,
    )
    order = Order(name=name, scope=scope, life=life)
    _warn_of_unknown(systems, settings)
    _hand_over(lambda: make(tokens, os.urandom(RANDOM_BYTES), order, giver), to, output)


@command.command(name="list", epilog="Example:  kg token list --output json")
@click.option("--all", "all_", is_flag=True, help="Those that hold no more too.")
@_store_options
@output_option
def list_(output: str, *, all_: bool, **where: Any) -> None:
    """List tokens, oldest first; never their secrets."""
    from knowngood.control.tokens import seen_by
    from knowngood.domain.token import TokenState

    _, tokens, giver = _open(**where)
    made = [token for token in seen_by(tokens, giver) if all_ or token.state(giver.now) is TokenState.ACTIVE]
    documents = [_shown(token, giver) for token in made]
    rows = [_row(token, giver) for token in made]
    answer(
        {"tokens": documents},
        output,
        lambda: (
            columns(rows, ("id", "for", "scope", "systems", "level", "environment", "until"))
            if rows
            else ["there are no tokens" if all_ else "no token holds; those that did: kg token list --all"]
        ),
    )


@command.command(epilog="Example:  kg token rotate anna --overlap 24h")
@click.argument("token", type=GIVEN)
@click.option(
    "--overlap", type=GIVEN, default="24h", show_default=True, metavar="TIME", help="How long the old one still holds."
)
@_expires_option
@_to_option
@_store_options
@output_option
def rotate(token: str, overlap: str, expires: str | None, to: Path | None, output: str, **where: Any) -> None:
    """Make the token that follows TOKEN (an id, or whom it is for). Both hold until the overlap is over."""
    from knowngood.cli.reading import as_typed
    from knowngood.control.tokens import named
    from knowngood.control.tokens import rotate as follow
    from knowngood.domain.quantity import duration
    from knowngood.domain.token import RANDOM_BYTES

    with as_typed():
        life = None if expires is None else duration(expires, "--expires")
        still = timedelta(0) if overlap in {"0", "0s"} else duration(overlap, "--overlap")
    _, tokens, giver = _open(**where)
    old = named(tokens, token)
    _hand_over(lambda: follow(tokens, os.urandom(RANDOM_BYTES), old, giver=giver, overlap=still, life=life), to, output)


@command.command(epilog="Example:  kg token revoke anna --why 'lost laptop'")
@click.argument("token", type=GIVEN)
@click.option("--why", type=WORDS, default="", help="The reason; goes on record under your name.")
@_store_options
@output_option
def revoke(token: str, why: str, output: str, **where: Any) -> None:
    """End TOKEN (an id, or whom it is for) at once. A server hears of it within seconds."""
    from knowngood.control.tokens import named
    from knowngood.control.tokens import revoke as end

    _, tokens, giver = _open(**where)
    over = end(tokens, named(tokens, token), giver=giver, why=why)
    answer(
        {"token": _shown(over, giver)},
        output,
        lambda: [f"{mark('good')} {over.id} of {over.name} is revoked"],
    )


@command.command(epilog="Example:  kg token history --output json")
@_store_options
@output_option
def history(output: str, **where: Any) -> None:
    """Print all that was done to tokens, and check that nothing of it was edited."""
    from knowngood.domain.ledger import verify

    _, tokens, _ = _open(**where)
    entries = tokens.ledger()
    found = verify(entries)

    def text() -> list[str]:
        lines = [
            f"{e.sequence:>5}  {e.at}  {e.actor}  {e.kind}  {e.body.get('name', '')} {e.body.get('token', '')}"
            for e in entries
        ]
        return [*lines, f"{mark('good' if found.ok else 'bad')} {found.problem or f'{len(entries)} entries, whole'}"]

    answer({"entries": [entry.to_json() for entry in entries], "problem": found.problem}, output, text)


def _open(directory: str, path: Path | None, store: str | None) -> "tuple[Settings, Tokens, Giver]":
    """Return the server's settings, its tokens, and who acts: the user of this host."""
    from datetime import UTC, datetime

    from knowngood.app import actor, open_tokens
    from knowngood.config import read_settings
    from knowngood.control.tokens import Giver
    from knowngood_sdk.errors import NotFoundError

    given = click.get_current_context().get_parameter_source
    by_hand = given("directory") is ParameterSource.COMMANDLINE
    if not (path or store):
        refuse_a_server(
            "tokens are made where the store is",
            hint="Run it there, with the server's --dir or --config; or unset KNOWNGOOD_URL",
        )
    named = {"dir": Path(directory) if by_hand or path is None else None, "store": store}
    settings = read_settings(path, os.environ, named)
    if not settings.store and not (settings.folder / "format").exists():
        raise NotFoundError(
            f"there is no working folder {settings.folder}",
            hint="Name the server's with --dir or KNOWNGOOD_DIR; kg serve makes it, and so does kg apply",
        )
    return settings, open_tokens(settings), Giver(name=actor(), now=datetime.now(UTC))


def _warn_of_unknown(systems: tuple[str, ...], settings: "Settings") -> None:
    """Say so where a system is not known yet: its name may be mistyped, or it is applied later."""
    from knowngood.app import known_systems
    from knowngood.domain.spelling import did_you_mean

    known = known_systems(settings)
    for system in systems:
        if system not in known:
            say(f"{mark('warning')} no system {system!r} was applied there yet. {did_you_mean(system, known)}")


def _hand_over(make: "Callable[[], Minted]", to: Path | None, output: str) -> None:
    """Make a token and give its secret to whoever asked: once, on standard output or in a file of theirs."""
    descriptor = None if to is None else _new_file(to)
    try:
        minted = make()
    except BaseException:
        if to is not None and descriptor is not None:
            os.close(descriptor)
            to.unlink()
        raise
    if descriptor is not None:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{minted.secret}\n")
    token = minted.token
    shown = {key: value for key, value in token.to_json().items() if key != "sha256"}
    where = {"secret": minted.secret} if to is None else {"file": str(to)}
    answer(
        {"token": shown, **where}, output, lambda: [minted.secret if to is None else f"{mark('good')} written to {to}"]
    )
    if output == "text":
        say(f"{mark('good')} token {token.id} for {token.name}, until {token.expires_at:%Y-%m-%d %H:%M} UTC")
        if to is None:
            say("  The secret is shown this once and kept nowhere. Use it: export KNOWNGOOD_TOKEN=kg_...")


def _new_file(path: Path) -> int:
    from knowngood_sdk.errors import ConflictError
    from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, writing

    with writing(path):
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, OWNER_FILE)
        except FileExistsError as error:
            raise ConflictError(f"there is a file {path} already", hint="Name another one: --to FILE") from error


def _shown(token: "Token", giver: "Giver") -> Mapping[str, Any]:
    document = {key: value for key, value in token.to_json().items() if key != "sha256"}
    return {**document, "state": token.state(giver.now).value}


def _row(token: "Token", giver: "Giver") -> tuple[str, ...]:
    from knowngood.domain.token import SETS, TokenState

    scope = token.scope
    sets = [name for name, verbs in SETS.items() if verbs == scope.verbs]
    until = f"{token.expires_at:%Y-%m-%d %H:%M}"
    state = token.state(giver.now)
    if state is not TokenState.ACTIVE:
        until = f"{mark('bad')} {state}"
    elif token.expires_at - giver.now < _SOON:
        until = f"{mark('warning')} {until}"
    return (
        token.id,
        token.name,
        sets[0] if sets else ",".join(sorted(scope.verbs)),
        ",".join(sorted(scope.systems)),
        str(int(scope.highest)),
        scope.environment,
        until,
    )
