import Tensors
import Testing

@Suite struct RandomStreamTests {
    /// Philox4x32-10 as Salmon et al. (2011) define it.
    private func philox(key: [UInt32], counter: [UInt32]) -> [UInt32] {
        var (key, x) = (key, counter)
        for _ in 0..<10 {
            let first = UInt64(x[0]) * 0xD251_1F53
            let second = UInt64(x[2]) * 0xCD9E_8D57
            x = [
                UInt32(truncatingIfNeeded: second >> 32) ^ x[1] ^ key[0], UInt32(truncatingIfNeeded: second),
                UInt32(truncatingIfNeeded: first >> 32) ^ x[3] ^ key[1], UInt32(truncatingIfNeeded: first),
            ]
            key = [key[0] &+ 0x9E37_79B9, key[1] &+ 0xBB67_AE85]
        }
        return x
    }

    @Test func publishedAnswers() {
        // kat_vectors of Random123: the reference that the next test compares streams with is the published function.
        #expect(
            philox(key: [0, 0], counter: [0, 0, 0, 0]) == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
        let ones = UInt32.max
        #expect(
            philox(key: [ones, ones], counter: [ones, ones, ones, ones])
                == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
        #expect(
            philox(
                key: [0xa409_3822, 0x299f_31d0], counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344])
                == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
    }

    @Test(arguments: [
        (seed: UInt64(0), purpose: RandomPurpose.initialisation, step: 0, sample: 0),
        (seed: .max, purpose: .synthetic, step: 0xffff_ffff, sample: 0xffff_ffff),
        (seed: 0x299f_31d0_a409_3822, purpose: .dropout, step: 0x1319_8a2e, sample: 0x85a3_08d3),
        (seed: 1 << 32, purpose: .permutation, step: 1 << 32 + 7, sample: 1 << 32 + 9),
    ])
    func streamsArePhilox(seed: UInt64, purpose: RandomPurpose, step: Int, sample: Int) {
        var stream = RandomStream(seed: seed, purpose: purpose, step: step, sample: sample)
        let key = [UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)]
        let expected = (0..<3).flatMap { (block: UInt32) in
            philox(
                key: key,
                counter: [
                    block, UInt32(truncatingIfNeeded: sample), UInt32(truncatingIfNeeded: step), purpose.rawValue,
                ])
        }
        #expect((0..<12).map { _ in stream.word() } == expected)
    }

    @Test func numbersAreMadeOfWords() {
        var words = RandomStream(test: 1)
        let w = (0..<4).map { _ in words.word() }
        var longs = RandomStream(test: 1)
        #expect(longs.next() == UInt64(w[0]) << 32 | UInt64(w[1]))
        var uniforms = RandomStream(test: 1)
        #expect((0..<4).map { _ in uniforms.uniform() } == w.map { Float($0 >> 8) / 16_777_216 })
    }

    @Test func purposesKeepTheirNumbers() {
        // A run that starts again must draw what it drew: numbers may be added, not moved.
        let purposes: [RandomPurpose] = [
            .initialisation, .permutation, .augmentation, .dropout, .validationSplit, .synthetic,
        ]
        #expect(purposes.map(\.rawValue) == [1, 2, 3, 4, 5, 6])
    }

    @Test func streamsAreIndependent() {
        let count = 4096
        func draw(seed: UInt64 = 1, _ purpose: RandomPurpose = .dropout, step: Int = 1, sample: Int = 1) -> [Double] {
            var stream = RandomStream(seed: seed, purpose: purpose, step: step, sample: sample)
            return (0..<count).map { _ in Double(stream.uniform()) - 0.5 }
        }
        let first = draw()
        #expect(first == draw())
        for other in [draw(seed: 2), draw(.synthetic), draw(step: 2), draw(sample: 2), draw(step: 0, sample: 2)] {
            let correlation = 12 * zip(first, other).reduce(0) { $0 + $1.0 * $1.1 } / Double(count)
            #expect(abs(correlation) < 0.08)  // five deviations: 5/sqrt(4096)
        }
        let lagged = 12 * zip(first, first.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 } / Double(count)
        #expect(abs(lagged) < 0.08)
    }

    private func chiSquare(_ counts: [Int], expected: Double) -> Double {
        counts.reduce(0) { sum, count in sum + (Double(count) - expected) * (Double(count) - expected) / expected }
    }

    @Test func uniformFillsTheUnitInterval() {
        var stream = RandomStream(test: 2)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<20_000 {
            let x = stream.uniform()
            #expect(x >= 0 && x < 1)
            counts[Int(10 * x)] += 1
        }
        // Chi-square of 9 degrees of freedom: above 27.9 once in a thousand.
        #expect(chiSquare(counts, expected: 2000) < 27.9)
    }

    @Test func indexStaysBelowItsBound() {
        var stream = RandomStream(test: 3)
        for bound in [1, 2, 3, 1000, 1 << 31, 1 << 32] {
            for _ in 0..<200 { #expect((0..<bound).contains(stream.index(below: bound))) }
        }
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<14_000 { counts[stream.index(below: 7)] += 1 }
        // Chi-square of 6 degrees of freedom: above 22.5 once in a thousand.
        #expect(chiSquare(counts, expected: 2000) < 22.5)
    }

    @Test(arguments: [0, 1, 2, 100])
    func permutationHoldsEachOnce(count: Int) {
        var stream = RandomStream(test: 4)
        let order = stream.permutation(of: count)
        #expect(order.sorted() == (0..<count).map { Int32($0) })
    }

    @Test func permutationsAreEquallyLikely() {
        var stream = RandomStream(test: 5)
        var counts: [[Int32]: Int] = [:]
        for _ in 0..<6000 { counts[stream.permutation(of: 3), default: 0] += 1 }
        #expect(counts.count == 6)
        // Chi-square of 5 degrees of freedom: above 20.5 once in a thousand.
        #expect(chiSquare(Array(counts.values), expected: 1000) < 20.5)
    }
}
