// Kernels through OpenCL 1.2.
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gpu_data.h"

namespace {

struct Step {
  cl_kernel kernel;
  const LatheLaunch* launch;
};

lathe_gpu_status Failed(const char* doing, cl_int error) { return lathe_gpu_fail(LATHE_GPU_DEVICE_ERROR, "%s: OpenCL error %d", doing, error); }

std::string DeviceText(cl_device_id device, cl_device_info what) {
  size_t bytes = 0;
  clGetDeviceInfo(device, what, 0, nullptr, &bytes);
  std::string text(bytes, 0);
  clGetDeviceInfo(device, what, bytes, &text[0], nullptr);
  return text.c_str();
}

// A compiled program is the device's and its driver's: both are part of the file's name.
std::string CacheFile(const char* cache, const LatheKernelData& data, cl_device_id device) {
  if (cache == nullptr) return "";
  uint64_t sum = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : DeviceText(device, CL_DEVICE_NAME) + DeviceText(device, CL_DEVICE_VERSION) + DeviceText(device, CL_DRIVER_VERSION))
    sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char name[64];
  std::snprintf(name, sizeof name, "/%.16s-%016llx.bin", data.program_key, static_cast<unsigned long long>(sum));
  return cache + std::string(name);
}

cl_program FromCache(const std::string& file, cl_context context, cl_device_id device, const char* flags) {
  std::ifstream in(file, std::ios::binary);
  const std::string binary(std::istreambuf_iterator<char>(in), {});
  if (binary.empty()) return nullptr;
  const auto* bytes = reinterpret_cast<const unsigned char*>(binary.data());
  const size_t length = binary.size();
  cl_int error = CL_SUCCESS;
  const cl_program program = clCreateProgramWithBinary(context, 1, &device, &length, &bytes, nullptr, &error);
  if (error != CL_SUCCESS) return nullptr;
  if (clBuildProgram(program, 1, &device, flags, nullptr, nullptr) == CL_SUCCESS) return program;
  clReleaseProgram(program);  // a driver that does not take its own binary back: compile again
  return nullptr;
}

void ToCache(const std::string& file, cl_program program) {
  size_t bytes = 0;
  if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, nullptr) != CL_SUCCESS || bytes == 0) return;
  std::string binary(bytes, 0);
  char* at = &binary[0];
  if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof at, &at, nullptr) != CL_SUCCESS) return;
  const std::string beside = file + '.' + std::to_string(::getpid());
  std::ofstream out(beside, std::ios::binary);
  out << binary;
  out.close();
  if (out.good()) std::rename(beside.c_str(), file.c_str());
}

lathe_gpu_status Program(const LatheKernelData& data, lathe_gpu_device device, const char* cache, cl_program* program) {
  const std::string file = CacheFile(cache, data, device.device);
  if (!file.empty()) *program = FromCache(file, device.context, device.device, data.flags);
  if (*program != nullptr) return LATHE_GPU_OK;
  const char* text = reinterpret_cast<const char*>(data.program);
  cl_int error = CL_SUCCESS;
  *program = clCreateProgramWithSource(device.context, 1, &text, &data.program_bytes, &error);
  if (error != CL_SUCCESS) return Failed("create a program", error);
  error = clBuildProgram(*program, 1, &device.device, data.flags, nullptr, nullptr);
  if (error != CL_SUCCESS) {
    std::string log(600, 0);
    clGetProgramBuildInfo(*program, device.device, CL_PROGRAM_BUILD_LOG, log.size(), &log[0], nullptr);
    return lathe_gpu_fail(LATHE_GPU_BUILD_FAILED, "build a program: OpenCL error %d: %s", error, log.c_str());
  }
  if (!file.empty()) ToCache(file, *program);
  return LATHE_GPU_OK;
}

}  // namespace

struct lathe_gpu_kernel {
  size_t index = 0;
  cl_program program = nullptr;
  std::vector<Step> prepare, run;
  std::vector<cl_mem> packed;
  std::vector<cl_mem> memory;  // of a run's tensors; here, so that running allocates nothing
};

