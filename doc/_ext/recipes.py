"""The pages of papers, made from the rows of ``benchmarks/papers`` when the pages are built.

The directive ``.. paper-systems:: NAME`` becomes, for each table of that script, the figures of the
systems as the paper has them and the call that makes each; ``.. paper-deviations:: NAME`` the
table of the defaults that are not as the paper has it.
"""

import json
from importlib import import_module

from _deviations import NOT_RUN, deviations, text_of
from _recipes import call_of
from _rows import RESULTS, as_table, like_mnist
from _summary import list_table
from sphinx.util.docutils import SphinxDirective


def tables_of(name):
    """Tables of a script, with the rows that are as the paper has them."""
    for table in import_module(name).tables(like_mnist(name)):
        rows = {name: row for name, row in table.rows.items() if row.recipe is not None}
        if rows:
            yield table, rows


def results_of(name):
    path = RESULTS / "papers" / f"{name}.json"
    return json.loads(path.read_text())["tables"] if path.exists() else {}


def figures(table, rows, results):
    """The list-table of measured figures and the paper's, of what there is."""
    entries = {}
    for name, row in rows.items():
        entry = results.get(table.title, {}).get(name, {})
        # Of another call, it is not this row's.
        current = entry.get("call") == call_of(row.estimator(None))
        seeds = entry["seeds"] if current else {}
        entries[row.recipe.system] = {"seeds": seeds, "paper": dict(row.paper)}
    there = {measure for entry in entries.values() for measure in entry["paper"]}
    there |= {key for entry in entries.values() for run in entry["seeds"].values() for key in run}
    shown = {measure: digits for measure, digits in table.decimals.items() if measure in there}
    if not shown:
        return [f"{table.title}: the paper has no figures, and nothing has been run.", ""]
    header, lines = as_table(entries, shown)
    for entry, line in zip(entries.values(), lines, strict=True):
        if not entry["seeds"]:
            values = [entry["paper"].get(measure) for measure in shown]
            cells = [NOT_RUN if value is None else f"{NOT_RUN} [{value:g}]" for value in values]
            line[1:-1] = [*cells, ""]
    return list_table(f"{table.title} (in brackets: the paper)", header, lines)


def differing(model, other):
    """``name=value`` of what another estimator of the class has otherwise."""
    first, second = (each.get_params(deep=False) for each in (model, other))
    return [f"``{k}={text_of(v)}``" for k, v in second.items() if repr(v) != repr(first[k])]


def calls(tables):
    """Text with the call of each system, once."""
    seen = {}
    for _, rows in tables:
        for row in rows.values():
            seen.setdefault(row.recipe.system, []).append(row)
    for system, rows in seen.items():
        recipe, models = rows[0].recipe, [row.estimator(None) for row in rows]
        yield from (f".. rubric:: {system}", "", ".. code-block:: python", "")
        yield from ("   " + line for line in call_of(models[0]).splitlines())
        yield ""
        for other in models[1:]:
            yield from (f"Also with {', '.join(differing(models[0], other))}.", "")
        chosen = [name for name in recipe.open if name in models[0].get_params(deep=False)]
        if chosen:
            names = ", ".join(f"`{name}`" for name in chosen)
            yield from (f"Not in the text of the paper: {names}. {recipe.differs}", "")
        elif recipe.differs:
            yield from (recipe.differs, "")


def systems(name):
    """Text of the figures and of the calls."""
    tables, results = [*tables_of(name)], results_of(name)
    lines = []
    for table, rows in tables:
        lines += figures(table, rows, results)
    return [*lines, *calls(tables)]


def deviation_table(name):
    """Text of the table of the defaults."""
    rows = [row for _, rows in tables_of(name) for row in rows.values()]
    header = ["Parameter", "Paper → default", "Why", "Measured"]
    lines = [
        [f"`{key}` of {classes}", f"``{theirs}`` → ``{ours}``", *rest]
        for classes, key, theirs, ours, *rest in deviations(rows)
    ]
    return list_table("Where the defaults differ", header, lines)


class PaperDirective(SphinxDirective):
    """Text that a subclass makes of the script that is named."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        self.env.note_dependency(str(RESULTS / "papers" / f"{name}.json"))
        return self.parse_text_to_nodes("\n".join(type(self).render(name)))


class SystemsDirective(PaperDirective):
    render = staticmethod(systems)


class DeviationsDirective(PaperDirective):
    render = staticmethod(deviation_table)


def setup(app):
    app.add_directive("paper-systems", SystemsDirective)
    app.add_directive("paper-deviations", DeviationsDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
