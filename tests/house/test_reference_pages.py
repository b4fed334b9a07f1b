"""The pages that are made from the code are up to date, and leave no error out."""

from collections import Counter

from knowngood.cli.exit_code import ExitCode
from tools.command_pages import exit_codes_page
from tools.reference import error_classes, errors_page, stale_pages


def test_generated_pages_are_up_to_date() -> None:
    assert stale_pages() == [], "run `make docs`"


def test_every_error_code_is_unique() -> None:
    codes = Counter(error.code for error in error_classes())
    assert [code for code, count in codes.items() if count > 1] == []


def test_every_error_code_is_on_the_page_with_its_meaning() -> None:
    page = errors_page()
    for error in error_classes():
        assert f"| `{error.code}` | `{error.__name__}` |" in page
        assert error.__doc__, f"{error.__name__} says nothing about itself"


def test_every_exit_code_is_on_the_page() -> None:
    page = exit_codes_page()
    for code in ExitCode:
        assert f"| {code.value} |" in page
