"""Parameters changed after a fit: without effect until training goes on, and then with one."""

import copy
import pickle
from functools import cache
from itertools import chain, combinations

import numpy as np
import pytest
import torch

import skotae
from skotae.networks import MLP
from skotae.testing import make_data
from skotae.testing.base import results_of

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
OBJECTIVE = {
    "WAEEstimator": {"lam": 30.0},
    "SinkhornAE": {"beta": 3.0, "epsilon": 5.0, "p": 1, "debias": "none", "root": True},
    "SinkhornEncoder": {"contraction": 9.0, "epsilon": 5.0, "p": 1},
    "SymmetricWAE": {"alpha": 3.0, "beta": 0.9, "p": 1, "metric": "cosine", "search": "latent"},
    "GMWAE": {
        "lam": 30.0,
        "discrepancy": "marginal",
        "information": 9.0,
        "balance": 9.0,
        "smoothness": 99.0,
        "radius": 9.0,
    },
    "GMVAE": {"beta": 9.0},
    "VAE": {"beta": 9.0},
    "InfoVAE": {"alpha": 0.5, "lam": 30.0},
    "HypersphericalVAE": {"beta": 9.0},
    "VampPriorVAE": {"beta": 9.0},
    "VampPriorWAE": {"lam": 30.0},
    "MIM": {"min_scale": 0.1},
    "AdversarialAE": {"gradient_penalty": 9.0, "sigma": 3.0},
    "AdversarialVB": {"n_discriminator": 3, "adaptive_contrast": False},
    "WGAN": {"gradient_penalty": 0.1, "n_critic": 1},
    "CoupledVAE": {"epsilon": 100.0, "n_bank": 32, "n_bank_steps": 1, "strategy": "primal"},
}
SHAPING = {
    "GMWAE": {"n_mixtures": 4, "separation": 2.0, "moments": "shared", "init": "clusters"},
    "SymmetricWAE": {"n_pseudo_inputs": 5, "init": "random"},
    "VampPriorWAE": {"n_pseudo_inputs": 5, "penalty": "sliced", "posterior": "deterministic"},
    "CoupledVAE": {"potential": "network", "posterior": "amortised", "plan_decay": 0.5},
    "WGAN": {"critic": MLP((3,))},
    "PlanarFlowVAE": {"n_flows": 3},
    "AdversarialVB": {"n_noise": 3},
    "WAEEstimator": {"penalty": "sliced", "posterior": "gaussian", "prior": "uniform"},
}
EVERYWHERE = {
    "n_components": 3,
    "hidden_layer_sizes": (4,),
    "activation": "tanh",
    "cost": "euclidean",
    "encoder": MLP((4,)),
    "decoder": MLP((4,)),
}
X = make_data(24)


def having(model, params):
    return {name: value for name, value in params.items() if name in model.get_params()}


def pairs(table):
    return [(name, key) for name in table for key in table[name]]


def assert_equal(first, second, what):
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=f"{what}: {name}")


@pytest.mark.parametrize("name", NAMES)
def test_parameters_set_after_a_fit_wait(name, small):
    """Inference is by the parameters of the fit; `clip`, which acts on samples, is not asked."""
    model = small(name).fit(X)
    before = {**results_of(model, X), "score": model.score(X)}
    changed = {
        **having(model, EVERYWHERE),
        **OBJECTIVE.get(name, {}),
        **SHAPING.get(name, {}),
        **having(model, {"cost_scale": 9.0, "random_state": 5, "batch_size": 4, "prior": "sphere"}),
    }
    model.set_params(**changed)
    assert_equal(before, {**results_of(model, X), "score": model.score(X)}, f"{changed}")


def test_clip_acts_at_once(small):
    model = small("WAEEstimator", clip=False, learning_rate_init=0.1).fit(X)
    wide = model.sample(50, random_state=0)
    narrow = model.set_params(clip=True).sample(50, random_state=0)
    np.testing.assert_array_equal(narrow, wide.clip(X.min(0), X.max(0)))


def found(model):
    return {**results_of(model, X), **model.history_}


@pytest.fixture(scope="module")
def unchanged(small):
    """By name: two epochs, and what two more with the same parameters find."""

    @cache
    def make(name):
        model = small(name, warm_start=True, max_iter=2).fit(X)
        return model, found(copy.deepcopy(model).fit(X))

    return make


@pytest.mark.parametrize(("name", "key"), pairs(OBJECTIVE))
def test_objective_can_change(name, key, unchanged):
    """A warm start with another weight differs from one with the old, and counts on."""
    before, first = unchanged(name)
    model = copy.deepcopy(before).set_params(**{key: OBJECTIVE[name][key]})
    second = found(model.fit(X))
    assert model.n_iter_ == 4
    assert {len(values) for values in model.history_.values()} == {4}
    assert any(not np.array_equal(first[k], second[k]) for k in first), "without effect"


@pytest.mark.parametrize("key", ["lam", "batch_size", "learning_rate_init", "random_state", "tol"])
def test_partial_fit_takes_parameters_as_they_are(key, small):
    values = {"lam": 30.0, "batch_size": 4, "learning_rate_init": 0.1, "random_state": 3, "tol": 1}
    models = [small("WAEEstimator").partial_fit(X) for _ in range(2)]
    models[1].set_params(**{key: values[key]})
    first, second = (model.partial_fit(X).transform(X) for model in models)
    assert np.array_equal(first, second) == (key == "tol")


