"""The engine of unregularised transport: optimal plans as lists of their entries, and duals.

``line`` sorts, ``ground`` has the costs, ``plans`` solves assignments and linear programmes, and
``slices`` projects on directions.
"""
