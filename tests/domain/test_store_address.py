"""The address of a store, as it may be shown."""

import pytest

from knowngood.domain.store_address import without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://kg:hush@db:5433/kg", "postgresql://kg@db:5433/kg"),
        ("postgresql://kg:hu@sh/?#@db/kg", "postgresql://kg@db/kg"),
        ("postgresql://kg@db/kg?sslmode=require&password=hush", "postgresql://kg@db/kg?sslmode=require"),
        ("postgresql://db/kg?user=kg&%70assword=hush&sslPassword=hush", "postgresql://db/kg?user=kg"),
        ("postgresql:///kg", "postgresql:///kg"),
        ("/srv/kg/store.db", "/srv/kg/store.db"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert without_password(address) == shown
