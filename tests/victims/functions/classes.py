"""Classes made at import: dataclasses, enums, named tuples, abstract ones, and their identities."""

import abc
import copy
import dataclasses
import enum
import pickle
import typing
from typing import Any

SAME = ("equal", "identity", "abstract", "pickled")


class Colour(enum.Flag):
    RED = enum.auto()
    BLUE = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    colours: Colour = Colour.RED | Colour.BLUE


class Pair(typing.NamedTuple):
    left: int
    right: str


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> float: ...


Shape.register(Point)
POINT = Point(1)
STORED = pickle.dumps({"point": POINT, "pair": Pair(1, "a")})
SET = {POINT, Pair(1, "a")}


def handler(event: Any, context: Any) -> dict[str, Any]:
    back = pickle.loads(STORED)
    try:
        Shape()  # type: ignore[abstract]
        abstract = "made"
    except TypeError:
        abstract = "refused"
    return {
        "equal": [back["point"] == POINT, back["point"] in SET, Pair(1, "a") in SET],
        "identity": [copy.deepcopy(Colour.RED) is Colour.RED, back["point"].colours is POINT.colours],
        "abstract": [abstract, isinstance(POINT, Shape)],
        "pickled": dataclasses.replace(POINT, x=5).x,
    }
