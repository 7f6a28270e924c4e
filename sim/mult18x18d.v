// Behavioural MULT18X18D of Lattice ECP5 for simulation, after the description in FPGA-TN-02205. It has the
// ports and parameters that Yosys knows the primitive by, and is in no list of synthesis files.
//
// Not modelled, refused at time 0: operands from the shift chain (SOURCEA, SOURCEB), the C operand, asynchronous
// resets. SIGNEDA and SIGNEDB have no registers here: they must not change. Registers start at 0, as
// configuration leaves them.

/* verilator lint_off DECLFILENAME */
/* verilator lint_off UNUSEDSIGNAL */
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off UNDRIVEN */
/* verilator lint_off PROCASSINIT */

module MULT18X18D #(
    parameter REG_INPUTA_CLK = "NONE",
    parameter REG_INPUTA_CE = "CE0",
    parameter REG_INPUTA_RST = "RST0",
    parameter REG_INPUTB_CLK = "NONE",
    parameter REG_INPUTB_CE = "CE0",
    parameter REG_INPUTB_RST = "RST0",
    parameter REG_INPUTC_CLK = "NONE",
    parameter REG_INPUTC_CE = "CE0",
    parameter REG_INPUTC_RST = "RST0",
    parameter REG_PIPELINE_CLK = "NONE",
    parameter REG_PIPELINE_CE = "CE0",
    parameter REG_PIPELINE_RST = "RST0",
    parameter REG_OUTPUT_CLK = "NONE",
    parameter REG_OUTPUT_CE = "CE0",
    parameter REG_OUTPUT_RST = "RST0",
    parameter CLK0_DIV = "ENABLED",
    parameter CLK1_DIV = "ENABLED",
    parameter CLK2_DIV = "ENABLED",
    parameter CLK3_DIV = "ENABLED",
    parameter HIGHSPEED_CLK = "NONE",
    parameter GSR = "ENABLED",
    parameter CAS_MATCH_REG = "FALSE",
    parameter SOURCEB_MODE = "B_SHIFT",
    parameter MULT_BYPASS = "DISABLED",
    parameter RESETMODE = "SYNC"
) (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    input CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0, RST3, RST2, RST1, RST0,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    output P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    initial if (RESETMODE != "SYNC" || MULT_BYPASS != "DISABLED" || REG_INPUTC_CLK != "NONE") begin
        $display("Error: MULT18X18D: RESETMODE must be SYNC, MULT_BYPASS DISABLED, REG_INPUTC_CLK NONE");
        $stop;
    end
    always @* if (SOURCEA || SOURCEB) begin
        $display("Error: MULT18X18D: SOURCEA and SOURCEB must be 0");
        $stop;
    end

    wire [17:0] a_pin = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b_pin = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire [17:0] a, b;
    wire signed [18:0] wide_a = {SIGNEDA && a[17], a}, wide_b = {SIGNEDB && b[17], b};
    wire signed [37:0] product = wide_a * wide_b;
    wire [35:0] piped, p;

    wire [3:0] clk = {CLK3, CLK2, CLK1, CLK0}, ce = {CE3, CE2, CE1, CE0}, rst = {RST3, RST2, RST1, RST0};
    mult18x18d_register #(18, REG_INPUTA_CLK, REG_INPUTA_CE, REG_INPUTA_RST) reg_a(clk, ce, rst, a_pin, a);
    mult18x18d_register #(18, REG_INPUTB_CLK, REG_INPUTB_CE, REG_INPUTB_RST) reg_b(clk, ce, rst, b_pin, b);
    mult18x18d_register #(36, REG_PIPELINE_CLK, REG_PIPELINE_CE, REG_PIPELINE_RST)
        pipeline(clk, ce, rst, product[35:0], piped);
    mult18x18d_register #(36, REG_OUTPUT_CLK, REG_OUTPUT_CE, REG_OUTPUT_RST) out(clk, ce, rst, piped, p);

    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
            P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
endmodule

// A register with the clock, enable and reset that parameters name, or none.
module mult18x18d_register #(
    parameter WIDTH = 18,
    parameter CLOCK = "NONE",
    parameter ENABLE = "CE0",
    parameter RESET = "RST0"
) (
    input [3:0] clk,
    input [3:0] ce,
    input [3:0] rst,
    input [WIDTH-1:0] d,
    output [WIDTH-1:0] q
);
    localparam C = CLOCK == "CLK1" ? 1 : CLOCK == "CLK2" ? 2 : CLOCK == "CLK3" ? 3 : 0;
    localparam E = ENABLE == "CE1" ? 1 : ENABLE == "CE2" ? 2 : ENABLE == "CE3" ? 3 : 0;
    localparam R = RESET == "RST1" ? 1 : RESET == "RST2" ? 2 : RESET == "RST3" ? 3 : 0;
    generate
        if (CLOCK == "NONE") assign q = d;
        else begin : registered
            reg [WIDTH-1:0] held = 0;
            wire mine = clk[C];
            always @(posedge mine)
                if (rst[R]) held <= 0; else if (ce[E]) held <= d;
            assign q = held;
        end
    endgenerate
endmodule
