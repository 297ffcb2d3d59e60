"""The Hub's questions answered: from what is held, else from upstream, else with what was true last."""
