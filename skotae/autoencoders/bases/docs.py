"""The documentation of parameters that all autoencoders share, written once."""

from __future__ import annotations

import inspect
import re
from numbers import Integral
from typing import Any

from skotae.priors import priors_with
from skotae.utils._sklearn import Interval

N_COMPONENTS = """\
n_components : int, default=None
    Dimension d of the codes. None stands for ``min(8, n_features)``, or the smallest
    dimension that the prior allows if that is more."""

ENCODER = """\
encoder : network, default=None
    A spec such as :class:`~skotae.networks.MLP` or
    :class:`~skotae.networks.ConvNet`, a ``torch.nn.Module`` (copied, never trained in
    place; layers that it shares with `decoder` stay shared), or a callable
    ``(n_in, n_out) -> Module``. None stands for an MLP with `hidden_layer_sizes` and
    `activation`. The network gets standardised rows."""

DECODER = """\
decoder : network, default=None
    As `encoder`; None stands for the MLP with the hidden layers in reverse."""

LAYERS = """\
hidden_layer_sizes : tuple of int, default=(256, 256)
    Hidden layers of the default networks.
activation : str, default="relu"
    Activation of the default networks: ``"relu"``, ``"tanh"``, ``"logistic"``,
    ``"identity"``, ``"elu"``, ``"gelu"``, ``"silu"`` or ``"leaky_relu"``."""

SINKHORN = """\
epsilon : float, default=0.05
    Entropic regularisation :math:`\\epsilon`, relative to the mean cost between codes
    and prior draws unless `relative` is False.
relative : bool, default=True
    Whether `epsilon` is a share of the mean cost.
debias : {"independent", "paired", "none"}, default="independent"
    ``"paired"`` is eq. 8 of the paper, whose mini-batch estimate is smallest for codes
    that are too narrow, the more so the higher the dimension; ``"independent"`` splits
    each mini-batch in halves and is free of that bias. See
    :class:`~skotae.divergences.SinkhornDivergence`.
sharp : bool, default=False
    Leave the entropy out of the value (eq. 12).
p : float, default=2
    Exponent of the latent cost :math:`\\sum_k |z_k - y_k|^p`.
sinkhorn_tol : float, default=1e-3
    Marginal violation at which Sinkhorn iterations stop.
latent_cost : None, "geodesic" or callable, default=None
    Cost of moving a code to a draw: None is the power above, ``"geodesic"`` the p-th power of the
    distance along the sphere, for ``prior="sphere"``; or a function of two tensors of shape (n, d)
    and (m, d) that returns costs of shape (n, m), symmetric.
sinkhorn_iter : int or None, default=None
    If given, so many iterations are made whatever `sinkhorn_tol`, and the gradient goes through
    all of them, as in Algorithm 1 of the paper."""

AUTO_WEIGHT = """\
the share of the training rows' variance that
    `n_components` principal components leave (what multiplies the weight is 0.01 at the least):
    what reconstructions may cost is in proportion to what they have to. It keeps its full size
    {chosen}with ``latent="prior"``, with as many components as columns, and beside another cost
    than a squared distance{rooted}. Training that goes on keeps the share of the rows it was first
    measured on."""

PENALTY_BATCH_SIZE = """\
penalty_batch_size : int or None, default=None
    Number of rows that the penalty is taken of: the mini-batch and those before it in the
    epoch, all encoded anew. It is then taken once for every quarter as many rows, with as many
    times the weight, and at the end of an epoch. More rows show finer differences
    between codes and prior; most rows are encoded four more times. None is the mini-batch."""

PRIOR = """\
prior : str or prior, default=None
    {names}, or an instance from :mod:`skotae.priors`; None stands for ``"{default}"``."""
PRIOR_HEAD = """
    The last layer of the encoder follows it."""

COST = """\
cost : str, cost or callable, default="sqeuclidean"
    What a reconstruction costs, summed over features: ``"sqeuclidean"``,
    ``"euclidean"``, ``"cityblock"``, ``"bernoulli"`` (X in [0, 1]), ``"gaussian"``
    (learned variance), ``"heteroscedastic"`` (one that depends on the code), an instance from
    :mod:`skotae.costs`, or a function of two tensors ``(..., n_features)`` that returns ``(...)``.
cost_scale : "auto" or float, default="auto"
    The reconstruction cost is divided by this number. ``"auto"`` is the mean cost of the
    constant reconstruction, so that a reconstruction term of 1 means "no better than the
    mean" and the weights of the objective mean the same whatever the units and the number
    of features; 1.0 gives the plain sums of the papers. A number is in the units of the
    data, or of standardised columns where each has a scale of its own."""

