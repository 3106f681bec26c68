"""LSTM with sparse attentive backtracking."""

import keras

from keras_seqcredit.layers.recurrent.gated_sab import GatedSAB
from keras_seqcredit.saving import public


@public
class SABLSTM(GatedSAB):
    """LSTM that learns long dependencies from short back-propagation.

    A drop-in for `keras.layers.LSTM`: at each step, the hidden state attends to
    the `k_top` best of its own past states and adds what it reads. The gradient
    can be truncated every `k_trunc` steps and still reaches an event any number
    of steps back, through the state that remembers it. See `SparseAttentiveRNN`
    for the exact definition.

    Args:
        units: Positive integer, dimension of the state.
        k_top: Non-negative integer or None, number of remembered states that a
            step reads. `0` is a plain LSTM under truncated back-propagation;
            `None` reads all of them by a softmax. Defaults to `5`.
        k_att: Positive integer; every `k_att`-th state is remembered. Defaults
            to `1`.
        k_trunc: Positive integer or None, steps between cuts of the gradient.
            Defaults to `None`.
        attention: `"dot"`, `"additive"`, or `"concat"`, which cannot search and
            exists only for comparison with the authors' code. Defaults to
            `"dot"`.
        attention_units: Positive integer or None, units of the score. Defaults
            to `None`, which means `units`.
        memory_size: Positive integer or None, number of newest states to keep.
            Defaults to `None`, which keeps all.
        memory_content: `"state"` or `"provisional"`: remember the state after
            or before attention. Defaults to `"provisional"`.
        read_into: `"state"`, `"mean"` or `"output"`, where a read goes: also to
            the next step, as in the paper, or only to the output. Defaults to
            `"output"`.
        return_summary: Boolean, whether the output is `[h; s]`, twice as wide.
            Defaults to `False`.
        return_attention: Boolean, whether to return the slots and weights of
            the reads. Defaults to `False`.
        return_memory: Boolean, whether to return the memory and its mask.
            Defaults to `False`.
        **kwargs: The other arguments of `SparseAttentiveRNN`
            (`return_sequences`, `return_state`, `go_backwards`, `stateful`,
            `zero_output_for_mask` ...) and of `keras.layers.LSTM`:
            `activation`, `recurrent_activation`, `use_bias`,
            `unit_forget_bias`, the initializers, regularizers and constraints
            of `kernel`, `recurrent` and `bias`, `dropout`, `recurrent_dropout`,
            `seed`. `use_cudnn="auto"` or `False` and `implementation`, which
            change no value, are accepted and ignored.

    Call arguments:
        sequences: `(batch, time, features)`, in any float dtype.
        initial_state: List `[h, c]`, or `[h, c, memory, memory_mask]`.
        mask: Boolean `(batch, time)`, False at padded steps.
        training: Boolean, whether to apply dropout.

    Returns:
        As `SparseAttentiveRNN`: the output, then the requested extras.

    Raises:
        ValueError: for invalid arguments or shapes, before the first step.

    Example:

    ```python
    import keras
    from keras_seqcredit.layers import SABLSTM

    model = keras.Sequential(
        [
            keras.Input((None, 8)),
            SABLSTM(32, k_top=5, k_trunc=4, return_sequences=True),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    assert model.output_shape == (None, None, 10)
    ```

    References:
        - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
          Through Reminding", NeurIPS 2018, arXiv:1809.03702, section 3.
    """

    cell_class = keras.layers.LSTMCell
