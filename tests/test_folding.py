# amaranth: UnusedElaboratable=no
"""The choice of foldings: its options, its solver against exhaustive search, budgets and limits."""
import itertools
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import milp

import networks
from cores.branches import tied
from cores.errors import UserError
from cores.folding import solver
from cores.folding.allocate import allocate, cycles_per_frame
from cores.folding.lane_loads import histogram, lane_loads
from cores.folding.options import Options
from cores.folding.pareto import unbeaten
from cores.folding.profile import Profile
from cores.folding.solver import Stage, Undecided, cheapest
from cores.folding.space import Space
from cores.graph import Conv
from cores.resources.predict import stage_resources
from cores.stages import Engine, Folding, component, dsps, has_engine, walk_of
from strategies import check

ENGINE = Engine(family="dsp48e2")
LAYER = {"op": "conv", "filters": 16, "padding": (1, 1, 1, 1)}


@pytest.fixture(scope="module")
def profiled():
    graph, frames = networks.chain(
        LAYER, {"op": "max", "kernel": (2, 2), "stride": (2, 2)}, {**LAYER, "filters": 24},
        {"op": "fc", "filters": 5}, shape=(12, 12, 8), frames=4)
    return graph, Profile(graph, frames)


@pytest.fixture(scope="module")
def residual():
    """Every kind of stage whose requantizer may be serial."""
    graph, frames = networks.chain(
        {"op": "conv", "filters": 8, "padding": (1, 1, 1, 1)}, {"op": "depthwise", "padding": (1, 1, 1, 1)},
        {"op": "add", "other": "t0"}, {"op": "avg", "kernel": (2, 2), "stride": (2, 2)},
        {"op": "fc", "filters": 4}, shape=(8, 8, 4), frames=3)
    return graph, Profile(graph, frames)


def cost(graph, design):
    return sum(design.foldings[n.name].multipliers for n in graph.nodes if isinstance(n, Conv))


def spent(graph, design, engine=ENGINE):
    return sum(dsps(graph, node, design.foldings[node.name], engine) for node in graph.nodes)


# ---- Options ----------------------------------------------------------------------------------

@pytest.mark.parametrize("number", range(5))
def test_options_say_what_the_stage_takes(residual, number):
    graph, profile = residual
    node = graph.nodes[number]
    options = Options(graph, profile, ENGINE, node, [1, 2, 4], [1, 2, 4])
    for row in np.random.default_rng(number).permutation(len(options.fields))[:12]:
        folding = options.folding(row)
        stage, taken = component(graph, node, folding, ENGINE), stage_resources(graph, node, folding, ENGINE)
        assert options.amounts["dsp"][row] == stage.dsp_count
        assert options.amounts["multipliers"][row] == (
            stage.multipliers / stage.product_cycles if isinstance(node, Conv) else 0)
        assert options.amounts["lut"][row] == taken.lut and options.amounts["bram36"][row] == taken.bram36
        assert options.cycles[row] == max(profile.cycles(node, folding),
                                          profile.beats(node.output, folding.out_ways))
        assert options.ways[row].tolist() == [folding.ways, folding.out_ways]


def test_serial_multipliers_are_what_no_dsp_blocks_take(residual):
    """A budget of none leaves a single serial multiplier in each stage; without such multipliers there is no design."""
    graph, profile = residual
    design = allocate(graph, profile, ENGINE, dsp=0)
    assert spent(graph, design) == 0
    assert [design.foldings[node.name].serial for node in graph.nodes] == [isinstance(node, Conv) for node in graph.nodes]
    without = replace(ENGINE, serial=False)
    with pytest.raises(UserError, match=r"Budget of 0 DSP blocks is too small.* takes at least 3; raise --dsp"):
        allocate(graph, profile, without, dsp=0)
    design = allocate(graph, profile, without, dsp=3)
    assert spent(graph, design) == 3 and not any(folding.serial for folding in design.foldings.values())


def every_folding(graph, profile, node, in_widths, widths):
    """(Folding, cycles, Resources) of all foldings of a convolution, beaten or not."""
    filters, rows, _, channels = node.weights.shape
    for lanes, row_lanes, pes, ways, out_ways, cycles, windows in itertools.product(
            range(1, channels + 1), (n for n in range(1, rows + 1) if rows % n == 0), range(1, filters + 1),
            in_widths, widths, (1, 2, 3, 4, 8), (4, 16)):
        if lanes % ways == 0 and pes % out_ways == 0:
            folding = Folding(lanes, row_lanes, pes, ways, out_ways, cycles, windows=windows)
            yield (folding, max(profile.cycles(node, folding), profile.beats(node.output, out_ways)),
                   stage_resources(graph, node, folding, ENGINE))


