# The block design becomes a bitstream; files for the driver go to the folder above.

launch_runs impl_1 -to_step write_bitstream -jobs $jobs
wait_on_run impl_1
set run [get_runs impl_1]
if {[get_property PROGRESS $run] ne "100%"} {
    error "implementation failed: [get_property STATUS $run]"
}

open_run impl_1
report_timing_summary -file $here/timing.rpt
report_utilization -hierarchical -file $here/utilization.rpt
foreach {path what} {STATS.WNS setup STATS.WHS hold} {
    set slack [get_property $path $run]
    if {$slack < 0} {
        error "timing missed by [expr {-$slack}] ns ($what) at $clock_mhz MHz: see timing.rpt, and build with a lower --clock"
    }
}

set out [file dirname $here]
set bitstream $work/skipstone/skipstone.runs/impl_1/system_wrapper.bit
set handoff [glob $work/skipstone/skipstone.{gen,srcs}/sources_1/bd/system/hw_handoff/system.hwh]
write_hw_platform -fixed -include_bit -force -file $out/skipstone.xsa
file copy -force $bitstream $out/skipstone.bit
file copy -force [lindex $handoff 0] $out/skipstone.hwh
puts "wrote skipstone.bit, skipstone.hwh and skipstone.xsa to $out"
