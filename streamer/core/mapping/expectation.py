"""What a JSON Schema expects, in words."""

from typing import Any, Final

from streamer.core.model import Json

_JSON_TYPES: Final = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}

_WITH_ARTICLE: Final = {"object": "an object", "array": "an array", "integer": "an integer", "null": "null"}

_FORMATS: Final = {"date-time": "an RFC 3339 time", "uuid": "a UUID"}


def json_type(value: Json) -> str:
    """JSON's name for the type of ``value``."""
    return _JSON_TYPES[type(value)]


def expectation(rule: dict[str, Any]) -> str:
    """What a schema expects, in words: "an integer from 0 to 10 or null"."""
    choices = choices_of(rule)
    if choices:
        return _either(list(map(str, choices)))
    return _either([_expectation_of_type(name, rule) for name in types_of(rule)]) or "a value"


def _expectation_of_type(name: str, rule: dict[str, Any]) -> str:
    if name == "string":
        return _expectation_of_string(rule)
    words = _WITH_ARTICLE.get(name, f"a {name}")
    if name != "integer" or "minimum" not in rule:
        return words
    if "maximum" in rule:
        return f"{words} from {rule['minimum']} to {rule['maximum']}"
    return f"{words} of at least {rule['minimum']}"


def _expectation_of_string(rule: dict[str, Any]) -> str:
    if "format" in rule:
        return _FORMATS[rule["format"]]
    if "maxLength" in rule:
        return f"a string of {rule['minLength']} to {rule['maxLength']} characters"
    return "a non-empty string" if "minLength" in rule or "pattern" in rule else "a string"


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def choices_of(rule: dict[str, Any]) -> list[Json]:
    """The values that a schema lists, if it lists any."""
    choices: list[Json] = rule.get("enum", [rule["const"]] if "const" in rule else [])
    return choices


def types_of(rule: dict[str, Any]) -> list[str]:
    """JSON's names for the types that a schema allows; none: any type."""
    types = rule.get("type", [])
    return [types] if isinstance(types, str) else list(types)
