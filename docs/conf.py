"""Sphinx: python -m sphinx -W --keep-going docs docs/_build. Nothing is fetched, when it is built or when it is read.

Before the pages are read, `make_pages.py` writes the command line and the keys of results.json from the package
itself, and `make_figures.py` runs the code of the pages: what they show is what that code printed and drew.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_extensions")]
os.environ.setdefault("MPLBACKEND", "agg")

import make_figures
import make_pages

import photonstats

make_pages.main()
make_figures.main()

project = "photonstats"
copyright = "The photonstats developers"  # noqa: A001
version = release = photonstats.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "mathml"]
exclude_patterns = ["_build", "made"]
default_role = "code"  # the docstrings mark names by single backticks

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters say the types, with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"photonstats {release}"
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
html_copy_source = False