LIKELIHOOD = """\
cost : str or cost, default="gaussian"
    Minus the log-likelihood: ``"gaussian"`` (one learned variance), ``"heteroscedastic"`` (one
    that depends on the code), ``"bernoulli"`` (X in [0, 1]), or an instance from
    :mod:`skotae.costs` such as ``GaussianCost(variance=0.1)`` or
    ``GaussianCost(per_feature=True)``.
cost_scale : "auto" or float, default="auto"
    The objective is divided by this number, which does not move its minimum. ``"auto"`` is
    the number of features (``"gaussian"``) or the cost of the constant reconstruction
    (``"bernoulli"``); 1.0 gives nats."""

N_PSEUDO_INPUTS = """\
n_pseudo_inputs : int or None, default=None
    Number K of pseudo-inputs; None stands for ``min(n_samples // 2, 500)``."""

N_UPPER = """\
n_upper : int or None, default=None
    With a number, codes have two levels, of which the upper one, :math:`z_2`, has so many
    dimensions, the first of the `n_components` (Tomczak and Welling, section 4): the posterior
    is :math:`q(z_2|x)\\, q(z_1|x, z_2)` and the prior :math:`p(z_1|z_2)\\, p(z_2)`, where the
    mixture is that of :math:`q(z_2|u_k)`. None is one level."""

INIT = """\
init : {"k-means++", "random"}, default="k-means++"
    Which training rows the pseudo-inputs start from: some that are far apart, or any."""

SCALE = """\
scale : {"auto", "global", "columns"}, default="auto"
    What columns are divided by before networks and cost see them: ``"global"`` is one
    number for all, which keeps the geometry of the data, for columns of one unit (pixels,
    spectra); ``"columns"`` is the spread of each column, for tables with mixed units.
    ``"auto"`` is ``"columns"`` where spreads differ by more than a factor of ten
    (:ref:`units`){ignored}."""
SCALE_IGNORED = """, and ``"global"`` for a `cost` to which columns have
    one unit: a Gaussian of given variance, ``"bernoulli"``, a function"""

CLIP = """\
clip : bool, default=True
    Whether `sample` keeps every feature within its range in the training data."""

REFIT_DECODER = """\
refit_decoder : bool, default=True
    Whether `fit` ends with ridge regression of what is left of training rows, held-out ones too,
    at most 8,192, on their codes and the units before the decoder's last layer, which changes this
    layer and the linear path beside it: the minimum of {solved}, with
    a price on the change that generalised cross-validation chooses (Golub, Heath and Wahba, 1979;
    the change may be none) and no row that counts for more than four times the median. Only where
    the decoder is an MLP, or an ``nn.Sequential`` of torch's own layers, without dropout and batch
    normalisation, that ends in a dense layer with a bias, which is trained and has its weights
    for itself, and the cost is ``"sqeuclidean"``, without bounds. Codes stay as they are. If there
    is not enough memory for it, so does the decoder, with a warning. Not in the paper."""

LATENT = """\
latent : {"auto", "prior", "mixture"}, default="auto"
    What `sample` and `score` draw codes from: the prior of the objective, or a Gaussian mixture
    fitted after the training to the codes of at most 2,048 training rows, on the support of the
    prior. ``"auto"`` is the mixture, except where the prior has another support than the
    space, a cube, a sphere or a simplex. See :ref:`latent`."""

