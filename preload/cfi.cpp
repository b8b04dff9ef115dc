#include "preload/cfi.hpp"

#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

namespace leak::preload {

namespace {

// -- pointers and numbers in the tables --

// DW_EH_PE_...: how a pointer is coded (LSB 5.0, 10.5.1).
enum Encoding : uint8_t {
    kAbsolute = 0x00,
    kUleb128 = 0x01,
    kUnsigned2 = 0x02,
    kUnsigned4 = 0x03,
    kUnsigned8 = 0x04,
    kSleb128 = 0x09,
    kSigned2 = 0x0a,
    kSigned4 = 0x0b,
    kSigned8 = 0x0c,
    kFormatMask = 0x0f,
    kPcRelative = 0x10,
    kDataRelative = 0x30,
    kRelationMask = 0x70,
    kIndirect = 0x80,
    kOmitted = 0xff,
};

// A reader that stays put at its end, gives zeros from there on and remembers that it did.
class Reader {
public:
    Reader(const uint8_t* at, const uint8_t* end) noexcept : at_(at), end_(end) {}

    [[nodiscard]] const uint8_t* at() const noexcept { return at_; }
    [[nodiscard]] bool at_end() const noexcept { return at_ >= end_; }
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    void skip(uint64_t bytes) noexcept
    {
        if (has(bytes)) at_ += bytes;
    }

    template <typename T> [[nodiscard]] T fixed() noexcept
    {
        T value{};
        if (has(sizeof value)) {
            std::memcpy(&value, at_, sizeof value);
            at_ += sizeof value;
        }
        return value;
    }
    [[nodiscard]] uint64_t uleb128() noexcept
    {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = fixed<uint8_t>();
            value |= uint64_t{byte & 0x7fu} << shift;
            if (byte < 0x80) break;
        }
        return value;
    }
    [[nodiscard]] int64_t sleb128() noexcept
    {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64;) {
            const auto byte = fixed<uint8_t>();
            value |= uint64_t{byte & 0x7fu} << shift;
            shift += 7;
            if (byte >= 0x80) continue;
            if ((byte & 0x40) != 0 && shift < 64) value |= ~uint64_t{0} << shift;
            break;
        }
        return static_cast<int64_t>(value);
    }
    // A coded pointer; data: what kDataRelative is relative to.
    [[nodiscard]] uint64_t pointer(uint8_t encoding, uint64_t data) noexcept
    {
        const auto place = reinterpret_cast<uint64_t>(at_);
        uint64_t value = 0;
        switch (encoding & kFormatMask) {
        case kAbsolute:
        case kUnsigned8:
        case kSigned8:
            value = fixed<uint64_t>();
            break;
        case kUleb128:
            value = uleb128();
            break;
        case kSleb128:
            value = static_cast<uint64_t>(sleb128());
            break;
        case kUnsigned2:
            value = fixed<uint16_t>();
            break;
        case kSigned2:
            value = static_cast<uint64_t>(int64_t{fixed<int16_t>()});
            break;
        case kUnsigned4:
            value = fixed<uint32_t>();
            break;
        case kSigned4:
            value = static_cast<uint64_t>(int64_t{fixed<int32_t>()});
            break;
        default:
            failed_ = true;
        }
        const int relation = encoding & kRelationMask;
        if (relation == kPcRelative)
            value += place;
        else if (relation == kDataRelative)
            value += data;
        else if (relation != 0)
            failed_ = true;
        if ((encoding & kIndirect) != 0) failed_ = true; // personality routines alone; their value is never needed
        return value;
    }

private:
    [[nodiscard]] bool has(uint64_t bytes) noexcept
    {
        if (static_cast<uint64_t>(end_ - at_) >= bytes) return true;
        failed_ = true;
        at_ = end_;
        return false;
    }

    const uint8_t* at_;
    const uint8_t* end_;
    bool failed_ = false;
};

// -- entries --

