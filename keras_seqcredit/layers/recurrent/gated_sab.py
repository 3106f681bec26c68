"""The base class of `SABLSTM` and `SABGRU`, which create their own cell."""

import inspect
from typing import Any

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_seed
from keras_seqcredit.layers.recurrent.drop_in_arguments import (
    check_keras_arguments,
)
from keras_seqcredit.layers.recurrent.drop_in_arguments import (
    take_drop_in_arguments,
)
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import completed


class GatedSAB(SparseAttentiveRNN):
    """A `SparseAttentiveRNN` that takes the arguments of its cell.

    A subclass sets its `cell_class` and is registered under its own name.
    """

    cell_class: type

    def __init__(
        self,
        units: int,
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
        **kwargs: Any,
    ) -> None:
        take_drop_in_arguments(kwargs)
        cell_kwargs = {
            name: kwargs.pop(name)
            for name in self._cell_arguments()
            if name in kwargs
        }
        check_keras_arguments(cell_kwargs)
        cell_kwargs["seed"] = check_seed(cell_kwargs.get("seed"))
        cell = self.cell_class(
            check_integer("units", units),
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="cell",
            **cell_kwargs,
        )
        super().__init__(
            cell,
            k_top=k_top,
            k_att=k_att,
            k_trunc=k_trunc,
            attention=attention,
            attention_units=attention_units,
            memory_size=memory_size,
            memory_content=memory_content,
            read_into=read_into,
            return_summary=return_summary,
            return_attention=return_attention,
            return_memory=return_memory,
            **kwargs,
        )

    @property
    def units(self) -> int:
        return self.cell.units

    @classmethod
    def _cell_arguments(cls) -> list[str]:
        names = inspect.signature(cls.cell_class).parameters
        return [n for n in names if n not in ("self", "units", "kwargs")]

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        cell_config = self.cell.get_config()
        names = ["units", *self._cell_arguments()]
        return {**config, **{name: cell_config[name] for name in names}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        del custom_objects
        return cls(**completed(config))
