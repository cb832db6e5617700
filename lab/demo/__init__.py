"""The demo: see Mooring work on this machine, then play with what is left running. It is what `make demo` runs.

`stage` has what the story needs: a lab, kubectl, the operator as a process. `story` tells it, doing what a person would
do and showing each command.
"""
