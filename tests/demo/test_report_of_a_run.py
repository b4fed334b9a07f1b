"""The report is one file that needs no network and no script, and says nothing that a hostile name could bend."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from knowngood.demo.outcome import Outcome
from knowngood.demo.report import check_writable, render, write_report
from knowngood.demo.scene import Options
from knowngood.demo.seen import Seen
from knowngood.demo.story import measure_lines, tell, tell_beginning, tell_end
from knowngood.demo.world.training import Score
from knowngood_sdk.errors import PermanentError

Play = Callable[..., Seen]
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Tags(HTMLParser):
    """Checks that every tag is closed, and gathers what the page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.asked_for: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.asked_for += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_is_whole_and_asks_for_nothing(play: Play) -> None:
    page = render(Outcome(play()))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.asked_for == []
    assert not tags.seen & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"url\(|@import|https?://", page)


def test_report_has_charts_timeline_diff_decision_and_plan(play: Play) -> None:
    page = render(Outcome(play()))
    for words in (
        "The flip, response by response",
        "Mean price that riders saw",
        "Share of riders who took the price",
        "Who answered",
        "What differs between the manifests",
        "The decision: roll-back, level 2",
        "The plan, and what it refused",
        "Last bad response",
        "As a canary",
        "Placebos",
        "Without the product",
    ):
        assert words in page
    charts = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)]  # noqa: S314 - our own
    assert len(charts) == 4


def test_every_version_on_the_charts_has_a_row_in_the_timeline(play: Play) -> None:
    page = render(Outcome(play()))
    rows = re.findall(r'<span class="badge">(\d+)</span>.*?<td>([^<]*)</td></tr>', page)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert [what for _, what in rows[-2:]] == [
        "The fix, version 1 with another note, has all traffic",
        "Version 2 is released by name, and deployed again as a canary",
    ]


def test_a_hostile_name_stays_text(play: Play) -> None:
    hostile = "<script>alert(1)</script>.py"
    seen = play()
    entries = [{**entry} for entry in seen.record.entries]
    figures = {hostile: {"verdict": "breached"}}
    body = {**entries[2]["body"], "trigger": hostile, "reasons": [hostile], "figures": figures}
    entries[2] = {**entries[2], "body": body}
    page = render(Outcome(replace(seen, change=hostile, record=replace(seen.record, entries=entries))))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_report_is_written_over_the_one_before(play: Play, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("an older one", encoding="utf-8")
    check_writable(path)
    assert path.read_text(encoding="utf-8") == "an older one"
    write_report(Outcome(play()), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_that_is_interrupted_leaves_no_report(tmp_path: Path) -> None:
    check_writable(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [Path("nowhere/report.html"), Path()], ids=["no folder", "a folder"])
def test_a_place_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path, place: Path) -> None:
    with pytest.raises(PermanentError, match="cannot be written"):
        check_writable(tmp_path / place)


def told(seen: Seen, path: Path = Path("report.html")) -> str:
    outcome = Outcome(seen, wall_seconds=80.0)
    return "\n".join([*tell_beginning(Options()), *tell(outcome), *tell_end(outcome, path)])


def test_story_tells_what_was_measured_in_plain_lines(play: Play) -> None:
    story = told(play())
    assert "\x1b" not in story
    for words in (
        "breach: the first rider gets a bad price",
        "detection: breached: prediction_mean",
        "last bad response",
        "version 2 answered 21, 21 of them with a bad price",
        "Requests: 60, failed 0, mixed 0, answered by the static fallback 0",
        "too late to send: 0",
        "level 1 (model): refused at the decision",
        "later, at the canary's decision: refused",
        "18:00 had 450, version 2 had expected 675 (+50%)",
        "as it is: exit 5",
        "given 10% of the traffic",
        "of 2 riders who came meanwhile it answered 1 (50%), 1 of them with a bad price",
        "what decided were answers in shadow",
        "0 automatic rollbacks",
        "below 13.9% with 95 % confidence",
        "without it          +0.20 s",
        "The whole run took 80 s",
    ):
        assert words in story
    assert "$" not in story  # no money is claimed


@pytest.mark.parametrize(("share", "lines"), [(0.0, 0), (0.04, 0), (0.06, 1), (0.5, 1)])
def test_story_ends_with_the_machine_where_it_was_too_busy_to_send_many_riders(
    play: Play, share: float, lines: int
) -> None:
    seen = play()
    riders = Outcome(seen).served.requests
    late = round(share * riders / (1 - share))
    end = list(tell_end(Outcome(replace(seen, notes=replace(seen.notes, passed_over=late))), Path("report.html")))
    words = f"This machine was too busy for the run to say much: {late} of {riders + late} riders could not be sent"
    assert sum(words in line for line in end[-2:]) == lines


def test_story_of_a_version_that_nobody_noticed_says_so_and_claims_nothing_that_did_not_happen(unnoticed: Seen) -> None:
    story = told(unnoticed)
    assert "Not noticed within 60 s: no trigger was breached" in story
    assert "version 2 answered 3, 0 of them with a bad price" in story
    for words in ("SIGKILL", "canary", "decision", "DID NOT HOLD", "Without the product"):
        assert words not in story


def test_story_of_a_breach_that_was_left_to_a_person_says_what_was_decided(investigated: Seen) -> None:
    story = told(investigated)
    assert "Not left within 60 s: what was noticed is for a person to look at" in story
    assert "Why: investigate, on latency" in story
    assert "detection: breached: conversion, latency" in story


def test_story_tells_the_first_breach_beside_the_one_that_was_acted_on(forewarned: Seen) -> None:
    story = told(forewarned)
    assert "The first breach (conversion, latency) led to: investigate\n    latency: too long" in story
    assert "Why: roll-back, on prediction_mean" in story


@pytest.mark.parametrize("run", ["unnoticed", "investigated", "forewarned"])
def test_report_of_every_kind_of_run_is_whole(run: str, request: pytest.FixtureRequest) -> None:
    page = render(Outcome(request.getfixturevalue(run)))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "None" not in page
    if run == "forewarned":
        assert "led to: investigate, for latency: too long" in page
    else:
        assert "and was not left." in page
        assert "As a canary" not in page


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        pytest.param(20.0, "better", id="a lower error"),
        pytest.param(30.0, "worse", id="a higher error"),
        pytest.param(22.7, "no different", id="the same error"),
    ],
)
def test_whether_version_two_is_better_on_its_own_measure_is_read_from_the_scores(
    play: Play, second: float, verdict: str
) -> None:
    score = play().scores["version 1 on rides"]
    own: dict[str, Score] = {
        "version 1 on attempts": replace(score, measure="attempts"),
        "version 2 on attempts": replace(score, measure="attempts", mae=second),
    }
    (line,) = measure_lines(Outcome(play(scores={**play().scores, **own})))
    assert f"version 2 is {verdict}: mean absolute error {second:.1f} an hour, version 1's 22.7" in line


def test_story_says_what_did_not_hold(play: Play, tmp_path: Path) -> None:
    outcome = Outcome(play(attempts=[]))
    assert "DID NOT HOLD: version 2 could be deployed again" in list(tell_end(outcome, tmp_path / "report.html"))
