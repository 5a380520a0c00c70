"""Models with validators, whose core is written in Rust."""

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, computed_field, field_validator

SAME = ("parsed", "errors", "schema", "union")
LAYOUT = "hot"


class Line(BaseModel):
    name: str
    count: Annotated[int, Field(gt=0)]
    kind: Literal["a", "b"] = "a"

    @field_validator("name")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("empty")
        return value.upper()


class Order(BaseModel):
    lines: list[Line]
    when: datetime.datetime

    @computed_field
    def total(self) -> int:
        return sum(line.count for line in self.lines)


LIST = TypeAdapter(list[int | str])
Order.model_validate({"lines": [{"name": "x", "count": 1}], "when": "2024-01-01T00:00:00Z"})


def handler(event: Any, context: Any) -> dict[str, Any]:
    try:
        Line(name="", count=0)
        errors = []
    except ValidationError as error:
        errors = [(found["loc"], found["type"]) for found in error.errors()]
    order = Order.model_validate_json(
        '{"lines": [{"name": "y", "count": "3"}], "when": "2024-01-01T00:00:00Z"}'
    )
    return {
        "parsed": order.model_dump(mode="json"),
        "errors": errors,
        "schema": sorted(Order.model_json_schema()["properties"]),
        "union": LIST.validate_python([1, "2", "x"]),
    }
