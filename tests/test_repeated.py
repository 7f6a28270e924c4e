"""Components that a platform emits once for all that are alike."""
import re

from amaranth import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cores.emit import ROM_MODULE, FilePlatform, verilog
from cores.synthesis import synthesise
from hdl.mac import MacArray
from hdl.stream import Queue, connect_streams


class Chain(wiring.Component):
    """Queues, one behind the other."""

    def __init__(self, *queues):
        self._queues = queues
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        source = wiring.flipped(self.i)
        for n, queue in enumerate(self._queues):
            m.submodules[f"queue_{n}"] = queue
            connect_streams(m, source, queue.i)
            source = queue.o
        connect_streams(m, source, wiring.flipped(self.o))
        return m


def modules(text):
    return re.findall(r"^module (skipstone_queue\w*)\(", text, re.MULTILINE)


def instances(text):
    return re.findall(r"^  (skipstone_queue\w*) \S+ \(", text, re.MULTILINE)


def test_components_with_equal_arguments_are_instances_of_one_module():
    text = verilog(Chain(Queue(8, depth=4), Queue(8, depth=16), Queue(8, depth=4), Queue(unsigned(8), depth=4)),
                   name="chain", platform=FilePlatform())
    first, second, third, fourth = instances(text)
    assert first == third and len({first, second, fourth}) == 3     # 8 and unsigned(8) are spelled differently
    assert sorted(modules(text)) == sorted({first, second, fourth})


def test_later_conversions_of_a_platform_use_the_modules_of_earlier_ones():
    platform = FilePlatform()
    one = verilog(Chain(Queue(8, depth=4)), name="one", platform=platform)
    two = verilog(Chain(Queue(8, depth=4)), name="two", platform=platform)
    assert len(modules(one)) == 1 and not modules(two)
    assert instances(one) == instances(two)


class Unshared(FilePlatform):
    repeat = None


def test_is_the_same_hardware_as_without():
    def cells(platform):
        chain = Chain(Queue(8, depth=4), Queue(8, depth=32), Queue(8, depth=4))
        text = verilog(chain, name="chain", platform=platform)
        assert bool(modules(text)) == (platform.repeat is not None)
        return synthesise(ROM_MODULE + text, top="chain", family="xc7")
    assert cells(FilePlatform()) == cells(Unshared())


def test_on_top_it_is_the_module_itself():
    text = verilog(Queue(8, depth=4), name="top", platform=FilePlatform())
    assert not instances(text) and "skipstone_ram" in text


class Around(wiring.Component):
    """A multiply-accumulate array as a part."""

    def __init__(self, array):
        self._array = array
        super().__init__({"value": In(8), "weights": In(len(array.weights)), "sums": Out(array.sums.shape())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = self._array
        m.d.comb += [array.value.eq(self.value), array.weights.eq(self.weights), self.sums.eq(array.sums), array.en.eq(1)]
        return m


def test_a_port_without_bits_is_left_out():
    array = MacArray(pes=2, ways=2, shape=8, weight_width=8, sum_width=20, family="behavioural")
    assert len(array.select) == 0
    text = verilog(Around(array), name="around", platform=FilePlatform())
    assert "select" not in text and ".drain_en(" in text