// A length-prefixed entry of .eh_frame: a CIE or an FDE.
struct Entry {
    const uint8_t* id_at = nullptr; // its CIE pointer; 0 in a CIE
    const uint8_t* end = nullptr;
    uint32_t id = 0;
};

[[nodiscard]] bool read_entry(const uint8_t* at, const uint8_t* limit, Entry& entry) noexcept
{
    Reader reader(at, limit);
    uint64_t length = reader.fixed<uint32_t>();
    if (length == 0xffffffff) length = reader.fixed<uint64_t>();
    if (reader.failed() || length < sizeof entry.id || length > static_cast<uint64_t>(limit - reader.at()))
        return false;
    entry.id_at = reader.at();
    entry.end = entry.id_at + length;
    entry.id = reader.fixed<uint32_t>();
    return !reader.failed();
}

struct CommonInformation {
    uint64_t code_factor = 1;
    int64_t data_factor = 1;
    uint64_t return_column = 16;
    uint8_t pointer_encoding = kAbsolute;
    bool has_augmentation_data = false;
    bool is_signal_frame = false;
    const uint8_t* program = nullptr;
    const uint8_t* program_end = nullptr;
};

[[nodiscard]] bool read_common(const Entry& entry, CommonInformation& common) noexcept
{
    Reader reader(entry.id_at + sizeof entry.id, entry.end);
    const auto version = reader.fixed<uint8_t>();
    if (version != 1 && version != 3) return false;
    const auto* augmentation = reinterpret_cast<const char*>(reader.at());
    const size_t room = static_cast<size_t>(entry.end - reader.at());
    const size_t letters = strnlen(augmentation, room);
    if (letters == room) return false;
    reader.skip(letters + 1);
    common.code_factor = reader.uleb128();
    common.data_factor = reader.sleb128();
    common.return_column = version == 1 ? reader.fixed<uint8_t>() : reader.uleb128();
    if (augmentation[0] == 'z') {
        common.has_augmentation_data = true;
        const uint64_t bytes = reader.uleb128();
        Reader data(reader.at(), entry.end);
        reader.skip(bytes);
        for (size_t i = 1; i < letters; ++i) {
            switch (augmentation[i]) {
            case 'R':
                common.pointer_encoding = data.fixed<uint8_t>();
                break;
            case 'P': {
                const auto encoding = data.fixed<uint8_t>();
                static_cast<void>(data.pointer(encoding & static_cast<uint8_t>(~kIndirect), 0));
                break;
            }
            case 'L':
                data.skip(1);
                break;
            case 'S':
                common.is_signal_frame = true;
                break;
            default:
                return false;
            }
        }
        if (data.failed()) return false;
    } else if (letters != 0) {
        return false;
    }
    common.program = reader.at();
    common.program_end = entry.end;
    return !reader.failed();
}

// -- the program of an entry --

constexpr uint64_t kRbp = 6;
constexpr uint64_t kRsp = 7;
constexpr uint64_t kReturnAddress = 16;

struct RegisterRule {
    enum class Where : uint8_t { same, at_cfa, undefined, at_rbp, other } where = Where::same;
    int64_t offset = 0;
};

struct Row {
    enum class Base : uint8_t { rsp, rbp, realigned, other } base = Base::other;
    int64_t cfa_offset = 0;
    RegisterRule rbp;
    RegisterRule return_address;
};

// Runs call frame instructions up to the row of a pc.
class Program {
public:
    explicit Program(const CommonInformation& common) noexcept : common_(common) {}

