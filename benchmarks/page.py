"""Page: the documentation's page of benchmarks, written from a run, so that no number in it is typed by hand."""

from typing import Any

__all__ = ["page"]

_WHOLE_FROM = 1_000
_INTRODUCTION = """\
# Benchmarks

<!-- Made by `make bench BENCH_ARGS='--page docs/reference/benchmarks.md'` from a run; change benchmarks/page.py. -->

`make bench` measures what the route promises, as far as one host can show it, and prints each figure with its target
beside it: met or missed. It installs itself and OpenFeature's Python SDK, a peer, into an environment of its own
(`.venv-bench`), and the model servers that it compares with, MLServer and MLflow's, into another (`.venv-peers`, some
400 MB); without the latter everything but `model_servers` can be carried out, by `--only`. It takes some nine minutes
on two cores. `make soak` carries out the soak alone, and whole: `make bench` does a tenth of it, and a tenth of the
large store, which `--only store` measures whole. `BENCH_ARGS` takes the options of both:

| option | meaning |
| --- | --- |
| `--output json` | print the result as JSON |
| `--only routing next_call` | carry out these alone; the names are the keys in JSON |
| `--seed 2` | draw kills, pauses and orders from another seed |
| `--scale 0.1` | repeat a tenth as often, to see that everything works; percentiles of so few values say little |
| `--strict` | end with exit code 1 when a target was missed |
| `--save FILE` | write the result as JSON to a file, whatever is printed |
| `--page FILE` | write this page from the run |

Nothing in it is simulated: agents, workers, servers and riders are processes; words, journals and route documents are
files; the riders' log is written by the riders. What is drawn comes from the seed; durations do not repeat, so look at
several runs, and at the load average: on a machine that does something else beside, the durations are that machine's.
"""


def page(result: dict[str, Any]) -> str:
    """Return the page of a run, whose result is as ``run.measure`` returns it."""
    machine = result["machine"]
    before, after = machine["load_average"][0], machine["load_average_after"][0]
    durable = machine["durable_write_ms"]
    run = (
        f"This run: {machine['cores']} cores ({machine['processor']}), {machine['python']}, {machine['system']}; load "
        f"average {before:.1f} before and {after:.1f} after; one durable write took {durable['p50']} ms (worst "
        f"{durable['max']} ms); seed {result['seed']}, {result['seconds']:.0f} s."
    )
    return "\n".join([_INTRODUCTION, run, *(_section(figure) for figure in result["figures"].values())])


def _section(figure: dict[str, Any]) -> str:
    rows = figure["rows"]
    columns = list(dict.fromkeys(column for row in rows for column in row["values"]))
    lines = [
        "",
        f"## {figure['title']}",
        "",
        figure["how"],
        "",
        f"| | unit | {' | '.join(columns)} | target | |",
        f"| --- | --- |{' ---: |' * len(columns)} --- | --- |",
    ]
    for row in rows:
        cells = [_shown(row, column) for column in columns]
        lines.append(f"| {row['name']} | {row['unit']} | {' | '.join(cells)} | {_verdict(row)} |")
    lines += [f"\n{row['name']}: {row['note']}." for row in rows if row["note"]]
    return "\n".join(lines) + "\n"


def _verdict(row: dict[str, Any]) -> str:
    target = row["target"]
    if target is None:
        return " | "
    return f"{target['column']} at most {target['at_most']:g} | {'met' if row['met'] else '**missed**'}"


def _shown(row: dict[str, Any], column: str) -> str:
    if column not in row["values"]:
        return ""
    value = row["values"][column]
    if value is None:
        return "never"
    whole = row["unit"] == "count" or column == "n" or value >= _WHOLE_FROM
    return f"{value:,.0f}" if whole else f"{value:.3g}"
