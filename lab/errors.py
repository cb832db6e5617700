"""What can go wrong in the lab, in words for the person who runs it. The text of an error is all that is shown."""


class LabError(Exception):
    """The lab could not do what was asked: exit status 1."""


class UsageError(LabError):
    """What was asked makes no sense here: one line, exit status 2."""
