"""Prepare: a team's folder, both versions trained, two replicas, version 1 deployed, and riders coming."""

import httpx

from knowngood.demo.fallback import FALLBACK_PRICE
from knowngood.demo.narrator import Narrator
from knowngood.demo.scene import Cast, Options, Scene
from knowngood.demo.stage import FAULT, SYSTEM, Child, Replica, Stage, poll, workers_of
from knowngood.demo.workplace import Workplace, change_text
from knowngood.demo.world.feature_code import FeatureCode, check_features
from knowngood.demo.world.hours import hour_row, load_hours, sample_inputs
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.training import ATTEMPTS, RIDES, Score, first_version, second_version
from knowngood_sdk.errors import PermanentError, RefusedError

__all__ = ["prepare"]

_WORKERS = {"r1": 2, "r2": 1}
_START_SECONDS = 60.0
_VERIFY_SECONDS = 30.0


def prepare(stage: Stage, options: Options, narrator: Narrator) -> Scene:
    """
    Set the scene.

    Raises:
        NotFoundError: There is no change or file of that name.
        InvalidError: The file does not run, or has no function ``features``.
        RefusedError: The gate refused the feature code; nothing was changed for anybody.
    """
    narrator.doing("reading a year of real hours", 0.01)
    text = change_text(options.change)
    change = FeatureCode(text, name=options.change)
    workplace = Workplace(stage.folder)
    workplace.begin()
    narrator.doing("applying the system file", 0.02)
    stage.kg("apply", f"{SYSTEM}.yaml")
    starting = _start_replicas(stage)
    cast, broken = _train(change, options, narrator)
    workplace.write(cast.known, cast.hours, "Version 1")
    scene = Scene(
        stage=stage,
        options=options,
        narrator=narrator,
        workplace=workplace,
        cast=cast,
        replicas=_wait_for_replicas(stage, starting, narrator),
    )
    _introduce(scene)
    narrator.doing("deploying version 1", 0.16)
    answer = stage.kg("deploy", SYSTEM, "--intent", "version 1: rides an hour")
    scene.versions["known"] = answer["version"]
    narrator.say(
        f"  kg deploy: {_short(answer['version'])} (version 1) serves on {len(scene.replicas)} replicas;"
        f" loaded in {answer['load_seconds']:.1f} s. Behind it stands the static fallback: it is the first."
    )
    if broken is not None:
        _meet_the_gate(scene, text, broken)
    scene.watch = stage.start_watch(fault=FAULT)
    scene.start_riders()
    return scene


def _start_replicas(stage: Stage) -> dict[str, tuple[Child, Child]]:
    """Start agents and servers; they import and load while the models are trained."""
    started = {}
    for name, workers in _WORKERS.items():
        environment = {"KNOWNGOOD_REPLICA": name}
        agent = stage.start(f"agent-{name}", ["-m", "knowngood.cli", "agent", SYSTEM, "--replica", name])
        server = stage.start_server(f"server-{name}", "knowngood.demo.service:app", workers=workers, env=environment)
        started[name] = (agent, server)
    return started


def _train(change: FeatureCode, options: Options, narrator: Narrator) -> tuple[Cast, RefusedError | None]:
    """
    Train both versions; on feature code that breaks its contract none is trained, and it goes to the gate as it is.

    The check itself belongs to the servers, which make it when they load a version; here it only decides what there is
    to deploy.
    """
    narrator.doing("training version 1 on nine months of rides", 0.05)
    hours = load_hours()
    known = first_version(hours, seed=options.seed)
    scores = {"version 1 on rides": Score.of(RIDES, known, hours)}
    try:
        check_features(change, sample_inputs(hours))
    except RefusedError as error:
        return Cast(hours=hours, known=known, bad=Pricing(known.model, change, known.curve), scores=scores), error
    narrator.doing(f"training version 2 on features {options.change!r} and on attempts", 0.09)
    bad = second_version(hours, change, seed=options.seed)
    scores["version 1 on attempts"] = Score.of(ATTEMPTS, known, hours)
    scores["version 2 on attempts"] = Score.of(ATTEMPTS, bad, hours)
    scores["version 2 on rides"] = Score.of(RIDES, bad, hours)
    return Cast(hours=hours, known=known, bad=bad, scores=scores), None


def _wait_for_replicas(
    stage: Stage, starting: dict[str, tuple[Child, Child]], narrator: Narrator
) -> tuple[Replica, ...]:
    """Wait until every worker of every replica has joined."""
    narrator.doing("waiting for the servers", 0.13)
    servers = {name: stage.wait_served(child) for name, (_, child) in starting.items()}

    def joined() -> bool:
        for agent, server in starting.values():
            agent.check_running()
            server.check_running()
        status = stage.kg("status", SYSTEM, accept=(0, 1))
        seen = {replica["replica"]: replica for system in status.get("systems", ()) for replica in system["replicas"]}
        return all(name in seen and seen[name]["agent"] and seen[name]["workers"] == n for name, n in _WORKERS.items())

    poll(joined, _START_SECONDS, "joining of all workers", every=0.2)
    return tuple(
        Replica(name=name, agent=agent, server=servers[name], workers=workers_of(servers[name], _WORKERS[name]))
        for name, (agent, _) in starting.items()
    )


def _introduce(scene: Scene) -> None:
    """Say who is on stage, and see that without a version the static fallback answers."""
    say, cast = scene.narrator.say, scene.cast
    say("", "1. Before: two servers of a pricing service, and nothing deployed yet")
    for replica in scene.replicas:
        pids = ", ".join(map(str, replica.workers))
        say(
            f"  replica {replica.name}: agent is process {replica.agent.pid}, {_WORKERS[replica.name]} worker(s)"
            f" {pids} at {replica.server.url}"
        )
    at = cast.hours.index[0]
    row = hour_row(cast.hours, at)
    for replica in scene.replicas:
        answer = httpx.post(f"{replica.server.url}/price", json=row, headers={"x-rider-id": "first"}, timeout=5.0)
        if answer.status_code != httpx.codes.OK or answer.json()["price"] != FALLBACK_PRICE:
            raise PermanentError(
                f"{replica.name} did not answer with the static fallback: {answer.status_code} {answer.text[:200]}"
            )
    say(f"  no version yet, so the static fallback answers: ${FALLBACK_PRICE:.2f} for everybody")


def _meet_the_gate(scene: Scene, text: str, broken: RefusedError) -> None:
    """
    Try to deploy feature code that breaks its contract; raises RefusedError with what the gate said.

    No model is trained on it, so version 1's stands in, as what it is: trained on other features. The demo takes that
    upon itself by name, for what is to be seen is what the servers say of the feature code when they load it.
    """
    scene.narrator.say("", f"2. {scene.options.change} on its way to production")
    scene.narrator.doing("deploying feature code that is not row by row", 0.9)
    scene.workplace.write_features(text, "Version 2, as far as it got")
    why = "no model is trained on these features: version 1's stands in"
    answer = scene.stage.kg("deploy", SYSTEM, "--intent", "version 2", "--override", why, accept=(5, 9))
    reason = answer["error"]["message"]
    scene.narrator.say(f"  kg deploy ended with {answer['exit_code']}: {reason}")
    scene.narrator.say("  Nothing was changed for any rider: version 1 serves on.")
    raise RefusedError(
        f"the gate refused {scene.options.change}: {reason}",
        hint=broken.hint,
        exit_code_of_deploy=answer["exit_code"],
    )


def _short(version: str) -> str:
    return version.removeprefix("sha256:")[:12]
