#include "measure/worker/opencl_tool.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "measure/worker/opencl_library.h"

namespace lathe::worker {
namespace {

constexpr int kNoOpenCl = 3, kFailed = 1;

int Fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return kFailed;
}

std::string Single(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

void Print(const char* key, const std::string& value) { std::printf("%s %s\n", key, Single(value).c_str()); }
void Print(const char* key, unsigned long long value) { std::printf("%s %llu\n", key, value); }

const char* TypeOf(cl_device_type type) {
  return (type & CL_DEVICE_TYPE_GPU) != 0 ? "gpu" : (type & CL_DEVICE_TYPE_CPU) != 0 ? "cpu" : "accelerator";
}

// Whole in memory, since it is what the driver's compiler wants.
bool Read(const char* path, std::string& text) {
  std::ifstream file(path, std::ios::binary);
  text.assign(std::istreambuf_iterator<char>(file), {});
  return file.good() || file.eof();
}

bool Write(const char* path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file.good();
}

std::string BinaryOf(const OpenClLibrary& cl, cl_program program) {
  size_t bytes = 0;  // one device: one number
  if (cl.GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, nullptr) != CL_SUCCESS || bytes == 0) return "";
  std::string binary(bytes, 0);
  char* at = binary.data();
  if (cl.GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof at, &at, nullptr) != CL_SUCCESS) return "";
  return binary;
}

// The most that any kernel of the program takes of a work item's and a group's memory.
std::string FactsOf(const OpenClLibrary& cl, cl_program program, cl_device_id device, size_t code_bytes) {
  cl_ulong most_private = 0, most_local = 0;
  cl_uint count = 0;
  if (cl.CreateKernelsInProgram(program, 0, nullptr, &count) == CL_SUCCESS && count > 0) {
    std::vector<cl_kernel> kernels(count);
    if (cl.CreateKernelsInProgram(program, count, kernels.data(), nullptr) == CL_SUCCESS)
      for (const cl_kernel kernel : kernels) {
        cl_ulong bytes = 0;
        if (cl.GetKernelWorkGroupInfo(kernel, device, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof bytes, &bytes, nullptr) == CL_SUCCESS)
          most_private = std::max(most_private, bytes);
        if (cl.GetKernelWorkGroupInfo(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof bytes, &bytes, nullptr) == CL_SUCCESS)
          most_local = std::max(most_local, bytes);
      }
  }
  return "code_bytes " + std::to_string(code_bytes) + "\nprivate_bytes " + std::to_string(most_private) + "\nlocal_bytes " +
         std::to_string(most_local) + '\n';
}

}  // namespace

int PrintOpenClDevices() {
  OpenClLibrary cl;
  std::string error;
  if (!cl.Open(error)) {
    Fail(error);
    return kNoOpenCl;
  }
  for (const auto& [platform, device] : OpenClDevices(cl)) {
    Print("platform", PlatformText(cl, platform, CL_PLATFORM_NAME));
    Print("platform_version", PlatformText(cl, platform, CL_PLATFORM_VERSION));
    Print("name", DeviceText(cl, device, CL_DEVICE_NAME));
    Print("device_version", DeviceText(cl, device, CL_DEVICE_VERSION));
    Print("driver_version", DeviceText(cl, device, CL_DRIVER_VERSION));
    Print("type", TypeOf(DeviceValue<cl_device_type>(cl, device, CL_DEVICE_TYPE)));
    Print("max_work_group", DeviceValue<size_t>(cl, device, CL_DEVICE_MAX_WORK_GROUP_SIZE));
    std::array<size_t, 16> most_items = {};  // of a group in each dimension
    if (cl.GetDeviceInfo(device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof most_items, most_items.data(), nullptr) == CL_SUCCESS)
      Print("max_work_group_z", most_items[2]);
    Print("local_bytes", DeviceValue<cl_ulong>(cl, device, CL_DEVICE_LOCAL_MEM_SIZE));
    Print("compute_units", DeviceValue<cl_uint>(cl, device, CL_DEVICE_MAX_COMPUTE_UNITS));
    Print("vector_bytes", sizeof(float) * DeviceValue<cl_uint>(cl, device, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT));
    Print("max_buffer_bytes", DeviceValue<cl_ulong>(cl, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE));
    const bool images = DeviceValue<cl_bool>(cl, device, CL_DEVICE_IMAGE_SUPPORT) != 0;  // its limits mean nothing without
    Print("images", images ? 1ULL : 0ULL);
    Print("max_image_width", images ? DeviceValue<size_t>(cl, device, CL_DEVICE_IMAGE2D_MAX_WIDTH) : 0);
    Print("max_image_height", images ? DeviceValue<size_t>(cl, device, CL_DEVICE_IMAGE2D_MAX_HEIGHT) : 0);
    const std::string extensions = ' ' + DeviceText(cl, device, CL_DEVICE_EXTENSIONS) + ' ';
    Print("fp16", extensions.find(" cl_khr_fp16 ") == std::string::npos ? 0ULL : 1ULL);
    const bool usable =
        DeviceValue<cl_bool>(cl, device, CL_DEVICE_AVAILABLE) != 0 && DeviceValue<cl_bool>(cl, device, CL_DEVICE_COMPILER_AVAILABLE) != 0;
    Print("usable", usable ? 1ULL : 0ULL);
    std::putchar('\n');
  }
  return std::fflush(stdout) == 0 ? 0 : kFailed;
}

int BuildOpenClProgram(char** arguments) {
  const char *number = arguments[0], *source_path = arguments[1], *output = arguments[2], *facts = arguments[3], *flags = arguments[4];
  OpenClLibrary cl;
  std::string error, source;
  if (!cl.Open(error)) {
    Fail(error);
    return kNoOpenCl;
  }
  const std::vector<OpenClDevice> devices = OpenClDevices(cl);
  const size_t index = std::strtoul(number, nullptr, 10);
  if (index >= devices.size()) {
    Fail("OpenCL device " + std::to_string(index) + " is gone; there are " + std::to_string(devices.size()));
    return kNoOpenCl;
  }
  if (!Read(source_path, source)) return Fail(std::string("read ") + source_path);
  const cl_device_id device = devices[index].device;
  cl_int result = CL_SUCCESS;
  const cl_context context = cl.CreateContext(nullptr, 1, &device, nullptr, nullptr, &result);
  if (result != CL_SUCCESS) {
    Fail("create an OpenCL context: " + OpenClErrorName(result));
    return kNoOpenCl;
  }
  const char* text = source.c_str();
  const cl_program program = cl.CreateProgramWithSource(context, 1, &text, nullptr, &result);
  if (result != CL_SUCCESS) return Fail("error: clCreateProgramWithSource: " + OpenClErrorName(result));
  result = cl.BuildProgram(program, 1, &device, flags, nullptr, nullptr);
  if (result != CL_SUCCESS) return Fail("error: clBuildProgram: " + OpenClErrorName(result) + '\n' + BuildLog(cl, program, device));
  const std::string binary = BinaryOf(cl, program);
  const std::string artifact = binary.empty() ? std::string("source ") + flags + '\n' + source : "binary\n" + binary;
  if (!Write(output, artifact) || !Write(facts, FactsOf(cl, program, device, binary.size())))
    return Fail(std::string("write ") + output + ": disk full?");
  std::_Exit(0);  // drivers' own destructors gain nothing here, and some of them hang
}

}  // namespace lathe::worker
