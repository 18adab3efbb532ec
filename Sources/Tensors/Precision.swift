import COneDNN
import Collectives

extension Precision {
    /// Whether this processor multiplies numbers of it. One without such instructions multiplies rounded numbers in
    /// float32.
    package var isNative: Bool {
        switch self {
        case .float32: true
        case .bfloat16:
            Self.instructions.rawValue & dnnl_cpu_isa_avx512_core_bf16.rawValue
                == dnnl_cpu_isa_avx512_core_bf16.rawValue
        }
    }

    /// Those that oneDNN uses here.
    private static var instructions: dnnl_cpu_isa_t { dnnl_get_effective_cpu_isa() }
}
