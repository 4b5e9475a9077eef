#include "doors/litert/kernel.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "doors/litert/claim.h"
#include "doors/litert/delegate.h"
#include "doors/litert/program.h"

namespace bnn::litert {
namespace {

// The runtime puts its next message right behind ours: each is a line.
TfLiteStatus failed(TfLiteContext* context, const Status& status) {
  context->ReportError(context, "bnn_deploy: %s\n", status.message);
  return kTfLiteError;
}

void refuse(TfLiteContext* context, const Node& node, const char* why) {
  context->ReportError(context, "bnn_deploy: node %d (%s) cannot be run: %s\n", node.index,
                       op_name(node), why);
}

// The claimed nodes of one part of the model.
class Kernel {
 public:
  ~Kernel();
  bool read(TfLiteContext* context, const TfLiteDelegateParams& params, Status* status);
  bool prepare(TfLiteContext* context, Status* status);
  bool invoke(TfLiteContext* context, Status* status);

 private:
  bool resize_outputs(TfLiteContext* context, Status* status);
  void report();

  Delegate* delegate_ = nullptr;
  Graph graph_;
  int output_count_ = 0;
  std::unique_ptr<int[]> outputs_;
  std::unique_ptr<Program> program_;
  int threads_ = 1;  // of the program; the delegate's may be more by now
};

Kernel::~Kernel() { report(); }

// What was counted so far.
void Kernel::report() {
  if (!program_ || !delegate_->profile()) return;
  const Locked locked(delegate_->one_at_a_time());
  program_->report(delegate_->profile());
}

bool Kernel::read(TfLiteContext* context, const TfLiteDelegateParams& params, Status* status) {
  delegate_ = Delegate::of(params.delegate);
  output_count_ = params.output_tensors->size;
  outputs_.reset(new (std::nothrow) int[size_t(output_count_)]);
  if (!outputs_) return status->fail(Code::kNoMemory, "no memory for outputs");
  std::copy_n(params.output_tensors->data, output_count_, outputs_.get());
  return graph_.read(context, params.nodes_to_replace->data, params.nodes_to_replace->size, refuse,
                     status);
}

bool Kernel::prepare(TfLiteContext* context, Status* status) {
  report();
  program_.reset();  // one that could not be built does not stay
  LoadOptions options;
  std::unique_ptr<Program> program(new (std::nothrow) Program);
  if (!program) return status->fail(Code::kNoMemory, "no memory for a program");
  graph_.work_out(context, refuse);
  if (!delegate_->open(*context, &options, status) ||
      !program->build(graph_, outputs_.get(), output_count_, options, status) ||
      (delegate_->profile() && !program->count_time(status)) || !resize_outputs(context, status)) {
    return false;
  }
  threads_ = options.threads;
  program_ = std::move(program);
  return true;
}

bool Kernel::resize_outputs(TfLiteContext* context, Status* status) {
  for (int i = 0; i < output_count_; ++i) {
    const Shape& shape = graph_.tensor(outputs_[i]).shape;
    auto* dims = static_cast<TfLiteIntArray*>(
        std::malloc(sizeof(TfLiteIntArray) + size_t(shape.rank) * sizeof(int)));
    if (!dims) return status->fail(Code::kNoMemory, "no memory for a shape");
    dims->size = shape.rank;
    std::copy_n(shape.dims, shape.rank, dims->data);
    if (context->ResizeTensor(context, &context->tensors[outputs_[i]], dims) != kTfLiteOk) {
      return status->fail(Code::kNoMemory, "the runtime cannot resize tensor %d", outputs_[i]);
    }
  }
  return true;
}

bool Kernel::invoke(TfLiteContext* context, Status* status) {
  if (!program_) return status->fail(Code::kUnsupported, "this part of the model is not prepared");
  const Locked locked(delegate_->one_at_a_time());
  return program_->run(context->tensors, threads_ > 1 ? delegate_->crew() : nullptr, status);
}

// What the runtime calls. A kernel that could not be read is null.
void* init(TfLiteContext* context, const char* buffer, size_t) {
  Status status;
  std::unique_ptr<Kernel> kernel(new (std::nothrow) Kernel);
  if (!kernel) return nullptr;
  const auto& params = *reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  if (kernel->read(context, params, &status)) return kernel.release();
  failed(context, status);
  return nullptr;
}

void free_kernel(TfLiteContext*, void* kernel) { delete static_cast<Kernel*>(kernel); }

TfLiteStatus prepare(TfLiteContext* context, TfLiteNode* node) {
  Status status;
  auto* kernel = static_cast<Kernel*>(node->user_data);
  if (!kernel) status.fail(Code::kNoMemory, "this part of the model could not be read");
  return kernel && kernel->prepare(context, &status) ? kTfLiteOk : failed(context, status);
}

TfLiteStatus invoke(TfLiteContext* context, TfLiteNode* node) {
  Status status;
  auto* kernel = static_cast<Kernel*>(node->user_data);
  return kernel->invoke(context, &status) ? kTfLiteOk : failed(context, status);
}

TfLiteRegistration registration() {
  TfLiteRegistration kernel = {};
  kernel.init = init;
  kernel.free = free_kernel;
  kernel.prepare = prepare;
  kernel.invoke = invoke;
  kernel.custom_name = "BnnDeploy";
  kernel.version = 1;
  return kernel;
}

}  // namespace

TfLiteStatus claim_nodes(TfLiteContext* context, TfLiteDelegate* delegate) {
  Status status;
  TfLiteIntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  Graph graph;
  if (!graph.read(context, plan->data, plan->size, refuse, &status)) return failed(context, status);
  auto* claimed = static_cast<TfLiteIntArray*>(
      std::malloc(sizeof(TfLiteIntArray) + size_t(graph.nodes()) * sizeof(int)));
  if (!claimed || !claim(graph, claimed, &status)) {
    std::free(claimed);
    return failed(context, status);
  }
  const TfLiteStatus result = claimed->size == 0 ? kTfLiteOk
                                                 : context->ReplaceNodeSubsetsWithDelegateKernels(
                                                       context, registration(), claimed, delegate);
  std::free(claimed);
  return result;
}

}  // namespace bnn::litert
