"""Ports: one Protocol for each outside role, in the domain's own words."""
