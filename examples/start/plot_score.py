"""
=================
Reading the score
=================

`score` is one number, 1 for a perfect model and 0 for the mean of the data. It is read in three
steps: beside what there is without an autoencoder, by its two parts, and over seeds.
"""

# %%
# Three models of the same table. Each is fitted with three seeds.

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skotae import VAE, WAEEstimator
from skotae.displays import ScoreDisplay

X = StandardScaler().fit_transform(load_breast_cancer().data)
X, X_test = train_test_split(X, random_state=0)

fits = {
    "WAE, 2 codes": WAEEstimator(2),
    "WAE, 4 codes": WAEEstimator(4),
    "VAE, 4 codes": VAE(4, max_iter="auto"),
}
models = {
    name: [clone(model).set_params(random_state=seed).fit(X) for seed in range(3)]
    for name, model in fits.items()
}

# %%
# A bar is what a model loses of the variance: first the part that its reconstructions lose, then
# how far samples are from reconstructions. The black line is the range over the seeds. The
# marks below are what the constant, principal components with a Gaussian or a mixture on
# their codes, and the training rows themselves lose.

import matplotlib.pyplot as plt

display = ScoreDisplay.from_estimators(models, X_test, X_train=X)
plt.show()

# %%
# The numbers are kept. A difference between two models that is smaller than the spread over seeds
# is none.

for name, scores in display.scores.items():
    lost, off = display.losses[name].mean(axis=0)
    print(
        f"{name:13} score {scores.mean():.3f} (seeds {scores.min():.3f} to {scores.max():.3f}), ",
        end="",
    )
    print(f"lost by reconstructions {lost:.3f}, by samples {off:.3f}")
print(display.verdict)

two, four = display.losses["WAE, 2 codes"], display.losses["WAE, 4 codes"]
assert display.scores["WAE, 4 codes"].min() > display.scores["WAE, 2 codes"].max()
assert four[:, 0].max() < two[:, 0].min()
assert display.verdict.name == "beats the baselines"

# %%
# Two codes are behind four with every seed, and the bar says why: reconstructions lose more. Which
# part is the larger one says what to change: more components or epochs where reconstructions
# lose, more weight of the prior, or ``latent="mixture"``, where samples do.
#
# Where the mean comes from
# -------------------------
# The zero of the score is the mean of the data, as in a regression's R².

from skotae.metrics import baselines

beside = baselines(X, X_test, n_components=4, random_state=0)
print(beside)
assert abs(beside["constant"]["score"]) < 0.05
