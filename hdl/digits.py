"""Products without DSP blocks: a weight as digits in base 4, of which one is multiplied in each cycle."""
from amaranth import Cat, Mux

from .count import counter
from .pick import pick

__all__ = ["by_digits", "digit_count", "digit_of", "multiple", "placed", "plus"]


def digit_count(weight_width):
    """Digits of a signed weight, each from -2 to 2 (Booth's encoding): the cycles that a product takes."""
    return -(-weight_width // 2)


def by_digits(m, products, en, count):
    """Hold each product of a stream for ``count`` cycles with ``en``, one for each digit; drives ``products.ready``.

    Returns
    -------
    (number, end)
        Which digit it is, the lowest first, and whether it is the last: registers.
    """
    number, end = counter(m, count, en & products.valid, name="digit")
    m.d.comb += products.ready.eq(en & end)
    return number, end


def digit_of(m, weight, number):
    """Digit ``number`` of a signed ``weight``: its two bits and the one below, worth ``low + middle - 2 * high``."""
    bits = Cat(0, weight, weight[-1])       # the sign once more, where the bits are odd
    return pick(m, [bits[2 * n:2 * n + 3] for n in range(digit_count(len(weight)))], number)


def placed(m, value, number, count):
    """``value * 4**number``, for a ``number`` below ``count``."""
    return pick(m, [value << 2 * n for n in range(count)], number)


def multiple(value, digit):
    """``value`` times a digit, less 1 if the digit is negative, and that 1: what :func:`plus` takes."""
    low, middle, high = digit
    wide = value if value.shape().signed else Cat(value, 0).as_signed()
    product = Mux(low ^ middle, wide, Mux(high ^ middle, wide << 1, 0))
    return product ^ high.replicate(len(product)).as_signed(), high


def plus(total, product, carry):
    """``total + product + carry``, as many bits as ``total`` has: in one adder, which tools do not see in two operators."""
    extended = Cat(product, product[-1].replicate(max(0, len(total) - len(product))))[:len(total)]
    return (Cat(1, total) + Cat(carry, extended))[1:len(total) + 1]
