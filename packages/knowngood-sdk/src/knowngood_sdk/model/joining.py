"""
Joining: what two route documents say together, and the name of what one says.

A replica may hear several control planes, and a control plane several processes of its own; which of them spoke last is
an accident. Facts merge, and the newest route wins.
"""

from dataclasses import replace

from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.trust import joined_signed
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["document_id", "joined"]


def joined(known: RouteDocument, heard: RouteDocument) -> RouteDocument:
    """
    Return what two documents of one system say together.

    What the heard one says about loading and shadowing holds, unless its route is older than the known one. Where both
    mint a generation of the same number, that of the later route is kept; a replica that knew the other says so.
    What is signed is taken whole from the newer one.

    Args:
        known: What was known.
        heard: What has just been heard.
    """
    if known.signed is not None or heard.signed is not None:
        return joined_signed(known, heard)
    older, newer = (heard, known) if heard.route < known.route else (known, heard)
    return replace(
        newer,
        generations={**older.generations, **newer.generations},
        facts=older.facts.merge(newer.facts),
        anchor=max(known.anchor, heard.anchor, key=lambda anchor: anchor[0]),
    )


def document_id(document: RouteDocument) -> str:
    """Return the digest of all that a document says: the event id of a stream, and the tag of a conditional request."""
    return digest_of(document.to_json())
