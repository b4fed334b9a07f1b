"""A program that serves through a system: pinned, counted, never skipping at boot, never failing over bookkeeping."""

import asyncio
import contextvars
import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.errors import ConflictError, InvalidError, NotReadyError, PermanentError
from knowngood_sdk.model.counts import distinct
from knowngood_sdk.model.route import FULL
from knowngood_sdk.model.word import pack
from knowngood_sdk.serving.folder import hold
from knowngood_sdk.serving.system import System, Version
from tests.sdk.serving.steward import Fixed, Priced, Steward, system, until


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    return Steward(tmp_path)


def everything_loaded(kg: System, versions: int) -> None:
    until(lambda: kg.ready and len(kg.loaded) == versions, f"{versions} slots; {kg.troubles}")


class Riders:
    """Requests that look at their version twice, and let others run between."""

    def __init__(self, kg: System) -> None:
        self.kg = kg
        self.served: set[str] = set()
        self.mixed: list[tuple[Any, Any]] = []
        self.done = False

    def compare(self, first: Priced, second: Priced) -> None:
        self.served.add(first.version)
        if (first.version, first.surge) != (second.version, second.model["factor"]):
            self.mixed.append((first, second))

    def ride_in_a_thread(self) -> None:
        while not self.done:
            with self.kg.request("rider") as first:
                os.sched_yield()
                self.compare(first, self.kg.slot())

    async def ride_in_a_task(self) -> None:
        while not self.done:
            with self.kg.request("rider") as first:
                await asyncio.sleep(0)
                self.compare(first, self.kg.slot())

    async def ride_in_tasks(self) -> None:
        await asyncio.gather(*(self.ride_in_a_task() for _ in range(4)))


