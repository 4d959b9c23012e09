"""The demo's data: a platform's three databases, and a few small ones that a careless tool trips over."""

from demo.dataset.change import change
from demo.dataset.load import load

__all__ = ["change", "load"]
