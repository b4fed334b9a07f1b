"""Health: the serving endpoint says that it is not well, or says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger.streak import check_count
from knowngood.domain.window import HealthCheck, Judgement, Verdict

__all__ = ["Health"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    Breached when health checks fail in a row.

    Attributes:
        name: Name of the trigger.
        failures: How many checks in a row must fail, a count >= 1.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str = "health"
    failures: int = 3

    def __post_init__(self) -> None:
        check_count(self.name, "failures", self.failures)

    def judge(self, checks: Sequence[HealthCheck]) -> Judgement:
        """
        Judge the newest checks.

        Args:
            checks: Oldest first; shape ``(n,)``, where n may be 0.

        Returns:
            The judgement. A check that could not be made ends a row: it is neither a failure nor a success.
        """
        if not checks:
            return self._judgement(Verdict.NO_DATA, "there is no check yet", "a first check")
        newest = checks[-1]
        seen = f": {newest.detail}" if newest.detail else ""
        if newest.healthy is None:
            return self._judgement(Verdict.MONITOR_ERROR, f"not checked{seen}", "a checker that works")
        if newest.healthy:
            return self._judgement(Verdict.CLEAR, f"the newest check passed{seen}", "")
        recent = checks[-self.failures :]
        failed = next((i for i, check in enumerate(reversed(recent)) if check.healthy is not False), len(recent))
        reason = f"{failed} check(s) in a row failed{seen}"
        if failed < self.failures:
            needed = f"{self.failures - failed} more failed check(s)"
            return self._judgement(Verdict.INCONCLUSIVE, reason, needed, failed)
        return self._judgement(Verdict.BREACHED, reason, "", failed)

    def _judgement(self, verdict: Verdict, reason: str, needed: str, failed: int = 0) -> Judgement:
        return Judgement(
            verdict=verdict,
            trigger=self.name,
            kind=TriggerKind.HEALTH,
            reason=reason,
            needed=needed,
            figures={"in_a_row": failed, "limit": self.failures},
        )
