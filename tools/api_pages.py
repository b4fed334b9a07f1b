"""The pages of docs/reference about the server: its API from its own OpenAPI, its configuration from the settings."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from knowngood.api import create_app
from knowngood.api.bodies import described
from knowngood.app import open_server
from knowngood.config import Settings
from tools.command_pages import MADE

__all__ = ["api_page", "configuration_page"]

_API_INTRODUCTION = """
What `kg serve` answers. The same as OpenAPI 3.1, with examples: `GET /v1/openapi.json`.

- The verbs are those of the [command line](cli.md), and the documents are what it prints with `--output json`.
- Every request but `/healthz` and `/readyz` takes a token: `Authorization: Bearer kg_...` (`kg token create`).
- What goes wrong is `application/problem+json`: `type`, `title`, `status`, `detail`, `instance`, and beside them the
  stable `code` of [errors](errors.md), a `hint` that says what to do next, and `details`.
- Verbs marked with ⧗ may take long. With `Accept: text/event-stream` their progress comes as it happens: events
  `progress` (`{"sign", "line"}`), then one `result` (the document) or `problem`. Who closes the connection gives the
  verb up: a deployment that is not in service yet is taken back, a rollback whose version was left goes on.
- Progress of a rollback has the sign `good` once the version is left, and no sooner. Where the connection is lost then,
  the rollback goes on by itself, and breaking the glass would leave the good version.
- `X-Request-Id` of a request, or one that is made for it, comes back with the answer and stands in the log.
- A key or a parameter that nobody reads is refused, and so is half a character (`"\\ud800"`). A body is at most
  `body_bytes` large, and 32 deep.
"""

_CONFIGURATION_INTRODUCTION = """
`kg serve --config FILE` reads YAML, or TOML from a file that is named so. A variable `KNOWNGOOD_<KEY>` goes before the
file, and an option of the command line before both. A key or a variable `KNOWNGOOD_...` that nobody reads fails at the
start, with the nearest known name. In a variable a list is parted by colons.

| key | variable | unless set | meaning |
| --- | --- | --- | --- |
"""


def api_page() -> str:
    """Return the page of the API: each verb with its parameters, what it takes and what it answers."""
    with tempfile.TemporaryDirectory() as folder:
        described_api = create_app(open_server(Settings(dir=Path(folder)))).openapi()
    lines = ["# API", "", MADE, _API_INTRODUCTION]
    for path, operations in described_api["paths"].items():
        for method, operation in operations.items():
            lines += _operation(method, path, operation, described_api["components"]["schemas"])
    lines += ["## Problems", "", "| status | meaning |", "| --- | --- |", *_problems(described_api), ""]
    return "\n".join(lines)


def configuration_page() -> str:
    """Return the page of the configuration: each key with its variable, its value unless set, and its meaning."""
    said = described(Settings)
    rows = [
        f"| `{one.name}` | `KNOWNGOOD_{one.name.upper()}` | {_unless_set(one)} | {said[one.name].replace('``', '`')} |"
        for one in fields(Settings)
        if one.name in said
    ]
    return "\n".join(["# Configuration", "", MADE, _CONFIGURATION_INTRODUCTION.rstrip(), *rows, ""])


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    answer = operation["responses"]["200"]["content"]
    long = " ⧗" if "text/event-stream" in answer else ""
    yield from (f"## {method.upper()} {path}{long}", "", f"{operation['summary']}. {operation['description']}", "")
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            kind = parameter["schema"]
            bounds = [f"{word} {kind[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in kind]
            default = f"; {kind['default']} unless given" if "default" in kind else ""
            yield f"- `{parameter['name']}`{' ' + ' '.join(bounds) if bounds else ''}{default}"
    if operation.get("parameters") and any(one["in"] == "query" for one in operation["parameters"]):
        yield ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if body:
        yield from _body(schemas[body["$ref"].rpartition("/")[2]])
    if "application/json" in answer:
        yield from ("Answers:", "", *_listing(answer["application/json"]["example"]))


def _body(schema: dict[str, Any]) -> Iterator[str]:
    yield from (f"Takes: {schema['description'].rstrip('.')}.", "")
    for name, field in schema["properties"].items():
        yield f"- `{name}`: {field['description'].replace('``', '`')}"
    yield from ("", *_listing(schema["examples"][0]))


def _listing(document: Any) -> Iterator[str]:
    yield from ("```json", json.dumps(document, indent=2, ensure_ascii=False), "```", "")


def _problems(described_api: dict[str, Any]) -> Iterator[str]:
    known: dict[str, str] = {}
    for operations in described_api["paths"].values():
        for operation in operations.values():
            found = operation["responses"].items()
            known |= {status: answer["description"] for status, answer in found if _is_problem(answer)}
    yield from (f"| {status} | {meaning} |" for status, meaning in sorted(known.items()))


def _is_problem(answer: dict[str, Any]) -> bool:
    return "application/problem+json" in answer.get("content", {})


def _unless_set(one: "Field[Any]") -> str:
    value = one.default
    if value is MISSING or value in ("", (), None):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
