"""Every command of the tree shows an example, answers as JSON where it answers, and stands on the page of commands."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from knowngood.cli.tree import cli

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
SPEAKS_UNTIL_IT_IS_STOPPED = {"kg agent", "kg serve"}


def tree() -> Iterator[tuple[str, click.Command]]:
    """Every command and group below ``kg``, by the words that people type."""

    def walk(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=words)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from walk(f"{words} {name}", found)

    return walk("kg", cli)


COMMANDS = dict(tree())
WITH_AN_ANSWER = {words for words, command in COMMANDS.items() if not isinstance(command, click.Group)}


@pytest.mark.parametrize("words", COMMANDS)
def test_help_has_a_sentence_and_an_example_of_this_very_command(words: str) -> None:
    shown = CliRunner().invoke(cli, [*words.split()[1:], "--help"], prog_name="kg", catch_exceptions=False)
    assert shown.exit_code == 0
    _, _, examples = shown.output.partition("Example")
    assert f"  {words} " in examples, shown.output
    assert COMMANDS[words].help


@pytest.mark.parametrize("words", sorted(WITH_AN_ANSWER - SPEAKS_UNTIL_IT_IS_STOPPED))
def test_every_command_that_answers_can_answer_as_json(words: str) -> None:
    options = {option for parameter in COMMANDS[words].params for option in parameter.opts}
    assert "--output" in options


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_says_what_it_does(words: str) -> None:
    silent = [p.name for p in COMMANDS[words].params if isinstance(p, click.Option) and not p.help]
    assert silent == []


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_stands_on_the_page_of_commands(words: str) -> None:
    assert f"\n## {words}\n" in PAGE.read_text(encoding="utf-8")


def test_the_summary_in_the_list_of_commands_is_there_for_each() -> None:
    shown = CliRunner().invoke(cli, ["--help"], prog_name="kg")
    for name in cli.list_commands(click.Context(cli)):
        assert f"\n  {name} " in shown.output
