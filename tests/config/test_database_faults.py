"""A database that is away, frozen, full, locked or closed to writers, under a service that is at work.

What is held to: 503 within five seconds and not a 500, everything answered again within five seconds of the return
without a restart of the service, nothing lost that was acknowledged, nothing there that was not.
"""

import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.outages import Doors, _wait, filled, small_disk, writing
from tests.postgresql import Cluster
from tests.service import Service, _free_port, serving

IS_POSTGRESQL = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
on_postgresql = pytest.mark.skipif(not IS_POSTGRESQL, reason="a fault of PostgreSQL")
on_sqlite = pytest.mark.skipif(IS_POSTGRESQL, reason="a fault of SQLite")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Durable, over TCP as where it has a machine of its own, and with few connections to give away."""
    port = _free_port()
    cluster = Cluster(durable=True, options=f"-c listen_addresses=127.0.0.1 -c port={port} -c max_connections=20")
    cluster.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    yield cluster
    with suppress(subprocess.CalledProcessError):
        cluster.stop()


@pytest.fixture(scope="module")
def service(cluster: Cluster) -> Iterator[Service]:
    """One for all faults: it is never restarted."""
    with serving(DATABASE_URL=cluster.url) as service:
        yield service


@pytest.fixture(scope="module")
def doors(service: Service) -> Doors:
    doors = Doors(service, service.create_account())
    doors.assert_answered(doors.writes)
    doors.assert_answered(doors.every)
    return doors


def assert_away(doors: Doors) -> None:
    """No door is answered, three times over, and with more callers than the service has threads."""
    for _ in range(3):
        doors.assert_unavailable(doors.every * 2)
    assert (doors.status("/health/live"), doors.status("/health/ready")) == (200, 503)


def assert_back(doors: Doors) -> None:
    doors.assert_answered_soon(doors.every)
    assert (doors.status("/health/live"), doors.status("/health/ready")) == (200, 200)


# Away


@on_postgresql
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_and_started(cluster: Cluster, service: Service, doors: Doors, mode: str) -> None:
    with writing(service):
        cluster.shut_down(mode)
        assert_away(doors)
        cluster.start()
        assert_back(doors)


@on_postgresql
def test_a_server_that_is_restarted_while_nobody_asks(cluster: Cluster, doors: Doors) -> None:
    cluster.shut_down("immediate")
    cluster.start()
    assert_back(doors)


@on_postgresql
def test_a_server_that_is_away_for_longer_is_noticed_as_soon(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        cluster.shut_down("fast")
        time.sleep(10)  # long enough for delays that double to be longer than the bound
        assert_away(doors)
        cluster.start()
        assert_back(doors)


@on_postgresql
def test_a_server_that_is_frozen(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        cluster.send_signal(signal.SIGSTOP)
        try:
            assert_away(doors)
        finally:
            cluster.send_signal(signal.SIGCONT)
        assert_back(doors)


@on_postgresql
def test_a_server_with_no_connection_left(cluster: Cluster, service: Service, doors: Doors) -> None:
    with writing(service):
        with ExitStack() as greedy:
            administrator = greedy.enter_context(psycopg.connect(cluster.url, autocommit=True))
            with suppress(psycopg.OperationalError):
                while True:
                    take_connections(greedy, cluster)
                    administrator.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name <> 'greedy' "
                        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
                    )
                    if not take_connections(greedy, cluster):
                        break
            assert_away(doors)
        assert_back(doors)


def take_connections(greedy: ExitStack, cluster: Cluster) -> int:
    """As many as there are."""
    taken = 0
    with suppress(psycopg.OperationalError):
        while True:
            greedy.enter_context(psycopg.connect(cluster.url, application_name="greedy"))
            taken += 1
    return taken


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
def test_a_disk_that_is_full(cluster: Cluster, service: Service, doors: Doors, tmp_path: Path) -> None:
    with small_disk(tmp_path, "32m") as disk, tables_on(disk, cluster), writing(service):
        with filled(disk):
            _wait(lambda: doors.writes[1].ask(service).status == 503)
            doors.assert_unavailable([doors.writes[1]] * 5)
            doors.assert_answered(doors.reads)
        assert_back(doors)


@contextmanager
def tables_on(disk: Path, cluster: Cluster) -> Iterator[None]:
    """The readings on a disk of their own."""
    for folder in (disk, *disk.parents[:-2]):
        folder.chmod(0o755)
    if cluster.user:
        shutil.chown(disk, cluster.user)
    with psycopg.connect(cluster.url, autocommit=True) as administrator:
        administrator.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        for kind, name in (("TABLE", "devices_reading"), ("INDEX", "devices_reading_pkey")):
            administrator.execute(f"ALTER {kind} {name} SET TABLESPACE small")
        yield
        for kind, name in (("TABLE", "devices_reading"), ("INDEX", "devices_reading_pkey")):
            administrator.execute(f"ALTER {kind} {name} SET TABLESPACE pg_default")
        administrator.execute("DROP TABLESPACE small")