def test_no_folding_beats_all_options(profiled):
    """Of every folding that there is, an option takes as few cycles and as little of each resource."""
    graph, profile = profiled
    node = graph.nodes[3]
    options = Options(graph, profile, ENGINE, node, [1, 2], [1])
    mine = np.column_stack([options.cycles, *(options.amounts[name] for name in ("dsp", "lut", "bram36"))])
    count = 0
    for folding, cycles, taken in every_folding(graph, profile, node, [1, 2], [1]):
        if folding.lanes <= 4:          # there are many
            places = options.ways[:, 0] == folding.ways
            assert (mine[places] <= (cycles, taken.dsp, taken.lut, taken.bram36)).all(1).any(), folding
            count += 1
    assert count > 100 and options.considered > len(options.fields)


@given(st.lists(st.tuples(st.integers(0, 1), *[st.integers(0, 4)] * 3), min_size=1, max_size=40))
@check(100)
def test_pareto_set(rows):
    rows = np.array(rows)
    kept = unbeaten(rows[:, 1:], rows[:, 0]).tolist()
    assert kept == sorted(set(kept))
    for n, row in enumerate(rows.tolist()):
        beaten = any(other[0] == row[0] and all(a <= b for a, b in zip(other[1:], row[1:]))
                     and (other != row or m in kept) for m, other in enumerate(rows.tolist()) if m != n)
        assert n in kept or beaten
        others = [rows[m].tolist() for m in kept if m != n]
        assert n not in kept or not any(
            other[0] == row[0] and all(a <= b for a, b in zip(other[1:], row[1:])) for other in others)


def test_a_serial_requantizer_bounds_a_pass(residual):
    """4 PEs drained one by one, 8 cycles each: 32 cycles a pass at least."""
    graph, profile = residual
    quick, slow = (profile.cycles(graph.nodes[0], Folding(pes=4, requantize_cycles=n)) for n in (1, 8))
    assert slow >= 2 * 64 * 32 > quick


@pytest.mark.parametrize("lanes, row_lanes, each", [(1, 1, 1), (3, 3, 1), (1, 1, 4)])
def test_busiest_counts_every_pass(profiled, lanes, row_lanes, each):
    """The curve over floors is the sum over passes of the larger of products' cycles and floor."""
    graph, profile = profiled
    node = graph.nodes[0]
    walk = walk_of(node, graph.tensors[node.input])
    loads = histogram(lane_loads(profile.mask(node.input), walk, 1, lanes, row_lanes, each))
    floors = np.arange(0, 120, 7)
    wanted = np.array([max((lane * np.maximum(np.arange(len(lane)), floor)).sum() for lane in loads)
                       for floor in floors]) / 4
    got = profile.busiest(node, lanes, row_lanes, floors, each=each)
    np.testing.assert_allclose(got[1:], wanted[1:])     # floors that are higher than most passes
    assert (got[0] == wanted[0]) if lanes == 1 else (got[0] > wanted[0])    # lanes wait for each other


# ---- Solver -----------------------------------------------------------------------------------

@st.composite
def problems(draw):
    """Stages in a chain of classes, with options at random widths, and limits."""
    count = draw(st.integers(1, 4))
    widths = {f"t{n}": [1, 2][:draw(st.integers(1, 2))] for n in range(count + 1)}
    stages = []
    for n in range(count):
        reads, makes = f"t{n}", f"t{n}" if draw(st.booleans()) else f"t{n + 1}"
        options = []
        for _ in range(draw(st.integers(1, 4))):
            ways = draw(st.sampled_from([1, 2]))
            made = ways if makes == reads else draw(st.sampled_from([1, 2]))
            if ways in widths[reads] and made in widths[makes]:
                options.append((ways, made, draw(st.integers(1, 50)), draw(st.integers(0, 9)), draw(st.integers(0, 9))))
        if options:
            ways, made, prices, *amounts = np.array(options).T
            stages.append(Stage(reads, makes, np.column_stack([ways, made]), prices.astype(float), np.array(amounts)))
    limit = draw(st.sampled_from([float("inf"), 12.0, 5.0]))
    return stages, widths, (limit, 14.0)


def exhaustive(stages, widths, limits):
    """Price of the best choice, or None."""
    best = None
    for choice in itertools.product(*(range(len(stage.prices)) for stage in stages)):
        agreed = {}
        agrees = all(agreed.setdefault(name, ways) == ways for stage, n in zip(stages, choice)
                     for name, ways in zip((stage.reads, stage.makes), stage.ways[n].tolist()))
        within = (sum(stage.amounts[:, n] for stage, n in zip(stages, choice)) <= limits).all()
        price = sum(stage.prices[n] for stage, n in zip(stages, choice))
        if agrees and within and (best is None or price < best):
            best = price
    return best


