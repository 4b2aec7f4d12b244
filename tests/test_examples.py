"""What can be said of the gallery's examples without running them; the documentation runs them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))

pytestmark = pytest.mark.skipif(not EXAMPLES, reason="examples are not beside the tests")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_claims_are_asserted_and_nothing_is_private(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    names = [
        name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", ""), *(alias.name for alias in node.names)]
    ]
    private = [name for name in names if any(part.startswith("_") for part in name.split("."))]
    assert not private
    attributes = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert not [name for name in attributes if re.match("_[^_]", name)]


def test_links_lead_to_examples():
    pages = [
        *(ROOT / "doc").glob("*.rst"),
        *(ROOT / "doc" / "user_guide").rglob("*.rst"),
        ROOT / "README.rst",
    ]
    found = set()
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found |= set(re.findall(r"/auto_examples/([\w/]*plot_\w+)`", text))
        found |= set(re.findall(r"/auto_examples/([\w/]*plot_\w+)>", text))
    there = {str(path.relative_to(ROOT / "examples").with_suffix("")) for path in EXAMPLES}
    assert found <= there, f"links to examples that are not there: {found - there}"
    assert len(found) > 10


def test_sections_have_a_header_and_a_place():
    conf = (ROOT / "doc" / "conf.py").read_text(encoding="utf-8")
    for folder in {path.parent for path in EXAMPLES}:
        assert (folder / "GALLERY_HEADER.rst").is_file()
        assert f'"{folder.name}"' in conf
