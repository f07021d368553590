"""A real Kubernetes cluster for the end-to-end tests: kind, also where no image hub can be reached.

``python -m tests.cluster --help`` lists the commands, ``README.md`` beside this file says how the parts work together.
Needs nothing but the standard library, so that it runs with any Python that the project supports.
"""
