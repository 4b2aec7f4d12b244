"""Changelog fragments: one small file for each change, gathered when the pages are built.

A page that contains the line ``.. fragments::`` receives the files of
``whats_new/fragments`` in its place, under one heading for each kind of change. A fragment
is called ``<issue>.<kind>.rst`` and holds a bullet list.
"""

from pathlib import Path

KINDS = {
    "feature": "New features",
    "enhancement": "Enhancements",
    "change": "Changed behaviour",
    "fix": "Fixes",
    "doc": "Documentation",
}
MARK = ".. fragments::"


def gather(folder):
    """Text of the changelog, and the fragments that it was made from."""
    files = sorted(folder.glob("*.rst"))
    parts = []
    unknown = {file.name for file in files if file.name.split(".")[1] not in KINDS}
    if unknown:
        raise ValueError(
            f"{sorted(unknown)} in {folder.name}; expected names <issue>.<kind>.rst with a kind "
            f"from {sorted(KINDS)}."
        )
    for kind, heading in KINDS.items():
        texts = [file.read_text().strip() for file in files if file.name.split(".")[1] == kind]
        if texts:
            parts += [heading, "-" * len(heading), "", "\n".join(texts), ""]
    return "\n".join(parts), files


def insert(app, docname, source):
    if MARK not in source[0].splitlines():
        return
    text, files = gather(Path(app.srcdir) / "whats_new" / "fragments")
    for file in files:
        app.env.note_dependency(str(file))
    source[0] = source[0].replace(MARK, text)


def setup(app):
    app.connect("source-read", insert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
