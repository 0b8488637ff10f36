// Labels by address: records in the calling thread's buffer, joined with births by the ledger.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/COW.h>

#include "ledger.h"
#include "observer.h"

namespace memprof {

constexpr int kForeign = -1, kNoMemory = -2;

// The address of a storage's memory; 0 where it has none.
inline Address memory_of(c10::StorageImpl* storage) {
  const bool real = storage && storage->nbytes() && storage->device_type() != c10::DeviceType::Meta;
  return real ? Address(storage->_mutable_data_ptr_no_checks().get()) : 0;
}

// Whether an allocator of PyTorch's made a storage's memory, and so will report its end.
inline bool comes_from_allocator(c10::StorageImpl& storage) {
  const at::DataPtr& data = storage._mutable_data_ptr_no_checks();
  const c10::Allocator* allocator = c10::GetAllocator(storage.device_type());
  return (allocator && data.get_deleter() == allocator->raw_deleter()) ||
      c10::impl::cow::is_cow_data_ptr(data);
}

// The address of the allocator's memory under a plain tensor; 0 for tensors made of others and
// for memory from elsewhere.
inline Address plain_memory_of(const at::Tensor& tensor) {
  const auto* impl = tensor.unsafeGetTensorImpl();
  if (!impl->has_storage() || impl->key_set().has(c10::DispatchKey::Python)) {
    return 0;
  }
  c10::StorageImpl* storage = impl->unsafe_storage().unsafeGetStorageImpl();
  const Address address = memory_of(storage);
  return address && comes_from_allocator(*storage) ? address : 0;
}

// Whether a tensor has its storage to itself, and is no view of one for many tensors.
inline bool is_whole(const at::Tensor& tensor) {
  return !tensor.is_view() || tensor.nbytes() >= tensor.storage().nbytes();
}

// The number of a large tensor's element type and shape, such as "Float[8, 512]"; else 0.
inline int32_t tensor_text(Thread& here, const c10::TensorImpl& tensor) {
  if (!stack_bytes || !tensor.has_storage() ||
      int64_t(tensor.unsafe_storage().nbytes()) < stack_bytes) {
    return 0;
  }
  const auto kind = tensor.dtype().toScalarType();
  uint64_t key = uint64_t(kind);
  for (const int64_t size : tensor.sizes()) {
    key = mixed(key, uint64_t(size));
  }
  auto [known, fresh] = here.tensors.try_emplace(key, 0);
  if (fresh) {
    std::string text = std::string(c10::toString(kind)) + "[";
    for (size_t i = 0; i < tensor.sizes().size(); ++i) {
      text += (i ? ", " : "") + std::to_string(tensor.sizes()[i]);
    }
    known->second = texts().number(kTensor, text + "]");
  }
  return known->second;
}

inline void append_label(Thread& here, c10::StorageImpl& storage, const c10::TensorImpl* tensor,
                         uint32_t kind, uint32_t name, uint32_t module) {
  here.append(kLabel, memory_of(&storage), storage.nbytes(),
              paired(kind, device_code(storage.device())), paired(name, module),
              tensor ? tensor_text(here, *tensor) : 0);
}

}  // namespace memprof
