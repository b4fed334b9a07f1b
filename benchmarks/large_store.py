"""
Large store: a working folder and a store with many systems, each with a long history, as one that was used for years.

Every document is one that the product would write, but is made from a template: made one by one they would take
minutes. The first of each kind of each system is held against what the product makes.
"""

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Table

from benchmarks.host import BenchmarkError
from knowngood.adapters.files.durable import Deadline
from knowngood.adapters.files.objects import Objects
from knowngood.adapters.sql import SqlStore, schema
from knowngood.app import make_folder
from knowngood.domain import ledger
from knowngood.domain.deployment import Deployment, DeploymentState, Strategy
from knowngood.domain.ledger import EMPTY, Anchor
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["ENTRIES", "VERSIONS", "LargeStore", "fill", "place"]

VERSIONS = 100
"""Of each system, each deployed once and verified."""
ENTRIES = 1_000
"""Of each system's ledger."""
_AT = "2026-01-01T18:00:00.000Z"
_PARTS = ("config", "data", "features", "model", "prompt")
_GRADES = ("recorded", "armed", "verified")
_FIGURES = {"load_seconds": 1.5, "flip_seconds": 0.01, "requests": 200}
_TOGETHER = 50
"""Systems in one transaction."""

Rows = dict[Table, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeStore:
    """
    Where it is.

    Attributes:
        folder: The working folder.
        address: What ``kg serve --store`` is given.
        systems: Names of its systems.
    """

    folder: Path
    address: str
    systems: Sequence[str]


@contextmanager
def place(database: str, folder: Path) -> Iterator[str]:
    """Give the address of a new, empty store on ``sqlite`` or ``postgres``, while the block runs."""
    with ExitStack() as stack:
        if database == "sqlite":
            address = str(folder / "store.db")
            SqlStore.open(Path(address)).close()
            yield address
        else:
            from tests.postgres import running  # noqa: PLC0415 - it comes with what tests need

            server = stack.enter_context(running())
            yield stack.enter_context(server.store())


def fill(folder: Path, address: str, systems: int, seed: int) -> LargeStore:
    """
    Fill a working folder and its empty store.

    Args:
        folder: The working folder; made here.
        address: Of the store, from ``place``.
        systems: How many systems.
        seed: Of everything that is drawn.
    """
    rng = random.Random(seed)
    make_folder(folder)
    live = _live_parts(folder)
    names = [f"system-{number:04}" for number in range(systems)]
    for first in range(0, systems, _TOGETHER):
        rows: Rows = {}
        for system in names[first : first + _TOGETHER]:
            _fill_system(rows, folder, system, rng, live)
        _insert(address, rows)
    _analyse(address)
    return LargeStore(folder=folder, address=address, systems=names)


def _live_parts(folder: Path) -> dict[str, str]:
    """Keep the bytes of what every system serves, and return their digests by part."""
    within = Deadline(timedelta(seconds=10))
    return {part: Objects(folder).put_bytes(f"the live {part}\n".encode() * 64, within) for part in _PARTS}


def _fill_system(rows: Rows, folder: Path, system: str, rng: random.Random, live: Mapping[str, str]) -> None:
    def add(to: Table, *values: Mapping[str, Any]) -> None:
        columns = [column.name for column in to.c]
        rows.setdefault(to, []).extend(tuple({"system": system, **row}.get(name) for name in columns) for row in values)

    spec = _spec(system)
    add(schema.systems, {"spec": _text({"rules": spec, "root": "/", "retired": {}})})
    add(schema.routes, {"generation": VERSIONS, "step": 0, "split": FULL})
    manifests = [_manifest(system, [_drawn(rng) for _ in _PARTS]) for _ in range(VERSIONS - 1)]
    manifests.append(_manifest(system, [live[part] for part in _PARTS]))
    versions = [version for version, _, _ in manifests]
    add(
        schema.manifests,
        *(
            {"digest": digest, "position": n, "version": version, "recorded_at": _AT, "document": document}
            for n, (version, digest, document) in enumerate(manifests, 1)
        ),
    )
    chains = [versions[max(0, n - 3) : n][::-1] for n in range(1, VERSIONS + 1)]
    add(
        schema.generations,
        *(
            {"number": n, "chain": json.dumps(chain, separators=(",", ":")), "saw_quarantine": "[]", "saw_local": "[]"}
            for n, chain in enumerate(chains, 1)
        ),
    )
    figures = _text(_FIGURES)
    facts = [{"version": version, "grade": grade} for version in versions for grade in _GRADES]
    add(schema.evidence, *({**fact, "position": n, "at": _AT, "figures": figures} for n, fact in enumerate(facts, 1)))
    add(schema.deployments, *_deployments(system, manifests))
    head = EMPTY
    entries = list(_entries(system, versions))
    add(schema.ledger, *entries)
    head = Anchor(ENTRIES, entries[-1]["hash"])
    document = RouteDocument(
        system=system,
        route=FleetRoute(VERSIONS, 0, FULL),
        generations={VERSIONS: Generation(number=VERSIONS, chain=tuple(chains[-1]))},
        anchor=head,
    ).to_json()
    add(schema.exchange_routes, {"document": json.dumps(document), "changes": VERSIONS, "writer": "a benchmark"})
    add(schema.exchange_rules, {"document": json.dumps(spec)})
    place = folder / "systems" / system
    place.mkdir(parents=True, mode=0o700)
    (place / "route.json").write_bytes(canonical_bytes(document))
    (place / "system.json").write_bytes(canonical_bytes(spec))


def _spec(system: str) -> dict[str, Any]:
    from knowngood.domain.system import SystemFile  # noqa: PLC0415

    components = {part: {"files": part, "role": part} for part in _PARTS}
    written = {"system": system, "kind": "realtime", "components": components, "fallback": {"price": 2}}
    return dict(SystemFile.from_json(written).to_json())


def _drawn(rng: random.Random) -> str:
    return f"sha256:{rng.randbytes(32).hex()}"


_MODEL: dict[str, tuple[str, str]] = {}


def _manifest(system: str, parts: Sequence[str]) -> tuple[str, str, str]:
    """Return the content digest, the digest and the document of a version with these parts."""
    if system not in _MODEL:
        _MODEL.clear()
        _MODEL[system] = _templates(system)
    document, content = _MODEL[system]
    for number, part in enumerate(parts):
        document, content = document.replace(_mark(number), part), content.replace(_mark(number), part)
    return _digest(content), _digest(document), document


def _mark(number: int) -> str:
    return f"sha256:{number:064x}"


def _templates(system: str) -> tuple[str, str]:
    """Return the canonical document of a version and what its content digest is of, with marks for its parts."""
    manifest = Manifest(
        system=system,
        components={
            part: Component(
                role=Role(part), kind="files", ref=Ref(digest=_mark(n), facets={"form": "file", "name": part})
            )
            for n, part in enumerate(_PARTS)
        },
        intent=Intent(text="A version for a benchmark"),
    )
    content = {
        "system": system,
        "components": {
            name: {"role": part.role.value, "digest": part.ref.digest, "provides": {}, "requires": {}}
            for name, part in manifest.components.items()
        },
    }
    document = _text(manifest.to_json())
    if (_digest(_text(content)), _digest(document)) != (manifest.content_digest, manifest.digest):
        raise BenchmarkError("the product makes digests of manifests in another way than this benchmark")
    return document, _text(content)


def _deployments(system: str, manifests: Sequence[tuple[str, str, str]]) -> Iterator[dict[str, Any]]:
    counts = VersionCounts(requests=10_000, latency=dict.fromkeys(range(-20, 5), 400))
    version, manifest, _ = manifests[0]
    row = Deployment(
        system=system,
        generation=1,
        version=version,
        manifest=manifest,
        strategy=Strategy.CANARY,
        split=FULL,
        actor="a benchmark",
        started_at=_AT,
        full_at=_AT,
        state=DeploymentState.VERIFIED,
    ).to_json()
    counted = _text(counts.to_json())
    for n, (version, manifest, _) in enumerate(manifests, 1):
        before = manifests[max(0, n - 2)][0]
        changed = {"generation": n, "version": version, "manifest": manifest}
        yield {**row, **changed, "baseline": f'{{"{before}":{counted}}}'}


def _entries(system: str, versions: Sequence[str]) -> Iterator[dict[str, Any]]:
    previous = EMPTY.head
    for n in range(ENTRIES):
        body = f'{{"seconds":{n},"version":"{versions[n % VERSIONS]}","why":"a benchmark"}}'
        hashed = (
            f'{{"actor":"a benchmark","at":"{_AT}","body":{body},"kind":"deployed","previous":"{previous}",'
            f'"sequence":{n + 1},"system":"{system}"}}'
        )
        entry = {"sequence": n + 1, "at": _AT, "actor": "a benchmark", "kind": "deployed", "body": body}
        hash_ = _digest(hashed)
        if n < 1:
            made = ledger.append(system, EMPTY, at=_AT, actor="a benchmark", kind="deployed", body=json.loads(body))
            if made.hash != hash_:
                raise BenchmarkError("the product chains its ledger in another way than this benchmark")
        yield {**entry, "previous": previous, "hash": hash_}
        previous = hash_


def _text(value: Any) -> str:
    return canonical_bytes(value).decode()


def _digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _insert(address: str, rows: Rows) -> None:
    """Insert in one transaction, past our own code: in the order of the tables, for rows refer to each other."""
    ordered = [table for table in schema.metadata.sorted_tables if table in rows]
    if address.startswith("postgresql"):
        with psycopg.connect(address) as connection, connection.cursor() as cursor:
            for table in ordered:
                names = ", ".join(f'"{column.name}"' for column in table.c)
                with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN".encode()) as copy:
                    for row in rows[table]:
                        copy.write_row(row)
        return
    with sqlite3.connect(address) as file:
        file.execute("PRAGMA synchronous=OFF")
        for table in ordered:
            marks = ", ".join("?" * len(table.c))
            file.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows[table])  # noqa: S608 - our own names
    file.close()


def _analyse(address: str) -> None:
    """Let a server know how much there is, as its own housekeeping does sooner or later."""
    if address.startswith("postgresql"):
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
