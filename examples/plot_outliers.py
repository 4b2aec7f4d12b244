"""
=====================================
Outliers among the rows one trains on
=====================================

Benign and malignant breast tumours: a tenth of the rows are malignant, the model is not told which,
and its scores find most of them. The reconstruction error alone finds fewer, since a network learns
to reproduce the outliers it was trained on. The code gives them away: it is far from the others.
"""

# %%
# Benign rows, and some malignant ones among them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay
from sklearn.preprocessing import StandardScaler

from skotae import WAEEstimator

X, benign = load_breast_cancer(return_X_y=True)
rng = np.random.RandomState(0)
malignant = rng.permutation(np.flatnonzero(benign == 0))[:35]
kept = np.r_[np.flatnonzero(benign == 1), malignant]
X, outlier = StandardScaler().fit_transform(X[kept]), benign[kept] == 0

# %%
# Train on all of them, without labels, and score the same rows.

model = WAEEstimator(max_iter=40, learning_rate_init=0.003, random_state=0).fit(X)
scores = {
    "score_samples": model.score_samples(X),
    "reconstruction only": model.score_samples(X, reconstruction_only=True),
    "IsolationForest": IsolationForest(random_state=0).fit(X).score_samples(X),
}
fig, axis = plt.subplots(figsize=(4.5, 4.5))
for name, score in scores.items():
    RocCurveDisplay.from_predictions(outlier, -score, name=name, ax=axis)

# %%
# To look at a tenth of the rows is to take the tenth percentile as threshold.

score = scores["score_samples"]
shown = score < np.quantile(score, 0.1)
print(f"{shown.sum()} rows to look at, {outlier[shown].sum()} of the {outlier.sum()} malignant")
plt.show()
