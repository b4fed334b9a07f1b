"""
Signed traffic: what goes out to replicas, signed; what comes back from where it is published, believed only then.

A document lies in a place that others may write: a database, a shared folder, a network. So what is read there before
it is changed counts only as far as our own keys vouch for it; else a forged one would be signed with the next change.
What nobody vouches for is left to the reconciler, which publishes from the store.

Leaving waits for no key: where a document cannot be signed, its trips go out all the same, beside what was signed last.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from knowngood.ports.clock import Clock
from knowngood.ports.signer import Signer
from knowngood.ports.traffic import Answers, Replica, Traffic
from knowngood_sdk.errors import InvalidError, KnownGoodError, UntrustedError
from knowngood_sdk.model.route import FleetRoute, Trip
from knowngood_sdk.model.signed import (
    DocumentKind,
    Envelope,
    Signature,
    Statement,
    key_id,
    message_of,
    root_of,
    statement_of,
    statement_payload,
)
from knowngood_sdk.model.trust import Trust
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument

__all__ = ["FRESH", "RENEWED_AFTER", "SignedTraffic", "vouched"]

_log = logging.getLogger(__name__)

FRESH = timedelta(days=7)
"""How long replicas find nothing strange in a route that nobody renews."""
RENEWED_AFTER = timedelta(days=1)
"""A route that is this old is signed again with the next publication, though it says nothing new."""


class SignedTraffic:
    """
    A ``Traffic`` whose routes and releases are signed from the moment that there are keys; before, all goes as it is.

    Args:
        traffic: What takes documents to replicas.
        signer: The keys.
        clock: The time.
    """

    def __init__(self, traffic: Traffic, signer: Signer, clock: Clock) -> None:
        self._traffic = traffic
        self._signer = signer
        self._clock = clock
        # What this process signed last, and the version below which what is published is an older one.
        self._last: dict[str, RouteDocument] = {}
        self._floor: dict[str, int] = {}

    def published(self, system: str) -> RouteDocument | None:
        """Return what is published as far as our keys vouch for it, without signatures; see the port."""
        document = self._traffic.published(system)
        return document if document is None or not self._signs else _plain(self._believed(document))

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """
        See the port.

        Raises:
            PermanentError: What changed could not be signed, but for its trips, which are published.
            NotFoundError: No key is there to sign with; trips are published all the same.
        """
        if not self._signs:
            self._traffic.publish(system, change, anew=anew)
            return
        failed: list[KnownGoodError] = []
        written: list[RouteDocument] = []

        def signing(before: RouteDocument) -> RouteDocument:
            failed.clear()
            believed = self._believed(before)
            after = change(_plain(believed))
            if after.route == FleetRoute() != before.route:
                # Made out of a document that nobody vouches for, by one who does not know the route.
                return replace(before, facts=before.facts.merge(after.trips))
            try:
                if after.vouched == believed.vouched and believed.signed is not None and not self._is_old(believed):
                    signed = replace(after, signed=believed.signed, roots=believed.roots)
                else:
                    signed = self._signed(after, above=believed)
            except KnownGoodError as error:
                failed.append(error)
                return replace(before, facts=before.facts.merge(after.trips))
            self._last[system] = signed
            written.append(signed)
            return signed

        self._traffic.publish(system, signing, anew=anew)
        if failed:
            raise failed[0]
        if written:
            self._floor[system] = _version(written[-1])

    def publish_release(self, release: ReleaseDocument) -> None:
        """See the port."""
        if not self._signs:
            self._traffic.publish_release(release)
            return
        statement = self._statement(0, release.vouched)
        self._traffic.publish_release(replace(release, signed=self._sealed(DocumentKind.RELEASE, statement)))

    def publish_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """See the port. Rules are not signed: they move no fleet forward, and lift no quarantine."""
        self._traffic.publish_rules(system, rules)

    def push(
        self, document: RouteDocument, deadline: timedelta, *, on_acknowledged: Callable[[str], None] | None = None
    ) -> Answers:
        """See the port."""
        sent = self._to_push(document) if self._signs else document
        return self._traffic.push(sent, deadline, on_acknowledged=on_acknowledged)

    def leave(
        self,
        system: str,
        trip: Trip,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        local: bool = False,
    ) -> Answers:
        """See the port."""
        return self._traffic.leave(system, trip, deadline, replicas=replicas, local=local)

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """See the port."""
        return self._traffic.replicas(system)

    def stamp(self, system: str) -> object:
        """See the port."""
        return self._traffic.stamp(system), self._signs

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """See the port."""
        return self._traffic.wait(system, until, deadline)

    @property
    def _signs(self) -> bool:
        """Whether there are keys, as far as that can be told: roots that cannot be read are no reason to leave off."""
        try:
            return bool(self._signer.roots())
        except KnownGoodError:
            return True

    def _to_push(self, document: RouteDocument) -> RouteDocument:
        """Return a document with the signature that is for it; without a key, its trips beside what was signed."""
        known = [self._last.get(document.system), self._published_raw(document.system)]
        signed = [one for one in known if one is not None and one.signed is not None]
        for one in signed:
            if one.vouched == document.vouched:
                return replace(document, signed=one.signed, roots=one.roots)
        newest = max(signed, key=_version, default=RouteDocument(system=document.system))
        try:
            made = self._signed(document, above=newest)
        except KnownGoodError as error:
            _log.warning("a route of %s could not be signed, and only its trips go out: %s", document.system, error)
            return replace(newest, facts=newest.facts.merge(document.trips))
        self._last[document.system] = made
        return made

    def _published_raw(self, system: str) -> RouteDocument | None:
        try:
            document = self._traffic.published(system)
        except InvalidError:
            # What a flip says need not wait until somebody has mended that.
            return None
        return document if document is None or self._believed(document).signed is not None else None

    def _believed(self, document: RouteDocument) -> RouteDocument:
        """Return a document when our own keys vouch for it, else its trips."""
        if document == RouteDocument(system=document.system, facts=document.trips):
            return document
        try:
            _prove(document, self._signer)
            if _version(document) < self._floor.get(document.system, 0):
                raise UntrustedError("it is older than what was published from here")
        except KnownGoodError as error:
            _log.warning(
                "what is published for %s counts for nothing but its trips: %s", document.system, error.message
            )
            return RouteDocument(system=document.system, facts=document.trips)
        return document

    def _is_old(self, document: RouteDocument) -> bool:
        """Whether a believed route is to be signed again: after a while, and once there is another key or root."""
        if document.signed is None:
            return True
        try:
            if document.roots != self._signer.roots():
                return True
            mine = key_id(self._signer.current().public)
        except KnownGoodError as error:
            # What is signed holds on; whoever has something new to say hears of it.
            _log.warning("routes of %s cannot be signed anew: %s", document.system, error)
            return False
        signed_at = datetime.fromisoformat(statement_of(document.signed.payload).signed_at)
        by_me = mine in {one.key for one in document.signed.signatures}
        return not by_me or self._clock.now() - signed_at > RENEWED_AFTER

    def _signed(self, document: RouteDocument, above: RouteDocument) -> RouteDocument:
        """Sign a route, as a newer one than another that was believed."""
        # The time, so that a store that was put back goes on above what replicas have seen of the one that is lost.
        floor = max(_version(above), self._floor.get(document.system, 0))
        version = max(floor + 1, int(self._clock.now().timestamp() * 1000))
        plain = _plain(document)
        envelope = self._sealed(DocumentKind.ROUTE, self._statement(version, plain.vouched.to_json()))
        return replace(plain, signed=envelope, roots=self._signer.roots())

    def _statement(self, version: int, body: Any) -> Statement:
        now = self._clock.now()
        return Statement(version=version, signed_at=_text(now), fresh_until=_text(now + FRESH), body=body)

    def _sealed(self, kind: DocumentKind, statement: Statement) -> Envelope:
        payload = statement_payload(statement)
        key = self._signer.current()
        signature = Signature(key_id(key.public), key.sign(message_of(kind, payload)))
        return Envelope(kind=kind, payload=payload, signatures=(signature,))


def vouched(document: RouteDocument, signer: Signer) -> bool:
    """Whether a route is signed, and by a key of ours; keys that cannot be read vouch for nothing."""
    if document.signed is None:
        return False
    try:
        _prove(document, signer)
    except KnownGoodError as error:
        _log.warning("nobody vouches for a signed route of %s: %s", document.system, error.message)
        return False
    return True


def _prove(document: RouteDocument, signer: Signer) -> None:
    roots = signer.roots()
    if not roots:
        raise UntrustedError("there are no keys yet")
    Trust(system=document.system, root=root_of(roots[-1], signer.verify)).route(document, signer.verify)


def _plain(document: RouteDocument) -> RouteDocument:
    return replace(document, signed=None, roots=())


def _version(document: RouteDocument) -> int:
    """Return the version of a route whose signature was checked; 0 where there is none."""
    return statement_of(document.signed.payload).version if document.signed is not None else 0


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
