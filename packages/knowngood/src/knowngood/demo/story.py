"""Story: what happened, in plain lines for a terminal; every number in it was measured in this run."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from knowngood.demo.aligned import aligned
from knowngood.demo.as_canary import AsCanary
from knowngood.demo.load import LATE_SECONDS
from knowngood.demo.outcome import Outcome
from knowngood.demo.recovery import Recovery
from knowngood.demo.replay_clock import SPEED
from knowngood.demo.scene import Options
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.riders import BAD_PRICE_MARGIN
from knowngood.demo.world.training import CASUAL_WEIGHT

__all__ = [
    "RECOVERY_HEADINGS",
    "VERSION_NAMES",
    "canary_lines",
    "gap_line",
    "measure_lines",
    "placebo_lines",
    "recovery_rows",
    "tell",
    "tell_beginning",
    "tell_end",
    "unnoticed",
    "verdict_lines",
    "whole_evening",
]

RECOVERY_HEADINGS: Final = (
    "after the decision",
    "last answer of version 2",
    "first price of version 1",
    "bad prices",
    "failed requests",
)
VERSION_NAMES: Final = {"known": "version 1", "bad": "version 2", "fix": "version 1 with another note"}


def tell_beginning(options: Options) -> Iterator[str]:
    """Say what is about to be replayed, what is real in it, and what is assumed."""
    what = CHANGES.get(options.change, "a stranger's own feature code")
    yield f"The 6 PM incident, on the evening of {options.evening:%d %B %Y} (change: {options.change}, {what})"
    yield (
        f"Real: every hour's rides and weather in Washington, the models, servers, triggers, the rollback."
        f" Replay time runs {SPEED:g} times as fast as the wall clock; both are given, and never added."
    )
    yield (
        "Assumed, and stated where it is defined: fares, the fleet, how riders answer a price, and version 2's belief"
        f" that each casual ride stands for {CASUAL_WEIGHT:g} attempts more that nobody served."
    )


def tell(outcome: Outcome) -> Iterator[str]:
    """Tell what came of it, from the timeline to the same riders without the product."""
    number = count(3)
    yield ""
    yield f"{next(number)}. What happened, nobody touching anything"
    yield from _tell_incident(outcome)
    if outcome.canary is not None:
        yield ""
        yield f"{next(number)}. The same deployment as a canary"
        yield from (f"  {line}" for line in canary_lines(outcome.canary))
    yield ""
    yield f"{next(number)}. Placebos, in fast mode (in process, no servers): version 1 with an inert byte changed"
    yield from (f"  {line}" for line in placebo_lines(outcome))
    if outcome.recovery is not None and outcome.seen.plain is not None:
        yield ""
        yield f"{next(number)}. Without the product: one server on the same load, previous files put back, restarted"
        rows = recovery_rows(outcome.recovery, outcome.seen.plain.recovery)
        yield from (f"  {line}" for line in aligned(rows, RECOVERY_HEADINGS))
        yield f"  {gap_line(outcome.recovery, outcome.seen.plain.recovery)}"


def tell_end(outcome: Outcome, report: Path) -> Iterator[str]:
    """Say where the report is, and how long it all took."""
    yield ""
    yield from (f"DID NOT HOLD: {promise}" for promise in outcome.broken)
    late, riders = outcome.seen.notes.passed_over, outcome.served.requests + outcome.seen.notes.passed_over
    if outcome.too_busy:
        yield (
            f"This machine was too busy for the run to say much: {late} of {riders} riders could not be sent within"
            f" {LATE_SECONDS:g} s of their time. Run it again when less goes on beside it"
        )
    took = f"The whole run took {outcome.wall_seconds:.0f} s. " if outcome.wall_seconds is not None else ""
    yield f"{took}Report: {report}"


def _tell_incident(outcome: Outcome) -> Iterator[str]:
    seen = outcome.seen
    headings = ("evening", "wall", "", "seconds after the decision" if outcome.left else "")
    yield from (f"  {line}" for line in aligned(timeline_rows(outcome), headings))
    yield ""
    yield from (f"  {line}" for line in _reasons(outcome))
    yield ""
    yield from (f"  {line}" for line in _riders(outcome))
    yield from (f"  {line}" for line in measure_lines(outcome))
    if not outcome.left:
        return
    at = outcome.moments
    killed = "killed by SIGKILL in the flip" if seen.incident.killed else "not killed"
    whole = "the ledger is whole" if seen.ledger["ok"] else f"the ledger is not whole: {seen.ledger['problem']}"
    after = f" {at.killed_at - at.decided_at:.2f} s after the decision" if at.killed_at and at.decided_at else ""
    yield (
        f"  Control process: {killed}{after}, and started again;"
        f" {'nothing was lost' if outcome.recovered else 'it was not recovered'}, {whole}"
    )
    yield "  Version 2 deployed again:"
    yield from (f"    {attempt.how}: exit {attempt.exit_code}, {attempt.reason}" for attempt in seen.attempts)


def timeline_rows(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """Return the moments: time of the evening, wall clock since the deployment, what, seconds since the decision."""
    at, clock = outcome.moments, outcome.seen.clock
    return [
        (
            clock.text(moment.at),
            f"{moment.at - at.deployed_at:+.2f} s",
            moment.what,
            "" if at.decided_at is None else f"{moment.at - at.decided_at:+.2f}",
        )
        for moment in outcome.timeline
    ]


def unnoticed(outcome: Outcome) -> str:
    """Say that version 2 was not left, in a sentence; empty where it was."""
    if outcome.left:
        return ""
    waited = f"within {outcome.seen.incident.waited_seconds:.0f} s"
    if outcome.first is None:
        return f"Not noticed {waited}: no trigger was breached, and version 2 serves on."
    return f"Not left {waited}: what was noticed is for a person to look at, and automation left version 2 where it is."


def _reasons(outcome: Outcome) -> Iterator[str]:
    """Say why it was decided so, and what was considered; or that nothing was."""
    if not outcome.left:
        yield unnoticed(outcome)
    decision = outcome.decision
    if decision is None:
        yield whole_evening(outcome)
        return
    if outcome.first and outcome.first != decision:
        first = outcome.first
        yield f"The first breach ({', '.join(outcome.first_triggers)}) led to: {first['outcome']}"
        yield from (f"  {reason}" for reason in first["reasons"])
    yield f"Why: {decision['outcome']}, on {decision['trigger']}"
    yield from (f"  {reason}" for reason in decision["reasons"])
    yield from (f"  would change it: {text}" for text in decision["would_change"])
    yield "What was considered:"
    yield from (f"  {line}" for line in verdict_lines(outcome))


def verdict_lines(outcome: Outcome) -> Iterator[str]:
    """Return what the plan considered, each with its verdict, and level 1 held against the whole evening."""
    for item in outcome.alternatives:
        yield f"level {item['level']} ({item['scope']}): {item['verdict']} {item['judged']}: {item['reason']}"
        if item["later"]:
            later = item["later"]
            yield f"  later, {later['judged']}: {later['verdict']}: {later['reason']}"
    yield whole_evening(outcome)


def whole_evening(outcome: Outcome) -> str:
    """Return the rule on level 1 over the whole evening, and the truth beside it."""
    result = outcome.seen.evening_result
    mixed = result.combination
    if mixed is None:
        return f"level 1 on the whole evening, in fast mode: {result.reason}"
    by_prices = "allowed" if result.allowed_on_prices else "refused"
    return (
        f"level 1 on the whole evening, in fast mode: {'allowed' if result.allowed else 'refused'}, demand off by"
        f" {mixed.divergence:.1%} on {result.n} requests over {result.distinct_hours} hours (prices by"
        f" {mixed.price_divergence:.1%}: by them it would be {by_prices}); true error {mixed.true_error:.0f} rides an"
        f" hour, version 1's {result.known_error:.0f}: {result.verdict.value}"
    )


def _riders(outcome: Outcome) -> Iterator[str]:
    harm, served = outcome.harm, outcome.served
    yield (
        f"Riders: version 2 answered {harm.quoted}, {harm.affected} of them with a bad price (more than"
        f" {BAD_PRICE_MARGIN:.0%} off version 1's)"
        + (f"; on average {harm.price_shift:+.0%}" if harm.price_shift is not None else "")
        + (f", and {harm.conversion:.0%} took it" if harm.conversion is not None else "")
    )
    yield (
        f"Requests: {served.requests}, failed {served.failed}, mixed {served.mixed}, answered by the static fallback"
        f" {served.fallback}; riders whom the load generator was too late to send: {outcome.seen.notes.passed_over}"
    )
    if outcome.left:
        admitted = outcome.bad_admissions_after_acknowledgement
        yield f"Admitted to version 2 after its replica had acknowledged: {admitted}"
    hours: dict[int, list[str]] = {}
    for said in outcome.forecasts:
        name = VERSION_NAMES.get(said["version"], said["version"])
        off = "" if said["over_rides"] is None else f" ({said['over_rides']:+.0%})"
        hours.setdefault(said["hour"], [f"{said['rides']:.0f}"]).append(
            f"{name} had expected {said['demand']:.0f}{off}"
        )
    if hours:
        yield "Rides of an hour, known when it was over; too few to judge by, so no trigger rests on them:"
        yield from (f"  {hour}:00 had {', '.join(words)}" for hour, words in sorted(hours.items()))


def measure_lines(outcome: Outcome) -> Iterator[str]:
    """Say how well both versions predict, each measured on both labels, and which is better on which."""
    scores = outcome.seen.scores
    for measure in ("attempts", "rides"):
        pair = [scores.get(f"{version} on {measure}") for version in ("version 2", "version 1")]
        if pair[0] is None or pair[1] is None:
            continue
        second, first = pair[0].mae, pair[1].mae
        verdict = "better" if second < first else "worse" if second > first else "no different"
        own = ", which it was trained for" if measure == "attempts" else ""
        yield (
            f"On held-out {measure}{own}, version 2 is {verdict}: mean absolute error {second:.1f} an hour,"
            f" version 1's {first:.1f}"
        )


def canary_lines(canary: AsCanary) -> Iterator[str]:
    """Say how far the canary got, how many riders it touched, and what it was left on."""
    share = "" if canary.measured_share is None else f" ({canary.measured_share:.0%})"
    riders = "1 rider" if canary.riders == 1 else f"{canary.riders} riders"
    yield f"released from quarantine by name, and given {canary.given:.0%} of the traffic"
    yield (
        f"of {riders} who came meanwhile it answered {canary.served}{share}, {canary.affected} of them with a bad price"
    )
    if canary.left:
        yield "then it was rolled back again, without a person"
    else:
        yield f"it was not left within {canary.waited_seconds:.0f} s"
    if canary.reason:
        yield f"why: {canary.reason}"
    if canary.on_shadow_answers:
        yield "what decided were answers in shadow: both versions asked the same, whichever of them served the rider"


def placebo_lines(outcome: Outcome) -> Iterator[str]:
    """Say what became of the placebos, which triggers could have left them, and how much that shows."""
    placebos = outcome.seen.placebos
    told = placebos.to_json()
    repeated = placebos.deployments - placebos.evenings
    yield (
        f"{placebos.deployments} deployments on {placebos.evenings} evenings"
        + (f" ({repeated} on an evening that had come before, with other riders)" if repeated else "")
        + f", {told['looks']} looks: {placebos.automatic_rollbacks} automatic rollbacks"
    )
    breached = ", ".join(f"{name} ({times} placebos)" for name, times in placebos.breached.items()) or "none"
    yield (
        f"breached: {breached}; clear throughout: {', '.join(told['clear_throughout']) or 'none'};"
        f" never enough to say: {', '.join(told['without_a_verdict']) or 'none'}"
    )
    yield (
        f"on {told['asked_a_person']} of them a person was asked:"
        " business fell, while outputs on the same requests did not differ"
    )
    yield (
        "a placebo's outputs are version 1's own, so only business could be breached, and then a person is asked: a"
        " rollback would have meant that this rule is broken"
    )
    yield (
        f"taken as {placebos.deployments} independent trials, the rate is below {placebos.rate_upper_bound:.1%} with"
        f" 95 % confidence; taken as {placebos.evenings} evenings, below {placebos.rate_upper_bound_by_evening:.1%}"
    )


def recovery_rows(product: Recovery, plain: Recovery) -> list[tuple[str, ...]]:
    """Return what riders got after the decision, with and without the product, under ``RECOVERY_HEADINGS``."""
    return [
        (
            name,
            _seconds(one.last_bad_answer_seconds),
            _seconds(one.first_good_price_seconds),
            str(one.bad_prices),
            str(one.failed_requests),
        )
        for name, one in (("with the product", product), ("without it", plain))
    ]


def gap_line(product: Recovery, plain: Recovery) -> str:
    """Say how far apart riders came: what cannot be told from these seconds."""
    gaps = [one.arrival_gap_seconds for one in (product, plain) if one.arrival_gap_seconds is not None]
    if not gaps:
        return "Too few riders came around the decision to say how fine these seconds are"
    return f"Riders came {max(gaps):.2f} s apart: no difference smaller than that can be seen"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} s"
