"""Shows the section "Call arguments:" of Keras docstrings as a table."""

import griffe


class CallArguments(griffe.Extension):
    """Gives the section a kind that the docstring parser knows."""

    def on_class(self, *, cls: griffe.Class, **kwargs: object) -> None:
        """Renames the section in the docstring of a class."""
        if cls.docstring:
            cls.docstring.value = cls.docstring.value.replace(
                "\nCall arguments:\n", "\nOther Args: Call arguments\n"
            )
