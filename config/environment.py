"""What the settings read from the environment, with nonsense refused by name, all of it at once."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvValidationError, validate

THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
POSTGRESQL = "django.db.backends.postgresql"
ENGINES = {"django.db.backends.sqlite3", POSTGRESQL}
BROKERS = "redis://, rediss://, amqp:// or amqps://"
TOKEN = re.compile(r"([!-~]{32,})?$")  # or empty
BROKER = re.compile(r"((redis|amqp)s?://.+)?$")


@dataclass(frozen=True)
class Environment:
    """Typed values of the variables in `.env.example`."""

    secret_key: str
    debug: bool
    bind: str
    port: int
    allowed_hosts: list[str]
    csrf_trusted_origins: list[str]
    https_only: bool
    database: dict[str, Any]
    replica: dict[str, Any] | None
    citus: bool
    database_pool_size: int
    max_body_size: int
    max_batch_rows: int
    open_registration: bool
    log_level: str
    log_format: str
    trusted_proxies: int
    failure_limit: int
    failure_limit_per_address: int
    cache_url: str
    cors_allowed_origins: list[str]
    broker_url: str
    analysis_retention_days: int
    reading_retention_days: int
    metrics_token: str


def read_environment(base_dir: Path, data_dir: Path) -> Environment:
    """Read the process environment, and beneath it the file that `ENV_FILE` names (`.env`; empty: none).

    Raises ImproperlyConfigured with one line that names every wrong variable.
    """
    env = Env(eager=False)
    if env_file := env.str("ENV_FILE", ".env"):
        env.read_env(base_dir / env_file, recurse=False)
    debug = env.bool("DEBUG", False)
    allowed_hosts = env.list("ALLOWED_HOSTS", sorted(THIS_MACHINE))
    environment = Environment(
        secret_key=env.str("SECRET_KEY", validate=validate.Length(min=50)),
        debug=debug,
        bind=env.str("BIND", "127.0.0.1"),  # nothing is open to the world unless it is said
        port=env.int("PORT", 8000, validate=validate.Range(min=1, max=65535)),
        allowed_hosts=allowed_hosts,
        csrf_trusted_origins=env.list("CSRF_TRUSTED_ORIGINS", []),
        # Plain HTTP is for this machine alone: under another name, cookies and pages need TLS unless it is said.
        https_only=env.bool("HTTPS_ONLY", not set(allowed_hosts or ()) <= THIS_MACHINE),
        database=env.dj_db_url("DATABASE_URL", f"sqlite:///{data_dir / 'db.sqlite3'}"),
        replica=env.dj_db_url("REPLICA_DATABASE_URL") if env.str("REPLICA_DATABASE_URL", "") else None,
        citus=env.bool("CITUS", False),
        database_pool_size=env.int("DATABASE_POOL_SIZE", 8, validate=validate.Range(min=1, max=1000)),
        max_body_size=env.int("MAX_BODY_SIZE", 16 * 1024 * 1024, validate=validate.Range(min=1024)),
        max_batch_rows=env.int("MAX_BATCH_ROWS", 100_000, validate=validate.Range(min=1)),
        open_registration=env.bool("OPEN_REGISTRATION", False),
        log_level=env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])),
        log_format=env.str("LOG_FORMAT", "text" if debug else "json", validate=validate.OneOf(["json", "text"])),
        trusted_proxies=env.int("TRUSTED_PROXIES", 0, validate=validate.Range(min=0, max=10)),
        failure_limit=env.int("FAILURE_LIMIT", 10, validate=validate.Range(min=1)),
        failure_limit_per_address=env.int("FAILURE_LIMIT_PER_ADDRESS", 1000, validate=validate.Range(min=1)),
        cache_url=env.str("CACHE_URL", "", validate=validate.Regexp("(rediss?://.+)?$")),
        cors_allowed_origins=env.list("CORS_ALLOWED_ORIGINS", []),
        broker_url=env.str("BROKER_URL", "", validate=validate.Regexp(BROKER, error=f"must begin with {BROKERS}")),
        analysis_retention_days=env.int("ANALYSIS_RETENTION_DAYS", 90, validate=validate.Range(min=0, max=36_500)),
        reading_retention_days=env.int("READING_RETENTION_DAYS", 0, validate=validate.Range(min=0, max=36_500)),
        metrics_token=env.str("METRICS_TOKEN", "", validate=validate.Regexp(TOKEN, error="must have 32 characters")),
    )
    try:
        env.seal()
    except EnvValidationError as error:
        raise ImproperlyConfigured(_one_line(error.error_messages)) from None
    if environment.database["ENGINE"] not in ENGINES:
        raise ImproperlyConfigured("DATABASE_URL: must begin with postgresql:// or sqlite:///")
    if environment.replica and {environment.replica["ENGINE"], environment.database["ENGINE"]} != {POSTGRESQL}:
        raise ImproperlyConfigured("REPLICA_DATABASE_URL: must begin with postgresql://, and DATABASE_URL too")
    return environment


def _one_line(errors: Any) -> str:
    return "; ".join(f"{name}: {' '.join(messages)}" for name, messages in sorted(errors.items()))
