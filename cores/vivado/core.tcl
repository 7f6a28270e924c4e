# The module skipstone alone, without registers or pins, placed and routed for a look at its size and its timing:
#
#   vivado -mode batch -source core.tcl
#
# No project is left; core_timing.rpt, core_utilization.rpt and core.dcp are.

set here [file dirname [file normalize [info script]]]
source $here/design.tcl

create_project -in_memory -part $part
add_files -norecurse [lindex $sources 0]
if {[llength $memories]} {
    add_files -norecurse $memories
    set_property file_type {Memory File} [get_files $memories]
}
set_msg_config -id {Synth 8-4445} -new_severity ERROR
read_xdc $here/core.xdc

synth_design -top skipstone -part $part -mode out_of_context
opt_design
place_design
phys_opt_design
route_design
report_timing_summary -file $here/core_timing.rpt
report_utilization -hierarchical -file $here/core_utilization.rpt
write_checkpoint -force $here/core.dcp
