"""Processes that take and put beats one by one: sources, sinks, forks, and the stages without a window.

Each runs until a cycle it depends on is not known yet, and tells whether it got anywhere.
"""
from . import fields as f
from .jit import kernel
from .links import head, put, room, take

__all__ = ["feed", "sink", "copy", "table", "add", "concat", "slice_box", "pad", "upsample", "axi_in", "axi_out"]


@kernel
def at_pixel(mem, p, mask):
    """Where the zeros of the process's pixel start, of a map that starts at ``mask``."""
    frame, pixel = divmod(mem[p + f.PIXEL], mem[p + f.PIXELS])
    return mask + (mem[mem[p + f.ORDER_AT] + frame] * mem[p + f.PIXELS] + pixel) * mem[p + f.CHANNELS]


@kernel
def of_way(channels, ways, way):
    return (channels - way + ways - 1) // ways


@kernel
def waited(mem, p, source, target):
    """Count a beat that could be taken in cycle ``source`` and put in cycle ``target``."""
    if mem[p + f.PIXEL] < mem[p + f.SINCE]:
        return
    free = mem[p + f.TIME] + 1
    mem[p + f.BUSY] += 1
    mem[p + f.STARVED] += max(0, source - free)
    mem[p + f.BLOCKED] += max(0, target - max(source, free))


@kernel
def feed(mem, bits, data, p):
    """Beats that are offered from the first cycle on."""
    link, moved = mem[p + f.F_LINK], False
    while mem[link + f.PUTS] < mem[p + f.F_TOTAL]:
        cycle = room(mem, link)
        if cycle == f.UNKNOWN:
            break
        put(mem, link, cycle)
        moved = True
    return moved


@kernel
def sink(mem, bits, data, p):
    """Whoever takes every beat at once, and remembers when each frame's last one came."""
    link, moved = mem[p + f.K_LINK], False
    while mem[p + f.K_FRAME] < mem[p + f.K_FRAMES]:
        cycle = head(mem, link)
        if cycle == f.UNKNOWN:
            break
        take(mem, link, cycle)
        moved = True
        if mem[link + f.GETS] == mem[mem[p + f.K_LIMITS_AT] + mem[p + f.K_FRAME]]:
            mem[mem[p + f.K_ENDS_AT] + mem[p + f.K_FRAME]] = cycle
            mem[p + f.K_FRAME] += 1
    return moved


@kernel
def copy(mem, bits, data, p):
    """A beat goes to all readers at once: a fork; with one reader, a queue behind a queue."""
    moved = False
    while True:
        cycle = head(mem, mem[p + f.C_IN])
        if cycle == f.UNKNOWN:
            return moved
        for n in range(mem[p + f.C_OUTS]):
            space = room(mem, mem[mem[p + f.C_OUTS_AT] + n])
            if space == f.UNKNOWN:
                return moved
            cycle = max(cycle, space)
        take(mem, mem[p + f.C_IN], cycle)
        for n in range(mem[p + f.C_OUTS]):
            put(mem, mem[mem[p + f.C_OUTS_AT] + n], cycle)
        moved = True


@kernel
def table(mem, bits, data, p):
    """A register behind the input; with ``T_INSERTS`` every channel takes a cycle, present or not."""
    moved, ways, way = False, mem[p + f.WAYS], mem[p + f.WAY]
    mine = of_way(mem[p + f.CHANNELS], ways, way)
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        read, sent = at_pixel(mem, p, mem[p + f.T_READ]), at_pixel(mem, p, mem[p + f.T_SENT])
        while mem[p + f.NUMBER] < mine:
            n = mem[p + f.NUMBER]
            last = n == mine - 1
            present = last or bits[read + n * ways + way] != 0
            if present or mem[p + f.T_INSERTS]:
                source, space = head(mem, mem[p + f.IN]), room(mem, mem[p + f.OUT])
                if source == f.UNKNOWN or space == f.UNKNOWN:
                    return moved
                cycle = max(source, mem[p + f.TIME] + 1, mem[p + f.T_LEFT])
                waited(mem, p, source, cycle)
                if present:
                    take(mem, mem[p + f.IN], cycle)
                mem[p + f.TIME] = cycle
                mem[p + f.T_LEFT] = max(cycle + 1, space)
                if last or bits[sent + n * ways + way]:
                    put(mem, mem[p + f.OUT], mem[p + f.T_LEFT])
                moved = True
            mem[p + f.NUMBER] += 1
        mem[p + f.NUMBER] = 0
        mem[p + f.PIXEL] += 1
    return moved


ADD_STAGES = 5