namespace {

lathe_gpu_status FindKernels(lathe_gpu_kernel& handle, const LatheLaunch* launches, int count, std::vector<Step>& steps) {
  for (int i = 0; i < count; ++i) {
    cl_int error = CL_SUCCESS;
    steps.push_back({clCreateKernel(handle.program, launches[i].kernel, &error), &launches[i]});
    if (error != CL_SUCCESS) return Failed(launches[i].kernel, error);
  }
  return LATHE_GPU_OK;
}

lathe_gpu_status Enqueue(const Step& step, cl_command_queue queue, const std::vector<cl_mem>& memory, const int* numbers, int count,
                         const cl_mem* workspace) {
  cl_uint next = 0;
  cl_int error = CL_SUCCESS;
  const auto pass = [&](size_t bytes, const void* value) {
    const cl_int result = clSetKernelArg(step.kernel, next++, bytes, value);
    if (error == CL_SUCCESS) error = result;
  };
  for (const cl_mem& each : memory) pass(sizeof each, &each);
  for (int i = 0; i < count; ++i) pass(sizeof(cl_int), &numbers[i]);
  if (workspace != nullptr) pass(sizeof *workspace, workspace);
  for (int i = 0; i < step.launch->argument_count; ++i) pass(sizeof(cl_int), &step.launch->arguments[i]);
  if (error != CL_SUCCESS) return Failed("pass arguments", error);
  error = clEnqueueNDRangeKernel(queue, step.kernel, static_cast<cl_uint>(step.launch->dimensions), nullptr, step.launch->global,
                                 step.launch->local, 0, nullptr, nullptr);
  return error == CL_SUCCESS ? LATHE_GPU_OK : Failed(step.launch->kernel, error);
}

lathe_gpu_status Pack(lathe_gpu_kernel& handle, lathe_gpu_device device, cl_command_queue queue, const cl_mem* constants) {
  const LatheKernelData& data = lathe_gpu_data[handle.index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[handle.index];
  std::vector<cl_mem> memory;
  for (size_t i = 0; i < info.tensor_count; ++i)
    if (info.tensors[i].role == 'c') memory.push_back(info.tensors[i].bytes > 0 && constants != nullptr ? constants[i] : nullptr);
  for (size_t i = 0; i < info.tensor_count; ++i) {
    if (data.packed_bytes[i] == 0) continue;
    cl_int error = CL_SUCCESS;
    handle.packed[i] = clCreateBuffer(device.context, CL_MEM_READ_WRITE, data.packed_bytes[i], nullptr, &error);
    if (error != CL_SUCCESS) return Failed("allocate a packed constant", error);
    memory.push_back(handle.packed[i]);
  }
  for (const Step& step : handle.prepare)
    if (const lathe_gpu_status bad = Enqueue(step, queue, memory, nullptr, 0, nullptr); bad != LATHE_GPU_OK) return bad;
  return LATHE_GPU_OK;
}

}  // namespace

extern "C" lathe_gpu_status lathe_gpu_create(size_t index, lathe_gpu_device device, lathe_gpu_queue queue, const lathe_gpu_memory* constants,
                                             const char* cache, lathe_gpu_kernel** kernel) {
  if (kernel != nullptr) *kernel = nullptr;
  if (kernel == nullptr || index >= lathe_gpu_count) return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_create: no kernel %zu", index);
  auto* made = new lathe_gpu_kernel;
  made->index = index;
  made->packed.resize(lathe_gpu_infos[index].tensor_count);
  made->memory.resize(lathe_gpu_infos[index].tensor_count);
  const LatheKernelData& data = lathe_gpu_data[index];
  lathe_gpu_status status = Program(data, device, cache, &made->program);
  if (status == LATHE_GPU_OK) status = FindKernels(*made, data.prepare, data.prepare_count, made->prepare);
  if (status == LATHE_GPU_OK) status = FindKernels(*made, data.run, data.run_count, made->run);
  if (status == LATHE_GPU_OK) status = Pack(*made, device, queue, constants);
  if (status == LATHE_GPU_OK)
    *kernel = made;
  else
    lathe_gpu_destroy(made);
  return status;
}

extern "C" lathe_gpu_status lathe_gpu_run(lathe_gpu_kernel* kernel, lathe_gpu_queue queue, const lathe_gpu_memory* tensors,
                                          lathe_gpu_memory workspace) {
  if (kernel == nullptr || tensors == nullptr) return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: a null pointer");
  const LatheKernelData& data = lathe_gpu_data[kernel->index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[kernel->index];
  if (info.workspace_bytes > 0 && workspace == nullptr)
    return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: %s needs a workspace of %zu bytes", info.workload, info.workspace_bytes);
  std::vector<cl_mem>& memory = kernel->memory;
  for (size_t i = 0; i < info.tensor_count; ++i)
    memory[i] = kernel->packed[i] != nullptr ? kernel->packed[i] : info.tensors[i].bytes > 0 ? tensors[i] : nullptr;
  for (const Step& step : kernel->run)
    if (const lathe_gpu_status bad =
            Enqueue(step, queue, memory, data.dynamic, data.dynamic_count, info.workspace_bytes > 0 ? &workspace : nullptr);
        bad != LATHE_GPU_OK)
      return bad;
  return LATHE_GPU_OK;
}

extern "C" void lathe_gpu_destroy(lathe_gpu_kernel* kernel) {
  if (kernel == nullptr) return;
  for (const std::vector<Step>* steps : {&kernel->prepare, &kernel->run})
    for (const Step& step : *steps)
      if (step.kernel != nullptr) clReleaseKernel(step.kernel);
  for (const cl_mem memory : kernel->packed)
    if (memory != nullptr) clReleaseMemObject(memory);
  if (kernel->program != nullptr) clReleaseProgram(kernel->program);
  delete kernel;
}
