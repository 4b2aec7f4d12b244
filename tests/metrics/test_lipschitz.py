"""The Lipschitz factor of known decoders, and the inequality that it is for."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skotae.metrics import exact_wasserstein, lipschitz_factor, reconstruction_error
from skotae.testing import make_data

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(3, 5))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_linear_decoder(scale):
    codes = scale * RNG.normal(size=(20, 3))
    factor = lipschitz_factor(lambda z: z @ MATRIX + 1, codes)
    assert factor == pytest.approx(np.linalg.norm(MATRIX, 2), rel=1e-6)


def test_curved_decoder(monkeypatch):
    """The slope of sin is cos: 1 at 0. Codes in several parts."""
    monkeypatch.setattr("skotae.metrics._lipschitz.CODES_AT_ONCE", 7)
    codes = np.linspace(0, 1, 30)[:, None]
    assert lipschitz_factor(np.sin, codes) == pytest.approx(1.0, abs=1e-7)
    assert lipschitz_factor(np.sin, codes[15:]) == pytest.approx(np.cos(codes[15, 0]), abs=1e-7)
    assert lipschitz_factor(lambda z: 0 * z, np.zeros((1, 2))) == 0


def test_theorem_with_a_linear_decoder():
    """Of samples of both, for every encoder; an equality where only a shift is left."""
    X = make_data(80)
    pca = PCA(2).fit(X)
    drawn = RNG.normal(size=(80, 2))
    gamma = lipschitz_factor(pca.inverse_transform, drawn)
    for encoder in (pca.transform, lambda x: 0.5 * pca.transform(x), lambda x: x[:, :2]):
        Z = encoder(X)
        error = reconstruction_error(X, pca.inverse_transform(Z)) ** 0.5
        left = exact_wasserstein(X, pca.inverse_transform(drawn))
        assert left <= error + gamma * exact_wasserstein(Z, drawn)
    exact = 3 * drawn  # rows that are decoded from draws, by a factor of 3
    assert lipschitz_factor(lambda z: 3 * z, drawn) * exact_wasserstein(
        drawn + 1, drawn
    ) == pytest.approx(exact_wasserstein(exact + 3, exact))


def test_what_it_refuses():
    with pytest.raises(TypeError, match="decode=3; expected a function"):
        lipschitz_factor(3, [[0.0]])
    with pytest.raises(ValueError, match="decode returned shape .2,. for 2 codes"):
        lipschitz_factor(lambda z: z[:, 0], [[0.0], [1.0]])
    with pytest.raises(ValueError, match="Z must have shape"):
        lipschitz_factor(np.sin, [0.0])


def test_the_steps_are_of_each_component():
    """Neither where components are, nor how wide the others are, makes steps too long."""
    codes = np.linspace(-1, 1, 41)[:, None] * np.ones(2)
    for offset, width in (([0, 1e6], 1.0), ([0, 0], 1e5)):

        def decode(z, offset=offset, width=width):
            return np.sin(3 * (z - offset) / [1.0, width]) * [1.0, width]

        factor = lipschitz_factor(decode, codes * [1.0, width] + offset)
        assert factor == pytest.approx(3.0, rel=1e-4)
    assert lipschitz_factor(lambda z: np.sin(z - 7e3), [[7e3, 0.0]]) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_decoder_gone_astray(value):
    with pytest.raises(ValueError, match="decode returned NaN or infinite values"):
        lipschitz_factor(lambda z: np.where(z > 0.5, value, z), [[0.0], [1.0]])
