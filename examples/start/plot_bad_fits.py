"""
=============================
What went wrong with this fit
=============================

Three fits that are no good, each in its own way, and how to see it: by the warning that `fit`
gives, and by the verdicts of the displays.
"""

# %%
# Too short
# ---------
# Ten epochs for what needs more.

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import VAE, WAEEstimator
from skotae.displays import PriorDisplay, SamplesDisplay, TrainingDisplay

X, X_test = train_test_split(load_digits().data, random_state=0)

with warnings.catch_warnings(record=True) as given:
    warnings.simplefilter("always")
    short = WAEEstimator(max_iter=10, random_state=0).fit(X)
print(*(warning.message for warning in given), sep="\n")
assert any("still falling" in str(warning.message) for warning in given)

training = TrainingDisplay.from_estimator(short, X)
assert training.verdict.name == "still falling"
plt.show()

# %%
# Collapsed
# ---------
# The weight of the divergence from the prior is so large that codes say nothing of their rows,
# and every digit comes back as the mean of all. The dotted line is what that mean costs.

collapsed = VAE(2, beta=100.0, max_iter=40, random_state=0).fit(X)
training = TrainingDisplay.from_estimator(collapsed, X)
assert training.verdict.name == "collapsed"
plt.show()

# %%
# Off the prior
# -------------
# No weight at all: reconstructions are fine, but codes lie where they like. Draws from the prior
# then decode to something that the decoder has not seen.

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    loose = WAEEstimator(2, lam=0, latent="prior", random_state=0).fit(X)
prior = PriorDisplay.from_estimator(loose, X_test)
assert prior.verdict.name == "off the prior"
plt.show()

# %%
# The same with the default weight, and with draws from the codes that there are
# (``latent="auto"``, the default):

good = WAEEstimator(2, random_state=0).fit(X)
print(f"score without a weight {loose.score(X_test):.3f}, as by default {good.score(X_test):.3f}")
assert good.score(X_test) > loose.score(X_test)
assert TrainingDisplay.from_estimator(good, X).verdict.name == "flat"
SamplesDisplay.from_estimator(good, X, image_shape=(8, 8))
plt.show()
