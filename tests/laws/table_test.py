"""Nothing public is missing from the table."""

import inspect

import keras

from tests.laws.table import INSIDE
from tests.laws.table import ROWS
from tests.public_names import public_objects


def test_every_public_layer_has_a_row():
    public = {
        thing
        for thing in public_objects().values()
        if inspect.isclass(thing) and issubclass(thing, keras.Layer)
    }
    assert len(public) >= 4
    assert public == {type(row.create()) for row in ROWS} | INSIDE


def test_names_are_unique():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
