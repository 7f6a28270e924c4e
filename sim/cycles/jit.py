"""How the model's functions are compiled."""
import numba

__all__ = ["kernel"]

# Called by compiled code only: wrappers for others would take longer to compile than the functions.
kernel = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