@kernel
def add(mem, bits, data, p):
    """Merge two lists: a cycle for each channel that either has; five registers, then the queue."""
    moved, ways, way = False, mem[p + f.WAYS], mem[p + f.WAY]
    mine = of_way(mem[p + f.CHANNELS], ways, way)
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        first, second = at_pixel(mem, p, mem[p + f.A_FIRST]), at_pixel(mem, p, mem[p + f.A_SECOND])
        sent = at_pixel(mem, p, mem[p + f.A_SENT])
        while mem[p + f.NUMBER] < mine:
            n = mem[p + f.NUMBER]
            channel, last = n * ways + way, n == mine - 1
            has_first = last or bits[first + channel] != 0
            has_second = last or bits[second + channel] != 0
            if has_first or has_second:
                one, two = head(mem, mem[p + f.IN]), head(mem, mem[p + f.A_OTHER])
                space = room(mem, mem[p + f.OUT])
                if one == f.UNKNOWN or two == f.UNKNOWN or space == f.UNKNOWN:
                    return moved
                source = max(one, two)
                cycle = max(source, mem[p + f.TIME] + 1)
                place = mem[p + f.A_RING_AT] + mem[p + f.A_COUNT] % ADD_STAGES
                cycle = max(cycle, mem[place])
                waited(mem, p, source, cycle)
                if has_first:
                    take(mem, mem[p + f.IN], cycle)
                if has_second:
                    take(mem, mem[p + f.A_OTHER], cycle)
                left = max(cycle + ADD_STAGES, space)
                before = mem[p + f.A_RING_AT] + (mem[p + f.A_COUNT] + ADD_STAGES - 1) % ADD_STAGES
                left = max(left, mem[before] + 1)
                mem[place] = left
                mem[p + f.A_COUNT] += 1
                if last or bits[sent + channel]:
                    put(mem, mem[p + f.OUT], left)
                mem[p + f.TIME] = cycle
                moved = True
            mem[p + f.NUMBER] += 1
        mem[p + f.NUMBER] = 0
        mem[p + f.PIXEL] += 1
    return moved


@kernel
def concat(mem, bits, data, p):
    """A pixel of one operand after the other. An operand is a link, a map and its channels."""
    moved, ways, way = False, mem[p + f.WAYS], mem[p + f.WAY]
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        while mem[p + f.O_OPERAND] < mem[p + f.O_OPERANDS]:
            operand = mem[p + f.O_LIST_AT] + 3 * mem[p + f.O_OPERAND]
            link, channels = mem[operand], mem[operand + 2]
            mem[p + f.CHANNELS] = channels
            read, mine = at_pixel(mem, p, mem[operand + 1]), of_way(channels, ways, way)
            final = mem[p + f.O_OPERAND] == mem[p + f.O_OPERANDS] - 1
            while mem[p + f.NUMBER] < mine:
                n = mem[p + f.NUMBER]
                last, present = n == mine - 1, bits[read + n * ways + way] != 0
                if last or present:
                    source, space = head(mem, link), room(mem, mem[p + f.OUT])
                    if source == f.UNKNOWN or space == f.UNKNOWN:
                        return moved
                    cycle = max(source, mem[p + f.TIME] + 1, mem[p + f.O_LEFT])
                    waited(mem, p, source, cycle)
                    take(mem, link, cycle)
                    mem[p + f.TIME] = cycle
                    mem[p + f.O_LEFT] = max(cycle + 1, space)
                    if present or final:
                        put(mem, mem[p + f.OUT], mem[p + f.O_LEFT])
                    moved = True
                mem[p + f.NUMBER] += 1
            mem[p + f.NUMBER] = 0
            mem[p + f.O_OPERAND] += 1
        mem[p + f.O_OPERAND] = 0
        mem[p + f.PIXEL] += 1
    return moved


@kernel
def in_box(place, box):
    """Whether a box has this place of an axis; ``box`` is its first, its size and its step."""
    rest = place - box[0]
    return rest >= 0 and rest % box[2] == 0 and rest // box[2] < box[1]


