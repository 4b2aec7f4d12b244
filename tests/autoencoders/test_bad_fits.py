"""What cannot be fitted is refused with an error that names what is wrong and what was expected."""

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import skotae
from skotae.autoencoders.bases.variational import VariationalAutoencoder

from .bad_input import NAMES, check_message, data, parameters_of, small
from .bad_parameters import FIT, FIT_PRIOR, FIT_VARIATIONAL
from .bad_parameters_of_one import FIT_ONE


def fit_cases():
    for name in NAMES:
        cases = {**FIT, **FIT_PRIOR, **FIT_ONE.get(name, {})}
        if issubclass(getattr(skotae, name), VariationalAutoencoder):
            cases.update(FIT_VARIATIONAL)
        for case, (params, *expected) in cases.items():
            if not params.keys() <= parameters_of(name).keys():
                continue
            if name == "CoupledVAE" and "encoder" in params:
                params = {**params, "posterior": "amortised"}
            yield pytest.param(name, params, *expected, id=f"{name}-{case}")


CASES = [*fit_cases()]


@pytest.mark.parametrize("name", NAMES)
def test_there_are_fifteen(name):
    assert sum(case.values[0] == name for case in CASES) >= 15


@pytest.mark.parametrize("name, params, X, error, words", CASES)
def test_fit(name, params, X, error, words):
    model = small(name, **params)
    with pytest.raises(error) as raised:
        model.fit(data() if X is None else X)
    check_message(raised.value, words, name)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError):
        model.score(data())
