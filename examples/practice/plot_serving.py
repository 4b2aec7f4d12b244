"""
=================
Serving with ONNX
=================

A fitted encoder or decoder becomes a file that runs without Python, and without PyTorch: on a
server, a telephone, in a browser. The means and scales of the columns are in it.
"""

# %%
# A model, and a classifier on its codes:

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skotae import WAEEstimator

X, y = load_wine(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, random_state=0)
model = WAEEstimator(2, random_state=0).fit(X)
classifier = LogisticRegression().fit(model.transform(X), y)
print(f"accuracy {classifier.score(model.transform(X_test), y_test):.2f}")

# %%
# The files need ``pip install "skotae[onnx]"``; where that is missing, this page goes on without.

import importlib.util
import tempfile
from pathlib import Path

there = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
folder = Path(tempfile.mkdtemp())
if there:
    model.to_onnx(folder / "encode.onnx")
    model.to_onnx(folder / "decode.onnx", method="inverse_transform")
else:
    print("onnx, onnxscript or onnxruntime is not installed: nothing is written here.")

# %%
# On the other side the runtime is all that is needed. Rows go in as they are in the table.

import numpy as np

codes = model.transform(X_test.astype(np.float32))
served = {"estimator": codes}
if there:
    import onnxruntime

    encode = onnxruntime.InferenceSession(folder / "encode.onnx")
    decode = onnxruntime.InferenceSession(folder / "decode.onnx")
    (served["runtime"],) = encode.run(None, {"X": X_test.astype(np.float32)})
    (rows,) = decode.run(None, {"Z": served["runtime"]})
    assert np.allclose(served["runtime"], codes, atol=1e-5)
    assert np.allclose(rows, model.inverse_transform(codes), atol=1e-3, rtol=1e-5)

# %%
# Codes by both; where the runtime is there, each cross is on its dot.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 3.2), layout="constrained")
for (name, points), marker in zip(served.items(), "ox", strict=False):
    ax.scatter(*points.T, marker=marker, s=36, label=name, alpha=0.8)
ax.set(xlabel="z0", ylabel="z1")
ax.legend()
plt.show()
