# Processors, a DMA engine for the input and the first output and one for each further output, and the design. All of it has one
# clock. The driver knows the cells skipstone_axi_0, axi_dma_0, axi_dma_1, ... by name.

create_project -force skipstone $work/skipstone -part $part
set board_parts [lsort -dictionary [get_board_parts -quiet $board_part]]
if {![llength $board_parts]} {
    error "Vivado has no board $board_part: install its files, from Tools > Vivado Store > Boards or from its vendor"
}
set_property board_part [lindex $board_parts end] [current_project]
set_property ip_repo_paths $here/ip [current_project]
update_ip_catalog

# Without the contents of its memories a design would be built all the same, and answer nonsense.
set_msg_config -id {Synth 8-4445} -new_severity ERROR

proc add_cell {name vlnv args} {
    set cell [create_bd_cell -type ip -vlnv $vlnv $name]
    if {[llength $args]} {
        set_property -dict $args $cell
    }
    return $cell
}

proc join_pins {source pins} {
    foreach pin $pins {
        connect_bd_net [get_bd_pins $source] [get_bd_pins $pin]
    }
}

proc join_interfaces {source target} {
    connect_bd_intf_net [get_bd_intf_pins $source] [get_bd_intf_pins $target]
}

create_bd_design system

set ps [add_cell ps xilinx.com:ip:$processor]
if {$processor eq "zynq_ultra_ps_e"} {
    apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} $ps
    set_property -dict [list \
        CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0 \
        CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__SAXIGP2__DATA_WIDTH 128 \
        CONFIG.PSU__FPGA_PL0_ENABLE 1 CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $clock_mhz] $ps
    set clock ps/pl_clk0
    set reset ps/pl_resetn0
    set master ps/M_AXI_HPM0_FPD
    set memory ps/S_AXI_HP0_FPD
    set clocked {ps/maxihpm0_fpd_aclk ps/saxihp0_fpd_aclk}
    set pointer_bits 40
} else {
    apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
        -config {make_external "FIXED_IO, DDR" apply_board_preset "1" Master "Disable" Slave "Disable"} $ps
    set_property -dict [list \
        CONFIG.PCW_USE_M_AXI_GP0 1 CONFIG.PCW_USE_S_AXI_HP0 1 CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64 \
        CONFIG.PCW_EN_CLK0_PORT 1 CONFIG.PCW_EN_RST0_PORT 1 CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $clock_mhz] $ps
    set clock ps/FCLK_CLK0
    set reset ps/FCLK_RESET0_N
    set master ps/M_AXI_GP0
    set memory ps/S_AXI_HP0
    set clocked {ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK}
    set pointer_bits 32
}

set engines [llength $outputs]
add_cell reset xilinx.com:ip:proc_sys_reset
add_cell axi_control xilinx.com:ip:smartconnect CONFIG.NUM_SI 1 CONFIG.NUM_MI [expr {$engines + 1}]
add_cell axi_memory xilinx.com:ip:smartconnect CONFIG.NUM_SI [expr {$engines + 1}] CONFIG.NUM_MI 1
add_cell skipstone_axi_0 skipstone:user:skipstone_axi:1.0
lappend clocked reset/slowest_sync_clk axi_control/aclk axi_memory/aclk skipstone_axi_0/aclk
set held {axi_control/aresetn axi_memory/aresetn skipstone_axi_0/aresetn}

join_interfaces $master axi_control/S00_AXI
join_interfaces axi_control/M00_AXI skipstone_axi_0/s_axi
join_interfaces axi_memory/M00_AXI $memory

# Direct mode, without scatter and gather; 26 bits of length are the most.
for {set n 0} {$n < $engines} {incr n} {
    set dma [add_cell axi_dma_$n xilinx.com:ip:axi_dma \
        CONFIG.c_include_sg 0 CONFIG.c_sg_length_width 26 CONFIG.c_addr_width $pointer_bits \
        CONFIG.c_include_mm2s [expr {$n == 0}] CONFIG.c_include_s2mm 1 CONFIG.c_m_axi_s2mm_data_width $beat_bits]
    lappend clocked axi_dma_$n/s_axi_lite_aclk axi_dma_$n/m_axi_s2mm_aclk
    lappend held axi_dma_$n/axi_resetn
    join_interfaces axi_control/[format M%02d_AXI [expr {$n + 1}]] axi_dma_$n/S_AXI_LITE
    join_interfaces axi_dma_$n/M_AXI_S2MM axi_memory/[format S%02d_AXI [expr {$n + 1}]]
    join_interfaces skipstone_axi_0/[lindex $outputs $n] axi_dma_$n/S_AXIS_S2MM
    if {$n == 0} {
        set_property -dict [list \
            CONFIG.c_m_axi_mm2s_data_width $beat_bits CONFIG.c_m_axis_mm2s_tdata_width $beat_bits] $dma
        lappend clocked axi_dma_0/m_axi_mm2s_aclk
        join_interfaces axi_dma_0/M_AXI_MM2S axi_memory/S00_AXI
        join_interfaces axi_dma_0/M_AXIS_MM2S skipstone_axi_0/s_axis
    }
}

join_pins $clock $clocked
join_pins $reset reset/ext_reset_in
join_pins reset/peripheral_aresetn $held
assign_bd_address
validate_bd_design
save_bd_design

set design [get_files system.bd]
set wrapper [make_wrapper -files $design -top]
add_files -norecurse [list $wrapper]
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1
generate_target all $design
