"""Processes of a stage with a window: the ring's filling, the walk, the lanes, and what adds them up."""
from . import fields as f
from .jit import kernel
from .links import head, put, room, take

__all__ = ["store", "stepper", "lane", "whole", "totals"]

IN_FLIGHT = 16          # windows between a stepper and the slowest lane's release, see hdl/stepper.py
LISTS = 4               # that wait to be read, see hdl/lane.py


@kernel
def store(mem, bits, data, p):
    """A way's beats into the slots of its ring, which each of the releases frees."""
    moved, link = False, mem[p + f.W_IN]
    while mem[p + f.W_PIXEL] < mem[p + f.W_ALL]:
        pixel = mem[p + f.W_PIXEL]
        cycle = mem[p + f.W_TIME]
        for n in range(mem[p + f.W_RELEASES]):
            release = mem[mem[p + f.W_RELEASES_AT] + n]
            while True:         # windows that must be released before this pixel has a slot
                freed = mem[release + f.R_FREED]
                frame, window = divmod(freed, mem[release + f.R_WINDOWS])
                if data[mem[release + f.R_KEEPS_AT] + window] + frame * mem[release + f.R_FRAME] > pixel - mem[
                        release + f.R_SLOTS]:
                    break
                if freed >= mem[release + f.R_COUNT]:
                    return moved
                mem[release + f.R_FREED] += 1
            if mem[release + f.R_FREED] > 0:
                last = mem[release + f.R_FREED] - 1
                cycle = max(cycle, mem[mem[release + f.R_AT] + (last & mem[release + f.R_MASK])] + 1)
        frame, place = divmod(pixel, mem[p + f.W_PIXELS])
        beats = data[mem[p + f.W_BEATS_AT] + mem[mem[p + f.W_ORDER_AT] + frame] * mem[p + f.W_PIXELS] + place]
        while mem[p + f.W_BEAT] < beats:
            source = head(mem, link)
            if source == f.UNKNOWN:
                return moved
            cycle = max(cycle, source)
            take(mem, link, cycle)
            mem[p + f.W_BEAT] += 1
            moved = True
        mem[p + f.W_TIME] = mem[mem[p + f.W_ARRIVED_AT] + (pixel & mem[p + f.W_MASK])] = cycle
        mem[p + f.W_BEAT] = 0
        mem[p + f.W_PIXEL] += 1
    return moved


@kernel
def stepper(mem, bits, data, p):
    """Passes over each window, from its last pixel's arrival on, to the lanes that share a ring's filling."""
    moved = _release(mem, p)
    st, rel, mask = mem[p + f.G_STORE], mem[p + f.G_RELEASE], mem[p + f.G_MASK]
    while mem[p + f.G_WINDOW] < mem[p + f.G_ALL]:
        window = mem[p + f.G_WINDOW]
        frame, place = divmod(window, mem[p + f.G_WINDOWS])
        pixel = data[mem[p + f.G_NEEDS_AT] + place] + frame * mem[p + f.G_FRAME]
        if pixel >= mem[st + f.W_PIXEL]:
            return moved
        cycle = mem[p + f.G_TIME] + 1
        if mem[p + f.G_PASS] == 0:
            if window > IN_FLIGHT:
                if window - IN_FLIGHT > mem[rel + f.R_COUNT]:
                    return moved
                cycle = max(cycle, mem[mem[rel + f.R_AT] + (window - IN_FLIGHT - 1 & mem[rel + f.R_MASK])] + 1)
        while mem[p + f.G_PASS] < mem[p + f.G_PASSES]:
            k = mem[p + f.G_PUTS]
            cycle = max(cycle, mem[p + f.G_TIME] + 1)
            if k >= mem[p + f.G_DEPTH]:
                cycle = max(cycle, mem[mem[p + f.G_AT] + (k - mem[p + f.G_DEPTH] & mask)] + 2)
            if k > mem[p + f.G_DEPTH]:
                before = k - mem[p + f.G_DEPTH] - 1
                for n in range(mem[p + f.G_LANES]):
                    one = mem[mem[p + f.G_LANES_AT] + n]
                    if before >= mem[one + f.L_PASS]:
                        return moved
                    cycle = max(cycle, mem[mem[one + f.L_POPS_AT] + (before & mem[one + f.L_POP_MASK])] + 1)
            late = 0
            if mem[p + f.G_PASS] == 0:
                arrived = mem[mem[st + f.W_ARRIVED_AT] + (pixel & mem[st + f.W_MASK])] + 1
                late = max(0, arrived - cycle)
                cycle = max(cycle, arrived)
            mem[mem[p + f.G_AT] + (k & mask)] = mem[p + f.G_TIME] = cycle
            mem[mem[p + f.G_LATE_AT] + (k & mask)] = late
            mem[p + f.G_PUTS] += 1
            mem[p + f.G_PASS] += 1
            moved = True
        mem[p + f.G_PASS] = 0
        mem[p + f.G_WINDOW] += 1
    return moved


