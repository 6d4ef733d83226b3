"""/api/v1/: the records behind the guide's routes, each as a resource."""
