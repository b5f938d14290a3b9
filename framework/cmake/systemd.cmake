# SPDX-License-Identifier: MPL-2.0

# Units for systemd, made when they are installed: only then is it known where the programs are.
foreach (unit baton-orchestrator.service baton-node.service baton@.service)
    install (CODE "
        set (bindir \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
        cmake_path (NORMAL_PATH bindir)
        configure_file (\"${CMAKE_CURRENT_LIST_DIR}/${unit}.in\"
            \"${CMAKE_CURRENT_BINARY_DIR}/${unit}\" @ONLY)")
    install (FILES "${CMAKE_CURRENT_BINARY_DIR}/${unit}" DESTINATION lib/systemd/system)
endforeach ()
