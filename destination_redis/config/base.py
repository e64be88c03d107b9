"""The choices of a setting that has several forms: TLS modes, tunnels, deployments, as pydantic models."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from destination_redis.config.hosts import HOST_PORT, host

NO_BRACES = r"^[^{}]*$"
#: What patterns ask for, in words.
PATTERNS = {NO_BRACES: "text without { and }", HOST_PORT: "host:port"}


def setting(title: str, order: int, **extra: Any) -> Any:  # noqa: ANN401 - what pydantic's Field takes and gives
    """Return a pydantic field; what pydantic does not know (group, pattern_descriptor …) goes into the schema."""
    known = {
        name: extra.pop(name)
        for name in ("default", "description", "examples", "ge", "le", "min_length", "pattern")
        if name in extra
    }
    return Field(title=title, json_schema_extra={"order": order, **extra}, **known)


#: What can be looked up; or the path of a socket.
Host = Annotated[str, AfterValidator(host)]


class Settings(BaseModel):
    """Frozen settings; unknown ones are left out, and optional ones that are null or empty text count as absent."""

    # Input values stay out of validation errors: a mistyped secret must not be printed.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    #: Settings for which empty text is a value.
    may_be_empty: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: object) -> object:
        """Leave out what a form sends for a field that was left empty."""
        if not isinstance(given, Mapping):
            return given

        def empty(name: str, value: object) -> bool:
            field = cls.model_fields.get(name)
            optional = field is not None and not field.is_required()
            return optional and (value is None or (value == "" and name not in cls.may_be_empty))

        return {name: value for name, value in given.items() if not empty(name, value)}
