"""Bounds: small worlds in which everything that can happen is tried, and how many worlds that is at most."""

from collections.abc import Mapping

from knowngood.testing.simulation.scenario import Scenario

__all__ = ["BY_ITSELF", "EXHAUSTED", "LARGER"]

BY_ITSELF = ("reconcile", "carry", "report", "serve", "learn")
"""What the rest brings about anyway, and what only says again what is known."""

EXHAUSTED: Mapping[str, Scenario] = {
    "a trip, and the agent dies": Scenario(replicas=1, budget={"flip": 1, "kill-agent": 1}),
    "a trip, and a message is lost": Scenario(replicas=2, budget={"flip": 1, "lose": 1}),
    "a trip and a local trip": Scenario(replicas=1, budget={"local": 1, "flip": 1}),
    "a trip, and the database is away": Scenario(replicas=1, exchange=True, budget={"flip": 1, "outage": 1}),
    "break-glass while the candidate gets all traffic": Scenario(
        replicas=1, stage="arm", fresh=1, budget={"advance": 1, "glass": 1}
    ),
    "a local trip while the candidate gets all traffic": Scenario(
        replicas=1, stage="try", fresh=1, budget={"advance": 1, "local": 1}
    ),
    "a lone local trip of two, and a reissue": Scenario(replicas=2, budget={"local": 1, "reissue": 1}),
}
"""Every world is looked at."""

LARGER: Mapping[str, Scenario] = {
    "break-glass, and the process dies": Scenario(replicas=1, budget={"glass": 1, "kill": 1}),
    "break-glass, and the power goes": Scenario(replicas=1, budget={"glass": 1, "power-cut": 1}),
    "break-glass in the middle of a deployment": Scenario(
        replicas=1, history=1, fresh=1, budget={"deploy": 1, "glass": 1}
    ),
    "two trips, and a release by whoever was shown the first": Scenario(
        replicas=1, processes=2, budget={"release": 1, "flip": 2}
    ),
    "a newcomer asks its peers while a trip is on its way": Scenario(
        replicas=3, polls=False, budget={"flip": 1, "kill": 1, "new-host": 1, "ask": 1}
    ),
    "a lone local trip, and the lease runs out": Scenario(
        replicas=2, processes=2, leases=True, budget={"local": 1, "flip": 1, "expire": 1}
    ),
}
"""The shortest runs are looked at, up to a number of worlds."""
