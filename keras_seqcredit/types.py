"""Aliases for annotations."""

from typing import Any
from typing import TypeAlias

# Keras has no common class for the tensors of its backends.
Tensor: TypeAlias = Any
Shape: TypeAlias = tuple[int | None, ...]
