"""Store address: where a record is kept, as it may be shown."""

__all__ = ["without_password"]


def without_password(address: str) -> str:
    """Return the address of a store with no password in it; a path as it is."""
    scheme, parted, rest = address.partition("://")
    if not parted:
        return address
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    place, _, query = place.partition("?")
    kept = "&".join(option for option in query.split("&") if _may_be_shown(option.partition("=")[0]))
    return f"{scheme}://{user}{at}{place}{'?' if kept else ''}{kept}"


def _may_be_shown(name: str) -> bool:
    # What is escaped in the name of an option is not worth reading: it is left out.
    return "password" not in name.lower() and "%" not in name
