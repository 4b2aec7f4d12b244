"""Every estimator with every part: what comes back from a file is what went in, bit for bit."""

import os
import sys
import warnings

import numpy as np
import pytest
import torch
from scipy import stats

import skotae
from skotae import costs, divergences, networks, priors
from skotae.testing import make_data

X = make_data(40)
UNIT = (X - X.min()) / (X.max() - X.min())
IMAGES = np.random.RandomState(0).uniform(size=(24, 36)).astype(np.float32)
PRIORS = {
    "atoms": priors.AtomsPrior(
        np.random.RandomState(0).normal(size=(5, 2)), weights=[1, 2, 3, 4, 5]
    ),
    "dirichlet": priors.DirichletPrior([0.5, 2.0]),
    "learned dirichlet": priors.DirichletPrior(0.5, learn=True),
    "scipy": priors.DistributionPrior(stats.t(df=5)),
    "torch": priors.DistributionPrior(torch.distributions.Laplace(0.0, 1.0)),
    "mixture": priors.GaussianMixturePrior(n_mixtures=4, scale=0.5),
    "normal": priors.NormalPrior(scale=0.3),
    "sphere": priors.SpherePrior(radius=3.0),
    "uniform": priors.UniformPrior(low=2.0, high=5.0),
}
COSTS = {
    "bernoulli": costs.BernoulliCost(),
    "cityblock": costs.CityBlockCost(),
    "euclidean": costs.EuclideanCost(),
    "gaussian": costs.GaussianCost(per_feature=True),
    "heteroscedastic": costs.HeteroscedasticCost(per_feature=False),
    "bounded": costs.SquaredEuclideanCost(bounds=(0, 1)),
}
DIVERGENCES = {
    "gan": divergences.AdversarialDivergence(hidden_layer_sizes=(16,)),
    "exact": divergences.ExactDivergence(debias="none", p=1),
    "gaussian": divergences.GaussianDivergence(),
    "mmd": divergences.MMD(bandwidth=2.0, scales=(1.0,)),
    "sinkhorn": divergences.SinkhornDivergence(debias="paired", sharp=True),
    "sliced": divergences.SlicedDivergence(n_projections=5),
}
MIXTURES = {"GMWAE": {"n_mixtures": 3}, "GMVAE": {"n_mixtures": 3}}
NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]


def small(name, **params):
    defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    return getattr(skotae, name)(**{**defaults, **MIXTURES.get(name, {}), **params})


def cases():
    """Name, estimator and data."""
    for name in NAMES:
        yield name, small(name), X
    for name, prior in PRIORS.items():
        yield f"prior {name}", small("SinkhornAE", prior=prior), X
    yield "coupled with atoms", small("CoupledVAE", prior=PRIORS["atoms"]), X
    yield "coupled with a noise of codes", small("CoupledVAE", cost="heteroscedastic"), X
    yield "coupled with networks", small("CoupledVAE", potential="network", dual="full"), X
    for name, cost in COSTS.items():
        yield f"cost {name}", small("WAEEstimator", cost=cost), UNIT
    for name, divergence in DIVERGENCES.items():
        yield f"divergence {name}", small("WAEEstimator", penalty=divergence), X
    mlp = networks.MLP((6, 6), batch_norm=True, dropout=0.2, residual=True, activation="gelu")
    yield "network mlp", small("VAE", encoder=mlp, decoder="mlp"), X
    conv = networks.ConvNet(image_shape=(6, 6), channels=(3, 4), hidden=8)
    yield "network conv", small("SymmetricWAE", encoder=conv, decoder=conv), IMAGES
    yield "class of torch", small("WAEEstimator", encoder=torch.nn.Linear), X


CASES = {name: (estimator, data) for name, estimator, data in cases()}
TRUSTED = ["torch.nn.modules.linear.Linear"]


