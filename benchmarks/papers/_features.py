"""Features of a classifier that the benchmark trains, for Frechet distances."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _rows import Data
from torch import Tensor, nn
from torch.nn import functional

CACHE = Path(__file__).parents[1] / ".cache"
BATCH_SIZE = 128
LEARNING_RATE = 0.001
N_EPOCHS = 5
SMALLEST_IMAGE = 16
QUICK_HIDDEN = 50


class Classifier(nn.Module):
    """LeNet for images, a perceptron for tables and small images; features and logits.

    LeNet with max-pooling and rectifiers: convolutions of 20 and 50 channels with 5 x 5
    kernels, then `n_hidden` dense units, which are the features.
    """

    def __init__(self, data: Data, n_hidden: int = 500):
        super().__init__()
        shape = data.image_shape
        n_features = data.X_train.shape[1]
        layers: list[nn.Module] = []
        if shape is not None and min(shape[-2:]) >= SMALLEST_IMAGE:
            c, height, width = shape if len(shape) == 3 else (1, *shape)
            height, width = ((side - 4) // 2 for side in (height, width))
            height, width = ((side - 4) // 2 for side in (height, width))
            layers += [
                nn.Unflatten(1, (c, *shape[-2:])),
                *(nn.Conv2d(c, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
                *(nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)),
                nn.Flatten(),
            ]
            n_features = 50 * height * width
        else:
            layers += [nn.Linear(n_features, n_hidden), nn.ReLU()]
            n_features = n_hidden
        self.body = nn.Sequential(*layers, nn.Linear(n_features, n_hidden), nn.ReLU())
        self.head = nn.Linear(n_hidden, data.n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def trained_features(
    data: Data, *, quick: bool = False, seed: int = 0
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """A function from rows to features, and the classifier's test accuracy.

    The classifier is trained once for the same data, and kept.
    """
    digest = hashlib.sha256()
    for part in (data.X_train, data.y_train):
        digest.update(np.ascontiguousarray(part).tobytes())
    path = CACHE / f"classifier-{data.name}-{digest.hexdigest()[:16]}-{seed}.pt"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if quick:
            model = Classifier(data, n_hidden=QUICK_HIDDEN)
            _train(model, data, n_epochs=1)
        elif path.exists():
            model = Classifier(data)
            model.load_state_dict(torch.load(path, weights_only=True))
        else:
            model = Classifier(data)
            _train(model, data, n_epochs=data.epochs(N_EPOCHS))
            CACHE.mkdir(exist_ok=True)
            torch.save(model.state_dict(), path)
    model.eval()
    accuracy = float((_apply(model, data.X_test).argmax(1) == data.y_test).mean())
    return lambda X: _apply(model.body, np.asarray(X, np.float32)), accuracy


def _train(model: nn.Module, data: Data, n_epochs: int) -> None:
    x, y = torch.from_numpy(data.X_train), torch.from_numpy(data.y_train.astype(np.int64))
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    n_steps = n_epochs * -(-len(x) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_steps)
    for _ in range(n_epochs):
        for index in torch.randperm(len(x)).split(BATCH_SIZE):
            loss = functional.cross_entropy(model(x[index]), y[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def _apply(module: nn.Module, X: np.ndarray) -> np.ndarray:
    return torch.cat([module(part) for part in torch.from_numpy(X).split(1000)]).numpy()
