"""What a training has changed in modules: functions put in place of others, settings of its own."""

from __future__ import annotations

import sys
import sysconfig
from argparse import Namespace
from collections.abc import Iterable, Iterator
from operator import is_
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

__all__ = ["ModuleState", "is_library"]

_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, type)
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_NAMESPACES = (SimpleNamespace, Namespace)
_PATHS = sysconfig.get_paths()
_LIBRARIES = tuple(
    f"{place}/"
    for place in {
        *(_PATHS[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),
    }
)
_PACKAGES = {"site-packages", "dist-packages"}
_MOST_ITEMS = 10_000


def is_library(name: str) -> bool:
    """Whether a module of this name was loaded that isn't the user's own."""
    module = sys.modules.get(name)
    return module is not None and not _is_own(module)


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or file.startswith(_LIBRARIES):
        return False
    return not _PACKAGES.intersection(Path(file).parts)  # also those of a folder on PYTHONPATH


def _is_plain(value: Any, depth: int = 3) -> bool:
    """Whether a value is numbers and text, or lists and mappings of them."""
    if isinstance(value, _PLAIN):
        return True
    if not depth or type(value) not in (list, tuple, set, frozenset, dict):
        return False
    if len(value) > _MOST_ITEMS:
        return False
    inner: Iterable[Any] = [*value, *value.values()] if isinstance(value, dict) else value
    return all(_is_plain(item, depth - 1) for item in inner)


def _plain_data(value: Any) -> dict[str, str]:
    """Plain data as text: the value itself, or attributes of a class or object of the user's."""
    if _is_plain(value):
        return {"": repr(value)}
    kind = value if isinstance(value, type) else type(value)
    module = sys.modules.get(str(kind.__module__))
    own = kind in _NAMESPACES or (type(module) is ModuleType and _is_own(module))
    if not own or not hasattr(value, "__dict__"):
        return {}
    inner = dict(vars(value))
    return {
        f".{name}": repr(item)
        for name, item in inner.items()
        if not str(name).startswith("__") and _is_plain(item)
    }


class ModuleState:
    """Public functions and classes of all modules now, and plain data in the user's own modules.

    A cache is no setting: arrays, models, compiled functions, and whatever holds such, may be kept
    from run to run.
    """

    def __init__(self) -> None:
        self._seen = {
            name: (module, tuple(vars(module)), tuple(vars(module).values()))
            for name, module in list(sys.modules.items())
            # Not the inner modules of large libraries, and none that a look at would load.
            if type(module) is ModuleType and (name.count(".") < 2 or _is_own(module))
        }
        self._plain = {
            (name, item): _plain_data(value)
            for name, (module, names, values) in self._seen.items()
            if _is_own(module)
            for item, value in zip(names, values, strict=True)
            if not item.startswith("__")
        }

    def changed(self) -> str | None:
        """What has been changed, in words; None if nothing was."""
        return next(self._changes(), None)

    def _changes(self) -> Iterator[str]:
        for name, (module, names, values) in self._seen.items():
            if sys.modules.get(name, module) is not module:
                yield f"it has replaced the module {name}"
            now = vars(module)
            if all(map(is_, values, now.values())) and len(now) >= len(values):
                continue
            for item, value in zip(names, values, strict=True):
                if (
                    not item.startswith("_")
                    and isinstance(value, _FUNCTIONS)
                    and now.get(item) is not value
                ):
                    yield f"it has replaced {name}.{item}"
        for (name, item), before in self._plain.items():
            later = _plain_data(vars(self._seen[name][0]).get(item))
            for attribute, text in before.items():
                if later.get(attribute, text) != text:
                    yield f"it has changed {name}.{item}{attribute}"
