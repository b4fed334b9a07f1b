"""
Triggers: rules that turn measured windows into a verdict.

Nothing here reads a clock, a network or a metric store. The caller measures and the caller acts; a trigger only judges,
so one that fired last night can be replayed today from its recorded windows.

Two families. *Immediate* triggers (error rate, latency, nonsense, health) hold the newest windows against a fixed
limit: the limit is the contract, so there is no baseline to estimate. *Rapid* triggers (prediction shift, business
drop) compare with another version, on everything since the deployment, and may be asked at every tick: their intervals
hold at all looks together (see ``knowngood.domain.confidence``).
"""

from knowngood.domain.trigger.business_drop import BusinessDrop
from knowngood.domain.trigger.error_rate import ErrorRate
from knowngood.domain.trigger.health import Health
from knowngood.domain.trigger.latency import Latency
from knowngood.domain.trigger.nonsense import Nonsense
from knowngood.domain.trigger.prediction_shift import PredictionShift
from knowngood.domain.trigger.spec import Trigger, from_spec

__all__ = [
    "BusinessDrop",
    "ErrorRate",
    "Health",
    "Latency",
    "Nonsense",
    "PredictionShift",
    "Trigger",
    "from_spec",
]
