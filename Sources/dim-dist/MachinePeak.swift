import Collectives
import Foundation
import Tensors

/// What this machine reaches at best, with all ranks at work at once: what pieces of a step are held against.
struct MachinePeak {
    /// A rank's floating-point operations per second in a product of 1024x1024 matrices, in 10^9.
    let gigaflops: Double
    /// Bytes per second that a rank's a = b + s·c moves in arrays larger than caches, in 10^9; what is written counts
    /// once.
    let gigabytes: Double
    /// Of the matrix product.
    let milliseconds: Double

    /// Collective. Takes about a second.
    init(device: Device, ranks: any Ranks) throws {
        let side = 1024
        let a = device.tensor([side, side], filledWith: 0.5)
        let c = device.tensor([side, side])
        let product = try Self.best(of: 12, ranks) { try multiply(a.matrix, a.matrix.transposed, into: c.matrix) }
        milliseconds = product * 1000
        gigaflops = 2 * Double(side * side * side) / product / 1e9
        let count = 1 << 23
        let arrays = (0..<3).map { device.tensor([count], filledWith: Float($0)) }
        let stream = try Self.best(of: 6, ranks) { arrays[0].setToSum(of: arrays[1], arrays[2], times: 0.5) }
        gigabytes = Double(3 * 4 * count) / stream / 1e9
    }

    private static func best(of times: Int, _ ranks: any Ranks, _ body: () throws -> Void) throws -> Double {
        try (0..<times).map { _ in
            try ranks.barrier()
            let start = ContinuousClock.now
            try body()
            return start.duration(to: .now) / .seconds(1)
        }.min() ?? 0
    }
}
