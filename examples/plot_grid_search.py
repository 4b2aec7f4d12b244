"""
=============================================
Grid search over weights, and over estimators
=============================================

The weights of the objectives are ordinary parameters:
:class:`~sklearn.model_selection.GridSearchCV` sets `beta` and `epsilon` of
:class:`~skotae.SinkhornAE` and `lam` of :class:`~skotae.WAEEstimator` by cross-validation. Both
searches fit into one, because a step of a pipeline is a parameter too.
"""

# %%
# A pipeline with a step to be exchanged
# --------------------------------------
# The wines are described by 13 measurements in different units, hence the scaler. With a
# classifier at the end, the search goes by accuracy.

from sklearn.datasets import load_wine
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

# %%
# A list of grids: each names the estimator of the step ``encode`` and the parameters that this
# estimator has.

from sklearn.model_selection import GridSearchCV, StratifiedKFold

settings = {"n_components": 2, "max_iter": 25, "random_state": 0}
grids = [
    {"encode": [WAEEstimator(**settings)], "encode__lam": [0.1, 1.0, 10.0]},
    {
        "encode": [SinkhornAE(**settings)],
        "encode__beta": [0.1, 1.0],
        "encode__epsilon": [0.05, 0.5],
    },
]
folds = [*StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)]
search = GridSearchCV(pipeline, grids, cv=folds).fit(X, y)


# %%
# All settings, the best first
# ----------------------------

import numpy as np


def describe(results):
    """Print a line for each setting of a search: mean and standard deviation over folds."""
    for i in np.argsort(results["rank_test_score"], kind="stable"):
        params = dict(results["params"][i])
        name = type(params.pop("encode")).__name__
        values = (f"{key.removeprefix('encode__')}={value}" for key, value in params.items())
        mean, std = results["mean_test_score"][i], results["std_test_score"][i]
        print(f"{mean:6.3f} +/- {std:.3f}  {name}({', '.join(values)})")


describe(search.cv_results_)

# %%
# Without a classifier
# --------------------
# Where there are no labels, the search uses the estimator's own `score`: the share of the variance
# that reconstructions and samples explain. 1 is perfect, 0 is what the mean gets. None of the
# weights occurs in it, so that it is fit to choose among them.

encoder = Pipeline([("scale", StandardScaler()), ("encode", WAEEstimator())])
unsupervised = GridSearchCV(encoder, grids, cv=folds).fit(X)
describe(unsupervised.cv_results_)

# %%
# The two criteria answer different questions, and need not agree: one wants classes that lie
# apart, the other a model that generates what the data look like.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
kind = np.array([type(params["encode"]).__name__ for params in search.cv_results_["params"]])
for name in np.unique(kind):
    here = kind == name
    ax.scatter(
        unsupervised.cv_results_["mean_test_score"][here],
        search.cv_results_["mean_test_score"][here],
        label=name,
    )
ax.set(xlabel="score of the autoencoder", ylabel="accuracy of 5-NN on its codes")
ax.spines[["top", "right"]].set_visible(False)
ax.legend()
plt.show()
