# make install: libraries, headers, fanin.pc, CMake package, program.
include(CMakePackageConfigHelpers)
install(TARGETS fanin-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS fanin-shared fanin-static fanin-net-shared EXPORT fanin
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The static net library wants its dependencies by name, which fanin-net.pc states; an exported
# CMake target for it would carry paths of this machine.
install(TARGETS fanin-net-static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/fanin DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT fanin NAMESPACE fanin:: FILE fanin-targets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fanin)
configure_package_config_file(cmake/fanin-config.cmake.in ${CMAKE_BINARY_DIR}/fanin-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fanin)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/fanin-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/fanin-config.cmake ${CMAKE_BINARY_DIR}/fanin-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fanin)
foreach(name fanin fanin-net)
  configure_file(cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
