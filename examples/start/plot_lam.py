"""
=============
What lam does
=============

The objective of :class:`~skotae.WAEEstimator` has two terms: what reconstructions cost, and `lam`
times the divergence of the codes from the prior. Here `lam` goes from hardly anything to
far too much.
"""

# %%
# Everything else is as by default, except that samples are decoded draws from the prior
# (``latent="prior"``): by default they are drawn from the codes that there are, which hides
# most of what `lam` does.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import WAEEstimator

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)

models = {
    lam: WAEEstimator(2, lam=lam, latent="prior", random_state=0).fit(X) for lam in (0.01, 1, 100)
}

# %%
# Codes of held-out digits over rings of the prior
# ------------------------------------------------

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(1, 3, figsize=(6.24, 2.6), layout="constrained")
for ax, (lam, model) in zip(axes, models.items(), strict=True):
    CodesDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(f"lam={lam:g}", fontsize=9, loc="left")
plt.show()

# %%
# Numbers
# -------
# `prior_gap` is a distance between codes and prior, and the score counts both: what reconstructions
# lose, and how far samples are from reconstructions.

from skotae.metrics import prior_gap, reconstruction_error

gap, error = {}, {}
for lam, model in models.items():
    gap[lam] = prior_gap(model.transform(X_test), model.prior_, random_state=0)
    error[lam] = reconstruction_error(X_test, model.reconstruct(X_test))
    score = model.score(X_test)
    print(
        f"lam={lam:<5g} prior gap {gap[lam]:.4f}  squared error {error[lam]:.0f}  score {score:.3f}"
    )

assert gap[0.01] > gap[1] and gap[0.01] > gap[100]
assert error[100] > error[1] and error[100] > error[0.01]

# %%
# The codes come nearer to the prior, and reconstructions pay for it.
#
# A search that sees both
# -----------------------
# The score has no `lam` in it, so that a search may choose. None stands for the estimator's own
# `score`. The display draws the two parts of what is lost, one upon the other.

from sklearn.model_selection import GridSearchCV

from skotae.displays import ScoreDisplay
from skotae.metrics import get_scorer

search = GridSearchCV(
    WAEEstimator(2, latent="prior", max_iter=15, random_state=0),
    {"lam": [0.01, 0.3, 10.0, 100.0]},
    scoring={"score": None, "reconstruction": get_scorer("reconstruction")},
    refit="score",
    cv=2,
).fit(X)
assert 0.01 < search.best_params_["lam"] < 100
print(search.best_params_)
ScoreDisplay.from_cv_results(search.cv_results_, "lam")
plt.show()
