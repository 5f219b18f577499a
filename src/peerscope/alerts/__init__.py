"""Alerts: conditions that people should know of, and how notifiers agree which of them sends the message."""