    // False: the program has something that this reader does not know.
    [[nodiscard]] bool run(const uint8_t* from, const uint8_t* to, uint64_t location, uint64_t pc) noexcept;
    void set_initial() noexcept { initial_ = row_; }
    [[nodiscard]] UnwindRule rule() const noexcept;

private:
    [[nodiscard]] bool extended(Reader& reader, uint8_t code) noexcept;
    [[nodiscard]] RegisterRule* rule_of(uint64_t reg) noexcept
    {
        if (reg == kRbp) return &row_.rbp;
        return reg == kReturnAddress ? &row_.return_address : nullptr;
    }
    void set(uint64_t reg, RegisterRule::Where where, int64_t offset = 0) noexcept
    {
        if (RegisterRule* rule = rule_of(reg)) *rule = {where, offset};
    }
    void define_cfa(uint64_t reg, int64_t offset) noexcept
    {
        row_.base = reg == kRsp ? Row::Base::rsp : reg == kRbp ? Row::Base::rbp : Row::Base::other;
        row_.cfa_offset = offset;
    }
    void restore(uint64_t reg) noexcept
    {
        if (reg == kRbp) row_.rbp = initial_.rbp;
        if (reg == kReturnAddress) row_.return_address = initial_.return_address;
    }

    static constexpr unsigned kMostRemembered = 8;

    const CommonInformation& common_;
    Row row_;
    Row initial_;
    Row remembered_[kMostRemembered];
    unsigned remembered_count_ = 0;
};

enum Instruction : uint8_t { // DWARF 5, 7.24
    kNop = 0x00,
    kSetLocation = 0x01,
    kAdvance1 = 0x02,
    kAdvance2 = 0x03,
    kAdvance4 = 0x04,
    kOffsetExtended = 0x05,
    kRestoreExtended = 0x06,
    kUndefined = 0x07,
    kSameValue = 0x08,
    kRegister = 0x09,
    kRememberState = 0x0a,
    kRestoreState = 0x0b,
    kDefineCfa = 0x0c,
    kDefineCfaRegister = 0x0d,
    kDefineCfaOffset = 0x0e,
    kDefineCfaExpression = 0x0f,
    kExpression = 0x10,
    kOffsetExtendedSigned = 0x11,
    kDefineCfaSigned = 0x12,
    kDefineCfaOffsetSigned = 0x13,
    kValueOffset = 0x14,
    kValueOffsetSigned = 0x15,
    kValueExpression = 0x16,
    kGnuArgumentsSize = 0x2e,
    kAdvance = 0x40, // the low six bits are an operand in these three
    kOffset = 0x80,
    kRestore = 0xc0,
};

constexpr uint8_t kOpBreg6 = 0x76; // DW_OP_breg6: rbp + SLEB128
constexpr uint8_t kOpDeref = 0x06;

bool Program::run(const uint8_t* from, const uint8_t* to, uint64_t location, uint64_t pc) noexcept
{
    Reader reader(from, to);
    while (!reader.at_end() && !reader.failed()) {
        const auto code = reader.fixed<uint8_t>();
        const uint8_t low = code & 0x3f;
        uint64_t advance = 0;
        switch (code & 0xc0) {
        case kAdvance:
            advance = low;
            break;
        case kOffset:
            set(low, RegisterRule::Where::at_cfa, static_cast<int64_t>(reader.uleb128()) * common_.data_factor);
            break;
        case kRestore:
            restore(low);
            break;
        default:
            if (code == kAdvance1)
                advance = reader.fixed<uint8_t>();
            else if (code == kAdvance2)
                advance = reader.fixed<uint16_t>();
            else if (code == kAdvance4)
                advance = reader.fixed<uint32_t>();
            else if (code == kSetLocation)
                advance = (reader.pointer(common_.pointer_encoding, 0) - location) / common_.code_factor;
            else if (!extended(reader, code))
                return false;
        }
        location += advance * common_.code_factor;
        if (location > pc) return !reader.failed();
    }
    return !reader.failed();
}

