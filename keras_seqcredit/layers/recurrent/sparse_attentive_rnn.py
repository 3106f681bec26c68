"""Sparse Attentive Backtracking around any Keras RNN cell."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_named
from keras_seqcredit.checks import check_size
from keras_seqcredit.checks import check_tensor
from keras_seqcredit.layers.recurrent.drop_in_arguments import check_cell_type
from keras_seqcredit.layers.recurrent.drop_in_arguments import (
    check_keras_arguments,
)
from keras_seqcredit.layers.recurrent.inputs import read_call
from keras_seqcredit.layers.recurrent.outputs import RecurrentLayer
from keras_seqcredit.layers.recurrent.outputs import attentive_specs
from keras_seqcredit.layers.recurrent.outputs import empty
from keras_seqcredit.layers.recurrent.outputs import one_or_tuple
from keras_seqcredit.layers.recurrent.outputs import shapes
from keras_seqcredit.layers.recurrent.outputs import symbolic
from keras_seqcredit.layers.recurrent.score_weights import ScoreWeights
from keras_seqcredit.layers.recurrent.sparse_attentive_arguments import (
    check_arguments,
)
from keras_seqcredit.layers.recurrent.sparse_attentive_arguments import (
    check_mask,
)
from keras_seqcredit.layers.recurrent.sparse_attentive_arguments import (
    check_state,
)
from keras_seqcredit.recurrence.equation import hidden_states
from keras_seqcredit.recurrence.keras_cell import KerasCell
from keras_seqcredit.recurrence.keras_cell import first_states
from keras_seqcredit.recurrence.keras_cell import state_sizes
from keras_seqcredit.recurrence.run import final_memory
from keras_seqcredit.recurrence.run import run
from keras_seqcredit.recurrence.side_effects import check_cell
from keras_seqcredit.recurrence.split_cell import step_of
from keras_seqcredit.recurrence.step import Step
from keras_seqcredit.recurrence.stream import State
from keras_seqcredit.recurrence.stream import first_memory
from keras_seqcredit.recurrence.stream import stream
from keras_seqcredit.recurrence.structures import Constants
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.recurrence.structures import Recurrence
from keras_seqcredit.recurrence.structures import Settings
from keras_seqcredit.recurrence.structures import absent
from keras_seqcredit.saving import public
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.sequence_ops import time_first
from keras_seqcredit.types import Shape
from keras_seqcredit.types import Tensor


@public
class SparseAttentiveRNN(RecurrentLayer, keras.layers.RNN):
    """Wraps any RNN cell with sparse attention to its own past states.

    At each step, the layer compares the cell's new hidden state with the
    remembered states, reads the `k_top` best of them and adds the result to the
    hidden state. The gradient takes the same path back: it may be truncated
    every `k_trunc` steps (truncated back-propagation through time) and still
    reaches any remembered state, at any distance, in one hop. With `M` the
    remembered states, starting with the initial hidden state, the paper's form
    is:

    ```
    if k_trunc and t > 0 and t % k_trunc == 0: cut the gradient of (h, c)
    h^, c = cell(x_t, (h, c))
    a_i   = score(h^, m_i)                       for each m_i in M
    w_i   = relu(a_i - the (k_top + 1)-th largest a),   w = w / sum w
    s     = sum_i w_i m_i
    h     = h^ + s
    if (t + 1) % k_att == 0: append h to M
    ```

    That is `attention="additive", memory_content="state", read_into="state"`.
    The defaults differ in three ways: the score is a dot product, the memory
    holds `h^`, and a read goes to the output while the next step continues from
    `h^`. With them, the layer learns tasks more reliably (page "Results").

    Memory grows linearly with the number of steps. The gradient is exact.
    `SABLSTM` and `SABGRU` are this layer around an LSTM and a GRU cell.

    Args:
        cell: A Keras RNN cell, or a list of them (they are stacked, and the
            hidden state of the last one attends). A cell may use the `dropout`
            and `recurrent_dropout` of Keras' own cells. It must not draw random
            numbers itself, assign variables or add losses, as `Dropout` or
            `BatchNormalization` inside it would.
        k_top: Non-negative integer or None, number of remembered states that a
            step reads. `0` is the plain cell under truncated back-propagation.
            `None` reads all of them, by a softmax of the scores: the dense
            baseline for sparse attention. Its time grows with the square of the
            length. Defaults to `5`.
        k_att: Positive integer; every `k_att`-th state is remembered. Defaults
            to `1`.
        k_trunc: Positive integer, steps between truncations of the local
            gradient. `None` does not truncate. Defaults to `None`.
        attention: `"dot"`, `(W_q h^) . (W_m m) / sqrt(attention_units)`;
            `"additive"`, `v . tanh(W_m m + W_q h^ + b)`, as in the paper,
            which can weight several slots equally, since it saturates; or
            `"concat"`, `w . tanh([h^; m])`, as in the authors' code.
            **`"concat"` cannot search**: every step ranks the slots alike. It
            exists only for comparison. Defaults to `"dot"`.
        attention_units: Positive integer, units of the additive and the dot
            score. Fewer units than the cell's make long memories cheaper to
            read. Defaults to `None`, which means the units of the cell.
        memory_size: Positive integer, number of newest states to keep. `None`
            keeps all states of a sequence. Defaults to `None`.
        memory_content: `"state"` remembers `h`, as in the paper;
            `"provisional"` remembers `h^`, which the cell bounds, whereas `h`
            may grow with every hop. Defaults to `"provisional"`.
        read_into: Where a read goes. `"state"`, as in the paper: the output is
            `h = h^ + s`, and the next step continues from `h`. `"mean"`: both
            use `h = (h^ + s) / 2`. `"output"`: the output is `h`, and the next
            step continues from `h^`. Credit then goes back one hop and
            `k_trunc` steps, and takes further hops only if `memory_content` is
            `"state"`. Defaults to `"output"`.
        return_summary: Boolean, whether the output is `[h; s]` instead of `h`.
            Defaults to `False`.
        return_attention: Boolean, whether to return what each step read.
            Defaults to `False`.
        return_memory: Boolean, whether to return the memory. Defaults to
            `False`.
        attention_initializer: Initializer of the attention's weights. Defaults
            to `None`, which means Glorot uniform, six times as wide for the
            additive score. Otherwise its tanh would be nearly linear and rank
            the slots alike for all queries.
        attention_regularizer: Regularizer of the attention's weights. Defaults
            to `None`.
        attention_constraint: Constraint of the attention's weights. Defaults
            to `None`.
        jit_compile: Boolean or `"auto"`, whether TensorFlow compiles the
            recurrence with XLA if the model around it is not compiled (its
            default on a CPU). Each new sequence length then requires a
            compilation, as in a compiled model. `"auto"` compiles. Set to
            `False` to export to a runtime without XLA, such as ONNX; writing to
            the memory then takes longer. JAX ignores this argument. Defaults to
            `"auto"`.
        **kwargs: `return_sequences`, `return_state`, `go_backwards`,
            `stateful`, `zero_output_for_mask` and the other arguments of
            `keras.layers.RNN`, except `unroll`. An `activity_regularizer`
            applies only to the output.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: List of the cell's own states, `(batch, units)` each,
            optionally followed by a memory `(batch, slots, units)`, oldest slot
            first, and its mask `(batch, slots)`. A state from `step` also
            works.
        mask: Boolean `(batch, time)`. At a `False` step, the states do not
            change, nothing is read or remembered, and the output repeats the
            last one, or is 0 with `zero_output_for_mask`.
        training: Boolean, whether to apply dropout.

    Returns:
        One tensor, or a tuple of these, in order:

        - the output `(batch, units)`, or `(batch, time, units)` with
          `return_sequences`; `2 * units` with `return_summary`;
        - with `return_state`, the cell's states, `(batch, units)` each, as the
          next step needs them: with `read_into="output"`, the first is `h^`,
          not the last output;
        - with `return_memory`, the memory `(batch, slots, units)` and its
          boolean mask `(batch, slots)`, valid as part of `initial_state`;
        - with `return_attention`, int32 slots and float32 weights of the reads,
          `(batch, time, k_top)`, the best first. Slots count all states ever
          remembered: 0 is the initial state, and `i` is the state after step
          `i * k_att - 1`. The slot is -1 where nothing was read.

        Except for integers and booleans, all are in the layer's compute dtype.

    Raises:
        ValueError: if an argument, the cell, or the shape of the input, a mask
            or an initial state is invalid; always before the first step.

    With `stateful=True`, the states and the memory, a ring buffer of
    `memory_size` slots, carry over to the next call until `reset_state()`, on
    both TensorFlow and JAX. They are not weights: `get_weights` and
    `set_weights` leave them out, so weights transfer from a layer trained
    without `stateful` or on another batch size. Files store them with the
    weights; they are loaded where their shapes match.

    Infinite or NaN inputs make their row NaN from that step on.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_seqcredit.layers import SparseAttentiveRNN

    layer = SparseAttentiveRNN(
        keras.layers.SimpleRNNCell(8), k_top=3, k_trunc=4, return_attention=True
    )
    output, slots, weights = layer(np.random.rand(2, 20, 5).astype("float32"))
    assert output.shape == (2, 8)
    assert slots.shape == weights.shape == (2, 20, 3)
    ```

    References:
        - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
          Through Reminding", NeurIPS 2018, arXiv:1809.03702, section 3.
    """

    def __init__(
        self,
        cell,
        k_top: int | None = 5,
        k_att: int = 1,
        k_trunc: int | None = None,
        attention: str = "dot",
        attention_units: int | None = None,
        memory_size: int | None = None,
        memory_content: str = "provisional",
        read_into: str = "output",
        return_summary: bool = False,
        return_attention: bool = False,
        return_memory: bool = False,
        attention_initializer=None,
        attention_regularizer=None,
        attention_constraint=None,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        unroll = kwargs.pop("unroll", False)
        check_keras_arguments({**kwargs, "unroll": unroll})
        check_cell_type("cell", cell)
        super().__init__(cell, **kwargs)
        self._take_activity_regularizer()

        # Passed args.
        self.k_top = check_integer("k_top", k_top, minimum=0, optional=True)
        self.k_att = check_integer("k_att", k_att)
        self.k_trunc = check_integer("k_trunc", k_trunc, optional=True)
        self.attention = attention
        self.attention_units = check_integer(
            "attention_units", attention_units, optional=True
        )
        self.memory_size = check_integer(
            "memory_size", memory_size, optional=True
        )
        self.memory_content = memory_content
        self.read_into = read_into
        self.return_summary = return_summary
        self.return_attention = return_attention
        self.return_memory = return_memory
        self.attention_initializer = check_named(
            "attention_initializer", attention_initializer
        )
        self.attention_regularizer = check_named(
            "attention_regularizer", attention_regularizer
        )
        self.attention_constraint = check_named(
            "attention_constraint", attention_constraint
        )
        self.jit_compile = jit_compile
        check_arguments(self, unroll)

        # Other args.
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self._sizes = state_sizes(self.cell)
        self._score: Any = None
        self._features: int | None = None  # Known after `build`.
        if self._attends:
            # Assigned after the cell, so that its weights follow the cell's.
            self._score = ScoreWeights(
                attention,
                self.attention_units,
                initializer=self.attention_initializer,
                regularizer=self.attention_regularizer,
                constraint=self.attention_constraint,
                dtype=self.dtype_policy,
                name="attention",
            )

    @property
    def _attends(self) -> bool:
        return self.k_top != 0

    @property
    def memory_kernel(self):
        """`(units, attention_units)`, of the additive and the dot score."""
        return self._score.memory_kernel

    @property
    def query_kernel(self):
        """`(units, attention_units)`, of the additive and the dot score."""
        return self._score.query_kernel

    @property
    def attention_bias(self):
        """`(attention_units,)`, of the additive score."""
        return self._score.attention_bias

    @property
    def attention_vector(self):
        """Additive: `(attention_units,)`. Concat: `(2 * units,)`, h first."""
        return self._score.attention_vector

    def build(self, sequences_shape: Shape, initial_state_shape=None) -> None:
        self._features = sequences_shape[-1]
        if isinstance(self.cell, keras.layers.Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
            self.cell.built = True
        check_cell("cell", self.cell, sequences_shape[-1], self.compute_dtype)
        if self._score and not self._score.built:
            self._score.build((None, None, self._sizes[0]))
            self._score.built = True
        if self.stateful and self.states is None:
            self._build_states(sequences_shape[0])

    def _num_states(self) -> int:
        return len(self._sizes) + (3 if self.k_top else 1)

    def get_initial_state(
        self, batch_size, memory_size: int | None = None
    ) -> list:
        """Returns the state before the first `step`.

        Args:
            batch_size: Integer.
            memory_size: Integer, slots of the memory, for a layer without its
                own `memory_size`: the number of steps to come, plus one.
                Defaults to `None`.

        Returns:
            List of the cell's states, the memory `(batch, slots, units)`, its
            mask `(batch, slots)`, the number of steps taken, a scalar, and what
            the score stores for each slot, if anything. With `k_top=0`, only
            the cell's states and the number of steps.

        Raises:
            ValueError: if neither the layer nor the call has a `memory_size`.
        """
        check_size("batch_size", batch_size)
        if memory_size is not None:
            check_size("memory_size", memory_size)
        slots = memory_size or self.memory_size
        if self._attends and slots is None:
            raise ValueError(
                "A state for streaming needs a memory of fixed size. Expected "
                "`memory_size`, here or when the layer is made. Received: "
                f"memory_size={memory_size}, layer.memory_size=None"
            )
        state = self._first_states(batch_size, slots)
        if self._attends:
            prepared = self._score.prepared()
            cached = self._score.score.cache(prepared, state[-3])
            state += [] if absent(cached) else [cached]
        return state

    def _first_states(self, batch_size, memory_size=None) -> list:
        """The initial states of the cell, memory, memory mask and time."""
        states = self._cell_states(batch_size)
        slots: Any = memory_size or self.memory_size
        time = ops.zeros((), "int32")
        if not self._attends:
            return [*states, time]
        return [*states, *first_memory(states[0], slots), time]

    def _cell_states(self, batch_size) -> list:
        return first_states(self.cell, batch_size, self.compute_dtype)

    def call(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=False,
        sequences_mask=None,
    ):
        # Keras fills `sequences_mask` instead of `mask` if it is also given an
        # `initial_state`.
        mask = sequences_mask if mask is None else mask
        call = read_call(self, sequences, mask)
        if sequences.shape[0] == 0:
            state_shapes = self._state_shapes(initial_state)
            return empty(self._specs(ops.shape(sequences), state_shapes))
        self._check_batch_size(sequences)
        recurrence = self._of_call(call, initial_state, training)
        outputs = run(recurrence)
        final = [state[-1] for state in outputs.states[: len(self._sizes)]]
        memory: Any = ()
        if self.return_memory or (self.stateful and self._attends):
            memory = final_memory(recurrence, outputs)
        if self.stateful:
            time = self.states[-1] + ops.shape(sequences)[1]
            self._keep_states([*final, *memory, time])

        results = [self._output(recurrence, outputs, call.mask)]
        if self.return_state:
            results += final
        if self.return_memory:
            results += memory
        if self.return_attention:
            slots, weights = (
                time_first(x)[:, :, : self.k_top]
                for x in (outputs.indices, outputs.weights)
            )
            # A slot with a weight of 0 was not read.
            results += [ops.where(weights > 0, slots, -1), weights]
        return one_or_tuple(results)

    def _output(self, recurrence, outputs, mask):
        parts = [hidden_states(recurrence.settings, outputs)]
        if self.return_summary:
            parts.append(outputs.states[-1])
        if not self.return_sequences:
            parts = [part[-1] for part in parts]
        output = ops.concatenate(parts, axis=-1)
        if self.return_sequences:
            output = time_first(output)
        return self._finished(output, mask)

    def _of_call(self, call, initial_state=None, training=False) -> Recurrence:
        """The recurrence that the engine runs for a call."""
        cell = step_of(self.cell, bool(training))
        start = self._start(initial_state, ops.shape(call.sequences)[0])
        inputs = call.inputs
        constants = cell.constants(inputs[0])
        return self._recurrence(cell, constants, inputs, start, call.time_mask)

    def _start(self, initial_state, batch_size) -> State:
        if initial_state is None and self.stateful:
            initial_state = [backend.read(v) for v in self.states]
        elif initial_state is None:
            initial_state = self._cell_states(batch_size)
        else:
            known = batch_size if isinstance(batch_size, int) else None
            initial_state = check_state(self, initial_state, known)
        return State.unpack(
            initial_state, len(self._sizes), self._attends, self.compute_dtype
        )

    def _recurrence(self, step, constants, inputs, start, mask) -> Recurrence:
        score = self._score.prepared() if self._attends else ()
        return Recurrence(
            self._settings(step),
            Operands(step.weights, score, inputs, start.states, start.memory),
            Constants(constants, mask, start.memory_mask, start.time),
        )

    def _settings(self, step: Step) -> Settings:
        into_output = self._attends and self.read_into == "output"
        return Settings(
            step,
            score=self._score.score if self._attends else None,
            k_top=self.k_top,
            k_att=self.k_att,
            k_trunc=self.k_trunc,
            read_into=self.read_into,
            remember_provisional=(
                self._attends and self.memory_content == "provisional"
            ),
            memory_size=self.memory_size,
            keep_summary=self.return_summary or into_output,
            jit_compile=self.jit_compile in (True, "auto"),
        )

    def step(self, inputs: Tensor, state: list) -> tuple[Tensor, list]:
        """Takes one step outside any sequence, for streaming and generation.

        Stepping through a sequence gives the same results as `call` on the
        whole. Dropout is not applied.

        Args:
            inputs: `(batch, features)`.
            state: from `get_initial_state`, from the previous step, or as
                returned by `call` with `return_state` and `return_memory`.

        Returns:
            `(output, state)`, the output `(batch, units)`, or
            `(batch, 2 * units)` with `return_summary`.
        """
        inputs = check_tensor("inputs", inputs, (None, self._features))
        inputs = infinite_to_nan(ops.cast(inputs, self.compute_dtype))
        if not self.built:
            self.build((inputs.shape[0], None, inputs.shape[-1]))
        state = check_state(self, state, inputs.shape[0])
        if self._attends and len(state) == len(self._sizes):
            raise ValueError(
                f"`step` of layer '{self.name}' reads a memory. Expected a "
                "`state` from `get_initial_state` or from the step before. "
                "Received: the states of the cell alone"
            )
        start = self._start(state, inputs.shape[0])
        cell = KerasCell(self.cell)
        constants = cell.constants(inputs)
        recurrence = self._recurrence(cell, constants, inputs, start, ())
        taken, state, _ = stream(recurrence, start.cached)
        if self.return_summary:
            output = ops.concatenate([taken.output, taken.read.summary], -1)
            return output, state
        return taken.output, state

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        return shapes(self._specs(sequences_shape, initial_state_shape))

    def compute_output_spec(
        self, sequences, initial_state=None, *args, **kwargs
    ):
        state_shapes = self._state_shapes(initial_state, sequences.shape[0])
        check_mask(self, sequences, kwargs.get("mask"))
        self._check_batch_size(sequences)
        return symbolic(self._specs(sequences.shape, state_shapes))

    def _state_shapes(self, initial_state, batch_size=None) -> list:
        if initial_state is None:
            return []
        return [x.shape for x in check_state(self, initial_state, batch_size)]

    def _specs(self, sequences_shape, initial_state_shape=None) -> list:
        return attentive_specs(self, sequences_shape, initial_state_shape)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        # Keras removes the cell from the dictionary that it is given.
        return super().from_config(completed(config), custom_objects)

    def get_config(self):
        config = super().get_config()
        del config["unroll"]
        names = (
            "k_top", "k_att", "k_trunc", "attention", "attention_units",
            "memory_size", "memory_content", "read_into", "return_summary",
            "return_attention", "return_memory", "jit_compile",
        )  # fmt: skip
        return {
            **config,
            **{name: getattr(self, name) for name in names},
            "attention_initializer": keras.initializers.serialize(
                self.attention_initializer
            ),
            "attention_regularizer": keras.regularizers.serialize(
                self.attention_regularizer
            ),
            "attention_constraint": keras.constraints.serialize(
                self.attention_constraint
            ),
        }


def completed(config: dict) -> dict:
    """Completes a configuration from before `read_into` existed."""
    return {"read_into": "state", **config}
