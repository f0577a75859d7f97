"""Trainings that can be swept."""