class TestBoot:
    def test_before_the_first_deployment_the_static_fallback_answers_and_is_counted(self, steward: Steward) -> None:
        with steward.system() as kg:
            assert kg.start(wait_seconds=10)
            with kg.request("rider") as priced:
                assert priced.price(1.0) == 9.5
                assert kg.version == ""
            until(lambda: steward.counts("").requests == 1, "counts")

    @pytest.mark.requirement("N1", "G2")
    def test_the_version_that_serves_is_loaded_first_and_then_what_stands_behind_it(self, steward: Steward) -> None:
        order: list[str] = []
        v3, v2, v1, armed = (steward.release(factor) for factor in (3.0, 2.0, 1.0, 4.0))
        steward.accept(v3, v2, v1, step=1)
        steward.publish(prepare=(armed,))
        kg = system(steward.directory)

        @kg.loader
        def load(version: Version) -> Priced:
            order.append(version.digest)
            return Priced(version)

        kg.start()
        everything_loaded(kg, 4)
        kg.close()
        assert order == [v2, v1, v3, armed]

    def test_a_worker_that_starts_skips_nothing_however_ready_the_standby_is(self, steward: Steward) -> None:
        bad = steward.release(2.0, golden=[{"input": 1.0, "output": 5.0}])
        good = steward.release(1.0)
        steward.accept(bad, good)
        with steward.system() as kg:
            until(lambda: good in kg.loaded, "the standby")
            assert not kg.ready
            with pytest.raises(NotReadyError):
                kg.slot()
            assert "golden line 1" in " ".join(kg.troubles)
            steward.trip(bad)
            until(lambda: kg.ready, "after the trip")
            assert kg.slot().version == good

    def test_a_worker_of_a_fleet_that_stands_somewhere_waits_until_its_agent_has_joined(self, steward: Steward) -> None:
        version = steward.release(2.0)
        steward.accept(version)
        state = steward.state
        steward.publish()
        steward.folder.state_file.unlink()
        steward.folder.word_file.unlink()
        with steward.system() as kg:
            until(lambda: version in kg.loaded, "the slot")
            assert not kg.ready
            steward.write(state)
            steward.folder.word().join(1, 0, FULL)
            until(lambda: kg.ready, "the agent's word")
            assert kg.slot().version == version

    def test_a_restart_knows_the_latched_step_without_word_and_agent(self, steward: Steward) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)
        steward.trip(v2)
        steward.folder.word_file.unlink()
        with steward.system() as kg:
            everything_loaded(kg, 2)
            assert kg.slot().version == v1
            assert steward.folder.word().read() == (1, 1, FULL)

    def test_without_a_loader_it_does_not_start(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidError, match=r"@kg\.loader"):
            System("pricing", directory=tmp_path).start()

    def test_a_folder_of_a_newer_version_does_not_start(self, steward: Steward) -> None:
        (steward.directory / "format").write_text("2")
        with pytest.raises(InvalidError, match="Upgrade"):
            system(steward.directory).start()

    def test_a_name_or_range_that_is_none_is_refused_at_once(self) -> None:
        with pytest.raises(InvalidError, match="Pricing!"):
            System("Pricing!")
        with pytest.raises(InvalidError, match="lowest first"):
            System("pricing", outputs=(1.0, 0.0))

    def test_it_is_told_where_it_lives_by_the_environment(
        self, steward: Steward, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KNOWNGOOD_DIR", str(steward.directory))
        monkeypatch.setenv("KNOWNGOOD_REPLICA", "r1")
        kg = System("pricing")
        kg.loader(Priced)
        assert kg.start(wait_seconds=10)
        assert len(steward.reports) == 1
        kg.close()


class TestLoading:
    @pytest.mark.requirement("N1")
    def test_what_cannot_be_made_ready_is_reported_with_its_reason_and_the_rest_is_ready(
        self, steward: Steward
    ) -> None:
        good, bad = steward.release(1.0), steward.release(2.0, golden=[{"input": 1.0, "output": 5.0}])
        steward.accept(good)
        steward.publish(prepare=(bad, "sha256:" + "0" * 64))
        with steward.system():
            report = until(lambda: next((r for r in steward.reports.values() if len(r.failed) == 2), None), "a report")
            assert report.ready == {good}
            assert report.failed[bad] == "golden line 1: the output should be 5.0 and is 2.0"
            assert "never released" in report.failed["sha256:" + "0" * 64]
            assert report.load_seconds.keys() == {good}
            assert report.pid == os.getpid()
            assert report.memory_bytes > 1_000_000
            assert report.fallback

    def test_a_version_that_nobody_wants_any_more_is_let_go(self, steward: Steward) -> None:
        old, new = steward.release(1.0), steward.release(2.0)
        steward.accept(old)
        steward.publish(prepare=(new,))
        with steward.system() as kg:
            everything_loaded(kg, 2)
            steward.publish()
            until(lambda: kg.loaded == {old}, "the slot is dropped")

    def test_a_route_document_is_never_applied_by_a_worker(self, steward: Steward) -> None:
        old, new = steward.release(1.0), steward.release(2.0)
        steward.accept(old)
        accepted = steward.state
        steward.accept(new, old)
        steward.publish()
        steward.folder.write_state(accepted)
        steward.folder.word_file.write_bytes(bytes(8))
        with steward.system() as kg:
            everything_loaded(kg, 2)
            assert kg.slot().version == old

    def test_a_route_document_that_turns_malformed_is_reported_and_drops_nothing(self, steward: Steward) -> None:
        old, new = steward.release(1.0), steward.release(2.0)
        steward.accept(old)
        steward.publish(prepare=(new,))
        with steward.system() as kg:
            everything_loaded(kg, 2)
            steward.folder.route_file.write_text("{")
            until(lambda: "route.json" in " ".join(kg.troubles), "the trouble")
            assert kg.loaded == {old, new}
            steward.publish(prepare=(new,))
            until(lambda: kg.troubles == (), "the end of the trouble")


class TestRequests:
    @pytest.mark.requirement("A1", "G3")
    def test_a_request_stays_on_its_version_whatever_is_flipped_meanwhile(self, steward: Steward) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            with kg.request("rider"):
                assert kg.slot().version == v2
                steward.trip(v2)
                assert kg.slot().version == v2
                assert kg.version == v2
            with kg.request("rider"):
                assert kg.slot().version == v1

    @pytest.mark.requirement("A1")
    def test_a_thread_of_a_pool_and_a_task_serve_the_version_of_their_request(self, steward: Steward) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)

        async def handle(kg: System) -> list[str]:
            with kg.request("rider"):
                steward.trip(v2)
                in_thread = await asyncio.to_thread(lambda: kg.slot().version)
                in_task = await asyncio.create_task(asyncio.to_thread(lambda: kg.slot().version))
                return [in_thread, in_task]

        with steward.system() as kg:
            everything_loaded(kg, 2)
            assert asyncio.run(handle(kg)) == [v2, v2]
            with ThreadPoolExecutor(1) as pool, kg.request("rider"):
                context = contextvars.copy_context()
                assert pool.submit(context.run, lambda: kg.slot().version).result() == v1

    @pytest.mark.requirement("A1")
    def test_no_thread_and_no_task_ever_sees_a_mixture_while_the_route_is_flipped(self, steward: Steward) -> None:
        chain = [steward.release(float(factor), surge=float(factor)) for factor in (3, 2, 1)]
        steward.accept(*chain)
        with steward.system() as kg:
            everything_loaded(kg, 3)
            riders = Riders(kg)
            threads = [threading.Thread(target=riders.ride_in_a_thread) for _ in range(3)]
            threads.append(threading.Thread(target=lambda: asyncio.run(riders.ride_in_tasks())))
            for thread in threads:
                thread.start()
            for generation in range(2, 30):
                steward.accept(*(chain if generation % 2 else chain[1:]))
                riders.served.clear()
                until(lambda: riders.served, "a request on the new generation")
                steward.word.join(generation, 1, FULL)
            riders.done = True
            for thread in threads:
                thread.join()
        assert riders.mixed == []

    @pytest.mark.requirement("N3")
    def test_a_canary_gets_its_share_of_the_people_and_keeps_them(self, steward: Steward) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1, split=1000)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            for _ in range(2):
                for number in range(1_000):
                    with kg.request(f"rider-{number}"):
                        pass
            until(lambda: steward.counts(v1).requests + steward.counts(v2).requests == 2_000, "counts")
        candidate = steward.counts(v2)
        assert candidate.requests == pytest.approx(200, abs=70)
        assert candidate.requests == 2 * distinct(candidate.subjects)

    def test_a_pin_from_inside_is_honoured_a_stale_one_told_and_a_strangers_passed_over(self, steward: Steward) -> None:
        v2, v1, gone = steward.release(2.0), steward.release(1.0), steward.release(3.0)
        steward.accept(gone)
        steward.accept(v2, v1)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            with kg.request("rider", pin=v1):
                assert kg.slot().version == v1
                assert kg.headers == {"baggage": f"kg.sv={v1}"}
            with kg.request("rider", pin="sha256:" + "0" * 64):
                assert kg.slot().version == v2
            with pytest.raises(ConflictError, match="stale pin"):
                kg.request("rider", pin=gone).__enter__()
        assert kg.headers == {}


