#include "preload/cfi_program.hpp"

namespace leak::preload {

namespace {

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
    // Those without an operand in their code. advance: by how many code factors the location moves on.
    [[nodiscard, gnu::always_inline]] bool extended(Reader& reader, uint8_t code, uint64_t location,
                                                    uint64_t& advance) noexcept;
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

inline bool Program::extended(Reader& reader, uint8_t code, uint64_t location, uint64_t& advance) noexcept
{
    using enum RegisterRule::Where;
    switch (code) {
    case kNop:
        return true;
    case kSetLocation:
        advance = (reader.pointer(common_.pointer_encoding, 0) - location) / common_.code_factor;
        return true;
    case kAdvance1:
        advance = reader.fixed<uint8_t>();
        return true;
    case kAdvance2:
        advance = reader.fixed<uint16_t>();
        return true;
    case kAdvance4:
        advance = reader.fixed<uint32_t>();
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
            if (!extended(reader, code, location, advance)) return false;
        }
        location += advance * common_.code_factor;
        if (location > pc) return !reader.failed();
    }
    return !reader.failed();
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

} // namespace

bool read_entry(const uint8_t* at, const uint8_t* limit, Entry& entry) noexcept
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

bool read_common(const Entry& entry, CommonInformation& common) noexcept
{
    Reader reader(entry.id_at + sizeof entry.id, entry.end);
    const auto version = reader.fixed<uint8_t>();
    if (version != 1 && version != 3 && version != 4) return false;
    const auto* augmentation = reinterpret_cast<const char*>(reader.at());
    const size_t room = static_cast<size_t>(entry.end - reader.at());
    const size_t letters = strnlen(augmentation, room);
    if (letters == room) return false;
    reader.skip(letters + 1);
    if (version == 4 && (reader.fixed<uint8_t>() != sizeof(uint64_t) || reader.fixed<uint8_t>() != 0))
        return false; // sizes of an address and of a segment selector
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
    return !reader.failed() && common.code_factor != 0;
}

bool read_description(const Entry& entry, const CommonInformation& common, Description& description) noexcept
{
    Reader reader(entry.id_at + sizeof entry.id, entry.end);
    description.start = reader.pointer(common.pointer_encoding, 0);
    description.bytes = reader.pointer(common.pointer_encoding & kFormatMask, 0);
    if (common.has_augmentation_data) {
        const uint64_t skipped = reader.uleb128();
        reader.skip(skipped);
    }
    description.program = reader.at();
    description.program_end = entry.end;
    return !reader.failed();
}

UnwindRule rule_at(const CommonInformation& common, const Description& description, uint64_t pc) noexcept
{
    if (common.is_signal_frame || common.return_column != kReturnAddress) return {};
    Program program(common);
    if (!program.run(common.program, common.program_end, description.start, UINT64_MAX)) return {};
    program.set_initial();
    return program.run(description.program, description.program_end, description.start, pc) ? program.rule()
                                                                                            : UnwindRule();
}

} // namespace leak::preload
