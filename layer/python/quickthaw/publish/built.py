"""What `sam build` made, function by function, against Lambda's limits: the last word of `make sam`.

    python -m quickthaw.publish.built [--json] BUILD_DIR...

Reads the built template, where SAM has put the directories of functions and
layers; a layer that is an ARN of elsewhere is not weighed.  Zips are made as
SAM makes them, deflated, in a temporary file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from quickthaw.errors import BadSnapshot
from quickthaw.publish import render
from quickthaw.publish.limits import Load, Part, tree_bytes


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads CloudFormation's short forms as {"Ref": value} and the like."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    return {tag: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)


def loads(build: Path, *, zipped: bool = True) -> list[Load]:
    """Every function of a built template with its layers.

    Args:
        zipped: make the zips too, to know their sizes; ten seconds for what has 200 MB.

    Raises:
        BadSnapshot: there is no built template.
    """
    try:
        template = yaml.load((build / "template.yaml").read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise BadSnapshot(f"{build} holds no built template", hint="`sam build` makes one.") from error
    resources: dict[str, Any] = template["Resources"]
    zips: dict[tuple[object, ...], int] = {}
    found = []
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        layers = [
            layer for entry in resource["Properties"].get("Layers", []) for layer in _own(entry, resources)
        ]
        places = [(name, build / resource["Properties"]["CodeUri"])]
        places += [(layer, build / resources[layer]["Properties"]["ContentUri"]) for layer in layers]
        parts = tuple(_weigh(label, place, zips if zipped else None) for label, place in places)
        found.append(Load(function=f"{name} ({build.name})", parts=parts, layers=len(layers)))
    return found


def _own(entry: Any, resources: dict[str, Any]) -> Iterator[str]:
    """Names of the template's layers in a Layers entry: a Ref, or an If of which one side is one."""
    if isinstance(entry, dict):
        for value in entry.values():
            yield from (
                _own_one
                for one in (value if isinstance(value, list) else [value])
                for _own_one in _own(one, resources)
            )
    elif resources.get(str(entry), {}).get("Type") == "AWS::Serverless::LayerVersion":
        yield str(entry)


def _weigh(name: str, place: Path, zips: dict[tuple[object, ...], int] | None) -> Part:
    """Weighs one directory; the same files are zipped once, however many functions have them."""
    unzipped = tree_bytes(place)
    if zips is None:
        return Part(name=name, unzipped=unzipped)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    key = tuple((path.relative_to(place), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    if key not in zips:
        with tempfile.TemporaryFile() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
                for path in files:
                    archive.write(path, path.relative_to(place))
            zips[key] = file.tell()
    return Part(name=name, unzipped=unzipped, zipped=zips[key])


def main(arguments: list[str]) -> int:
    """Prints the table, or JSON; 1 when Lambda would refuse a function."""
    builds = [Path(argument) for argument in arguments if argument != "--json"]
    found = [load for build in builds for load in loads(build)]
    if "--json" in arguments:
        print(json.dumps(render.loads_document(found), indent=1))
    else:
        render.show_loads(found, Console())
    return 1 if any(load.problems for load in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
