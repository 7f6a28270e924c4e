"""Settings that every test runs under."""
import os

# Before numpy is imported: BLAS threads that wait for each other slow down parallel test runs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings

# The same examples in every run, however slow the machine; --hypothesis-profile=default explores.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")
