"""The protocol: who links to whom, who hears whom, and how records spread. Pure: events in, effects out."""
