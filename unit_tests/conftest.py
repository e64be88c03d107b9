"""Settings of the property tests."""

from hypothesis import HealthCheck, settings

# On a busy machine the first example may take seconds, which says nothing about the test.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy")
