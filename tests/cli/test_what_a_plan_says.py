"""A plan for a person names every version that it speaks of, and stays short however long the history is."""

from collections.abc import Iterator

import click

from knowngood.cli.plan import lines_of
from knowngood.domain.evidence import Grade
from knowngood.domain.plan import Plan
from knowngood.domain.planner import Situation, plan
from tests.domain.priced_versions import HISTORY, MEASURED, OLD_MODEL, V0, V1, V2, manifest, model, ready, recorded


def told(made: Plan) -> Iterator[str]:
    """What a person reads of a plan of the system pricing."""
    return lines_of({"system": "pricing", **made.to_json()})


def test_what_was_refused_is_named_with_its_version() -> None:
    made = plan(Situation(live=V2, history=HISTORY, ready=ready(V1), estimates=MEASURED))
    refused = [click.unstyle(line) for line in told(made) if "refused" in line]
    assert len(refused) == 1
    assert refused[0].startswith(f"  ✖ combination {OLD_MODEL.label}, level 1 (model) refused: ")


def test_what_a_person_could_do_stands_under_one_heading() -> None:
    made = plan(Situation(live=V2, history=(recorded(V0, Grade.ARMED),)))
    lines = [click.unstyle(line) for line in told(made)]
    assert lines[-1].startswith(f"  ✖ {V0.label}, level 2 (system) refused: it is only armed")
    at = lines.index("  a person could:")
    assert lines[at + 1] == "    answer with the static fallback: kg rollback pricing --to fallback"


def test_a_long_history_makes_no_long_plan() -> None:
    history = tuple(recorded(manifest(model=model(str(number), "16")), Grade.ARMED) for number in range(100, 140))
    lines = list(told(plan(Situation(live=V2, history=history))))
    assert lines[-1] == "  ... and 35 more, with the reasons: kg plan pricing --output json"
    assert len(lines) <= 15
