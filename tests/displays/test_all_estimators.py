"""Every display of every estimator: drawn, or refused by name; and scikit-learn's conventions."""

import inspect
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skotae
from skotae import autoencoders, displays
from skotae.displays import (
    CodesDisplay,
    ComponentDisplay,
    ManifoldDisplay,
    PriorDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
    ScoreDisplay,
    TrainingDisplay,
)
from skotae.priors import AtomsPrior, DirichletPrior, GaussianMixturePrior

X, y = load_iris(return_X_y=True)
X_TEST, Y_TEST = X[1::2], y[1::2]
NO_ENCODER, NO_DECODER, MIXTURES = {"WGAN"}, {"SinkhornEncoder"}, {"GMWAE", "GMVAE"}
EVERY = {*autoencoders.__all__}
# Who is drawn by what, and how.
MAKERS = {
    "training": (EVERY, lambda model, **k: TrainingDisplay.from_estimator(model, X_TEST, **k)),
    "codes": (
        EVERY - NO_ENCODER,
        lambda model, **k: CodesDisplay.from_estimator(model, X_TEST, Y_TEST, **k),
    ),
    "prior": (
        EVERY - NO_ENCODER,
        lambda model, **k: PriorDisplay.from_estimator(model, X_TEST, **k),
    ),
    "score": (
        EVERY - NO_DECODER,
        lambda model, **k: ScoreDisplay.from_estimator(model, X_TEST, **k),
    ),
    "reconstruction": (
        EVERY - NO_ENCODER - NO_DECODER,
        lambda model, **k: ReconstructionDisplay.from_estimator(model, X_TEST, **k),
    ),
    "samples": (
        EVERY - NO_DECODER,
        lambda model, **k: SamplesDisplay.from_estimator(model, X_TEST, **k),
    ),
    "manifold": (
        EVERY - NO_DECODER,
        lambda model, **k: ManifoldDisplay.from_estimator(model, n_steps=5, **k),
    ),
    "paths": (
        EVERY - NO_ENCODER - NO_DECODER,
        lambda model, **k: ManifoldDisplay.from_paths(model, X[:2], X[-2:], **k),
    ),
    "components": (
        MIXTURES,
        lambda model, **k: ComponentDisplay.from_estimator(model, X_TEST, Y_TEST, **k),
    ),
}


def cases():
    """Every estimator with every display; by default a quarter of what is drawn, in turn."""
    for i, name in enumerate(sorted(EVERY)):
        for j, (kind, (allowed, _)) in enumerate(MAKERS.items()):
            marks = [pytest.mark.slow] if name in allowed and (i + j) % 4 else []
            yield pytest.param(name, kind, marks=marks)


@pytest.mark.parametrize("name, kind", [*cases()])
def test_drawn_or_refused_by_name(fit, name, kind):
    allowed, make = MAKERS[kind]
    model = fit(name)
    before = plt.get_fignums()
    if name not in allowed:
        with pytest.raises(TypeError, match=rf"{name} has no .*; use \w+(Display|\.)"):
            make(model)
        assert plt.get_fignums() == before
        return
    display = make(model)
    assert display.figure_.get_size_inches()[0] == pytest.approx(6.24)
    drawn = [ax for ax in display.axes_.ravel() if ax.axison or ax.lines or ax.collections]
    assert drawn and all(ax.has_data() for ax in drawn)
    assert display.figure_.get_suptitle()


@pytest.mark.parametrize("kind", MAKERS)
def test_axes_that_are_given_are_used(fit, kind):
    figure, (left, right) = plt.subplots(1, 2)
    display = MAKERS[kind][1](fit("GMWAE"), ax=right)
    assert display.figure_ is figure and plt.get_fignums() == [figure.number]
    assert not left.has_data() and all(ax.has_data() for ax in display.axes_[:, 0])
    middle = left.get_position().x1
    for ax in display.axes_.ravel():
        assert ax.get_position().x0 > middle
    # Drawn again from what it keeps, without the estimator.
    again = display.plot()
    assert again is display and display.figure_ is not figure


@pytest.mark.parametrize("kind", MAKERS)
def test_an_estimator_that_is_not_fitted(kind):
    with pytest.raises(NotFittedError):
        MAKERS[kind][1](skotae.GMWAE())


@pytest.fixture(scope="module")
def pipe():
    model = skotae.GMVAE(
        2, n_mixtures=3, max_iter=2, hidden_layer_sizes=(8,), scale="global", random_state=0
    )
    return make_pipeline(StandardScaler(), model).fit(X)