class TestCounting:
    def test_an_output_comes_back_as_it_is_and_nonsense_is_counted_apart(self, steward: Steward) -> None:
        class Strange:
            def __float__(self) -> float:
                raise RuntimeError("no number today")

        version = steward.release(1.0)
        steward.accept(version)
        strange = Strange()
        nonsense: list[Any] = [math.nan, math.inf, -math.inf, None, "1.0", b"1", [1.0], {}, 101.0, -0.1, 10**400]
        with steward.system(outputs=(0.0, 100.0)) as kg:
            everything_loaded(kg, 1)
            for value in (0.0, 100.0, 7, True, *nonsense, strange):
                assert kg.observe(value) is value
            counts = until(lambda: (c := steward.counts(version)).nonsense and c, "counts")
            assert counts.predictions.n == 4
            assert counts.nonsense == len(nonsense)
            assert "no number today" in " ".join(kg.troubles)

    def test_a_program_may_keep_the_slot_in_its_own_hands(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        with steward.system(client_errors=(LookupError,)) as kg:
            everything_loaded(kg, 1)
            for error in (None, RuntimeError(), LookupError()):
                began = time.perf_counter_ns()
                kg.count(kg.pick("rider"), began, subject="rider", error=error)
        counts = steward.counts(version)
        assert (counts.requests, counts.errors, counts.client_errors, len(counts.subjects)) == (3, 1, 1, 1)
        assert counts.latencies.n == 3

    def test_an_infinity_is_nonsense_in_any_range(self, steward: Steward) -> None:
        with steward.system() as kg:
            kg.start(wait_seconds=10)
            kg.observe(math.inf)
            kg.observe(-1e308)
            counts = until(lambda: (c := steward.counts("")).nonsense and c, "counts")
        assert (counts.nonsense, counts.predictions.n) == (1, 1)

    @pytest.mark.requirement("C5")
    def test_an_outcome_goes_to_the_version_that_its_header_named_and_to_no_invented_one(
        self, steward: Steward
    ) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            kg.outcome("rides")
            kg.outcome("rides", 2.0, version=v1)
            kg.outcome("rides", 3.0, version="static-fallback")
            kg.outcome("rides", version="sha256:" + "0" * 64)
            assert "was not counted" in " ".join(kg.troubles)
            kg.outcome("rides", math.nan, version=v1)
            kg.outcome("rides", "many", version=v1)  # type: ignore[arg-type]
            until(lambda: steward.counts("").outcomes, "counts")
        assert [steward.counts(v).outcomes["rides"].total for v in (v2, v1, "")] == [1.0, 2.0, 3.0]
        assert steward.counts("sha256:" + "0" * 64).outcomes == {}

    @pytest.mark.requirement("L4m")
    def test_counts_are_exact_under_threads_and_complete_after_the_close(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)

        def serve(kg: System, name: int) -> None:
            for number in range(500):
                with kg.request(f"{name}-{number}") as priced:
                    kg.observe(priced.price(1.0))

        with steward.system() as kg:
            everything_loaded(kg, 1)
            threads = [threading.Thread(target=serve, args=(kg, name)) for name in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        counts = steward.counts(version)
        assert (counts.requests, counts.predictions.n, counts.predictions.total) == (2_000, 2_000, 2_000.0)
        assert distinct(counts.subjects) == pytest.approx(2_000, rel=0.25)


class TestTroubles:
    """What goes wrong beside the requests stays beside them."""

    def test_a_disk_that_refuses_fails_no_request_and_is_reported(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        steward.folder.counts.rmdir()
        steward.folder.counts.write_text("a file in the way")
        with steward.system() as kg:
            everything_loaded(kg, 1)
            with kg.request("rider") as priced:
                assert priced.price(2.0) == 2.0
            until(lambda: "counts" in " ".join(kg.troubles), "the trouble")
            until(lambda: any("counts" in " ".join(r.warnings) for r in steward.reports.values()), "the report")
            steward.folder.counts.unlink()
            steward.folder.counts.mkdir()
            until(lambda: steward.counts(version).requests == 1, "the counts, once the disk is well")
            assert kg.troubles == ()

    def test_a_working_folder_that_is_none_is_an_error_at_the_start_and_counting_fails_no_request(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        kg = system(tmp_path / "file")
        with pytest.raises(PermanentError, match="file"):
            kg.start()
        assert kg.observe(1.0) == 1.0
        kg.outcome("rides")

    def test_a_replica_folder_that_cannot_be_made_leaves_an_honest_error_and_is_made_once_it_can_be(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "systems").write_text("in the way")
        kg = system(tmp_path)
        kg.start()
        with pytest.raises(NotReadyError):
            kg.slot()
        assert "systems" in " ".join(kg.troubles)
        (tmp_path / "systems").unlink()
        until(lambda: kg.ready and Steward(tmp_path).reports, "the worker, once the folder is well")
        assert isinstance(kg.slot(), Fixed)
        kg.close()

    @pytest.mark.parametrize("garbage", [b"", b"x", b"x" * 8, b"x" * 100])
    def test_a_garbage_word_file_at_the_start_is_repaired(self, steward: Steward, garbage: bytes) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)
        steward.trip(v2)
        steward.folder.word_file.unlink()
        steward.folder.word_file.write_bytes(garbage)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            assert kg.slot().version == v1
            assert steward.folder.word().read() == (1, 1, FULL)

    def test_a_word_that_is_overwritten_while_it_serves_fails_no_request(self, steward: Steward) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)
        steward.trip(v2)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            for word in (0, 1, 2**64 - 1, pack(1, 0, FULL), pack(99, 0, FULL)):
                steward.word.cell[0] = word
                assert kg.slot().version == v1

    def test_a_word_file_that_is_removed_while_it_serves_is_found_again(self, steward: Steward) -> None:
        v2, v1 = steward.release(2.0), steward.release(1.0)
        steward.accept(v2, v1)
        with steward.system() as kg:
            everything_loaded(kg, 2)
            steward.folder.word_file.unlink()
            word = steward.folder.word()
            until(lambda: word.read() == (1, 0, FULL), "the worker on the new file")
            word.join(1, 1, FULL)
            assert kg.slot().version == v1

    def test_a_replica_folder_that_is_removed_while_it_serves_is_made_again(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        with steward.system() as kg:
            everything_loaded(kg, 1)
            until(lambda: steward.reports, "the report")
            steward.folder.path.rename(steward.directory / "gone")
            until(lambda: [r for r in steward.reports.values() if version in r.ready], "the worker shows itself again")
            assert kg.slot().version == version
            until(lambda: steward.folder.word().read() == (1, 0, FULL), "the word")

    def test_a_static_fallback_that_raises_is_reported_and_no_version_is_harmed(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        kg = system(steward.directory)
        kg.fallback(lambda: 1 / 0)
        kg.start()
        everything_loaded(kg, 1)
        assert kg.slot().version == version
        assert "ZeroDivisionError" in " ".join(kg.troubles)
        kg.close()


class TestLife:
    def test_a_worker_shows_itself_while_it_lives_and_takes_leave(self, steward: Steward) -> None:
        with steward.system():
            (name,) = until(lambda: steward.reports, "the report")
            assert hold(steward.folder.worker_lock(name)) is None
        assert steward.reports == {}
        assert list(steward.folder.workers.iterdir()) == []
        assert [path.stem for path in steward.folder.counts.iterdir()] == [name]

    def test_nothing_starts_before_it_is_asked(self, steward: Steward) -> None:
        kg = system(steward.directory)
        assert not kg.ready
        assert kg.troubles == ()
        assert steward.reports == {}
        kg.close()

    def test_the_first_request_starts_it(self, steward: Steward) -> None:
        kg = system(steward.directory)
        assert isinstance(kg.slot(), Fixed)
        kg.close()

    def test_it_can_be_started_again(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        kg = system(steward.directory)
        before = threading.active_count()
        for _ in range(2):
            assert kg.start(wait_seconds=10)
            assert kg.slot().version == version
            kg.close()
        assert threading.active_count() <= before, "no thread of a first life lives on"

    def test_a_program_that_ends_leaves_its_last_counts(self, steward: Steward) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        program = (
            "import sys, pathlib; from tests.sdk.serving.steward import system\n"
            "kg = system(pathlib.Path(sys.argv[1])); assert kg.start(wait_seconds=20)\n"
            "with kg.request('rider'): pass\n"
        )
        root = Path(__file__).parents[3]
        subprocess.run([sys.executable, "-c", program, str(steward.directory)], cwd=root, check=True, timeout=60)
        assert steward.counts(version).requests == 1
        assert list(steward.folder.workers.iterdir()) == []

    def test_a_child_that_was_forked_serves_with_the_slots_of_its_parent_as_a_worker_of_its_own(
        self, steward: Steward
    ) -> None:
        version = steward.release(1.0)
        steward.accept(version)
        with steward.system() as kg:
            everything_loaded(kg, 1)
            (parent,) = until(lambda: steward.reports, "the report")
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    with kg.request("rider") as priced:
                        served = priced.version
                    until(lambda: len(steward.reports) == 2, "two workers")
                    kg.close()
                    os.write(write, served.encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            assert os.read(read, 100).decode() == version
            os.close(read)
            os.close(write)
            assert list(steward.reports) == [parent]
            assert kg.slot().version == version
        assert steward.counts(version).requests == 1
