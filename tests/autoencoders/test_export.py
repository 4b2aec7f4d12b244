"""Networks of fitted estimators, exported for batches of any size."""

import numpy as np
import pytest
import torch

X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AdversarialVB", "PlanarFlowVAE", "HypersphericalVAE", "GMVAE"])
def test_encoders_take_any_number_of_rows(small, name):
    encoder = small(name, max_iter=1).fit(X).encoder_
    rows = torch.from_numpy(X)
    shapes = ({0: torch.export.Dim("n_rows")},)
    exported = torch.export.export(encoder, (rows[:5],), dynamic_shapes=shapes).module()
    with torch.no_grad():
        for n in (3, 16):
            torch.testing.assert_close(exported(rows[:n]), encoder(rows[:n]))
