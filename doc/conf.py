"""Configuration of the documentation: ``sphinx-build -W doc doc/_build/html``.

Building needs no network. ``npm ci --prefix doc`` beforehand makes the built pages draw their
formulas without one too (``_ext/formulas.py``). For a published build ``SKOTAE_DOC_INTERSPHINX=1``
turns on links to the documentation of scikit-learn and others, and ``SKOTAE_DOC_VERSIONS``, the
address of a ``switcher.json``, a switch between versions.
"""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

# The gallery looks up what examples import, also those that are not run.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
for folder in ("benchmarks", "benchmarks/papers"):
    sys.path.append(str(Path(__file__).parents[1] / folder))

os.environ.setdefault("MPLBACKEND", "Agg")

project = "skotae"
author = "The skotae developers"
copyright = "2026, The skotae developers"
release = installed_version("skotae")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_gallery.gen_gallery",
    "benchmarks",
    "docstrings",
    "formulas",
    "fragments",
    "recipes",
]
if os.environ.get("SKOTAE_DOC_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# What is copied of an example is what is typed.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "node_modules", "whats_new/fragments"]
default_role = "literal"
nitpicky = False
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}

# Reference pages come from the tables in api.rst, one for each object.
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# In the table of contents: `fit()` rather than `WAEEstimator.fit()`.
toc_object_entries_show_parents = "hide"
# doc/_templates/autosummary/class.rst lists the members; numpydoc shall not do so again.
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "subsection_order": [
        f"../examples/{section}"
        for section in ("start", "use", "families", "shape", "practice", "transport")
    ],
    "within_subsection_order": "gallery_order.GalleryOrder",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"(^|[\\/])(__init__|quickstart|distributed)\.py",
    "doc_module": ("skotae",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"skotae": None},
    "remove_config_comments": True,
    "show_memory": False,
    # The table of running times has scripts from elsewhere.
    "write_computation_times": False,
    "download_all_examples": False,
}

# Pictures of ``.. plot::`` are drawn when the pages are built, with or without the gallery.
plot_formats = [("png", 120)]
plot_html_show_formats = False
plot_html_show_source_link = False

html_static_path = ["_static"]
html_css_files = ["front.css"]
html_theme = "pydata_sphinx_theme"
html_title = f"skotae {version}"
# Without it the theme's script says so in the console of each page.
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
# A page without neighbours needs no list of them.
html_sidebars = {"getting_started": []}
html_theme_options = {
    "show_prev_next": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
}
# Where several versions are published: the address of the list that the theme's switch reads.
if versions := os.environ.get("SKOTAE_DOC_VERSIONS"):
    html_theme_options |= {
        "switcher": {"json_url": versions, "version_match": version},
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    }
