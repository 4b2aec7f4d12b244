"""The order of the examples within a section: the one to begin with comes first."""

FIRST = ("plot_pca.py", "plot_lam.py", "plot_displays.py", "plot_pipeline_knn.py")


class GalleryOrder:
    """What sphinx-gallery sorts the files of a section by."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        return (FIRST.index(name) if name in FIRST else len(FIRST), name)
