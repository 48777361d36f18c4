"""Every package that is asked for by name is accounted for, and nothing else is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def asked_for() -> set[str]:
    lines = [line for list in (ROOT / "requirements").glob("*.in") for line in list.read_text().splitlines()]
    return {name[0] for line in lines if (name := re.match(r"[a-z][a-z0-9-]*", line))}


def accounted_for() -> dict[str, list[str]]:
    """The cells after the name, by name."""
    rows = re.findall(r"^\| ([a-z][a-z0-9-]*) \| (.*) \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M)
    return {name: cells.split(" | ") for name, cells in rows if name != "package"}


def versions_pinned() -> dict[str, str]:
    locks = "".join(path.read_text() for path in (ROOT / "requirements").glob("*.txt"))
    return dict(re.findall(r"^([a-z][a-z0-9-]*)==(\S+)", locks, re.M))


def test_each_dependency_has_its_line_and_each_line_its_dependency() -> None:
    assert set(accounted_for()) == asked_for()


def test_each_line_names_purpose_licence_version_with_date_and_what_it_was_chosen_over() -> None:
    for name, cells in accounted_for().items():
        _, _, release, _ = cells
        assert all(cells), name
        assert re.match(r"\S+, 20\d\d-\d\d", release), name


def test_the_versions_are_those_that_are_pinned() -> None:
    pinned = versions_pinned()
    told = {name: cells[2].partition(",")[0] for name, cells in accounted_for().items()}
    assert told == {name: pinned[name] for name in told}
