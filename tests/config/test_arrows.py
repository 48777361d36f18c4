"""Imports run along the arrows config -> analytics -> devices -> users only, and the check would tell."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORT_LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=directory,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code, which a test may spoil."""
    for package in IMPORT_LINTER["root_packages"]:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_runs_along_the_arrows() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_the_arrows_leave_no_app_out() -> None:
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert {*apps, "config", "loadtest"} == set(IMPORT_LINTER["root_packages"])
    assert {*apps, "config"} == set(IMPORT_LINTER["contracts"][0]["layers"])


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("users/models.py", "devices.models"),
        ("users/models.py", "config.problems"),
        ("devices/models.py", "analytics.summaries"),
        ("analytics/summaries.py", "config.settings"),
        ("loadtest/locustfile.py", "devices.models"),
    ],
)
def test_an_import_against_the_arrows_is_found(checkout: Path, module: str, imported: str) -> None:
    with (checkout / module).open("a") as file:
        file.write(f"\n\ndef spoil() -> None:\n    import {imported}\n")
    result = lint_imports(checkout)
    assert result.returncode == 1, result.stdout
    assert f"{module.removesuffix('.py').replace('/', '.')} -> {imported}" in result.stdout
