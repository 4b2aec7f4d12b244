"""What the pages at the root of the repository point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"`?`((?:\w+/)*[\w.-]+\.(?:py|rst|md|txt|cff))`?`|image:: (\S+)")


@pytest.mark.parametrize("page", ["README.rst", "CONTRIBUTING.rst"])
def test_files_that_are_named_are_there(page):
    named = [a or b for a, b in FILE.findall((ROOT / page).read_text(encoding="utf-8"))]
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, f"{page} names {missing}"


def test_the_picture_is_small():
    picture = ROOT / "doc" / "_static" / "quickstart.png"
    assert f"image:: {picture.relative_to(ROOT).as_posix()}" in (ROOT / "README.rst").read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= 60_000
