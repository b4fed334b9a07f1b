"""The side of the data plane that talks: one process for each replica folder, beside its workers."""

from knowngood_sdk.agent.agent import leave_without_agent, run
from knowngood_sdk.agent.uplink import Remote

__all__ = ["Remote", "leave_without_agent", "run"]
