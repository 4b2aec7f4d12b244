"""Pictures of fitted estimators, in the manner of scikit-learn's displays.

Each is made by a class method ``from_...``, keeps the numbers that it shows, and is drawn again by
its method `plot`. They need matplotlib (``pip install 'skotae[plot]'``).
"""

from skotae.displays._codes import CodesDisplay
from skotae.displays._components import ComponentDisplay
from skotae.displays._manifold import ManifoldDisplay
from skotae.displays._plan import PlanDisplay
from skotae.displays._prior import PriorDisplay
from skotae.displays._reconstructions import ReconstructionDisplay
from skotae.displays._report import ModelReport, Report, report
from skotae.displays._samples import SamplesDisplay
from skotae.displays._score import ScoreDisplay
from skotae.displays._training import TrainingDisplay
from skotae.displays._verdicts import Verdict

__all__ = [
    "CodesDisplay",
    "ComponentDisplay",
    "ManifoldDisplay",
    "ModelReport",
    "PlanDisplay",
    "PriorDisplay",
    "ReconstructionDisplay",
    "Report",
    "SamplesDisplay",
    "ScoreDisplay",
    "TrainingDisplay",
    "Verdict",
    "report",
]
