"""
=====================================
Searching: weights, families, halving
=====================================

Parameters are searched over as those of any estimator, a step of a pipeline may be exchanged, and
halving gives many epochs to the few settings that deserve them.
"""

# %%
# What is a good setting?
# -----------------------
# That depends on what the codes are for. With a classifier at the end of the pipeline the search
# goes by accuracy. A list of grids has the parameters of each family. The wines are described in
# different units, hence the scaler.

from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skotae import SinkhornAE, WAEEstimator

X, y = load_wine(return_X_y=True)
pipeline = Pipeline(
    [
        ("scale", StandardScaler()),
        ("encode", WAEEstimator()),
        ("classify", KNeighborsClassifier()),
    ]
)
grids = [
    {"encode": [WAEEstimator(2, random_state=0)], "encode__lam": [0.01, 1.0, 100.0]},
    {"encode": [SinkhornAE(2, random_state=0)], "encode__beta": [0.001, 10.0]},
]
folds = [*StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)]
by_accuracy = GridSearchCV(pipeline, grids, cv=folds).fit(X, y)

# %%
# Without labels the search uses the estimator's own `score`, in which no weight occurs:

encoder = Pipeline([*pipeline.steps[:2]])
by_score = GridSearchCV(encoder, grids, cv=folds).fit(X)

results = {"accuracy": by_accuracy.cv_results_, "score": by_score.cv_results_}
labels = [
    f"{type(params['encode']).__name__} {value:g}"
    for params in by_accuracy.cv_results_["params"]
    for name, value in params.items()
    if name != "encode"
]
for i, label in enumerate(labels):
    print(f"{label:18}", end="")
    for name, found in results.items():
        mean, std = found["mean_test_score"][i], found["std_test_score"][i]
        print(f"  {name} {mean:.3f} +/- {std:.3f}", end="")
    print()

# %%
# Read the spread over the folds before the means. Where all settings lie within it, as here for the
# accuracy, there is nothing to choose, and the search says no more than that.

import numpy as np

accuracy = results["accuracy"]
gap = np.ptp(accuracy["mean_test_score"])
spread = np.ptp([accuracy[f"split{k}_test_score"] for k in range(3)], axis=0).max()
print(f"means of the accuracy differ by {gap:.3f}, folds of one setting by up to {spread:.3f}")
assert gap <= spread

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 2.8), layout="constrained", sharey=True)
for ax, (name, found) in zip(axes, results.items(), strict=True):
    ax.errorbar(found["mean_test_score"], labels, xerr=found["std_test_score"], fmt="o", capsize=3)
    ax.set_xlabel(name)
axes[0].invert_yaxis()
plt.show()

# %%
# Halving
# -------
# `max_iter` is a resource: all settings get a few epochs, the better third of them three times as
# many, and so on. Since `max_iter` is a number here, and the learning rate falls along a cosine
# that ends with it, each round is a whole fit. To go on from the fits of the round before could
# save no more than a third of the later rounds: on digits, nine weights with 6, 18 and 54 epochs,
# it took 92 % of the time, with a learning rate that rises again in each round.

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

with warnings.catch_warnings():
    # Of short fits `fit` says that they are short.
    warnings.simplefilter("ignore", ConvergenceWarning)
    search = HalvingGridSearchCV(
        WAEEstimator(random_state=0),
        {"n_components": [1, 4], "lam": [0.1, 1.0, 10.0]},
        resource="max_iter",
        min_resources=5,
        max_resources=15,
        factor=3,
        cv=folds,
    ).fit(StandardScaler().fit_transform(X))

print("settings by round:", search.n_candidates_, "epochs:", search.n_resources_)
print("best:", search.best_params_)
assert search.n_candidates_ == [6, 2] and search.n_resources_ == [5, 15]
assert search.best_params_["n_components"] == 4

# %%
# More components lose less, and the score sees it. Other searches need nothing else than
# `set_params`, `fit` and `score`: :doc:`plot_optuna` is one.
