"""A small CoupledVAE, rows and atoms."""

from skotae import CoupledVAE
from skotae.priors import AtomsPrior
from skotae.testing import make_data

X = make_data(48)
ATOMS = AtomsPrior([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], weights=[0.5, 0.25, 0.25])


def small(**params):
    defaults = {
        "n_components": 2,
        "hidden_layer_sizes": (16,),
        "n_bank": 64,
        "max_iter": 2,
        "random_state": 0,
    }
    return CoupledVAE(**{**defaults, **params})
