"""What a design may take of which board, as the command lines say it."""
from cores import cli
from cores.errors import UserError
from platforms import boards

__all__ = ["add_budget", "budget_of", "check_dsp"]

DEFAULT_DSP = 128
SLACK = 0.1


def add_budget(parser):
    """Declare the board and the budget, for :func:`budget_of`."""
    parser.add_argument("--board", default="zcu102", metavar="NAME",
                        help=f"one of {', '.join(boards())} (default zcu102)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--dsp", type=cli.count, metavar="N",
                        help=f"DSP blocks of the whole design (default {DEFAULT_DSP})")
    budget.add_argument("--multipliers", type=cli.positive_int, metavar="N",
                        help="multipliers of the convolutions, instead of DSP blocks; one without a DSP block counts as the part of one that it is")
    budget.add_argument("--fps", type=cli.positive_float, metavar="N",
                        help="the smallest design that makes this many frames per second")
    parser.add_argument(
        "--slack", type=cli.share, default=SLACK, metavar="SHARE",
        help="how much slower than the fastest design within the budget it may be where that makes more frames per "
             f"area (default {SLACK}; 0: the fastest)")
    parser.add_argument(
        "--utilisation", type=cli.share, metavar="SHARE",
        help="least share of multiplier slots to spend on non-zero products, before stages wait for each other: what a build prints "
             "may be a few percent lower (default: whatever is cheapest)")
    parser.add_argument("--no-serial", dest="serial", action="store_false",
                        help="multiply in DSP blocks only: without this, stages that need a part of one multiplier take LUTs and several "
                             "cycles for a product, which delays the first picture")
    parser.add_argument("--clock", type=cli.positive_float, metavar="MHZ", help="clock (default: the board's)")


def budget_of(args, target, clock):
    """What :func:`allocate` is given."""
    wanted = {"utilisation": args.utilisation} if args.utilisation else {}
    if args.fps is not None:
        return {"cycles": clock * 1e6 / args.fps, "dsp": target.resources["dsp"], **wanted}
    wanted["slack"] = args.slack
    if args.multipliers is not None:
        return {"multipliers": args.multipliers, **wanted}
    if args.dsp is not None:
        check_dsp(args.dsp, target)
    return {"dsp": min(DEFAULT_DSP, target.resources["dsp"]) if args.dsp is None else args.dsp, **wanted}


def check_dsp(count, target):
    """Refuse a budget that exceeds the board."""
    if count > target.resources["dsp"]:
        raise UserError(f"Budget of {count} DSP blocks exceeds the {target.resources['dsp']} of "
                        f"{target.name}; lower --dsp or choose a larger board")
