"""Weights that are "auto": in proportion to what principal components leave of the rows."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skotae import GMWAE, SinkhornAE, SymmetricWAE, VampPriorWAE, WAEEstimator
from skotae.autoencoders.bases.model import AutoencoderModel
from skotae.persistence import load

# Of each: the parameter, its fitted attribute, the usual weight, and what it is multiplied by.
WEIGHTS = {
    WAEEstimator: ("lam", "lam_", 0.5, lambda share: share),
    SinkhornAE: ("beta", "beta_", 0.02, lambda share: share),
    SymmetricWAE: ("alpha", "alpha_", 0.01, lambda share: share**0.5),
    GMWAE: ("lam", "lam_", 0.05, lambda share: min(1.0, 5.0 * share)),
}
EACH = pytest.mark.parametrize("cls", WEIGHTS)
OPTIONS = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def rows(n=60, p=6, noise=0.3, seed=0):
    """Rows near a plane, of one unit."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, p)) + noise * rng.normal(size=(n, p))


X = rows()


def weight_of(cls, X=X, n_components=2, **params):
    model = cls(n_components, **{**OPTIONS, **params}).fit(X)
    return getattr(model, WEIGHTS[cls][1])


def share_of(X, n_components):
    return 1.0 - PCA(n_components).fit(X).explained_variance_ratio_.sum()


@EACH
@pytest.mark.parametrize("n_components", [1, 2, 4])
@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_it_is_a_share_of_the_usual_one(cls, n_components, unit):
    _, _, usual, factor = WEIGHTS[cls]
    found = weight_of(cls, unit * X, n_components, scale="global")
    np.testing.assert_allclose(found, usual * factor(share_of(X, n_components)), rtol=1e-6)


@EACH
def test_columns_of_their_own_units_have_a_vote_each(cls):
    wide = X * np.logspace(0, 5, X.shape[1])
    _, _, usual, factor = WEIGHTS[cls]
    expected = usual * factor(share_of(X / X.std(axis=0), 2))
    np.testing.assert_allclose(weight_of(cls, wide, scale="columns"), expected, rtol=1e-5)


@EACH
def test_rows_that_components_hold_whole(cls):
    assert weight_of(cls, rows(noise=0.0)) == 0.01 * WEIGHTS[cls][2]


@EACH
@pytest.mark.parametrize(
    "params",
    [
        {"latent": "prior"},
        {"n_components": X.shape[1]},
        {"cost": "cityblock"},
        {"cost": "bernoulli", "X": (X - X.min()) / np.ptp(X)},
        {"X": np.ones((8, 3))},
    ],
    ids=["prior", "all components", "another cost", "likelihood", "constant rows"],
)
def test_where_it_keeps_its_full_size(cls, params):
    assert weight_of(cls, **params) == WEIGHTS[cls][2]


@pytest.mark.parametrize("cls", [WAEEstimator, SinkhornAE])
@pytest.mark.parametrize("prior", ["normal", "sphere", "uniform"])
def test_a_prior_of_choice_is_to_be_followed(cls, prior):
    assert weight_of(cls, prior=prior) == WEIGHTS[cls][2]


def test_roots_have_the_full_weight():
    assert weight_of(SinkhornAE, root=True) == 0.02


def test_a_fit_that_goes_on_with_roots_has_the_full_weight():
    model = SinkhornAE(2, warm_start=True, **OPTIONS).fit(X)
    first = model.beta_
    assert model.set_params(root=True).fit(X).beta_ == 0.02 > first
    np.testing.assert_allclose(model.set_params(root=False).fit(X).beta_, first, rtol=1e-6)


@EACH
def test_a_number_is_what_it_is(cls):
    name, _, usual, _ = WEIGHTS[cls]
    assert weight_of(cls, **{name: usual}) == usual


@EACH
def test_it_is_the_same_as_that_number(cls):
    name, attribute, *_ = WEIGHTS[cls]
    model = cls(2, **OPTIONS).fit(X)
    same = cls(2, **OPTIONS, **{name: getattr(model, attribute)}).fit(X)
    np.testing.assert_array_equal(model.transform(X), same.transform(X))


@EACH
def test_a_fit_that_goes_on(cls):
    """The share is that of the first fit, until what it depends on is changed."""
    name, attribute, usual, _ = WEIGHTS[cls]
    model = cls(2, warm_start=True, **OPTIONS).fit(X)
    first = getattr(model, attribute)
    assert getattr(model.fit(rows(noise=1.0)), attribute) == first
    assert getattr(model.set_params(latent="prior").fit(X), attribute) == usual
    assert getattr(model.set_params(**{name: 0.3}).fit(X), attribute) == 0.3
    model.set_params(**{name: "auto"}, latent="auto").fit(X)
    np.testing.assert_allclose(getattr(model, attribute), first, rtol=1e-6)


@EACH
@pytest.mark.parametrize("chunk", [X[:3], np.repeat(X[:1], 3, axis=0)], ids=["three rows", "one"])
def test_a_small_chunk_tells_nothing_of_the_share(cls, chunk, tmp_path):
    """Of three rows two components leave nothing, and of one row thrice there are none."""
    name, attribute, *_ = WEIGHTS[cls]
    model = cls(2, **OPTIONS).partial_fit(X)
    first = getattr(model, attribute)
    assert getattr(model.set_params(latent="mixture").partial_fit(chunk), attribute) == first
    model.save(tmp_path / "model")
    model = load(tmp_path / "model")
    model.set_params(**{name: 0.3}).partial_fit(chunk)
    assert getattr(model.set_params(**{name: "auto"}).partial_fit(chunk), attribute) == first


@EACH
def test_a_new_fit_has_a_share_of_its_own(cls):
    model = cls(2, **OPTIONS).fit(X)
    _, attribute, *_ = WEIGHTS[cls]
    again = rows(noise=0.2)
    assert getattr(model.fit(again), attribute) == weight_of(cls, again)


@EACH
def test_saved_and_loaded(cls, tmp_path):
    attribute = WEIGHTS[cls][1]
    model = cls(2, **OPTIONS).partial_fit(X)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert getattr(again, attribute) == getattr(model, attribute) < WEIGHTS[cls][2]
    again.partial_fit(X)
    assert getattr(again, attribute) == getattr(model, attribute)


def test_a_prior_of_pseudo_inputs_has_the_full_weight():
    assert VampPriorWAE(2, **OPTIONS).fit(X).lam_ == 0.5


def test_rows_that_leave_little_come_back_as_from_components(monkeypatch):
    """Without that, the penalty would be worth more than all that there is to reconstruct."""
    # Networks that count for little keep codes near the components, whatever the penalty.
    monkeypatch.setattr(AutoencoderModel, "codes_stay", False)
    X = rows(n=200, p=20, noise=0.003)
    errors = {}
    for lam in ("auto", 0.5):
        model = WAEEstimator(2, lam=lam, refit_decoder=False, random_state=0, max_iter=30).fit(X)
        errors[lam] = np.square(model.reconstruct(X) - X).mean()
    pca = PCA(2).fit(X)
    components = np.square(pca.inverse_transform(pca.transform(X)) - X).mean()
    assert errors["auto"] < 1.5 * components < 0.5 * errors[0.5]
