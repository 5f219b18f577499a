"""The dashboard and the API of one peer."""
