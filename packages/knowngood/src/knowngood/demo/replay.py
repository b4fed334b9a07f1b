"""Replay: the demo from an empty folder to an outcome, one thing after the other."""

from knowngood.demo.every_evening import judge_of
from knowngood.demo.incident import play_canary, play_incident, try_again
from knowngood.demo.interrupts import Interrupts
from knowngood.demo.load import Notes, read_log, read_notes
from knowngood.demo.narrator import Narrator
from knowngood.demo.outcome import Outcome
from knowngood.demo.placebos import Placebos, run_placebos
from knowngood.demo.prepare import prepare
from knowngood.demo.report import check_writable, write_report
from knowngood.demo.running_time import running_seconds
from knowngood.demo.scene import Options, Scene
from knowngood.demo.seen import Seen
from knowngood.demo.stage import SYSTEM, set_up
from knowngood.demo.story import tell, tell_beginning, tell_end
from knowngood.demo.without import play_without, start_without
from knowngood.demo.workplace import rules
from knowngood.demo.world.evenings import EveningResult, evaluate_evening
from knowngood.demo.world.hours import evening_hours
from knowngood.demo.world.riders import arrivals

__all__ = ["replay_incident"]

_PLACEBOS = 20


def replay_incident(options: Options, narrator: Narrator) -> Outcome:
    """
    Replay the incident, write the report, and leave nothing behind but that (and the folder, where it is kept).

    Raises:
        KnownGoodError: Something failed; what it was is in the message.
        KeyboardInterrupt: Somebody stopped it; every process is stopped and the folder removed all the same.
    """
    check_writable(options.report)
    interrupts = Interrupts()
    with interrupts.caught():
        with set_up(interrupts, keep=options.keep) as stage:
            if options.keep:
                narrator.say(f"Everything is in {stage.folder}, and stays there.")
            narrator.say(*tell_beginning(options))
            seen = _play(prepare(stage, options, narrator))
            narrator.say(*tell(Outcome(seen)))
            narrator.doing("ending every process", 0.98)
        outcome = Outcome(seen, wall_seconds=running_seconds())
        write_report(outcome, options.report)
        if options.keep:
            write_report(outcome, stage.folder / "report.html")
    narrator.say(*tell_end(outcome, options.report))
    return outcome


def _play(scene: Scene) -> Seen:
    incident = play_incident(scene)
    left = incident.killed_at is not None
    attempts = try_again(scene) if left else ()
    canary = play_canary(scene) if left else None
    assert scene.riders is not None  # noqa: S101 - they began with version 1
    scene.riders.stop()
    stage, versions = scene.stage, scene.versions
    record = scene.last_record
    ledger = stage.kg("ledger", "verify", SYSTEM, accept=(0, 1))
    diff = stage.kg("diff", SYSTEM, versions["known"], versions["bad"])
    known_prices = _known_prices(scene)
    plain_server = start_without(scene) if left else None
    placebos = _placebos(scene)
    evening_result = _whole_evening(scene)
    plain = play_without(scene, plain_server, known_prices) if plain_server else None
    return Seen(
        change=scene.options.change,
        seed=scene.options.seed,
        evening=scene.options.evening.isoformat(),
        versions=versions,
        models=scene.models,
        processes=_processes(scene),
        urls={replica.name: replica.server.url for replica in scene.replicas},
        clock=scene.clock,
        incident=incident,
        attempts=attempts,
        canary=canary,
        record=record,
        ledger=ledger,
        diff=diff,
        log=[request for log in scene.logs for request in read_log(log)],
        evening_log=read_log(scene.evening_log),
        notes=_notes(scene),
        known_prices=known_prices,
        scores=scene.cast.scores,
        evening_result=evening_result,
        placebos=placebos,
        plain=plain,
    )


def _notes(scene: Scene) -> Notes:
    """Return what was written down beside the logs of every time that riders came."""
    notes = [read_notes(log) for log in scene.logs]
    forecasts = tuple(said for note in notes for said in note.forecasts)
    return Notes(passed_over=sum(note.passed_over for note in notes), forecasts=forecasts)


def _placebos(scene: Scene) -> Placebos:
    def told(done: int) -> None:
        share = 0.8 + 0.06 * done / _PLACEBOS
        scene.narrator.doing("placebos, in fast mode", share, detail=f"{done} of {_PLACEBOS}")

    cast = scene.cast
    return run_placebos(cast.hours, cast.known, rules(), seed=scene.options.seed, count=_PLACEBOS, tell=told)


def _whole_evening(scene: Scene) -> EveningResult:
    """Judge level 1 on all requests of the evening, in fast mode, and look at the truth."""
    cast, options = scene.cast, scene.options
    riders = arrivals(cast.hours, options.evening, seed=options.seed)
    return evaluate_evening(cast.known, cast.bad, riders, change=options.change, judge=judge_of(rules().unproven))


def _known_prices(scene: Scene) -> dict[int, float]:
    """Return what version 1 asks in each hour of the evening."""
    quotes = scene.cast.known.quotes(evening_hours(scene.cast.hours, scene.options.evening))
    return {int(hour.hour): float(price) for hour, price in quotes["price"].items()}  # type: ignore[attr-defined]


def _processes(scene: Scene) -> list[tuple[str, str, int]]:
    """Return every process that played a part: the name of its log, what it was, its id."""
    what = {"watch": "kg watch"}
    for replica in scene.replicas:
        pids = ", ".join(map(str, replica.workers))
        what[replica.agent.name] = f"agent of replica {replica.name}"
        what[replica.server.child.name] = f"uvicorn of replica {replica.name}; workers {pids}"
    others = {"riders": "riders", "plain": "uvicorn without the product"}
    return [
        (child.name, what.get(child.name) or others[child.name.split("-")[0]], child.pid)
        for child in scene.stage.children
    ]
