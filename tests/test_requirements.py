"""What pyproject.toml asks for is what the lists of tested versions hold."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Built for the CPU, of which older versions were not at hand.
NOT_AT_HAND = {"torch"}


def asked(requirements):
    """Least version, by name."""
    pairs = (re.fullmatch(r"([\w-]+)>=([\d.]+)", text) for text in requirements)
    return {pair[1].lower(): pair[2] for pair in pairs}


def listed(name):
    found = re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / name).read_text(), re.MULTILINE)
    return {package.lower(): version for package, version in found}


def parts(version):
    """Without the zeros at its end, so that 2.0 is 2.0.0."""
    return tuple(int(part) for part in re.sub(r"(\.0)+$", "", version).split("."))


def test_the_oldest_list_holds_the_lower_bounds():
    least = asked([*PROJECT["dependencies"], *EXTRAS["test"]])
    oldest = listed("constraints-oldest.txt")
    assert oldest.keys() == least.keys()
    differ = {name for name in least if parts(least[name]) != parts(oldest[name])}
    assert differ == NOT_AT_HAND


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_the_tested_versions_are_in_range(extra):
    tested = listed("constraints.txt")
    for name, least in asked(PROJECT["dependencies"] if extra is None else EXTRAS[extra]).items():
        assert parts(tested[name]) >= parts(least)
