"""What people type is found, or they are told what there is."""

import pytest

from knowngood.domain.lookup import Recorded, find_version, no_deployment, no_system, not_minted
from knowngood_sdk.errors import InvalidError, NotFoundError


def record(version: str, manifest: str) -> Recorded:
    return Recorded(f"sha256:{version:0<64}", f"sha256:{manifest:0<64}")


FIRST, OTHER, AGAIN = record("abc1", "d1"), record("abd2", "e2"), record("abc1", "ab9")
RECORDS = [FIRST, OTHER, AGAIN]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param(FIRST.version, AGAIN, id="a whole version: its newest record"),
        pytest.param(FIRST.version.removeprefix("sha256:"), AGAIN, id="without the prefix"),
        pytest.param("sha256:abc", AGAIN, id="digits with the prefix"),
        pytest.param("abc", AGAIN, id="digits that one version begins with"),
        pytest.param("abd", OTHER, id="of the other one"),
        pytest.param("d", FIRST, id="digits of a manifest"),
        pytest.param(AGAIN.manifest, AGAIN, id="a whole manifest"),
        pytest.param("ab9", AGAIN, id="of a manifest that no version begins with"),
    ],
)
def test_a_name_means_a_record(name: str, found: Recorded) -> None:
    assert find_version(name, "pricing", RECORDS) == found


@pytest.mark.parametrize("name", ["a", "ab", "sha256:ab"])
def test_a_name_that_several_versions_begin_with_names_them_all(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        find_version(name, "pricing", RECORDS)
    assert caught.value.details["candidates"] == [FIRST.version, OTHER.version]
    assert f"{name!r} may mean abc100000000 or abd200000000 of system pricing. Give more digits" in str(caught.value)


def test_a_name_that_several_manifests_begin_with_is_ambiguous_too() -> None:
    with pytest.raises(InvalidError, match="may mean"):
        find_version("f", "pricing", [record("1", "f1"), record("2", "f2")])


@pytest.mark.parametrize("name", ["", "sha256:", "abe", "ABC", "live", "%"])
def test_a_name_that_nothing_begins_with_names_what_is_on_record_newest_first(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_version(name, "pricing", RECORDS)
    assert caught.value.message == f"system pricing has no version {name!r}"
    assert caught.value.hint == "The newest on record: abc100000000, abd200000000"


def test_of_many_versions_only_the_newest_five_are_named() -> None:
    many = [record(f"{number}0a", "b") for number in range(1, 9)]
    with pytest.raises(NotFoundError) as caught:
        find_version("f", "pricing", many)
    shown = caught.value.hint.removeprefix("The newest on record: ").split(", ")
    assert [name[0] for name in shown] == ["8", "7", "6", "5", "4"]


def test_where_nothing_is_on_record_it_says_how_to_begin() -> None:
    with pytest.raises(NotFoundError, match="None is on record yet: kg deploy"):
        find_version("abc", "pricing", [])


def test_what_is_not_there_is_named_with_what_to_do() -> None:
    assert str(no_system("pricng", ["pricing"])) == (
        "there is no system 'pricng'. Did you mean 'pricing'? Known: pricing. To add one: kg apply FILE"
    )
    assert str(no_deployment("pricing", 4)) == (
        "system pricing has no deployment of generation 4. List them: kg history pricing"
    )
    assert str(not_minted("pricing", 4)) == "generation 4 of system pricing was not minted. Save the state first"
