"""The learning: pure Python over pandas frames. No Django, no settings, no database."""
