"""
Every evening: the verdicts on level 1 over all held-out Thursdays, held against the true rides afterwards.

Fast mode: no servers. What a level 1 rollback would serve (the old model on the new features, under the new curve) is
scored on the requests of the evening's riders, judged by the product's own rule, and then the truth is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from knowngood.demo.aligned import aligned
from knowngood.demo.workplace import change_text
from knowngood.demo.world.evenings import TRUE_ERROR_FACTOR, EveningResult, Judge, evaluate_evenings, tally
from knowngood.demo.world.feature_code import FeatureCode, check_features
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.hours import sample_inputs
from knowngood.domain.compatibility import judge_combination
from knowngood.domain.system import Tolerance

__all__ = ["changes_of", "document_of", "judge_every_evening", "judge_of", "lines_of"]


def changes_of(change: str | None, hours: pd.DataFrame) -> dict[str, FeatureCode]:
    """
    Return the feature code of the change that is asked for, or of every change that there is.

    Raises:
        NotFoundError: There is no change or file of that name.
        InvalidError: The file does not run, or has no function ``features``.
        RefusedError: It is not row by row, or breaks its contract otherwise.
    """
    codes = {name: FeatureCode(change_text(name), name=name) for name in ([change] if change else CHANGES)}
    for code in codes.values():
        check_features(code, sample_inputs(hours))
    return codes


def judge_every_evening(
    hours: pd.DataFrame,
    changes: Mapping[str, FeatureCode],
    rule: Tolerance,
    *,
    seed: int,
    tell: Callable[[EveningResult], None] = lambda _: None,
) -> list[EveningResult]:
    """
    Judge each change on each held-out Thursday evening.

    Args:
        hours: The year, as ``load_hours`` gives it.
        changes: Feature code by the name of the change, each row by row.
        rule: What the system file fixed beforehand.
        seed: Of training and riders.
        tell: Called with every result as it is known.
    """
    results = []
    for result in evaluate_evenings(hours, changes, seed=seed, judge=judge_of(rule)):
        tell(result)
        results.append(result)
    return results


def document_of(results: Sequence[EveningResult], rule: Tolerance, *, seed: int) -> dict[str, Any]:
    """Return the JSON form of all verdicts, with false allows and false refusals counted apart."""
    return {
        "mode": "fast: in process, no servers",
        "seed": seed,
        "rule": {"divergence": rule.divergence, "requests": rule.requests},
        "acceptable_within_times_the_known_error": TRUE_ERROR_FACTOR,
        "verdicts": tally(results),
        "evenings": [result.to_json() for result in results],
    }


def lines_of(results: Sequence[EveningResult], rule: Tolerance) -> Iterator[str]:
    """Return the verdicts as a table for a person."""
    yield (
        "Level 1 on every held-out Thursday evening, in fast mode (no servers). Allowed if the old model on the new"
        f" features stays within {rule.divergence:.0%} of the known version on at least {rule.requests} requests."
    )
    yield (
        "The truth, looked at afterwards: acceptable where its error on the real rides is at most"
        f" {TRUE_ERROR_FACTOR:g} times the known version's."
    )
    yield (
        "Judged by demand, which a model answers for and of which the truth is known. By prices, given beside it, less"
        " shows: where the surge curve is level, very different demands ask the same."
    )
    yield ""
    yield from aligned(
        [_row(result) for result in results],
        (
            "change",
            "evening",
            "requests",
            "demand off",
            "rule says",
            "prices off",
            "by prices",
            "true error",
            "known error",
            "verdict",
        ),
    )
    yield ""
    counts = tally(results)
    rows = [(change, *(str(count) for count in verdicts.values())) for change, verdicts in counts.items()]
    names = list(next(iter(counts.values()), {}))
    yield from aligned(rows, ("change", *(f"{name}s" for name in names)))


def _row(result: EveningResult) -> tuple[str, ...]:
    mixed = result.combination
    return (
        result.change,
        result.evening.isoformat(),
        str(result.n),
        f"{mixed.divergence:.1%}" if mixed else "cannot run",
        "allow" if result.allowed else "refuse",
        f"{mixed.price_divergence:.1%}" if mixed else "-",
        "allow" if result.allowed_on_prices else "refuse",
        f"{mixed.true_error:.0f}" if mixed else "-",
        f"{result.known_error:.0f}",
        result.verdict.value,
    )


def judge_of(rule: Tolerance) -> Judge:
    """Return the product's rule on combinations that were never recorded, with a system's own tolerance."""
    return lambda divergence, n: judge_combination(divergence, n, tolerance=rule.divergence, min_requests=rule.requests)
