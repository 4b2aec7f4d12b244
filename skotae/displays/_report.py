"""All that there is to see of a fitted estimator, in one page."""

from __future__ import annotations

import json
import tempfile
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from skotae.displays._codes import CodesDisplay
from skotae.displays._components import ComponentDisplay
from skotae.displays._manifold import ManifoldDisplay
from skotae.displays._page import fragment, page
from skotae.displays._prior import PriorDisplay
from skotae.displays._reconstructions import ReconstructionDisplay
from skotae.displays._samples import SamplesDisplay
from skotae.displays._score import ScoreDisplay
from skotae.displays._training import TrainingDisplay
from skotae.displays._verdicts import Verdict
from skotae.displays.base import comparable, labels_of, last_step, pyplot, some
from skotae.metrics import GenerationReport, generation_report
from skotae.metrics.base import check_table
from skotae.utils._versions import installed_versions
from skotae.utils.base import as_path

QUESTIONS = (
    "Did it train?",
    "Does it beat the baselines?",
    "Do codes follow the prior?",
    "Does it memorise?",
)
NOT_TOLD = "not told"
# Training rows that baselines are fitted to.
MAX_TRAIN = 5000
N_RESAMPLES = 200
DPI = 100


@dataclass
class ModelReport:
    """What a report has of one model.

    Attributes
    ----------
    estimator : str
        Its class.
    code : str
        The expression that makes it.
    parameters : dict of str to str
        All parameters.
    verdicts : dict of str to Verdict
        By question.
    measures : GenerationReport
        The measures, with the baselines beside them.
    images : dict of str to bytes
        The displays by name, as PNG.
    """

    estimator: str
    code: str
    parameters: dict[str, str]
    verdicts: dict[str, Verdict]
    measures: GenerationReport
    images: dict[str, bytes] = field(repr=False)


class Report:
    """One page on fitted estimators; made by :func:`skotae.report`.

    Parameters
    ----------
    models : dict of str to ModelReport
        What there is of each model, by name.
    n_rows, n_features : int
        Size of the data.
    held_out : bool
        Whether there were training rows beside the rows that were measured.

    Attributes
    ----------
    versions : dict of str to str
        Of Python, the platform and packages.
    html : str
        The page, that needs nothing else: no network, no script.
    json : str
        Verdicts, measures, parameters and versions.
    """

    def __init__(
        self, models: dict[str, ModelReport], *, n_rows: int, n_features: int, held_out: bool
    ):
        self.models = models
        self.n_rows = n_rows
        self.n_features = n_features
        self.held_out = held_out
        self.versions = installed_versions()

    @property
    def html(self) -> str:
        """The page, that needs nothing else: no network, no script."""
        return page(self)

    @property
    def json(self) -> str:
        """Verdicts, measures, parameters and versions."""
        models = {
            name: {
                "estimator": model.estimator,
                "code": model.code,
                "parameters": model.parameters,
                "verdicts": {
                    question: {"name": verdict.name, "good": verdict.good, "text": verdict.text}
                    for question, verdict in model.verdicts.items()
                },
                "measures": {
                    measure: dict(zip(("value", "low", "high"), map(_number, row), strict=True))
                    for measure, row in model.measures.items()
                },
                "baselines": {
                    baseline: {measure: _number(value) for measure, value in row.items()}
                    for baseline, row in (model.measures.baselines or {}).items()
                },
            }
            for name, model in self.models.items()
        }
        size = {"n_rows": self.n_rows, "n_features": self.n_features, "held_out": self.held_out}
        return json.dumps({"data": size, "models": models, "versions": self.versions}, indent=1)

    def write_html(self, path: Any) -> None:
        """Write the page to a file.

        Parameters
        ----------
        path : str or path-like
            The file, by custom ``*.html``.
        """
        Path(as_path("path", path)).write_text(self.html, encoding="utf-8")

    def open(self) -> str:
        """Write the page to a new temporary file, and open it in the web browser.

        Returns
        -------
        path : str
            The file, which stays.
        """
        with tempfile.NamedTemporaryFile(
            "w", suffix=".html", encoding="utf-8", delete=False
        ) as out:
            out.write(self.html)
        webbrowser.open(Path(out.name).as_uri())
        return out.name

    def _repr_html_(self) -> str:
        return fragment(self)

    def __repr__(self) -> str:
        lines = []
        for name, model in self.models.items():
            lines.append(name)
            lines += [f"  {question} {verdict}" for question, verdict in model.verdicts.items()]
        return "\n".join(lines)