@kernel
def slice_box(mem, bits, data, p):
    """Beats of a box of the map; ``S_BOX_AT`` lists first, size and step of rows, columns and the way's channels."""
    moved, ways, way = False, mem[p + f.WAYS], mem[p + f.WAY]
    mine = of_way(mem[p + f.CHANNELS], ways, way)
    box = mem[mem[p + f.S_BOX_AT]:mem[p + f.S_BOX_AT] + 9]
    final = box[6] + box[7] - 1
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        y, x = divmod(mem[p + f.PIXEL] % mem[p + f.PIXELS], mem[p + f.S_WIDTH])
        inside = in_box(y, box[:3]) and in_box(x, box[3:6])
        read = at_pixel(mem, p, mem[p + f.S_READ])
        while mem[p + f.NUMBER] < mine:
            n = mem[p + f.NUMBER]
            last, present = n == mine - 1, bits[read + n * ways + way] != 0
            if last or present:
                source, space = head(mem, mem[p + f.IN]), room(mem, mem[p + f.OUT])
                if source == f.UNKNOWN or space == f.UNKNOWN:
                    return moved
                cycle = max(source, space)
                waited(mem, p, source, cycle)
                take(mem, mem[p + f.IN], cycle)
                mem[p + f.TIME] = cycle
                if inside and not mem[p + f.S_CLOSED] and n >= box[6] and (n >= final or present):
                    put(mem, mem[p + f.OUT], cycle)
                    mem[p + f.S_CLOSED] = n >= final
                moved = True
            mem[p + f.NUMBER] += 1
        mem[p + f.NUMBER] = mem[p + f.S_CLOSED] = 0
        mem[p + f.PIXEL] += 1
    return moved


