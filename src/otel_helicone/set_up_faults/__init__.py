"""Set-ups that can't work: each is noticed where it shows, and said in one sentence, once.

Only what is certain is said. A set-up that may be meant, such as several providers, or an exporter
alone, makes no noise.
"""
