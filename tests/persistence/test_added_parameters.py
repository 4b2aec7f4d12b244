"""Files of before a parameter was there are read."""

import inspect

import numpy as np
import pytest

import skotae
from skotae.persistence import _models, load, save

# Parameters that a file of the first schema has, where its estimator takes them.
FIRST = """
    activation adaptive_contrast alpha anchor annealing balance batch_size beta clip contraction
    cost cost_scale critic debias decoder device discrepancy discriminator dual early_stopping
    encoder epsilon gradient_penalty hidden_layer_sizes information init lam latent
    learning_rate learning_rate_init log_density max_iter metric min_scale moments n_bank
    n_bank_steps n_components n_critic n_discriminator n_dual_steps n_flows n_iter_no_change
    n_mixtures n_neighbors n_noise n_pseudo_inputs p penalty penalty_batch_size plan_decay
    posterior potential prior radius random_state relative root search separation sharp sigma
    sinkhorn_tol smoothness strategy temperature tol validation_fraction verbose warm_start
    warm_up weight_clip
""".split()
NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]


@pytest.mark.parametrize("name", NAMES)
def test_each_later_parameter_has_a_value_for_earlier_files(name):
    later = {*inspect.signature(getattr(skotae, name)).parameters} - {*FIRST}
    missing = later - {*_models.ADDED}
    assert not missing, f"say in ADDED what files without {sorted(missing)} did"


@pytest.mark.parametrize("name", ["CoupledVAE", "SinkhornAE", "SinkhornEncoder"])
def test_a_file_without_them_is_read(name, tmp_path, monkeypatch):
    X = np.random.default_rng(0).normal(size=(24, 3))
    params = {"scale": "global"} if name != "SinkhornEncoder" else {}
    model = getattr(skotae, name)(2, max_iter=1, random_state=0, **params).fit(X)
    state_of = _models._state

    def earlier(estimator):
        state = state_of(estimator)
        return {key: value for key, value in state.items() if key not in _models.ADDED}

    monkeypatch.setattr(_models, "_state", earlier)
    save(model, tmp_path / "earlier.safetensors")
    again = load(tmp_path / "earlier.safetensors")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    added = {key: again.get_params()[key] for key in _models.ADDED if key in again.get_params()}
    assert added and added == {key: _models.ADDED[key] for key in added}
