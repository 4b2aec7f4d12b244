"""Every estimator takes rows that are not in memory, as it takes an array."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

import skotae
from skotae.callbacks import Checkpoint
from skotae.columns.sources import source as _sources

N, P = 160, 6
FEWER = {"n_mixtures": 2, "n_bank": 64, "n_flows": 2, "n_pseudo_inputs": 20}
CALLS = {
    **dict.fromkeys(("transform", "reconstruct", "score_samples", "predict", "predict_proba"), {}),
    "score": {},
    "effective_sample_size": {},
    "elbo": {"random_state": 0},
    "sample_posterior": {"n_samples": 3, "random_state": 0},
    "wasserstein": {"random_state": 0},
}
ESTIMATORS = sorted(
    name
    for name in skotae.__all__
    if inspect.isclass(cls := getattr(skotae, name))
    and issubclass(cls, BaseEstimator)
    and hasattr(cls, "fit")
)


class Taking:
    """The protocol, and no more."""

    def __init__(self, X):
        self.X = X
        self.most = 0

    def __len__(self):
        return len(self.X)

    def take(self, indices):
        self.most = max(self.most, len(indices))
        return self.X[indices]


def small(name, **parameters):
    cls = getattr(skotae, name)
    known = inspect.signature(cls).parameters
    fewer = {key: value for key, value in FEWER.items() if key in known}
    options = {"max_iter": 2, "hidden_layer_sizes": (8,), "batch_size": 32, "random_state": 0}
    options |= {key: value for key, value in parameters.items() if key in known}
    return cls(n_components=3, **options, **fewer)


@pytest.fixture
def X():
    return np.random.default_rng(0).uniform(0.01, 0.99, size=(N, P)).astype(np.float32)


@pytest.fixture
def several_windows(monkeypatch):
    """Blocks of 8 rows, windows of 64, and no more than 40 rows at once."""
    for constant, rows in {"BLOCK": 8, "WINDOW": 64, "PIECE": 40}.items():
        monkeypatch.setattr(_sources, constant, rows * P * 4)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _calls(model):
    return [name for name in CALLS if hasattr(model, name)]


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_is_that_of_an_array(X, name, early_stopping):
    # A window holds them all: the order is the same, and so are all numbers up to rounding.
    model = small(name, early_stopping=early_stopping).fit(X)
    other = small(name, early_stopping=early_stopping).fit(Taking(X))
    for term, values in model.history_.items():
        np.testing.assert_allclose(other.history_[term], values, rtol=1e-3, atol=1e-5)
    for attribute in ("data_min_", "data_max_", "data_mean_", "data_scale_"):
        np.testing.assert_allclose(getattr(other, attribute), getattr(model, attribute), rtol=1e-6)
    for call in _calls(model):
        one, two = (getattr(each, call)(X, **CALLS[call]) for each in (model, other))
        np.testing.assert_allclose(two, one, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_goes_through_windows(X, name, several_windows):
    rows = Taking(X)
    model = small(name, early_stopping=True).fit(rows)
    assert model.n_iter_ == 2 and np.isfinite(model.best_loss_)
    for call in _calls(model):
        expected = getattr(model, call)(X, **CALLS[call])
        found = getattr(model, call)(rows, **CALLS[call])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert rows.most <= 40
    model.set_params(warm_start=True).fit(rows)
    assert model.n_iter_ == 4
    twin = clone(model).set_params(warm_start=False).fit(Taking(X))
    np.testing.assert_array_equal(twin.history_["loss"], model.history_["loss"][:2])


@pytest.mark.parametrize("name", ["WAEEstimator", "GMVAE", "CoupledVAE", "WGAN"])
def test_chunks_of_partial_fit(X, name):
    model, other = small(name), small(name)
    for start, stop in ((0, 100), (100, 101), (101, N)):
        model.partial_fit(X[start:stop])
        other.partial_fit(Taking(X[start:stop]))
    assert other.n_iter_ == model.n_iter_ == 2
    np.testing.assert_allclose(other.history_["loss"], model.history_["loss"], rtol=1e-3)


def test_a_row_that_waits_leaves_a_source_where_it_is(X, several_windows, monkeypatch):
    def whole(self, *args, **kwargs):
        raise AssertionError("the source is made an array")

    monkeypatch.setattr(_sources.Source, "__array__", whole)
    rows = Taking(np.tile(X, (4, 1)))
    models = [small("WAEEstimator").partial_fit(X[:100]) for _ in range(3)]
    models[0].partial_fit(X[:1])
    models[0].partial_fit(rows)
    assert rows.most <= 40
    models[1].partial_fit(Taking(np.concatenate([X[:1], rows.X])))
    models[2].partial_fit(rows)
    assert models[0]._waiting is None and models[0].n_iter_ == 2
    losses = [model.history_["loss"][1] for model in models]
    assert losses[0] == pytest.approx(losses[1], rel=0.05) and losses[0] != losses[2]


def test_what_is_wrong_with_a_source_is_told_with_a_row_that_waits(X, several_windows):
    model = small("WAEEstimator").partial_fit(X[:100]).partial_fit(X[:1])
    wrong = np.tile(X, (4, 1))
    wrong[500, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(Taking(wrong))
    np.testing.assert_array_equal(model._waiting, X[:1])


def test_the_whole_is_never_asked_for(X, several_windows):
    rows = Taking(np.tile(X, (20, 1)))
    model = small("WAEEstimator").fit(rows)
    model.transform(rows), model.score_samples(rows), model.score(rows)
    assert rows.most <= 40


def test_windows_train_as_well_as_an_array(X, several_windows):
    # Sorted rows: without a shuffle of blocks the last ones would be all that counts.
    X = X[np.argsort(X[:, 0])]
    model, other = (small("WAEEstimator", max_iter=20, lam=0.1).fit(d) for d in (X, Taking(X)))
    assert other.best_loss_ == pytest.approx(model.best_loss_, rel=0.1)
    assert other.score(X) == pytest.approx(model.score(X), abs=0.1)


def test_fit_transform_and_frames(X):
    model = small("WAEEstimator")
    Z = model.fit_transform(Taking(X))
    np.testing.assert_array_equal(Z, model.transform(Taking(X)))
    frame = model.set_output(transform="pandas").transform(Taking(X))
    assert list(frame.columns) == [f"waeestimator{i}" for i in range(3)]


def test_names_of_columns_are_kept(X):
    pandas = pytest.importorskip("pandas")

    class Frames(Taking):
        def take(self, indices):
            return pandas.DataFrame(self.X[indices], columns=list("abcdef"))

    model = small("WAEEstimator").fit(Frames(X))
    assert list(model.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        model.transform(pandas.DataFrame(X, columns=list("abcdeg")))


def test_a_dataset_of_parquet_files(X, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    dataset = pytest.importorskip("pyarrow.dataset")
    table = pa.table({name: X[:, j] for j, name in enumerate("abcdef")})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=50)
    rows = dataset.dataset(tmp_path / "rows.parquet")
    model, other = small("WAEEstimator").fit(rows), small("WAEEstimator").fit(X)
    assert list(model.feature_names_in_) == list("abcdef")
    np.testing.assert_allclose(model.history_["loss"], other.history_["loss"], rtol=1e-4)
    assert model.transform(rows).dtype == np.float32
    # A part of the columns.
    some = dataset.dataset(tmp_path / "rows.parquet", schema=table.select(["f", "b"]).schema)
    assert list(small("WAEEstimator").fit(some).feature_names_in_) == ["f", "b"]


def test_what_cannot_be_used_is_told_before_training(X):
    model = small("VAE", cost="bernoulli").fit(X)
    before = model.transform(X)
    bad = X.copy()
    bad[120, 3] = 2.0
    for call in (model.fit, model.transform):
        with pytest.raises(ValueError, match=r"rows 0 to 159 of X: .* got 2.0 in column 3"):
            call(Taking(bad))
    bad[120, 3] = np.nan
    for call in (model.fit, model.transform, model.score):
        with pytest.raises(ValueError, match="contains NaN. It has 1 NaN in column 3"):
            call(Taking(bad))
    with pytest.raises(ValueError, match="expecting 6 features"):
        model.transform(Taking(X[:, :5]))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model.fit(Taking(X[:1]))
    np.testing.assert_array_equal(model.transform(X), before)


def test_clusters_need_all_rows(X):
    with pytest.raises(ValueError, match="expected init='prior', or X as an array"):
        small("GMWAE", init="clusters").fit(Taking(X))


def test_a_fit_goes_on_from_a_checkpoint(X, tmp_path, several_windows):
    class Stops(Taking):
        def take(self, indices):
            if len([*tmp_path.iterdir()]) == 2:
                raise OSError("gone")
            return super().take(indices)

    def model():
        return small("WAEEstimator", max_iter=4)

    expected = model().fit(Taking(X)).transform(X)
    with pytest.raises(OSError, match="gone"):
        model().set_callbacks(Checkpoint(tmp_path)).fit(Stops(X))
    again = model().set_callbacks(Checkpoint(tmp_path)).fit(Taking(X))
    np.testing.assert_array_equal(again.transform(X), expected)
