include(CMakeFindDependencyMacro)
@DEPENDENCY@include(${CMAKE_CURRENT_LIST_DIR}/lathe_gpu_kernels-targets.cmake)
