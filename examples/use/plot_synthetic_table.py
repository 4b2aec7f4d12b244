"""
===========================
Data frames, and new tables
===========================

A data frame goes in, data frames come out: codes, reconstructions, and a table of new rows that
is distributed like the old one. What is it good for? A classifier that is trained on new rows only
says.
"""

# %%
# The table has 30 columns with names and units, and a column that says whether a
# tumour is benign. Columns with different units get a scale each, so that nothing is to be
# scaled beforehand.

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skotae import WAEEstimator

frame, benign = load_breast_cancer(as_frame=True, return_X_y=True)
train, test, y, y_test = train_test_split(frame, benign, stratify=benign, random_state=0)

model = WAEEstimator(random_state=0).set_output(transform="pandas").fit(train)
print(model.transform(test).iloc[:3, :4].round(2))
print(model.sample(3, random_state=0).iloc[:, :4].round(2))

# %%
# Is it like the table?
# ---------------------
# Each column beside that of the data, and the correlations. `clip`, which is on by default, keeps
# each column within its range in the training data.

import matplotlib.pyplot as plt
import numpy as np

from skotae.displays import SamplesDisplay

display = SamplesDisplay.from_estimator(model, train)
assert display.verdict.name == "does not memorise"
plt.show()

rows = model.sample(1000, random_state=0)
assert (rows.min() >= train.min()).all() and (rows.max() <= train.max()).all()
off = np.abs(rows.corr() - test.corr()).to_numpy()
print(f"correlations are off by {off.mean():.2f} on average; between old tables by ", end="")
chance = np.abs(train.corr() - test.corr()).to_numpy()
print(f"{chance.mean():.2f}")
assert off.mean() < 0.25

# %%
# Train on new rows, test on old ones
# -----------------------------------
# One model for each class gives new rows with a label. A classifier that has never seen an old row
# is tried on old ones, beside one that was trained on old rows, and one on draws from the Gaussian
# of each class.

from sklearn.ensemble import RandomForestClassifier


def table(draw):
    """As many rows of each class as there are old ones."""
    parts = [draw(train[y == k]) for k in (0, 1)]
    return np.concatenate(parts), np.repeat([0, 1], [len(part) for part in parts])


def by_autoencoder(rows):
    """New rows of an autoencoder of the rows of a class."""
    fitted = WAEEstimator(random_state=0).fit(rows)
    return fitted.sample(len(rows), random_state=0).to_numpy()


def by_gaussian(rows):
    """New rows of the Gaussian of the rows of a class."""
    rng = np.random.default_rng(0)
    return rng.multivariate_normal(rows.mean(), rows.cov(), size=len(rows))


tables = {
    "old rows": (train.to_numpy(), y.to_numpy()),
    "autoencoder": table(by_autoencoder),
    "Gaussian": table(by_gaussian),
}
accuracy = {}
for name, (features, labels) in tables.items():
    forest = RandomForestClassifier(random_state=0).fit(features, labels)
    accuracy[name] = forest.score(test.to_numpy(), y_test)
    print(f"trained on {name:12} accuracy on old rows {accuracy[name]:.3f}")

assert accuracy["autoencoder"] > accuracy["old rows"] - 0.1
assert accuracy["autoencoder"] > max(y_test.mean(), 1 - y_test.mean())