@given(problems())
@check(150)
def test_solver_finds_what_trying_all_finds(problem):
    stages, widths, limits = problem
    if not stages:
        return
    found, wanted = cheapest(stages, widths, limits), exhaustive(*problem)
    assert (found is None) == (wanted is None)
    if found is not None:
        chosen, ways, gap = found
        assert sum(stage.prices[n] for stage, n in zip(stages, chosen)) == wanted and gap == 0
        assert len(chosen) == len(stages)
        for stage, n in zip(stages, chosen):
            assert stage.ways[n].tolist() == [ways[stage.reads], ways[stage.makes]]
        assert cheapest(stages, widths, limits, below=wanted + 1)[0] == chosen
        assert cheapest(stages, widths, limits, below=1) is None        # no price is lower


def dearest(prices, **kwargs):
    """In place of a search that its limit ends with the worst choice found, and the bound of the best."""
    found, least = milp(-prices, **kwargs), milp(prices, **kwargs)
    if found.x is not None:
        found.fun = prices @ found.x
        found.mip_gap = 1 - least.fun / found.fun
    return found


@pytest.mark.parametrize("any_price", [False, True])
@given(problem=problems())
@check(100)
def test_gap_of_a_search_that_ended_early(any_price, problem):
    """It ends, and the gap says by how much the price may be too high."""
    stages, widths, limits = problem
    if not stages:
        return
    first = stages[0]
    stages = [replace(first, ways=np.concatenate([first.ways, first.ways[:1]]), prices=np.append(first.prices, 1e6),
                      amounts=np.column_stack([first.amounts, first.amounts[:, 0]])), *stages[1:]]     # never part of a search
    wanted = exhaustive(stages, widths, limits)
    with mock.patch.multiple(solver, EXACT=0, milp=dearest):
        try:
            found = cheapest(stages, widths, limits, any_price=any_price)
        except Undecided:
            return
    assert (found is None) == (wanted is None)
    if found is not None:
        chosen, _, gap = found
        price = sum(stage.prices[n] for stage, n in zip(stages, chosen))
        assert price * (1 - gap) <= wanted * (1 + 1e-9) and price >= wanted


# ---- Designs ----------------------------------------------------------------------------------

def test_more_budget_is_never_slower(profiled):
    graph, profile = profiled
    cycles = [allocate(graph, profile, Engine(), multipliers=n) for n in (3, 8, 24, 96, 300)]
    for design, budget in zip(cycles, (3, 8, 24, 96, 300)):
        assert cost(graph, design) <= budget
    times = [design.cycles_per_frame for design in cycles]
    assert times == sorted(times, reverse=True) and times[0] > 10 * times[-1]


def test_fastest_of_all_foldings():
    """Every pair of foldings of two stages: none is faster within the budget, none as fast cheaper."""
    graph, frames = networks.chain({**LAYER, "filters": 4}, {"op": "fc", "filters": 3}, shape=(4, 4, 3), frames=3)
    profile, budget = Profile(graph, frames), 9
    design = allocate(graph, profile, ENGINE, dsp=budget)
    candidates = [[(folding, cycles, taken.dsp, 100 * taken.dsp + taken.lut + 300 * taken.bram36)
                   for folding, cycles, taken in every_folding(graph, profile, node, widths, out_widths)]
                  for node, widths, out_widths in zip(graph.nodes, ([1, 3], [1, 2, 4]), ([1, 2, 4], [1]))]
    best, least = float("inf"), float("inf")
    for (a, cycles_a, dsp_a, price_a), (b, cycles_b, dsp_b, price_b) in itertools.product(*map(lean, candidates)):
        cycles = max(cycles_a, cycles_b, 48 / a.ways)
        if a.out_ways == b.ways and dsp_a + dsp_b <= budget and cycles <= best:
            price = price_a + price_b
            least = min(least, price) if cycles == best else price
            best = cycles
    assert design.cycles_per_frame == best and design.rate_gap == design.slower == design.gap == 0
    assert design.price == pytest.approx(least)


def lean(candidates):
    """The cheapest of those with the same ways, cycles and DSP blocks."""
    best = {}
    for folding, cycles, dsp, price in candidates:
        key = folding.ways, folding.out_ways, cycles, dsp
        if key not in best or price < best[key][-1]:
            best[key] = folding, cycles, dsp, price
    return list(best.values())


def test_smallest_design_for_a_rate(profiled):
    graph, profile = profiled
    design = allocate(graph, profile, Engine(), cycles=20_000)
    assert design.cycles_per_frame <= 20_000
    assert cost(graph, design) < cost(graph, allocate(graph, profile, Engine(), cycles=5_000))


def test_slack_buys_frames_per_area(profiled):
    graph, profile = profiled
    fastest, designs = None, []
    for slack in (0.0, 0.1, 0.3):
        design = allocate(graph, profile, ENGINE, dsp=60, slack=slack)
        fastest = fastest or design
        assert design.cycles_per_frame <= (1 + slack) * fastest.cycles_per_frame
        assert spent(graph, design) <= 60
        designs.append(design.cycles_per_frame * design.price)
    assert designs[0] > designs[1] >= designs[2]