TRAINING = """\
batch_size : "auto" or int, default="auto"
    Rows in a mini-batch, of each process in :func:`skotae.data_parallel`; ``"auto"`` is a
    power of two near n_samples / {share}, between {low} and {high}, in all.
learning_rate : {"cosine", "constant"}, default="cosine"
    Whether the learning rate falls along half a cosine over `max_iter` epochs.
learning_rate_init : float, default=0.001
    Initial learning rate of Adam.
weight_decay : "auto" or float, default="auto"
    By how much, in units of the learning rate, weights of the networks that start from
    principal components shrink in each step, which draws the model to these. ``"auto"`` is
    1000 / n_samples, at most 10, and 0 in `partial_fit`.
max_iter : "auto" or int, default=200
    Number of epochs. ``"auto"`` is {epochs} for up to {few} rows and falls with the square
    root of their number above.
tol : float, default=None
    If given, training stops when the loss (the validation loss with `early_stopping`)
    has not fallen by more than `tol` for `n_iter_no_change` epochs.
early_stopping : bool, default=False
    Hold rows out, stop when the loss on them no longer falls, and keep the weights of
    the best epoch. With `warm_start` each fit to as many rows holds the same ones out, until
    `random_state` is set to another, and the weights that it begins with stay where no epoch is
    better on them.
validation_fraction : float, default=0.1
    Share of the rows that `early_stopping` holds out.
n_iter_no_change : int, default=10
    Number of epochs without improvement that ends training.
warm_start : bool, default=False
    Whether `fit` goes on from where the last one ended.
device : str or torch.device, default="auto"
    Where to train: ``"auto"`` is the environment variable ``SKOTAE_DEVICE`` if it is
    set, else CUDA, MPS or the CPU, whichever there is.
random_state : int, RandomState instance or None, default=None
    Seed of weights, batches, prior draws and noise.
verbose : bool or int, default=False
    Whether to print one line per epoch; 2 or more adds the time that is left."""

NETWORKS_ = """\
encoder_ : torch.nn.Module
    The trained encoder. It works on standardised rows,
    ``(X - data_mean_) / data_scale_``, in float32.
decoder_ : torch.nn.Module
    The trained decoder, to such rows.
prior_ : prior
    The prior in use.
cost_ : cost
    The cost in use."""

UNITS = """\
n_components_ : int
    Dimension of the codes.
data_mean_ : ndarray of shape (n_features,)
    Mean of the training data; zero for costs that need the data's own units.
data_min_ : ndarray of shape (n_features,)
    Smallest values of the training data.
data_max_ : ndarray of shape (n_features,)
    Largest values of the training data.
data_scale_ : float or ndarray of shape (n_features,)
    Root mean square deviation of the training data per feature, where one scale is used; 1
    for those costs. An array of the deviations, where each column has a scale of its own.
data_limits_ : ndarray of shape (2, n_features) or None
    Values are brought within these before they are standardised, in training and after.
    They are finite for columns of the training data in which a few values far off carry
    nearly all the variance; None where there is no such column."""

COST_SCALE_ = """\
cost_scale_ : float
    What the reconstruction cost, in standardised units, is divided by."""

SEEN = """\
model_ : torch.nn.Module
    All that training changes; the networks and the prior in use are parts of it.
n_features_in_ : int
    Number of features seen during fit.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features. Defined only when X has feature names that are all strings.
n_iter_ : int
    Number of epochs.
device_ : torch.device
    Device in use."""

HISTORY_ = """\
history_ : dict of str to list of float
    Mean over each epoch of every term of the loss, weighted as it enters, and of
    ``"loss"``, their sum; with `early_stopping` also ``"validation_loss"``. It is a dict
    that prints in a line.
best_loss_ : float
    Least loss of an epoch (validation loss with `early_stopping`), among all epochs that
    have one."""

MOMENTS = """\
moments : {"separate", "shared"} or network, default="separate"
    What gives the means and deviations of :math:`q(z|k,x)`: ``"separate"`` is a network of one
    hidden layer of 16 units for each component, as in the paper, beside the encoder
    network that has q(k|x); ``"shared"`` the encoder network too, whose codes can start
    from principal components; or a network of its own for all components, as `encoder`."""

MIXTURE_ATTRIBUTES = """\
n_mixtures_ : int
    Number of components.
labels_ : ndarray of shape (n_samples,)
    Most probable component of each training row.
weights_ : ndarray of shape (n_mixtures,)
    Mean of q(k|x) over the training rows: the share of each component. It is near 0 for
    one that is not in use. `sample` draws from the prior, whose shares are equal."""

