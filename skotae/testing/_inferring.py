"""Checks of what a fitted estimator gives."""

from __future__ import annotations

import io
import pickle
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone

from skotae.testing.base import assert_same_fit, estimator_check, fresh, make_data, results_of


@estimator_check("sample")
def check_sample(estimator: Any) -> None:
    """``sample`` has shape, dtype and seed."""
    for dtype in (np.float32, np.float64):
        model = fresh(estimator).fit(make_data(dtype=dtype))
        X = model.sample(9, random_state=3)
        assert X.shape == (9, model.n_features_in_), f"sample has shape {X.shape}"
        assert X.dtype == dtype, f"sample has dtype {X.dtype} after a fit on {np.dtype(dtype)}"
        np.testing.assert_array_equal(X, model.sample(9, random_state=3))
        other = model.sample(9, random_state=4)
        assert not np.array_equal(X, other), "random_state has no effect on sample"
        assert model.sample().shape == (1, model.n_features_in_)
        generator = np.random.RandomState(0)
        first, second = (model.sample(9, random_state=generator) for _ in range(2))
        assert not np.array_equal(first, second), "a RandomState is not moved on by sample"


@estimator_check("transform", "inverse_transform")
def check_round_trip(estimator: Any) -> None:
    """``inverse_transform`` after ``transform`` is ``reconstruct``."""
    X = make_data()
    model = fresh(estimator).fit(X)
    Z = model.transform(X)
    assert Z.shape == (len(X), model.n_components_), f"transform has shape {Z.shape}"
    back = model.inverse_transform(Z)
    assert back.shape == X.shape, f"inverse_transform has shape {back.shape}"
    np.testing.assert_array_equal(back, model.reconstruct(X))
    np.testing.assert_array_equal(Z, model.transform(X), err_msg="transform is not deterministic")
    np.testing.assert_array_equal(Z, fresh(estimator).fit_transform(X))
    assert len(model.get_feature_names_out()) == model.n_components_


@estimator_check()
def check_dtypes(estimator: Any) -> None:
    """What goes in as float32 or float64 comes out as that, whatever it was fitted on."""
    for fitted in (np.float32, np.float64):
        model = fresh(estimator).fit(make_data(dtype=fitted))
        for dtype in (np.float32, np.float64):
            X = make_data(dtype=dtype)
            for name, value in results_of(model, X).items():
                # A sample is in the dtype of the fit.
                expected = fitted if name == "sample" else dtype
                assert value.dtype == expected, f"{name} gives {value.dtype} for {np.dtype(dtype)}"


@estimator_check()
def check_serialisation(estimator: Any) -> None:
    """Pickle and joblib give the estimator back, to the last bit."""
    X = make_data()
    model = fresh(estimator).fit(X)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(file)):
        assert_same_fit(model, copy, X, "a round trip")
        assert model.score(X) == copy.score(X), "score differs after a round trip"
        assert vars(copy).keys() == vars(model).keys(), "attributes differ after a round trip"
        copy.fit(X)
    pickle.loads(pickle.dumps(fresh(estimator)))


@estimator_check()
def check_score(estimator: Any) -> None:
    """``score`` is a deterministic Python float; ``score_samples`` has one for each row."""
    X = make_data()
    model = fresh(estimator).fit(X)
    score = model.score(X)
    assert type(score) is float, f"score is a {type(score).__name__}"
    assert np.isfinite(score) and score <= 1.0, f"score is {score}; expected at most 1"
    assert score == model.score(X), "score is not deterministic"
    if hasattr(model, "score_samples"):
        assert model.score_samples(X).shape == (len(X),)
    weighted = model.score(X, sample_weight=np.ones(len(X)))
    np.testing.assert_allclose(weighted, score, rtol=1e-6)
    # As one of two clusters is not like both.
    far = X[:, 0] > np.median(X[:, 0])
    apart = np.where(far[:, None], X + 3 * X.std(axis=0), X)
    score, of_half = model.score(apart), model.score(apart, sample_weight=far.astype(float))
    assert score != of_half, "sample_weight is ignored"


@estimator_check("interpolate")
def check_interpolate(estimator: Any) -> None:
    """Paths start and end at the reconstructions."""
    X = make_data()
    model = fresh(estimator).fit(X)
    paths = model.interpolate(X[:3], X[3:6], 5)
    assert paths.shape == (3, 5, model.n_features_in_), f"interpolate has shape {paths.shape}"
    ends = np.stack([model.reconstruct(X[:3]), model.reconstruct(X[3:6])], axis=1)
    np.testing.assert_allclose(paths[:, [0, -1]], ends, rtol=1e-5, atol=1e-6)
    assert np.isfinite(paths).all()


@estimator_check("sample_posterior")
def check_sample_posterior(estimator: Any) -> None:
    """``sample_posterior`` has shape and seed."""
    X = make_data()
    model = fresh(estimator).fit(X)
    Z = model.sample_posterior(X[:5], 3, random_state=0)
    assert Z.shape == (5, 3, model.n_components_), f"sample_posterior has shape {Z.shape}"
    np.testing.assert_array_equal(Z, model.sample_posterior(X[:5], 3, random_state=0))
    assert np.isfinite(Z).all()


@estimator_check()
def check_clone(estimator: Any) -> None:
    """A clone of a fitted estimator is unfitted, and has its parameters."""
    model = fresh(estimator).fit(make_data())
    copy = clone(model)
    fitted = [name for name in vars(copy) if name.endswith("_")]
    assert not fitted, f"a clone has the fitted attributes {fitted}"
    assert repr(copy) == repr(model), "a clone has other parameters"
