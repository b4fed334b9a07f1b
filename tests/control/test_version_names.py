"""What people mean by a name for a version, and by none."""

from typing import Any

from knowngood.control.lookup import compared, version_named


def test_who_names_no_version_compares_what_is_live_with_the_way_back_or_with_the_candidate(pricing: Any) -> None:
    first = pricing.deploy().deployment.version
    pricing.change(model="model 2", features="features 2")
    second = pricing.deploy().deployment.version
    assert told_apart(pricing) == (first, second)
    pricing.change(model="model 3", features="features 3")
    third = pricing.deploy(split=1000).deployment.version
    assert told_apart(pricing) == (second, third)


def told_apart(scenario: Any) -> tuple[str, ...]:
    plane = scenario.plane
    return tuple(version_named(plane, "pricing", name).content_digest for name in compared(plane, "pricing"))
