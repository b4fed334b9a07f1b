"""Shares and effects are read as they are documented, exactly, or refused with the option and the value."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from knowngood.cli.console import REASON, WORDS
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


LATIN_1 = "zur\udcfcck"
"""What Python makes of ``zurück`` from a terminal that sends Latin-1."""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(["rollback", LATIN_1], "SYSTEM", id="a system"),
        pytest.param(["status", LATIN_1], "SYSTEM", id="a system that is looked at"),
        pytest.param(["rollback", "pricing", "--to", LATIN_1], "--to", id="where to"),
        pytest.param(["rollback", "pricing", "--suspect", LATIN_1], "--suspect", id="a component"),
        pytest.param(["rollback", "pricing", "--break-glass", "--this-host", LATIN_1], "--this-host", id="a replica"),
        pytest.param(["rollback", "pricing", "--url", LATIN_1], "--url", id="a server"),
        pytest.param(["deploy", "pricing", "--version", LATIN_1], "--version", id="a version"),
        pytest.param(["deploy", "pricing", "--expect", f"{LATIN_1}=0..1"], "--expect", id="a metric"),
        pytest.param(["quarantine", "add", "pricing", LATIN_1, "--reason", "a"], "VERSION", id="a version to bar"),
        pytest.param(["readmit", "pricing", LATIN_1, "--why", "a"], "REPLICA", id="a replica that is well"),
        pytest.param(["token", "create", "--for", LATIN_1, "--scope", "owner"], "--for", id="a person"),
    ],
)
def test_a_name_in_another_encoding_is_a_usage_error_before_anything_starts(command: list[str], said: str) -> None:
    refused = CliRunner().invoke(cli, command)
    assert refused.exit_code == ExitCode.USAGE
    assert said in refused.output
    assert "'zur\ufffdck" in refused.output
    assert "has bytes that are no UTF-8" in refused.output


@pytest.mark.parametrize("kind", [WORDS, REASON])
def test_words_in_another_encoding_are_taken_with_a_sign_for_each_byte_that_is_none(
    kind: click.types.StringParamType,
) -> None:
    assert kind.convert(LATIN_1, None, None) == "zur\ufffdck"
    assert kind.convert("zurück", None, None) == "zurück"


WORDY = {
    "deploy": {"intent", "override"},
    "quarantine add": {"reason"},
    "quarantine release": {"reason"},
    "readmit": {"why"},
    "reissue": {"why"},
    "rollback": {"override", "why"},
    "token revoke": {"why"},
}


def test_every_option_that_takes_a_persons_words_takes_them_in_any_encoding() -> None:
    found: dict[str, set[str]] = {}
    for name, one in commands_of(cli):
        for option in one.params:
            if option.type in (WORDS, REASON):
                found.setdefault(name, set()).add(str(option.name))
            else:
                assert option.name not in {"why", "reason", "intent", "override"}, name
    assert found == WORDY


def commands_of(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command
