"""Where the parts of the model keep their numbers: everything lives in one array of integers.

A link or a process is a block of that array, and these are the places in its block. ``_AT`` marks the place of
another block: of a list, or of a ring of cycles whose size less one is the ``_MASK`` before it.
"""
UNKNOWN = -1            # a cycle that depends on what was not worked out yet

# A queue between two processes.
PUTS, GETS, DEPTH, LATENCY, MASK, PUT_AT, GET_AT = range(7)

# Every process: what it is, whom its progress may wake, and cycles that it worked and waited (see ``WAITS``).
KIND, WAKES_AT, WAKES, SINCE, BUSY, STARVED, BLOCKED, UNEVEN, DRAIN, LOOKUP = range(10)
HEAD = 10
WAITS = {"busy": BUSY, "starved": STARVED, "blocked": BLOCKED, "imbalance": UNEVEN, "drain": DRAIN, "lookup": LOOKUP}

(FEED, SINK, COPY, TABLE, ADD, CONCAT, SLICE, PAD, UPSAMPLE, STORE, STEPPER, LANE, WHOLE, TOTALS, AXI_IN,
 AXI_OUT) = range(16)

# Processes that go over the pixels of a map way by way start alike.
IN, OUT, PIXELS, ALL_PIXELS, ORDER_AT, CHANNELS, WAYS, WAY, PIXEL, NUMBER, TIME = range(HEAD, HEAD + 11)
OWN = HEAD + 11

F_LINK, F_TOTAL = range(HEAD, HEAD + 2)
K_LINK, K_ENDS_AT, K_FRAMES, K_FRAME, K_LIMITS_AT = range(HEAD, HEAD + 5)
C_IN, C_OUTS, C_OUTS_AT = range(HEAD, HEAD + 3)
T_READ, T_SENT, T_INSERTS, T_LEFT = range(OWN, OWN + 4)
A_OTHER, A_FIRST, A_SECOND, A_SENT, A_RING_AT, A_COUNT = range(OWN, OWN + 6)
O_OPERANDS, O_LIST_AT, O_OPERAND, O_LEFT = range(OWN, OWN + 4)
S_READ, S_WIDTH, S_BOX_AT, S_CLOSED = range(OWN, OWN + 4)
P_READ, P_WIDTH, P_EACH, P_BOX_AT, P_BEGUN, P_TAKEN = range(OWN, OWN + 6)
(U_OUT, U_BEATS_AT, U_WIDTH, U_HEIGHT, U_DOWN, U_ACROSS, U_STORE, U_RELEASE, U_AT, U_ALL, U_DONE, U_SENT) = range(
    HEAD, HEAD + 12)

# A way's beats into the ring, read by several steppers; a release block is what frees its slots.
(W_IN, W_PIXELS, W_ALL, W_ORDER_AT, W_BEATS_AT, W_PIXEL, W_BEAT, W_TIME, W_MASK, W_ARRIVED_AT, W_RELEASES,
 W_RELEASES_AT) = range(HEAD, HEAD + 12)
R_SLOTS, R_WINDOWS, R_KEEPS_AT, R_FRAME, R_COUNT, R_MASK, R_AT, R_FREED = range(8)

(G_STORE, G_RELEASE, G_WINDOWS, G_ALL, G_NEEDS_AT, G_FRAME, G_PASSES, G_LANES, G_LANES_AT, G_WINDOW, G_PASS, G_TIME,
 G_MASK, G_AT, G_LATE_AT, G_PUTS, G_DEPTH) = range(HEAD, HEAD + 17)

# The drain comes first: a reduction of a whole map has it too.
(D_TOTALS, D_WORDS, D_LAST_WORDS, D_DEPTH, D_MASK, D_AT, D_PUTS, D_LEFT, D_STEP, D_PUT, D_DONE, D_DIRECT, D_WAITED,
 D_FOR) = range(HEAD, HEAD + 14)
LANE_OWN = HEAD + 14
(L_STEPPER, L_COUNTS_AT, L_GROUP_SIZE, L_FRAME_SIZE, L_ORDER_AT, L_WIDTH, L_ROWS_AT, L_COLUMNS_AT, L_OUT_WIDTH,
 L_OUT_HEIGHT, L_DOWN, L_ACROSS, L_PASSES, L_GROUP_PASSES, L_PASS, L_ALL, L_POPS_AT, L_POP_MASK, L_TAKEN,
 L_PUSHED, L_LISTS_AT, L_LISTS, L_TICK, L_SHIFT, L_APPLIED, L_FREEZES_AT, L_FREEZE, L_FREEZES, L_LATENCY, L_DONES_AT,
 L_DONE_MASK, L_DONES, L_EACH, L_READ) = range(LANE_OWN, LANE_OWN + 34)
M_IN, M_BEATS_AT, M_ORDER_AT, M_FRAMES, M_FRAME, M_BEAT, M_TIME = range(LANE_OWN, LANE_OWN + 7)

(Q_LANES, Q_LANES_AT, Q_POPS, Q_POP_MASK, Q_POPS_AT, Q_CYCLES, Q_LATENCY, Q_READ, Q_WORDS, Q_OUTS, Q_OUTS_AT, Q_SENT,
 Q_CHANNELS, Q_WAYS, Q_FIRST, Q_PIXELS, Q_ALL, Q_ORDER_AT, Q_PIXEL, Q_WORD, Q_CAPACITY, Q_LEFT_AT, Q_LEFT_MASK,
 Q_CAUSE_AT) = range(HEAD, HEAD + 24)

PROCESS_SIZE = LANE_OWN + 34    # the largest
I_OUTS, I_OUTS_AT, I_SENT, I_BEATS, I_LOADED, I_SAMPLES = range(OWN, OWN + 6)
X_READ, X_INS_AT, X_ENDS_AT = range(OWN, OWN + 3)
