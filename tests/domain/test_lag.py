"""A record is behind where what replicas have under watch is another version, and one that came later."""

from dataclasses import replace

import pytest

from knowngood.domain.fleet import FleetState
from knowngood.domain.lag import lag_between
from knowngood_sdk.model.route import FULL, FleetRoute, Generation

V1, V2 = (f"sha256:{digit * 64}" for digit in "12")
RECORD = FleetState(generations={28: Generation(number=28, chain=(V2, V1))})


@pytest.mark.parametrize(
    ("row", "known", "lag"),
    [
        pytest.param((28, 0, FULL), (28, 0, FULL), "", id="as far"),
        pytest.param((28, 0, FULL), (27, 2, FULL), "", id="ahead, as before everybody has heard"),
        pytest.param((28, 1, FULL), (28, 0, FULL), "", id="stepped back, as before everybody has heard"),
        pytest.param((28, 0, FULL), (0, 0, 0), "", id="replicas that know nothing"),
        pytest.param((0, 0, 0), (0, 0, 0), "", id="nothing deployed"),
        pytest.param(
            (28, 0, FULL), (29, 0, 0), "they stand on generation 29, the record ends at 28", id="a generation behind"
        ),
        pytest.param((0, 0, 0), (29, 1, FULL), "they stand on generation 29, the record ends at 0", id="an empty one"),
        pytest.param((28, 0, 1000), (28, 0, FULL), "", id="the canary that it has under watch took more traffic"),
        pytest.param(
            (28, 0, 0),
            (28, 0, 1000),
            "they are further on in generation 28 than the record",
            id="a candidate that took its first traffic",
        ),
        pytest.param(
            (28, 0, FULL),
            (28, 1, FULL),
            "they are further on in generation 28 than the record",
            id="what it has for live was left",
        ),
    ],
)
def test_how_far_a_record_is_behind(row: tuple[int, int, int], known: tuple[int, int, int], lag: str) -> None:
    assert lag_between(replace(RECORD, row=FleetRoute(*row)), FleetRoute(*known)) == lag
