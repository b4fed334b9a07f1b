"""Who acts on this host is told by the kernel, or said on purpose; never by what a shell happens to have set."""

import os
import pwd

import pytest

from knowngood.adapters.os_user import actor_at_once, actor_of, user_name
from knowngood.domain.token import PROGRAM
from knowngood_sdk.errors import InvalidError

ROOT = pwd.getpwuid(0).pw_name
NOBODY_HAS = 4_000_000_000


@pytest.mark.parametrize(
    ("environment", "actor"),
    [
        pytest.param({}, ROOT, id="the user of the process"),
        pytest.param({"LOGNAME": "mallory", "USER": "mallory", "USERNAME": "mallory"}, ROOT, id="not a shell's names"),
        pytest.param({"SUDO_USER": "anna"}, f"anna as {ROOT}", id="who went to act as that user"),
        pytest.param({"SUDO_USER": ROOT}, ROOT, id="who went nowhere"),
        pytest.param({"KNOWNGOOD_ACTOR": "ann"}, "ann", id="who was named"),
        pytest.param({"KNOWNGOOD_ACTOR": "ann", "SUDO_USER": "lee"}, "ann", id="who was named, before the rest"),
        pytest.param({"KNOWNGOOD_ACTOR": " "}, ROOT, id="an empty name is none"),
        pytest.param({"KNOWNGOOD_ACTOR": "m\udcfcller"}, "m\ufffdller", id="who was named in another encoding"),
        pytest.param({"SUDO_USER": "m\udcfcller"}, f"m\ufffdller as {ROOT}", id="whose login is in another encoding"),
    ],
)
def test_who_acts(environment: dict[str, str], actor: str) -> None:
    assert actor_of(environment, 0) == actor
    assert actor_at_once(environment, 0) == actor


def test_a_user_without_a_name_is_told_by_its_number() -> None:
    assert actor_of({}, NOBODY_HAS) == f"uid {NOBODY_HAS}"
    assert user_name(os.geteuid())


@pytest.mark.parametrize("name", sorted(PROGRAM))
def test_nobody_acts_as_the_program_itself(name: str) -> None:
    with pytest.raises(InvalidError, match="as which knowngood itself acts"):
        actor_of({"KNOWNGOOD_ACTOR": name}, 0)


@pytest.mark.parametrize("name", sorted(PROGRAM))
def test_what_cannot_wait_is_held_up_by_no_name_and_says_who_used_it(name: str) -> None:
    environment = {"KNOWNGOOD_ACTOR": name, "SUDO_USER": "anna"}
    assert actor_at_once(environment, 0) == f"anna as {ROOT}, with KNOWNGOOD_ACTOR={name}"
