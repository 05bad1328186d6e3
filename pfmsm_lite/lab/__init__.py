"""Experiments: many trainings side by side, their statistics, tables and figures; the command line."""
