"""Scores, reconstructions, samples, decoded codes, components and plans."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold

import skotae
from skotae.displays import (
    ComponentDisplay,
    ManifoldDisplay,
    PlanDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
    ScoreDisplay,
)
from skotae.displays._samples import copies_of
from skotae.displays.base import mosaic
from skotae.metrics import baselines, get_scorer
from skotae.networks import ConvNet
from skotae.transport import sinkhorn_plan

X, y = load_iris(return_X_y=True)
RNG = np.random.RandomState(0)


def widths(ax):
    return np.array([[bar.get_width() for bar in bars] for bars in ax.containers])


@pytest.mark.parametrize("name", ["WAEEstimator", "WGAN", "CoupledVAE"])
def test_bars_and_marks_are_one_minus_scores(fit, name):
    model = fit(name)
    display = ScoreDisplay.from_estimator(model, X[1::2], X_train=X[::2])
    ax = display.axes_[0, 0]
    assert widths(ax).sum() == pytest.approx(1 - model.score(X[1::2]))
    assert display.scores[name][0] == pytest.approx(model.score(X[1::2]))
    assert f"score {model.score(X[1::2]):.3f}" in ax.texts[0].get_text()
    expected = baselines(X[::2], X[1::2], 2, random_state=0)
    marks = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    for baseline, row in expected.items():
        assert marks[baseline] == pytest.approx(1 - row["score"])


def test_columns_with_units_of_their_own_are_scored_as_the_estimator_does():
    wide = X * [1.0, 1e4, 1.0, 1e-3]
    model = skotae.WAEEstimator(2, max_iter=2, scale="columns", random_state=0).fit(wide)
    display = ScoreDisplay.from_estimator(model, wide)
    own, rest = display.losses["WAEEstimator"][0]
    rows, made = (part / model.data_scale_ for part in (wide, model.reconstruct(wide)))
    assert own == pytest.approx(1 - r2_score(rows, made, multioutput="variance_weighted"), rel=1e-6)
    assert display.scores["WAEEstimator"][0] == pytest.approx(model.score(wide))
    assert rest >= -1e-12


@pytest.mark.parametrize(
    "score, name, good",
    [
        (0.8, "beats the baselines", True),
        (0.705, "about as the baselines", None),
        (0.6, "behind a baseline", False),
    ],
)
def test_the_verdict_on_baselines(score, name, good):
    others = {"constant": 0.0, "PCA + mixture": 0.7, "training rows": 0.95}
    display = ScoreDisplay({"it": [1 - score, 0.0]}, baseline_scores=others)
    assert display.verdict.name == name and display.verdict.good is good
    assert "PCA + mixture 0.700" in display.verdict.text


def test_seeds_have_a_mean_and_a_spread():
    display = ScoreDisplay({"a": [[0.1, 0.1], [0.3, 0.1]], "b": [[0.2, 0.0]]}).plot()
    assert widths(display.axes_[0, 0]).tolist() == pytest.approx(np.array([[0.2, 0.2], [0.1, 0.0]]))
    (spread,) = display.axes_[0, 0].lines[:1]
    assert [*spread.get_xdata()] == pytest.approx([0.2, 0.4])


def search(**options):
    model = skotae.WAEEstimator(2, max_iter=2, hidden_layer_sizes=(8,), random_state=0)
    cv = KFold(2, shuffle=True, random_state=0)
    return GridSearchCV(model, {"lam": [10.0, 0.1, 1.0]}, cv=cv, refit=False, **options).fit(X)


def test_what_a_parameter_does():
    scoring = {
        "score": lambda e, X, y=None: e.score(X),
        "reconstruction": get_scorer("reconstruction"),
    }
    found = search(scoring=scoring).cv_results_
    display = ScoreDisplay.from_cv_results(found, "lam")
    assert display.path == ("lam", [0.1, 1.0, 10.0]) and [*display.losses] == ["0.1", "1.0", "10.0"]
    order = [1, 2, 0]
    line = display.axes_[0, 0].containers[0][0]
    assert line.get_ydata() == pytest.approx(1 - found["mean_test_score"][order])
    own = [parts[:, 0].mean() for parts in display.losses.values()]
    assert own == pytest.approx(1 - found["mean_test_reconstruction"][order])
    assert display.axes_[0, 0].get_xscale() == "log"
    whole = ScoreDisplay.from_cv_results(search().cv_results_, "lam")
    assert [*whole.scores["1.0"]] == pytest.approx([*display.scores["1.0"]])
    with pytest.raises(ValueError, match="expected 'param_beta' and"):
        ScoreDisplay.from_cv_results(found, "beta")


def test_shares_of_columns_are_those_of_r2(fit):
    model = fit("WAEEstimator")
    display = ReconstructionDisplay.from_estimator(model, X)
    expected = r2_score(X, model.reconstruct(X), multioutput="raw_values")
    assert display.shares == pytest.approx(expected)
    assert widths(display.axes_[0, 0])[0] == pytest.approx(np.sort(expected).clip(-1))
    worst = expected.argmin()
    offsets = display.axes_[0, 1].collections[0].get_offsets()
    assert np.allclose(offsets, np.stack([X, model.reconstruct(X)], axis=2)[:, worst])


def test_constant_columns_have_no_share():
    rows = np.column_stack([X, np.ones(150)])
    display = ReconstructionDisplay(rows, rows + 0.01).plot()
    assert np.isnan(display.shares[4]) and widths(display.axes_[0, 0]).shape == (1, 4)
    same = ReconstructionDisplay(np.ones((5, 2)), np.ones((5, 2))).plot()
    assert same.figure_.get_suptitle() == "The rows are all the same"


def test_a_mosaic_has_each_image_in_its_place():
    rows = RNG.uniform(size=(5, 12))
    picture = mosaic(rows, (3, 4), 2)
    assert picture.shape == (13, 11)
    assert np.array_equal(picture[1:4, 1:5], rows[0].reshape(3, 4))
    assert np.array_equal(picture[9:12, 1:5], rows[4].reshape(3, 4))
    assert np.isnan(picture[9:12, 6:10]).all() and np.isnan(picture[::4]).all()
    colour = mosaic(rows, (3, 2, 2), 5)
    assert colour.shape == (4, 16, 3)
    assert np.array_equal(colour[1:3, 1:3, 2], rows[0].reshape(3, 2, 2)[2])


@pytest.fixture(scope="module")
def digits():
    rows = load_digits().data[:120]
    net = ConvNet(image_shape=(8, 8), channels=(2, 4), hidden=8)
    options = {"max_iter": 1, "random_state": 0}
    return rows, skotae.WAEEstimator(2, encoder=net, decoder=net, **options).fit(rows)


def test_images_are_drawn_as_images(digits):
    rows, model = digits
    shown = ReconstructionDisplay.from_estimator(model, rows)
    (image,) = shown.axes_[0, 0].images
    both = np.concatenate([rows[:10], model.reconstruct(rows[:10])])
    assert np.array_equal(
        np.ma.filled(image.get_array(), np.nan), mosaic(both, (8, 8), 10), equal_nan=True
    )
    shown = SamplesDisplay.from_estimator(model, rows)
    (image,) = shown.axes_[1, 0].images
    near = np.square(shown.samples[0] - rows).sum(axis=1).argmin()
    assert np.array_equal(image.get_array()[1:9, 1:9], rows[near].reshape(8, 8))
    shown = ManifoldDisplay.from_estimator(model, n_steps=4)
    assert shown.rows.shape == (4, 4, 64) and shown.axes_[0, 0].images
    with pytest.raises(ValueError, match=r"image_shape=\(7, 8\) does not fit rows of 64"):
        SamplesDisplay.from_estimator(model, rows, image_shape=(7, 8))


def test_copies_are_found_and_fresh_rows_are_none():
    rows, fresh = RNG.normal(size=(400, 5)), RNG.normal(size=(400, 5))
    index, share, among = copies_of(fresh, rows)
    assert share < 0.02 and among < 0.02
    assert np.array_equal(index, np.square(fresh[:, None] - rows[None]).sum(axis=2).argmin(axis=1))
    some = rows[:100] + 1e-3 * fresh[:100]
    index, share, _ = copies_of(some, rows)
    assert share == 1.0 and np.array_equal(index, np.arange(100))


def test_fresh_rows_are_copies_as_often_as_rows_are_of_others():
    # On a line chance alone brings many near.
    rows, fresh = RNG.normal(size=(3000, 1)), RNG.normal(size=(2999, 1))
    _, share, among = copies_of(fresh, rows)
    assert 0.1 < among < 0.4 and share == pytest.approx(among, abs=0.03)


def test_rows_that_come_twice_are_not_taken_for_memory():
    rows = np.repeat(RNG.normal(size=(100, 4)), 2, axis=0)
    assert copies_of(RNG.normal(size=(200, 4)), rows)[1] == 0.0


def test_memory_is_said():
    copied = SamplesDisplay(X, X, np.arange(150), copies=0.9, copies_among_rows=0.1).plot()
    assert copied.verdict.name == "memorises" and copied.verdict.good is False
    assert "90% of the samples" in copied.figure_.get_suptitle()
    usual = SamplesDisplay(X, X, np.arange(150), copies=0.19, copies_among_rows=0.1)
    assert usual.verdict.good is True


def test_marginals_and_correlations(fit):
    display = SamplesDisplay.from_estimator(fit("VAE"), X)
    titles = [ax.get_title(loc="left") for ax in display.axes_.ravel() if ax.axison]
    assert titles == ["x0", "x1", "x2", "x3", "correlations"]
    points = np.asarray(display.axes_.ravel()[4].collections[0].get_offsets())
    upper = np.triu_indices(4, 1)
    assert points[:, 0] == pytest.approx(np.corrcoef(X, rowvar=False)[upper])
    assert points[:, 1] == pytest.approx(np.corrcoef(display.samples, rowvar=False)[upper])
    heights = [bar.get_height() for bar in display.axes_[0, 0].patches[:20]]
    assert sum(heights) == pytest.approx(1.0, abs=0.05)


def test_quantiles_of_the_prior_are_decoded(fit):
    model = fit("SinkhornAE")
    display = ManifoldDisplay.from_estimator(model, n_steps=5)
    codes = np.zeros((5, 2))
    codes[:, 0] = [-1.645, -0.755, 0.0, 0.755, 1.645]  # 5, 27.5, 50, 72.5 and 95 %
    expected = model.inverse_transform(codes * model.prior_.scale)
    assert np.abs(display.rows[0] - expected).max() < 0.15 * np.ptp(expected, axis=0).max()
    assert display.positions == pytest.approx([0.05, 0.275, 0.5, 0.725, 0.95])
    swapped = ManifoldDisplay.from_estimator(model, n_steps=5, coordinates=[1, 0])
    assert np.array_equal(swapped.rows[1], display.rows[0])
    with pytest.raises(ValueError, match=r"coordinates=\[2\]; expected up to 4 different"):
        ManifoldDisplay.from_estimator(model, coordinates=[2])


def test_paths_are_those_of_interpolate(fit):
    model = fit("HypersphericalVAE", n_components=3)
    display = ManifoldDisplay.from_paths(model, X[:2], X[-2:], n_steps=4)
    assert np.array_equal(display.rows, model.interpolate(X[:2], X[-2:], 4))
    around = ManifoldDisplay.from_estimator(model, n_steps=4)
    assert around.rows.shape == (4, 4, 4) and around.names[1] == "between draws 2 and 3"


def test_components_are_counted_and_decoded(fit):
    model = fit("GMWAE")
    display = ComponentDisplay.from_estimator(model, X, y)
    labels = model.predict(X)
    for k in range(3):
        assert display.table[k].tolist() == [
            int(((labels == k) & (y == c)).sum()) for c in range(3)
        ]
    means = model.prior_.component_means(2).numpy()
    assert display.means == pytest.approx(model.inverse_transform(means))
    assert display.shares == pytest.approx(model.predict_proba(X).mean(axis=0))
    assert widths(display.axes_[0, 0])[0] == pytest.approx(display.shares)
    more = ComponentDisplay.from_estimator(model, X[y < 2], y[y < 2].astype(str))
    assert more.table.shape == (3, 2) and more.table.sum() == 100


def test_dead_components_are_named():
    display = ComponentDisplay(np.array([0.5, 0.49, 0.01]), np.eye(3)).plot()
    assert display.dead == [2] and "dead: 2" in display.figure_.get_suptitle()


def test_lines_of_a_plan_join_what_it_joins():
    x = RNG.normal(size=(20, 2))
    order = RNG.permutation(20)
    display = PlanDisplay(x, x[order] + [5.0, 0.0], np.eye(20)[order].T / 20).plot()
    ends = np.array([path.vertices for path in display.lines_.get_paths()])
    assert len(ends) == 20 and ends[:, 1] - ends[:, 0] == pytest.approx(
        np.tile([5.0, 0.0], (20, 1))
    )
    assert "moves by 5," in display.figure_.get_suptitle()
    made = PlanDisplay.from_clouds(x, x[order], epsilon=0.01).plan
    given = (torch.from_numpy(part) for part in (x, x[order]))
    assert made == pytest.approx(sinkhorn_plan(*given, epsilon=0.01).numpy())
    for bad in ((x[:, :1], x, np.eye(20)), (x, x, np.eye(3))):
        with pytest.raises(ValueError, match="has shape"):
            PlanDisplay(*bad)


def test_names_and_numbers_of_columns_do_not_overlap():
    """Long ones, side by side."""
    rows = RNG.uniform(size=(60, 7)) * [1e4, 2e4, 3e5, 1e7, 5e3, 1e-5, 1] + 1e4
    names = [f"nonflavanoid_phenols_{k}" for k in range(7)]
    nearest = np.arange(60)
    display = SamplesDisplay(
        rows, rows, nearest, copies=0.0, copies_among_rows=0.0, columns=names
    ).plot()
    display.figure_.canvas.draw()
    titles = [t for t in display.figure_.findobj(plt.Text) if t.get_text().startswith("nonfl")]
    assert len(titles) == 7
    numbers = []
    for ax in display.axes_.ravel():
        low, high = ax.get_xlim()
        numbers += [t for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high]
    for texts in (titles, numbers):
        boxes = [text.get_window_extent() for text in texts]
        assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))


def test_no_text_is_cut_or_too_small(fit, digits):
    rows, images = digits
    mixture, wide = fit("GMWAE"), fit("VAE", n_components=4)
    makers = [
        skotae.displays.TrainingDisplay.from_estimator(fit("WAEEstimator", max_iter=12), X),
        skotae.displays.CodesDisplay.from_estimator(wide, X, y),
        skotae.displays.PriorDisplay.from_estimator(wide, X),
        ScoreDisplay.from_estimators({"a long name of a model": mixture, "b": wide}, X),
        ReconstructionDisplay.from_estimator(images, rows, image_shape=(8, 8)),
        SamplesDisplay.from_estimator(wide, X),
        ManifoldDisplay.from_estimator(wide),
        ComponentDisplay.from_estimator(mixture, X, y),
        PlanDisplay.from_clouds(X[:30, :2], X[50:80, :2]),
    ]
    for display in makers:
        figure = display.figure_
        figure.canvas.draw()
        assert figure.bbox.width == 624
        drawn = figure.get_tightbbox().padded(-0.02)
        width, height = figure.get_size_inches()
        assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height, display
        sizes = [text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()]
        assert min(sizes) >= 6
        # Something is there besides white paper, in each panel.
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        for ax in display.axes_.ravel():
            if ax.axison or ax.has_data():
                x0, y0, x1, y1 = (int(value) for value in ax.get_window_extent().extents)
                part = pixels[::-1][y0 + 3 : y1 - 3, x0 + 3 : x1 - 3]
                assert (part < 200).any(axis=2).sum() > 30, display
