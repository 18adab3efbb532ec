/// In which numbers something is kept that needs no float32: the operands of products and convolutions, or gradients on
/// their way between nodes. They are summed in float32.
package enum Precision: String, Choice, Hashable {
    case float32
    /// 8 bits of a float32's 24, and all of its range. Numbers are rounded to nearest, ties to even.
    case bfloat16

    /// Bytes of a number.
    package var bytes: Int {
        switch self {
        case .float32: 4
        case .bfloat16: 2
        }
    }
}

/// The nearest bfloat16, ties to even; not a number stays so, and what is too large becomes infinite.
@inlinable @inline(__always)
package func bfloat16(_ x: Float) -> UInt16 {
    let bits = x.bitPattern
    let rounded = (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16
    let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
    return UInt16(truncatingIfNeeded: isNaN ? bits >> 16 | 0x40 : rounded)
}

extension Float {
    /// The value of a bfloat16, exactly.
    @inlinable @inline(__always)
    package init(bfloat16 bits: UInt16) { self.init(bitPattern: UInt32(bits) << 16) }
}

extension UnsafeMutableBufferPointer<Float> {
    /// Writes each element's nearest bfloat16.
    package func round(into target: UnsafeMutablePointer<UInt16>) {
        for i in indices { target[i] = bfloat16(self[i]) }
    }

    /// Replaces each element by its nearest bfloat16.
    package func round() {
        for i in indices { self[i] = Float(bfloat16: bfloat16(self[i])) }
    }

    /// Sets the elements to as many numbers of bfloat16.
    package func set(toBFloat16 source: UnsafePointer<UInt16>) {
        for i in indices { self[i] = Float(bfloat16: source[i]) }
    }

    /// Adds as many numbers of bfloat16 to the elements, in float32.
    package func add(bfloat16 source: UnsafePointer<UInt16>) {
        for i in indices { self[i] += Float(bfloat16: source[i]) }
    }
}
