"""Scores of whole collections, of lists, and of photographs, by heads that are trained."""
