"""Whole networks: converting, changing, tracing, and reading them operator by operator."""
