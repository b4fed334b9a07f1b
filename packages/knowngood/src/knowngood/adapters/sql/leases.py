"""Leases: who is in charge of what, as rows, by the clock of the database."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import Connection, bindparam, case, func, or_, select, update

from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.repeating import writing_again
from knowngood.adapters.sql.schema import leases
from knowngood.ports.lease import Held
from knowngood_sdk.errors import ConflictError, InvalidError

__all__ = ["SqlLeases", "check_held"]

_NOBODY = ""
_TOGETHER = 1_000
"""Leases that one statement renews: databases limit how many values it may name."""
_MILLISECOND = timedelta(milliseconds=1)
# Made once, for each step of a rollback asks both.
_HOLDER = select(leases.c.holder, leases.c.fence).where(leases.c.name == bindparam("name"))
_HOLDER_TO_THE_END = _HOLDER.with_for_update(read=True)


class SqlLeases:
    """The port's ``Leases`` in a database that the processes of a control plane share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, name: str, holder: str, ttl: timedelta) -> Held | None:
        """Take a lease that is free or over, or renew one's own; see the port."""
        if not holder:
            raise InvalidError(f"nobody is no holder of the lease {name}", hint="Name the process")
        now = self._database.now
        mine = self._database.insert(leases).values(
            name=name, holder=holder, fence=1, expires=now + ttl // _MILLISECOND
        )
        same = leases.c.holder == mine.excluded.holder
        taken = mine.on_conflict_do_update(
            index_elements=[leases.c.name],
            set_={
                "holder": mine.excluded.holder,
                "fence": leases.c.fence + case((same, 0), else_=1),
                "expires": mine.excluded.expires,
            },
            where=or_(same, leases.c.holder == _NOBODY, leases.c.expires <= now),
        ).returning(leases.c.fence)
        with writing_again(self._database) as connection:
            fence = connection.execute(taken).scalar_one_or_none()
        return None if fence is None else Held(name=name, holder=holder, fence=fence, expires_in=ttl)

    def renew(self, names: Collection[str], holder: str, ttl: timedelta) -> Mapping[str, Held]:
        """Renew what is still the holder's, in one transaction; see the port."""
        ordered = sorted(names)
        renewed: dict[str, int] = {}
        if not ordered:
            return {}
        with writing_again(self._database) as connection:
            renewed.clear()
            for first in range(0, len(ordered), _TOGETHER):
                mine = (leases.c.holder == holder) & leases.c.name.in_(ordered[first : first + _TOGETHER])
                longer = update(leases).where(mine).values(expires=self._database.now + ttl // _MILLISECOND)
                rows = connection.execute(longer.returning(leases.c.name, leases.c.fence))
                renewed.update({row.name: row.fence for row in rows})
        return {name: Held(name=name, holder=holder, fence=fence, expires_in=ttl) for name, fence in renewed.items()}

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; the row stays, so that its fence goes on rising."""
        mine = (leases.c.name == name) & (leases.c.holder == holder)
        with writing_again(self._database) as connection:
            connection.execute(update(leases).where(mine).values(holder=_NOBODY))

    def held(self, prefix: str = "") -> Mapping[str, Held]:
        """Return every lease that was taken and not given back; see the port."""
        statement = (
            select(leases, (leases.c.expires - self._database.now).label("left"))
            .where(leases.c.holder != _NOBODY, func.substr(leases.c.name, 1, len(prefix)) == prefix)
            .order_by(leases.c.name)
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return {
            row.name: Held(name=row.name, holder=row.holder, fence=row.fence, expires_in=row.left * _MILLISECOND)
            for row in rows
        }


def check_held(connection: Connection, held: Held, *, until_the_end: bool = False) -> None:
    """
    Refuse to go on in a transaction, once a lease has changed hands.

    Args:
        connection: The transaction.
        held: The lease as its holder knows it.
        until_the_end: Whether nobody shall take it before the transaction is over. Renewing waits for that too.

    Raises:
        ConflictError: Somebody else holds it, or nobody.
    """
    found = connection.execute(_HOLDER_TO_THE_END if until_the_end else _HOLDER, {"name": held.name}).first()
    if found is None or (found.holder, found.fence) != (held.holder, held.fence):
        who = f"{found.holder} (fence {found.fence})" if found is not None and found.holder else "nobody"
        raise ConflictError(
            f"{held.name} has changed hands: {who} holds it, not {held.holder} (fence {held.fence});"
            " nothing was changed",
            hint="This process was replaced while it was stopped or cut off; whoever holds it goes on",
            lease_lost=True,
        )
