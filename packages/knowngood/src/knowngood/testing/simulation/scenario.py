"""
Scenario: how large a simulated system is, and how often each thing may happen to it.

Each run of a seeded simulation draws its own ("swarm testing"): a run in which nothing is ever lost finds other faults
than one in which everything is.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ACTS", "FAULTS", "Scenario", "drawn"]

ACTS = (
    *("flip", "deploy", "try", "advance", "release", "abandon", "verified", "failed", "glass", "local"),
    *("ask", "reissue", "vouch"),
)
"""What people, triggers and replicas decide to do."""
FAULTS = (
    *("lose", "double", "cut", "mend", "kill", "kill-agent", "power-cut", "snapshot", "older-disk"),
    *("new-host", "unload", "crash", "give-up", "write-back", "outage", "expire"),
)
"""What happens to them."""

_MOST = {
    "flip": 3,
    "deploy": 3,
    "try": 2,
    "advance": 3,
    "release": 2,
    "abandon": 1,
    "verified": 2,
    "failed": 1,
    "glass": 3,
    "local": 3,
    "ask": 2,
    "reissue": 1,
    "vouch": 1,
    "lose": 6,
    "double": 4,
    "cut": 2,
    "mend": 2,
    "kill": 3,
    "kill-agent": 3,
    "power-cut": 2,
    "snapshot": 1,
    "older-disk": 1,
    "new-host": 1,
    "unload": 3,
    "crash": 3,
    "give-up": 2,
    "write-back": 3,
    "outage": 2,
    "expire": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    The frame of a run.

    Attributes:
        replicas: How many there are.
        processes: How many processes of the control plane may act at once.
        history: How many versions were deployed before the run starts.
        stage: ``full`` where the last of them serves all; ``try`` where another one then serves a part, ``arm`` where
            it is only armed.
        fresh: How many versions there are that have not served all.
        static_fallback: Whether a static fallback is declared.
        polls: Whether replicas read what is published; otherwise they live on pushes.
        leases: Whether one process at a time watches, by a lease; otherwise all do.
        exchange: Whether what is published is kept in the database, and cannot be written while that is away.
        budget: Act or fault -> how often it may happen.
        weights: Kind of action -> how eagerly it is drawn; 1 where none is given.
        length: Actions of a run before it is let come to rest.
    """

    replicas: int = 2
    processes: int = 1
    history: int = 2
    stage: str = "full"
    fresh: int = 2
    static_fallback: bool = True
    polls: bool = True
    leases: bool = False
    exchange: bool = False
    budget: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    length: int = 60

    @property
    def shape(self) -> tuple[int, int, str]:
        """What the state before the first action depends on."""
        return (self.replicas, self.history, self.stage)

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions, in the order in which they were made."""
        return tuple(f"v{number}" for number in range(1, self.history + self.fresh + 1))


def drawn(random_: random.Random) -> Scenario:
    """Draw a scenario: half of all acts and faults are left out of each run, and some are drawn more eagerly."""
    budget = {kind: random_.randint(1, most) for kind, most in _MOST.items() if random_.random() < 0.55}
    if not budget.keys() & {"flip", "glass", "local"}:
        budget[random_.choice(("flip", "glass", "local"))] = 2
    kinds = (
        *_MOST,
        "deliver",
        "step",
        "poll",
        "look",
        "learn",
        "load",
        "go",
        "report",
        "worker-step",
        "serve",
        "carry",
    )
    return Scenario(
        replicas=random_.choice((1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5, 6, 10)),
        processes=random_.choice((1, 1, 2, 2, 3)),
        history=random_.choice((1, 2, 2, 3)),
        stage=random_.choice(("full", "full", "try", "arm")),
        fresh=random_.choice((1, 2, 2, 3)),
        static_fallback=random_.random() < 0.8,
        polls=random_.random() < 0.7,
        leases=random_.random() < 0.5,
        exchange=random_.random() < 0.5,
        budget=budget,
        weights={kind: random_.choice((0.2, 1.0, 1.0, 3.0)) for kind in kinds},
        length=random_.choice((30, 60, 60, 100)),
    )
