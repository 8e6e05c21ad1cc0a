"""Configuration of Sphinx. `make docs` builds the pages, without network; warnings are errors."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from artanis_client import __version__  # noqa: E402

project = "artanis-client"
author = "The artanis-client maintainers"
copyright = author  # noqa: A001
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "extension"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["reference/schemas"]
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures: of other packages, or private names for them

html_theme = "furo"
html_title = "artanis-client"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Formats", "params_style")]