BLOCKS = {
    "n_components": N_COMPONENTS,
    "encoder": ENCODER,
    "layers": LAYERS,
    "networks": "\n".join((ENCODER, DECODER, LAYERS)),
    "sinkhorn": SINKHORN,
    "prior": PRIOR,
    "cost": COST,
    "likelihood": LIKELIHOOD,
    "n_pseudo_inputs": N_PSEUDO_INPUTS,
    "n_upper": N_UPPER,
    "init": INIT,
    "auto_weight": AUTO_WEIGHT,
    "penalty_batch_size": PENALTY_BATCH_SIZE,
    "scale": SCALE,
    "clip": CLIP,
    "refit_decoder": REFIT_DECODER,
    "latent": LATENT,
    "training": TRAINING,
    "attributes": "\n".join((NETWORKS_, UNITS, COST_SCALE_, SEEN, HISTORY_)),
    "fitted": "\n".join((SEEN, HISTORY_)),
    "moments": MOMENTS,
    "mixture_attributes": MIXTURE_ATTRIBUTES,
    "units": UNITS,
    "seen": SEEN,
}


def shared_documentation(cls: Any) -> Any:
    """Replace ``{block}`` lines of the class docstring by the shared text.

    Parameters that the class does not have are left out; defaults are those of the class,
    where it has its own; numbers come with the range that the class accepts.
    """
    if cls.__doc__ is None:
        return cls
    text = inspect.cleandoc(cls.__doc__)
    parameters = inspect.signature(cls).parameters
    for name, block in BLOCKS.items():
        if name == "training":
            block = "\n".join(
                entry for entry in re.split(r"\n(?=\S)", block) if entry.split()[0] in parameters
            )
        if name == "auto_weight":
            chosen = "with another prior than the default, " if "prior" in parameters else ""
            block = block.replace("{chosen}", chosen)
            block = block.replace("{rooted}", " or its root" if "root" in parameters else "")
        if name == "refit_decoder":
            terms = "the reconstruction term in both, for the mean codes"
            if hasattr(cls, "conditional_prior_"):
                terms += " (``beta`` up to 0.5; above it one of both terms for each row)"
            block = block.replace("{solved}", terms)
        if name == "scale":
            block = block.replace("{ignored}", SCALE_IGNORED if "cost" in parameters else "")
        if name == "prior":
            model = cls._model_class
            names = priors_with(*model.prior_needs, support=model.prior_support)
            block = block.replace("{default}", cls._default_prior)
            block = block.replace("{names}", re.sub(r"'(\w+)'", r'``"\1"``', names))
            if "encoder" in parameters and model.prior_support is None:
                block += PRIOR_HEAD
        text = text.replace("{" + name + "}", block)
    text = text.replace("{epochs}", str(cls._auto_epochs)).replace("{few}", f"{cls._few_rows:,}")
    for name, number in zip(("share", "low", "high"), cls._auto_batch, strict=True):
        text = text.replace("{" + name + "}", str(number))
    for name, parameter in parameters.items():
        default = parameter.default
        if isinstance(default, str):
            default = f'"{default}"'
        if isinstance(default, (int, float, tuple, str)):
            default = rf"\g<1>{default}"
            text = re.sub(rf"^({name} : .*, default=).*$", default, text, flags=re.MULTILINE)
        text = _with_range(text, name, cls._parameter_constraints.get(name, ()))
    cls.__doc__ = text
    return cls


def _with_range(text: str, name: str, constraints: Any) -> str:
    """A docstring whose type of one number has its range: ``alpha : float >= 0, default=1.0``."""
    intervals = [each for each in constraints if isinstance(each, Interval)]
    if not intervals:
        return text
    kind = "int" if intervals[0].type is Integral else "float"

    def ranged(entry: re.Match[str]) -> str:
        line = re.sub(rf"\b{kind}\b", f"{kind} {_range(intervals[0])}", entry[0], count=1)
        if None in constraints and "None" not in line.partition(", default=")[0]:
            line = line.replace(", default=", " or None, default=")
        return line

    return re.sub(rf"^{name} : .*$", ranged, text, flags=re.MULTILINE)


def _range(interval: Interval) -> str:
    left, right = interval.left, interval.right
    closed_left, closed_right = (interval.closed in (side, "both") for side in ("left", "right"))
    if right is None:
        return f"{'>=' if closed_left else '>'} {left:g}"
    if left is None:
        return f"{'<=' if closed_right else '<'} {right:g}"
    return f"in {'(['[closed_left]}{left:g}, {right:g}{')]'[closed_right]}"