def test_share_of_multipliers_that_are_busy(profiled):
    graph, profile = profiled
    nonzero = sum(profile.nonzero_macs.values())

    def share(design):
        return nonzero / cost(graph, design) / design.cycles_per_frame
    space = Space(graph, profile, ENGINE)
    free = allocate(graph, profile, ENGINE, dsp=40, slack=0.5, space=space)
    busy = allocate(graph, profile, ENGINE, dsp=40, slack=0.5, utilisation=0.87, space=space)
    assert share(free) < 0.87 <= share(busy) and spent(graph, busy) <= 40 and busy.slower <= 0.5
    assert busy.cycles_per_frame * busy.price > free.cycles_per_frame * free.price
    for budget, where in (({"dsp": 40}, "at up to 0% more cycles than the fastest; lower --utilisation or change --slack"),
                          ({"cycles": 2e4}, "at that frame rate; lower --utilisation or change --fps")):
        with pytest.raises(UserError, match=f"^No folding of 'chain' found within the budget spends 100% of its multiplier slots on non-zeros {where}$"):
            allocate(graph, profile, ENGINE, **budget, utilisation=1.0, space=space)


def test_share_of_multipliers_that_few_numbers_of_cycles_reach(profiled):
    """The best share within the slack is found, whatever design has it."""
    graph, profile = profiled
    space, nonzero = Space(graph, profile, ENGINE), sum(profile.nonzero_macs.values())
    fast = allocate(graph, profile, ENGINE, dsp=30, space=space).cycles_per_frame
    designs = [space.best(level, "multipliers", {"dsp": 30}) for level in space.levels if fast <= level <= 1.1 * fast]
    best = max(nonzero / design.amounts["multipliers"] / design.cycles_per_frame for design in designs)
    found = allocate(graph, profile, ENGINE, dsp=30, slack=0.1, utilisation=best * (1 - 1e-9), space=space)
    assert nonzero / found.amounts["multipliers"] / found.cycles_per_frame >= best * (1 - 1e-9)


def test_limits_of_luts_and_memories(profiled):
    graph, profile = profiled
    free = allocate(graph, profile, ENGINE, dsp=40)
    taken = resources(graph, free)
    tight = allocate(graph, profile, ENGINE, dsp=40, lut=0.7 * taken.lut, bram36=taken.bram36)
    assert resources(graph, tight).lut <= 0.7 * taken.lut
    assert tight.cycles_per_frame > free.cycles_per_frame
    # Nothing takes so little: the smallest design, for the fit to refuse.
    least = allocate(graph, profile, ENGINE, dsp=40, lut=100)
    assert 100 < resources(graph, least).lut <= resources(graph, tight).lut


def resources(graph, design):
    parts = [stage_resources(graph, node, design.foldings[node.name], ENGINE) for node in graph.nodes]
    return sum(parts[1:], parts[0])


def test_dsps_go_to_multipliers_first(residual):
    """Where a requantizer may take its time it has no DSP block, nor has an addition."""
    graph, profile = residual
    design = allocate(graph, profile, ENGINE, dsp=12)
    assert spent(graph, design) <= 12 and design.gap == 0
    assert any(folding.requantize_cycles > 1 for folding in design.foldings.values())
    assert cycles_per_frame(graph, profile, design.ways, design.foldings) == design.cycles_per_frame


def test_ways_agree(profiled):
    graph, profile = profiled
    design = allocate(graph, profile, Engine(), cycles=1_500)
    ways, ties = design.ways, tied(graph)
    for node in graph.nodes:
        folding = design.foldings[node.name]
        assert folding.ways == ways and folding.lanes % ways == 0
        if has_engine(node):
            assert folding.pes % folding.out_ways == 0
        else:
            assert folding.lanes == folding.ways == folding.out_ways
            assert ties[node.inputs[0]] == ties[node.output]
        ways = folding.out_ways


@pytest.mark.parametrize("budget, message", [
    ({"multipliers": 0.5}, r"Budget of 0\.5 multipliers is too small: 'chain' takes at least 0\.75; raise --multipliers"),
    ({"cycles": 3.0}, "No folding of 'chain' takes at most 3 cycles per frame; lower --fps or raise --clock"),
    ({"cycles": 700.0, "dsp": 5}, r"'chain' takes \d+ DSP blocks at that frame rate, of 5 available; lower --fps or "
                                  "raise the budget")])
def test_refuses(profiled, budget, message):
    graph, profile = profiled
    with pytest.raises(UserError, match=f"^{message}$"):
        allocate(graph, profile, ENGINE, **budget)
