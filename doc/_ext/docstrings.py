"""What docstrings need before they are reStructuredText, and index entries of parameters."""

import inspect
import re

TRAILING_UNDERSCORE = re.compile(r"(?<=\w)_(?=[,)])")


def prepare(app, what, name, obj, options, lines):
    for i, line in enumerate(lines):
        # `ndarray of shape (n, n_components_)`: an attribute, not a link to a target.
        if "of shape (" in line:
            lines[i] = TRAILING_UNDERSCORE.sub(r"\\_", line)
    # Methods inherited from scikit-learn keep their first sentence only: the rest points
    # into scikit-learn's own documentation, by labels that do not exist here.
    if what == "method" and (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        end = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
        lines[:] = [*lines[:end], "", "Inherited from scikit-learn.", ""]


def index_parameters(app, what, name, obj, options, lines):
    """An index entry of each parameter, so that a search for one finds what has it."""
    if what not in ("class", "function") or not name.startswith("skotae."):
        return
    parameters = [
        each.name
        for each in inspect.signature(obj).parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if not parameters:
        return
    # After the first paragraph, which tables of names take as the summary.
    starts = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    ends = next((i for i in range(starts, len(lines)) if not lines[i].strip()), len(lines))
    entries = [f"   single: {parameter}; {name}" for parameter in parameters]
    lines[ends:ends] = ["", ".. index::", *entries, ""]


def setup(app):
    # Before numpydoc, which has the default priority of 500, and after it.
    app.connect("autodoc-process-docstring", prepare, priority=100)
    app.connect("autodoc-process-docstring", index_parameters, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
