"""Whatever is in the files beside a worker, and wherever a request is entered and left, the SDK raises into none."""

import asyncio
import contextvars
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.serving.system import System
from tests.sdk.serving.steward import Priced, Steward, system, until


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    return Steward(tmp_path)


def loaded(kg: System, versions: int) -> None:
    until(lambda: kg.ready and len(kg.loaded) == versions, f"{versions} slots; {kg.troubles}")


def test_a_route_document_without_its_own_generation_is_a_trouble_and_the_answer_an_honest_one(
    steward: Steward,
) -> None:
    steward.accept(steward.release(1.0))
    steward.publish()
    document = json.loads(steward.folder.route_file.read_text())
    whole = json.dumps(document)
    state = steward.state
    steward.folder.state_file.unlink()
    steward.folder.word_file.unlink()
    steward.folder.route_file.write_text(json.dumps({**document, "generations": []}))
    kg = system(steward.directory)
    try:
        with pytest.raises(NotReadyError, match="has not loaded the version"):
            kg.request("rider").__enter__()
        assert "the route names generation 1 without its chain" in " ".join(kg.troubles)
        steward.folder.route_file.write_text(whole)
        steward.write(state)
        steward.folder.word().join(1, 0, 10_000)
        loaded(kg, 1)
    finally:
        kg.close()


@pytest.mark.parametrize(
    "settings",
    [
        '{"triggers": {"errors": {"min_requests": 1e999}}}',
        '{"triggers": {"errors": {"over": NaN}}}',
        '{"triggers": {"latency": {"over": 1e308}}, "sla": {"latency_p99": "9999999999d"}}',
        '{"triggers": {"errors": {"over": 1' + "0" * 400 + "}}}",
        "[]",
    ],
)
def test_no_system_file_stops_a_worker(steward: Steward, settings: str) -> None:
    steward.accept(steward.release(1.0))
    steward.folder.settings_file.write_text(settings)
    with steward.system() as kg:
        loaded(kg, 1)
        with kg.request("rider") as priced:
            assert priced.price(2.0) == 2.0


@pytest.mark.parametrize("subject", [42, UUID(int=7), "42", b"42"], ids=repr)
@pytest.mark.parametrize("split", [0, 5_000, 10_000])
def test_a_subject_is_served_alike_before_and_after_the_first_split(steward: Steward, subject: Any, split: int) -> None:
    steward.accept(steward.release(2.0), steward.release(1.0), split=split)
    with steward.system() as kg:
        loaded(kg, 2)
        with kg.request(subject) as first:
            assert kg.pick(subject).value is first
        assert kg.call(lambda priced: priced, subject) is first
        until(lambda: steward.counts(first.version).requests == 2, "counts")
        assert kg.troubles == ()


class TestContexts:
    @pytest.fixture
    def kg(self, steward: Steward) -> Iterator[System]:
        steward.accept(steward.release(1.0))
        with steward.system() as kg:
            loaded(kg, 1)
            yield kg

    def test_a_request_that_is_left_in_another_context_than_it_was_entered_in_is_counted(
        self, kg: System, steward: Steward
    ) -> None:
        request = kg.request("rider")
        contextvars.copy_context().run(request.__enter__)
        contextvars.copy_context().run(request.__exit__, None, None, None)
        failed = kg.request("rider")
        contextvars.copy_context().run(failed.__enter__)
        failed.__exit__(RuntimeError, RuntimeError("broken"), None)
        counts = until(lambda: (c := steward.counts(kg.version)).requests == 2 and c, "counts")
        assert counts.errors == 1
        assert kg.headers == {}

    def test_a_generator_that_a_framework_runs_in_threads_of_a_pool(self, kg: System, steward: Steward) -> None:
        app = FastAPI()

        def pinned() -> Iterator[Priced]:
            with kg.request("rider") as priced:
                yield priced

        def price(priced: Annotated[Any, Depends(pinned)]) -> float:
            return float(priced.price(3.0))

        app.get("/")(price)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.get("/")

        answer = asyncio.run(ask())
        assert (answer.status_code, answer.json()) == (200, 3.0)
        until(lambda: steward.counts(kg.version).requests == 1, "counts")
