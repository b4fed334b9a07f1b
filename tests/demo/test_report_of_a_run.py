"""The report is one file that needs no network and no script, and says nothing that a hostile name could bend."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from knowngood.demo.outcome import Outcome, Seen
from knowngood.demo.report import check_writable, render, write_report
from knowngood.demo.scene import Options
from knowngood.demo.story import (
    tell_beginning,
    tell_canary,
    tell_end,
    tell_incident,
    tell_without_and_placebos,
)
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
        "Second act: released by name, deployed again as a canary",
    ]


def test_a_hostile_name_stays_text(play: Play) -> None:
    hostile = "<script>alert(1)</script>.py"
    seen = play()
    entries = [{**entry} for entry in seen.record.entries]
    entries[0] = {"kind": "decided", "body": {**entries[0]["body"], "trigger": hostile, "reasons": [hostile]}}
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


def test_story_tells_what_was_measured_in_plain_lines(play: Play, tmp_path: Path) -> None:
    outcome = Outcome(play())
    told = "\n".join(
        [
            *tell_beginning(Options()),
            *tell_incident(outcome),
            *tell_canary(outcome),
            *tell_without_and_placebos(outcome),
            *tell_end(outcome, tmp_path / "report.html"),
        ]
    )
    assert "\x1b" not in told
    for words in (
        "breach: the first rider gets a bad price",
        "last bad response",
        "21 got a bad price",
        "Requests: 59, failed 0, mixed 0",
        "level 1 (model): refused later, at the canary's decision",
        "it had 35 requests of evidence",
        "as it is: exit 5",
        "it got as far as 10 % of the traffic",
        "0 automatic rollbacks",
        "below 13.9%",
        "3.3 s from the decision to the first good price, 119 failed requests",
    ):
        assert words in told
    assert "$" not in told  # no money is claimed


def test_story_says_what_did_not_hold(play: Play, tmp_path: Path) -> None:
    outcome = Outcome(play(attempts=[]))
    assert "DID NOT HOLD: version 2 could be deployed again" in list(tell_end(outcome, tmp_path / "report.html"))