bool Program::extended(Reader& reader, uint8_t code) noexcept
{
    using enum RegisterRule::Where;
    switch (code) {
    case kNop:
        return true;
    case kOffsetExtended: {
        const uint64_t reg = reader.uleb128();
        set(reg, at_cfa, static_cast<int64_t>(reader.uleb128()) * common_.data_factor);
        return true;
    }
    case kOffsetExtendedSigned: {
        const uint64_t reg = reader.uleb128();
        set(reg, at_cfa, reader.sleb128() * common_.data_factor);
        return true;
    }
    case kRestoreExtended:
        restore(reader.uleb128());
        return true;
    case kUndefined:
        set(reader.uleb128(), undefined);
        return true;
    case kSameValue:
        set(reader.uleb128(), same);
        return true;
    case kRegister:
    case kValueOffset: {
        const uint64_t reg = reader.uleb128();
        static_cast<void>(reader.uleb128());
        set(reg, other);
        return true;
    }
    case kValueOffsetSigned: {
        const uint64_t reg = reader.uleb128();
        static_cast<void>(reader.sleb128());
        set(reg, other);
        return true;
    }
    case kRememberState:
        if (remembered_count_ == kMostRemembered) return false;
        remembered_[remembered_count_++] = row_;
        return true;
    case kRestoreState:
        if (remembered_count_ == 0) return false;
        row_ = remembered_[--remembered_count_];
        return true;
    case kDefineCfa: {
        const uint64_t reg = reader.uleb128();
        define_cfa(reg, static_cast<int64_t>(reader.uleb128()));
        return true;
    }
    case kDefineCfaSigned: {
        const uint64_t reg = reader.uleb128();
        define_cfa(reg, reader.sleb128() * common_.data_factor);
        return true;
    }
    case kDefineCfaRegister:
        define_cfa(reader.uleb128(), row_.cfa_offset);
        return true;
    case kDefineCfaOffset:
        row_.cfa_offset = static_cast<int64_t>(reader.uleb128());
        return true;
    case kDefineCfaOffsetSigned:
        row_.cfa_offset = reader.sleb128() * common_.data_factor;
        return true;
    case kDefineCfaExpression: {
        const uint64_t bytes = reader.uleb128();
        Reader expression(reader.at(), reader.at());
        const uint8_t* start = reader.at();
        reader.skip(bytes);
        expression = Reader(start, reader.at());
        row_.base = Row::Base::other;
        if (expression.fixed<uint8_t>() == kOpBreg6) {
            row_.cfa_offset = expression.sleb128();
            if (expression.fixed<uint8_t>() == kOpDeref && expression.at_end() && !expression.failed())
                row_.base = Row::Base::realigned;
        }
        return true;
    }
    case kExpression:
    case kValueExpression: {
        const uint64_t reg = reader.uleb128();
        const uint64_t bytes = reader.uleb128();
        const uint8_t* start = reader.at();
        reader.skip(bytes);
        Reader expression(start, reader.at());
        const bool at_own_rbp = code == kExpression && expression.fixed<uint8_t>() == kOpBreg6 &&
                                expression.sleb128() == 0 && expression.at_end() && !expression.failed();
        set(reg, at_own_rbp ? at_rbp : other);
        return true;
    }
    case kGnuArgumentsSize:
        static_cast<void>(reader.uleb128());
        return true;
    default:
        return false;
    }
}

UnwindRule Program::rule() const noexcept
{
    using enum RegisterRule::Where;
    if (row_.return_address.where == undefined) return UnwindRule::make(UnwindRule::Kind::outermost, 0, 0);
    if (row_.return_address.where != at_cfa || row_.return_address.offset != -8) return {};
    if (row_.base == Row::Base::realigned)
        return row_.rbp.where == at_rbp && row_.cfa_offset < 0
                   ? UnwindRule::make(UnwindRule::Kind::realigned, static_cast<uint64_t>(-row_.cfa_offset), 0)
                   : UnwindRule();
    if (row_.base == Row::Base::other || row_.cfa_offset < 0) return {};
    uint64_t rbp_below_cfa = 0;
    if (row_.rbp.where == at_cfa) {
        if (row_.rbp.offset >= 0) return {};
        rbp_below_cfa = static_cast<uint64_t>(-row_.rbp.offset);
    } else if (row_.rbp.where != same) {
        return {};
    }
    const auto kind = row_.base == Row::Base::rsp ? UnwindRule::Kind::from_rsp : UnwindRule::Kind::from_rbp;
    return UnwindRule::make(kind, static_cast<uint64_t>(row_.cfa_offset), rbp_below_cfa);
}

