"""Every public class, function and method is documented, in the layout of numpydoc."""

import importlib
import inspect
import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import skotae
import skotae.base
from skotae.autoencoders.bases.fitted import ModelPart

MODULES = [
    "skotae",
    *(
        f"skotae.{name}"
        for name in (
            "base",
            "callbacks",
            "costs",
            "datasets",
            "displays",
            "divergences",
            "exceptions",
            "metrics",
            "networks",
            "onnx",
            "priors",
            "testing",
            "transport",
        )
    ),
]
SECTIONS = (
    "Parameters",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Warns",
    "See Also",
    "Notes",
    "References",
    "Examples",
)


def sections_of(doc):
    """Sections of a docstring, by title, in order; the summary under ''."""
    lines = inspect.cleandoc(doc).splitlines()
    sections, title = {"": []}, ""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"} and len(below) == len(line):
            title = line
            sections[title] = []
        elif not (set(line) == {"-"} and len(line) > 2):
            sections[title].append(line)
    return sections


def groups_of(lines):
    """(names, type, description) of each entry of a section, in order."""
    groups = []
    for line in lines:
        if line and not line[0].isspace():
            names, _, kind = line.partition(" : ")
            groups.append([[name.strip().lstrip("*") for name in names.split(",")], kind, ""])
        elif line.strip() and groups:
            groups[-1][2] += line
    return groups


def names_of(lines):
    return [name for names, *_ in groups_of(lines) for name in names]


def public_objects():
    seen = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            if (inspect.isclass(value) or inspect.isfunction(value)) and (
                value.__module__.startswith("skotae")
            ):
                seen.setdefault(value, f"{module_name}.{name}")
    return [pytest.param(value, id=name) for value, name in seen.items()]


def public_methods():
    for param in public_objects():
        cls = param.values[0]
        if not inspect.isclass(cls):
            continue
        for name, member in inspect.getmembers(cls, inspect.isfunction):
            own = member.__module__.startswith("skotae")
            if own and (not name.startswith("_") or name == "__call__"):
                yield pytest.param(cls, name, id=f"{param.id}.{name}")


OBJECTS = public_objects()
ESTIMATORS = [getattr(skotae, name) for name in skotae.__all__ if name[0].isupper()]
ESTIMATORS = [cls for cls in ESTIMATORS if issubclass(cls, BaseEstimator)]


def arguments_of(function):
    names = [
        name for name, parameter in inspect.signature(function).parameters.items() if name != "self"
    ]
    return names


def check_parameters(doc, expected, what):
    groups = groups_of(sections_of(doc).get("Parameters", []))
    names = [name for group, *_ in groups for name in group]
    assert sorted(names) == sorted(expected), (
        f"{what} documents {sorted(set(names) - set(expected))} without need, and not "
        f"{sorted(set(expected) - set(names))}"
    )
    # In the order of the signature, but for entries that describe several parameters.
    places = [min(expected.index(name) for name in group) for group, *_ in groups]
    assert places == sorted(places), f"{what} documents its parameters in another order: {names}"
    for group, kind, text in groups:
        # X and y need no description beyond their shapes, references to elsewhere no type.
        assert kind or "As for" in text, f"{what}: parameter {group[0]} has no type"
        assert text or "shape" in kind or kind == "Ignored", (
            f"{what}: parameter {group[0]} has no description"
        )


def check_layout(doc, what):
    sections = sections_of(doc)
    lines = inspect.cleandoc(doc).splitlines()
    assert lines[0].strip(), f"{what} has no summary"
    assert len(lines) == 1 or not lines[1].strip(), f"{what}: the summary is longer than a line"
    assert lines[0].rstrip().endswith((".", ":")), f"{what}: the summary has no full stop"
    titles = [title for title in sections if title]
    assert set(titles) <= set(SECTIONS), f"{what} has unknown sections {titles}"
    order = [SECTIONS.index(title) for title in titles]
    assert order == sorted(order), f"{what} has its sections in the order {titles}"
    assert not re.search(r"\{\w+\}", lines[0]), f"{what} has an unfilled place"


@pytest.mark.parametrize("value", OBJECTS)
def test_classes_and_functions(value):
    doc, what = value.__doc__, value.__name__
    assert doc, f"{what} has no docstring"
    check_layout(doc, what)
    if inspect.isclass(value) and issubclass(value, (BaseEstimator, Exception)):
        own = value.__init__ is not object.__init__ and inspect.isfunction(value.__init__)
        check_parameters(doc, arguments_of(value.__init__) if own else [], what)
    elif inspect.isclass(value):
        documented = [
            name
            for section in ("Parameters", "Attributes")
            for name in names_of(sections_of(doc).get(section, []))
        ]
        expected = arguments_of(value.__init__) if value.__init__ is not object.__init__ else []
        assert set(expected) <= set(documented), f"{what} documents {documented}, not {expected}"
    else:
        check_parameters(doc, arguments_of(value), what)
        returned = inspect.signature(value).return_annotation
        if returned not in (None, "None", inspect.Signature.empty):
            assert {"Returns", "Yields"} & sections_of(doc).keys(), f"{what} has no Returns"


@pytest.mark.parametrize("value", OBJECTS)
def test_examples(value):
    # The pages on adding an autoencoder and a divergence are the examples of the bases.
    abstract = inspect.isclass(value) and value.__name__ in skotae.base.__all__
    plain = inspect.isclass(value) and not issubclass(value, BaseEstimator)
    if abstract or plain:
        return
    examples = sections_of(value.__doc__).get("Examples", [])
    assert any(">>>" in line for line in examples), f"{value.__name__} has no Examples"


@pytest.mark.parametrize("cls, name", [*public_methods()])
def test_methods(cls, name):
    what = f"{cls.__name__}.{name}"
    doc = inspect.getdoc(getattr(cls, name))
    assert doc, f"{what} has no docstring"
    check_layout(doc, what)
    sections = sections_of(doc)
    if "Parameters" in sections or cls in ESTIMATORS:
        check_parameters(doc, arguments_of(getattr(cls, name)), what)
    if cls in ESTIMATORS and not name.startswith("set_"):
        assert "Returns" in sections, f"{what} has no section Returns"


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_attributes(cls):
    """The fitted attributes are those that are documented."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.RandomState(0).uniform(size=(20, 3)), columns=["a", "b", "c"])
    params = {"n_mixtures": 2} if "n_mixtures" in arguments_of(cls.__init__) else {}
    model = cls(max_iter=1, hidden_layer_sizes=(4,), **params).fit(X)
    groups = groups_of(sections_of(cls.__doc__)["Attributes"])
    # As scikit-learn's own test wants it, one entry each.
    assert all(len(names) == 1 for names, *_ in groups)
    documented = {name for names, *_ in groups for name in names}
    for name in documented:
        assert hasattr(model, name), f"{cls.__name__} documents {name}, which is not there"
    views = {name for name, part in inspect.getmembers(cls) if isinstance(part, ModelPart)}
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    fitted |= {name for name in views if hasattr(model, name)}
    assert fitted <= documented, f"{cls.__name__} does not document {sorted(fitted - documented)}"
