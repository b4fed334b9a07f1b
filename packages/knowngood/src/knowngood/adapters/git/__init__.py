"""Git: folders of a repository as components, through the command line."""

from knowngood.adapters.git.component import GitComponent

__all__ = ["GitComponent"]
