"""``kg demo``: the 6 PM incident, replayed on real data."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from knowngood.cli.console import answer, output_option, say
from knowngood.cli.exit_code import ExitCode
from knowngood_sdk.errors import NotFoundError

if TYPE_CHECKING:
    from knowngood.demo.scene import Options

_LARGEST_SEED: Final = 2**32 - 1
"""What scikit-learn takes; riders and placebos would take more."""


@click.command(
    epilog="""\b
Examples:
  kg demo
  kg demo --change celsius --seed 2 --output json
  kg demo --change my_features.py
  kg demo --evenings all
"""
)
@click.option("--change", help="What version 2 changes in the features: utc, ratio, celsius, or a FILE.py of your own.")
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=_LARGEST_SEED),
    default=1,
    show_default=True,
    help="Of training and riders.",
)
@click.option(
    "--evenings",
    type=click.Choice(["all"]),
    help="Judge level 1 on every held-out Thursday instead, in fast mode; each change, or the given one.",
)
@click.option("--keep", is_flag=True, help="Leave the folder with servers' logs, store and report.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report is written.  [default: report.html]",
)
@output_option
def command(
    *, change: str | None, seed: int, evenings: str | None, keep: bool, report: Path | None, output: str
) -> int:
    """
    Replay the incident: a bad version goes out to all traffic, is noticed, and the whole system goes back.

    Servers, models, riders, triggers and the rollback are real processes of this machine; nothing leaves it. It takes
    about a minute and a half, in a folder of its own that is removed at the end.
    """
    if evenings and (keep or report is not None):
        raise click.UsageError("--evenings judges in process: it leaves no folder to --keep, and writes no --report")
    try:
        from knowngood.demo.scene import Options
    except ModuleNotFoundError as error:
        raise NotFoundError(
            f"the demo needs {error.name}, which is not installed", hint="Install it: pip install 'knowngood[demo]'"
        ) from error
    if evenings:
        return _every_evening(change, seed, output)
    written = report or Path("report.html")
    return _replay(Options(change=change or "utc", seed=seed, keep=keep, report=written), output)


def _replay(options: "Options", output: str) -> int:
    from knowngood.demo.narrator import Narrator
    from knowngood.demo.replay import replay_incident

    try:
        with Narrator(story=output == "text") as narrator:
            outcome = replay_incident(options, narrator)
    except KeyboardInterrupt:
        say("stopped: every process was ended" + ("" if options.keep else ", and the folder removed"))
        return ExitCode.STOPPED
    answer(outcome.to_json(), output, list)
    return ExitCode.ERROR if outcome.broken else ExitCode.DONE


def _every_evening(change: str | None, seed: int, output: str) -> int:
    from knowngood.demo.every_evening import changes_of, document_of, judge_every_evening, lines_of
    from knowngood.demo.narrator import Narrator
    from knowngood.demo.workplace import rules
    from knowngood.demo.world.hours import load_hours

    rule = rules().unproven
    with Narrator(story=False) as narrator:
        hours = load_hours()
        narrator.doing("training version 1", 0.0)
        results = judge_every_evening(
            hours,
            changes_of(change, hours),
            rule,
            seed=seed,
            tell=lambda result: narrator.doing(f"judging {result.change}"),
        )
    answer(document_of(results, rule, seed=seed), output, lambda: lines_of(results, rule))
    return ExitCode.DONE
