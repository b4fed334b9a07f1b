"""
OS user: who acts where no token is asked for, as the kernel tells it.

Whoever may write the working folder may do all that it can do, so there is nothing to prove; what counts is that the
name on record is one that a person recognises. The names in the environment (LOGNAME, USER) are not asked: everybody
can set them without meaning to say anything by it.
"""

import pwd
from collections.abc import Mapping

from knowngood.domain.token import PROGRAM
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.wording import readable

__all__ = ["actor_at_once", "actor_of", "user_name"]


def user_name(uid: int) -> str:
    """Return the name of a user of this host; that of a container often has a number alone."""
    try:
        return readable(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


def actor_of(environment: Mapping[str, str], uid: int) -> str:
    """
    Return who acts, as it goes on record.

    Args:
        environment: The environment of this process: KNOWNGOOD_ACTOR says who acts; else SUDO_USER who went to act as
            another user, as on-call people do where the folder is a service's.
        uid: Effective user of this process.

    Raises:
        InvalidError: KNOWNGOOD_ACTOR is a name under which the program itself acts.
    """
    claimed = readable(environment.get("KNOWNGOOD_ACTOR", "")).strip()
    if claimed in PROGRAM:
        raise InvalidError(f"KNOWNGOOD_ACTOR is {claimed}, as which knowngood itself acts", hint="Name who acts")
    if claimed:
        return claimed
    user, before = user_name(uid), readable(environment.get("SUDO_USER", "")).strip()
    return f"{before} as {user}" if before and before != user else user


def actor_at_once(environment: Mapping[str, str], uid: int) -> str:
    """Return what ``actor_of`` does, for what no name holds up: one that may not be used is told beside who acts."""
    try:
        return actor_of(environment, uid)
    except InvalidError:
        others = {name: value for name, value in environment.items() if name != "KNOWNGOOD_ACTOR"}
        return f"{actor_of(others, uid)}, with KNOWNGOOD_ACTOR={environment['KNOWNGOOD_ACTOR'].strip()}"
