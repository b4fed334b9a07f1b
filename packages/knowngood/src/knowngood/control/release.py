"""Release: from working places to a manifest, and from a manifest to bytes that a worker can load."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.domain.compatibility import Contract
from knowngood.domain.component import Lease
from knowngood_sdk.errors import ComponentError
from knowngood_sdk.model.manifest import Component, Intent, Manifest
from knowngood_sdk.model.wire import ReleaseDocument

__all__ = ["capture", "recorded_again", "stage"]

_DEADLINE = timedelta(minutes=5)
_NOTHING = Contract()


def capture(plane: Plane, system: str, intent: Intent) -> Manifest:
    """
    Record what every component's working place holds now, as one manifest whose parent is what is served.

    Every component provides its own content as the contract of its name, so that a model can require the very
    features that it was trained on.

    Raises:
        NotFoundError: The system was never applied, or a component is not where the system file says.
        InvalidError: What stands there can be no version.
        RefusedError: A working place holds changes that nobody could restore.
    """
    spec = plane.system_file(system)
    adapters = plane.adapters(system)
    contracts = plane.contracts(spec)
    components = {}
    for name, declared in spec.components.items():
        ref = adapters[name].capture(_DEADLINE)
        contract = contracts.get(name, _NOTHING)
        components[name] = Component(
            role=declared.role,
            kind=declared.kind,
            switching=declared.switching,
            ref=ref,
            provides={**contract.provides, name: ref.digest},
            requires=contract.requires,
            shared_by=declared.shared_by,
        )
    served = plane.store.read(system).served
    parent = plane.store.manifest(system, served).digest if served else None
    return Manifest(system=system, components=components, intent=intent, parent=parent)


def recorded_again(plane: Plane, system: str, name: str, intent: Intent) -> Manifest:
    """
    Return a recorded version as the manifest of a new deployment: its own content, another intent and parent.

    Raises:
        NotFoundError: No version answers to the name.
        InvalidError: Several do.
    """
    served = plane.store.read(system).served
    parent = plane.store.manifest(system, served).digest if served else None
    return replace(version_named(plane, system, name), intent=intent, parent=parent)


def stage(plane: Plane, manifest: Manifest, *, golden: bool) -> ReleaseDocument:
    """
    Put every component of a manifest where a worker can load it, side by side, and pin it for the cool-down.

    Nothing that serves traffic can see it, and doing it twice gives the same.

    Args:
        plane: The ports.
        manifest: What to stage.
        golden: Whether the golden inputs of the working place belong to it; a combination that is only compared in
            shadow has none.

    Raises:
        PermanentError: A component's bytes are gone or do not match their digest.
    """
    spec = plane.system_file(manifest.system)
    adapters = plane.adapters(manifest.system)
    until = plane.clock.now() + spec.standby.keep
    lease = Lease(id=f"{manifest.system}-{manifest.label}", owner=f"standby of {manifest.system}", until=until)

    def one(name: str) -> str:
        ref = manifest.components[name].ref
        try:
            prepared = adapters[name].prepare(ref, _DEADLINE)
            adapters[name].pin(ref, lease)
        except ComponentError as error:
            details = {**error.details, "component": name}
            raise type(error)(f"component {name}: {error.message}", hint=error.hint, **details) from error
        return prepared.path or ""

    names = list(manifest.components)
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        paths = dict(zip(names, pool.map(one, names), strict=True))
    document = ReleaseDocument(
        manifest=manifest,
        paths={name: path for name, path in paths.items() if path},
        golden=_golden(plane, manifest) if golden else None,
    )
    plane.traffic.publish_release(document)
    return document


def _golden(plane: Plane, manifest: Manifest) -> str | None:
    keeper = plane.golden(plane.system_file(manifest.system))
    if keeper is None:
        return None
    return keeper.prepare(keeper.capture(_DEADLINE), _DEADLINE).path
