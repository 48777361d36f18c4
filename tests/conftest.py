"""The fixed cast: alice owns, bob is a stranger, staff looks after; and their devices."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_django
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.cache import caches
from django.test import Client, override_settings
from rest_framework.test import APIClient

from devices.models import Device
from tests import partitioned, statements
from tests.helpers import client_of
from tests.partitioned import PARTITIONED
from users import failures
from users.models import User

NOT_LISTED = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What all workers have sent to PostgreSQL is held to the list of what may concern several devices.

    What is listed and was not sent is a fault too, where everything was run, and went well.
    """
    config = session.config
    if hasattr(config, "workerinput"):
        return
    sent = statements.recorded(Path(os.environ["STATEMENTS"]))
    faults = list(statements.faults(sent))
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
    if sent and is_whole and session.exitstatus == pytest.ExitCode.OK:
        faults += [f"Listed, and not sent any more: {text}" for text in statements.no_longer_sent(sent)]
    config.stash[NOT_LISTED] = faults
    if faults:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many hostile requests were sent, over all workers, and how many that were made from the document."""
    reports = [report for kind in ("passed", "xfailed", "failed") for report in terminalreporter.stats.get(kind, [])]
    properties = [text for report in reports for text in getattr(report, "user_properties", [])]
    if number := sum(value for name, value in properties if name == "hostile_requests"):
        terminalreporter.write_line(f"{number} hostile requests were sent")
    if number := sum(value for name, value in properties if name == "schemathesis_requests"):
        seconds = sum(value for name, value in properties if name == "schemathesis_seconds")
        terminalreporter.write_line(f"{number} requests made from the document were sent, in {seconds:.0f} s of CPU")
    if faults := terminalreporter.config.stash.get(NOT_LISTED, []):
        terminalreporter.section("statements about several devices, see tests/statements.toml", red=True)
        terminalreporter.write_line("\n\n".join(faults))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SQLite in a file, as in real life: a database in memory has neither WAL nor locks."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database.setdefault("TEST", {})["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> None:
    if PARTITIONED:
        with django_db_blocker.unblock():
            partitioned.turn_over()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """A good hash takes a fifth of a second for each account of the cast."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def no_failures_yet() -> None:
    """What went wrong in one test does not count in the next."""
    caches["process"].clear()
    failures._good.clear()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password="alice-9-secret")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password="bob-9-secret")


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("staff", password="staff-9-secret", is_staff=True)


@pytest.fixture
def superuser(db: None) -> User:
    return User.objects.create_superuser("root", password="root-9-secret")


@pytest.fixture
def device(alice: User) -> Device:
    return Device.objects.create(owner=alice, name="Pump 1")


@pytest.fixture
def other_device(alice: User) -> Device:
    return Device.objects.create(owner=alice, name="Pump 2")


@pytest.fixture
def api(alice: User) -> APIClient:
    """Alice, with her token."""
    return client_of(alice)


@pytest.fixture
def office(superuser: User) -> Client:
    """A browser in which the superuser has signed in. Content types, which a process looks up once, are known."""
    ContentType.objects.get_for_models(*apps.get_models())
    client = Client()
    client.force_login(superuser)
    return client
