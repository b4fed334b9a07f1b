"""Story: what happened, in plain lines for a terminal; every number in it was measured in this run."""

from collections.abc import Iterator
from pathlib import Path

from knowngood.demo.aligned import aligned
from knowngood.demo.outcome import Outcome
from knowngood.demo.scene import SPEED, Options
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.riders import BAD_PRICE_MARGIN
from knowngood.demo.world.training import CASUAL_WEIGHT

__all__ = [
    "tell_beginning",
    "tell_canary",
    "tell_end",
    "tell_incident",
    "tell_without_and_placebos",
    "timeline_rows",
    "verdict_lines",
]


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


def tell_incident(outcome: Outcome) -> Iterator[str]:
    """Tell the second act: the timeline, why it was decided so, and what riders got."""
    seen, at = outcome.seen, outcome.moments
    yield ""
    yield "3. What happened, nobody touching anything"
    yield from (
        f"  {line}" for line in aligned(timeline_rows(outcome), ("evening", "wall", "", "seconds after the decision"))
    )
    yield ""
    yield f"  Why: {outcome.decision['outcome']}, first trigger {outcome.decision['trigger']}"
    yield from (f"    {reason}" for reason in outcome.decision["reasons"])
    yield from (f"    would change it: {text}" for text in outcome.decision["would_change"])
    yield "  What was considered:"
    yield from (f"    {line}" for line in verdict_lines(outcome))
    yield ""
    shift = outcome.harm.price_shift
    yield (
        f"  Riders: {outcome.harm.affected} got a bad price (more than {BAD_PRICE_MARGIN:.0%} above version 1's)"
        + (f", on average {shift:+.0%};" if shift is not None else ";")
        + (f" {outcome.harm.conversion:.0%} of them took it" if outcome.harm.conversion is not None else "")
    )
    yield (
        f"  Requests: {outcome.served.requests}, failed {outcome.served.failed}, mixed {outcome.served.mixed};"
        f" admitted to version 2 after its replica had acknowledged: {outcome.bad_admissions_after_acknowledgement}"
    )
    killed = "killed by SIGKILL in the flip and started again" if seen.incident.killed else "not killed"
    whole = "the ledger is whole" if seen.ledger["ok"] else f"the ledger is not whole: {seen.ledger['problem']}"
    yield (
        f"  Control process: {killed} {at.killed_at - at.decided_at:.2f} s after the decision;"
        f" {'nothing was lost' if outcome.recovered else 'it was not recovered'}, {whole}"
    )
    yield "  Version 2 deployed again:"
    yield from (f"    {attempt.how}: exit {attempt.exit_code}, {attempt.reason}" for attempt in seen.attempts)


def timeline_rows(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """Return the moments: time of the evening, wall clock since the deployment, what, seconds since the decision."""
    at, clock = outcome.moments, outcome.seen.clock
    rows = [
        (at.deployed_at, "version 2 has all traffic"),
        (at.breach_at, "breach: the first rider gets a bad price"),
        (at.detected_at, f"detection: {outcome.decision['trigger']} is breached"),
        (at.decided_at, "decision: leave version 2, by its plan"),
        (at.killed_at, "the control process is seen dead, the flip half done"),
        (at.last_bad_at, "last bad response"),
        (at.acknowledged_at, f"{outcome.acknowledged}/{len(outcome.seen.urls)} replicas seen to have left"),
        (at.verified_at, "verified: metrics back at their baseline"),
    ]
    return [
        (clock.text(when), f"{when - at.deployed_at:+.2f} s", what, f"{when - at.decided_at:+.2f}")
        for when, what in sorted(rows)
    ]


def verdict_lines(outcome: Outcome) -> Iterator[str]:
    """Return what the plan considered, each with its verdict, and level 1 held against the whole evening."""
    for item in outcome.alternatives:
        yield f"level {item['level']} ({item['scope']}): {item['verdict']} {item['judged']}: {item['reason']}"
        if "at_the_decision" in item:
            before = item["at_the_decision"]
            yield f"  at the decision it had {before['n']} requests of evidence and was {before['verdict']}"
    result = outcome.seen.evening_result
    mixed = result.combination
    if mixed is None:
        yield f"level 1 on the whole evening, in fast mode: {result.reason}"
        return
    yield (
        f"level 1 on the whole evening, in fast mode: {'allowed' if result.allowed else 'refused'},"
        f" {mixed.divergence:.1%} on {result.n} requests over {result.distinct_hours} hours;"
        f" true error {mixed.true_error:.0f} rides an hour, version 1's {result.known_error:.0f}:"
        f" {result.verdict.value}"
    )


def tell_canary(outcome: Outcome) -> Iterator[str]:
    """Tell the third act in five lines."""
    seen = outcome.seen
    harm = outcome.canary_harm
    riders = f"{harm.affected} rider{'' if harm.affected == 1 else 's'}"
    yield ""
    yield "4. The same deployment as a canary"
    yield f"  released from quarantine by name, deployed at {seen.canary.share:.0%}"
    yield f"  it got as far as {outcome.canary_reached:g} % of the traffic"
    yield f"  {riders} got a bad price, {outcome.harm.affected} in one go"
    yield "  then it was rolled back again, without a person"


def tell_without_and_placebos(outcome: Outcome) -> Iterator[str]:
    """Tell what came of the placebos, and of the same riders without the product."""
    placebos, plain = outcome.seen.placebos, outcome.seen.plain
    told = placebos.to_json()
    yield ""
    yield "5. Placebos, in fast mode (in process, no servers): version 1 with an inert byte changed"
    yield (
        f"  {placebos.deployments} deployments on {told['evenings']} evenings, {told['looks']} looks:"
        f" {placebos.automatic_rollbacks} automatic rollbacks; so the rate is below {placebos.rate_upper_bound:.1%}"
        " with 95 % confidence, and no more can be said"
    )
    yield (
        f"  on {told['asked_a_person']} of them a person was asked:"
        " business fell, while outputs on the same requests did not differ"
    )
    yield ""
    yield "6. Without the product: one server on the same load, previous files put back, server restarted"
    yield (
        f"  {plain.seconds:.1f} s from the decision to the first good price, {plain.failed_requests} failed requests,"
        f" {plain.bad_prices} more bad prices"
    )
    yield (
        f"  with it: {outcome.last_bad_after_seconds:.2f} s from the decision to the last bad response,"
        f" {outcome.served.failed} failed requests"
    )


def tell_end(outcome: Outcome, report: Path) -> Iterator[str]:
    """Say where the report is, and how long it all took."""
    yield ""
    yield from (f"DID NOT HOLD: {promise}" for promise in outcome.broken)
    yield f"The whole run took {outcome.seen.wall_seconds:.0f} s. Report: {report}"
