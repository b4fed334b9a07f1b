"""
The contract of the Component port.

An adapter's test is a subclass with one fixture::

    class TestMyComponent(ComponentContract):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> ComponentHarness: ...
"""

import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from knowngood.domain.component import Availability, Depth, Lease, PinStrength, Prepared
from knowngood.ports.component import Component
from knowngood_sdk.errors import ConflictError, InvalidError, PermanentError, TransientError
from knowngood_sdk.model.manifest import Ref

__all__ = ["ComponentContract", "ComponentHarness"]

_SOON = timedelta(seconds=30)
_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)
_PROTECTS = {PinStrength.NATIVE, PinStrength.PHYSICAL}


class ComponentHarness(Protocol):
    """What the contract needs to know about the tool behind a component."""

    def component(self) -> Component:
        """Return a new instance for the same component of the same system, as another process would make it."""
        ...

    def write(self, number: int) -> None:
        """Put the content with this number into the working place; another number is another content."""
        ...

    def lose(self, ref: Ref) -> Ref:
        """Delete a version wherever the tool keeps it, and what was prepared of it; return the ref to ask for."""
        ...

    def damage(self, ref: Ref) -> Ref:
        """Change a version's bytes behind the tool's back, and delete what was prepared; return the ref to ask for."""
        ...

    def forget(self, ref: Ref) -> None:
        """Let the tool's own collection run as hard as it can, with nothing but pins that names the version."""
        ...


def _holds(path: str | None) -> dict[str, bytes]:
    """Return the files of a local path, by relative path."""
    assert path is not None
    place = Path(path)
    assert place.is_absolute()
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    return {file.relative_to(place.parent).as_posix(): file.read_bytes() for file in files}


def _lease(lease_id: str = "cooldown-1", until: datetime = _UNTIL) -> Lease:
    return Lease(id=lease_id, owner="contract", until=until)


