"""The engine of entropic transport.

What is multiplied: ``clouds``, ``log_domain``, ``log_kernel``, ``kernel``, ``shards``. How it is
solved, as ``options`` say: ``scaling``, ``newton``, ``solve``, ``damped``, ``sharp``. The values:
``balanced``, ``relaxed``, ``debiased``, ``batched``, with gradients by ``envelope``. Plans and
potentials: ``solutions``, ``relaxed_solutions``. Barycentres: ``histograms``.
Vectors are ``arrays`` of NumPy or of torch.
"""
