// Behavioural DSP48E2 for simulation, after the description in UG579. It has the ports and
// parameters of the vendor's primitive, so that the vendor's own model can take its place, and is
// in no list of synthesis files.
//
// Not modelled, refused at time 0: the automatic reset by the pattern detector and the wide XOR.
// Values that UG579 leaves undefined (CARRYOUT of a multiplication or a logic operation) are
// merely some value here. Registers start at 0, as configuration leaves them.

/* verilator lint_off DECLFILENAME */
/* verilator lint_off UNUSEDSIGNAL */
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off WIDTHEXPAND */
/* verilator lint_off PROCASSINIT */

module DSP48E2 #(
    parameter integer ACASCREG = 1,
    parameter integer ADREG = 1,
    parameter integer ALUMODEREG = 1,
    parameter AMULTSEL = "A",
    parameter integer AREG = 1,
    parameter AUTORESET_PATDET = "NO_RESET",
    parameter AUTORESET_PRIORITY = "RESET",
    parameter A_INPUT = "DIRECT",
    parameter integer BCASCREG = 1,
    parameter BMULTSEL = "B",
    parameter integer BREG = 1,
    parameter B_INPUT = "DIRECT",
    parameter integer CARRYINREG = 1,
    parameter integer CARRYINSELREG = 1,
    parameter integer CREG = 1,
    parameter integer DREG = 1,
    parameter integer INMODEREG = 1,
    parameter [3:0] IS_ALUMODE_INVERTED = 4'b0000,
    parameter [0:0] IS_CARRYIN_INVERTED = 1'b0,
    parameter [0:0] IS_CLK_INVERTED = 1'b0,
    parameter [4:0] IS_INMODE_INVERTED = 5'b00000,
    parameter [8:0] IS_OPMODE_INVERTED = 9'b000000000,
    parameter [0:0] IS_RSTALLCARRYIN_INVERTED = 1'b0,
    parameter [0:0] IS_RSTALUMODE_INVERTED = 1'b0,
    parameter [0:0] IS_RSTA_INVERTED = 1'b0,
    parameter [0:0] IS_RSTB_INVERTED = 1'b0,
    parameter [0:0] IS_RSTCTRL_INVERTED = 1'b0,
    parameter [0:0] IS_RSTC_INVERTED = 1'b0,
    parameter [0:0] IS_RSTD_INVERTED = 1'b0,
    parameter [0:0] IS_RSTINMODE_INVERTED = 1'b0,
    parameter [0:0] IS_RSTM_INVERTED = 1'b0,
    parameter [0:0] IS_RSTP_INVERTED = 1'b0,
    parameter [47:0] MASK = 48'h3FFFFFFFFFFF,
    parameter integer MREG = 1,
    parameter integer OPMODEREG = 1,
    parameter [47:0] PATTERN = 48'h000000000000,
    parameter PREADDINSEL = "A",
    parameter integer PREG = 1,
    parameter [47:0] RND = 48'h000000000000,
    parameter SEL_MASK = "MASK",
    parameter SEL_PATTERN = "PATTERN",
    parameter USE_MULT = "MULTIPLY",
    parameter USE_PATTERN_DETECT = "NO_PATDET",
    parameter USE_SIMD = "ONE48",
    parameter USE_WIDEXOR = "FALSE",
    parameter XORSIMD = "XOR24_48_96"
) (
    output [29:0] ACOUT,
    output [17:0] BCOUT,
    output CARRYCASCOUT,
    output [3:0] CARRYOUT,
    output MULTSIGNOUT,
    output OVERFLOW,
    output [47:0] P,
    output PATTERNBDETECT,
    output PATTERNDETECT,
    output [47:0] PCOUT,
    output UNDERFLOW,
    output [7:0] XOROUT,
    input [29:0] A,
    input [29:0] ACIN,
    input [3:0] ALUMODE,
    input [17:0] B,
    input [17:0] BCIN,
    input [47:0] C,
    input CARRYCASCIN,
    input CARRYIN,
    input [2:0] CARRYINSEL,
    input CEA1,
    input CEA2,
    input CEAD,
    input CEALUMODE,
    input CEB1,
    input CEB2,
    input CEC,
    input CECARRYIN,
    input CECTRL,
    input CED,
    input CEINMODE,
    input CEM,
    input CEP,
    input CLK,
    input [26:0] D,
    input [4:0] INMODE,
    input MULTSIGNIN,
    input [8:0] OPMODE,
    input [47:0] PCIN,
    input RSTA,
    input RSTALLCARRYIN,
    input RSTALUMODE,
    input RSTB,
    input RSTC,
    input RSTCTRL,
    input RSTD,
    input RSTINMODE,
    input RSTM,
    input RSTP
);

    // ---- parameters that are not modelled, or not legal

    localparam BAD_REG =
        AREG < 0 || AREG > 2 || BREG < 0 || BREG > 2
        || ADREG < 0 || ADREG > 1 || DREG < 0 || DREG > 1 || CREG < 0 || CREG > 1
        || MREG < 0 || MREG > 1 || PREG < 0 || PREG > 1
        || ALUMODEREG < 0 || ALUMODEREG > 1 || INMODEREG < 0 || INMODEREG > 1
        || OPMODEREG < 0 || OPMODEREG > 1 || CARRYINREG < 0 || CARRYINREG > 1
        || CARRYINSELREG < 0 || CARRYINSELREG > 1;

    task refuse(input [8*72-1:0] why);
        begin
            $display("Error: DSP48E2: %0s", why);
            $stop;
        end
    endtask

    initial begin
        if (AUTORESET_PATDET != "NO_RESET") refuse("AUTORESET_PATDET is not modelled");
        if (USE_WIDEXOR != "FALSE") refuse("USE_WIDEXOR is not modelled");
        if (AUTORESET_PRIORITY != "RESET" && AUTORESET_PRIORITY != "CEP")
            refuse("AUTORESET_PRIORITY must be RESET or CEP");
        if (XORSIMD != "XOR24_48_96" && XORSIMD != "XOR12")
            refuse("XORSIMD must be XOR24_48_96 or XOR12");
        if (BAD_REG) refuse("AREG and BREG must be 0 to 2, every other *REG 0 or 1");
        if (ACASCREG != AREG && !(ACASCREG == 1 && AREG == 2))
            refuse("ACASCREG must equal AREG, or be 1 when AREG is 2");
        if (BCASCREG != BREG && !(BCASCREG == 1 && BREG == 2))
            refuse("BCASCREG must equal BREG, or be 1 when BREG is 2");
        if (AMULTSEL != "A" && AMULTSEL != "AD") refuse("AMULTSEL must be A or AD");
        if (BMULTSEL != "B" && BMULTSEL != "AD") refuse("BMULTSEL must be B or AD");
        if (A_INPUT != "DIRECT" && A_INPUT != "CASCADE")
            refuse("A_INPUT must be DIRECT or CASCADE");
        if (B_INPUT != "DIRECT" && B_INPUT != "CASCADE")
            refuse("B_INPUT must be DIRECT or CASCADE");
        if (PREADDINSEL != "A" && PREADDINSEL != "B") refuse("PREADDINSEL must be A or B");
        if (SEL_MASK != "MASK" && SEL_MASK != "C" && SEL_MASK != "ROUNDING_MODE1"
                && SEL_MASK != "ROUNDING_MODE2")
            refuse("SEL_MASK must be MASK, C, ROUNDING_MODE1 or ROUNDING_MODE2");
        if (SEL_PATTERN != "PATTERN" && SEL_PATTERN != "C")
            refuse("SEL_PATTERN must be PATTERN or C");
        if (USE_MULT != "MULTIPLY" && USE_MULT != "DYNAMIC" && USE_MULT != "NONE")
            refuse("USE_MULT must be MULTIPLY, DYNAMIC or NONE");
        if (USE_PATTERN_DETECT != "NO_PATDET" && USE_PATTERN_DETECT != "PATDET")
            refuse("USE_PATTERN_DETECT must be NO_PATDET or PATDET");
        if (USE_SIMD != "ONE48" && USE_SIMD != "TWO24" && USE_SIMD != "FOUR12")
            refuse("USE_SIMD must be ONE48, TWO24 or FOUR12");
        if (USE_SIMD != "ONE48" && USE_MULT != "NONE")
            refuse("USE_SIMD must be ONE48 unless USE_MULT is NONE");
    end

    // ---- pins with a programmable inversion

    wire clk = CLK ^ IS_CLK_INVERTED;
    wire rst_a = RSTA ^ IS_RSTA_INVERTED, rst_b = RSTB ^ IS_RSTB_INVERTED;
    wire rst_c = RSTC ^ IS_RSTC_INVERTED, rst_d = RSTD ^ IS_RSTD_INVERTED;
    wire rst_m = RSTM ^ IS_RSTM_INVERTED, rst_p = RSTP ^ IS_RSTP_INVERTED;
    wire rst_ctrl = RSTCTRL ^ IS_RSTCTRL_INVERTED;
    wire rst_carry = RSTALLCARRYIN ^ IS_RSTALLCARRYIN_INVERTED;
    wire rst_alumode = RSTALUMODE ^ IS_RSTALUMODE_INVERTED;
    wire rst_inmode = RSTINMODE ^ IS_RSTINMODE_INVERTED;
    wire carry_pin = CARRYIN ^ IS_CARRYIN_INVERTED;
    wire [3:0] alumode_pin = ALUMODE ^ IS_ALUMODE_INVERTED;
    wire [4:0] inmode_pin = INMODE ^ IS_INMODE_INVERTED;
    wire [8:0] opmode_pin = OPMODE ^ IS_OPMODE_INVERTED;

    // ---- control registers

    reg [3:0] alumode_q = 0;
    reg [4:0] inmode_q = 0;
    reg [8:0] opmode_q = 0;
    reg [2:0] carrysel_q = 0;
    reg carry_q = 0;
    always @(posedge clk) begin
        if (rst_alumode) alumode_q <= 0; else if (CEALUMODE) alumode_q <= alumode_pin;
        if (rst_inmode) inmode_q <= 0; else if (CEINMODE) inmode_q <= inmode_pin;
        if (rst_ctrl) opmode_q <= 0; else if (CECTRL) opmode_q <= opmode_pin;
        if (rst_ctrl) carrysel_q <= 0; else if (CECTRL) carrysel_q <= CARRYINSEL;
        if (rst_carry) carry_q <= 0; else if (CECARRYIN) carry_q <= carry_pin;
    end
    wire [3:0] alumode = ALUMODEREG != 0 ? alumode_q : alumode_pin;
    wire [4:0] inmode = INMODEREG != 0 ? inmode_q : inmode_pin;
    wire [8:0] opmode = OPMODEREG != 0 ? opmode_q : opmode_pin;
    wire [2:0] carrysel = CARRYINSELREG != 0 ? carrysel_q : CARRYINSEL;
    wire carry_fabric = CARRYINREG != 0 ? carry_q : carry_pin;

    // ---- operand registers

    wire [29:0] a_in = A_INPUT == "CASCADE" ? ACIN : A;
    wire [17:0] b_in = B_INPUT == "CASCADE" ? BCIN : B;
    reg [29:0] a1_q = 0, a2_q = 0;
    reg [17:0] b1_q = 0, b2_q = 0;
    reg [47:0] c_q = 0;
    reg [26:0] d_q = 0;
    always @(posedge clk) begin
        if (rst_a) a1_q <= 0; else if (CEA1) a1_q <= a_in;
        if (rst_a) a2_q <= 0; else if (CEA2) a2_q <= AREG == 2 ? a1_q : a_in;
        if (rst_b) b1_q <= 0; else if (CEB1) b1_q <= b_in;
        if (rst_b) b2_q <= 0; else if (CEB2) b2_q <= BREG == 2 ? b1_q : b_in;
        if (rst_c) c_q <= 0; else if (CEC) c_q <= C;
        if (rst_d) d_q <= 0; else if (CED) d_q <= D;
    end
    wire [29:0] a1 = AREG != 0 ? a1_q : a_in, a2 = AREG != 0 ? a2_q : a_in;
    wire [17:0] b1 = BREG != 0 ? b1_q : b_in, b2 = BREG != 0 ? b2_q : b_in;
    wire [47:0] c = CREG != 0 ? c_q : C;
    wire [26:0] d = DREG != 0 ? d_q : D;
    assign ACOUT = ACASCREG == 1 && AREG == 2 ? a1 : a2;
    assign BCOUT = BCASCREG == 1 && BREG == 2 ? b1 : b2;

    // ---- pre-adder

    wire [26:0] a_sel = inmode[1] && PREADDINSEL == "A" ? 27'd0 : inmode[0] ? a1[26:0] : a2[26:0];
    wire [17:0] b_sel = inmode[1] && PREADDINSEL == "B" ? 18'd0 : inmode[4] ? b1 : b2;
    wire [26:0] pre = PREADDINSEL == "A" ? a_sel : {{9{b_sel[17]}}, b_sel};
    wire [26:0] d_sel = inmode[2] ? d : 27'd0;
    wire [26:0] ad_in = inmode[3] ? d_sel - pre : d_sel + pre;
    reg [26:0] ad_q = 0;
    always @(posedge clk) if (rst_d) ad_q <= 0; else if (CEAD) ad_q <= ad_in;
    wire [26:0] ad = ADREG != 0 ? ad_q : ad_in;

    // ---- multiplier

    wire signed [26:0] a_mult = AMULTSEL == "AD" ? ad : a_sel;
    wire signed [17:0] b_mult = BMULTSEL == "AD" ? ad[17:0] : b_sel;
    wire signed [44:0] product = a_mult * b_mult;
    wire [44:0] m_in = USE_MULT == "NONE" ? 45'd0 : product;
    wire round_in = ~(a_mult[26] ^ b_mult[17]);
    reg [44:0] m_q = 0;
    reg round_q = 0;
    always @(posedge clk) begin
        if (rst_m) m_q <= 0; else if (CEM) m_q <= m_in;
        if (rst_carry) round_q <= 0; else if (CEM) round_q <= round_in;
    end
    wire [44:0] m = MREG != 0 ? m_q : m_in;
    wire round = MREG != 0 ? round_q : round_in;

    // ---- operand multiplexers; without PREG, P must not be fed back

    reg [47:0] p_q = 0;
    reg cascade_q = 0;
    wire [47:0] feedback = PREG != 0 ? p_q : 48'd0;
    reg [47:0] w, x, y, z;
    reg carry;
    always @* begin
        case (opmode[8:7])
            2'b00: w = 48'd0;
            2'b01: w = feedback;
            2'b10: w = RND;
            default: w = c;
        endcase
        // The two partial products of the multiplier are taken as M and 0.
        case (opmode[1:0])
            2'b00: x = 48'd0;
            2'b01: x = {{3{m[44]}}, m};
            2'b10: x = feedback;
            default: x = {a2, b2};
        endcase
        case (opmode[3:2])
            2'b00: y = 48'd0;
            2'b01: y = 48'd0;
            2'b10: y = opmode[6:4] == 3'b100 ? {48{MULTSIGNIN}} : {48{1'b1}};
            default: y = c;
        endcase
        case (opmode[6:4])
            3'b000: z = 48'd0;
            3'b001: z = PCIN;
            3'b010: z = feedback;
            3'b011: z = c;
            3'b100: z = feedback;
            3'b101: z = {{17{PCIN[47]}}, PCIN[47:17]};
            3'b110: z = {{17{feedback[47]}}, feedback[47:17]};
            default: z = 48'd0;
        endcase
        case (carrysel)
            3'b000: carry = carry_fabric;
            3'b001: carry = ~PCIN[47];
            3'b010: carry = CARRYCASCIN;
            3'b011: carry = PCIN[47];
            3'b100: carry = cascade_q;
            3'b101: carry = ~feedback[47];
            3'b110: carry = round;
            default: carry = feedback[47];
        endcase
    end

    // ---- adder and logic unit: the carries of Z + W + X + Y are dropped for a logic operation,
    // and are its result when ALUMODE[3] is set too

    localparam LANES = USE_SIMD == "FOUR12" ? 4 : USE_SIMD == "TWO24" ? 2 : 1;
    localparam BITS = 48 / LANES;

    wire [47:0] zi = alumode[0] ? ~z : z;
    wire [47:0] sum;
    wire [LANES-1:0] sum_carries;
    genvar lane;
    generate
        for (lane = 0; lane < LANES; lane = lane + 1) begin : lanes
            wire over;
            assign {over, sum_carries[lane], sum[lane * BITS +: BITS]} =
                {2'b00, zi[lane * BITS +: BITS]} + {2'b00, w[lane * BITS +: BITS]}
                + {2'b00, x[lane * BITS +: BITS]} + {2'b00, y[lane * BITS +: BITS]}
                + {{(BITS + 1){1'b0}}, lane == 0 && carry};
        end
    endgenerate
    wire [47:0] logic_out = alumode[3] ? (x & y) | (x & zi) | (y & zi) : x ^ y ^ zi;
    wire [47:0] unit = alumode[2] ? logic_out : sum;
    wire [47:0] p_in = alumode[1] ? ~unit : unit;
    wire [LANES-1:0] carries = alumode[2] ? {LANES{1'b0}} : sum_carries;
    // A subtraction is ~(~Z + X + Y): its carry out is inverted for the fabric, not for a cascade.
    wire [LANES-1:0] carries_out = carries ^ {LANES{alumode[1] && alumode[0]}};
    wire [3:0] carryout_in = LANES == 4 ? carries_out
                           : LANES == 2 ? {carries_out[LANES-1], 1'b0, carries_out[0], 1'b0}
                           : {carries_out[0], 3'b000};

    // ---- pattern detector

    wire [47:0] mask = SEL_MASK == "C" ? c
                     : SEL_MASK == "ROUNDING_MODE1" ? {~c[46:0], 1'b0}
                     : SEL_MASK == "ROUNDING_MODE2" ? {~c[45:0], 2'b00}
                     : MASK;
    wire [47:0] pattern = SEL_PATTERN == "C" ? c : PATTERN;
    wire used = USE_PATTERN_DETECT == "PATDET";
    wire match_in = used && &(~(p_in ^ pattern) | mask);
    wire matchb_in = used && &((p_in ^ pattern) | mask);

    // ---- output registers

    reg [3:0] carryout_q = 0;
    reg sign_q = 0, match_q = 0, matchb_q = 0, match_past = 0, matchb_past = 0;
    always @(posedge clk)
        if (rst_p) begin
            p_q <= 0;
            {carryout_q, cascade_q, sign_q} <= 0;
            {match_q, matchb_q, match_past, matchb_past} <= 0;
        end else if (CEP) begin
            p_q <= p_in;
            {carryout_q, cascade_q, sign_q} <= {carryout_in, carries[LANES-1], m[44]};
            {match_q, matchb_q} <= {match_in, matchb_in};
            {match_past, matchb_past} <= {match_q, matchb_q};
        end
    assign P = PREG != 0 ? p_q : p_in;
    assign PCOUT = P;
    assign CARRYOUT = PREG != 0 ? carryout_q : carryout_in;
    assign CARRYCASCOUT = PREG != 0 ? cascade_q : carries[LANES-1];
    assign MULTSIGNOUT = PREG != 0 ? sign_q : m[44];
    assign PATTERNDETECT = PREG != 0 ? match_q : match_in;
    assign PATTERNBDETECT = PREG != 0 ? matchb_q : matchb_in;
    // UG579: the pattern was there a cycle ago and neither it nor its complement is there now.
    assign OVERFLOW = PREG != 0 && match_past && !match_q && !matchb_q;
    assign UNDERFLOW = PREG != 0 && matchb_past && !match_q && !matchb_q;
    assign XOROUT = 8'd0;
endmodule
