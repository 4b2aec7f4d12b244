"""
====================
A roll, and a square
====================

:class:`~skotae.SinkhornEncoder` has no decoder: codes are to fill a shape evenly, and neighbours
are to stay neighbours. Of a rolled sheet it makes a square, here not without folds.
"""

# %%
# The roll of scikit-learn, with what it is when unrolled.

from skotae import SinkhornEncoder
from skotae.datasets import make_swiss_roll

X, unrolled = make_swiss_roll(600, random_state=0)
encoder = SinkhornEncoder(2, prior="uniform", max_iter=40, random_state=0)
codes = encoder.fit_transform(X)

# %%
# Principal components look at the roll from its side. `trustworthiness` asks whether neighbours
# among the codes are neighbours on the sheet.

from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

flat = PCA(2).fit_transform(X)
kept = {
    "SinkhornEncoder": trustworthiness(unrolled, codes, n_neighbors=5),
    "PCA": trustworthiness(unrolled, flat, n_neighbors=5),
}
print({name: round(value, 3) for name, value in kept.items()})
print(f"how well the square is covered: {encoder.score(X):.2f} (1 is evenly)")
assert kept["SinkhornEncoder"] > kept["PCA"]
assert encoder.score(X) > 0.8
assert abs(codes).max() <= 1

# %%
# Codes, coloured by the length along the roll:

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3.2), layout="constrained")
for ax, (name, points) in zip(axes, {"PCA": flat, "SinkhornEncoder": codes}.items(), strict=True):
    ax.scatter(*points.T, c=unrolled[:, 0], cmap="viridis", s=7)
    ax.set_title(f"{name}: {kept[name]:.3f}", fontsize=10, loc="left")
    ax.set_aspect("equal", adjustable="datalim")
plt.show()
