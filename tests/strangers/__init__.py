"""
Adapters of a stranger, found by entry point as those of any installed package.

Import this to install them in this process; another one finds them with ``PLACE`` on its PYTHONPATH.
"""

import sys
from pathlib import Path

__all__ = ["PLACE"]

PLACE = str(Path(__file__).parent)

if PLACE not in sys.path:
    sys.path.append(PLACE)
