"""Readiness: a balancer is told by the replicas themselves, which say that they are not ready."""

from knowngood.adapters.readiness.balancer import ReadinessBalancer

__all__ = ["ReadinessBalancer"]
