"""A pin is honoured from declared callers only."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.serving.inside import Inside
from tests.sdk.serving.steward import Steward, system
from tests.sdk.serving.test_asgi import Shop


@pytest.mark.parametrize(
    ("declared", "client", "inside"),
    [
        (False, ("127.0.0.1", 1), False),
        ((), ("127.0.0.1", 1), False),
        (True, ("8.8.8.8", 1), True),
        (True, None, True),
        (["10.0.0.0/8"], ("10.255.255.255", 1), True),
        (["10.0.0.0/8"], ("11.0.0.0", 1), False),
        (["10.0.0.0/8"], None, False),
        (["10.0.0.0/8", "unix"], None, True),
        (["unix"], ("127.0.0.1", 1), False),
        (["192.168.7.1"], ("192.168.7.1", 1), True),
        (["192.168.7.1"], ("192.168.7.2", 1), False),
        (["10.0.0.0/8"], ("::ffff:10.1.2.3", 1), True),
        (["10.0.0.0/8"], ("::1", 1), False),
        (["fd00::/8"], ("fd00::1%eth0", 1), True),
        (["10.0.0.0/8"], ("testclient", 1), False),
        (["10.0.0.0/8"], ("", 1), False),
    ],
)
def test_who_is_inside(declared: bool | Collection[str], client: tuple[str, int] | None, inside: bool) -> None:  # noqa: FBT001 - columns of the table
    scope: dict[str, Any] = {"client": client}
    assert Inside(declared).holds(scope) == inside
    assert Inside(declared).holds({}) == Inside(declared).holds({"client": None})


@pytest.mark.parametrize("declared", [["10.0.0.0/33"], ["10.1.0.0/8"], ["everybody"], [""], "10.0.0.0/8"])
def test_what_is_no_network_is_refused_at_once(declared: Collection[str]) -> None:
    with pytest.raises(InvalidError, match=r"is no network|inside is"):
        Inside(declared)


@pytest.fixture(params=["127.0.0.0/8", "10.0.0.0/8"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    kg = system(tmp_path)
    yield Shop(Steward(tmp_path), kg, inside=[request.param])
    kg.close()


@pytest.mark.requirement("A1")
def test_a_pin_holds_where_its_caller_is_inside(shop: Shop, request: pytest.FixtureRequest) -> None:
    shop.load()
    # The transport of the test calls from 127.0.0.1.
    answer = shop.ask("GET", "/headers", baggage=f"kg.sv={shop.v1}")
    inside = "127" in request.node.callspec.id
    assert answer.headers["kg-system-version"] == (shop.v1 if inside else shop.v2)
