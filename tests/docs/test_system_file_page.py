"""The page of the system file has every key that is read, no other, and the defaults that hold."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from knowngood.adapters.yaml import read_document
from knowngood.domain.system import EMBEDDED_KINDS, SystemFile
from knowngood.domain.trigger import from_spec
from knowngood_sdk.errors import InvalidError

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "system-file.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([^`]+)` \| (?:`([^`]*)`)? ?\|", PAGE, flags=re.MULTILINE))
METRIC = "conversion"
SMALL: dict[str, Any] = {
    "system": "pricing",
    "kind": "realtime",
    "components": {"model": {"files": "model.joblib"}},
    "sla": {"latency_p99": "80ms"},
}
TRIGGERS: dict[str, dict[str, Any]] = {
    "errors": {},
    "latency": {},
    "health": {},
    "nonsense": {},
    "prediction_mean": {},
    METRIC: {"drop": "10%"},
}
GROUPS: dict[str, dict[str, Any]] = {
    "": SMALL,
    "sla": SMALL,
    "standby": SMALL | {"standby": {}},
    "unproven": SMALL | {"unproven": {}},
    "verify": SMALL | {"verify": {}},
    "components.model": SMALL,
} | {f"triggers.{name}": SMALL | {"triggers": TRIGGERS} for name in TRIGGERS}


def known_below(group: str) -> set[str]:
    """The keys that are read there, as the refusal of a strange one names them."""
    document = deepcopy(GROUPS[group])
    place = document
    for step in filter(None, group.split(".")):
        place = place[step]
    place["zzz"] = 1
    with pytest.raises(InvalidError) as caught:
        SystemFile.from_json(document)
    return set(re.sub(r".*Known: ", "", caught.value.hint).split(", "))


def on_the_page(group: str, key: str) -> str:
    """How a key is written on the page."""
    place = group.replace("components.model", "components.<name>").replace(METRIC, "<metric>")
    return f"{place}.{key}" if place else key


def with_value(path: str, text: str) -> dict[str, Any]:
    """A document that sets a key of the page to a text, as YAML reads it."""
    document = deepcopy(SMALL | {"triggers": TRIGGERS})
    steps = path.replace("<name>", "model").replace("<metric>", METRIC).split(".")
    place = document
    for step in steps[:-1]:
        place = place.setdefault(step, {})
    place[steps[-1]] = read_document(text.encode(), "the page", largest=1000).value
    return document


def test_every_key_that_is_read_is_on_the_page_and_no_other() -> None:
    read = {on_the_page(group, key) for group in GROUPS for key in known_below(group)}
    # A component of one kind refuses the others.
    read |= {on_the_page("components.model", kind) for kind in EMBEDDED_KINDS}
    assert set(ROWS) == read


@pytest.mark.parametrize(
    ("path", "default"), [pytest.param(path, text, id=path) for path, text in ROWS.items() if text]
)
def test_a_default_on_the_page_is_the_one_that_holds(path: str, default: str) -> None:
    left_out = SystemFile.from_json(SMALL | {"triggers": TRIGGERS})
    written = SystemFile.from_json(with_value(path, default))
    if path.startswith("triggers.") and not path.endswith(".do"):
        name = path.split(".")[1].replace("<metric>", METRIC)
        judges = [from_spec(found.triggers[name], found.sla) for found in (left_out, written)]
        assert judges[0] == judges[1]
    else:
        assert written == left_out
