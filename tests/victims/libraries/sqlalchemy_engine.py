"""An engine with a pool, a session with an object that is loaded, and statements that are cached."""

from typing import Any

from sqlalchemy import String, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

SAME = ("names", "same_object", "pool", "changed")

ENGINE = create_engine("sqlite://", poolclass=StaticPool)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


STATEMENTS: list[str] = []
event.listen(ENGINE, "before_cursor_execute", lambda *arguments: STATEMENTS.append(arguments[2]))
Base.metadata.create_all(ENGINE)
SESSION = Session(ENGINE)
SESSION.add_all([User(id=1, name="one"), User(id=2, name="two")])
SESSION.commit()
ONE = SESSION.get(User, 1)


def handler(event: Any, context: Any) -> dict[str, Any]:
    SESSION.get_one(User, 2).name = f"call {event['call']}"
    SESSION.commit()
    return {
        "names": list(SESSION.scalars(select(User.name).order_by(User.id))),
        "same_object": SESSION.get(User, 1) is ONE,
        "pool": type(ENGINE.pool).__name__,
        "changed": STATEMENTS[-1][:6],
    }
