"""With other libraries: each test runs where the library is installed, and is skipped elsewhere."""

import json
import os
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import skotae
from skotae.networks import MLP

X, y = load_iris(return_X_y=True)


def autoencoder(**params):
    params = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0, **params}
    return skotae.WAEEstimator(2, **params)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_imbalanced_learn():
    """A class with a tenth of the rows; SMOTE among codes, within its own pipeline."""
    pytest.importorskip("imblearn")
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline as make_imbalanced

    rows = np.r_[0:50, 50:55]
    model = make_imbalanced(autoencoder(), SMOTE(k_neighbors=2, random_state=0), Ridge())
    assert model.fit(X[rows], y[rows]).score(X[rows], y[rows]) > 0.5
    assert len(model[:-1].fit_resample(X[rows], y[rows])[1]) == 100


def test_optuna():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        lam = trial.suggest_float("lam", 1e-3, 10.0, log=True)
        return cross_val_score(autoencoder(lam=lam), X, cv=2).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=3)
    assert study.best_value == max(trial.value for trial in study.trials)
    assert objective(optuna.trial.FixedTrial(study.best_params)) == study.best_value


def test_skrub():
    """Columns of words and numbers, through its vectoriser."""
    pd = pytest.importorskip("pandas")
    skrub = pytest.importorskip("skrub")
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.array(["x", "y", "z"])[y])
    model = make_pipeline(skrub.TableVectorizer(), autoencoder(), LogisticRegression())
    assert model.fit(frame, y).score(frame, y) > 0.8


def test_mapie():
    pytest.importorskip("mapie")
    from mapie.classification import SplitConformalClassifier

    model = make_pipeline(autoencoder(), LogisticRegression()).fit(X[::2], y[::2])
    conformal = SplitConformalClassifier(estimator=model, confidence_level=0.9, prefit=True)
    conformal.conformalize(X[1::2], y[1::2])
    _, sets = conformal.predict_set(X)
    assert sets[np.arange(len(X)), y, 0].mean() >= 0.85


def test_dask():
    """A search through joblib's backend of it, and blocks of a dask array transformed."""
    da = pytest.importorskip("dask.array")
    distributed = pytest.importorskip("distributed")
    from sklearn.model_selection import GridSearchCV

    grid = {"lam": [0.1, 1.0]}
    here = GridSearchCV(autoencoder(max_iter=3), grid, cv=2).fit(X)
    with (
        distributed.Client(processes=False, n_workers=1, dashboard_address=None),
        joblib.parallel_backend("dask"),
    ):
        there = GridSearchCV(autoencoder(max_iter=3), grid, cv=2).fit(X)
    np.testing.assert_array_equal(
        there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"]
    )
    model = here.best_estimator_
    codes = da.from_array(X, chunks=(40, 4)).map_blocks(
        model.transform, chunks=(40, 2), dtype=X.dtype
    )
    np.testing.assert_allclose(codes.compute(), model.transform(X), atol=1e-12)


