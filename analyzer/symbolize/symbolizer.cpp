#include "analyzer/symbolize/symbolizer.hpp"

#include "analyzer/symbolize/module_file.hpp"

#include <map>
#include <unordered_map>

namespace leak::analyzer {
namespace {

struct AddressKey {
    const ModuleFile* file; // null: no module
    uint64_t address;
    bool exact;
    friend bool operator==(const AddressKey&, const AddressKey&) = default;
};

struct AddressKeyHash {
    size_t operator()(const AddressKey& key) const noexcept
    {
        const size_t file = std::hash<const void*>{}(key.file);
        return std::hash<uint64_t>{}((key.address << 1 | (key.exact ? 1U : 0U)) * 0x9E3779B97F4A7C15ULL ^ file);
    }
};

} // namespace

struct Symbolizer::Impl {
    struct LoadedModule {
        ModuleFile* file = nullptr; // null: no module with this id
        uint64_t bias = 0;
        bool own = false; // the tracer itself
    };

    // A plugin that was loaded three times is one file.
    std::map<std::pair<std::string, std::vector<uint8_t>>, std::unique_ptr<ModuleFile>> files;
    std::vector<LoadedModule> modules; // index = ModuleId value
    std::unordered_map<AddressKey, std::vector<Frame>, AddressKeyHash> cache;
    std::unordered_map<AddressKey, bool, AddressKeyHash> signal_returns;

    [[nodiscard]] const LoadedModule* module_of(Pc pc) const
    {
        const bool known = pc.module.value < modules.size() && modules[pc.module.value].file != nullptr;
        return known ? &modules[pc.module.value] : nullptr;
    }

    [[nodiscard]] AddressKey key_of(Pc pc, bool exact) const
    {
        const LoadedModule* module = module_of(pc);
        return module == nullptr ? AddressKey{nullptr, pc.address, exact}
                                 : AddressKey{module->file, pc.address - module->bias, exact};
    }

    [[nodiscard]] bool is_own(Pc pc) const
    {
        const LoadedModule* module = module_of(pc);
        return module != nullptr && module->own;
    }

    bool is_signal_return(Pc pc)
    {
        const LoadedModule* module = module_of(pc);
        const auto [known, added] = signal_returns.try_emplace(key_of(pc, true), false);
        if (added && module != nullptr) {
            known->second = module->file->is_signal_return(pc.address - module->bias);
        }
        return known->second;
    }
};

Symbolizer::Symbolizer(const std::vector<Module>& modules) : impl_(std::make_unique<Impl>())
{
    add(modules);
}

Symbolizer::~Symbolizer() = default;

void Symbolizer::add(const std::vector<Module>& modules)
{
    for (const Module& module : modules) {
        if (module.path.empty()) {
            continue;
        }
        auto& file = impl_->files[{module.path, module.build_id}];
        if (!file) {
            file = std::make_unique<ModuleFile>(module.path, module.build_id);
        }
        if (module.id.value >= impl_->modules.size()) {
            impl_->modules.resize(module.id.value + 1);
        }
        impl_->modules[module.id.value] = {file.get(), module.bias, module.path.ends_with("/libleak.so")};
    }
}

const std::vector<Frame>& Symbolizer::frames(Pc pc, bool exact)
{
    const AddressKey key = impl_->key_of(pc, exact);
    const auto known = impl_->cache.find(key);
    if (known != impl_->cache.end()) {
        return known->second;
    }
    const Impl::LoadedModule* module = impl_->module_of(pc);
    std::vector<Frame> frames;
    if (module != nullptr) {
        // A return address may be the first of the next line, or of the next function after a call to a noreturn one.
        for (CodeName& name : module->file->find(exact ? key.address : key.address - 1)) {
            frames.push_back({.function = std::move(name.function),
                              .file = std::move(name.file),
                              .line = name.line,
                              .module = module->file->path(),
                              .offset = key.address,
                              .inlined = name.inlined});
        }
    }
    if (frames.empty()) {
        frames.push_back({.module = module == nullptr ? "" : module->file->path(), .offset = key.address});
    }
    return impl_->cache.emplace(key, std::move(frames)).first->second;
}

std::vector<Frame> Symbolizer::symbolize(const std::vector<Pc>& stack)
{
    std::vector<Frame> all;
    bool exact = false;
    for (const Pc pc : stack) {
        if (impl_->is_own(pc)) {
            continue; // a hook between the program and what it called, such as pthread_create
        }
        // A handler returns to the first byte of the trampoline, which was called by nobody.
        const bool trampoline = impl_->is_signal_return(pc);
        const std::vector<Frame>& some = frames(pc, exact || trampoline);
        all.insert(all.end(), some.begin(), some.end());
        if (trampoline && all.back().function.empty()) {
            all.back().function = "__restore_rt"; // a stripped libc doesn't name it
        }
        exact = trampoline;
    }
    return all;
}

Variable Symbolizer::variable_at(uint64_t address, ModuleId module)
{
    const Impl::LoadedModule* loaded = impl_->module_of({address, module});
    return loaded == nullptr ? Variable{} : loaded->file->find_variable(address - loaded->bias);
}

ModuleSymbols Symbolizer::symbols_of(ModuleId module)
{
    const Impl::LoadedModule* loaded = impl_->module_of({0, module});
    return loaded == nullptr ? ModuleSymbols{} : loaded->file->symbols();
}

} // namespace leak::analyzer
