"""From a declaration in the system file to the trigger that judges."""

from collections.abc import Mapping
from typing import Any

from knowngood.domain.system import Sla, TriggerKind, TriggerSpec
from knowngood.domain.trigger.business_drop import BusinessDrop
from knowngood.domain.trigger.error_rate import ErrorRate
from knowngood.domain.trigger.health import Health
from knowngood.domain.trigger.latency import Latency
from knowngood.domain.trigger.nonsense import Nonsense
from knowngood.domain.trigger.prediction_shift import PredictionShift
from knowngood_sdk.errors import InvalidError

__all__ = ["Trigger", "from_spec"]

Trigger = ErrorRate | Latency | Health | Nonsense | PredictionShift | BusinessDrop

_EVIDENCE = {"windows": "windows", "min_requests": "min_requests"}
_FIELDS: Mapping[TriggerKind, tuple[type[Trigger], Mapping[str, str]]] = {
    TriggerKind.ERRORS: (ErrorRate, {"over": "limit", **_EVIDENCE}),
    TriggerKind.LATENCY: (Latency, {"over": "factor", **_EVIDENCE}),
    TriggerKind.HEALTH: (Health, {"failures": "failures"}),
    TriggerKind.NONSENSE: (
        Nonsense,
        {"over": "limit", "low": "low", "high": "high", "constant": "constant", **_EVIDENCE},
    ),
    TriggerKind.PREDICTION_MEAN: (PredictionShift, {"shift": "shift", "min_requests": "min_requests"}),
    TriggerKind.BUSINESS: (BusinessDrop, {"drop": "drop", "min_requests": "min_requests"}),
}


def from_spec(spec: TriggerSpec, sla: Sla) -> Trigger:
    """
    Build the trigger that a system file declares.

    Args:
        spec: The declaration; an option that is not set keeps the trigger's default.
        sla: What the system owes its callers: the latency trigger compares with it.

    Raises:
        InvalidError: An option is unknown or out of range, or the latency trigger has no promise to compare with.
    """
    trigger, fields = _FIELDS[spec.kind]
    unknown = sorted(spec.options.keys() - fields)
    if unknown:
        raise InvalidError(
            f"trigger {spec.metric} has unknown options: {', '.join(unknown)}", hint=f"It takes {', '.join(fields)}"
        )
    values: dict[str, Any] = {fields[option]: value for option, value in spec.options.items()}
    if "constant" in values:
        values["constant"] = bool(values["constant"])
    if spec.kind is TriggerKind.LATENCY:
        if sla.latency_p99 is None:
            raise InvalidError(
                f"trigger {spec.metric} compares with a latency that was never promised",
                hint="Declare sla: {latency_p99: 80ms}",
            )
        values["promised"] = sla.latency_p99
    return trigger(name=spec.metric, **values)
