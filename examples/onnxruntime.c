/* An exported network in ONNX Runtime on this project's kernels, from C: without Python, without a
 * header.
 *
 *   gcc -O2 -o classify examples/onnxruntime.c -ldl
 *   ./classify libonnxruntime.so libbnn_onnxruntime.so model.onnx [image.f32]
 *
 * Python packages have both libraries: onnxruntime/capi/libonnxruntime.so.1.32.0 and
 * bnn_deploy/lib/. image.f32: raw float32 [3, H, W] in [-1, 1]; without it all values are 0. Prints
 * the class and its logit.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What is used here of onnxruntime_c_api.h, which Python's package does not bring, under the names
 * that it has there. A function's place in the table never changes. */
typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
enum { ORT_LOGGING_LEVEL_WARNING = 2 };
enum { OrtArenaAllocator = 1, OrtMemTypeDefault = 0 };
enum { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };

typedef struct OrtApi {
  void* before_2[2];
  const char* (*GetErrorMessage)(const OrtStatus*);
  OrtStatus* (*CreateEnv)(int log_level, const char* name, OrtEnv**);
  void* before_7[3];
  OrtStatus* (*CreateSession)(const OrtEnv*, const char* model, const OrtSessionOptions*,
                              OrtSession**);
  void* before_9[1];
  OrtStatus* (*Run)(OrtSession*, const OrtRunOptions*, const char* const* input_names,
                    const OrtValue* const* inputs, size_t input_count,
                    const char* const* output_names, size_t output_count, OrtValue** outputs);
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions**);
  void* before_24[13];
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions*, int threads);
  void* before_33[8];
  OrtStatus* (*SessionGetInputTypeInfo)(const OrtSession*, size_t index, OrtTypeInfo**);
  void* before_49[15];
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void* data, size_t bytes,
                                               const int64_t* dims, size_t rank, int type,
                                               OrtValue**);
  void* before_51[1];
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void** data);
  void* before_55[3];
  OrtStatus* (*CastTypeInfoToTensorInfo)(const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**);
  void* before_62[6];
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t rank);
  void* before_64[1];
  OrtStatus* (*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo*, size_t*);
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtTensorTypeAndShapeInfo**);
  void* before_69[3];
  OrtStatus* (*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo**);
} OrtApi;

typedef struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)(void);
} OrtApiBase;

static const OrtApi* ort;

static void fail(const char* what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void check(OrtStatus* status) {
  if (status) fail(ort->GetErrorMessage(status));
}

/* A function of a library. */
static void find(const char* path, const char* name, void* function) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library || !(*(void**)function = dlsym(library, name))) fail(dlerror());
}

int main(int argc, char** argv) {
  if (argc < 4) fail("usage: classify LIBONNXRUNTIME LIBBNN_ONNXRUNTIME MODEL [IMAGE]");
  const OrtApiBase* (*get_api_base)(void);
  OrtStatus* (*register_custom_ops)(OrtSessionOptions*, const OrtApiBase*);
  find(argv[1], "OrtGetApiBase", &get_api_base);
  find(argv[2], "RegisterCustomOps", &register_custom_ops);
  ort = get_api_base()->GetApi(17);
  if (!ort) fail("ONNX Runtime 1.17 or later is needed");

  OrtEnv* env;
  OrtSessionOptions* options;
  OrtSession* session;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "classify", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->SetIntraOpNumThreads(options, 1));
  check(register_custom_ops(options,
                            get_api_base())); /* without it: slower, up to rounding the same */
  check(ort->CreateSession(env, argv[3], options, &session));

  OrtTypeInfo* type;
  const OrtTensorTypeAndShapeInfo* shape;
  int64_t dims[4]; /* N, 3, H, W */
  check(ort->SessionGetInputTypeInfo(session, 0, &type));
  check(ort->CastTypeInfoToTensorInfo(type, &shape));
  check(ort->GetDimensions(shape, dims, 4));
  dims[0] = 1;
  const size_t values = (size_t)(dims[1] * dims[2] * dims[3]);
  float* image = calloc(values, sizeof *image);
  if (!image) fail("no memory for the image");
  if (argc > 4) {
    FILE* file = fopen(argv[4], "rb");
    if (!file || fread(image, sizeof *image, values, file) != values)
      fail("the image is too short");
    fclose(file);
  }

  const char *input_name = "images", *output_name = "logits";
  OrtMemoryInfo* memory;
  OrtValue *input, *output = NULL;
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  check(ort->CreateTensorWithDataAsOrtValue(memory, image, values * sizeof *image, dims, 4,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
  check(ort->Run(session, NULL, &input_name, (const OrtValue* const*)&input, 1, &output_name, 1,
                 &output));

  OrtTensorTypeAndShapeInfo* result;
  size_t classes, best = 0;
  float* logits;
  check(ort->GetTensorTypeAndShape(output, &result));
  check(ort->GetTensorShapeElementCount(result, &classes));
  check(ort->GetTensorMutableData(output, (void**)&logits));
  for (size_t i = 1; i < classes; ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  printf("%zu %.9g\n", best, logits[best]);
  return 0; /* which releases everything */
}
