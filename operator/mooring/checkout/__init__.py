"""The init container of a workload: it puts one commit into the workspace, and proves that it is that commit.

Nearly everything that it reads was written by a stranger, and it holds a credential. So git runs in an environment and
with a configuration of our own, what a commit would write is judged before any of it is written, and the credential is
in no argument, variable or file. It starts for every pod, so it imports nothing beyond the standard library and a few
light modules of the domain.
"""
