// Streams recorded transfers through a design in Verilator, under random stalls on every port.
//
// ports.h, made for the design, defines Design, INPUTS, OUTPUTS and the functions used here.
// A transfer is two 64-bit words: the payload, and its flags (TLAST in bit 0, TUSER in bit 1; on an
// output the cycle it was taken in from bit 8 up). Where COUNTED is not 0, an output's transfers count
// that have one of its bits in the payload; the others come before them in any number.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "ports.h"
#include "verilated.h"
#ifdef TRACE
#include "verilated_vcd_c.h"
#endif

struct Transfer { uint64_t data, flags; };

static std::vector<Transfer> read_file(const std::string& name) {
    std::vector<Transfer> rows;
    FILE* file = fopen(name.c_str(), "rb");
    if (!file) { fprintf(stderr, "cannot read %s\n", name.c_str()); exit(2); }
    Transfer row;
    while (fread(&row, sizeof row, 1, file) == 1) rows.push_back(row);
    fclose(file);
    return rows;
}

struct Random {     // xorshift64*: the same stalls for the same seed on any machine
    uint64_t state;
    bool stall(double p) {
        state ^= state >> 12; state ^= state << 25; state ^= state >> 27;
        return double((state * 2685821657736338717ull) >> 11) / double(1ull << 53) < p;
    }
};

// Arguments: folder, seed, stall probability, quiet cycles that mean a deadlock, wave file, and
// the number of transfers that each output must make.
int main(int argc, char** argv) {
    const std::string folder = argv[1];
    const uint64_t seed = strtoull(argv[2], nullptr, 10);
    const double stalls = atof(argv[3]);
    const uint64_t patience = strtoull(argv[4], nullptr, 10);
    VerilatedContext context;
    context.randReset(2);
    context.randSeed(int(seed % 1000000) + 1);
    Design design{&context};
#ifdef TRACE
    context.traceEverOn(true);
    VerilatedVcdC trace;
    design.trace(&trace, 99);
    trace.open(argv[5]);
#endif
    Random random{seed * 0x9E3779B97F4A7C15ull + 0x1234567};
    std::vector<Transfer> in[INPUTS], out[OUTPUTS];
    size_t sent[INPUTS] = {}, missing[OUTPUTS], left = 0;
    bool offering[INPUTS] = {}, waiting[OUTPUTS] = {};
    Transfer held[OUTPUTS];
    for (int n = 0; n < INPUTS; n++) in[n] = read_file(folder + "/in_" + std::to_string(n) + ".bin");
    for (int n = 0; n < OUTPUTS; n++) left += missing[n] = strtoull(argv[6 + n], nullptr, 10);

    uint64_t cycle = 0, quiet = 0, after = 0;
    design.rst = 1;
    for (int n = 0; n < 8; n++) {       // inputs are arbitrary in reset
        design.clk = 0; design.eval();
        design.clk = 1; design.eval();
    }
    design.rst = 0;
    while (left || after < 100) {       // in the last cycles nothing more may come out
        for (int n = 0; n < INPUTS; n++) {
            if (!offering[n] && sent[n] < in[n].size() && !random.stall(stalls)) offering[n] = true;
            set_input(design, n, offering[n], in[n].empty() ? 0 : in[n][sent[n] < in[n].size() ? sent[n] : 0].data,
                      in[n].empty() ? 0 : in[n][sent[n] < in[n].size() ? sent[n] : 0].flags);
        }
        bool ready[OUTPUTS];
        for (int n = 0; n < OUTPUTS; n++)
            set_ready(design, n, ready[n] = !missing[n] || !random.stall(stalls));
        design.clk = 0;
        design.eval();
#ifdef TRACE
        trace.dump(cycle * 2);
#endif
        bool moved = false;
        for (int n = 0; n < INPUTS; n++)
            if (offering[n] && input_ready(design, n)) { sent[n]++; offering[n] = false; moved = true; }
        for (int n = 0; n < OUTPUTS; n++) {
            const bool valid = output_valid(design, n);
            const Transfer now{output_data(design, n), output_flags(design, n)};
            if (waiting[n] && (!valid || now.data != held[n].data || now.flags != held[n].flags)) {
                fprintf(stderr, "output %d changed before it was taken, in cycle %llu\n", n, (unsigned long long)cycle);
                return 1;
            }
            held[n] = now;
            waiting[n] = valid && !ready[n];
            if (!valid || !ready[n]) continue;
            moved = true;
            if (!missing[n]) {
                fprintf(stderr, "output %d sent more than %s transfers, in cycle %llu\n", n, argv[6 + n], (unsigned long long)cycle);
                return 1;
            }
            out[n].push_back({now.data, now.flags | cycle << 8});
            if (!COUNTED[n] || now.data & COUNTED[n]) { missing[n]--; left--; }
        }
        quiet = moved ? 0 : quiet + 1;
        if (left && quiet > patience) {
            fprintf(stderr, "deadlock: nothing moved for %llu cycles, up to cycle %llu; %zu transfers are missing\n",
                    (unsigned long long)patience, (unsigned long long)cycle, left);
            break;
        }
        after = left ? 0 : after + 1;
        design.clk = 1;
        design.eval();
#ifdef TRACE
        trace.dump(cycle * 2 + 1);
#endif
        cycle++;
    }
    design.final();
#ifdef TRACE
    trace.close();
#endif
    for (int n = 0; n < OUTPUTS; n++) {
        FILE* file = fopen((folder + "/out_" + std::to_string(n) + ".bin").c_str(), "wb");
        fwrite(out[n].data(), sizeof(Transfer), out[n].size(), file);
        fclose(file);
    }
    printf("%llu\n", (unsigned long long)cycle);
    return left ? 3 : 0;
}
