# skipstone_axi as an IP: its interfaces, the clock and reset of all of them, and the range of its registers.

create_project -force package $work/package -part $part
add_files -norecurse $sources
if {[llength $memories]} {
    add_files -norecurse $memories
    set_property file_type {Memory File} [get_files $memories]
}
set_property top skipstone_axi [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir $here/ip -vendor skipstone -library user -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name skipstone_axi $core
set_property version 1.0 $core
set_property display_name "Skipstone, build $build" $core
set_property description "A network as a streaming accelerator that skips zeros" $core

# Vivado recognises interfaces by the names of their ports.
foreach interface [concat s_axi s_axis $outputs aclk aresetn] {
    if {[llength [ipx::get_bus_interfaces $interface -of_objects $core]] != 1} {
        error "skipstone_axi has no interface $interface"
    }
}
foreach interface [concat s_axi s_axis $outputs] {
    ipx::associate_bus_interfaces -busif $interface -clock aclk $core
}
ipx::associate_bus_interfaces -clock aclk -reset aresetn $core
set_property ipi_drc {ignore_freq_hz true} $core

set map [ipx::get_memory_maps s_axi -of_objects $core]
if {![llength $map]} {
    set map [ipx::add_memory_map s_axi $core]
    set_property slave_memory_map_ref s_axi [ipx::get_bus_interfaces s_axi -of_objects $core]
}
set block [ipx::get_address_blocks -of_objects $map]
if {![llength $block]} {
    set block [ipx::add_address_block reg0 $map]
}
set_property range [expr {1 << $address_bits}] $block

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
