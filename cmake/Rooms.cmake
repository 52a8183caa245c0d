# room(NAME SOURCES file... [LINKS room...] [LIBRARIES target...])
#
# A folder is one static library with one job. LINKS are the other rooms it may use; they are linked
# privately and each room publishes its headers under its own include root, so that an #include of a
# room that is not in LINKS does not compile.
function(room NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;LIBRARIES" ${ARGN})
  add_library(${NAME} STATIC ${ARG_SOURCES})
  set(root ${CMAKE_BINARY_DIR}/include/${NAME})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${NAME} SYMBOLIC)
  target_include_directories(${NAME} PUBLIC ${root})
  target_link_libraries(${NAME} PRIVATE flags ${ARG_LINKS} ${ARG_LIBRARIES})
endfunction()

# unit_test(FILE LINKS room... [LIBRARIES target...]): a cmocka program, run by ctest as
# unit/<room>/<file without .c>.
function(unit_test FILE)
  cmake_parse_arguments(ARG "" "" "LINKS;LIBRARIES" ${ARGN})
  get_filename_component(dir ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  get_filename_component(stem ${FILE} NAME_WE)
  add_executable(${dir}_${stem} ${FILE})
  set_target_properties(${dir}_${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${dir}_${stem} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${dir}_${stem} PRIVATE TEST_VECTORS="${CMAKE_SOURCE_DIR}/tests/vectors")
  target_link_libraries(${dir}_${stem} PRIVATE flags ${ARG_LINKS} ${ARG_LIBRARIES} PkgConfig::CMOCKA)
  add_test(NAME unit/${dir}/${stem} COMMAND ${dir}_${stem})
  set_tests_properties(unit/${dir}/${stem} PROPERTIES TIMEOUT 120)
endfunction()

# fuzz_target(NAME LINKS room... [LIBRARIES target...]): tests/fuzz/fuzz_NAME.c with the corpus
# tests/fuzz/corpus/NAME. A libFuzzer program in the fuzz preset; elsewhere the same target is linked
# to a main that replays the corpus, and ctest runs it.
function(fuzz_target NAME)
  cmake_parse_arguments(ARG "" "" "LINKS;LIBRARIES" ${ARGN})
  if(SWARMGATE_FUZZ)
    add_executable(fuzz_${NAME} fuzz_${NAME}.c)
    target_link_options(fuzz_${NAME} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${NAME} fuzz_${NAME}.c replay.c)
    add_test(NAME fuzz/${NAME} COMMAND fuzz_${NAME} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${NAME})
  endif()
  set_target_properties(fuzz_${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(fuzz_${NAME} PRIVATE flags ${ARG_LINKS} ${ARG_LIBRARIES})
endfunction()
