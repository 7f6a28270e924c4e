# From the Verilog of this folder to a bitstream:
#
#   vivado -mode batch -source build.tcl [-tclargs JOBS]
#
# Packages skipstone_axi as an IP in ip/. On a board with processors it then makes a block design, implements it, and leaves
# skipstone.bit, skipstone.hwh and skipstone.xsa in the folder above, where the driver looks for them. Any error ends it.

set here [file dirname [file normalize [info script]]]
set work $here/work
set jobs [expr {$argc > 0 ? [lindex $argv 0] : 4}]

source $here/design.tcl
source $here/package_ip.tcl
if {$processor ne ""} {
    source $here/block_design.tcl
    source $here/implement.tcl
} else {
    puts "$board has no processors: skipstone_axi is in $here/ip, for a block design of your own"
}
