"""The only importer of Kopf: it takes events of the three kinds from it and passes them on. No logic lives here.

`kopf.on.event` is used and nothing else of Kopf's handling: so it writes no annotation and no finalizer, keeps no state
on the objects, and leaves order, retries and timing to the work queue.
"""