@pytest.mark.parametrize("name", ["WAEEstimator", "AdversarialVB"])
def test_partial_fit_takes_another_weight_decay(name, small):
    """Whether weights decayed before or not; the averages of the optimiser stay."""
    found = {}
    for before, after in [(0.0, 50.0), (1.0, 50.0), (50.0, 50.0), (50.0, 0.0), (0.0, 0.0)]:
        model = small(name, weight_decay=before).partial_fit(X)
        steps = _steps(model)
        model.set_params(weight_decay=after).partial_fit(X)
        assert _steps(model) == [2 * n for n in steps] and min(steps) > 0
        found[before, after] = model.transform(X)
    for (one, a), (other, b) in combinations(found.items(), 2):
        assert not np.array_equal(a, b), f"{one} and {other} give the same"


def _steps(model):
    """Of each parameter, how many its averages are of."""
    kept = (optimiser["state"].values() for optimiser in model._optimiser_state)
    return [int(values["step"]) for values in chain.from_iterable(kept)]


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(("name", "key"), pairs(SHAPING) + pairs({"WAEEstimator": EVERYWHERE}))
def test_shape_cannot_change(name, key, call, unchanged, digest):
    """It is refused by name, and the old fit is there as before."""
    value = SHAPING.get(name, {}).get(key, EVERYWHERE.get(key))
    model = copy.deepcopy(unchanged(name)[0])
    before = digest(model, X)
    model.set_params(**{key: value})
    with pytest.raises(ValueError, match=rf"{key}=.* \(was .*\) cannot change"):
        getattr(model, call)(X)
    assert digest(model, X) == before
    model.set_params(warm_start=False).fit(X)
    assert model.n_iter_ == 2


def test_other_width_of_rows(small, digest):
    model = small("WAEEstimator", warm_start=True).fit(X)
    before = digest(model, X)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="features"):
            call(X[:, :3])
        assert digest(model, X) == before


@pytest.mark.parametrize("name", [n for n in NAMES if n != "WGAN"])
def test_history_after_early_stopping_and_partial_fit(name, small):
    """All lists are as long as there were epochs; what an epoch did not have is NaN there."""
    model = small(name, early_stopping=True, validation_fraction=0.25).fit(X)
    n = model.n_iter_
    model.partial_fit(X).partial_fit(X)
    assert model.n_iter_ == n + 2
    assert {len(values) for values in model.history_.values()} == {n + 2}
    validation = model.history_["validation_loss"]
    assert np.isfinite(validation[:n]).all() and np.isnan(validation[n:]).all()
    model.set_params(warm_start=True, max_iter=2).fit(X)
    assert {len(values) for values in model.history_.values()} == {model.n_iter_}
    assert np.isfinite(model.history_["loss"]).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n != "WGAN"])
def test_the_least_loss_is_of_one_kind(name, small):
    """Losses of rows that were trained on are no measure for those of rows that were not."""
    model = small(name, warm_start=True, validation_fraction=0.25).fit(X)
    for stopping, watched in [
        (True, "validation_loss"),
        (True, "validation_loss"),
        (False, "loss"),
    ]:
        model.set_params(early_stopping=stopping).fit(X)
        assert model.best_loss_ == np.nanmin(model.history_[watched])
    model = small(name, early_stopping=True, validation_fraction=0.25).fit(X).partial_fit(X)
    assert model.best_loss_ == min(model.history_["loss"])


@pytest.mark.parametrize("name", NAMES)
def test_warm_start_leaves_copies_alone(name, small, digest):
    """A shallow copy shares the model until one of the two is trained."""
    model = small(name, warm_start=True).fit(X)
    twin = model.__copy__()
    before = digest(twin, X)
    state = {k: v.clone() for k, v in model.model_.state_dict().items() if torch.is_tensor(v)}
    model.fit(X)
    assert digest(twin, X) == before
    assert all(torch.equal(v, twin.model_.state_dict()[k]) for k, v in state.items())


def validation_loss(model, rows):
    """Of the last epoch: where nothing moves, it tells which rows were held out."""
    return model.fit(rows).history_["validation_loss"][-1]


@pytest.mark.parametrize("seed", [0, None, "generator"])
def test_the_same_rows_are_held_out_again(seed, small):
    """What has been trained on would tell nothing of rows that have not."""
    model = small(
        "WAEEstimator",
        **{"early_stopping": True, "warm_start": True, "validation_fraction": 0.2},
        **{"learning_rate_init": 1e-30, "weight_decay": 0.0, "lam": 0.0},
        random_state=np.random.RandomState(0) if seed == "generator" else seed,
    )
    first = pytest.approx(validation_loss(model, X), rel=1e-5)
    assert validation_loss(model, X) == first
    assert validation_loss(pickle.loads(pickle.dumps(model)), X) == first
    assert validation_loss(model, 1.0 - X) != first
    assert validation_loss(model, X) == first
    # Another number of rows, or another seed, is another choice.
    assert validation_loss(copy.deepcopy(model), X[:-4]) != first
    if seed is not None:
        assert validation_loss(model.set_params(random_state=5), X) != first


def test_a_warm_fit_keeps_what_it_cannot_better(small):
    """Of weights that the first epochs make worse those of before stay, and it stops."""
    options = {"early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 2}
    model = small("WAEEstimator", max_iter=30, warm_start=True, **options).fit(X)
    before, n_iter, least = results_of(model, X), model.n_iter_, model.best_loss_
    model.set_params(learning_rate_init=5.0, max_iter=9).fit(X)
    assert min(model.history_["validation_loss"][n_iter:]) > least
    assert model.n_iter_ == n_iter + 2
    assert model.best_loss_ == least
    after = results_of(model, X)
    assert all(np.array_equal(after[name], values) for name, values in before.items())
