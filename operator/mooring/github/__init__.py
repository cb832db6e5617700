"""The GitHub adapter: REST, quota and single flight around githubkit. Tokens are minted here, and kept by who asked.

No policy lives here (which token, which revision): that is the domain's. githubkit's generated models are not used.
"""

from mooring.github.adapter import GitHubAdapter

__all__ = ["GitHubAdapter"]