@kernel
def _release(mem, p):
    """Windows that all lanes have read, one in a cycle."""
    moved, rel = False, mem[p + f.G_RELEASE]
    while True:
        n, cycle = mem[rel + f.R_COUNT], 0
        for k in range(mem[p + f.G_LANES]):
            one = mem[mem[p + f.G_LANES_AT] + k]
            if mem[one + f.L_DONES] <= n:
                return moved
            cycle = max(cycle, mem[mem[one + f.L_DONES_AT] + (n & mem[one + f.L_DONE_MASK])] + 1)
        if n > 0:
            cycle = max(cycle, mem[mem[rel + f.R_AT] + (n - 1 & mem[rel + f.R_MASK])] + 1)
        mem[mem[rel + f.R_AT] + (n & mem[rel + f.R_MASK])] = cycle
        mem[rel + f.R_COUNT] += 1
        moved = True


@kernel
def _drain(mem, p):
    """Send the sums of the pass that ended; returns whether all are sent."""
    to, depth = mem[p + f.D_TOTALS], mem[p + f.D_DEPTH]
    while mem[p + f.D_LEFT] > 0:
        n, offered, waited = mem[p + f.D_PUTS], 0, 0
        soonest = mem[p + f.D_STEP] + 1
        step = max(soonest, mem[p + f.D_PUT])
        if n >= depth:
            if n - depth >= mem[to + f.Q_POPS]:
                return False
            offered = mem[mem[to + f.Q_POPS_AT] + (n - depth & mem[to + f.Q_POP_MASK])] + 1
            waited = mem[mem[to + f.Q_CAUSE_AT] + (n - depth & mem[to + f.Q_POP_MASK])]
            if mem[p + f.D_DIRECT] and offered - 1 > step:
                step = offered - 1
                mem[p + f.D_FOR] = waited
        mem[p + f.D_WAITED] += step - soonest       # for the word before, or this one's place
        if offered > step + 1:
            mem[p + f.D_FOR] = waited
        mem[p + f.D_STEP] = step
        mem[p + f.D_PUT] = max(step + 1, offered)
        mem[mem[p + f.D_AT] + (n & mem[p + f.D_MASK])] = mem[p + f.D_PUT]
        mem[p + f.D_PUTS] += 1
        mem[p + f.D_LEFT] -= 1
    mem[p + f.D_DONE] = mem[p + f.D_STEP]
    return True


@kernel
def _end_pass(mem, p, arrival, words, counts):
    """Hold the sums of a pass whose last product arrives; returns for how long that stops the lane."""
    held = max(arrival, mem[p + f.D_DONE])
    if counts and held > arrival:
        for_others = min(held - arrival, mem[p + f.D_WAITED])
        mem[p + (f.BLOCKED if mem[p + f.D_FOR] else f.UNEVEN)] += for_others
        mem[p + f.DRAIN] += held - arrival - for_others
    mem[p + f.D_WAITED] = 0
    mem[p + f.D_STEP] = held
    mem[p + f.D_LEFT] = words
    return held - arrival


@kernel
def _read(mem, p, ready, count, late, counts):
    """Queue a list of ``count`` non-zeros and read it; returns the cycle in which it was queued."""
    n, lists, freezes = mem[p + f.L_LISTS], mem[p + f.L_LISTS_AT], mem[p + f.L_FREEZES_AT]
    ready = max(ready, mem[p + f.L_PUSHED])
    if n >= LISTS:
        ready = max(ready, mem[lists + 2 * (n - LISTS & 7)] + 2)
    if n > LISTS:
        ready = max(ready, mem[lists + 2 * (n - LISTS - 1 & 7) + 1] + 1)
    available, applied, each = ready + 2, mem[p + f.L_APPLIED], mem[p + f.L_EACH]
    start = mem[p + f.L_TICK] + 1
    while mem[p + f.L_FREEZE] < mem[p + f.L_FREEZES]:
        freeze = freezes + 2 * (mem[p + f.L_FREEZE] & 15)
        if mem[freeze] > max(start, available - applied):
            break
        start = max(start, mem[freeze])
        applied += mem[freeze + 1]
        mem[p + f.L_FREEZE] += 1
    start = max(start, available - applied)
    # A product is read as the one before gets its turn, or when that has ended.
    free = mem[p + f.L_TICK] + each
    if start > mem[p + f.L_TICK] + 1:
        start = max(start, free + 1)
    first = max(start, free)
    last = first + (count - 1) * each
    read = start if count == 1 else last - each + 1
    for tick in (read, last):
        while mem[p + f.L_FREEZE] < mem[p + f.L_FREEZES]:
            freeze = freezes + 2 * (mem[p + f.L_FREEZE] & 15)
            if mem[freeze] > tick:
                break
            applied += mem[freeze + 1]
            mem[p + f.L_FREEZE] += 1
        if tick == read:
            mem[p + f.L_READ] = read + applied
    if counts:
        starved = min(first - free, late)
        mem[p + f.BUSY] += count * each
        mem[p + f.STARVED] += starved
        mem[p + f.LOOKUP] += first - free - starved
    mem[p + f.L_TICK], mem[p + f.L_APPLIED], mem[p + f.L_PUSHED] = last, applied, ready
    mem[lists + 2 * (n & 7)] = ready
    mem[lists + 2 * (n & 7) + 1] = mem[p + f.L_READ]
    mem[p + f.L_LISTS] += 1
    return ready


