"""Scikit-learn's handwritten digits, read pixel by pixel."""

import math

import numpy as np

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.datasets.pixels import pixel_order
from keras_seqcredit.datasets.pixels import pixel_sequences


def sequential_digits(
    permute: bool | int = False, test_fraction: float = 0.2, seed: int = 0
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads 1,797 handwritten digits as sequences of 64 pixels.

    The images of 8 x 8 pixels come with scikit-learn: nothing is downloaded.
    Row by row, neighboring pixels are mostly a few steps apart; permuted (the
    same way for all images), they are anywhere in the sequence.

    Args:
        permute: `False` for row by row, `True` for the permutation of seed 0,
            or an integer for the permutation of that seed. Defaults to
            `False`.
        test_fraction: Float between 0 and 1, the fraction of images in the test
            set. Defaults to `0.2`.
        seed: Integer, the seed of the split into training and test sets.
            Defaults to `0`.

    Returns:
        Tuple of NumPy arrays `(x_train, y_train), (x_test, y_test)`:

        - `x_train`, `x_test`: float32, shape `(num_samples, 64, 1)`, values
            in `[0, 1]`.
        - `y_train`, `y_test`: int32, shape `(num_samples,)`, the digits.

    Raises:
        ImportError: if scikit-learn is not installed.
        ValueError: if an argument has an invalid value.

    Example:

    ```python
    from keras_seqcredit import datasets

    (x_train, y_train), (x_test, y_test) = datasets.sequential_digits(
        permute=True
    )
    assert x_train.shape == (1437, 64, 1)
    assert x_test.shape == (360, 64, 1)
    ```

    References:
        - Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI
          Machine Learning Repository, 1998, doi:10.24432/C50P49.
    """
    seed = check_integer("seed", seed, minimum=0)
    check_number(
        "test_fraction",
        test_fraction,
        "a number between 0 and 1",
        lambda share: 0 < share < 1,
    )
    order = pixel_order(64, permute)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "`sequential_digits` needs scikit-learn. Install it with "
            '`pip install "keras-seqcredit[examples]"`.'
        ) from error

    digits = load_digits()
    x = pixel_sequences(digits.images, 16, order)
    y = digits.target.astype("int32")
    samples = np.random.default_rng(seed).permutation(len(x))
    test, train = np.split(samples, [math.ceil(test_fraction * len(x))])
    return (x[train], y[train]), (x[test], y[test])
