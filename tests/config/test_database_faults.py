"""A database that is away, frozen, full, locked or closed to writers, under a service that is at work.

What is held to: 503 within five seconds and not a 500, everything answered again within five seconds of the return
without a restart of the service, nothing lost that was acknowledged, nothing there that was not.
"""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from django.conf import settings

from config.postgresql import WatchfulConnection
from tests.outages import (
    BOUND,
    CannotMount,
    Doors,
    filled,
    open_to_others,
    small_disk,
    tables_on,
    wait_until,
    writing,
)
from tests.postgresql import Cluster
from tests.service import ROOT, Service, free_port, serving

IS_POSTGRESQL = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name <> 'greedy' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
on_postgresql = pytest.mark.skipif(not IS_POSTGRESQL, reason="a fault of PostgreSQL")
on_sqlite = pytest.mark.skipif(IS_POSTGRESQL, reason="a fault of SQLite")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Durable, over TCP as where it has a machine of its own, and with few connections to give away."""
    port = free_port()
    cluster = Cluster(durable=True, options=f"-c listen_addresses=127.0.0.1 -c port={port} -c max_connections=20")
    cluster.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def service(cluster: Cluster) -> Iterator[Service]:
    """One for all faults: it is never restarted."""
    with serving(DATABASE_URL=cluster.url) as service:
        yield service


@pytest.fixture(scope="module")
def doors(service: Service) -> Doors:
    return opened(service)


def opened(service: Service) -> Doors:
    doors = Doors(service, service.create_account())
    doors.assert_answered(doors.writes)  # what is read must be there
    doors.assert_answered(doors.every)
    return doors


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A small disk of its own; an ordinary folder where nothing can be mounted."""
    # Not among the temporary folders of pytest, which can't remove one where something is mounted.
    with TemporaryDirectory(prefix="disk-") as name, ExitStack() as stack:
        with suppress(CannotMount):
            stack.enter_context(small_disk(Path(name), "192m"))
        yield Path(name)


@pytest.fixture
def disk(folder: Path) -> Path:
    if not folder.is_mount():
        pytest.skip("NOT TESTED: a small disk can't be mounted here")
    return folder


def assert_away(doors: Doors) -> None:
    """No door is answered, three times over, and with more callers than the service has threads."""
    for _ in range(3):
        doors.assert_unavailable(doors.every * 2)
    assert (doors.status("/health/live"), doors.status("/health/ready")) == (200, 503)


def assert_back(doors: Doors) -> None:
    doors.assert_answered_soon(doors.every)
    assert (doors.status("/health/live"), doors.status("/health/ready")) == (200, 200)


@contextmanager
def stopped(cluster: Cluster, mode: str) -> Iterator[None]:
    cluster.shut_down(mode)
    try:
        yield
    finally:
        cluster.start()


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    cluster.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        cluster.send_signal(signal.SIGCONT)


# Away


@on_postgresql
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_and_started(cluster: Cluster, service: Service, doors: Doors, mode: str) -> None:
    with writing(service):
        with stopped(cluster, mode):
            assert_away(doors)
        assert_back(doors)


@on_postgresql
def test_a_server_that_is_restarted_while_nobody_asks_is_answered_for_at_once(cluster: Cluster, doors: Doors) -> None:
    doors.assert_answered(doors.every * 2)  # every thread has a connection to lose
    with stopped(cluster, "immediate"):
        pass
    doors.assert_answered(doors.every)


