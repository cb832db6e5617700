"""The three kinds as pydantic models: the one source of the CustomResourceDefinitions, and what handlers parse into.

Only shape and form live here. What the fields lead to is decided in the other modules of the domain.
"""

from mooring.domain.resources.common import Resource
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.domain.resources.github_user import GitHubUser
from mooring.domain.resources.project import Project

KINDS: tuple[type[Resource], ...] = (GitHubUser, GitHubInstallation, Project)

__all__ = ["KINDS", "GitHubInstallation", "GitHubUser", "Project", "Resource"]
