"""Models of pythae behind the methods of an estimator, on the networks of the rows beside them."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.networks import MLP, BaseNetwork
from skotae.utils._random import make_generator

CHUNK = 4096


class PythaeModel:
    """VAE, WAE_MMD, INFOVAE_MMD, AAE or VAMP of pythae, with its own trainer and its defaults.

    The learning rate falls along a cosine, as in the rows beside it. Decoders end in a sigmoid if
    all values of X are in [0, 1]. VAMP has as many pseudo-inputs as
    :class:`~skotae.VampPriorVAE`.

    Parameters
    ----------
    name : {"VAE", "WAE_MMD", "INFOVAE_MMD", "AAE", "VAMP"}
    n_components, hidden_layer_sizes, batch_size, max_iter, learning_rate_init, activation, encoder
        As those of the package's estimators. Hidden layers of the decoder are in reverse.
    random_state : int, default=0
        Seed of weights, batches and draws.
    """

    def __init__(
        self,
        name: str,
        n_components: int,
        *,
        hidden_layer_sizes: tuple[int, ...],
        batch_size: int,
        max_iter: int,
        learning_rate_init: float = 0.001,
        activation: str = "relu",
        encoder: BaseNetwork | None = None,
        random_state: int = 0,
    ):
        self.name = name
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.activation = activation
        self.encoder = encoder
        self.random_state = random_state

    def fit(self, X: np.ndarray) -> PythaeModel:
        from pythae.data.datasets import BaseDataset

        logging.disable(logging.INFO)
        torch.manual_seed(self.random_state)
        bounded = bool(X.min() >= 0 and X.max() <= 1)
        self.model_ = self._model(X.shape[1], len(X), bounded)
        rows = BaseDataset(torch.from_numpy(X), torch.zeros(len(X)))
        # Its trainer draws progress bars there.
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
            self._trainer(folder)(rows).train()
        self.model_.eval()
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Codes: posterior means."""
        return self._infer(lambda x: self.model_.encoder(x).embedding, X)

    def inverse_transform(self, Z: np.ndarray) -> np.ndarray:
        return self._infer(lambda z: self.model_.decoder(z).reconstruction, Z)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        return self.inverse_transform(self.transform(X))

    def sample_posterior(
        self, X: np.ndarray, n_samples: int = 1, *, random_state: int = 0
    ) -> np.ndarray:
        generator = make_generator(random_state)
        draws = self._infer(
            lambda x: self._posterior_draw(x, generator), np.repeat(X, n_samples, axis=0)
        )
        return draws.reshape(-1, n_samples, self.n_components)

    def sample(self, n_samples: int = 1, *, random_state: int = 0) -> np.ndarray:
        codes = self._draw_codes(n_samples, make_generator(random_state), torch.float32)
        return self.inverse_transform(codes.numpy())

    @torch.no_grad()
    def _draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Draws from the prior."""
        if self.name != "VAMP":
            return torch.randn(n, self.n_components, generator=generator, dtype=dtype)
        inputs = self.model_.pseudo_inputs(self.model_.idle_input)
        index = torch.randint(len(inputs), (n,), generator=generator)
        return self._posterior_draw(inputs[index], generator).to(dtype)

    def _posterior_draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        out = self.model_.encoder(x)
        mean = out.embedding
        if "log_covariance" not in out:
            return mean
        noise = torch.randn(mean.shape, generator=generator)
        return mean + (0.5 * out.log_covariance).exp() * noise

    def _infer(self, function: Callable[[Tensor], Tensor], X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = [function(part) for part in torch.from_numpy(X).float().split(CHUNK)]
        return torch.cat(parts).numpy()

    def _model(self, n_features: int, n: int, bounded: bool) -> Any:
        from _common import pythae_coders
        from pythae import models

        cls, config, options = {
            "VAE": (models.VAE, models.VAEConfig, {}),
            "WAE_MMD": (models.WAE_MMD, models.WAE_MMD_Config, {}),
            "INFOVAE_MMD": (models.INFOVAE_MMD, models.INFOVAE_MMD_Config, {}),
            "AAE": (models.Adversarial_AE, models.Adversarial_AE_Config, {}),
            "VAMP": (models.VAMP, models.VAMPConfig, {"number_components": min(n // 2, 500)}),
        }[self.name]
        d = self.n_components
        stochastic = self.name != "WAE_MMD"
        network = self.encoder or MLP(self.hidden_layer_sizes, self.activation)
        net = network.build(n_features, 2 * d if stochastic else d)
        back = MLP(self.hidden_layer_sizes[::-1], self.activation).build(d, n_features)
        encoder, decoder = pythae_coders(
            net, nn.Sequential(back, nn.Sigmoid()) if bounded else back
        )
        shape = {"input_dim": (n_features,), "latent_dim": d}
        return cls(config(**shape, **options), encoder=encoder, decoder=decoder)

    def _trainer(self, folder: str) -> Callable[[Any], Any]:
        from pythae import trainers

        shared = {
            "output_dir": folder,
            "num_epochs": self.max_iter,
            "per_device_train_batch_size": self.batch_size,
            "seed": self.random_state,
            "no_cuda": True,
        }
        adversarial = self.name == "AAE"
        names = ("autoencoder_", "discriminator_") if adversarial else ("",)
        for name in names:
            shared[f"{name}learning_rate"] = self.learning_rate_init
            shared[f"{name}scheduler_cls"] = "CosineAnnealingLR"
            shared[f"{name}scheduler_params"] = {"T_max": self.max_iter}
        kind = "Adversarial" if adversarial else "Base"
        config = getattr(trainers, f"{kind}TrainerConfig")(**shared)
        trainer = getattr(trainers, f"{kind}Trainer")
        return lambda rows: trainer(self.model_, train_dataset=rows, training_config=config)
