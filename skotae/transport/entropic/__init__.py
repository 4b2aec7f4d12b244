"""The engine of entropic transport.

What is multiplied: ``clouds``, ``log_domain``, ``log_kernel``, ``kernel``, ``shards``. How it is
solved, as ``options`` say: ``scaling``, ``newton``, ``solve``, ``damped``, ``sharp``. The values:
``balanced``, ``relaxed``, ``debiased``, ``batched``, ``solutions``, with gradients by ``envelope``.
Vectors are ``arrays`` of NumPy or of torch.
"""
