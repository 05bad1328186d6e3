"""Rows of the open tables that are not PF-MSMTrec's own: rivals and centralized relatives."""
