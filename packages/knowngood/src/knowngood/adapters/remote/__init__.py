"""Remote: the verbs of a server, over HTTP."""

from knowngood.adapters.remote.remote import Remote

__all__ = ["Remote"]
