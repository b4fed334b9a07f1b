"""What a newcomer forgets is said at once: a part that is not there, a system that was never applied, no replica."""

import signal

from tests.acceptance.stage import Stage, until
from tests.cli.conftest import SMALL


def test_applying_names_what_is_not_there_yet_and_applies_all_the_same(stage: Stage) -> None:
    rules = SMALL.replace("{files: model.json}", "{files: model.json, contract: contract.json}")
    (stage.folder / "pricing.yaml").write_text(rules + "golden: golden.jsonl\n")
    (stage.folder / "curve.yaml").write_text("base: 3\n")
    done = stage.kg("apply", "pricing.yaml")
    assert done.code == 0
    warnings = [line for line in done.out.splitlines() if "there yet" in line]
    assert warnings == [
        f"⚠ not there yet, and needed by a deployment: {what}, {stage.folder / path}"
        for what, path in [
            ("the golden inputs", "golden.jsonl"),
            ("model", "model.json"),
            ("the contract of model", "contract.json"),
        ]
    ]
    missing = stage.kg("apply", "pricing.yaml", "--output", "json").json["missing"]
    assert missing["model"] == str(stage.folder / "model.json")


def test_applying_over_other_rules_says_what_it_takes_from_the_way_back(applied: Stage) -> None:
    rules = applied.folder / "pricing.yaml"
    assert applied.kg("apply", "pricing.yaml", "--output", "json").json["changes"] == []
    rules.write_text(
        "system: pricing\nkind: batch\ncomponents:\n  model: {files: model.json}\n"
        "triggers:\n  errors: {over: 5%, do: rollback}\n"
    )
    lines = applied.kg("apply", "pricing.yaml").out.splitlines()
    assert lines[0] == "✔ pricing applied"
    assert [line.split(":")[0] for line in lines[1:5]] == [
        "  ⚠ kind",
        "  ⚠ component config removed",
        "  ⚠ fallback removed",
        "  trigger errors added",
    ]
    rules.write_text(SMALL)
    changes = applied.kg("apply", "pricing.yaml", "--output", "json").json["changes"]
    assert {"what": "trigger errors removed: nobody watches it any longer", "weakens": True} in changes
    assert {"what": "fallback added", "weakens": False} in changes


def test_an_agent_of_a_system_that_was_never_applied_says_so_and_runs(applied: Stage) -> None:
    agent = applied.start_kg("agent", "pricng")
    until((applied.home / "systems" / "pricng" / "replicas" / "r1" / "report.json").exists, "the agent")
    agent.signal(signal.SIGTERM)
    agent.wait()
    assert f"no system 'pricng' was applied in {applied.home} yet" in agent.text
    assert "--dir or KNOWNGOOD_DIR" in agent.text
    assert "Did you mean 'pricing'?" in agent.text


def test_an_agent_of_a_system_that_was_applied_has_nothing_to_say_of_that(applied: Stage) -> None:
    agent = applied.start_kg("agent", "pricing")
    until((applied.home / "systems" / "pricing" / "replicas" / "r1" / "report.json").exists, "the agent")
    agent.signal(signal.SIGTERM)
    agent.wait()
    assert "was applied" not in agent.text


def test_a_deployment_says_at_once_that_nothing_runs_and_how_long_it_waits(applied: Stage) -> None:
    deploying = applied.start_kg("deploy", "pricing", "--timeout", "60")
    until(lambda: "no replica has joined yet" in deploying.text, "what is missing", seconds=20)
    assert "start its server, and beside it: kg agent pricing" in deploying.text
    assert "(up to 60 s)" in deploying.text


def test_a_deployment_names_the_part_of_a_replica_that_does_not_run(applied: Stage) -> None:
    agent = applied.start_kg("agent", "pricing", "--replica", "r2")
    until((applied.home / "systems" / "pricing" / "replicas" / "r2" / "report.json").exists, "the agent")
    done = applied.kg("deploy", "pricing", "--timeout", "1")
    assert done.code == 9
    assert done.err.count("r2 has no live worker: start its server") == 2, (
        "while it waits, and as what to do at the end"
    )
    agent.end()
    assert "kg agent pricing --replica r2" in applied.kg("deploy", "pricing", "--timeout", "1").err