@pytest.mark.slow
def test_ray():
    """A search through joblib's backend of it, and blocks of rows transformed by its tasks."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray
    from sklearn.model_selection import GridSearchCV

    grid = {"lam": [0.1, 1.0]}
    here = GridSearchCV(autoencoder(max_iter=3), grid, cv=2).fit(X)
    model = here.best_estimator_
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    try:
        register_ray()
        with joblib.parallel_backend("ray"):
            there = GridSearchCV(autoencoder(max_iter=3), grid, cv=2).fit(X)
        transform, kept = ray.remote(lambda model, rows: model.transform(rows)), ray.put(model)
        codes = ray.get([transform.remote(kept, rows) for rows in np.array_split(X, 4)])
    finally:
        ray.shutdown()
    np.testing.assert_array_equal(
        there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"]
    )
    np.testing.assert_allclose(np.concatenate(codes), model.transform(X), atol=1e-12)


def test_mlflow(tmp_path):
    """A file of ours as its artifact, beside the parameters and the losses."""
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    mlflow.set_experiment(
        experiment_id=mlflow.create_experiment("e", (tmp_path / "artifacts").as_uri())
    )
    model = autoencoder().fit(X)
    with mlflow.start_run() as run:
        mlflow.log_params(model.get_params(deep=False))
        for epoch, loss in enumerate(model.history_["loss"]):
            mlflow.log_metric("loss", loss, step=epoch)
        model.save(tmp_path / "model.safetensors")
        mlflow.log_artifact(tmp_path / "model.safetensors")
    path = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="model.safetensors"
    )
    np.testing.assert_array_equal(skotae.load(path).transform(X), model.transform(X))
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [each.value for each in history] == model.history_["loss"]


def test_shap():
    """Shares of a code's deviation that add up to it."""
    shap = pytest.importorskip("shap")
    model = autoencoder().fit(X)
    explained = shap.explainers.Permutation(model.transform, X[:20], seed=0)(X[:3])
    total = explained.values.sum(1) + explained.base_values
    np.testing.assert_allclose(total, model.transform(X[:3]), atol=1e-5)


def test_skops(tmp_path):
    """Its limit: torch's tensors, that it cannot write or, in some versions, not read."""
    io = pytest.importorskip("skops.io")
    path = tmp_path / "model.skops"
    with pytest.raises(Exception, match=r"(?i)tensor|torch|_rebuild"):
        io.dump(autoencoder().fit(X), path)
        io.load(path, trusted=io.get_untrusted_types(file=path))


@pytest.mark.parametrize(
    "params", [{}, {"prior": "sphere"}, {"encoder": MLP((8,))}], ids=["default", "prior", "network"]
)
def test_pipeline_memory(params, tmp_path):
    """The second fit reads the first step from the cache."""
    model = autoencoder(**params)
    assert joblib.hash(clone(model)) == joblib.hash(clone(model))
    first, second = (
        make_pipeline(clone(model), LogisticRegression(), memory=str(tmp_path)).fit(X, y)
        for _ in range(2)
    )
    cached = list(tmp_path.glob("**/output.pkl"))
    assert len(cached) == 1
    np.testing.assert_array_equal(first[0].transform(X), second[0].transform(X))


@pytest.mark.parametrize(
    "tensors, arrays",
    [
        (lambda: torch.zeros(3, 2), lambda: np.zeros((3, 2))),
        (lambda: torch.eye(2), lambda: np.eye(2)),
    ],
)
def test_pipeline_memory_with_means(tensors, arrays, tmp_path):
    """joblib's hash of a tensor is not that of its copy: the fit is done again, and right.

    That of an array is.
    """
    codes = []
    for means, folder in ((tensors, "tensors"), (arrays, "arrays"), (arrays, "arrays")):
        model = autoencoder(prior=skotae.priors.GaussianMixturePrior(means=means()))
        pipeline = make_pipeline(model, LogisticRegression(), memory=str(tmp_path / folder))
        codes.append(pipeline.fit(X, y)[0].transform(X))
    assert len(list((tmp_path / "arrays").glob("**/output.pkl"))) == 1
    for each in codes[1:]:
        np.testing.assert_array_equal(each, codes[0])


FORK = """
import json, multiprocessing, torch, numpy as np, skotae
from sklearn.datasets import load_iris
X, _ = load_iris(return_X_y=True)
torch.set_num_threads(2)
model = skotae.WAEEstimator(2, max_iter=2, hidden_layer_sizes=(8,), random_state=0).fit(X)
# Large enough for threads to be started.
torch.randn(600, 600) @ torch.randn(600, 600)

def codes(i):
    return model.transform(X).tolist()

with multiprocessing.get_context("{method}").Pool(2) as pool:
    found = pool.map_async(codes, range(2)).get(timeout=100)
print(json.dumps([bool(np.array_equal(each, model.transform(X))) for each in found]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_threads():
    """Small rows are computed on one thread, which a forked process has."""
    script = FORK.replace("{method}", "fork")
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert json.loads(found.stdout) == [True, True]
