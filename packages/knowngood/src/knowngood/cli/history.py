"""``kg history``: what was deployed, decided and done."""

from typing import Any

import click

from knowngood.cli.console import answer, columns, directory_option, output_option, shortened, system_argument
from knowngood.cli.number import COUNT

_SHOWN = ("step", "outcome", "trigger", "reason", "why")
_LONGEST = 120


@click.command(epilog="Example:  kg history pricing --limit 20")
@system_argument
@click.option("--limit", type=COUNT, default=50, show_default=True, help="Newest entries to show.")
@directory_option
@output_option
def command(system: str, limit: int, directory: str, output: str) -> None:
    """
    List what was deployed, decided and done to SYSTEM, newest last.

    As JSON, with every deployment and every rollback as they stand now beside the entries.
    """
    from knowngood.app import open_plane
    from knowngood_sdk.model.canonical import short

    store = open_plane(directory).store
    count = store.head(system)[0]
    entries = list(store.ledger(system, after=max(0, count - limit), limit=limit))
    document = {
        "system": system,
        "deployments": [_without_counts(deployment.to_json()) for deployment in store.deployments(system)],
        "sagas": [saga.to_json() for saga in store.sagas(system)],
        "entries": [entry.to_json() for entry in entries],
    }

    def told(body: dict[str, Any]) -> str:
        # What a rollback left is a version; what its fan-out found to have left it are replicas.
        version = body.get("version") or body.get("left")
        words = [short(version)] if isinstance(version, str) else []
        if "split" in body:
            words.append(f"share={body['split'] / 100:g}%")
        words += [f"{key}={body[key]}" for key in _SHOWN if key in body]
        return shortened(" ".join(words), _LONGEST)

    rows = [(str(e.sequence), e.at, e.actor, e.kind, told(dict(e.body))) for e in entries]
    answer(document, output, lambda: columns(rows, ("#", "at", "actor", "what", "")))


def _without_counts(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return a deployment without the counts that it began with: they are for the watch, not for a reader."""
    return {name: value for name, value in deployment.items() if name != "baseline"}