@kernel
def pad(mem, bits, data, p):
    """The output's pixels: padding, channel by channel with ``P_EACH``, or the map's.

    ``P_BOX_AT`` lists first and size of the map in rows, columns and the way's channels, and the way's channels in all.
    ``NUMBER`` is the output's channel; of the map's pixel, ``P_TAKEN`` channels were looked at.
    """
    moved, ways, way = False, mem[p + f.WAYS], mem[p + f.WAY]
    box = mem[mem[p + f.P_BOX_AT]:mem[p + f.P_BOX_AT] + 7]
    offset, mine, total = box[4], box[5], box[6]
    each = mem[p + f.P_EACH]
    end = offset + mine
    first, behind = (offset, end) if each else (0, total - 1)
    outputs = mem[p + f.P_WIDTH]          # columns of the output
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        pixel = mem[p + f.PIXEL] % mem[p + f.PIXELS]
        y, x = pixel // outputs - box[0], pixel % outputs - box[2]
        inside = 0 <= y < box[1] and 0 <= x < box[3]
        if pixel == 0:
            mem[p + f.P_BEGUN] = 0
        while True:
            mapped = inside and mem[p + f.NUMBER] == first
            source = 0
            if mapped or not mem[p + f.P_BEGUN]:
                source = head(mem, mem[p + f.IN])
            space = room(mem, mem[p + f.OUT])
            if source == f.UNKNOWN or space == f.UNKNOWN:
                return moved
            cycle = max(source, space, mem[p + f.TIME] + 1)
            waited(mem, p, source, cycle)
            mem[p + f.TIME] = cycle
            mem[p + f.P_BEGUN] = 1
            moved = True
            put(mem, mem[p + f.OUT], cycle)
            if mapped:
                read = mem[p + f.P_READ] + (mem[mem[p + f.ORDER_AT] + mem[p + f.PIXEL] // mem[p + f.PIXELS]] * box[1] * box[3]
                                          + y * box[3] + x) * mem[p + f.CHANNELS]
                n = mem[p + f.P_TAKEN]
                while n < mine - 1 and not bits[read + n * ways + way]:
                    n += 1
                take(mem, mem[p + f.IN], cycle)
                last = n == mine - 1
                if not last:
                    mem[p + f.P_TAKEN] = n + 1
                    continue
                mem[p + f.P_TAKEN] = 0
                if end == total:
                    break
                if bits[read + n * ways + way]:
                    mem[p + f.NUMBER] = behind
                elif each:              # the map's closing zero makes room for the first channel behind it
                    mem[p + f.NUMBER] = behind + 1
                    if behind == total - 1:
                        break
                else:
                    break
            elif not each or mem[p + f.NUMBER] == total - 1:
                break
            else:
                mem[p + f.NUMBER] += 1
        mem[p + f.NUMBER] = 0
        mem[p + f.PIXEL] += 1
    return moved


@kernel
def upsample(mem, bits, data, p):
    """Replay stored pixels. Two cycles from a pixel's arrival to its first word, two more to its beat."""
    moved = False
    width, height, down, across = mem[p + f.U_WIDTH], mem[p + f.U_HEIGHT], mem[p + f.U_DOWN], mem[p + f.U_ACROSS]
    store, release = mem[p + f.U_STORE], mem[p + f.U_RELEASE]
    while mem[p + f.U_AT] < mem[p + f.U_ALL]:
        row, column = divmod(mem[p + f.U_AT], width * across)
        frame, line = divmod(row // down, height)
        pixel = (frame * height + line) * width + column // across
        if pixel >= mem[store + f.W_PIXEL]:
            return moved
        beats = data[mem[p + f.U_BEATS_AT] + mem[mem[store + f.W_ORDER_AT] + frame] * width * height
                     + line * width + column // across]
        if mem[p + f.U_SENT] == 0:
            arrived = mem[mem[store + f.W_ARRIVED_AT] + (pixel & mem[store + f.W_MASK])]
            mem[p + f.U_DONE] = max(mem[p + f.U_DONE], arrived + 1)
        while mem[p + f.U_SENT] < beats:
            space = room(mem, mem[p + f.U_OUT])
            if space == f.UNKNOWN:
                return moved
            # The word is read two cycles before it is offered; a beat that waits stops the reading.
            read = max(mem[p + f.U_DONE] + 1, space - 2)
            put(mem, mem[p + f.U_OUT], max(read + 2, space))
            mem[p + f.U_DONE] = read
            mem[p + f.U_SENT] += 1
            moved = True
        mem[p + f.U_SENT] = 0
        if row % down == down - 1 and column % across == across - 1:
            mem[mem[release + f.R_AT] + (mem[release + f.R_COUNT] & mem[release + f.R_MASK])] = mem[p + f.U_DONE]
            mem[release + f.R_COUNT] += 1
        mem[p + f.U_AT] += 1
    return moved


@kernel
def axi_in(mem, bits, data, p):
    """Samples, one of each way in a cycle, from beats of ``I_SAMPLES`` that are always there."""
    moved, ways = False, mem[p + f.WAYS]
    mine, each = mem[p + f.CHANNELS] // ways, mem[p + f.I_SAMPLES]
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        sent = at_pixel(mem, p, mem[p + f.I_SENT])
        in_frame = mem[p + f.PIXEL] % mem[p + f.PIXELS] * mine
        while mem[p + f.NUMBER] < mine:
            n = mem[p + f.NUMBER]
            cycle = mem[p + f.TIME] + 1
            for way in range(ways):
                space = room(mem, mem[mem[p + f.I_OUTS_AT] + way])
                if space == f.UNKNOWN:
                    return moved
                cycle = max(cycle, space)
            group = in_frame + n
            if group == 0:
                mem[p + f.I_BEATS] = 0
                mem[p + f.I_LOADED] = mem[p + f.TIME]        # with the last group of the frame before
            while mem[p + f.I_BEATS] * each < (group + 1) * ways:
                if mem[p + f.I_BEATS] > 0:                 # when less than a group is left
                    mem[p + f.I_LOADED] = max(mem[p + f.I_LOADED] + 1, mem[p + f.TIME])
                mem[p + f.I_BEATS] += 1
                cycle = max(cycle, mem[p + f.I_LOADED] + 1)
            mem[p + f.TIME] = cycle
            for way in range(ways):
                if n == mine - 1 or bits[sent + n * ways + way]:
                    put(mem, mem[mem[p + f.I_OUTS_AT] + way], cycle)
            mem[p + f.NUMBER] += 1
            moved = True
        mem[p + f.NUMBER] = 0
        mem[p + f.PIXEL] += 1
    return moved


@kernel
def axi_out(mem, bits, data, p):
    """A sample in a cycle, of the ways in turn, from beats that may be of a later channel."""
    moved, ways = False, mem[p + f.WAYS]
    while mem[p + f.PIXEL] < mem[p + f.ALL_PIXELS]:
        read = at_pixel(mem, p, mem[p + f.X_READ])
        while mem[p + f.NUMBER] < mem[p + f.CHANNELS]:
            channel = mem[p + f.NUMBER]
            link = mem[mem[p + f.X_INS_AT] + channel % ways]
            source = head(mem, link)
            if source == f.UNKNOWN:
                return moved
            cycle = max(source, mem[p + f.TIME] + 1)
            if bits[read + channel] or channel + ways >= mem[p + f.CHANNELS]:
                take(mem, link, cycle)
            mem[p + f.TIME] = cycle
            mem[p + f.NUMBER] += 1
            moved = True
        mem[p + f.NUMBER] = 0
        mem[p + f.PIXEL] += 1
        if mem[p + f.PIXEL] % mem[p + f.PIXELS] == 0:
            mem[mem[p + f.X_ENDS_AT] + mem[p + f.PIXEL] // mem[p + f.PIXELS] - 1] = mem[p + f.TIME] + 1
    return moved
