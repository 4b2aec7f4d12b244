"""The door for parts and estimators of one's own: what they derive from and are handed.

Nothing with an underscore is needed outside of skotae.
"""

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.encoding import EncodingEstimator
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.generating import GeneratingEstimator
from skotae.autoencoders.bases.model import (
    AutoencoderModel,
    Blueprint,
    EncodingModel,
    GeneratingModel,
)
from skotae.autoencoders.bases.penalised import PenalisedAutoencoder, PenalisedModel
from skotae.autoencoders.bases.pseudo_inputs import PosteriorMixtureModel, PseudoInputEstimator
from skotae.autoencoders.bases.variational import VariationalAutoencoder, VariationalModel
from skotae.autoencoders.mixture.posterior import MixtureAutoencoder, MixtureModel
from skotae.costs.base import BaseCost, CostModule
from skotae.divergences.base import BaseDivergence, refuse_weights
from skotae.networks.base import BaseNetwork
from skotae.priors.base import BasePrior
from skotae.training import Rows, Step, ramp
from skotae.utils._sklearn import Interval, StrOptions

__all__ = [
    "AutoencoderModel",
    "BaseAutoencoder",
    "BaseCost",
    "BaseDivergence",
    "BaseNetwork",
    "BasePrior",
    "Blueprint",
    "CostModule",
    "EncodingEstimator",
    "EncodingModel",
    "GeneratingEstimator",
    "GeneratingModel",
    "Interval",
    "MixtureAutoencoder",
    "MixtureModel",
    "ModelPart",
    "PenalisedAutoencoder",
    "PenalisedModel",
    "PosteriorMixtureModel",
    "PseudoInputEstimator",
    "Rows",
    "Step",
    "StrOptions",
    "VariationalAutoencoder",
    "VariationalModel",
    "ramp",
    "refuse_weights",
]