def report(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    X_train: Any = None,
    image_shape: Any = None,
    random_state: int = 0,
) -> Report:
    """All that there is to see of a fitted estimator, in one page.

    Verdicts come first: did it train, does it beat the baselines, do its codes follow the prior,
    does it memorise (:class:`~skotae.displays.Verdict`). Then the displays that apply, the
    measures of :func:`~skotae.metrics.generation_report` with principal components beside them,
    in the units of the score (of standardised columns, where each has a scale of its own),
    parameters and versions.

    Parameters
    ----------
    estimator : fitted estimator of skotae, pipeline that ends in one, or mapping of str to these
        Several, by name, are put below each other, with their verdicts side by side.
    X : array-like of shape (n_samples, n_features)
        Rows to measure, by custom held out; at most 2,000 of them are used, at random.
    y : array-like of shape (n_samples,), optional
        Their labels, which colour codes and are set against the components of a mixture.
    X_train : array-like of shape (n_train, n_features), optional
        The rows that it was fitted on, for the search for copies, and 5,000 of them for the
        baselines; X by default.
    image_shape : tuple of int, optional
        Shape of the image that a row is; by default that of a ConvNet, or else a table.
    random_state : int, default=0
        Seed of all that is drawn.

    Returns
    -------
    report : Report
        With `html`, `write_html`, `open` and `json`; a notebook shows it as it is.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no estimator, or an input is invalid.

    Examples
    --------
    >>> import skotae
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skotae.WAEEstimator(2, max_iter=20, random_state=0).fit(X[::2])
    >>> found = skotae.report(model, X[1::2], y[1::2], X_train=X[::2])
    >>> found.models["WAEEstimator"].verdicts["Does it memorise?"].name
    'does not memorise'
    >>> found.html.startswith("<!DOCTYPE html>") and len(found.html) < 2e6
    True
    """
    pyplot("skotae.report")
    if not isinstance(estimator, Mapping):
        estimator = {type(last_step(estimator)[0]).__name__: estimator}
    if not estimator:
        raise ValueError("estimator={} is empty; expected one fitted estimator or more.")
    check_table(X, "X")
    n_rows, n_features = np.shape(X)
    X, y = some(random_state, X, labels_of(y, X))
    models = {
        str(name): _of_model(each, X, y, X_train, image_shape, random_state)
        for name, each in estimator.items()
    }
    held_out = X_train is not None
    return Report(models, n_rows=n_rows, n_features=n_features, held_out=held_out)


def _of_model(
    estimator: Any, X: Any, y: np.ndarray | None, X_train: Any, image_shape: Any, seed: int
) -> ModelReport:
    code = repr(estimator)
    estimator, X, X_train = last_step(estimator, X=X, X_train=X_train)
    train = X if X_train is None else X_train
    fewer = some(seed, train, n=MAX_TRAIN)
    encodes, generates = (hasattr(estimator, name) for name in ("sample_posterior", "sample"))
    shape, seeded = {"image_shape": image_shape}, {"random_state": seed}
    # Labels that are numbers are no classes.
    is_number = y is not None and y.dtype.kind == "f" and bool((y != np.rint(y)).any())
    classes = None if is_number else y
    shown: dict[str, Any] = {"Training": TrainingDisplay.from_estimator(estimator, train)}
    if generates:
        shown["Score"] = ScoreDisplay.from_estimator(estimator, X, X_train=fewer, **seeded)
    if encodes:
        shown["Codes"] = CodesDisplay.from_estimator(estimator, X, y, X_train=X_train, **seeded)
        shown["Prior"] = PriorDisplay.from_estimator(estimator, X, **seeded)
    if encodes and generates:
        made = ReconstructionDisplay.from_estimator(estimator, X, **shape, **seeded)
        shown["Reconstructions"] = made
    if generates:
        shown["Samples"] = SamplesDisplay.from_estimator(estimator, train, **shape, **seeded)
        shown["Decoded codes"] = ManifoldDisplay.from_estimator(estimator, **shape, **seeded)
    if hasattr(estimator, "interpolate_components"):
        made = ComponentDisplay.from_estimator(estimator, X, classes, **shape, **seeded)
        shown["Components"] = made
    verdicts = _verdicts(shown, estimator)
    images = {name: _png(display) for name, display in shown.items()}
    rows = (X, classes) if X_train is None else (fewer, None, X, classes)
    measures = generation_report(
        estimator,
        *rows,
        units=lambda part: comparable(estimator, part)[0],
        n_resamples=N_RESAMPLES,
        random_state=seed,
    )
    parameters = {name: repr(value) for name, value in estimator.get_params(deep=False).items()}
    return ModelReport(type(estimator).__name__, code, parameters, verdicts, measures, images)


def _verdicts(shown: Mapping[str, Any], estimator: Any) -> dict[str, Verdict]:
    """The four questions, answered by the displays that apply."""
    no_decoder = Verdict(NOT_TOLD, None, "it has no decoder.")
    found = {question: no_decoder for question in QUESTIONS}
    names = ("Training", "Score", "Prior", "Samples")
    for question, name in zip(QUESTIONS, names, strict=True):
        if name in shown:
            found[question] = shown[name].verdict
    if "Prior" not in shown:
        found[QUESTIONS[2]] = Verdict(NOT_TOLD, None, "it has no encoder.")
    elif found[QUESTIONS[2]].good is False and getattr(estimator, "_draws_from_mixture", False):
        off = found[QUESTIONS[2]]
        text = f"{off.text} Samples come from a mixture of the codes, and do not suffer from it."
        found[QUESTIONS[2]] = Verdict(off.name, None, text)
    return found


def _png(display: Any) -> bytes:
    """A display as a picture; its figure is closed."""
    out = BytesIO()
    display.figure_.savefig(out, format="png", dpi=DPI)
    pyplot("skotae.report").close(display.figure_)
    return out.getvalue()


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if np.isfinite(value) else None
