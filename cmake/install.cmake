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
# The .pc files find their prefix from where they lie, so that `--prefix` and moved trees work.
file(RELATIVE_PATH FANIN_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
foreach(name fanin fanin-net)
  configure_file(cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/share/completion.bash RENAME fanin
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

# Manual pages are the help texts, one page a verb.
find_program(HELP2MAN help2man)
if(HELP2MAN)
  file(STRINGS ${PROJECT_SOURCE_DIR}/src/cli/verbs.def VERB_LINES REGEX "^VERB\\(")
  set(MAN_PAGES ${CMAKE_BINARY_DIR}/man/fanin.1)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/man/fanin.1
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
    COMMAND ${HELP2MAN} --no-info --name "initial weights of deep networks" -o ${CMAKE_BINARY_DIR}/man/fanin.1
      $<TARGET_FILE:fanin-cli>
    DEPENDS fanin-cli VERBATIM)
  foreach(line ${VERB_LINES})
    string(REGEX REPLACE "^VERB\\(([a-z]+),.*" "\\1" verb "${line}")
    set(page ${CMAKE_BINARY_DIR}/man/fanin-${verb}.1)
    add_custom_command(OUTPUT ${page}
      COMMAND ${HELP2MAN} --no-info --version-string "fanin ${PROJECT_VERSION}" --name "fanin ${verb}" -o ${page}
        "$<TARGET_FILE:fanin-cli> ${verb}"
      DEPENDS fanin-cli ${CMAKE_BINARY_DIR}/man/fanin.1 VERBATIM)
    list(APPEND MAN_PAGES ${page})
  endforeach()
  add_custom_target(man ALL DEPENDS ${MAN_PAGES})
  install(FILES ${MAN_PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
else()
  message(STATUS "help2man is not here: no manual pages")
endif()
