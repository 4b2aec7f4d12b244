"""MathJax from ``doc/node_modules``, where ``npm ci --prefix doc`` has put it.

It is copied to ``_static/mathjax`` with its font, so that the built pages fetch nothing. Formulas
that are wider than their column are broken into lines. Where it is not installed, pages have
Sphinx's default: the browser fetches MathJax.
"""

import shutil
from pathlib import Path

from sphinx.util import logging

MODULES = Path(__file__).parents[1] / "node_modules"
FONT = "mathjax-newcm-font"
# From the package. Its combined components have more: menus, and an engine that reads aloud in a
# worker, which a page opened from a file may not start.
LOADED = ("core", "input/tex", "output/chtml", "a11y/assistive-mml")
PIECES = ("startup.js", "LICENSE", "input/tex", *(f"{name}.js" for name in LOADED))
CONFIG = {
    "loader": {"load": LOADED, "paths": {"fonts": "[mathjax]/fonts"}},
    "chtml": {
        "displayOverflow": "linebreak",
        "linebreaks": {"inline": True},
        # As high as the text's sans serif they would be a quarter wider.
        "matchFontHeight": False,
        "scale": 1.1,
    },
    "options": {"enableAssistiveMml": True},
}


def there():
    return (MODULES / "mathjax").is_dir() and (MODULES / "@mathjax" / FONT).is_dir()


def configure(app, config):
    if there():
        config.mathjax4_config = CONFIG
        config.mathjax_path = "mathjax/startup.js"
    else:
        logging.getLogger(__name__).info(
            "MathJax is not in doc/node_modules (npm ci --prefix doc): browsers will fetch it."
        )


def copy(app, exception):
    if exception is not None or app.builder.format != "html" or not there():
        return
    target = Path(app.outdir) / "_static" / "mathjax"
    for piece in PIECES:
        source = MODULES / "mathjax" / piece
        (target / piece).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / piece, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target / piece)
    source = MODULES / "@mathjax" / FONT
    font = target / "fonts" / FONT
    shutil.copytree(source / "chtml", font / "chtml", dirs_exist_ok=True)
    shutil.copy2(source / "chtml.js", font / "chtml.js")


def setup(app):
    app.connect("config-inited", configure)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
