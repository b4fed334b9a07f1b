"""Values of the component port: a lease's id can stand in a path, and a probe is either ok or explained."""

from datetime import UTC, datetime

import pytest

from knowngood.domain.component import Availability, Lease, Probe
from knowngood_sdk.errors import InvalidError

UNTIL = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize("lease_id", ["a", "A-1_b", "0", "x" * 100, "pricing-0123456789ab"])
def test_a_plain_lease_is_taken(lease_id: str) -> None:
    assert Lease(id=lease_id, owner="deploy", until=UNTIL).id == lease_id


@pytest.mark.parametrize("lease_id", ["", "-a", "_a", "a.b", "a/b", "a b", "ä", "a\n", "x" * 101])
def test_a_lease_that_could_lead_elsewhere_is_refused(lease_id: str) -> None:
    with pytest.raises(InvalidError, match="cannot be the id of a lease"):
        Lease(id=lease_id, owner="deploy", until=UNTIL)


def test_a_lease_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidError, match="without a time zone"):
        Lease(id="a", owner="deploy", until=UNTIL.replace(tzinfo=None))


@pytest.mark.parametrize("availability", list(Availability))
def test_unable_to_look_is_not_ok(availability: Availability) -> None:
    assert Probe(availability=availability).ok is (availability is Availability.OK)
