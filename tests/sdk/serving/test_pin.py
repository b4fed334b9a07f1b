"""Pins come from inside only, and leave everything else in the headers as it was."""

import pytest

from knowngood_sdk.serving.pin import baggage_with, pinned_version, strip_pins

V1 = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("baggage", "version"),
    [
        pytest.param(f"kg.sv={V1}", V1, id="alone"),
        pytest.param(f"tenant=a;prio=1, kg.sv = {V1} ;ttl=1 , b=2", V1, id="among others, with properties and spaces"),
        pytest.param("kg.sv=v1", None, id="no digest"),
        pytest.param(f"other.kg.sv={V1}", None, id="another key"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_pin_is_read_from_baggage(baggage: str, version: str | None) -> None:
    assert pinned_version([(b"accept", b"*/*"), (b"baggage", baggage.encode())]) == version


def test_stripping_takes_every_pin_and_nothing_else() -> None:
    headers = [
        (b"accept", b"*/*"),
        (b"baggage", f"tenant=a,kg.sv={V1},b=2;p=1".encode()),
        (b"baggage", f"kg.sv={V1}".encode()),
        (b"kg-system-version", V1.encode()),
        (b"baggage", b"c=3"),
    ]
    kept, others = strip_pins(headers)
    assert kept == [(b"accept", b"*/*"), (b"baggage", b"tenant=a,b=2;p=1"), (b"baggage", b"c=3")]
    assert others == "tenant=a,b=2;p=1,c=3"


def test_what_goes_on_carries_the_others_and_the_pin() -> None:
    assert baggage_with(V1, "tenant=a") == f"tenant=a,kg.sv={V1}"
    assert baggage_with(V1, "") == f"kg.sv={V1}"
    assert baggage_with("", "tenant=a") == "tenant=a"
