"""The base of the settings models: common types, and how empty form fields are treated."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from destination_redis.config.hosts import HOST_PORT, host

NO_BRACES = r"^[^{}]*$"
#: Patterns -> their description for users.
PATTERNS = {NO_BRACES: "text without { and }", HOST_PORT: "host:port"}


def setting(title: str, order: int, **extra: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return a pydantic field; keywords unknown to pydantic (group, pattern_descriptor …) go into the schema."""
    known = {
        name: extra.pop(name)
        for name in ("default", "description", "examples", "ge", "le", "min_length", "pattern")
        if name in extra
    }
    return Field(title=title, json_schema_extra={"order": order, **extra}, **known)


#: A host name, an address or the path of a Unix socket.
Host = Annotated[str, AfterValidator(host)]


class Settings(BaseModel):
    """Frozen settings; unknown ones are ignored, optional ones that are null or an empty string count as absent."""

    # Input values stay out of validation errors: a mistyped secret must not be printed.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    #: Settings for which an empty string is a value.
    may_be_empty: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: object) -> object:
        """Drop what a form sends for an empty field."""
        if not isinstance(given, Mapping):
            return given

        def empty(name: str, value: object) -> bool:
            field = cls.model_fields.get(name)
            optional = field is not None and not field.is_required()
            return optional and (value is None or (value == "" and name not in cls.may_be_empty))

        return {name: value for name, value in given.items() if not empty(name, value)}
