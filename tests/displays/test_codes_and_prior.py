"""Codes over the prior: what is drawn, and what is said of it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import skotae
from skotae.displays import CodesDisplay, ComponentDisplay, PriorDisplay
from skotae.displays._codes import CORNERS, hammer
from skotae.displays.base import COLOURS
from skotae.priors import DirichletPrior, GaussianMixturePrior, NormalPrior, SpherePrior

X, y = load_iris(return_X_y=True)
RNG = np.random.RandomState(0)


def draws(prior, n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return prior.sample(n, d, generator, dtype=torch.float64).numpy()


def inside(ring, points):
    """Whether points lie within an ellipse about 0 that is given by points on it."""
    return (np.square(points / np.abs(ring).max(axis=0)).sum(axis=1)) < 1


@pytest.mark.parametrize("d, pair", [(2, (0, 1)), (3, (1, 2))])
def test_rings_hold_their_share_of_the_prior(d, pair):
    prior = NormalPrior(np.array([2.0, 1.0, 0.2])[:d])
    codes = draws(prior, 50, d) * 0.5
    display = CodesDisplay(codes, draws(prior, 100, d), prior=prior).plot()
    panel = display.axes_.ravel()[display.coordinates_.index(pair)]
    rings = [line.get_xydata() for line in panel.lines]
    fresh = draws(prior, 20_000, d, seed=1)[:, pair]
    shares = [inside(ring, fresh).mean() for ring in rings]
    assert shares == pytest.approx([0.5, 0.9, 0.99], abs=0.01)


def test_learned_priors_have_rings_too(fit):
    display = CodesDisplay.from_estimator(fit("VampPriorVAE"), X)
    contours = [c for c in display.axes_[0, 0].collections if hasattr(c, "levels")]
    assert display.prior is None and len(contours) == 1 and len(contours[0].levels) == 3


def test_components_are_circles_about_their_means():
    prior = GaussianMixturePrior(3, scale=0.5)
    display = CodesDisplay(draws(prior, 30, 2), draws(prior, 30, 2), prior=prior).plot()
    circles = [line.get_xydata() for line in display.axes_[0, 0].lines[::2]]
    means = prior.component_means(2).numpy()
    for circle, mean in zip(circles, means, strict=True):
        assert np.linalg.norm(circle - mean, axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("prior", [NormalPrior(), GaussianMixturePrior(3)])
def test_draws_of_a_subclass_have_rings_of_their_own(prior):
    """And not the outline of what it inherits from."""

    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        return 20.0 + torch.randn(n, d, generator=generator, dtype=dtype)

    own = type("Own", (type(prior),), {"sample": sample})()
    codes = draws(prior, 30, 2)
    display = CodesDisplay(codes, draws(own, 300, 2), prior=own).plot()
    (rings,) = [c for c in display.axes_[0, 0].collections if hasattr(c, "levels")]
    vertices = np.concatenate([path.vertices for path in rings.get_paths()])
    assert vertices.min() > 10 and "rings" in display.figure_._suptitle.get_text()
    assert not display.axes_[0, 0].lines


def test_each_class_has_its_codes_its_colour_and_its_name(fit):
    display = CodesDisplay.from_estimator(fit("VAE"), X, y, X_train=X[::2])
    train, *classes = display.axes_[0, 0].collections
    assert len(train.get_offsets()) == 75
    for label, points in enumerate(classes):
        assert np.array_equal(points.get_offsets(), display.codes[y == label])
    colours = {tuple(points.get_facecolor()[0][:3]) for points in classes}
    assert len(colours) == 3
    names = [text.get_text() for text in display.axes_[0, 0].get_legend().get_texts()]
    assert names == ["training rows", "0", "1", "2"]


def test_labels_are_one_for_each_row(fit):
    model, labels = fit("GMWAE"), np.arange(150) % 3
    expected = CodesDisplay.from_estimator(model, X, labels).labels
    for made in (CodesDisplay.from_estimator, ComponentDisplay.from_estimator, skotae.report):
        for bad in (labels[:10], np.c_[labels, labels], [None, *labels[1:]]):
            with pytest.raises(ValueError, match="y (has 10|must)"):
                made(model, X, bad)
    frame = pytest.importorskip("pandas").DataFrame({"kind": labels})
    for column in (labels[:, None], frame):
        np.testing.assert_array_equal(
            CodesDisplay.from_estimator(model, X, column).labels, expected
        )


def test_many_labels_are_numbers(fit):
    display = CodesDisplay.from_estimator(fit("VAE"), X, X[:, 0])
    (points,) = display.axes_[0, 0].collections
    assert np.array_equal(points.get_array(), X[:, 0])
    assert not display.axes_[0, 0].texts


def test_a_dozen_classes_are_named_where_they_are(fit):
    labels = np.arange(150) // 13
    display = CodesDisplay.from_estimator(fit("VAE"), X, labels)
    names = {text.get_text(): text.get_position() for text in display.axes_[0, 0].texts}
    assert [*names] == [str(k) for k in range(12)]
    assert names["3"] == pytest.approx(np.median(display.codes[labels == 3], axis=0))


def test_pairs_of_the_coordinates_that_vary_most():
    prior = NormalPrior()
    codes = draws(prior, 40, 6) * np.array([1.0, 0.01, 1.1, 1.2, 0.02, 1.3])
    display = CodesDisplay(codes, draws(prior, 40, 6), prior=prior).plot()
    assert display.coordinates_ == [(0, 2), (0, 3), (0, 5), (2, 3), (2, 5), (3, 5)]


def test_hammers_projection_keeps_areas():
    z = draws(SpherePrior(), 200_000, 3)
    flat = hammer(z)
    scaled = flat / [2 * np.sqrt(2), np.sqrt(2)]
    radius = np.linalg.norm(scaled, axis=1)
    assert radius.max() <= 1 + 1e-9
    # Uniform on the sphere is uniform in the ellipse.
    assert np.mean(radius < 0.5) == pytest.approx(0.25, abs=0.004)
    assert np.mean((scaled[:, 0] > 0.5) & (radius < 1)) == pytest.approx(0.1955, abs=0.004)


def test_a_sphere_and_a_simplex_of_three(fit):
    sphere = CodesDisplay.from_estimator(fit("HypersphericalVAE", n_components=3), X)
    assert sphere.coordinates_ == [("projection",)]
    (points,) = sphere.axes_[0, 0].collections
    assert np.allclose(points.get_offsets(), hammer(sphere.codes))
    z = draws(DirichletPrior(), 30, 3)
    simplex = CodesDisplay(z, z, prior=DirichletPrior()).plot()
    (points,) = simplex.axes_[0, 0].collections
    assert np.allclose(points.get_offsets(), z @ CORNERS)


@pytest.mark.parametrize("prior", ["sphere", "uniform", "dirichlet", "normal"])
def test_every_code_lies_within_the_picture(prior):
    model = skotae.SinkhornAE(2, prior=prior, max_iter=2, hidden_layer_sizes=(8,), random_state=0)
    display = CodesDisplay.from_estimator(model.fit(X), X)
    ax = display.axes_[0, 0]
    assert len(ax.lines) >= 1
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    z = display.codes
    assert left < z[:, 0].min() and z[:, 0].max() < right
    assert low < z[:, 1].min() and z[:, 1].max() < high


def sets(n, d, n_sets=20):
    return RNG.normal(size=(n_sets, n, d))


def test_codes_of_the_prior_follow_it():
    verdicts = [PriorDisplay.from_codes(RNG.normal(size=(300, 3)), sets(300, 3)) for _ in range(3)]
    assert [found.verdict.name for found in verdicts] == 3 * ["follows the prior"]
    low, _, high = verdicts[0].prior_bands
    share = ((low <= verdicts[0].quantiles) & (verdicts[0].quantiles <= high)).mean()
    assert share > 0.7


@pytest.mark.parametrize(
    "change, name, word",
    [
        (lambda z: z * [1.0, 0.5], "off the prior", "z1 of the codes is narrower"),
        (lambda z: z * [1.5, 1.0], "off the prior", "z0 of the codes is wider"),
        (lambda z: z + [0.5, 0.0], "off the prior", "quantiles of coordinate z0"),
        # Both coordinates are normal; together they are a line.
        (lambda z: np.stack([z[:, 0], z[:, 0] + 0.01 * z[:, 1]], 1), "holes", "holes"),
    ],
)
def test_what_is_off_is_said(change, name, word):
    display = PriorDisplay.from_codes(change(RNG.normal(size=(400, 2))), sets(400, 2))
    assert display.verdict.name == name and word in display.verdict.text
    assert word in display.figure_.get_suptitle().replace("\n", " ")


def test_holes_are_those_of_the_prior_itself_at_the_least():
    far = PriorDisplay.from_codes(RNG.normal(size=(200, 2)) * 1e-3, sets(200, 2))
    assert far.holes > 0.95 and far.own_holes < 0.1


def test_the_dots_are_the_quantiles():
    z = RNG.normal(size=(300, 2)) * [1.0, 2.0]
    display = PriorDisplay.from_codes(z, sets(300, 2))
    blue = [c.get_offsets() for c in display.axes_[0, 0].collections if c.get_zorder() == 3]
    drawn = np.stack([offsets[:, 0] for offsets in blue], axis=1)
    assert np.allclose(drawn, display.quantiles)
    assert display.widths[1] == pytest.approx(2.0, rel=0.15)
    assert len(set(COLOURS)) == 8


def test_one_set_of_draws_gives_no_bands():
    with pytest.raises(ValueError, match=r"shape \(1, 300, 2\); expected \(n_sets, n, 2\)"):
        PriorDisplay.from_codes(RNG.normal(size=(300, 2)), sets(300, 2, n_sets=1))
