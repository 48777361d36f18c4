"""The container image, the Compose file and the load scenario, as far as they can be held to it without containers."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.test_settings import variables_of

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
EXAMPLE = variables_of((ROOT / ".env.example").read_text())
# Of a service that runs by itself: a container has one place for each.
ON_ONE_MACHINE = {"BIND", "DEBUG", "ENV_FILE", "LOADTEST_KEEP", "LOADTEST_SUMMARY", "PROMETHEUS_MULTIPROC_DIR"}
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
LOCUSTFILE = (ROOT / "loadtest" / "locustfile.py").read_text()
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
SECRET_NAME = re.compile("SECRET|PASSWORD|TOKEN|KEY")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def apps() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/apps.py")}


def environment_of(service: dict[str, Any]) -> dict[str, str | None]:
    variables: dict[str, str | None] = service.get("environment", {})
    return variables


def stage_of_dockerfile(name: str) -> str:
    stages = re.split(r"^(?=FROM )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (stage,) = [stage for stage in stages if stage.partition("\n")[0].endswith(f" AS {name}")]
    return stage


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    result = run("hadolint", "Dockerfile")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("stage", ["runtime", "loadtest"])
def test_no_image_runs_as_root(stage: str) -> None:
    users = re.findall(r"^USER (\S+)$", stage_of_dockerfile(stage), re.MULTILINE)
    assert users, "no USER: root"
    assert users[-1] not in {"0", "root"}


def test_the_image_checks_its_own_health() -> None:
    assert re.search(r"^HEALTHCHECK .*\n? .*/health/live", stage_of_dockerfile("runtime"), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(apps() | {"config", "manage.py", "gunicorn.conf.py"}))
def test_the_image_gets_what_the_service_is_made_of(name: str) -> None:
    assert (ROOT / name).exists()
    assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_nothing_enters_the_image_unnamed() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert not [rule for rule in rules if rule.startswith(("!.", "!data", "!*"))]


def test_the_compose_file_follows_the_compose_specification() -> None:
    result = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert result.returncode == 0, result.stdout


def test_every_variable_of_the_compose_file_is_in_the_example() -> None:
    passed_on = {
        name for service in SERVICES.values() for name, value in environment_of(service).items() if value is None
    }
    assert set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) | passed_on <= EXAMPLE


def test_every_setting_of_the_example_reaches_the_containers() -> None:
    named = {name for service in SERVICES.values() for name in environment_of(service)}
    assert EXAMPLE - named - set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) == ON_ONE_MACHINE


def test_every_service_has_an_image_to_run() -> None:
    assert [name for name, service in SERVICES.items() if not {"image", "build"} & service.keys()] == []


def test_web_waits_for_a_healthy_database_and_finished_migrations() -> None:
    assert SERVICES["web"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }


def test_migrations_wait_for_a_healthy_database() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}


def test_web_and_migrate_run_the_same_build_with_the_same_environment() -> None:
    web, migrate = SERVICES["web"], SERVICES["migrate"]
    assert (web["build"], web["environment"]) == (migrate["build"], migrate["environment"])


def test_the_database_says_whether_it_is_healthy() -> None:
    assert "pg_isready" in SERVICES["db"]["healthcheck"]["test"]


def test_the_database_outlives_its_container() -> None:
    (volume,) = SERVICES["db"]["volumes"]
    assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_every_published_port_is_of_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", ["web", "db", "broker", "worker"])
def test_what_is_behind_the_proxy_is_not_published(name: str) -> None:
    assert "ports" not in SERVICES[name]


def test_the_worker_runs_the_same_build_with_the_same_environment_as_web() -> None:
    web, worker = SERVICES["web"], SERVICES["worker"]
    assert (web["build"], web["environment"]) == (worker["build"], worker["environment"])
    assert worker["command"] == ["celery", "-A", "config", "worker", "-B"]
    assert worker["restart"] == "unless-stopped"  # it ends when its clock has died


def test_nothing_waits_for_the_broker() -> None:
    assert [name for name, service in SERVICES.items() if "broker" in service.get("depends_on", {})] == []


def test_the_service_and_its_worker_find_the_broker() -> None:
    assert environment_of(SERVICES["web"])["BROKER_URL"] == "redis://broker:6379/0"


def test_locust_runs_only_on_request() -> None:
    assert SERVICES["locust"]["profiles"] == ["loadtest"]


def test_locust_publishes_its_page() -> None:
    assert SERVICES["locust"]["ports"] == ["127.0.0.1:8089:8089"]


def test_locust_calls_the_proxy_by_a_name_that_is_allowed() -> None:
    assert environment_of(SERVICES["locust"])["LOCUST_HOST"] == "http://proxy:8080"
    assert "proxy" in str(environment_of(SERVICES["web"])["ALLOWED_HOSTS"]).split(",")


def test_locust_waits_for_a_healthy_proxy() -> None:
    assert SERVICES["locust"]["depends_on"] == {"proxy": {"condition": "service_healthy"}}


def test_the_proxy_waits_for_a_healthy_web_and_starts_anew_with_it() -> None:
    assert SERVICES["proxy"]["depends_on"] == {"web": {"condition": "service_healthy", "restart": True}}


def test_the_proxy_has_the_shipped_configuration_which_knows_web_and_its_port() -> None:
    assert SERVICES["proxy"]["volumes"] == ["./deploy/nginx.conf:/etc/nginx/nginx.conf:ro"]
    assert re.search(r"^\s+server web:8000 ", NGINX, re.MULTILINE)
    assert "PORT=8000" in stage_of_dockerfile("runtime")


def test_the_proxy_publishes_the_port_that_it_listens_on() -> None:
    (port,) = SERVICES["proxy"]["ports"]
    assert re.findall(r"^\s+listen (\d+) ", NGINX, re.MULTILINE) == [port.rsplit(":", 1)[1]]


def test_the_proxy_takes_bodies_as_large_as_the_service_does() -> None:
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert f"\nMAX_BODY_SIZE={int(megabytes) * 2**20}\n" in (ROOT / ".env.example").read_text()


def test_a_copy_of_the_example_does_not_undo_that_there_is_a_proxy() -> None:
    assert environment_of(SERVICES["web"])["TRUSTED_PROXIES"] == "${TRUSTED_PROXIES:-1}"
    set_there = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert not {"TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"} & set(set_there)


def test_web_is_given_longer_to_stop_than_its_requests_are() -> None:
    assert int(SERVICES["web"]["stop_grace_period"].rstrip("s")) > 30  # gunicorn's graceful_timeout


def test_every_service_that_serves_says_whether_it_is_healthy() -> None:
    own = {"web": "of its image", "migrate": "ends", "worker": "serves nothing", "locust": "for people"}
    without = {name for name, service in SERVICES.items() if "test" not in service.get("healthcheck", {})}
    assert without == set(own)


def test_every_named_volume_is_declared_and_used() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == set(COMPOSE["volumes"])


def test_everything_that_is_waited_for_exists() -> None:
    waited_for = {name for service in SERVICES.values() for name in service.get("depends_on", {})}
    assert waited_for <= SERVICES.keys()


def test_no_secret_is_written_in_the_compose_file() -> None:
    secrets = {
        (service_name, name): value
        for service_name, service in SERVICES.items()
        for name, value in environment_of(service).items()
        if value is not None and SECRET_NAME.search(name)
    }
    assert secrets, "nothing was looked at"
    assert {where: value for where, value in secrets.items() if not re.fullmatch(r"\$\{\w+:\?[^}]*\}", value)} == {}


def test_no_url_of_the_compose_file_holds_a_password() -> None:
    assert re.findall(r"://[^/\s@]*:[^/\s@]*@", COMPOSE_TEXT) == []


def test_the_load_scenario_compiles() -> None:
    compile(LOCUSTFILE, "locustfile.py", "exec")


def test_the_load_scenario_imports_nothing_of_ours() -> None:
    imported = set()
    for node in ast.walk(ast.parse(LOCUSTFILE)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            imported.add(str(node.module).partition(".")[0])
    assert not imported & (apps() | {"config", "tests"})
