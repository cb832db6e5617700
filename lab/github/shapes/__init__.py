"""How records look on the wire, in GitHub's own field names. Nothing here decides who may see them."""

from lab.github.shapes.accounts import organization, private_user, public_user, user
from lab.github.shapes.apps import app, installation, installation_token
from lab.github.shapes.basics import node_id, quoted, timestamp
from lab.github.shapes.commits import author_of, changed_file, commit, comparison, git_commit, noreply_email
from lab.github.shapes.hooks import app_hook_config, delivery, delivery_item, hook, hook_config
from lab.github.shapes.repositories import full_repository, permissions_of, repository
from lab.github.shapes.statuses import combined_status, status

__all__ = [
    "app",
    "app_hook_config",
    "author_of",
    "changed_file",
    "combined_status",
    "commit",
    "comparison",
    "delivery",
    "delivery_item",
    "full_repository",
    "git_commit",
    "hook",
    "hook_config",
    "installation",
    "installation_token",
    "node_id",
    "noreply_email",
    "organization",
    "permissions_of",
    "private_user",
    "public_user",
    "quoted",
    "repository",
    "status",
    "timestamp",
    "user",
]
