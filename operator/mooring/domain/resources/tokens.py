"""The words for where a Project's token comes from."""

from enum import StrEnum


class TokenSource(StrEnum):
    """The three rungs of the ladder. Lower case, as people write them; all other enums are CamelCase."""

    PROJECT = "project"
    GLOBAL = "global"
    NONE = "none"
