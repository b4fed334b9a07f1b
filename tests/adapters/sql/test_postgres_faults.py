"""A server that dies, freezes or never answers: nobody waits longer than two seconds, and all are told the truth."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Event
from time import monotonic

import pytest
from sqlalchemy import text

from knowngood.adapters.sql import SqlExchange, SqlLeases, SqlStore, open_database
from knowngood.adapters.sql.patient import SilentError, resolved
from knowngood.domain.ledger import verify
from knowngood.testing.contracts.exchange import Heard, rising
from knowngood.testing.contracts.store import AT, SYSTEM, noted, one_more
from knowngood_sdk.errors import InvalidError, OutcomeUnknownError, PermanentError, TransientError
from tests.postgres import OwnServer, Server
from tests.stalling import Proxy, in_front_of

COMMIT = b"COMMIT\0"  # with its end: a transaction may begin as READ COMMITTED
LONGEST = 2.0
SLACK = 0.6  # what a busy machine adds: threads that wait for a processor


@pytest.fixture
def url(own_postgres: OwnServer) -> Iterator[str]:
    with own_postgres.store() as url:
        begin(url)
        yield url


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Proxy]:
    with postgres.store() as url:
        begin(url)
        with in_front_of(url) as proxy:
            yield proxy


def begin(url: str) -> None:
    with SqlStore.open(url) as store, store.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})


def changed(store: SqlStore, then: Callable[[], None] = lambda: None) -> int:
    """Change the store, and do something just before the commit."""
    with store.change(SYSTEM) as change:
        number = one_more(change)
        then()
    return number


@contextmanager
def in_time() -> Iterator[None]:
    began = monotonic()
    yield
    assert monotonic() - began < LONGEST + SLACK


def test_a_server_that_is_killed_in_a_change_leaves_nothing_of_it(own_postgres: OwnServer, url: str) -> None:
    with SqlStore.open(url) as store:
        changed(store)

        def change_across_a_kill() -> None:
            with store.change(SYSTEM) as change:
                one_more(change)
                own_postgres.kill()
                change.append("said", "Ada", AT, {})

        with in_time(), pytest.raises(TransientError, match="cannot be reached; nothing was changed"):
            change_across_a_kill()
        with in_time(), pytest.raises(TransientError, match="cannot be reached"):
            store.head(SYSTEM)
        own_postgres.start()
        assert store.head(SYSTEM).length == 1
        assert changed(store) == 2, "the connections from before are replaced without anybody noticing"


def test_a_server_that_is_killed_in_a_commit_leaves_its_outcome_unknown(own_postgres: OwnServer, url: str) -> None:
    with SqlStore.open(url) as store:
        with in_time(), pytest.raises(OutcomeUnknownError, match=r"lost while a change was committed.*kg history"):
            changed(store, own_postgres.kill)
        own_postgres.start()
        entries = store.ledger(SYSTEM)
        assert len(entries) in {0, 1}
        assert verify(entries).ok
        assert changed(store) == len(entries) + 1


def test_what_was_committed_survives_a_kill_of_the_server(own_postgres: OwnServer, url: str) -> None:
    with SqlStore.open(url) as store:
        for number in range(1, 4):
            assert changed(store) == number
            own_postgres.kill()
            own_postgres.start()
        assert verify(store.ledger(SYSTEM)).checked.length == 3


def test_a_commit_whose_answer_is_lost_may_have_been_done(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store:
        with pytest.raises(OutcomeUnknownError, match="Look at what is on record"):
            changed(store, lambda: proxy.cut_after(COMMIT))
        # The server has the word to commit; when it has done so nobody was told.
        deadline = monotonic() + 10
        while store.head(SYSTEM).length != 1:
            assert monotonic() < deadline


def test_what_may_be_done_twice_is_to_be_done_again_when_its_answer_is_lost(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store:
        exchange, leases = SqlExchange(store.database), SqlLeases(store.database)
        acts: list[Callable[[], object]] = [
            lambda: exchange.change_route(SYSTEM, rising),
            lambda: leases.claim("worker:1", "a", timedelta(minutes=1)),
            lambda: leases.release("worker:1", "a"),
        ]
        for act in acts:
            proxy.cut_after(COMMIT)
            with pytest.raises(TransientError, match="doing it twice does no harm"):
                act()
            act()


def test_a_read_whose_end_is_lost_is_to_be_done_again(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store:
        proxy.cut_after(COMMIT)
        with pytest.raises(TransientError, match="cannot be reached"):
            store.head(SYSTEM)
        assert store.head(SYSTEM).length == 0


def test_a_server_that_is_frozen_holds_nobody_for_longer_than_two_seconds(own_postgres: OwnServer, url: str) -> None:
    with SqlStore.open(url) as store:
        store.head(SYSTEM)
        own_postgres.signal(signal.SIGSTOP)
        try:
            for act in (lambda: store.head(SYSTEM), lambda: changed(store), lambda: SqlStore.open(url)):
                with in_time(), pytest.raises(TransientError, match=r"does not answer|cannot be reached"):
                    act()
        finally:
            own_postgres.signal(signal.SIGCONT)
        assert changed(store) == 1


def test_a_server_that_accepts_and_never_answers_cannot_be_opened(proxy: Proxy) -> None:
    proxy.stall()
    with in_time(), pytest.raises(TransientError, match=r"cannot be reached|does not answer"):
        SqlStore.open(proxy.url)


def test_a_server_that_falls_silent_holds_nobody_for_longer_than_two_seconds(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store:
        leases, exchange = SqlLeases(store.database), SqlExchange(store.database)
        acts: list[Callable[[], object]] = [
            lambda: store.head(SYSTEM),
            lambda: changed(store),
            lambda: leases.claim("worker:1", "a", timedelta(minutes=1)),
            lambda: exchange.route(SYSTEM),
            lambda: exchange.change_route(SYSTEM, rising),
        ]
        for act in acts:
            act()
        proxy.stall()
        for act in acts:
            with in_time(), pytest.raises(TransientError, match=r"Look whether the server runs"):
                act()
        proxy.go_on()
        for act in acts:
            act()


def test_many_who_ask_a_silent_server_at_once_are_all_told_in_time(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store, ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda _: store.head(SYSTEM), range(24)))
        proxy.stall()

        def ask(_: int) -> float:
            began = monotonic()
            with pytest.raises(TransientError):
                store.head(SYSTEM)
            return monotonic() - began

        assert max(pool.map(ask, range(24))) < LONGEST + SLACK, "waiting for a connection that others have counts"
        proxy.go_on()


def test_a_server_that_falls_silent_in_a_change_leaves_nothing_of_it(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store:

        def change_across_silence() -> None:
            with store.change(SYSTEM) as change:
                one_more(change)
                proxy.stall()
                change.append("said", "Ada", AT, {})

        with in_time(), pytest.raises(TransientError, match="does not answer; nothing was changed"):
            change_across_silence()
        proxy.go_on()
        assert changed(store) == 1


def test_a_server_that_falls_silent_in_a_commit_leaves_its_outcome_unknown(proxy: Proxy) -> None:
    with SqlStore.open(proxy.url) as store:
        with in_time(), pytest.raises(OutcomeUnknownError, match="no answer came in time"):
            changed(store, proxy.stall)
        proxy.go_on()
        assert store.head(SYSTEM).length in {0, 1}


def test_a_host_on_which_nothing_listens_is_told_at_once() -> None:
    began = monotonic()
    with pytest.raises(TransientError, match=r"postgresql://127.0.0.1:1/kg cannot be reached"):
        SqlStore.open("postgresql://ada:secret@127.0.0.1:1/kg")
    assert monotonic() - began < 1


def test_a_password_is_never_told() -> None:
    with pytest.raises(TransientError) as caught:
        SqlStore.open("postgresql://ada:secret@127.0.0.1:1/kg")
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_exist_is_for_a_person(postgres: Server) -> None:
    with pytest.raises(PermanentError, match=r"cannot be opened by this user.*createdb"):
        SqlStore.open(postgres.address("no_such_database"))


@pytest.mark.parametrize("address", ["postgresql://host/kg?no_such_option=1", "mysql://host/kg"])
def test_an_address_that_cannot_be_read_says_what_one_looks_like(address: str) -> None:
    with pytest.raises(InvalidError, match="postgresql://USER@HOST/DATABASE"):
        SqlStore.open(address)


def test_a_change_in_which_nothing_happens_for_long_gives_way_to_others(postgres_url: str) -> None:
    begin(postgres_url)
    with SqlStore.open(postgres_url) as frozen, SqlStore.open(postgres_url) as other:
        inside, woken = Event(), Event()

        def freeze() -> None:
            inside.set()
            woken.wait(60)

        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(changed, frozen, freeze)
            inside.wait(60)
            with in_time(), pytest.raises(TransientError, match="is locked"):
                changed(other)
            until = monotonic() + 20
            while other.head(SYSTEM).length == 0 and monotonic() < until:
                try:
                    changed(other)
                except TransientError:
                    continue
            assert other.head(SYSTEM).length == 1
            woken.set()
            with pytest.raises((TransientError, OutcomeUnknownError)):
                late.result(60)
        assert frozen.head(SYSTEM).length == 1


def test_changes_of_two_systems_do_not_wait_for_each_other(postgres_url: str) -> None:
    begin(postgres_url)
    with SqlStore.open(postgres_url, patience=timedelta(milliseconds=100)) as store, store.change(SYSTEM):
        with store.change("fraud") as change:
            change.save_system({"system": "fraud"})
        with pytest.raises(TransientError, match="is locked"):
            changed(store)


def test_what_a_server_does_not_take_is_refused_by_name(postgres_url: str) -> None:
    begin(postgres_url)
    with SqlStore.open(postgres_url) as store:

        def write_a_nul() -> None:
            with store.change(SYSTEM) as change:
                change.append("said", "Ada\0", AT, {})

        with pytest.raises(InvalidError, match="NUL"):
            write_a_nul()


def test_numbers_are_kept_as_large_as_json_carries_them(postgres_url: str) -> None:
    begin(postgres_url)
    largest = 2**53 - 1
    with SqlStore.open(postgres_url) as store:
        with store.change(SYSTEM) as change:
            change.save(replace(change.state, episodes={"v": largest}))
            noted(change)
        assert store.read(SYSTEM).episodes == {"v": largest}


def test_whoever_listens_hears_again_after_the_server_was_away(own_postgres: OwnServer, url: str) -> None:
    mine, theirs = open_database(url), open_database(url)
    heard = Heard()
    with SqlExchange(theirs).listening(heard):
        SqlExchange(mine).change_route(SYSTEM, rising)
        heard.of(SYSTEM)
        heard.forget()
        own_postgres.kill()
        own_postgres.start()
        SqlExchange(mine).change_route(SYSTEM, rising)
        heard.of(SYSTEM)
    mine.close()
    theirs.close()


def test_whoever_begins_to_listen_while_the_server_is_away_hears_later(own_postgres: OwnServer, url: str) -> None:
    database = open_database(url)
    SqlExchange(database).change_route(SYSTEM, rising)
    own_postgres.kill()
    heard = Heard()
    with SqlExchange(database).listening(heard):
        own_postgres.start()
        heard.of(SYSTEM)
    database.close()


def test_a_read_sees_one_moment(postgres_url: str) -> None:
    begin(postgres_url)
    with SqlStore.open(postgres_url) as store, store.database.reading() as connection:
        count = text("SELECT count(*) FROM ledger")
        assert connection.execute(count).scalar_one() == 0
        changed(store)
        assert connection.execute(count).scalar_one() == 0


def test_a_host_whose_name_nobody_resolves_holds_nobody_for_longer_than_two_seconds() -> None:
    over = Event()

    def never(*_: object, **__: object) -> list[object]:
        over.wait(30)
        return []

    with in_time(), pytest.raises(SilentError, match=r"the name db.internal was not resolved in time"):
        resolved("db.internal", 5432, look=never)
    over.set()


def test_a_host_that_is_named_is_reached_by_its_addresses() -> None:
    # ``localhost`` is one on most machines; nothing listens there.
    with in_time(), pytest.raises(TransientError, match=r"cannot be reached"):
        SqlStore.open("postgresql://kg@localhost:1/kg")
