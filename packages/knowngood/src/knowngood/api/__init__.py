"""The HTTP API: the verbs for people and programs, and what replicas need. The one place that is asynchronous."""

from knowngood.api.app import create_app

__all__ = ["create_app"]
