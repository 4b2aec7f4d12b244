"""A penalty on the codes of more rows than a mini-batch has (`penalty_batch_size`)."""

import pickle

import numpy as np
import pytest

from skotae import SinkhornAE, WAEEstimator
from skotae.divergences import DIVERGENCES, MMD
from skotae.testing import gaussian_in_subspace, make_data

X = make_data(48)


def small(cls=SinkhornAE, **params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return cls(**{**defaults, **params})


class Recorder(MMD):
    """Remembers the codes that it is called with while a model is in training mode."""

    def build(self, prior, n_components):
        self.seen = []
        return self

    def __call__(self, z, prior_draws, **kwargs):
        assert prior_draws.shape == z.shape
        if z.requires_grad:
            self.seen.append(z.detach().clone())
        return super().__call__(z, prior_draws, **kwargs)


def recorded(n, batch_size):
    """Codes that each penalty of one epoch saw; the encoder as good as stands still."""
    model = small(
        WAEEstimator,
        penalty=Recorder(),
        penalty_batch_size=n,
        batch_size=batch_size,
        learning_rate_init=1e-12,
        max_iter=1,
    ).fit(X)
    # The first is that of the rehearsal.
    return model, model.divergence_.seen[1:]


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (32, 4, [8, 16, 24, 32, 32, 32]),  # a penalty for every 8 rows, 32 rows at most
        (48, 16, [16, 32, 48]),
        (20, 16, [16, 16, 16]),  # no room for a second mini-batch
        (1000, 16, [48]),  # at the end of the epoch, if not before
    ],
)
def test_it_sees_the_latest_rows_of_the_epoch(n, batch_size, sizes):
    _, seen = recorded(n, batch_size)
    assert [len(z) for z in seen] == sizes


def test_no_row_is_there_twice():
    model, seen = recorded(32, 4)
    codes = model.transform(X)
    for z in seen:
        distances = np.linalg.norm(z.numpy()[:, None] - codes, axis=2)
        assert distances.min(axis=1).max() < 1e-5
        assert len(set(distances.argmin(axis=1))) == len(z)


class One(MMD):
    def __call__(self, z, prior_draws, **kwargs):
        return z.sum() * 0 + 1.0


@pytest.mark.parametrize("n", [None, 16, 32, 1000])
@pytest.mark.parametrize("batch_size", [16, 20])
def test_its_weight_over_an_epoch_is_that_of_the_parameter(n, batch_size):
    model = small(
        WAEEstimator, penalty=One(), lam=0.3, penalty_batch_size=n, batch_size=batch_size
    ).fit(X)
    assert model.history_["penalty"] == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("penalty", sorted(DIVERGENCES))
def test_every_penalty_takes_it(penalty):
    model = small(WAEEstimator, penalty=penalty, penalty_batch_size=32, batch_size=8).fit(X)
    assert np.isfinite(model.history_["loss"]).all()
    without = small(WAEEstimator, penalty=penalty, batch_size=8).fit(X)
    assert np.abs(model.transform(X) - without.transform(X)).max() > 0


def test_codes_spread_as_the_prior_does():
    """Mini-batches of 8 say little of a distribution in 16 dimensions."""
    data, _ = gaussian_in_subspace(512, 16, 16, random_state=0)

    def error(penalty_batch_size):
        model = SinkhornAE(
            16,
            beta=1.0,
            penalty_batch_size=penalty_batch_size,
            hidden_layer_sizes=(),
            learning_rate_init=0.01,
            batch_size=8,
            max_iter=10,
            random_state=0,
        )
        covariance = np.cov(model.fit_transform(data).T)
        return np.abs(covariance - model.prior_.moments(16)[1].numpy()).max()

    assert error(64) < min(0.2, 0.6 * error(None))


class Interrupts(MMD):
    """As if the user pressed a key in the second epoch."""

    def build(self, prior, n_components):
        self.n_calls = 0
        return self

    def __call__(self, z, prior_draws, **kwargs):
        self.n_calls += z.requires_grad
        if self.n_calls == 9:  # of six in an epoch
            raise KeyboardInterrupt
        return super().__call__(z, prior_draws, **kwargs)


@pytest.mark.filterwarnings("ignore:Training interrupted")
@pytest.mark.parametrize(("penalty", "n_iter"), [(MMD(), 2), (Interrupts(), 1)])
def test_rows_are_not_kept_after_training(penalty, n_iter):
    model = small(WAEEstimator, penalty=penalty, penalty_batch_size=32, batch_size=4).fit(X)
    assert model.n_iter_ == n_iter
    without = small(WAEEstimator, batch_size=4).fit(X)
    assert len(pickle.dumps(model)) < len(pickle.dumps(without)) + X[:4].nbytes


def test_it_may_change_where_training_goes_on():
    model = small(batch_size=4, warm_start=True).fit(X)
    model.set_params(penalty_batch_size=32).fit(X)
    model.partial_fit(X[:16])
    assert model.n_iter_ == 5
    assert np.isfinite(model.history_["loss"]).all()


def test_rows_held_out_have_all_of_the_weight():
    """Of them each mini-batch has a penalty, as no later one makes up for it."""

    def validation_loss(lam):
        model = small(
            WAEEstimator,
            penalty=One(),
            lam=lam,
            penalty_batch_size=32,
            batch_size=4,
            early_stopping=True,
            validation_fraction=0.25,
        )
        return np.array(model.fit(X).history_["validation_loss"])

    assert validation_loss(0.3) - validation_loss(0.0) == pytest.approx(0.3)


def test_a_large_batch_needs_no_more_than_some_rows():
    """A divergence says how many; whoever asks for more by number gets them."""
    few = 10

    class Frugal(Recorder):
        enough_rows = few

    def seen(**params):
        options = {"batch_size": 24, "max_iter": 1, **params}
        return {
            len(z) for z in small(WAEEstimator, penalty=Frugal(), **options).fit(X).divergence_.seen
        }

    assert seen() == {few}
    assert seen(penalty_batch_size=24) == {24}
