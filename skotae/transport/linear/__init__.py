"""The engine of unregularised transport: optimal plans as lists of their entries, and duals.

``line`` sorts, ``plans`` solves assignments and linear programmes, and
``slices`` projects on directions.
"""
