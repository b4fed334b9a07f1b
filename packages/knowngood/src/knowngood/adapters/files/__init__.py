"""Files on this host: content-addressed objects, immutable local content, pins by hard link, an atomic pointer."""

from knowngood.adapters.files.component import FilesComponent

__all__ = ["FilesComponent"]
