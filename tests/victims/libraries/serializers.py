"""Serializers and templates (orjson, YAML, Jinja): compiled templates, caches, loaders and C extensions."""

import datetime
import uuid
from typing import Any

import jinja2
import orjson
import yaml

SAME = ("json", "yaml", "template", "loaded", "fast")

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.DictLoader({"page": "Hello {{ name|upper }}{% for n in range(n) %} {{ n }}{% endfor %}"})
)
TEMPLATE = ENVIRONMENT.get_template("page")
LOADED = yaml.load("a: [1, 2, {b: 2024-01-01}]\nc: &x {d: e}\nf: *x\n", yaml.CSafeLoader)
FRAGMENT = orjson.Fragment(b'{"ready":true}')


def handler(event: Any, context: Any) -> dict[str, Any]:
    document = {"when": datetime.datetime(2024, 1, 1), "id": uuid.UUID(int=5), "part": FRAGMENT, "text": "é"}
    return {
        "json": orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode(),
        "yaml": yaml.safe_dump(LOADED, sort_keys=True),
        "template": TEMPLATE.render(name="é", n=event["call"]),
        "loaded": ENVIRONMENT.from_string("{{ 6 * 7 }}").render(),
        "fast": orjson.loads(b"[1, 2.5, null]"),
    }
