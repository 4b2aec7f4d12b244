"""The page on a fitted estimator."""

import json
import re
import struct
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skotae
from skotae import autoencoders
from skotae.displays import PriorDisplay, SamplesDisplay, ScoreDisplay, TrainingDisplay
from skotae.displays._report import NOT_TOLD, QUESTIONS

X, y = load_iris(return_X_y=True)
FAST = ("GMWAE", "SinkhornEncoder")
NAMES = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in autoencoders.__all__
]


@pytest.fixture
def unpainted(monkeypatch):
    """Figures that are closed without being painted, which takes most of the time."""

    def png(display):
        plt.close(display.figure_)
        return b"PNG"

    monkeypatch.setattr("skotae.displays._report._png", png)


class Page(HTMLParser):
    """Tags, what they point to, and the text of a page; tags must be closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, html):
        super().__init__()
        self.open, self.links, self.tags, self.text = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", NAMES)
def test_of_every_estimator(fit, name):
    before = plt.get_fignums()
    found = skotae.report(fit(name), X[1::2], y[1::2], X_train=X[::2])
    assert plt.get_fignums() == before
    model = found.models[name]
    assert [*model.verdicts] == [*QUESTIONS]
    encodes, generates = name != "WGAN", name != "SinkhornEncoder"
    expected = ["Training"] + ["Score"] * generates + ["Codes", "Prior"] * encodes
    expected += ["Reconstructions"] * (encodes and generates)
    expected += ["Samples", "Decoded codes"] * generates
    expected += ["Components"] * name.startswith("GM")
    assert [*model.images] == expected
    for image in model.images.values():
        assert image.startswith(b"\x89PNG") and struct.unpack(">I", image[16:20]) == (624,)
    page = Page(found.html)
    assert not page.open and len(found.html) < 2e6
    # Nothing comes from elsewhere, and nothing runs.
    assert len(page.links) == len(expected)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "script" not in page.tags and "link" not in page.tags and "url(" not in found.html
    assert "@import" not in found.html
    for part in (*QUESTIONS, *expected, "frechet_distance" if generates else "prior_gap"):
        assert part in page.text
    for parameter, value in fit(name).get_params(deep=False).items():
        assert parameter in page.text and repr(value) in page.text
    if generates:
        assert "PCA + mixture" in page.text
    kept = json.loads(found.json, parse_constant=lambda word: pytest.fail(word))
    assert kept["models"][name]["verdicts"][QUESTIONS[0]]["text"] in page.text
    assert kept["data"] == {"n_rows": 75, "n_features": 4, "held_out": True}
    assert set(kept["versions"]) >= {"python", "skotae", "torch"}


def test_verdicts_are_those_of_the_displays(fit, unpainted):
    model = fit("SinkhornAE", max_iter=12, latent="prior")
    verdicts = skotae.report(model, X).models["SinkhornAE"].verdicts
    assert [*verdicts.values()] == [
        TrainingDisplay.from_estimator(model, X).verdict,
        ScoreDisplay.from_estimator(model, X).verdict,
        PriorDisplay.from_estimator(model, X).verdict,
        SamplesDisplay.from_estimator(model, X).verdict,
    ]


def test_a_prior_that_is_missed_does_not_matter_to_a_mixture_of_codes(fit, unpainted):
    model = fit("SinkhornAE", max_iter=3)
    verdict = skotae.report(model, X).models["SinkhornAE"].verdicts[QUESTIONS[2]]
    assert PriorDisplay.from_estimator(model, X).verdict.good is False
    assert verdict.good is None and "Samples come from a mixture of the codes" in verdict.text


def test_several_side_by_side_and_names_that_are_not_html(fit, unpainted):
    pipe = make_pipeline(
        StandardScaler(), skotae.VAE(2, max_iter=2, hidden_layer_sizes=(8,), random_state=0)
    ).fit(X)
    found = skotae.report({"a <b>": fit("WGAN"), "pipe": pipe}, X)
    page = Page(found.html)
    assert "<b>" not in found.html and page.text.count("a <b>") > 3
    assert page.tags.count("h2") == 2 + 1
    assert "StandardScaler" in found.models["pipe"].code
    assert found.models["a <b>"].verdicts[QUESTIONS[2]].name == NOT_TOLD
    assert repr(found).splitlines()[0] == "a <b>" and len(repr(found).splitlines()) == 10
    with pytest.raises(ValueError, match="expected one fitted estimator or more"):
        skotae.report({}, X)


def test_files(fit, unpainted, tmp_path, monkeypatch):
    found = skotae.report(fit("WGAN"), X)
    found.write_html(tmp_path / "it.html")
    assert (tmp_path / "it.html").read_text(encoding="utf-8") == found.html
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = found.open()
    assert opened == [f"file://{path}"] and path.startswith(str(tmp_path))
    assert found._repr_html_() in found.html and found._repr_html_().startswith("<div")


def test_data_frames_and_labels_that_are_numbers(unpainted):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = skotae.GMWAE(2, n_mixtures=3, max_iter=2, hidden_layer_sizes=(8,), random_state=0)
    found = skotae.report(model.fit(frame), frame, X[:, 0])
    assert "clustering_accuracy" not in found.models["GMWAE"].measures
    assert "Components" in found.models["GMWAE"].images


def test_measures_are_in_the_units_of_the_verdict(unpainted):
    """Of columns with several units the score is one number, and so are PCA's."""
    rows = X * [1, 1, 1, 1e4]
    params = {"max_iter": 2, "hidden_layer_sizes": (8,), "random_state": 0}
    model = skotae.WAEEstimator(2, **params).fit(rows[::2])
    measures = skotae.report(model, rows[1::2], X_train=rows[::2]).models["WAEEstimator"].measures
    display = ScoreDisplay.from_estimator(model, rows[1::2], X_train=rows[::2])
    assert measures["score"].value == pytest.approx(model.score(rows[1::2]), abs=0.1)
    for name in ("PCA + Gaussian", "PCA + mixture"):
        expected = display.baseline_scores[name]
        assert measures.baselines[name]["score"] == pytest.approx(expected, abs=0.1)
    assert measures["reconstruction_error"].value < 4  # of four columns with variance 1


def test_rows_beyond_some_thousand_are_not_used(fit, unpainted):
    many = np.tile(X, (20, 1)) + np.random.RandomState(0).normal(size=(3000, 4)) / 10
    found = skotae.report(fit("SinkhornEncoder"), many)
    assert found.n_rows == 3000 and found.models["SinkhornEncoder"].measures.n_rows == 2000
    assert re.search("3000 rows of 4 columns", found.html)
