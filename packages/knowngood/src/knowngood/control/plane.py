"""Plane: the ports that every verb works through, as one value."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from knowngood.domain.compatibility import Contract
from knowngood.domain.system import Kinds, SystemFile
from knowngood.ports.balancer import Balancer
from knowngood.ports.clock import Clock
from knowngood.ports.component import Component
from knowngood.ports.effects import Effects
from knowngood.ports.outbox import Outbox
from knowngood.ports.runner import Runner
from knowngood.ports.store import Store
from knowngood.ports.telemetry import Telemetry
from knowngood.ports.traffic import Traffic
from knowngood.ports.written_state import WrittenState

__all__ = ["Plane"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """
    What the verbs are given.

    Attributes:
        store: What is on record.
        traffic: The replicas that serve.
        telemetry: What they count.
        clock: The time.
        outbox: Where a decision is kept until it is on record.
        components: Makes the adapters of the components that a system file declares; see ``adapters``.
        golden: Makes the adapter that keeps a system's golden inputs; None when it declares none.
        balancer: What spreads requests over the replicas; None where nobody can tell it anything.
        states: Makes the adapters of the written state that a system file declares, by name.
        effects: Makes the adapters of the records of effects that a system file declares, by name.
        kinds: Kinds that are installed, with the names of their options.
        contracts: Reads what the components of a system provide and require: component name -> contract.
        deploying: Keeps every other deployment of a system out while the block runs, and ends with this process however
            that dies; raises ConflictError when one is under way.
    """

    store: Store
    traffic: Traffic
    telemetry: Telemetry
    clock: Clock
    outbox: Outbox
    components: Callable[..., Mapping[str, Component]]
    golden: Callable[[SystemFile], Component | None]
    contracts: Callable[[SystemFile], Mapping[str, Contract]]
    deploying: Callable[[str], AbstractContextManager[None]]
    states: Callable[..., Mapping[str, WrittenState]]
    effects: Callable[..., Mapping[str, Effects]]
    balancer: Balancer | None = None
    kinds: Kinds = field(default_factory=Kinds)
    runner: Runner | None = None

    def system_file(self, system: str) -> SystemFile:
        """Return the rules that were applied to a system; raises NotFoundError when there are none."""
        return SystemFile.from_json(self.store.system_spec(system)["rules"], kinds=self.kinds)

    def adapters(self, system: str) -> Mapping[str, Component]:
        """
        Return the adapter of every component of a system, by component name.

        Also of those that its file no longer has: a version that still has them may be gone back to.
        """
        document = self.store.system_spec(system)
        declared = {**document.get("retired", {}), **document["rules"]["components"]}
        rules = {**document["rules"], "components": declared}
        return self.components(SystemFile.from_json(rules, kinds=self.kinds))

    def now(self) -> str:
        """Return the present instant as it goes on record: ISO 8601, UTC, milliseconds."""
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
