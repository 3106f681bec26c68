"""The server side of TensorBoard's "Credit" tab.

It runs in TensorBoard's process: neither Keras nor a backend is imported.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from tensorboard import errors
from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

PLUGIN_NAME = "credit"
# For unknown plugins, TensorBoard would keep only 10 epochs.
MAX_EPOCHS = 200
STATIC = pathlib.Path(__file__).parent / "static"
CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript"}


class CreditLoader(base_plugin.TBLoader):
    """Loads the plugin and makes TensorBoard keep enough epochs."""

    def fix_flags(self, flags: Any) -> None:
        flags.samples_per_plugin.setdefault(PLUGIN_NAME, MAX_EPOCHS)

    def load(self, context: base_plugin.TBContext) -> "CreditPlugin":
        return CreditPlugin(context)


class CreditPlugin(base_plugin.TBPlugin):
    """Shows what steps have read and how far back gradients reach.

    The data are scalar strings with `plugin_name="credit"` and the data class
    of tensors, each a JSON document: one per tag and epoch. The last part of a
    tag is the `"kind"` of its documents, `"reads"` or `"gradients"`.

    Routes:

    - `/tags`: `{run: {tag: kind}}`.
    - `/data?run=...&tag=...`: all epochs of a tag, as a list of
      `{"step": ..., "wall_time": ..., "value": <the document>}`. Non-finite
      values in a document are `null`.
    - `/index.js` and the other files of the page.

    Args:
        context: The context that TensorBoard passes to plugins.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider = context.data_provider

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        apps: dict[str, Callable[..., Any]] = {
            "/tags": _json_app(self._tags),
            "/data": _json_app(self._data),
        }
        for path in STATIC.iterdir():
            if path.suffix in CONTENT_TYPES:
                apps[f"/{path.name}"] = _static_app(path)
        return apps

    def is_active(self) -> bool:
        if self._provider is None:
            return False
        tensors = self._provider.list_tensors(
            experiment_id="", plugin_name=PLUGIN_NAME
        )
        return any(tensors.values())

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name="Credit"
        )

    def _tags(self, request: wrappers.Request) -> dict[str, dict[str, str]]:
        tensors = self._provider.list_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=PLUGIN_NAME,
        )
        return {
            run: {tag: tag.rpartition("/")[2] for tag in sorted(tags)}
            for run, tags in sorted(tensors.items())
        }

    def _data(self, request: wrappers.Request) -> list[dict[str, Any]]:
        run, tag = _argument(request, "run"), _argument(request, "tag")
        series = self._provider.read_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=PLUGIN_NAME,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
            # The data that the loader has kept.
            downsample=1_000_000,
        )
        if tag not in series.get(run, {}):
            raise errors.NotFoundError(
                "Expected a run and a tag of `/tags`. Received: "
                f"run={run!r}, tag={tag!r}"
            )
        return [
            {
                "step": datum.step,
                "wall_time": datum.wall_time,
                "value": _parse(datum.numpy.item()),
            }
            for datum in series[run][tag]
        ]


def _json_app(answer: Callable[[wrappers.Request], Any]) -> Callable[..., Any]:
    @wrappers.Request.application
    def serve(request: wrappers.Request) -> wrappers.Response:
        # As text: `Respond` would process each number once more.
        text = json.dumps(answer(request))
        return http_util.Respond(request, text, "application/json")

    return serve


def _static_app(path: pathlib.Path) -> Callable[..., Any]:
    @wrappers.Request.application
    def serve(request: wrappers.Request) -> wrappers.Response:
        return http_util.Respond(
            request, path.read_bytes(), CONTENT_TYPES[path.suffix]
        )

    return serve


def _argument(request: wrappers.Request, name: str) -> str:
    value = request.args.get(name)
    if value is None:
        raise errors.InvalidArgumentError(
            f"Expected the arguments `run` and `tag`. Received: no `{name}`"
        )
    return value


def _parse(document: bytes | str) -> Any:
    """Reads JSON, with `None` for values that only Python's JSON has."""
    return json.loads(document, parse_constant=lambda name: None)
