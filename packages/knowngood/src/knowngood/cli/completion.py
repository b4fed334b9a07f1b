"""Completion: what can stand at the cursor, read from the working folder's files alone."""

from pathlib import Path

import click

__all__ = ["systems", "versions"]

_SHORT = 12


def systems(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the systems of the working folder whose names begin so."""
    folders = sorted(_directory(context).glob("systems/*"))
    return [folder.name for folder in folders if folder.name.startswith(incomplete)]


def versions(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the versions of the named system that were ever staged and whose digests begin so, newest first."""
    system = str(context.params.get("system", ""))
    manifests = [path for path in (_directory(context) / "systems" / system / "manifests").glob("*.json") if system]
    manifests.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.stem[:_SHORT] for path in manifests if path.stem.startswith(incomplete)]


def _directory(context: click.Context) -> Path:
    return Path(str(context.params.get("directory") or ".knowngood"))
