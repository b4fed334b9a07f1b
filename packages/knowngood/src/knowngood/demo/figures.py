"""Figures: what riders wrote down, as the numbers of the story. Pure: logs and moments in, figures out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knowngood.demo.load import Request
from knowngood.demo.world.riders import is_bad_price

__all__ = [
    "Bin",
    "Harm",
    "Served",
    "admitted_after",
    "binomial_upper",
    "bins_of",
    "first_answer",
    "first_bad_answer",
    "harm_of",
    "last_answer",
    "served_of",
]

_VERSION = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """
    What a log says of the service as a whole.

    Attributes:
        requests: Riders who asked.
        failed: Riders who got no price.
        mixed: Answers whose parts are not of the version that they name.
        fallback: Answers that no version gave: those of the static fallback.
        by_version: What an answer names -> answers: a version, or ``static-fallback``.
    """

    requests: int
    failed: int
    mixed: int
    fallback: int
    by_version: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """
    What a version did to riders.

    Attributes:
        quoted: Riders who saw one of its prices.
        affected: Riders whose price was bad: off the known version's by more than the stated margin.
        price_shift: Mean price over the known version's on the same requests, minus 1; None without a price.
        conversion: Share of its riders who took the price; None without a rider.
    """

    quoted: int
    affected: int
    price_shift: float | None
    conversion: float | None


def served_of(log: Sequence[Request]) -> Served:
    """Count what riders got."""
    by_version: dict[str, int] = {}
    for request in log:
        if not request.failed:
            by_version[request.version] = by_version.get(request.version, 0) + 1
    return Served(
        requests=len(log),
        failed=sum(request.failed for request in log),
        mixed=sum(request.mixed for request in log),
        fallback=sum(not request.failed and not request.version.startswith(_VERSION) for request in log),
        by_version=by_version,
    )


def harm_of(log: Sequence[Request], version: str, known_prices: Mapping[int, float]) -> Harm:
    """
    Count what one version did.

    Args:
        log: What riders wrote down.
        version: Its content digest.
        known_prices: Local hour -> what the known version asks in that hour, dollars.
    """
    quoted = [request for request in log if request.version == version and request.price is not None]
    prices = [request.price or 0.0 for request in quoted]
    known = [known_prices[request.hour] for request in quoted]
    return Harm(
        quoted=len(quoted),
        affected=sum(is_bad_price(price, right) for price, right in zip(prices, known, strict=True)),
        price_shift=sum(prices) / sum(known) - 1 if known else None,
        conversion=sum(request.took for request in quoted) / len(quoted) if quoted else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """
    Some minutes of the evening.

    Attributes:
        from_seconds: Where it starts, replay seconds from the start of the evening.
        riders: Riders who asked in it.
        price: Mean price that they saw, dollars; None where nobody saw one.
        known_price: What the known version asks on the same requests, dollars; None where nobody saw a price.
        conversion: Share of those who saw a price that took it; None where nobody saw one.
        by_version: What an answer names -> answers, as in ``Served``.
        failed: Riders who got no price.
    """

    from_seconds: float
    riders: int
    price: float | None
    known_price: float | None
    conversion: float | None
    by_version: Mapping[str, int]
    failed: int


def bins_of(log: Sequence[Request], known_prices: Mapping[int, float], *, seconds: float) -> list[Bin]:
    """Return the evening in bins of so many replay seconds, by when riders came; bins without a rider are left out."""
    grouped: dict[int, list[Request]] = {}
    for request in log:
        grouped.setdefault(int(request.offset_seconds // seconds), []).append(request)
    return [_bin(number * seconds, grouped[number], known_prices) for number in sorted(grouped)]


def _bin(from_seconds: float, requests: Sequence[Request], known_prices: Mapping[int, float]) -> Bin:
    served = served_of(requests)
    quoted = [request for request in requests if request.price is not None]
    count = len(quoted)
    return Bin(
        from_seconds=from_seconds,
        riders=len(requests),
        price=sum(request.price or 0.0 for request in quoted) / count if count else None,
        known_price=sum(known_prices[request.hour] for request in quoted) / count if count else None,
        conversion=sum(request.took for request in quoted) / count if count else None,
        by_version=served.by_version,
        failed=served.failed,
    )


def first_bad_answer(log: Sequence[Request], version: str, known_prices: Mapping[int, float]) -> float | None:
    """Return when the first bad price of a version was answered, in epoch seconds; None when there was none."""
    return min(
        (
            request.answered_at
            for request in log
            if request.version == version
            and request.price is not None
            and is_bad_price(request.price, known_prices[request.hour])
        ),
        default=None,
    )


def first_answer(log: Sequence[Request], version: str) -> float | None:
    """Return when the first answer of a version was complete, in epoch seconds; None when there was none."""
    return min((request.answered_at for request in log if request.version == version), default=None)


def last_answer(log: Sequence[Request], version: str) -> float | None:
    """Return when the last answer of a version was complete, in epoch seconds; None when there was none."""
    return max((request.answered_at for request in log if request.version == version), default=None)


def admitted_after(log: Sequence[Request], version: str, moment: float, *, target: str | None = None) -> int:
    """
    Count requests that were sent after a moment and still answered by a version.

    Args:
        log: What riders wrote down.
        version: Its content digest.
        moment: In epoch seconds.
        target: Only those that were sent to this base URL; None for all.
    """
    return sum(
        request.version == version and request.sent_at > moment and target in (None, request.target) for request in log
    )


def binomial_upper(successes: int, trials: int, *, confidence: float = 0.95) -> float:
    """
    Return the one-sided upper bound of a rate (Clopper and Pearson, 1934), by bisection.

    With 0 of 20 it is 13.9 %: what 20 trials allow one to say, and no more.
    """
    if successes >= trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(successes, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(successes: int, trials: int, rate: float) -> float:
    """Return the probability of at most so many successes."""
    term, total = (1 - rate) ** trials, 0.0
    for k in range(successes + 1):
        total += term
        term *= (trials - k) / (k + 1) * (rate / (1 - rate)) if rate < 1 else 0.0
    return total
