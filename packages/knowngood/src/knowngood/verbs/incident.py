"""Incident: which rollback the work under way belongs to, so that every line that is logged about it says so."""

from contextvars import ContextVar

__all__ = ["INCIDENT"]

INCIDENT: ContextVar[str] = ContextVar("knowngood_incident", default="")
"""Id of the rollback that this thread or task works on; empty where there is none."""
