"""What the environment makes of the settings, tried in processes of their own with nothing else in theirs."""

import ast
import importlib.util
import json
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from config.environment import read_environment

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
KEY = secrets.token_urlsafe(50)
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
SHOW_SETTINGS = """
import json
from config.wsgi import application
from django.conf import settings
from django.db import connection

def pragma(name):
    return connection.cursor().execute(f"PRAGMA {name}").fetchone()[0]

print(json.dumps({
    "engine": settings.DATABASES["default"]["ENGINE"],
    "database": str(settings.DATABASES["default"]["NAME"]),
    "journal_mode": pragma("journal_mode"),
    "synchronous": pragma("synchronous"),
    "transaction_mode": connection.transaction_mode,
    "debug": settings.DEBUG,
    "open_registration": settings.OPEN_REGISTRATION,
}))
"""


def run(command: str, directory: Path = ROOT, /, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment with these variables and no others, and no `.env`."""
    program, *arguments = command.split()
    return subprocess.run(
        [BIN / program, *arguments],
        cwd=directory,
        env={"PATH": str(BIN), "ENV_FILE": "", **variables},
        check=False,
        capture_output=True,
        text=True,
    )


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a program did not start."""
    assert result.returncode != 0
    (line,) = (result.stdout + result.stderr).splitlines()
    assert line.startswith("Refused to start: ")
    return line


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the service, whose default database can be opened."""
    copy = tmp_path_factory.mktemp("checkout")
    for package in {"config", *(path.parent.name for path in ROOT.glob("*/apps.py"))}:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "show_settings.py").write_text(SHOW_SETTINGS)
    return copy


@pytest.fixture(scope="module")
def defaults(checkout: Path) -> dict[str, Any]:
    """The settings with nothing in the environment but the key."""
    result = run("python show_settings.py", checkout, SECRET_KEY=KEY)
    assert result.returncode == 0, result.stderr
    return {"checkout": checkout, **json.loads(result.stdout)}


# What is refused


def test_without_a_secret_key_it_refuses_to_start_in_one_line() -> None:
    assert "SECRET_KEY" in refusal(run("python manage.py check"))


def test_every_wrong_variable_is_named_at_once() -> None:
    line = refusal(run("python manage.py check", SECRET_KEY="short", PORT="http", LOG_LEVEL="loud", DEBUG="?"))
    assert re.findall(r"(?:start|;)[:]? (\w+):", line) == ["DEBUG", "LOG_LEVEL", "PORT", "SECRET_KEY"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "k" * 49),
        ("DEBUG", "flase"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("HTTPS_ONLY", "maybe"),
        ("DATABASE_URL", "mysql://user@host/name"),
        ("DATABASE_URL", "nonsense"),
        ("REPLICA_DATABASE_URL", "nonsense"),
        ("REPLICA_DATABASE_URL", "postgresql://user@host/name"),  # of an SQLite file there is none
        ("CITUS", "perhaps"),
        ("DATABASE_POOL_SIZE", "0"),
        ("OPEN_REGISTRATION", "2"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("TRUSTED_PROXIES", "-1"),
        ("FAILURE_LIMIT", "0"),
        ("FAILURE_LIMIT_PER_ADDRESS", "many"),
        ("CACHE_URL", "memcached://host:11211"),
        ("BROKER_URL", "localhost:6379"),
        ("ANALYSIS_RETENTION_DAYS", "-1"),
        ("READING_RETENTION_DAYS", "-1"),
        ("READING_RETENTION_DAYS", "36501"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str) -> None:
    line = refusal(run("python manage.py check", **{"SECRET_KEY": KEY, name: value}))
    assert line.startswith(f"Refused to start: {name}: ")


def test_the_refusal_does_not_show_the_password_of_the_database() -> None:
    assert "hunter2" not in refusal(
        run("python manage.py check", SECRET_KEY=KEY, DATABASE_URL="mysql://user:hunter2@host/name")
    )


def test_gunicorn_refuses_a_wrong_environment_in_one_line() -> None:
    assert "PORT" in refusal(run("gunicorn --check-config config.wsgi", SECRET_KEY=KEY, PORT="0"))


def test_a_worker_without_a_broker_refuses_to_start_in_one_line() -> None:
    result = run("celery -A config worker", SECRET_KEY=KEY, DATABASE_URL="sqlite:///:memory:")
    assert result.returncode != 0
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("Refused to start"))
    assert "BROKER_URL" in line


def test_gunicorn_takes_a_good_environment() -> None:
    result = run("gunicorn --check-config config.wsgi", SECRET_KEY=KEY, DATABASE_URL="sqlite:///:memory:")
    assert result.returncode == 0, result.stderr


# What is the default


def test_the_default_database_is_sqlite_in_the_data_folder(defaults: dict[str, Any]) -> None:
    assert defaults["engine"] == "django.db.backends.sqlite3"
    assert defaults["database"] == str(defaults["checkout"] / "data" / "db.sqlite3")


def test_readers_and_a_writer_work_side_by_side_on_sqlite(defaults: dict[str, Any]) -> None:
    assert defaults["journal_mode"] == "wal"


def test_a_commit_on_sqlite_is_durable(defaults: dict[str, Any]) -> None:
    assert defaults["synchronous"] == 2, "not FULL"


def test_a_writer_on_sqlite_waits_at_the_beginning(defaults: dict[str, Any]) -> None:
    assert defaults["transaction_mode"] == "IMMEDIATE"


def test_debug_is_off_by_default(defaults: dict[str, Any]) -> None:
    assert defaults["debug"] is False


def test_registration_is_closed_by_default(defaults: dict[str, Any]) -> None:
    assert defaults["open_registration"] is False


def test_only_this_machine_may_read_the_data_folder(defaults: dict[str, Any]) -> None:
    assert Path(defaults["database"]).parent.stat().st_mode & 0o077 == 0


def test_gunicorn_listens_to_this_machine_only_by_default() -> None:
    assert bind(SECRET_KEY=KEY) == "127.0.0.1:8000"


def test_the_process_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(f"SECRET_KEY={KEY}\nBIND=10.0.0.1\nPORT=7000\n")
    assert bind(ENV_FILE=str(file), PORT="9000") == "10.0.0.1:9000"


def bind(**variables: str) -> str:
    result = run("gunicorn --print-config config.wsgi", DATABASE_URL="sqlite:///:memory:", **variables)
    match = re.search(r"^bind +=\s*\['(.*)'\]$", result.stdout, re.MULTILINE)
    assert match, result.stdout + result.stderr
    return match[1]


@pytest.mark.django_db
@pytest.mark.parametrize(("setting", "value"), [("lock_timeout", "3s"), ("synchronous_commit", "on")])
def test_postgresql_waits_with_a_bound_and_commits_to_disk(setting: str, value: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a setting of PostgreSQL")
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        assert cursor.fetchone() == (value,)


# Deployment


def test_the_deployment_check_has_no_warning_for_a_public_host() -> None:
    result = run(
        "python manage.py check --deploy --fail-level WARNING",
        SECRET_KEY=KEY,
        ALLOWED_HOSTS="monitor.example.org",
        DATABASE_URL="sqlite:///:memory:",
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("allowed_hosts", "https_only"),
    [
        (None, False),
        ("localhost", False),
        ("localhost,127.0.0.1,[::1]", False),
        ("monitor.example.org", True),
        ("localhost,monitor.example.org", True),
        ("*", True),
    ],
)
def test_https_is_a_must_by_default_where_others_can_call(
    monkeypatch: pytest.MonkeyPatch, allowed_hosts: str | None, https_only: bool
) -> None:
    if allowed_hosts is not None:
        monkeypatch.setenv("ALLOWED_HOSTS", allowed_hosts)
    assert read_environment(ROOT, ROOT / "data").https_only is https_only


def test_https_can_be_turned_off_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "monitor.example.org")
    monkeypatch.setenv("HTTPS_ONLY", "false")
    assert read_environment(ROOT, ROOT / "data").https_only is False


@pytest.mark.parametrize(("path", "status"), [("/admin/login/", 301), ("/api/v1/nowhere/", 404), ("/health/live", 200)])
def test_pages_are_redirected_to_https_and_calls_are_not(path: str, status: int) -> None:
    with override_settings(SECURE_SSL_REDIRECT=True):
        assert Client().get(path).status_code == status


def test_origins_that_are_named_turn_cors_on() -> None:
    script = "from django.conf import settings; print(settings.MIDDLEWARE, settings.CORS_ALLOWED_ORIGINS)"
    result = run_django(script, CORS_ALLOWED_ORIGINS="https://a.example,https://b.example")
    assert "corsheaders.middleware.CorsMiddleware" in result.stdout
    assert "['https://a.example', 'https://b.example']" in result.stdout


def test_an_origin_without_scheme_is_refused() -> None:
    result = run("python manage.py check", SECRET_KEY=KEY, CORS_ALLOWED_ORIGINS="a.example")
    assert result.returncode != 0
    assert "a.example" in result.stderr


def test_the_counts_are_in_redis_where_it_is_named() -> None:
    script = "from django.core.cache import caches; print(type(caches['default']).__name__)"
    assert run_django(script, CACHE_URL="redis://127.0.0.1:1/0").stdout.strip() == "RedisCache"
    assert run_django(script).stdout.strip() == "LocMemCache"


def run_django(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import django; django.setup(); {script}"]
    common = {"ENV_FILE": "", "SECRET_KEY": KEY, "DATABASE_URL": "sqlite:///:memory:"}
    environment = common | {"DJANGO_SETTINGS_MODULE": "config.settings", **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


# The example


def test_the_example_names_every_variable_that_the_service_reads() -> None:
    of_the_service, _, _ = ENV_EXAMPLE.partition("Beside the service")
    assert variables_of(of_the_service) == variables_read()


def test_every_other_variable_of_the_example_is_read_by_somebody() -> None:
    gunicorn = importlib.util.find_spec("gunicorn.config")
    assert gunicorn
    ours = ("compose.yaml", "gunicorn.conf.py", "loadtest/locustfile.py")
    readers = [Path(str(gunicorn.origin)), *(ROOT / name for name in ours)]
    text = "\n".join(path.read_text() for path in readers)
    assert [name for name in variables_of(ENV_EXAMPLE) - variables_read() if name not in text] == []


def test_the_example_with_a_key_is_a_good_environment() -> None:
    result = run("python manage.py check", ENV_FILE=".env.example", SECRET_KEY=KEY)
    assert result.returncode == 0, result.stderr


def variables_of(example: str) -> set[str]:
    return set(re.findall(r"^#? ?(\w+)=", example, re.MULTILINE))


def variables_read() -> set[str]:
    """The first argument of each call of a method of `env` in config/environment.py."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse((ROOT / "config" / "environment.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
