"""A noise that depends on the code: known answers, and what estimators make of it."""

import numpy as np
import pytest

import skotae
from skotae import VAE, CoupledVAE, WAEEstimator
from skotae.autoencoders.coupled._cooling import Cooling
from skotae.costs import GaussianCost, HeteroscedasticCost
from skotae.networks import ConvNet

SCALE = np.array([1.0, 1.0, 2.0, 2.0])


def noise_of(position):
    return 0.05 + 0.2 * (1 + position)


def line_of_noise(n, seed):
    """Rows about a line, the noisier the further along it; and where they are, in (-1, 1)."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, n)
    line = np.outer(t, [3, 3, 0, 0])
    return SCALE * (line + noise_of(t)[:, None] * rng.normal(size=(n, 4))), t


X, POSITION = line_of_noise(600, 0)
X_TEST, T_TEST = line_of_noise(2000, 1)


def recovered(model):
    """Noise of the codes of rows, over the truth, in four parts of the line."""
    truth = SCALE * noise_of(T_TEST)[:, None]
    ratio = (model.noise_scale(model.transform(X_TEST)) / truth).mean(axis=1)
    parts = np.digitize(T_TEST, [-0.5, 0, 0.5])
    return np.array([np.median(ratio[parts == part]) for part in range(4)])


def fitted(cls, cost="heteroscedastic", n=600, **params):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    return cls(1, cost=cost, **{**defaults, **params}).fit(X[:n])


TRAINED = {"hidden_layer_sizes": (32,), "max_iter": 50, "learning_rate_init": 0.01}


@pytest.fixture(scope="module")
def vae():
    return fitted(VAE, **TRAINED, batch_size=100)


def test_noise_is_recovered(vae):
    assert (abs(np.log(recovered(vae))) < np.log(1.4)).all()
    # The truth spans a factor of four along the line.
    ends = vae.noise_scale(vae.transform(np.outer([-2, 2], [1, 1, 0, 0]))).mean(axis=1)
    assert max(ends) > 2 * min(ends)


def test_draws_have_the_noise_of_their_codes(vae):
    drawn = [vae.sample(4000, noise=noise, random_state=0) for noise in (False, True)]
    position, residual = drawn[0][:, 0], (drawn[1] - drawn[0])[:, 2:]
    expected = vae.noise_scale(vae.transform(drawn[0]))[:, 2:]
    for near in (position < 0, position > 0):
        assert residual[near].std() == pytest.approx(np.sqrt((expected[near] ** 2).mean()), rel=0.1)


def test_bound_is_higher_than_with_one_noise(vae):
    one = fitted(VAE, "gaussian", **TRAINED, batch_size=100)
    assert recovered(one)[0] > 2 > 1 > recovered(one)[3]
    bounds = [model.elbo(X_TEST, random_state=0).mean() for model in (vae, one)]
    assert bounds[0] > bounds[1] + 0.3


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["importance", "amortised"])
def test_noise_is_recovered_by_transport(posterior):
    params = {"hidden_layer_sizes": (64, 64), "max_iter": 300, "learning_rate_init": 0.003}
    model = fitted(CoupledVAE, posterior=posterior, batch_size=128, **params)
    assert (abs(np.log(recovered(model))) < np.log(1.25)).all()


def test_one_noise_until_the_plan_is_cooled():
    model = fitted(CoupledVAE, n=40, n_bank=32, max_iter=4)
    codes = np.array([[-1.0], [1.0]])
    assert model.decoder_.cost.share == 1.0
    assert (model.noise_scale(codes)[0] != model.noise_scale(codes)[1]).all()
    geometric = np.exp(np.log(model.noise_scale(model.bank_.z.numpy())).mean(axis=0))
    np.testing.assert_allclose(model.scale_, geometric, rtol=1e-5)
    cooling = Cooling(False, "isometry", n_features=4, hot=4.0, final_scale=0.02)
    assert [cooling.opened(progress) for progress in (0.1, 0.4, 0.5, 1.0)] == [0, 0, 1, 1]
    assert cooling.opened(0.45) == pytest.approx(0.5)


def test_one_number_for_all_features_of_a_code():
    model = fitted(WAEEstimator, HeteroscedasticCost(per_feature=False), scale="global")
    scales = model.noise_scale(model.transform(X[:5]))
    assert scales.shape == (5, 4) and (scales == scales[:, :1]).all()
    assert np.ptp(scales[:, 0]) > 0


def test_images(tmp_path):
    net = ConvNet((2, 2), channels=(4,), kernel_size=2, hidden=8)
    model = fitted(VAE, encoder=net, decoder=net)
    model.save(tmp_path / "model.safetensors")
    again = skotae.load(tmp_path / "model.safetensors")
    Z = model.transform(X[:9])
    assert again.noise_scale(Z).tobytes() == model.noise_scale(Z).tobytes()
    assert model.noise_scale(Z.astype(np.float32)).dtype == np.float32


def test_same_for_all_codes_with_other_likelihoods():
    model = fitted(VAE, GaussianCost(variance=0.09))
    np.testing.assert_allclose(model.noise_scale([[0.0], [1.0]]), 0.3, rtol=1e-6)
    with pytest.raises(ValueError, match="noise_scale.. with cost=.*expected .*'gaussian'"):
        fitted(WAEEstimator, "sqeuclidean").noise_scale([[0.0]])
    with pytest.raises(ValueError, match="Z has 2 columns; expected codes with n_components=1"):
        model.noise_scale([[0.0, 1.0]])
