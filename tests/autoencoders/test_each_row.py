"""Networks whose outputs for a row depend on the others of a call are told of before training."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import skotae

X = np.random.default_rng(0).normal(size=(48, 3))


class Centred(nn.Linear):
    def forward(self, x):
        out = super().forward(x)
        return out - out.mean(0)


class Numbered(nn.Linear):
    """Knows which row is the first."""

    def forward(self, x):
        return super().forward(x) + torch.linspace(0, 1, len(x), dtype=x.dtype)[:, None]


class CentredInTraining(nn.Linear):
    def forward(self, x):
        out = super().forward(x)
        return out - out.mean(0) if self.training else out


class Noisy(nn.Linear):
    def forward(self, x):
        out = super().forward(x)
        return out + torch.randn_like(out)


class Steep(nn.Linear):
    """What is left of numbers of a million: in float32 no more than their rounding."""

    def forward(self, x):
        out = super().forward(x)
        return 1e3 * ((out.sum(1, keepdim=True) + 1e6 + out) - 1e6 - out.sum(1, keepdim=True))


def normalised(**options):
    return lambda i, o: nn.Sequential(
        nn.Linear(i, 8), nn.BatchNorm1d(8, **options), nn.Linear(8, o)
    )


def attention(i, o):
    """Of the rows among each other."""

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.MultiheadAttention(i, 1)
            self.outer = nn.Linear(i, o)

        def forward(self, x):
            return self.outer(self.inner(x, x, x)[0])

    return Attention()


MIXING = {
    "centred": Centred,
    "numbered": Numbered,
    "statistics of the call": normalised(track_running_stats=False),
    "attention": attention,
}
APART = {
    "running statistics": normalised(),
    "centred in training": CentredInTraining,
    "dropout": lambda i, o: nn.Sequential(nn.Linear(i, 8), nn.Dropout(0.5), nn.Linear(8, o)),
    "noise": Noisy,
    "steep": Steep,
    "layers": lambda i, o: nn.Sequential(
        nn.Linear(i, 8), nn.LayerNorm(8), nn.ELU(), nn.Linear(8, o)
    ),
}
WORDS = "gives a row other outputs among other rows"


def warned(small, **params):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = small("WAEEstimator", **params).fit(X)
    return model, [each for each in caught if WORDS in str(each.message)]


@pytest.mark.parametrize("name", ["encoder", "decoder"])
@pytest.mark.parametrize("case", MIXING)
def test_networks_that_mix_rows(case, name, small):
    model, found = warned(small, **{name: MIXING[case]})
    assert len(found) == 1 and found[0].category is UserWarning
    assert found[0].filename == __file__
    text = str(found[0].message)
    assert text.startswith(f"{name}=<")
    if name == "encoder":
        assert "transform(X)[:5] is not transform(X[:5])" in text
        assert not np.allclose(model.transform(X)[:5], model.transform(X[:5]))
    else:
        Z = model.transform(X)
        assert "inverse_transform(Z)[:5] is not inverse_transform(Z[:5])" in text
        assert not np.allclose(model.inverse_transform(Z)[:5], model.inverse_transform(Z[:5]))


@pytest.mark.parametrize("name", ["encoder", "decoder"])
@pytest.mark.parametrize("case", APART)
def test_no_false_alarm(case, name, small):
    assert not warned(small, **{name: APART[case]})[1]


@pytest.mark.parametrize("estimator", ["VAE", "GMWAE", "CoupledVAE", "SymmetricWAE", "WGAN"])
def test_other_estimators(estimator, small):
    params = {"decoder": Centred}
    with pytest.warns(UserWarning, match=re.escape(f"decoder={Centred}") + f" {WORDS}"):
        small(estimator, **params).fit(X)


def test_once_a_fit(small):
    model, found = warned(small, encoder=Centred, warm_start=True)
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{WORDS}")
        model.fit(X)
        model.partial_fit(X)
    with pytest.warns(UserWarning, match=WORDS):
        small("WAEEstimator", encoder=Centred).partial_fit(X)


def test_networks_of_the_package_are_not_asked(small, monkeypatch):
    def asked(*args):
        raise AssertionError("a network that is known was looked at")

    monkeypatch.setattr("skotae.autoencoders.bases._each_row._gap", asked)
    for network in (None, skotae.networks.MLP(), skotae.networks.ConvNet(image_shape=(4, 4))):
        small("WAEEstimator", encoder=network).fit(np.tile(X[:, :1], 16))
