"""What importing the package does, in an interpreter of its own."""

import json
import pkgutil
import random
import subprocess
import sys

import pytest

import skotae

SUBMODULES = sorted(
    module.name for module in pkgutil.walk_packages(skotae.__path__, prefix="skotae.")
)


def run(code):
    result = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:skotae", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# The package's own __init__ imports nearly everything in one order; an empty stand-in for
# it lets the submodules be imported in any.
STAND_IN = """
import importlib, sys, types
package = types.ModuleType("skotae")
package.__path__ = {path!r}
sys.modules["skotae"] = package
for name in {names!r}:
    importlib.import_module(name)
"""


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_submodules_import_in_any_order(seed):
    assert "skotae.autoencoders._wae" in SUBMODULES
    names = random.Random(seed).sample(SUBMODULES, len(SUBMODULES))
    run(STAND_IN.format(path=[*skotae.__path__], names=names))


HEAVY = ["matplotlib", "pandas", "polars", "pytest", "hypothesis", "skotae.testing"]


@pytest.fixture(scope="module")
def imported():
    """What an import of the package has changed, beside torch and scikit-learn."""
    found = run(
        "import json, sys, torch, sklearn.base\n"
        "def settings():\n"
        "    state = torch.get_rng_state().tolist()\n"
        "    return state, torch.get_default_dtype(), torch.get_num_threads()\n"
        "before, modules = settings(), set(sys.modules)\n"
        "import skotae\n"
        f"heavy = [name for name in {HEAVY!r} if name in set(sys.modules) - modules]\n"
        "same = settings() == before\n"
        "print(json.dumps([heavy, same]))"
    )
    return dict(zip(("heavy", "same"), json.loads(found), strict=True))


def test_import_is_light(imported):
    """Nothing heavy beside torch and scikit-learn, which imports pandas where it is installed."""
    assert imported["heavy"] == []


def test_works_without_optional_packages():
    absent = ["matplotlib", "pandas", "polars", "pytest", "hypothesis", "rich"]
    run(
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Others(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        f"        absent = name.split('.')[0] in {absent!r}\n"
        "        return None if absent else super().find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Others\n"
        "import numpy, skotae, skotae.testing\n"
        "X = numpy.random.RandomState(0).uniform(size=(20, 3))\n"
        "for name in skotae.__all__:\n"
        "    if name in ('WAEEstimator', 'CoupledVAE'):\n"
        "        model = getattr(skotae, name)(max_iter=1, n_components=2).fit(X)\n"
        "        assert model.sample(2).shape == (2, 3)\n"
    )


def test_import_leaves_torch_alone(imported):
    assert imported["same"]


def test_fit_imports_no_compiler():
    """It would cost a second, and 70 MB, of the first fit of a process."""
    run(
        "import warnings\n"
        "import numpy, skotae, sys\n"
        "X = numpy.random.RandomState(0).uniform(size=(20, 3))\n"
        "warnings.simplefilter('ignore')\n"
        "for name in skotae.__all__:\n"
        "    if hasattr(getattr(skotae, name), 'partial_fit'):\n"
        "        getattr(skotae, name)(max_iter=1, n_components=2, random_state=0).fit(X)\n"
        "        found = {'torch._dynamo', 'sympy'} & set(sys.modules)\n"
        "        assert not found, (name, found)\n"
    )


def test_all_is_there():
    for name in skotae.__all__:
        assert hasattr(skotae, name), f"skotae.__all__ lists {name}, which is not there"
