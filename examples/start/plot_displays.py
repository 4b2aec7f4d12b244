"""
===================
Did it train? Look.
===================

A display draws what a fit has to show, and says in words what it sees: whether training had
ended, whether the model beats principal components, whether its codes follow the prior, and whether
its samples are copies. Each is one line, keeps the numbers that it draws, and takes an `ax`.
"""

# %%
# Handwritten digits, half of them held out, and an autoencoder with codes in the plane.

# sphinx_gallery_dummy_images=9
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import GMWAE, SinkhornAE
from skotae.displays import (
    CodesDisplay,
    ComponentDisplay,
    ManifoldDisplay,
    PlanDisplay,
    PriorDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
    ScoreDisplay,
    TrainingDisplay,
)

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
model = SinkhornAE(2, beta=0.2, prior="normal", max_iter=50, random_state=0)
model.fit(X)

fig, axes = plt.subplots(1, 2, figsize=(6.24, 3.3), layout="constrained")
CodesDisplay.from_estimator(model, X_test, y_test, ax=axes[0])
ManifoldDisplay.from_estimator(model, image_shape=(8, 8), ax=axes[1])
plt.show()

# %%
# On the left each dot is a held-out digit, its colour the class, over rings of the prior. On the
# right is what the decoder makes of a grid of the prior's quantiles.
#
# Training
# --------
# Each term of the loss has a panel. The dotted line is what the mean of all digits would
# cost: a fit that ends there has learned nothing.

training = TrainingDisplay.from_estimator(model, X)
assert training.verdict.name != "collapsed"
plt.show()

# %%
# The score and the baselines
# ---------------------------
# The bar has two parts: what reconstructions lose, and how far samples are from them. The marks are
# what principal components lose, with a Gaussian or a mixture on their codes. With two numbers a
# digit the network keeps more than principal components do.

score = ScoreDisplay.from_estimator(model, X_test, X_train=X)
assert score.verdict.name == "beats the baselines"
plt.show()

# %%
# The prior, coordinate by coordinate
# -----------------------------------
# The quantiles of the codes, beside bands in which as many draws from the prior would have theirs.

PriorDisplay.from_estimator(model, X_test)
plt.show()

# %%
# Reconstructions and samples
# ---------------------------
# Held-out digits, and what comes back of them.

ReconstructionDisplay.from_estimator(model, X_test, image_shape=(8, 8))
plt.show()

# %%
# Below each sample is the training row nearest to it. A model that has only memorised would show
# the same picture twice.

samples = SamplesDisplay.from_estimator(model, X, image_shape=(8, 8))
assert samples.verdict.name == "does not memorise"
plt.show()

# %%
# Of a table the same displays have columns in place of pictures; of digits, pixels.

SamplesDisplay.from_estimator(model, X)
plt.show()

# %%
# A mixture
# ---------
# How much each component is used, what its mean decodes to, and which classes are in it.

mixture = GMWAE(8, max_iter=20, random_state=0).fit(X)
ComponentDisplay.from_estimator(mixture, X_test, y_test, image_shape=(8, 8))
plt.show()

# %%
# A transport plan
# ----------------
# What the divergences are made of: the plan between codes and draws from the prior.

rng = np.random.default_rng(0)
draws = rng.normal(size=(60, 2))
PlanDisplay.from_clouds(model.transform(X_test[:60]), draws, epsilon=0.01)
plt.show()