def results(model, data):
    """What the model makes of data, and makes up, as a dictionary of arrays."""
    found = {"score": model.score(data)}
    for method in ("transform", "score_samples", "predict_proba", "effective_sample_size"):
        if hasattr(model, method):
            found[method] = getattr(model, method)(data)
    if hasattr(model, "sample"):
        found["sample"] = model.sample(4, random_state=0)
    model.partial_fit(data)
    found["score after partial_fit"] = model.score(data)
    found["n_iter_"], found["loss"] = model.n_iter_, model.history_["loss"]
    return found


def weight_bytes(model):
    state = model.model_.state_dict().values()
    return sum(part.nbytes for part in state if isinstance(part, torch.Tensor))


@pytest.mark.filterwarnings("ignore:The median effective sample size")
def test_round_trips_in_another_process(start_process, tmp_path):
    """Files are written here, and read and looked at there."""
    for i, (estimator, data) in enumerate(CASES.values()):
        model = estimator.fit(data)
        path = tmp_path / f"{i}.safetensors"
        model.save(path)
        assert path.stat().st_size <= 1.02 * weight_bytes(model) + 20_000
        np.savez(tmp_path / f"{i}.npz", **results(model, data))
    code, text = start_process(__file__, tmp_path).finish()
    assert code == 0, text[-4000:]
    assert text.split()[-1] == str(len(CASES))


def test_an_unfitted_estimator(tmp_path):
    path = tmp_path / "model.safetensors"
    model = small("WAEEstimator", lam=0.3, prior=priors.SpherePrior(2.0))
    model.save(path)
    again = skotae.load(path)
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again.fit(X).transform(X), model.fit(X).transform(X))


def test_data_frames_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "model.safetensors"
    frame = pandas.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    model = small("VAE").fit(frame)
    model.save(path)
    again = skotae.load(path)
    pandas.testing.assert_frame_equal(
        again.sample(3, random_state=0), model.sample(3, random_state=0)
    )
    assert list(again.feature_names_in_) == list(frame.columns)


def test_parameters_set_after_the_fit(tmp_path):
    """The file holds both: what was fitted, and the parameters of the next fit."""
    path = tmp_path / "model.safetensors"
    model = small("CoupledVAE").fit(X).set_params(epsilon=100.0, n_components=3)
    model.save(path)
    again = skotae.load(path)
    assert (again.epsilon, again.n_components) == (100.0, 3)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert again.transform(X).shape == (40, 2)


def test_the_device_can_be_another(tmp_path):
    path = tmp_path / "model.safetensors"
    small("WAEEstimator").fit(X).save(path)
    again = skotae.load(path, device="cpu")
    assert again.get_params()["device"] == "cpu"
    assert again.device_ == torch.device("cpu")
    assert {p.device for p in again.model_.parameters()} == {again.device_}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_model_is_placed(tmp_path):
    path = tmp_path / "model.safetensors"
    small("WAEEstimator", device="cpu").fit(X).save(path)
    again = skotae.load(path, device="cuda")
    assert {p.device.type for p in again.model_.parameters()} == {"cuda"}


@pytest.mark.parametrize(
    "params",
    [{"cost": lambda x, y: (x - y).abs().sum(-1)}, {"encoder": torch.nn.Linear(6, 2)}],
    ids=["lambda", "live module"],
)
def test_what_cannot_be_saved_says_so(tmp_path, params):
    model = small("WAEEstimator", **params)
    with pytest.raises(skotae.exceptions.UnsavableError, match=f"{[*params][0]}"):
        model.save(tmp_path / "model.safetensors")
    assert not [*tmp_path.iterdir()]


def main(folder):
    warnings.simplefilter("ignore")
    n = 0
    for i, (_, data) in enumerate(CASES.values()):
        model = skotae.load(os.path.join(folder, f"{i}.safetensors"), trusted=TRUSTED)
        expected = np.load(os.path.join(folder, f"{i}.npz"))
        for name, found in results(model, data).items():
            np.testing.assert_array_equal(found, expected[name], err_msg=f"{i}: {name}")
        n += 1
    print(n)


if __name__ == "__main__":
    main(sys.argv[1])
