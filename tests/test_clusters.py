# amaranth: UnusedElaboratable=no
"""Sparse dot products in clusters of PEs: what :mod:`test_dot` asks of one, with clusters of four PEs."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import test_conv
import test_dot
from hdl import clusters
from hdl.clusters import Clusters, cluster_count, clusters_dsps, clusters_memories
from sim.harness import Source, offers_without_ready
from strategies import STALLS, check, latencies


@pytest.fixture(autouse=True)
def of_four(monkeypatch):
    monkeypatch.setattr(clusters, "CLUSTER", 4)


@given(case=test_dot.cases(), count=st.integers(2, 4))
@check(40)
def test_clusters(case, count):
    test_dot.check_dot(dot=Clusters, **case | {"pes": count * (4 // case["ways"]) * case["ways"]})


@given(case=test_conv.cases())
@check(15)
def test_stage(case):
    """A convolution whose PEs are two clusters."""
    pes = 2 * (4 // case["out_ways"]) * case["out_ways"]
    test_conv.check_stage(**case | {"pes": pes, "filters": max(case["filters"], pes)})


CORNERS = {
    "one filter": dict(filters=1, addresses=1, pes=8, lengths=[1, 1, 0, 1]),
    "one pass": dict(filters=8, addresses=9, pes=8),
    "a last pass of fewer sums than clusters": dict(filters=13, addresses=9, pes=12),
    "the clusters' last passes differ": dict(filters=17, addresses=9, pes=12),
    "three clusters of two ways": dict(filters=24, addresses=9, pes=12, ways=2),
    "one transfer for each cluster": dict(filters=16, addresses=4, pes=8, ways=4, lengths=[1] * 8),
    "all zeros": dict(filters=16, addresses=9, pes=8, lengths=[0] * 6),
    "all dense": dict(filters=16, addresses=12, pes=8, lengths=[12] * 4),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_corners(name, p_in, p_out):
    test_dot.check_dot(dot=Clusters, p_in=p_in, p_out=p_out, **CORNERS[name])


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("pes, ways", [(8, 1), (12, 2), (8, 4)])
def test_latency(length, pes, ways):
    """From the last product of a pass to its first sums; a sum in every cycle from then on."""
    sink = test_dot.check_dot(dot=Clusters, filters=pes, addresses=9, pes=pes, ways=ways, lengths=[length])
    assert latencies(sink)[0] == length - 1 + Clusters.latency
    assert latencies(sink) == list(range(latencies(sink)[0], latencies(sink)[0] + pes // ways))


@pytest.mark.parametrize("length, pes, ways", [(9, 8, 1), (8, 8, 1), (2, 8, 1), (2, 8, 2), (1, 12, 1), (1, 8, 4)])
@pytest.mark.parametrize("passes", [1, 3])
def test_rate(length, pes, ways, passes):
    """The same as of one cluster."""
    sink = test_dot.check_dot(dot=Clusters, filters=pes * passes, addresses=9, pes=pes, ways=ways, lengths=[length] * 6)
    words = pes // ways
    ends = latencies(sink)[words - 1::words]
    assert set(np.diff(ends)[1:]) == {max(length, words)}


@pytest.mark.parametrize("filters, cycles", [(13, 12 + 3), (14, 12 + 3), (16, 12 + 4), (24, 24)])
def test_each_cluster_sends_in_a_short_last_pass(filters, cycles):
    sink = test_dot.check_dot(dot=Clusters, filters=filters, addresses=4, pes=12, lengths=[1] * 6)
    ends = latencies(sink)[filters - 1::filters]
    assert set(np.diff(ends)[1:]) == {cycles}


def test_offers_without_ready():
    dut = Clusters(8, weights=np.ones((8, 3), int), weight_width=2, pes=8, sum_width=12)
    payload = {"value": 1, "address": 0, "last": 1, "final": 1}
    assert offers_without_ready(dut, [Source(dut.i, [payload] * 3)], dut.o)


@pytest.mark.parametrize("cycles", [1, 6, 9, 13, 30])
def test_reset_in_a_pass(cycles):
    test_dot.check_reset(Clusters, filters=13, pes=8, cycles=cycles)


@given(filters=st.integers(1, 30), addresses=st.integers(1, 9), count=st.integers(2, 4), ways=st.sampled_from([1, 2, 4]))
@check(50)
def test_memories_are_predicted(filters, addresses, count, ways):
    """Also where the last pass needs not all PEs: each has its weights for all passes."""
    pes = 4 * count
    dut = Clusters(8, weights=np.ones((filters, addresses), int), weight_width=8, pes=pes, ways=ways, sum_width=24)
    assert dut.memories == clusters_memories(
        8, depth=dut.passes * addresses, filters=filters, addresses=addresses, pes=pes, count=count, weight_width=8)


@pytest.mark.parametrize("pes, ways, count", [(4, 1, 1), (8, 1, 2), (9, 1, 3), (6, 3, 2), (4, 4, 1)])
def test_cluster_count(pes, ways, count):
    assert cluster_count(pes, ways) == count


def test_dsps_of_all_clusters():
    given = {"weight_width": 8, "sum_width": 24, "family": "dsp48e2"}
    assert clusters_dsps(8, pes=12, ways=1, **given) == 3 * clusters_dsps(8, pes=4, ways=1, **given) == 6


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(pes=10), ValueError, "PEs must fill clusters of at most 4 that have 1 ways, as 9 or 12 do, not 10"),
    (dict(pes=5, ways=2), ValueError, "PEs must fill clusters of at most 4 that have 2 ways, as 4 or 8 do, not 5"),
    (dict(pes=1, ways=4), ValueError, "PEs must fill clusters of at most 4 that have 4 ways, as 4 do, not 1"),
    (dict(pes=0), TypeError, "PEs must be a positive integer, not 0"),
    (dict(ways=0), ValueError, "Ways must be from 1 to 4, not 0"),
    (dict(ways=5, pes=10), ValueError, "Ways must be from 1 to 4, not 5"),
    (dict(weights=np.zeros(3, int)), ValueError, r"Weights must be of shape \(filters, addresses\), not \(3,\)"),
    (dict(depth=2), ValueError, "Depth must be at least 6, not 2"),
])
def test_clusters_refuse(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Clusters(8, **{"weights": np.ones((16, 3), int), "weight_width": 4, "pes": 8, "sum_width": 16} | kwargs)
