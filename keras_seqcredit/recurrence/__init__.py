"""Recurrences over time.

- `step`: the interface of a step, and its kinds `keras_cell`, `split_cell` and
  `two_directions`; `side_effects`: what a step must not do;
- `structures`: the parts of a recurrence; `attention`: how a state reads
  others; `equation`: the computation of a step;
- `run`: the entry point for layers, to `forward` and `backward`;
- `stream`: one step outside a sequence.
"""
