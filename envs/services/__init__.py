"""Stateful services whose functions a policy calls over several turns."""