class ComponentContract:
    """Every promise of ports/component.py, tried on a real component."""

    KILLS: ClassVar[int] = 20
    """How many times a process is killed in the middle of switching."""

    @pytest.fixture
    def harness(self) -> ComponentHarness:
        """Give the adapter under test; a subclass does."""
        raise pytest.UsageError("a subclass of ComponentContract gives the fixture harness")

    @pytest.fixture
    def component(self, harness: ComponentHarness) -> Component:
        """Return the component."""
        return harness.component()

    @pytest.fixture
    def versions(self, harness: ComponentHarness, component: Component) -> tuple[Ref, Ref]:
        """Return two captured versions of different content, older first."""
        harness.write(1)
        first = component.capture(_SOON)
        harness.write(2)
        return first, component.capture(_SOON)

    def test_the_same_content_is_the_same_version_whenever_it_is_captured(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        first, second = versions
        assert first.digest != second.digest
        assert component.capture(_SOON).digest == second.digest
        harness.write(1)
        assert harness.component().capture(_SOON).digest == first.digest

    def test_capture_moves_no_pointer(self, component: Component, versions: tuple[Ref, Ref]) -> None:
        assert versions
        assert component.current().ref is None
        assert component.effective(_SOON).ref is None

    @pytest.mark.parametrize("depth", list(Depth))
    def test_a_captured_version_can_be_restored_at_every_depth(
        self, component: Component, versions: tuple[Ref, Ref], depth: Depth
    ) -> None:
        for ref in versions:
            first, second = component.probe(ref, depth), component.probe(ref, depth)
            assert first.availability is second.availability is Availability.OK, first.reason

    def test_a_deep_probe_measures_how_long_the_way_back_takes(
        self, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        eta = component.probe(versions[0], Depth.LOAD).eta_seconds
        assert eta is not None
        assert eta >= 0

    @pytest.mark.parametrize("depth", list(Depth))
    def test_a_version_that_is_gone_is_found_out_at_every_depth(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref], depth: Depth
    ) -> None:
        asked = harness.lose(versions[0])
        probe = component.probe(asked, depth)
        assert probe.availability is Availability.GONE
        assert probe.reason
        assert component.probe(versions[1], depth).ok, "the other version is untouched"

    @pytest.mark.parametrize("depth", [Depth.BYTES, Depth.LOAD])
    def test_a_damaged_version_is_found_out_by_reading_it(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref], depth: Depth
    ) -> None:
        asked = harness.damage(versions[0])
        probe = component.probe(asked, depth)
        assert probe.availability is Availability.DAMAGED
        assert probe.reason

    @pytest.mark.parametrize("fault", ["lose", "damage"])
    def test_what_is_gone_or_damaged_is_neither_prepared_nor_pinned_as_if_it_were_there(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref], fault: str
    ) -> None:
        asked = harness.lose(versions[0]) if fault == "lose" else harness.damage(versions[0])
        with pytest.raises(PermanentError) as caught:
            component.prepare(asked, _SOON)
        assert caught.value.details["availability"] in {"gone", "damaged"}
        if fault == "lose":
            with pytest.raises(PermanentError):
                component.pin(asked, _lease())

    def test_prepare_gives_each_version_its_own_immutable_content(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        prepared = [component.prepare(ref, _SOON) for ref in versions]
        held = [_holds(each.path) for each in prepared]
        assert held[0] != held[1]
        harness.write(3)
        assert [_holds(each.path) for each in prepared] == held, "the working place changes no version"
        assert [harness.component().prepare(ref, _SOON) for ref in versions] == prepared
        assert [_holds(each.path) for each in prepared] == held

    def test_prepare_heals_local_content_that_was_removed(
        self, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        prepared = component.prepare(versions[0], _SOON)
        held = _holds(prepared.path)
        assert prepared.path is not None
        for file in [Path(prepared.path), *Path(prepared.path).rglob("*")]:
            if file.is_file():
                file.unlink()
        assert _holds(component.prepare(versions[0], _SOON).path) == held

    def test_prepare_without_time_says_that_it_may_be_tried_again(
        self, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        with pytest.raises(TransientError):
            component.prepare(versions[0], timedelta(0))

    def test_a_switch_is_seen_by_everyone_at_the_pointer_and_at_the_data(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        receipt = component.switch(
            component.prepare(versions[0], _SOON), expect=component.current().token, key="deploy-1"
        )
        assert (receipt.before, receipt.after) == (None, versions[0])
        for instance in (component, harness.component()):
            assert instance.current().ref == versions[0]
            assert instance.current().token == receipt.token
            assert instance.effective(_SOON).ref == versions[0]

    def test_a_switch_from_a_pointer_that_has_moved_is_refused_and_changes_nothing(
        self, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        if not component.caps.cas:
            pytest.skip("the tool cannot compare and swap; it says so")
        first, second = (component.prepare(ref, _SOON) for ref in versions)
        stale = component.current().token
        component.switch(first, expect=stale, key="deploy-1")
        for expect in (stale, None, "nonsense"):
            with pytest.raises(ConflictError):
                component.switch(second, expect=expect, key="deploy-2")
        assert component.current().ref == versions[0]

    def test_a_token_is_never_used_again_for_the_same_version(
        self, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        if not component.caps.cas:
            pytest.skip("the tool cannot compare and swap; it says so")
        prepared = [component.prepare(ref, _SOON) for ref in versions]
        tokens = [component.current().token]
        for number in range(4):
            receipt = component.switch(prepared[number % 2], expect=tokens[-1], key=f"switch-{number}")
            tokens.append(receipt.token)
        assert len(set(tokens)) == len(tokens)

    def test_the_same_key_again_gives_the_first_receipt_and_moves_nothing(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        first, second = (component.prepare(ref, _SOON) for ref in versions)
        token = component.current().token
        receipt = component.switch(first, expect=token, key="deploy-1")
        assert component.switch(first, expect=token, key="deploy-1") == receipt
        moved = component.switch(second, expect=receipt.token, key="deploy-2")
        assert harness.component().switch(first, expect=token, key="deploy-1") == receipt
        assert component.current().ref == versions[1]
        assert component.current().token == moved.token

    def test_a_key_cannot_name_two_acts(self, component: Component, versions: tuple[Ref, Ref]) -> None:
        first, second = (component.prepare(ref, _SOON) for ref in versions)
        receipt = component.switch(first, expect=component.current().token, key="deploy-1")
        with pytest.raises(InvalidError):
            component.switch(second, expect=receipt.token, key="deploy-1")
        assert component.current().ref == versions[0]

    def test_a_missing_target_is_never_created_by_a_switch(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        component.switch(component.prepare(versions[1], _SOON), expect=component.current().token, key="deploy-1")
        prepared = component.prepare(versions[0], _SOON)
        asked = harness.lose(versions[0])
        with pytest.raises(PermanentError):
            component.switch(
                Prepared(ref=asked, path=prepared.path), expect=component.current().token, key="rollback-1"
            )
        assert component.current().ref == versions[1]
        assert component.effective(_SOON).ref == versions[1]

    def test_what_stood_before_undoes_a_switch(self, component: Component, versions: tuple[Ref, Ref]) -> None:
        old, new = (component.prepare(ref, _SOON) for ref in versions)
        held = _holds(old.path)
        component.switch(old, expect=component.current().token, key="deploy-1")
        receipt = component.switch(new, expect=component.current().token, key="deploy-2")
        assert receipt.before is not None
        back = component.prepare(receipt.before, _SOON)
        component.switch(back, expect=receipt.token, key="undo-2")
        assert component.effective(_SOON).ref == versions[0]
        assert _holds(back.path) == held

    def test_effective_notices_what_the_pointer_does_not(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        component.switch(component.prepare(versions[0], _SOON), expect=component.current().token, key="deploy-1")
        harness.lose(versions[0])
        assert component.current().ref == versions[0]
        with pytest.raises(PermanentError):
            component.effective(_SOON)

    def test_a_pin_is_given_once_for_each_lease_renewed_and_ended_more_than_once(
        self, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        pin = component.pin(versions[0], _lease())
        assert pin.strength is component.caps.pin
        assert component.pin(versions[0], _lease()) == pin
        later = _UNTIL + timedelta(hours=72)
        assert component.pin(versions[0], _lease(until=later)).until == later
        for _ in range(2):
            component.unpin("cooldown-1")
        component.unpin("never-given")

    def test_a_pinned_version_survives_the_tools_own_collection(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        if component.caps.pin not in _PROTECTS:
            pytest.skip(f"its pins are {component.caps.pin}; it says so")
        component.pin(versions[0], _lease())
        harness.forget(versions[0])
        assert component.probe(versions[0], Depth.LOAD).ok
        assert component.prepare(versions[0], _SOON).path

    def test_leases_are_apart(self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]) -> None:
        if component.caps.pin not in _PROTECTS:
            pytest.skip(f"its pins are {component.caps.pin}; it says so")
        component.pin(versions[0], _lease("cooldown-1"))
        component.pin(versions[0], _lease("standby"))
        component.unpin("cooldown-1")
        harness.forget(versions[0])
        assert component.probe(versions[0], Depth.BYTES).ok

    @pytest.mark.parametrize("lease_id", ["../../etc", "a/b", "-d", "a b", "", "a\n", "x" * 101, "a..b", "a.lock"])
    def test_a_hostile_lease_is_refused(self, component: Component, lease_id: str) -> None:
        with pytest.raises(InvalidError):
            component.unpin(lease_id)
        with pytest.raises(InvalidError):
            _lease(lease_id)

    @pytest.mark.timeout(120)
    def test_a_kill_in_the_middle_of_a_switch_leaves_the_old_version_or_the_new_one(
        self, harness: ComponentHarness, component: Component, versions: tuple[Ref, Ref]
    ) -> None:
        prepared = [component.prepare(ref, _SOON) for ref in versions]
        fork = multiprocessing.get_context("fork")
        chance = random.Random(6)
        component.switch(prepared[0], expect=component.current().token, key="start")
        for round_number in range(self.KILLS):
            started = fork.Event()
            child = fork.Process(target=_switch_for_ever, args=(harness, prepared, f"round-{round_number}", started))
            child.start()
            assert started.wait(30)
            _spin(chance.uniform(0.0, 0.02))
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join(30)
            assert child.exitcode == -signal.SIGKILL

            survivor = harness.component()
            seen = survivor.current()
            assert seen.ref in versions
            assert survivor.effective(_SOON) == seen
            receipt = survivor.switch(prepared[0], expect=seen.token, key=f"after-{round_number}")
            assert receipt.before == seen.ref, "the killed process held no lock and left no half"


def _switch_for_ever(
    harness: ComponentHarness, prepared: list[Prepared], prefix: str, started: "multiprocessing.synchronize.Event"
) -> None:
    component = harness.component()
    for number in count():
        component.switch(prepared[number % 2], expect=component.current().token, key=f"{prefix}-{number}")
        started.set()


def _spin(seconds: float) -> None:
    """Pass a part of a second without giving the processor away: the kill must land anywhere in a switch."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
