"""An autoencoder in one file: the example of the page "Add an autoencoder"."""

from numbers import Real

from skotae.base import AutoencoderModel, BaseAutoencoder, Interval
from skotae.transport import max_sliced_wasserstein


class MaxSlicedModel(AutoencoderModel):
    """An encoder, a decoder, and what is minimised."""

    def terms(self, batch, step):
        z = self.encode(batch)
        draws = self.prior_draws(z, step.prior_generator)
        gap = max_sliced_wasserstein(z, draws, generator=step.generator)
        return {
            "reconstruction": self.reconstruction_cost(batch, z),
            "penalty": self.params.lam * gap,
        }


class MaxSlicedAE(BaseAutoencoder):
    r"""Autoencoder with a max-sliced transport penalty.

    .. math::
        \min_{E, G}\; \mathbb E_x\, c(x, G(E(x)))
        + \lambda \max_{|\theta| = 1} W_2^2(\theta^\top Q_Z, \theta^\top P_Z)

    Parameters
    ----------
    n_components : int, default=None
        Dimension of the codes; None stands for ``min(8, n_features)``.
    lam : float, default=1.0
        Weight of the penalty.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = MaxSlicedAE(n_components=2, max_iter=5, random_state=0).fit(X)
    >>> model.transform(X).shape, model.sample(3, random_state=0).shape
    ((150, 2), (3, 4))
    >>> list(model.history_)
    ['reconstruction', 'penalty', 'loss']
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "lam": [Interval(Real, 0, None, closed="left")],
    }
    _model_class = MaxSlicedModel

    def __init__(
        self,
        n_components=None,
        *,
        lam=1.0,
        prior=None,
        cost="sqeuclidean",
        cost_scale="auto",
        encoder=None,
        decoder=None,
        hidden_layer_sizes=(256, 256),
        activation="relu",
        clip=True,
        batch_size="auto",
        learning_rate="cosine",
        learning_rate_init=0.001,
        max_iter=200,
        tol=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.lam = lam
        self.prior = prior
        self.cost = cost
        self.cost_scale = cost_scale
        self.encoder = encoder
        self.decoder = decoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.clip = clip
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
