"""Rivals and centralized relatives: rows added to the open tables, in the way that is open to everybody."""

from pfmsm_lite.rivals import declared  # noqa: F401
