"""Lazy registration, so that `import keras_seqcredit` suffices to load files.

Keras finds the classes in a file by their registered names. Registering the
classes requires importing them, and with them Keras and a backend. Instead, a
stand-in is registered for each class, which imports the classes when a file
names it. They then register themselves in place of the stand-ins.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from types import ModuleType
from typing import Any

PACKAGE = "keras_seqcredit"
# Where classes are registered, and their names.
SUBPACKAGES = ("layers", "metrics", "models", "schedules")
CLASSES = (
    "ActiveUnits",
    "AutoregressiveRNN",
    "AuxiliaryStateLoss",
    "BehaviorDiscriminator",
    "BernoulliHead",
    "BernoulliTransition",
    "BitsPerStep",
    "CategoricalHead",
    "ClippedMLP",
    "ConditionedLSTMCell",
    "ConstantSchedule",
    "CyclicalSchedule",
    "DiscretizedLogisticMixtureHead",
    "FreeBits",
    "FutureStateLoss",
    "GaussianHead",
    "GaussianMixtureHead",
    "GaussianTransition",
    "KerasSchedule",
    "LinearSchedule",
    "NegativeLogLikelihood",
    "PenStrokeHead",
    "ProfessorForcing",
    "SABGRU",
    "SABLSTM",
    "SparseAttentiveRNN",
    "StepNormalization",
    "StochasticRNN",
    "Symlog",
    "Transition",
    "VariationalWalkback",
    "ZForcing",
)


class StandIn:
    """Creates an object from its config, like the class of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def from_config(self, config: dict[str, Any]) -> Any:
        for subpackage in SUBPACKAGES:
            importlib.import_module(f"{PACKAGE}.{subpackage}")
        keras = sys.modules["keras"]
        registered = keras.saving.get_custom_objects()[self.name]
        return registered.from_config(config)


def register_stand_ins() -> None:
    """Registers the stand-ins with Keras, now or when it is imported."""
    keras = sys.modules.get("keras")
    if keras is None:
        sys.meta_path.insert(0, _OnImportOfKeras())
        return
    classes = keras.saving.get_custom_objects()
    for name in CLASSES:
        name = f"{PACKAGE}>{name}"
        classes.setdefault(name, StandIn(name))


class _OnImportOfKeras(importlib.abc.MetaPathFinder):
    """Finds Keras as other finders do, and adds stand-ins after its import."""

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> Any:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(fullname)
        if spec is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                register_stand_ins()

            spec.loader.exec_module = exec_module
        return spec
