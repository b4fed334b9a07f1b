"""``kg history``: what was deployed, decided and done."""

from typing import Any

import click

from knowngood.cli.console import answer, columns, output_option, shortened, system_argument
from knowngood.cli.number import COUNT
from knowngood.cli.place import Place, place_options

_SHOWN = ("step", "outcome", "trigger", "reason", "why")
_LONGEST = 120


@click.command(epilog="Example:  kg history pricing --limit 20")
@system_argument
@click.option("--limit", type=COUNT, default=50, show_default=True, help="Newest entries to show.")
@place_options
@output_option
def command(system: str, limit: int, place: Place, output: str) -> None:
    """
    List what was deployed, decided and done to SYSTEM, newest last.

    As JSON, with every deployment and every rollback as they stand now beside the entries.
    """
    from knowngood_sdk.model.canonical import short

    document = place.verbs().history(system, limit)

    def told(body: dict[str, Any]) -> str:
        # What a rollback left is a version; what its fan-out found to have left it are replicas.
        version = body.get("version") or body.get("left")
        words = [short(version)] if isinstance(version, str) else []
        if "split" in body:
            words.append(f"share={body['split'] / 100:g}%")
        words += [f"{key}={body[key]}" for key in _SHOWN if key in body]
        return shortened(" ".join(words), _LONGEST)

    rows = [(str(e["sequence"]), e["at"], e["actor"], e["kind"], told(e["body"])) for e in document["entries"]]
    answer(document, output, lambda: columns(rows, ("#", "at", "actor", "what", "")))
