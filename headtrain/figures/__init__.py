"""Pictures of attention, of trainings and of results."""
