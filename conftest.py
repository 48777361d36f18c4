"""The environment of the tests: one of the two databases, and settings of their own.

`TEST_DATABASE=sqlite` (the default) or `postgresql`; `make test` runs both. With `REQUIRE_SERVICES=1` a missing
PostgreSQL fails the run instead of skipping it.
"""

import atexit
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

import django
import pytest

from tests import statements
from tests.postgresql import Cluster, PostgreSQLMissing


def _database_url(database: str) -> str:
    if database == "sqlite":
        return "sqlite:///:memory:"
    if database != "postgresql":
        pytest.exit(f"TEST_DATABASE: {database!r} is neither sqlite nor postgresql", returncode=1)
    try:
        cluster = Cluster()
    except PostgreSQLMissing as missing:
        required = os.environ.get("REQUIRE_SERVICES") == "1"
        pytest.exit(f"NOT TESTED on PostgreSQL: {missing}", returncode=int(required))
    atexit.register(cluster.stop)
    return cluster.url


if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers of pytest-xdist inherit what their parent prepared
    for variable in re.findall(r"^#? ?(\w+)=", Path(__file__).with_name(".env.example").read_text(), re.MULTILINE):
        os.environ.pop(variable, None)
    os.environ |= {
        "ENV_FILE": "",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": _database_url(os.environ.get("TEST_DATABASE", "sqlite")),
        "STATEMENTS": tempfile.mkdtemp(prefix="statements-"),
    }
    atexit.register(shutil.rmtree, os.environ["STATEMENTS"])
django.setup()  # before any test module is imported, as it imports models
if os.environ["DATABASE_URL"].startswith("postgresql"):
    statements.record(Path(os.environ["STATEMENTS"]))
