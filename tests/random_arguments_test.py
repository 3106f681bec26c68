"""Random arguments end in finite numbers, or in an error that helps.

It says what was expected and what was received. `ARGUMENTS_SEED` and
`ARGUMENTS_EXAMPLES` draw others, and more of them; a failure tells both, and
the arguments.
"""

import os

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies

from keras_seqcredit import schedules
from tests.public_names import public_objects
from tests.random_arguments import BASES
from tests.random_arguments import CASES
from tests.random_arguments import METHODS

SEED = int(os.environ.get("ARGUMENTS_SEED", "0"))
EXAMPLES = int(os.environ.get("ARGUMENTS_EXAMPLES", "20"))

# Sizes are small, so that an example takes a fraction of a second.
VALUES = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(-2, 6),
    strategies.floats(),
    strategies.text(max_size=3),
    strategies.sampled_from(["auto", "relu", "zeros", "l2", "input", b"bytes"]),
    strategies.lists(strategies.integers(-1, 3), max_size=3),
    strategies.tuples(strategies.integers(0, 3), strategies.text(max_size=1)),
    strategies.dictionaries(strategies.text(max_size=2), strategies.none()),
    strategies.builds(np.array, strategies.just([1.5, 2.0])),
    strategies.builds(np.int64, strategies.integers(1, 3)),
    strategies.builds(np.float16, strategies.integers(1, 3)),
    strategies.builds(np.float32, strategies.integers(0, 2)),
    strategies.builds(object),
    strategies.builds(keras.layers.Dense, strategies.just(2)),
    strategies.builds(keras.layers.GRUCell, strategies.just(2)),
    strategies.builds(
        schedules.LinearSchedule,
        strategies.just(0.0),
        strategies.just(1.0),
        strategies.just(3),
    ),
)


def is_finite(result):
    for x in keras.tree.flatten(result):
        if isinstance(x, np.ndarray) or keras.ops.is_tensor(x):
            array = keras.ops.convert_to_numpy(x)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return False
    return True


def replaced(data, names):
    """One or two arguments, by name."""
    number = data.draw(strategies.sampled_from([1, 1, 2]))
    chosen = data.draw(
        strategies.lists(
            strategies.sampled_from(names),
            min_size=min(number, len(names)),
            max_size=number,
            unique=True,
        )
    )
    drawn = {}
    for name in chosen:
        value = data.draw(VALUES, label=name)
        # A function that is no initializer is not an error of ours. A file
        # that is not named is downloaded.
        hypothesis.assume(not (callable(value) and _is_function_of_keras(name)))
        hypothesis.assume(not (name == "path" and value is None))
        drawn[name] = value
    return drawn


def _is_function_of_keras(name):
    kind = name.rpartition("_")[2]
    return kind in ("activation", "initializer", "regularizer", "constraint")


@pytest.mark.parametrize("name", [*CASES, *METHODS])
def test_a_value_or_an_error_that_helps(name, tmp_path, monkeypatch):
    case = (CASES | METHODS)[name]
    monkeypatch.chdir(tmp_path)

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategies.data())
    def check(data):
        arguments = case.arguments() | replaced(data, case.names())
        try:
            result = case.use(case.call(**arguments))
        except FileNotFoundError:
            return
        except Exception as error:
            message = str(error).lower()
            if "expected" in message and "received" in message:
                return
            raise AssertionError(
                f"{name} with {arguments}, ARGUMENTS_SEED={SEED}, says "
                f"{type(error).__name__}: {error}"
            ) from error
        assert is_finite(result), (name, arguments, SEED)

    check()


def test_every_public_name_has_a_case():
    names = {name.rpartition(".")[2] for name in public_objects()}
    cases = {name.rpartition(".")[2] for name in CASES}
    assert names - BASES - cases == set()


@pytest.mark.parametrize("name", [*CASES, *METHODS])
def test_arguments_of_a_case_are_right(name, tmp_path, monkeypatch):
    case = (CASES | METHODS)[name]
    if name == "SABLSTM.step":
        pytest.skip("Its state is made by `get_initial_state`.")
    monkeypatch.chdir(tmp_path)
    try:
        assert is_finite(case.use(case.call(**case.arguments())))
    except FileNotFoundError:
        assert "path" in case.names()
