"""Estimators with components, small enough to be fitted in some milliseconds."""


def small(cls, **params):
    defaults = {
        "n_components": 2,
        "n_mixtures": 3,
        "hidden_layer_sizes": (16,),
        "max_iter": 2,
        "random_state": 0,
    }
    return cls(**{**defaults, **params})
