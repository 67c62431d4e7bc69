"""The pins and the ranges agree, on every Python that the project supports."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import gmsdi_jax

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = [Requirement(line) for line in LINES if line and not line.startswith("#")]


def applies(requirement: Requirement, python: str) -> bool:
    """Whether a requirement counts on this version of Python."""
    marker = requirement.marker
    return marker is None or marker.evaluate({"python_version": python, "extra": ""})


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_dependency_has_one_pin_inside_its_range(python: str) -> None:
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["demo"], *extras["dev"]]:
        wanted = Requirement(line)
        pins = [
            pin
            for pin in PINS
            if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
            and applies(pin, python)
        ]
        assert len(pins) == 1, f"{line}: {len(pins)} pins on Python {python}"
        (exact,) = pins[0].specifier
        assert exact.operator == "=="
        assert wanted.specifier.contains(Version(exact.version)), f"{pins[0]} is outside {line}"


def test_pins_name_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)


def test_the_changelog_knows_this_version() -> None:
    assert gmsdi_jax.__version__ in (ROOT / "CHANGELOG.md").read_text()