// The FDE whose range may hold `pc`, by the binary search table that linkers make: sorted pairs of 4-byte offsets.
[[nodiscard]] const uint8_t* find_description(const FrameTables& tables, uint64_t pc) noexcept
{
    Reader header(tables.eh_frame_hdr, tables.end);
    const auto data = reinterpret_cast<uint64_t>(tables.eh_frame_hdr);
    const auto version = header.fixed<uint8_t>();
    const auto frame_encoding = header.fixed<uint8_t>();
    const auto count_encoding = header.fixed<uint8_t>();
    const auto table_encoding = header.fixed<uint8_t>();
    if (version != 1 || count_encoding == kOmitted || table_encoding != (kDataRelative | kSigned4)) return nullptr;
    if (frame_encoding != kOmitted) static_cast<void>(header.pointer(frame_encoding, data));
    const uint64_t count = header.pointer(count_encoding, data);
    struct Pair {
        int32_t start;
        int32_t description;
    };
    if (header.failed() || count > static_cast<uint64_t>(tables.end - header.at()) / sizeof(Pair)) return nullptr;
    const uint8_t* const table = header.at();
    const auto pair = [table](uint64_t i) {
        Pair result;
        std::memcpy(&result, table + i * sizeof result, sizeof result);
        return result;
    };
    uint64_t low = 0;
    uint64_t high = count;
    while (low < high) {
        const uint64_t middle = (low + high) / 2;
        if (data + static_cast<uint64_t>(int64_t{pair(middle).start}) <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? nullptr : tables.eh_frame_hdr + pair(low - 1).description;
}

} // namespace

std::optional<UnwindRule> rule_from_eh_frame(const FrameTables& tables, uint64_t pc) noexcept
{
    const uint8_t* const at = find_description(tables, pc);
    Entry description;
    if (at == nullptr || at > tables.end || !read_entry(at, tables.end, description) || description.id == 0) return {};
    Entry common_entry;
    const uint8_t* const common_at = description.id_at - description.id;
    CommonInformation common;
    if (!read_entry(common_at, tables.end, common_entry) || common_entry.id != 0 || !read_common(common_entry, common))
        return UnwindRule();
    Reader reader(description.id_at + sizeof description.id, description.end);
    const uint64_t start = reader.pointer(common.pointer_encoding, 0);
    const uint64_t bytes = reader.pointer(common.pointer_encoding & kFormatMask, 0);
    if (common.has_augmentation_data) {
        const uint64_t skipped = reader.uleb128();
        reader.skip(skipped);
    }
    if (reader.failed() || pc < start || pc - start >= bytes) return {};
    if (common.is_signal_frame || common.return_column != kReturnAddress) return UnwindRule();
    Program program(common);
    if (!program.run(common.program, common.program_end, start, UINT64_MAX)) return UnwindRule();
    program.set_initial();
    return program.run(reader.at(), description.end, start, pc) ? program.rule() : UnwindRule();
}

UnwindRule find_unwind_rule(uint64_t return_address) noexcept
{
    dl_find_object found{};
    const uint64_t pc = return_address - 1;
    if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0 || found.dlfo_eh_frame == nullptr) return {};
    const FrameTables tables{static_cast<const uint8_t*>(found.dlfo_eh_frame),
                             static_cast<const uint8_t*>(found.dlfo_map_end)};
    if (const auto rule = rule_from_eh_frame(tables, pc)) return *rule;
    // The entry of the dynamic loader, from where constructors are called before main, is not described.
    const bool is_loader = found.dlfo_link_map->l_addr == getauxval(AT_BASE);
    return is_loader ? UnwindRule::make(UnwindRule::Kind::outermost, 0, 0) : UnwindRule();
}

} // namespace leak::preload