@pytest.mark.parametrize("kind", MAKERS)
def test_pipelines_are_seen_as_their_last_step(pipe, kind):
    assert MAKERS[kind][1](pipe).axes_.size


def test_data_frames(fit):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["sepal a", "sepal b", "petal a", "petal b"])
    model = skotae.WAEEstimator(2, max_iter=2, hidden_layer_sizes=(8,), random_state=0).fit(frame)
    model.set_output(transform="pandas")
    for make in (
        CodesDisplay.from_estimator,
        PriorDisplay.from_estimator,
        ReconstructionDisplay.from_estimator,
        SamplesDisplay.from_estimator,
        ScoreDisplay.from_estimator,
    ):
        display = make(model, frame)
    display = ReconstructionDisplay.from_estimator(model, frame)
    names = {label.get_text() for label in display.axes_[0, 0].get_yticklabels()}
    assert names == {*frame.columns}


NAMES_TO_DRAW = ["a $ (b $)", "$x^{$", "_id", r"\$\frac{$"]


def test_names_are_drawn_letter_by_letter():
    """None is a formula, nor is one left out of a legend."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[::5], columns=NAMES_TO_DRAW)
    labels = np.array(NAMES_TO_DRAW)[y[::5]]
    params = {"max_iter": 1, "hidden_layer_sizes": (8,), "random_state": 0}
    model = skotae.GMWAE(2, n_mixtures=3, **params).fit(frame)
    for display in (
        CodesDisplay.from_estimator(model, frame, labels),
        ComponentDisplay.from_estimator(model, frame, labels),
        ManifoldDisplay.from_estimator(model),
        ReconstructionDisplay.from_estimator(model, frame),
        SamplesDisplay.from_estimator(model, frame),
    ):
        display.figure_.set_layout_engine("none")
        display.figure_.draw_without_rendering()
        texts = [text.get_text() for text in display.figure_.findobj(plt.Text)]
        of_classes = isinstance(display, CodesDisplay)
        for name in sorted({*labels}) if of_classes else NAMES_TO_DRAW[:3]:
            # What matplotlib makes of an escaped dollar is a dollar.
            assert any(name == text.strip().replace(r"\$", "$") for text in texts)


@pytest.mark.parametrize(
    "cls", [value for name, value in vars(displays).items() if name.endswith("Display")]
)
def test_init_keeps_what_it_is_given(cls):
    parameters = inspect.signature(cls).parameters
    assert "ax" not in parameters and "estimator" not in parameters
    assert "ax" in inspect.signature(cls.plot).parameters
    makers = [getattr(cls, name) for name in dir(cls) if name.startswith("from_")]
    assert makers and all("ax" in inspect.signature(make).parameters for make in makers)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = TrainingDisplay({"loss": [1.0, 0.5]})
    expected = "TrainingDisplay.plot requires matplotlib; install it with: pip install 'skotae.plot"
    with pytest.raises(ImportError, match=expected):
        display.plot()


AWKWARD = {
    "constant rows": ({}, np.full((20, 3), 0.5)),
    "three rows": ({}, X[:3]),
    "one column": ({"n_components": 1}, X[:, :1]),
    "float32": ({}, X.astype(np.float32)),
    "huge": ({}, 1e12 * X),
    "more columns than rows": ({}, np.random.RandomState(0).normal(size=(30, 90))),
    "atoms": (
        {"prior": AtomsPrior([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), "penalty": "sinkhorn"},
        X,
    ),
    "a learned simplex": ({"n_components": 3, "prior": DirichletPrior(learn=True)}, X),
    "a prior of a mixture": ({"n_components": 3, "prior": GaussianMixturePrior(4)}, X),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.filterwarnings("error")
def test_awkward_rows_and_priors(name):
    params, rows = AWKWARD[name]
    options = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so short a fit
        model = skotae.WAEEstimator(**{**options, **params}).fit(rows)
    for make in (
        TrainingDisplay.from_estimator,
        CodesDisplay.from_estimator,
        PriorDisplay.from_estimator,
        ScoreDisplay.from_estimator,
        ReconstructionDisplay.from_estimator,
        SamplesDisplay.from_estimator,
        lambda model, rows: ManifoldDisplay.from_estimator(model),
        lambda model, rows: ManifoldDisplay.from_paths(model, rows[:2], rows[-2:]),
    ):
        display = make(model, rows)
        display.figure_.canvas.draw()
        assert display.figure_.get_suptitle() and "nan" not in display.figure_.get_suptitle()
