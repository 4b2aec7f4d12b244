"""
=====================
Outliers, a threshold
=====================

`score_samples` is low for rows unlike the training data. Two cases: outliers among the rows
that one trains on, and new rows, with a threshold for a rate of false alarms.
"""

# %%
# Outliers among the training rows
# --------------------------------
# Benign tumours and some malignant ones. The model is not told which.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skotae import WAEEstimator

X, benign = load_breast_cancer(return_X_y=True)
rng = np.random.RandomState(0)
malignant = rng.permutation(np.flatnonzero(benign == 0))[:35]
kept = np.r_[np.flatnonzero(benign == 1), malignant]
rows, outlier = StandardScaler().fit_transform(X[kept]), benign[kept] == 0

model = WAEEstimator(random_state=0).fit(rows)
scores = {
    "score_samples": model.score_samples(rows),
    "reconstruction only": model.score_samples(rows, reconstruction_only=True),
    "IsolationForest": IsolationForest(random_state=0).fit(rows).score_samples(rows),
}

# %%
# The reconstruction error alone finds fewer, since a network learns to reproduce the outliers that
# it was trained on. The code gives them away: it is far from the others. An
# isolation forest does about as well.

area = {name: roc_auc_score(outlier, -score) for name, score in scores.items()}
assert area["score_samples"] > area["reconstruction only"]
assert abs(area["score_samples"] - area["IsolationForest"]) < 0.05

figure, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
for (name, score), colour, style in zip(
    scores.items(), ("#0072B2", "#E69F00", "0.3"), ("-", "--", ":"), strict=True
):
    look = {"color": colour, "ls": style}
    RocCurveDisplay.from_predictions(outlier, -score, name=name, ax=ax, curve_kwargs=look)
plt.show()

# %%
# To look at a tenth of the rows is to take the tenth percentile as threshold.

score = scores["score_samples"]
shown = score < np.quantile(score, 0.1)
print(f"{shown.sum()} rows to look at, {outlier[shown].sum()} of the {outlier.sum()} malignant")
assert outlier[shown].mean() > 3 * outlier.mean()

# %%
# New rows, and a rate of false alarms
# ------------------------------------
# The recipe, where training rows are known to be usual: fit to some, take a quantile of the scores
# of *others*, which are lower than those of rows that were trained on. Its level is the rate of
# false alarms.

usual, fresh = train_test_split(X[benign == 1], test_size=100, random_state=0)
train, calibration = train_test_split(usual, test_size=100, random_state=0)
scaler = StandardScaler().fit(train)
detector = WAEEstimator(random_state=0).fit(scaler.transform(train))


def score_of(rows):
    """Scores of rows in the units of the table."""
    return detector.score_samples(scaler.transform(rows))


threshold = np.quantile(score_of(calibration), 0.1)
naive = np.quantile(score_of(train), 0.1)
alarms = {
    "fresh benign rows": (score_of(fresh) < threshold).mean(),
    "fresh benign rows, naive threshold": (score_of(fresh) < naive).mean(),
    "malignant rows": (score_of(X[benign == 0]) < threshold).mean(),
}
for name, share in alarms.items():
    print(f"alarms among {name}: {share:.0%}")

# %%
# Ten in a hundred were asked for. With a hundred rows to find the threshold and a hundred to try
# it, chance moves the rate by some per cent. A threshold from the training rows has more false
# alarms.

assert alarms["fresh benign rows"] < 0.2 < alarms["malignant rows"]
assert alarms["fresh benign rows, naive threshold"] >= alarms["fresh benign rows"]