@kernel
def lane(mem, bits, data, p):
    """Look up the lists of each pass, read them a product in ``L_EACH`` cycles, and drain the sums.

    ``L_TICK`` counts cycles in which the lane was not stopped: the product whose turn came in tick ``t`` had it in cycle
    ``t + L_APPLIED``; it was read in that cycle, or while it was the turn of the one before, the last one in cycle ``L_READ``.
    A pass whose sums cannot be held yet stops everything behind it.
    """
    moved, steps = False, mem[p + f.L_STEPPER]
    groups_passes, passes = mem[p + f.L_GROUP_PASSES], mem[p + f.L_PASSES]
    freezes = mem[p + f.L_FREEZES_AT]
    out_width, out_height = mem[p + f.L_OUT_WIDTH], mem[p + f.L_OUT_HEIGHT]
    while True:
        left = mem[p + f.D_LEFT]
        drained = _drain(mem, p)
        moved = moved or mem[p + f.D_LEFT] < left
        k = mem[p + f.L_PASS]
        if not drained or k == mem[p + f.L_ALL] or k >= mem[steps + f.G_PUTS]:
            return moved
        window, turn = divmod(k, passes)
        frame, place = divmod(window, out_width * out_height)
        counts = window >= mem[p + f.SINCE]
        rows, columns = mem[p + f.L_ROWS_AT] + 2 * (place // out_width), mem[p + f.L_COLUMNS_AT] + 2 * (place % out_width)
        y, x = mem[rows], mem[columns]
        height, width = mem[rows + 1], mem[columns + 1]
        empty = height == 0 or width == 0
        if empty:
            height = width = 1
        base = (mem[p + f.L_COUNTS_AT] + turn // groups_passes * mem[p + f.L_GROUP_SIZE]
                + mem[mem[p + f.L_ORDER_AT] + frame] * mem[p + f.L_FRAME_SIZE])
        put_at = mem[mem[steps + f.G_AT] + (k & mem[steps + f.G_MASK])]
        late = mem[mem[steps + f.G_LATE_AT] + (k & mem[steps + f.G_MASK])]
        step, found = 0, max(put_at + 2, mem[p + f.L_TAKEN])
        held, taps = 0, height * width
        for tap in range(taps):
            step = found
            found += 1
            length = 0
            if not empty:
                i, j = divmod(tap, width)
                length = data[base + (y + i * mem[p + f.L_DOWN]) * mem[p + f.L_WIDTH] + x + j * mem[p + f.L_ACROSS]]
            if length == 0:
                if tap < taps - 1 or held > 0:
                    continue
                length = 1              # a pass without any non-zero is a product of value 0
            if held > 0:                # the list before is not the last one
                found = _read(mem, p, found, held, late, counts)
                late = 0
            else:
                found = max(found, mem[p + f.L_PUSHED])
            held = length
        _read(mem, p, found + 1, held, late, counts)
        mem[p + f.L_TAKEN] = found
        mem[mem[p + f.L_POPS_AT] + (k & mem[p + f.L_POP_MASK])] = step      # it stays in the queue until its last tap
        if turn == passes - 1:
            mem[mem[p + f.L_DONES_AT] + (window & mem[p + f.L_DONE_MASK])] = mem[p + f.L_READ]
            mem[p + f.L_DONES] += 1
        words = mem[p + f.D_LAST_WORDS] if turn == passes - 1 else mem[p + f.D_WORDS]
        arrival = mem[p + f.L_TICK] + mem[p + f.L_LATENCY]
        stop = _end_pass(mem, p, arrival + mem[p + f.L_SHIFT], words, counts)
        if stop > 0:
            freeze = freezes + 2 * (mem[p + f.L_FREEZES] & 15)
            mem[freeze], mem[freeze + 1] = arrival, stop
            mem[p + f.L_FREEZES] += 1
            mem[p + f.L_SHIFT] += stop
        mem[p + f.L_PASS] += 1
        moved = True


@kernel
def whole(mem, bits, data, p):
    """A reduction whose only window is the map: its beats are its products."""
    moved, link = False, mem[p + f.M_IN]
    while True:
        left = mem[p + f.D_LEFT]
        drained = _drain(mem, p)
        moved = moved or mem[p + f.D_LEFT] < left
        frame = mem[p + f.M_FRAME]
        if not drained or frame == mem[p + f.M_FRAMES]:
            return moved
        counts = frame >= mem[p + f.SINCE]
        beats = data[mem[p + f.M_BEATS_AT] + mem[mem[p + f.M_ORDER_AT] + frame]]
        while mem[p + f.M_BEAT] < beats:
            source = head(mem, link)
            if source == f.UNKNOWN:
                return moved
            cycle = max(source, mem[p + f.M_TIME])
            if counts:
                mem[p + f.BUSY] += 1
                mem[p + f.STARVED] += max(0, source - mem[p + f.M_TIME])
            take(mem, link, cycle)
            mem[p + f.M_TIME] = cycle + 1
            if frame == 0:      # the banks are cleared before a second beat is taken
                mem[p + f.M_TIME] = max(cycle + 1, mem[p + f.D_DONE])
            mem[p + f.M_BEAT] += 1
            moved = True
        mem[p + f.M_TIME] += _end_pass(mem, p, mem[p + f.M_TIME], mem[p + f.D_WORDS], counts)
        mem[p + f.M_BEAT] = 0
        mem[p + f.M_FRAME] += 1
        moved = True


@kernel
def totals(mem, bits, data, p):
    """Add what the lanes sent, scale it, and put the non-zeros into the output's queues."""
    moved = False
    latency, ways, capacity = mem[p + f.Q_LATENCY], mem[p + f.Q_WAYS], mem[p + f.Q_CAPACITY]
    pixels = mem[p + f.Q_PIXELS]
    while mem[p + f.Q_PIXEL] < mem[p + f.Q_ALL]:
        frame, pixel = divmod(mem[p + f.Q_PIXEL], pixels)
        sent = mem[p + f.Q_SENT] + (mem[mem[p + f.Q_ORDER_AT] + frame] * pixels + pixel) * mem[p + f.Q_CHANNELS]
        while mem[p + f.Q_WORD] < mem[p + f.Q_WORDS]:
            n, word = mem[p + f.Q_POPS], mem[p + f.Q_WORD]
            ready = 0
            for k in range(mem[p + f.Q_LANES]):
                one = mem[mem[p + f.Q_LANES_AT] + k]
                if mem[one + f.D_PUTS] <= n:
                    return moved
                ready = max(ready, mem[mem[one + f.D_AT] + (n & mem[one + f.D_MASK])])
            ready += mem[p + f.Q_READ]
            space = 0
            for w in range(mem[p + f.Q_OUTS]):
                one = room(mem, mem[mem[p + f.Q_OUTS_AT] + w])
                if one == f.UNKNOWN:
                    return moved
                space = max(space, one)
            cycle = ready
            if n > 0:
                cycle = max(cycle, mem[mem[p + f.Q_POPS_AT] + (n - 1 & mem[p + f.Q_POP_MASK])] + mem[p + f.Q_CYCLES])
                space = max(space, mem[mem[p + f.Q_LEFT_AT] + (n - 1 & mem[p + f.Q_LEFT_MASK])] + 1)
            if latency == 0:
                cycle = max(cycle, space)
            elif n >= capacity:
                cycle = max(cycle, mem[mem[p + f.Q_LEFT_AT] + (n - capacity & mem[p + f.Q_LEFT_MASK])])
            left = max(cycle + latency, space)
            mem[mem[p + f.Q_POPS_AT] + (n & mem[p + f.Q_POP_MASK])] = cycle
            mem[mem[p + f.Q_CAUSE_AT] + (n & mem[p + f.Q_POP_MASK])] = cycle > ready
            mem[mem[p + f.Q_LEFT_AT] + (n & mem[p + f.Q_LEFT_MASK])] = left
            for w in range(mem[p + f.Q_OUTS]):
                channel = word * ways + mem[p + f.Q_FIRST] + w
                if channel < mem[p + f.Q_CHANNELS] and (
                        channel + ways >= mem[p + f.Q_CHANNELS] or bits[sent + channel]):
                    put(mem, mem[mem[p + f.Q_OUTS_AT] + w], left)
            mem[p + f.Q_POPS] += 1
            mem[p + f.Q_WORD] += 1
            moved = True
        mem[p + f.Q_WORD] = 0
        mem[p + f.Q_PIXEL] += 1
    return moved
