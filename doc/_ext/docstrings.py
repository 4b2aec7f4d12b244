"""What docstrings need before they are reStructuredText."""

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


def setup(app):
    # Before numpydoc, which has the default priority of 500.
    app.connect("autodoc-process-docstring", prepare, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
