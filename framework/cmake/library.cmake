# SPDX-License-Identifier: MPL-2.0

# libbaton: all layers in one shared library that shows the names of <baton/...> only. It takes the
# layers' objects as they are: an archive would be searched for what is asked for, and nothing asks.
set (objects)
foreach (layer base wire core journal shell orchestrator client)
    list (APPEND objects $<TARGET_OBJECTS:bn_${layer}>)
endforeach ()
add_library (baton SHARED ${objects})
add_library (baton::baton ALIAS baton)
set_target_properties (baton PROPERTIES VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C)
target_include_directories (baton PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/framework/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries (baton PRIVATE $<BUILD_INTERFACE:bn_flags> $<BUILD_INTERFACE:bn_msgpack>
    PkgConfig::ZMQ PkgConfig::CZMQ PkgConfig::LMDB Threads::Threads)
if (NOT BATON_SANITIZE)
    target_link_options (baton PRIVATE LINKER:--no-undefined)
endif ()

# ---- what an installation has: library, headers, CMake package, pkg-config file, manual pages ----
include (CMakePackageConfigHelpers)
set (package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/baton)
configure_package_config_file (${CMAKE_CURRENT_LIST_DIR}/baton-config.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/baton-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file (${CMAKE_CURRENT_BINARY_DIR}/baton-config-version.cmake
    COMPATIBILITY SameMinorVersion)
file (RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
file (RELATIVE_PATH pc_include ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file (${CMAKE_CURRENT_LIST_DIR}/baton.pc.in ${CMAKE_CURRENT_BINARY_DIR}/baton.pc @ONLY)

install (TARGETS baton EXPORT baton-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install (EXPORT baton-targets NAMESPACE baton:: DESTINATION ${package_dir})
install (FILES ${CMAKE_CURRENT_BINARY_DIR}/baton-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/baton-config-version.cmake DESTINATION ${package_dir})
install (FILES ${CMAKE_CURRENT_BINARY_DIR}/baton.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install (DIRECTORY ${PROJECT_SOURCE_DIR}/framework/include/baton
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install (FILES ${PROJECT_SOURCE_DIR}/framework/docs/man/baton.1
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install (FILES ${PROJECT_SOURCE_DIR}/framework/docs/man/libbaton.3
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
