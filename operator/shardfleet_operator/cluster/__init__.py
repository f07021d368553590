"""A fleet in a Kubernetes cluster: its objects, its pods, its conditions, and the worker that keeps them right."""
