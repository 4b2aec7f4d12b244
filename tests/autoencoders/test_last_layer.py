"""What fit does to the last layer of a decoder when the training is over."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from skotae import GMWAE, AdversarialAE, SinkhornAE, SymmetricWAE, VampPriorWAE, WAEEstimator
from skotae.autoencoders.bases import last_layer
from skotae.autoencoders.bases.last_layer import INFLATION, RIDGES, Sums, capped_weights, change_of
from skotae.autoencoders.bases.model import AutoencoderModel
from skotae.autoencoders.bases.modules import Decoder
from skotae.costs import SquaredEuclideanCost
from skotae.metrics import reconstruction_error
from skotae.networks import MLP, ConvNet
from skotae.testing import make_data

X = make_data(120)
RNG = np.random.default_rng(0)
# Near a plane, of which penalties of these weights leave less than components do.
FLAT = RNG.normal(size=(200, 2)) @ RNG.normal(size=(2, 20)) + 0.003 * RNG.normal(size=(200, 20))
WEIGHTS = {WAEEstimator: {"lam": 0.5}, SinkhornAE: {"beta": 0.02}, SymmetricWAE: {"alpha": 0.1}}


def rows_of(n=80, q=6, p=3, noise=1e-3, seed=0):
    """Units, and residuals that are linear in them but for noise."""
    rng = np.random.default_rng(seed)
    units = 3.0 + rng.normal(size=(n, q)) @ rng.normal(size=(q, q))
    weight, bias = rng.normal(size=(p, q)), rng.normal(size=p)
    residuals = units @ weight.T + bias + noise * rng.normal(size=(n, p))
    return units, residuals, weight, bias


def sums_of(units, residuals, *cuts, weights=None):
    blocks = np.split(np.hstack([units, residuals]), cuts)
    weights = np.ones(len(units)) if weights is None else weights
    return Sums.of(blocks, units.shape[1], weights)


def small(cls=GMWAE, **params):
    defaults = {"n_components": 2, "hidden_layer_sizes": (24,), "max_iter": 10, "random_state": 0}
    if cls is GMWAE:
        defaults["n_mixtures"] = 3
    return cls(**{**defaults, **params})


def parts_of(model):
    return [part.detach().numpy() for part in model.decoder_.state_dict().values()]


def both(cls=GMWAE, X=X, **params):
    """Fits without and with, of parts that each has for itself."""
    return [small(cls, refit_decoder=refit, **params).fit(X) for refit in (False, True)]


def error_of(model, X=FLAT):
    return reconstruction_error(X, model.reconstruct(X))


# --- the change ------------------------------------------------------------------------


def test_a_linear_map_is_found():
    units, residuals, weight, bias = rows_of()
    found = change_of(sums_of(units, residuals))
    np.testing.assert_allclose(found[0], weight, atol=5e-3)
    np.testing.assert_allclose(found[1], bias, atol=2e-2)


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_it_is_the_ridge_of_the_least_criterion(noise):
    units, residuals, *_ = rows_of(n=40, noise=noise)
    n = len(units)
    centred, middle = units - units.mean(0), residuals - residuals.mean(0)
    scatter = centred.T @ centred
    found = {}
    for ridge in RIDGES * np.linalg.eigvalsh(scatter)[-1]:
        inverse = np.linalg.inv(scatter + ridge * np.eye(len(scatter)))
        weight = (inverse @ centred.T @ middle).T
        hat = centred @ inverse @ centred.T + 1 / n
        left = np.square(middle - centred @ weight.T).sum()
        found[left / (1 - INFLATION * np.trace(hat) / n) ** 2] = weight
    weight, bias = change_of(sums_of(units, residuals))
    np.testing.assert_allclose(weight, found[min(found)], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose((residuals - units @ weight.T - bias).mean(0), 0, atol=1e-9)


def test_noise_changes_nothing():
    rng = np.random.default_rng(0)
    assert change_of(sums_of(rng.normal(size=(60, 20)), rng.normal(size=(60, 3)))) is None


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_of_any_scale(scale):
    units, residuals, weight, bias = rows_of()
    found = change_of(sums_of(units * scale, residuals))
    np.testing.assert_allclose(found[0] * scale, weight, atol=5e-3)
    np.testing.assert_allclose(found[1], bias, atol=2e-2)


@pytest.mark.parametrize("units", [np.zeros((30, 4)), np.full((30, 4), np.inf)])
def test_units_that_say_nothing(units):
    assert change_of(sums_of(units, np.ones((30, 2)))) is None


def test_blocks_make_no_difference():
    units, residuals, *_ = rows_of(noise=1.0)
    one, several = change_of(sums_of(units, residuals)), change_of(sums_of(units, residuals, 7, 30))
    np.testing.assert_allclose(several[0], one[0], rtol=1e-9, atol=1e-12)


def test_a_weight_is_so_many_rows():
    units, residuals, *_ = rows_of(noise=1.0)
    weights = np.random.default_rng(1).integers(1, 4, len(units)).astype(float)
    several = np.repeat(np.arange(len(units)), weights.astype(int))
    found = sums_of(units, residuals, 7, weights=weights)
    expected = sums_of(units[several], residuals[several])
    for one, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_more_units_than_rows(monkeypatch):
    """Directions of the rows are all that matters."""
    units, residuals, *_ = rows_of(n=20, q=30, noise=0.3)
    weights = np.random.default_rng(1).uniform(0.1, 1.0, len(units))

    def change():
        blocks = np.split(np.hstack([units, residuals]), [7])
        return last_layer.change_of_rows(iter(blocks), 30, weights)

    expected = change()
    monkeypatch.setattr(last_layer, "MANY_UNITS", 0)
    for found, other in zip(change(), expected, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-6, atol=1e-9)


def test_a_wide_decoder_takes_no_longer_than_its_rows_ask_for(monkeypatch):
    widths, eigh = [], np.linalg.eigh

    def watched(matrix):
        widths.append(len(matrix))
        return eigh(matrix)

    monkeypatch.setattr(np.linalg, "eigh", watched)
    trained, solved = both(WAEEstimator, FLAT, hidden_layer_sizes=(2000,), max_iter=2, lam=0.5)
    assert error_of(solved) < 0.5 * error_of(trained)
    assert max(widths) == len(FLAT)


def test_no_row_counts_for_more_than_some():
    squares = np.array([0.0, 1.0, 1.0, 2.0, 1e8])
    np.testing.assert_allclose(squares * capped_weights(squares), [0, 1, 1, 2, 4])
    np.testing.assert_array_equal(capped_weights(np.zeros(3)), 1.0)


# --- fits ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cls", [AdversarialAE, GMWAE, SinkhornAE, SymmetricWAE, VampPriorWAE, WAEEstimator]
)
def test_rows_come_back_closer_and_nothing_else_changes(cls):
    trained, solved = both(cls, FLAT, **WEIGHTS.get(cls, {}))
    assert error_of(solved) < 0.5 * error_of(trained)
    np.testing.assert_array_equal(solved.transform(FLAT), trained.transform(FLAT))
    names = trained.decoder_.state_dict()
    changed = {
        name
        for name, *pair in zip(names, parts_of(trained), parts_of(solved), strict=True)
        if not np.array_equal(*pair)
    }
    path = {"net.weight", "net.bias", "net.gain"}
    assert changed - path == {"net.net.2.weight", "net.net.2.bias"}


def test_components_stay_as_they_were():
    trained, solved = both()
    np.testing.assert_array_equal(solved.predict_proba(X), trained.predict_proba(X))


def test_codes_count_where_there_is_a_linear_path(monkeypatch):
    """Eight units alone would leave twenty times what components do."""
    # With networks that count for little there would be little to solve for.
    monkeypatch.setattr(AutoencoderModel, "codes_stay", False)
    pca = PCA(2).fit(FLAT)
    left = reconstruction_error(FLAT, pca.inverse_transform(pca.transform(FLAT)))
    options = {"hidden_layer_sizes": (8,), "lam": 0.5, "max_iter": 30, "random_state": 15}
    trained, solved = map(error_of, both(WAEEstimator, FLAT, **options))
    assert solved < 4 * left < 0.1 * trained


def frozen(n_in, n_out):
    net = nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Linear(8, n_out))
    net[-1].bias.requires_grad_(False)
    return net


@pytest.mark.parametrize(
    "params",
    [
        {"decoder": ConvNet((2, 3), (4,))},
        {"cost": SquaredEuclideanCost(bounds=(-20.0, 20.0))},
        {"cost": "cityblock"},
        {"decoder": MLP((8,), dropout=0.2)},
        {"decoder": MLP((8,), batch_norm=True)},
        {"decoder": frozen},
        {"decoder": lambda n_in, n_out: nn.Linear(n_in, n_out, bias=False)},
    ],
    ids=["convolutions", "bounds", "cityblock", "dropout", "batch_norm", "frozen", "other layers"],
)
def test_what_cannot_be_solved_stays_as_it_was_trained(params):
    for trained, solved in zip(*map(parts_of, both(max_iter=2, **params)), strict=True):
        np.testing.assert_array_equal(solved, trained)


def twice_the_same(n_in, n_out):
    """The last layer is among those before it too."""
    last = nn.Linear(n_out, n_out)
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Tanh(), last, nn.Tanh(), last)


class Pair:
    """Encoder and decoder that have a weight, or a layer, in common."""

    def __init__(self, own_bias):
        self.own_bias = own_bias

    def encoder(self, n_in, n_out):
        self.layer = nn.Linear(n_in, n_in)
        return nn.Sequential(self.layer, nn.Tanh(), nn.Linear(n_in, n_out))

    def decoder(self, n_in, n_out):
        last = self.layer
        if self.own_bias:
            last = nn.Linear(n_out, n_out)
            last.weight = self.layer.weight
        return nn.Sequential(nn.Linear(n_in, n_out), nn.Tanh(), last)


@pytest.mark.parametrize("shared", ["layer", "weight", "in the decoder"])
def test_a_layer_with_another_place_stays_as_it_was_trained(shared):
    """Else codes, or the units that it is solved for, would change with it."""
    fits = []
    for refit in (False, True):
        pair = Pair(own_bias=shared == "weight")
        networks = {"encoder": pair.encoder, "decoder": pair.decoder}
        if shared == "in the decoder":
            networks = {"decoder": twice_the_same}
        fits.append(small(WAEEstimator, max_iter=5, refit_decoder=refit, **networks).fit(X))
    trained, solved = fits
    np.testing.assert_array_equal(solved.transform(X), trained.transform(X))
    np.testing.assert_array_equal(solved.reconstruct(X), trained.reconstruct(X))


class OwnDecoder(Decoder):
    def forward(self, z):
        return 2.0 * super().forward(z)


class WithOwnDecoder(WAEEstimator._model_class):
    def make_networks(self, plan):
        super().make_networks(plan)
        self.decoder = OwnDecoder(self.decoder.net, self.decoder.cost)


class OwnEstimator(WAEEstimator):
    _model_class = WithOwnDecoder


def test_a_decoder_that_ends_in_something_else_stays_as_it_was_trained():
    for trained, solved in zip(*map(parts_of, both(OwnEstimator, FLAT)), strict=True):
        np.testing.assert_array_equal(solved, trained)


def tiny_units(n_in, n_out):
    net = nn.Sequential(nn.Linear(n_in, 8, bias=False), nn.Tanh(), nn.Linear(8, n_out))
    net[0].weight.requires_grad_(False).mul_(1e-40)
    return net


def test_weights_beyond_the_range_are_not_taken():
    for trained, solved in zip(*map(parts_of, both(WAEEstimator, decoder=tiny_units)), strict=True):
        np.testing.assert_array_equal(solved, trained)


@pytest.mark.parametrize("n_pseudo_inputs", [1, 3])
@pytest.mark.parametrize("beta", [0.51, 0.6, 0.75, 0.9])
def test_denoising_and_reconstruction_together_do_not_lose(beta, n_pseudo_inputs):
    """Draws of few priors tell little of a row: the best for them alone is near a constant."""
    options = {"max_iter": 3, "latent": "prior", "hidden_layer_sizes": (32,)}
    waves = np.sin(np.linspace(0, 6, 200)[:, None] + np.arange(12) / 2)
    models = both(SymmetricWAE, waves, beta=beta, n_pseudo_inputs=n_pseudo_inputs, **options)

    def objective(fitted):
        model, generator = fitted.model_, torch.Generator().manual_seed(1)
        x = torch.from_numpy(fitted._units.standardised(waves)).float().repeat(20, 1)
        with torch.no_grad():
            z = model.encoder(x)
            draws = model.conditional_prior.sample(model._nearest_inputs(x, z), generator)
            errors = [(x - model.decoder(each)).square().sum(1).mean() for each in (draws, z)]
        return beta * errors[0] + (1 - beta) * errors[1]

    trained, solved = map(objective, models)
    # It is solved for one of both codes of each row, and a draw of that.
    assert solved < 1.01 * trained


def test_partial_fit_leaves_it_alone():
    models = [small(refit_decoder=refit).partial_fit(X).partial_fit(X) for refit in (False, True)]
    for trained, solved in zip(*map(parts_of, models), strict=True):
        np.testing.assert_array_equal(solved, trained)


def test_rows_in_blocks_are_all_looked_at(monkeypatch):
    from skotae.autoencoders.bases import inference

    expected = parts_of(small().fit(X))
    monkeypatch.setattr(inference, "rows_at_once", lambda *_: 17)
    for block, whole in zip(parts_of(small().fit(X)), expected, strict=True):
        np.testing.assert_allclose(block, whole, rtol=1e-4, atol=1e-5)


OUT_OF_MEMORY = {
    "numpy": MemoryError("Unable to allocate 8 TiB"),
    "torch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 TiB"),
    "device": torch.OutOfMemoryError("CUDA out of memory."),
}


def fails_with(monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(last_layer, "change_of_rows", fail)


@pytest.mark.parametrize("cls", [WAEEstimator, GMWAE])
@pytest.mark.parametrize("who", OUT_OF_MEMORY)
def test_without_memory_for_it_the_decoder_stays_as_it_was_trained(monkeypatch, who, cls):
    trained = small(cls, refit_decoder=False).fit(FLAT)
    fails_with(monkeypatch, OUT_OF_MEMORY[who])
    with pytest.warns(UserWarning, match="not enough memory .* last layer .*: it stays") as told:
        solved = small(cls).fit(FLAT)
    assert told[0].filename == __file__ or cls is GMWAE
    for layers in zip(parts_of(trained), parts_of(solved), strict=True):
        np.testing.assert_array_equal(*layers)
    np.testing.assert_array_equal(
        solved.sample(3, random_state=0), trained.sample(3, random_state=0)
    )


def test_other_errors_are_raised(monkeypatch):
    fails_with(monkeypatch, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        small(WAEEstimator).fit(FLAT)