@on_postgresql
def test_a_server_that_is_away_for_longer_is_noticed_as_soon(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        with stopped(cluster, "fast"):
            time.sleep(10)  # delays that double are longer than the bound by then
            assert_away(doors)
        assert_back(doors)


@on_postgresql
def test_a_server_that_is_frozen(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        with frozen(cluster):
            assert_away(doors)
        assert_back(doors)


@on_postgresql
def test_a_server_with_no_connection_left(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        with ExitStack() as greedy:
            administrator = greedy.enter_context(psycopg.connect(cluster.url, autocommit=True))
            in_vain = 0
            while in_vain < 3:  # the service is quick to connect again, and whom it is taken from may let go later
                found = take_connections(greedy, cluster), administrator.execute(END_OTHERS).fetchall()
                in_vain = 0 if any(found) else in_vain + 1
                time.sleep(0.05 * in_vain)
            assert_away(doors)
        assert_back(doors)


def take_connections(greedy: ExitStack, cluster: Cluster) -> list[psycopg.Connection]:
    """As many as there are."""
    taken = []
    with suppress(psycopg.OperationalError):
        while True:
            taken.append(greedy.enter_context(psycopg.connect(cluster.url, application_name="greedy")))
    return taken


@on_postgresql
def test_rollups_go_on_being_built_after_a_restart(cluster: Cluster, service: Service) -> None:
    command = [sys.executable, "manage.py", "rollup", "--every", "0.2"]
    with subprocess.Popen(command, cwd=ROOT, env=service.environment, stderr=subprocess.DEVNULL) as builder:
        try:
            for _ in range(2):
                doors = Doors(service, service.create_account())
                doors.assert_answered([doors.new_batch()])
                wait_until(partial(is_closed, cluster, doors.account.device_id), 20)
                with stopped(cluster, "fast"):
                    time.sleep(0.5)
            assert builder.poll() is None
        finally:
            builder.kill()


def is_closed(cluster: Cluster, device_id: int) -> bool:
    with psycopg.connect(cluster.url) as connection:
        found = connection.execute("SELECT 1 FROM devices_devicestate WHERE device_id = %s", [device_id])
        return found.fetchone() is not None


# Refusing


@on_postgresql
def test_a_lock_that_is_held_for_too_long(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service, 1):
        with psycopg.connect(cluster.url) as other:
            other.execute("LOCK TABLE devices_reading IN ACCESS EXCLUSIVE MODE")
            doors.assert_unavailable(doors.about_readings, at_once=3)
            assert doors.status("/health/ready") == 200
        assert_back(doors)


@on_postgresql
def test_a_server_that_is_read_only(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        with read_only(cluster):
            doors.assert_unavailable(doors.writes)
            doors.assert_answered(doors.reads)
        assert_back(doors)


@contextmanager
def read_only(cluster: Cluster) -> Iterator[None]:
    with psycopg.connect(cluster.url, autocommit=True) as administrator:
        administrator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        administrator.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)  # until all have heard of it
        try:
            yield
        finally:
            administrator.execute("ALTER SYSTEM RESET default_transaction_read_only")
            administrator.execute("SELECT pg_reload_conf()")


@on_postgresql
def test_a_disk_that_is_full(cluster: Cluster, service: Service, doors: Doors, disk: Path) -> None:
    with tables_on(disk, cluster), writing(service):
        with filled(disk):
            wait_until(lambda: doors.statuses([doors.new_batch()]) == {503})
            doors.assert_unavailable([doors.new_batch() for _ in range(5)])
            doors.assert_answered(doors.reads)
        assert_back(doors)


@on_postgresql
def test_a_disk_that_is_full_for_the_log(cluster: Cluster, service: Service, doors: Doors, disk: Path) -> None:
    """The server gives up with a PANIC, again and again until there is room: now it answers, now it does not."""
    with log_on(disk, cluster), writing(service):
        with filled(disk):
            wait_until(lambda: is_worn_down(cluster))
            assert doors.statuses(doors.every * 2) <= {200, 201, 302, 503}
        with suppress(subprocess.CalledProcessError):  # it is up already
            cluster.start()
        assert_back(doors)


@contextmanager
def log_on(disk: Path, cluster: Cluster) -> Iterator[None]:
    """The write-ahead log on a disk of its own."""
    log, moved = cluster.directory / "data" / "pg_wal", disk / "pg_wal"
    open_to_others(disk)
    cluster.shut_down("fast")
    subprocess.run(["mv", log, moved], check=True)
    log.symlink_to(moved)
    cluster.start()
    try:
        yield
    finally:
        cluster.shut_down("fast")
        log.unlink()
        subprocess.run(["mv", moved, log], check=True)
        cluster.start()


def is_worn_down(cluster: Cluster) -> bool:
    """Use up what room the log has. True when the server could not take it."""
    try:
        with psycopg.connect(cluster.url, autocommit=True, connect_timeout=2) as administrator:
            for _ in range(20):
                administrator.execute("CREATE TEMP TABLE IF NOT EXISTS something AS SELECT 1")
                administrator.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
    except psycopg.OperationalError:
        return True
    return False


# A connection by itself


@on_postgresql
def test_a_statement_of_a_server_that_freezes_meanwhile_is_broken_off(cluster: Cluster) -> None:
    with WatchfulConnection.connect(cluster.url) as connection:
        connection.execute("SELECT 1")
        begin = time.monotonic()
        with frozen(cluster), pytest.raises(psycopg.OperationalError, match="stopped answering"):
            connection.execute("SELECT 1")
        assert time.monotonic() - begin < BOUND
        assert connection.closed


@on_postgresql
def test_a_long_statement_of_a_server_that_answers_is_not_broken_off(cluster: Cluster) -> None:
    with WatchfulConnection.connect(cluster.url) as connection:
        assert connection.execute("SELECT 7, pg_sleep(6)").fetchone() == (7, "")


# SQLite


@pytest.fixture(scope="module")
def sqlite_service(folder: Path) -> Iterator[Service]:
    with serving(DATABASE_URL=f"sqlite:///{folder}/db.sqlite3") as service:
        yield service


@pytest.fixture(scope="module")
def sqlite_doors(sqlite_service: Service) -> Doors:
    return opened(sqlite_service)


@on_sqlite
def test_an_sqlite_file_that_another_process_writes_for_too_long(
    sqlite_service: Service, sqlite_doors: Doors, folder: Path
) -> None:
    with writing(sqlite_service, 1):
        with closing(sqlite3.connect(folder / "db.sqlite3")) as other:
            other.execute("BEGIN IMMEDIATE")
            sqlite_doors.assert_unavailable(sqlite_doors.writes, at_once=3)
            sqlite_doors.assert_answered(sqlite_doors.reads)
        assert_back(sqlite_doors)


@on_sqlite
def test_an_sqlite_file_on_a_disk_that_is_full(sqlite_service: Service, sqlite_doors: Doors, disk: Path) -> None:
    with writing(sqlite_service):
        with filled(disk):
            wait_until(lambda: sqlite_doors.statuses([sqlite_doors.new_batch()]) == {503})
            sqlite_doors.assert_unavailable([sqlite_doors.new_batch() for _ in range(3)])
            assert sqlite_doors.statuses(sqlite_doors.reads) <= {200, 503}
        assert_back(sqlite_doors)


@on_sqlite
def test_an_sqlite_file_that_is_read_only(sqlite_service: Service, sqlite_doors: Doors, disk: Path) -> None:
    with writing(sqlite_service):
        with closed_to_writers(disk):
            sqlite_doors.assert_unavailable(sqlite_doors.writes)
            assert sqlite_doors.statuses(sqlite_doors.reads) <= {200, 503}
        assert_back(sqlite_doors)


@contextmanager
def closed_to_writers(disk: Path) -> Iterator[None]:
    """Whoever opens a file from now on can only read it."""
    with TemporaryDirectory(prefix="read-only-") as place:
        subprocess.run(["mount", "--bind", disk, place], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        subprocess.run(["mount", "--bind", place, disk], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", disk, place], check=True)
