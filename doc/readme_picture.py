"""The picture of README.rst, drawn anew: ``python doc/readme_picture.py``.

It is what README's first command writes, in few colours, so that the file is small.
"""

import os
import runpy
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "doc" / "_static" / "quickstart.png"
N_COLOURS = 128


def main():
    """Run the example in a folder of its own, and keep its picture."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
        finally:
            os.chdir(before)
        drawn = Image.open(Path(folder) / "quickstart.png").convert("RGB")
    few = drawn.quantize(N_COLOURS, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)
    print(f"written: {PICTURE} ({PICTURE.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
