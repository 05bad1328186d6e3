"""Exercises of the course: chapterNN.EXERCISES, name → Exercise."""
