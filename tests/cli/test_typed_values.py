"""Shares and effects are read as they are documented, exactly, or refused with the option and the value."""

import pytest
from click.testing import CliRunner

from knowngood.cli.exit_code import ExitCode
from knowngood.cli.reading import basis_points, expected_effects
from knowngood.cli.tree import cli
from knowngood_sdk.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "points"),
    [("10%", 1_000), ("0.1", 1_000), ("0.01%", 1), ("99.99%", 9_999), ("100%", 10_000), ("2.5 %", 250)],
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, points: int) -> None:
    assert basis_points(text) == points


@pytest.mark.parametrize(
    "text", ["0%", "0", "-5%", "100.01%", "99.999%", "0.001%", "1", "10", "1.0", "ten", "", "5%%", "٣%", "nan", "1e-1"]
)
def test_anything_else_is_no_share_and_none_is_rounded_into_one(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        basis_points(text)
    assert "--canary" in refused.value.message
    assert text in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("bounds", "effect"),
    [
        pytest.param("0%..10%", (0.0, 0.1), id="the documented example"),
        pytest.param("-5%..0%", (-0.05, 0.0), id="at most down"),
        pytest.param("0..0.1", (0.0, 0.1), id="as fractions"),
        pytest.param("+5%..+150%", (0.05, 1.5), id="more than doubled"),
        pytest.param("5%..5%", (0.05, 0.05), id="exactly"),
    ],
)
def test_an_effect_has_two_bounds_of_which_each_may_be_nothing(bounds: str, effect: tuple[float, float]) -> None:
    assert expected_effects([f"prediction_mean={bounds}"]) == {"prediction_mean": effect}


@pytest.mark.parametrize(
    "pair", ["prediction_mean", "prediction_mean=5%", "=0%..5%", "mean=5..10", "mean=a..b", "m=.."]
)
def test_an_effect_of_another_form_is_refused_and_named(pair: str) -> None:
    with pytest.raises(InvalidError, match=f"--expect {pair.partition('=')[0]}"):
        expected_effects([pair])


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((["watch", "pricing"], f"--every={value}") for value in ("nan", "inf", "-1", "0", "1e+300")),
        *((["watch", "pricing"], f"--hold={value}") for value in ("nan", "-inf", "-3")),
        *((["watch", "pricing"], f"--ticks={value}") for value in ("0", "-1", "1.5")),
        *((["history", "pricing"], f"--limit={value}") for value in ("0", "-3", "99999999999999999999")),
        *((["deploy", "pricing"], f"--canary={value}") for value in ("120%", "1", "ten")),
        *((["deploy", "pricing"], f"--expect={value}") for value in ("mean", "mean=5%")),
        *((["token", "create", "--for=a", "--scope=viewer"], f"--expires={value}") for value in ("3x", "0h")),
        *((["token", "rotate", "ann"], f"--overlap={value}") for value in ("3x", "soon")),
        *((["rollback", "pricing"], f"--timeout={value}") for value in ("0", "-1", "99999999999999")),
        *((["deploy", "pricing"], f"--timeout={value}") for value in ("0", "99999999999999")),
    ],
)
def test_a_number_without_meaning_is_a_usage_error_that_names_option_and_value(command: list[str], option: str) -> None:
    refused = CliRunner().invoke(cli, [*command, option])
    name, _, value = option.partition("=")
    assert refused.exit_code == ExitCode.USAGE
    assert name in refused.output
    assert value in refused.output
