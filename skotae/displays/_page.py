"""A report as HTML."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any

# Signs beside the colours, which not everyone tells apart.
SIGNS = {True: ("good", "&#10003;"), False: ("bad", "&#10007;"), None: ("open", "&#8211;")}
STYLE = """
.skotae { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
          max-width: 1280px; margin: 0 auto; padding: 0 16px 48px; }
.skotae h1 { font-size: 1.6em; margin: .8em 0 .2em; }
.skotae h2 { font-size: 1.25em; margin: 1.8em 0 .4em; border-bottom: 1px solid #ccc; }
.skotae h3 { font-size: 1.05em; margin: 1.4em 0 .4em; }
.skotae .scroll { overflow-x: auto; }
.skotae table { border-collapse: collapse; font-size: .92em; }
.skotae caption { text-align: left; color: #555; padding: .2em 0; }
.skotae th, .skotae td { padding: .25em .7em; border-bottom: 1px solid #e4e4e4;
                         text-align: right; vertical-align: top; }
.skotae th:first-child { text-align: left; }
.skotae .verdicts td, .skotae .verdicts th { text-align: left; }
.skotae .good { color: #00664b; } .skotae .bad { color: #a33b00; } .skotae .open { color: #555; }
.skotae .figures { display: flex; flex-wrap: wrap; gap: 12px 24px; }
.skotae figure { margin: 0; max-width: 624px; }
.skotae figcaption { font-weight: 600; }
.skotae img { max-width: 100%; height: auto; border: 1px solid #eee; }
.skotae pre { background: #f5f5f5; padding: .6em .8em; overflow-x: auto; }
.skotae summary { cursor: pointer; margin: .6em 0; }
"""


def page(report: Any) -> str:
    """A whole page."""
    title = escape(f"skotae: {', '.join(report.models)}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title></head>\n<body>{fragment(report)}</body></html>\n"
    )


def fragment(report: Any) -> str:
    """What a notebook shows: the page without its head."""
    names = ", ".join(map(escape, report.models))
    where = "held-out rows" if report.held_out else "the rows given, perhaps those of the fit"
    size = f"{report.n_rows} rows of {report.n_features} columns; measured on {where}."
    parts = [f"<h1>{names}</h1><p>{size}</p>", _verdicts(report)]
    for name, model in report.models.items():
        parts.append(f"<h2>{escape(name)}</h2>")
        parts.append(_figures(name, model))
        table = f'<div class="scroll">{model.measures._repr_html_()}</div>'
        parts.append(f"<h3>Measures, and principal components beside</h3>{table}")
        parts.append(f"<h3>The call that made it</h3><pre>{escape(model.code)}</pre>")
        parts.append(_pairs("All parameters", model.parameters))
    parts.append(_pairs("Versions", report.versions))
    return f'<div class="skotae"><style>{STYLE}</style>{"".join(parts)}</div>'


def _verdicts(report: Any) -> str:
    """Questions by model: a word with its sign, and the sentence below."""
    names = [*report.models]
    questions = [*next(iter(report.models.values())).verdicts]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = []
    for question in questions:
        cells = []
        for name in names:
            verdict = report.models[name].verdicts[question]
            kind, sign = SIGNS[verdict.good]
            word = f'<strong class="{kind}">{sign} {escape(verdict.name)}</strong>'
            cells.append(f"<td>{word}<br>{escape(verdict.text)}</td>")
        lines.append(f"<tr><th>{escape(question)}</th>{''.join(cells)}</tr>")
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<h2>Verdicts</h2><div class="scroll"><table class="verdicts">{table}</table></div>'


def _figures(name: str, model: Any) -> str:
    figures = []
    for title, image in model.images.items():
        source = f"data:image/png;base64,{b64encode(image).decode()}"
        text = escape(f"{title} of {name}")
        caption = f"<figcaption>{escape(title)}</figcaption>"
        figures.append(f'<figure>{caption}<img src="{source}" alt="{text}"></figure>')
    return f'<div class="figures">{"".join(figures)}</div>'


def _pairs(title: str, values: dict[str, str]) -> str:
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>"
        for name, value in values.items()
    )
    return f"<details><summary>{escape(title)}</summary><table>{lines}</table></details>"
