"""Answers on one stream, everything else on the other; one document of JSON; no colours unasked; no questions."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood.cli.exit_code import ExitCode
from knowngood_sdk.model.route import Facts, Trip
from tests.acceptance.stage import Stage

ESCAPE = "\x1b["
READING = ["status", "history pricing", "ledger show pricing", "ledger verify pricing", "quarantine list pricing"]


def on_a_terminal(stage: Stage, *arguments: str, **environment: str) -> str:
    """Run a command whose output is a terminal; return what appears there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "knowngood.cli", *arguments],
        cwd=stage.folder,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        shown = b""
        while chunk := read(ours):
            shown += chunk
    os.close(ours)
    return shown.decode()


def read(descriptor: int) -> bytes:
    """Return what comes next, or nothing once the other side has closed it."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


@pytest.mark.parametrize("words", READING)
def test_a_command_that_reads_answers_with_one_document_and_says_nothing_else(shared: Stage, words: str) -> None:
    before = shared.files()
    done = shared.kg(*words.split(), "--output", "json")
    assert (done.code, done.err) == (0, "")
    assert isinstance(done.json, dict)
    assert shared.files() == before


def test_an_error_goes_to_the_other_stream_with_what_to_do(shared: Stage) -> None:
    done = shared.kg("history", "pricng")
    assert (done.code, done.out) == (1, "")
    assert (
        done.err
        == "✖ there is no system 'pricng'\n  Did you mean 'pricing'? Known: pricing. To add one: kg apply FILE\n"
    )


def test_what_to_do_next_names_the_system_that_was_named(stage: Stage) -> None:
    assert "kg init surge, then kg apply surge.yaml" in stage.kg("history", "surge").err


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        pytest.param(["statsu"], "No such command 'statsu'. Did you mean 'status'?", id="a command"),
        pytest.param(["quarantine", "relese"], "Did you mean 'release'? Known: add, list, release", id="below a group"),
        pytest.param(
            ["quarantine", "pricing"],
            "quarantine list pricing'? Known: add, list, release",
            id="a system for a command",
        ),
        pytest.param(["ledger", "shop"], "If 'shop' is a system: ", id="a system that looks like a command"),
        pytest.param(["ledger", "shop"], "ledger show shop\n", id="and the command for it"),
        pytest.param(["ledger", "pricing"], "ledger show pricing'? Known: show, verify", id="the same of a ledger"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_probably_meant(
    shared: Stage, typed: list[str], advice: str
) -> None:
    done = shared.kg(*typed)
    assert (done.code, done.out) == (2, "")
    assert advice in done.err


@pytest.mark.parametrize("arguments", [["status"], ["history", "pricing"], ["agent", "pricing"]])
def test_the_folder_around_the_working_folder_is_not_taken_for_it(shared: Stage, arguments: list[str]) -> None:
    before = sorted(path.name for path in shared.folder.iterdir())
    done = shared.kg(*arguments, "--dir", str(shared.folder))
    assert (done.code, done.out) == (1, "")
    assert f"{shared.folder} is no working folder, but there is one in it" in done.err
    assert f"--dir {shared.home}" in done.err
    assert sorted(path.name for path in shared.folder.iterdir()) == before


def test_an_error_for_a_program_is_the_one_document(shared: Stage) -> None:
    done = shared.kg("history", "pricng", "--output", "json")
    assert (done.code, done.err) == (1, "")
    assert done.error["code"] == "not-found"
    assert set(done.error) == {"code", "message", "hint", "details"}


@pytest.mark.parametrize(
    "arguments", [["deploy"], ["deploy", "pricing", "--canry", "5%"], ["plan", "x", "--level", "9"]]
)
def test_a_command_that_is_written_wrong_says_how_to_write_it(shared: Stage, arguments: list[str]) -> None:
    done = shared.kg(*arguments)
    assert (done.code, done.out) == (2, "")
    assert f"Usage: kg {arguments[0]}" in done.err.replace("python -m knowngood.cli", "kg")
    as_json = shared.kg(*arguments, "--output=json")
    assert (as_json.code, as_json.err) == (2, "")
    assert as_json.error["code"] == "usage"


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollback", "pricing", "--this-host", "r1"],
        ["rollback", "pricing", "--break-glass", "--level", "1"],
        ["deploy", "pricing", "--abandon", "--promote"],
    ],
)
def test_options_that_say_nothing_together_are_refused(shared: Stage, arguments: list[str]) -> None:
    before = shared.files()
    assert shared.kg(*arguments).code == 2
    assert shared.files() == before


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["status", ""], id="a system"),
        pytest.param(["rollback", " "], id="a system that is a blank"),
        pytest.param(["diff", "pricing", ""], id="a version"),
        pytest.param(["quarantine", "release", "pricing", "", "--reason", "false alarm"], id="a version to release"),
        pytest.param(["rollback", "pricing", "--to", ""], id="a version to go back to"),
        pytest.param(["deploy", "pricing", "--version="], id="a version to deploy"),
        pytest.param(["plan", "pricing", "--suspect", ""], id="a component"),
        pytest.param(["status", "pricing", "--dir", ""], id="a folder"),
    ],
)
def test_an_unset_variable_is_no_name_and_never_means_the_default(shared: Stage, arguments: list[str]) -> None:
    before = shared.files()
    done = shared.kg(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "variable" in done.err
    assert shared.files() == before


@pytest.mark.parametrize("option", ["--promote", "--abandon"])
def test_where_no_deployment_is_under_way_there_is_none_to_finish(shared: Stage, option: str) -> None:
    done = shared.kg("deploy", "pricing", option)
    assert done.code == 1
    assert "no deployment of pricing is under way" in done.err
    assert "kg deploy pricing" in done.err


@pytest.mark.parametrize("share", ["0%", "101%", "many"])
def test_a_share_of_the_traffic_that_is_none_names_the_option_and_the_value(shared: Stage, share: str) -> None:
    done = shared.kg("deploy", "pricing", "--canary", share)
    assert done.code == 2
    assert "--canary" in done.err
    assert share in done.err


def test_colours_show_on_a_terminal_alone_and_not_where_they_are_unwanted(shared: Stage) -> None:
    assert ESCAPE in on_a_terminal(shared, "ledger", "verify", "pricing")
    assert ESCAPE in on_a_terminal(shared, "history", "nope")
    assert ESCAPE not in on_a_terminal(shared, "ledger", "verify", "pricing", NO_COLOR="1")
    assert ESCAPE not in on_a_terminal(shared, "history", "nope", NO_COLOR="1")
    assert ESCAPE not in shared.kg("ledger", "verify", "pricing").out


def test_every_sign_says_by_its_shape_what_its_colour_repeats(shared: Stage) -> None:
    shown = shared.kg("apply", "pricing.yaml").out + shared.kg("history", "nope").err
    assert "✔" in shown
    assert "✖" in shown


def test_a_terminal_without_the_signs_gets_the_words(shared: Stage) -> None:
    done = shared.kg("ledger", "verify", "pricing", env={"PYTHONIOENCODING": "latin-1"})
    assert done.code == 0
    assert "entries, whole" in done.out


def test_an_answer_that_has_nowhere_to_go_is_an_error(shared: Stage) -> None:
    command = f"exec {sys.executable} -m knowngood.cli status pricing >&-"
    done = subprocess.run(["bash", "-c", command], cwd=shared.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, "standard output is closed" in done.stderr) == (1, True)


def test_nobody_who_reads_is_no_error_of_ours(shared: Stage) -> None:
    command = f"{sys.executable} -m knowngood.cli ledger show pricing --output json | true"
    done = subprocess.run(["bash", "-c", command], cwd=shared.folder, capture_output=True, check=False)
    assert done.stderr == b""


def test_the_folder_of_a_mistyped_path_is_not_made(shared: Stage, tmp_path: Path) -> None:
    done = shared.kg("history", "pricing", "--dir", str(tmp_path / "absent"))
    assert done.code == 1
    assert f"there is no working folder {tmp_path / 'absent'}" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["status", "status shop"])
def test_in_a_wrong_folder_status_names_it_whole_and_says_how_to_name_another(stage: Stage, words: str) -> None:
    done = stage.kg(*words.split())
    assert (done.code, done.out) == (1, "")
    assert f"there is no system in {stage.folder}/.knowngood\n" in done.err
    assert "--dir or KNOWNGOOD_DIR" in done.err
    assert ("kg init shop" if "shop" in words else "kg init SYSTEM") in done.err
    assert not stage.home.exists()


def test_init_overwrites_nothing(stage: Stage) -> None:
    assert stage.kg("init", "pricing").code == 0
    (stage.folder / "pricing.yaml").write_text("mine")
    done = stage.kg("init", "pricing")
    assert done.code == 1
    assert "pricing.yaml exists already" in done.err
    assert (stage.folder / "pricing.yaml").read_text() == "mine"


def test_a_long_reason_is_cut_on_a_terminal_and_whole_where_it_is_piped_on_or_read_by_a_program(applied: Stage) -> None:
    why = "prices too high\nat the airport " * 20
    trip = Trip(uid="t-1", version=f"sha256:{'a' * 64}", generation=1, source="person", at="2026-11-23", why=why)
    with SqlStore.open(applied.home / "store.db") as store, store.change("pricing") as change:
        change.save(replace(change.state, facts=Facts({"t-1": trip})))
        change.append("tripped", "ann", "2026-11-23T18:00:00.000Z", {})
    shown = on_a_terminal(applied, "quarantine", "list", "pricing")
    assert len(shown.splitlines()) == 2
    assert shown.endswith("…\r\n")
    piped = applied.kg("quarantine", "list", "pricing").out
    assert len(piped.splitlines()) == 2
    assert piped.endswith(f"{' '.join(why.split())}\n")
    assert applied.kg("quarantine", "list", "pricing", "--output", "json").json["trips"][0]["why"] == why


@pytest.mark.parametrize("port", ["99999", "0", "x"])
def test_a_server_at_a_port_that_is_none_is_refused_by_its_address(shared: Stage, port: str) -> None:
    done = shared.kg("status", env={"KNOWNGOOD_URL": f"http://127.0.0.1:{port}"})
    assert (done.code, f"http://127.0.0.1:{port} is no address of a server" in done.err) == (1, True), done.err


def test_who_acts_goes_on_record(shared: Stage) -> None:
    entries = shared.kg("ledger", "show", "pricing", "--output", "json").json["entries"]
    assert {entry["actor"] for entry in entries} == {"ann"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param("kg sta", ["status"], id="a command"),
        pytest.param("kg status pri", ["pricing"], id="a system"),
        pytest.param("kg deploy pricing --can", ["--canary"], id="an option"),
        pytest.param("kg quarantine release pricing 3f", ["3f1c9a0b7d2e"], id="a version that was staged"),
    ],
)
def test_the_shell_completes(shared: Stage, typed: str, offered: list[str]) -> None:
    manifests = shared.home / "systems" / "pricing" / "manifests"
    manifests.mkdir(exist_ok=True)
    (manifests / f"3f1c9a0b7d2e{'0' * 52}.json").write_text("{}")
    environment = {
        "_KG_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
        "PATH": os.environ["PATH"],
        "KNOWNGOOD_DIR": str(shared.home),
    }
    kg = Path(sys.prefix) / "bin" / "kg"
    done = subprocess.run([kg], cwd=shared.folder, env=environment, capture_output=True, check=True)
    assert re.findall(r"^plain,(.*)$", done.stdout.decode(), flags=re.MULTILINE) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_completion_on_the_page_are_those_of_the_tool(shell: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert f"_KG_COMPLETE={shell}_source kg" in page
    kg = Path(sys.prefix) / "bin" / "kg"
    environment = {"_KG_COMPLETE": f"{shell}_source", "PATH": os.environ["PATH"]}
    done = subprocess.run([kg], env=environment, capture_output=True, check=True)
    assert b"_KG_COMPLETE" in done.stdout


def test_ctrl_c_ends_a_watch_with_its_own_code_and_without_a_traceback(shared: Stage) -> None:
    watch = shared.start_kg("status", "--watch")
    while "pricing" not in watch.text:
        assert watch.running, watch.text
    watch.signal(signal.SIGINT)
    assert watch.wait() == ExitCode.STOPPED
    assert "Traceback" not in watch.text


def test_a_status_that_is_watched_as_json_is_one_document_a_line(shared: Stage) -> None:
    watch = shared.start_kg("status", "--watch", "--output", "json")
    while watch.text.count("\n") < 2:
        assert watch.running, watch.text
    watch.signal(signal.SIGINT)
    watch.wait()
    lines = watch.text.splitlines()
    assert [json.loads(line)["systems"][0]["system"] for line in lines[:2]] == ["pricing", "pricing"]


def test_json_of_a_ledger_is_what_is_kept(shared: Stage) -> None:
    document = json.loads(shared.kg("ledger", "show", "pricing", "--output", "json").out)
    assert [entry["kind"] for entry in document["entries"]] == ["applied"]


def test_watching_is_refused_where_a_server_is_named_and_no_folder(applied: Stage) -> None:
    server = {"KNOWNGOOD_URL": "http://127.0.0.1:1"}
    refused = applied.kg("watch", "pricing", "--ticks", "1", env=server)
    assert refused.code == 1
    assert "the server watches its systems itself" in refused.err.lower()
    assert applied.kg("watch", "pricing", "--ticks", "1", "--dir", str(applied.home), env=server).code == 0
