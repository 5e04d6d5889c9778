"""How Sphinx builds these pages.

    sphinx-build -W --keep-going -b html docs docs/_build/html

The lessons are built from ``notebooks/src`` and executed; options of the command line and the names
of the API are read from the package of this repository. Nothing is fetched: formulas become MathML,
and no page asks another host for anything.
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent

# The pages show the package of this repository, whatever else is installed: in this process, and in
# the kernels that run lessons.
sys.path[:0] = [str(REPOSITORY), str(DOCS / "_ext")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
)
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # figures go into the page

import minisegnet  # noqa: E402 (found through the path above)

project = "minisegnet"
author = "The minisegnet authors"
copyright = "the minisegnet authors, MIT licence"
version = release = minisegnet.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "commands",
    "explorer",
    "lesson_pages",
    "mathml",
    "networks",
    "rooms",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints", "results"]
root_doc = "index"

# ------------------------------------------------------------------ the reference

autodoc_typehints = "none"  # numpydoc's tables of parameters say it
autodoc_member_order = "groupwise"
autosummary_generate = False  # a room has one page: see _ext/rooms.py
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88

# ------------------------------------------------------------------ pages that run

nb_execution_mode = "force"  # a page runs when it is read, and it is read when something changed
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_image_options = {"alt": "A figure that the cell above has drawn"}
myst_enable_extensions = ["deflist", "colon_fence", "attrs_block", "attrs_inline", "smartquotes"]
myst_heading_anchors = 3

# ------------------------------------------------------------------ how it looks

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "minisegnet"
smartquotes_action = "qe"  # "--option" keeps its dashes
html_static_path = ["_static"]
html_css_files = ["minisegnet.css"]
html_favicon = "_static/grid.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {
        "image_light": "_static/grid.svg",
        "image_dark": "_static/grid.svg",
        "text": "minisegnet",
    },
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {  # pages with nothing below them need no list of what is below them
    page: []
    for page in (
        "index",
        "start",
        "verify_transposed_convolution",
        "networks",
        "command_line",
        "comparison",
        "house",
        "what_makes_it_fast",
        "gpu",
        "benchmarks",
        "glossary",
    )
}
