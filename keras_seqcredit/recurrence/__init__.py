"""Recurrences over time.

- `step`: what a loop may call, and its kinds `keras_cell`, `split_cell` and
  `two_directions`; `side_effects`: what may not be in it;
- `structures`: what a recurrence is made of; `attention`: how a state reads
  others; `equation`: what a step computes;
- `run`: the door, through which layers come, to `forward` and `backward`;
- `stream`: one step outside a sequence.
"""
