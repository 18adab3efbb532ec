import CRandom123

/// The purposes of random numbers. Streams of different purposes are independent.
package enum RandomPurpose: UInt32, Sendable {
    case initialisation = 1
    case permutation
    case augmentation
    case dropout
    case validationSplit
    case synthetic
    case prior
    case occlusion
    case shuffle
    case latent
    case labels
    case queue
    case groups
}

/// Random streams of one part of a step.
package struct RandomStreams: Sendable {
    private let seed: UInt64
    private let step: Int
    private let part: Int

    /// - Parameter part: part of the step, in 0..<65536.
    package init(seed: UInt64, step: Int, part: Int = 0) {
        (self.seed, self.step, self.part) = (seed, step, part)
    }

    /// The stream of a sample, by its index in the global batch or in the data set.
    package func callAsFunction(_ purpose: RandomPurpose, _ sample: Int = 0) -> RandomStream {
        RandomStream(seed: seed, purpose: purpose, step: step, sample: sample, part: part)
    }
}

/// Random numbers from Philox4x32-10. They are keyed by purpose and sample, never by rank, so that results don't depend
/// on the number of ranks, and a run can continue from any step.
package struct RandomStream: RandomNumberGenerator, Equatable, Sendable {
    private let key: SIMD2<UInt32>
    private var counter: SIMD4<UInt32>
    private var words = SIMD4<UInt32>()
    private var used = 4

    /// - Parameters:
    ///   - step: epoch or step; the low 32 bits count.
    ///   - sample: index of the sample in the data set, or of the parameter; the low 32 bits count.
    ///   - part: part of the step, such as a view of the sample or a pass, in 0..<65536.
    package init(seed: UInt64, purpose: RandomPurpose, step: Int = 0, sample: Int = 0, part: Int = 0) {
        precondition((0..<1 << 16).contains(part), "part \(part)")
        key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        counter = SIMD4(
            0, UInt32(truncatingIfNeeded: sample), UInt32(truncatingIfNeeded: step),
            purpose.rawValue | UInt32(part) << 16)
    }

    /// The next 32 random bits.
    package mutating func word() -> UInt32 {
        if used == 4 {
            crandom_philox(key[0], key[1], counter[0], counter[1], counter[2], counter[3], &words)
            counter[0] &+= 1
            used = 0
        }
        used += 1
        return words[used - 1]
    }

    package mutating func next() -> UInt64 { UInt64(word()) << 32 | UInt64(word()) }

    /// Uniform in [0, 1), a multiple of 2^-24.
    package mutating func uniform() -> Float { Float(word() >> 8) * 0x1p-24 }

    /// Sets each element to 0 with probability `rate`, and to `value` otherwise; one draw of `uniform` each.
    package mutating func fillMask(_ mask: UnsafeMutableBufferPointer<Float>, rate: Float, value: Float) {
        for i in mask.indices { mask[i] = uniform() < rate ? 0 : value }
    }

    /// Standard normal (Box & Muller 1958), from two draws.
    package mutating func normal() -> Float {
        let radius = (-2 * (1 - Double(uniform())).logarithm).squareRoot()
        return Float(radius * Double.cosine(2 * Double.pi * Double(uniform())))
    }

    /// Uniform in `0..<bound`; `bound` in 1...2^32. The bias is below `bound`/2^32.
    package mutating func index(below bound: Int) -> Int { Int((UInt64(word()) * UInt64(bound)) >> 32) }

    /// A uniformly random order of `0..<count` (Fisher and Yates).
    package mutating func permutation(of count: Int) -> [Int32] {
        var order = (0..<Int32(count)).map { $0 }
        for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, index(below: i + 1)) }
        return order
    }
}
