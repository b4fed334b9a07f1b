"""What an edited system file takes from the way back is said; what it merely moves is not."""

from typing import Any

import pytest

from knowngood.domain.rule_change import changes_of
from knowngood.domain.system import Kinds, SystemFile

RULES: dict[str, Any] = {
    "system": "pricing",
    "kind": "realtime",
    "components": {"model": {"files": "model.joblib"}, "config": {"inline": "surge.yaml"}},
    "triggers": {"errors": {"over": "5%", "do": "hold"}},
    "fallback": {"price": 9.5},
    "golden": "golden.jsonl",
}


def system_file(**changed: Any) -> SystemFile:
    """Return the rules with some keys as given; None leaves one out."""
    return SystemFile.from_json({key: value for key, value in {**RULES, **changed}.items() if value is not None})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"kind": "batch"}, "kind: realtime before, batch now", id="kind"),
        pytest.param({"fallback": None}, "fallback removed", id="no fallback"),
        pytest.param({"golden": None}, "golden removed", id="no golden inputs"),
        pytest.param(
            {"components": {"model": {"files": "model.joblib"}}}, "component config removed", id="a component less"
        ),
        pytest.param(
            {"components": {**RULES["components"], "model": {"git": "model"}}},
            "component model: files before, git now",
            id="another adapter",
        ),
        pytest.param(
            {"components": {**RULES["components"], "config": {"inline": "surge.yaml", "role": "prompt"}}},
            "component config: role config before, prompt now",
            id="another role",
        ),
        pytest.param({"triggers": None}, "trigger errors removed", id="a trigger less"),
        pytest.param(
            {"triggers": {"errors": {"over": "5%", "do": "observe"}}},
            "trigger errors: hold before, observe now",
            id="a lower grant",
        ),
        pytest.param(
            {"triggers": {"errors": {"over": "50%", "do": "hold"}}},
            "trigger errors: over 0.05 before, over 0.5 now",
            id="a looser limit",
        ),
    ],
)
def test_what_weakens_the_way_back_is_marked(changed: dict[str, Any], says: str) -> None:
    (change,) = changes_of(system_file(), system_file(**changed))
    assert change.what.startswith(says)
    assert change.weakens


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"fallback": {"price": 8}}, "fallback changed", id="another answer"),
        pytest.param(
            {"components": {**RULES["components"], "features": {"git": "features"}}},
            "component features added",
            id="a component more",
        ),
        pytest.param(
            {"triggers": {**RULES["triggers"], "health": {"do": "rollback"}}},
            "trigger health added: rollback",
            id="a trigger more",
        ),
        pytest.param(
            {"triggers": {"errors": {"over": "5%", "do": "rollback"}}},
            "trigger errors: hold before, rollback now",
            id="a higher grant",
        ),
        pytest.param(
            {"triggers": {"errors": {"over": "1%", "do": "hold"}}},
            "trigger errors: over 0.05 before, over 0.01 now",
            id="a tighter limit",
        ),
        pytest.param({"sla": {"latency_p99": "80s"}}, "sla: nothing before, latency_p99 80s now", id="another promise"),
        pytest.param(
            {"verify": {"requests": 1, "within": "60s"}},
            "verify: requests 200, within 1m before, requests 1, within 1m now",
            id="another sample",
        ),
    ],
)
def test_what_else_changed_is_said_without_a_warning(changed: dict[str, Any], says: str) -> None:
    (change,) = changes_of(system_file(), system_file(**changed))
    assert (change.what, change.weakens) == (says, False)


def test_what_no_way_back_depends_on_is_no_news() -> None:
    moved = {**RULES["components"], "model": {"files": "elsewhere/model.joblib"}}
    assert changes_of(system_file(), system_file(components=moved)) == ()
    assert changes_of(system_file(), system_file()) == ()


def test_health_that_is_no_longer_asked_weakens() -> None:
    watched = system_file(health=["http://127.0.0.1:1/healthz"])
    (gone,) = changes_of(watched, system_file())
    assert (gone.what, gone.weakens) == ("health: http://127.0.0.1:1/healthz before, nothing now", True)
    (asked,) = changes_of(system_file(), watched)
    assert not asked.weakens


INSTALLED = Kinds(state={"redis": ()}, effects={"outbox": ()})
CACHE = {"cache": {"redis": "{version}:*", "class": "derived"}}


@pytest.mark.parametrize(
    ("before", "after", "says", "weakens"),
    [
        pytest.param({"state": CACHE}, {}, "state cache removed: no rollback", True, id="state less"),
        pytest.param({}, {"state": CACHE}, "state cache added", False, id="state more"),
        pytest.param(
            {"state": CACHE},
            {"state": {"cache": {"redis": "other:*", "class": "derived"}}},
            "state cache: redis {version}:*, class derived before, redis other:*, class derived now",
            True,
            id="state elsewhere",
        ),
        pytest.param({"effects": {"mails": {"outbox": "m"}}}, {}, "effects mails removed", True, id="effects less"),
    ],
)
def test_what_a_rollback_sees_to_afterwards_is_news(
    before: dict[str, Any], after: dict[str, Any], says: str, *, weakens: bool
) -> None:
    was, now = (SystemFile.from_json({**RULES, **changed}, kinds=INSTALLED) for changed in (before, after))
    (change,) = changes_of(was, now)
    assert (change.what.startswith(says), change.weakens) == (True, weakens), change.what
    assert changes_of(now, now) == ()
